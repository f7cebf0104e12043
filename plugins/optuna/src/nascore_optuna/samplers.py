"""Optuna's samplers, each with those of its options that matter here.

Not among them: ``GridSampler`` must be given all parameters beforehand, which a space whose
decisions depend on one another cannot (``bruteforce`` covers what it does), and ``CmaEsSampler``
cannot suggest categories, so that it would be random search under another name.
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import optuna
from optuna import samplers
from optuna.search_space import IntersectionSearchSpace

from nascore.errors import SettingsError, UsageError
from nascore.seeding import derive_seed
from nascore_optuna.adapter import OptunaSampler

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise SettingsError(message)


def _need(sampler: str, *packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"The sampler optuna:{sampler} needs {package}: pip install {package}")


class TPE(OptunaSampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018)."""

    def __init__(
        self,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        multivariate: bool = True,
        group: bool = True,
        constant_liar: bool = False,
    ) -> None:
        """Set the options.

        Args:
            n_startup_trials: how many random trials come first.
            n_ei_candidates: how many candidates are compared for each suggestion.
            multivariate: model the decisions together rather than one by one.
            group: with ``multivariate``, also where decisions appear only sometimes.
            constant_liar: count running trials as bad ones, for parallel searches.
        """
        _check(n_startup_trials >= 0, f"n_startup_trials is {n_startup_trials}; it must be at least 0.")
        _check(n_ei_candidates >= 1, f"n_ei_candidates is {n_ei_candidates}; it must be at least 1.")
        self._options: dict[str, Any] = {
            "n_startup_trials": n_startup_trials,
            "n_ei_candidates": n_ei_candidates,
            "multivariate": multivariate,
            "group": multivariate and group,
            "constant_liar": constant_liar,
        }

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.TPESampler(seed=seed, **self._options)


class Random(OptunaSampler):
    """Optuna's random search."""

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.RandomSampler(seed=seed)


class _Genetic(OptunaSampler):
    """What NSGA-II and NSGA-III share: they note generations and parents in the study."""

    def __init__(
        self,
        population_size: int = 50,
        mutation_prob: float | None = None,
        crossover_prob: float = 0.9,
        swapping_prob: float = 0.5,
    ) -> None:
        """Set the options.

        Args:
            population_size: complete trials in a generation; at least 2.
            mutation_prob: chance that a decision is drawn anew; None is one over their number.
            crossover_prob: chance that a child has two parents, in [0, 1].
            swapping_prob: chance that a decision comes from the second parent, in [0, 1].
        """
        _check(population_size >= 2, f"population_size is {population_size}; it must be at least 2.")
        for name, value in [
            ("mutation_prob", mutation_prob),
            ("crossover_prob", crossover_prob),
            ("swapping_prob", swapping_prob),
        ]:
            _check(value is None or 0 <= value <= 1, f"{name} is {value}; it must be from 0 to 1.")
        self._options: dict[str, Any] = {
            "population_size": population_size,
            "mutation_prob": mutation_prob,
            "crossover_prob": crossover_prob,
            "swapping_prob": swapping_prob,
        }

    @abstractmethod
    def genetic(self, seed: int) -> samplers.BaseGASampler:
        """A fresh sampler of the family."""

    def start(self) -> None:
        """Forget the old study, and which decisions all its trials share."""
        super().start()
        self._shared = IntersectionSearchSpace()

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`."""
        sampler = self.genetic(seed)
        # A fresh sampler would read all trials again to find the decisions that they share.
        sampler.infer_relative_search_space = self._infer  # type: ignore[method-assign]  # see above
        return sampler

    def _infer(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, BaseDistribution]:
        shared = self._shared.calculate(study)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def relive(self, sampler: BaseSampler, trial: optuna.trial.FrozenTrial) -> None:
        """Note the trial's generation, and its parents where it is the first of its generation."""
        genetic: Any = sampler
        genetic.get_parent_population(self.study, genetic.get_trial_generation(self.study, trial))


class NSGAII(_Genetic):
    """NSGA-II (Deb et al. 2002), also for one objective."""

    def genetic(self, seed: int) -> samplers.BaseGASampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.NSGAIISampler(seed=seed, **self._options)


class NSGAIII(_Genetic):
    """NSGA-III (Deb and Jain 2014), for more than three objectives."""

    def genetic(self, seed: int) -> samplers.BaseGASampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.NSGAIIISampler(seed=seed, **self._options)


class GP(OptunaSampler):
    """Bayesian optimisation with a Gaussian process; decisions that appear only sometimes are drawn at random."""

    def __init__(self, n_startup_trials: int = 10, deterministic_objective: bool = False) -> None:
        """Set the options.

        Args:
            n_startup_trials: how many random trials come first; at least 1.
            deterministic_objective: the evaluator gives an architecture the same value every time.
        """
        _need("gp", "scipy", "torch")
        _check(n_startup_trials >= 1, f"n_startup_trials is {n_startup_trials}; it must be at least 1.")
        self._options: dict[str, Any] = {
            "n_startup_trials": n_startup_trials,
            "deterministic_objective": deterministic_objective,
            "warn_independent_sampling": False,
        }

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.GPSampler(seed=seed, **self._options)


class QMC(OptunaSampler):
    """A quasi-Monte-Carlo sequence: random search with even coverage; for decisions that always appear."""

    def __init__(self, sequence: Literal["sobol", "halton"] = "sobol", scramble: bool = True) -> None:
        """Set the options.

        Args:
            sequence: ``sobol`` or ``halton``.
            scramble: randomise the sequence by the seed; without it every seed gives the same one.
        """
        _need("qmc", "scipy")
        _check(sequence in ("sobol", "halton"), f"sequence is {sequence!r}; allowed: halton, sobol.")
        self._options: dict[str, Any] = {
            "qmc_type": sequence,
            "scramble": scramble,
            "warn_independent_sampling": False,
        }

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`; the sequence is one for the search, only its extras follow ``seed``."""
        shared = derive_seed(self.seed, "optuna", "qmc")
        independent = samplers.RandomSampler(seed=seed)
        return samplers.QMCSampler(seed=shared, independent_sampler=independent, **self._options)

    def relive(self, sampler: BaseSampler, trial: optuna.trial.FrozenTrial) -> None:
        """Take the next place in the sequence, as the trial did."""
        sampler.sample_relative(self.study, trial, sampler.infer_relative_search_space(self.study, trial))


class BruteForce(OptunaSampler):
    """Every architecture once, in random order; the search ends after the last one."""

    def make(self, seed: int) -> BaseSampler:
        """See :meth:`OptunaSampler.make`."""
        return samplers.BruteForceSampler(seed=seed)
