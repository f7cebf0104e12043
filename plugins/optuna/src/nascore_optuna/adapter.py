"""Any Optuna sampler as a nascore sampler over decisions."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, cast

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nascore.contracts import Sampler
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError
from nascore.quiet import quiet_optuna
from nascore.records import Candidate, Status
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.samplers import BaseSampler

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Objective, Trial


class OptunaSampler(Sampler):
    """Base of the adapters: a subclass makes the Optuna sampler, :meth:`make`.

    An Optuna sampler learns from a study, so the adapter keeps one in memory, beside the one that
    the core stores. For every trial the sampler is made anew with a seed derived from the search's
    seed and the trial's number: what is proposed then depends on the study alone, and there is no
    random state to save. Nor is there any other state: after a crash the study is built again from
    the history, trial by trial, and what a sampler notes in the study (NSGA-II its generations, QMC
    its place in the sequence) is noted again by :meth:`relive`. That holds exactly for one trial at
    a time; with parallel trials the notes may fall differently.

    How trials are told: COMPLETE with the values; PRUNED with the learning curve of the first
    objective; INFEASIBLE as pruned with its constraints (Optuna >= 5 models them, older ones see a
    pruned trial); FAIL, and a value that is NaN, as failed.

    Example:
        >>> class Cma(OptunaSampler):
        ...     def make(self, seed):
        ...         return optuna.samplers.CmaEsSampler(seed=seed)
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})

    @abstractmethod
    def make(self, seed: int) -> BaseSampler:
        """A fresh Optuna sampler whose randomness comes from ``seed`` alone."""

    def relive(self, sampler: BaseSampler, trial: optuna.trial.FrozenTrial) -> None:
        """Note in the study what ``sampler`` noted there when it was asked for ``trial``.

        Args:
            sampler: fresh, with the seed of that trial.
            trial: running; all trials before it are finished.
        """

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: the space is not made of decisions.
        """
        if not isinstance(space, DecisionSpace):
            raise CapabilityError(
                f"Optuna searches decisions only, and {space.name or type(space).__name__!r} is not made of them. "
                "Take a space that is a DecisionSpace, or a sampler such as amoebanet."
            )
        super().setup(space, objectives, seed)
        self.start()

    def ask(self, view: View) -> Candidate | None:
        """What Optuna suggests; None when an exhaustive sampler has seen everything."""
        if self._exhausted:
            return None
        self.study.sampler = self._fresh(view.number)
        trial = self.study.ask()
        self._running[view.number] = trial.number
        architecture = self.space.sample(trial.suggest_categorical)
        return Candidate(architecture, origin=self.study.sampler.__class__.__name__)

    def tell(self, trial: Trial) -> None:
        """Finish the study's trial; one that was not asked for here is added first."""
        number = self._running.pop(trial.number, None)
        if number is None:
            number = self._add(trial)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        if trial.violations:
            # Optuna's form of before version 5, which version 5 reads too.
            self._storage.set_trial_system_attr(trial_id, "constraints", list(trial.violations.values()))
        if len(self.objectives) == 1:
            for step, metrics in trial.reports:
                if self.objectives[0].name in metrics:
                    self._storage.set_trial_intermediate_value(trial_id, step, metrics[self.objectives[0].name])
        self.study.tell(number, *self._outcome(trial))

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Build the study again from the history."""
        self.start()
        for trial in sorted(history, key=attrgetter("number")):
            self.tell(trial)

    def start(self) -> None:
        """Begin with an empty study."""
        self._storage = optuna.storages.InMemoryStorage()
        directions = [StudyDirection[objective.direction.name] for objective in self.objectives]
        with quiet_optuna():
            self.study = optuna.create_study(storage=self._storage, directions=directions, sampler=self._fresh(0))
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        # Study.stop works inside Study.optimize only, and an exhaustive sampler calls it from tell.
        self.study.stop = self._stop  # type: ignore[method-assign]  # there is no other way in
        self._exhausted = False
        self._running: dict[int, int] = {}  # number here -> number in the study

    # ------------------------------------------------------------------ inside

    def _stop(self) -> None:
        self._exhausted = True

    def _fresh(self, number: int) -> BaseSampler:
        with warnings.catch_warnings():
            # Whoever picks a sampler by name need not be told at every trial that Optuna may change it.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self.make(derive_seed(self.seed, "optuna", number))

    def _add(self, trial: Trial) -> int:
        """Put a trial into the study as it would stand there had it been asked for; gives its number."""
        trial_id = self._storage.create_new_trial(self._study_id)
        self.study.sampler = self._fresh(trial.number)
        frozen = self._storage.get_trial(trial_id)
        self.relive(self.study.sampler, frozen)
        for decision in cast("DecisionSpace", self.space).decisions(trial.architecture):
            distribution = CategoricalDistribution(decision.options)
            index = distribution.to_internal_repr(decision.value)
            self._storage.set_trial_param(trial_id, decision.name, index, distribution)
        return frozen.number

    def _outcome(self, trial: Trial) -> tuple[list[float] | None, TrialState]:
        if trial.status in (Status.PRUNED, Status.INFEASIBLE):
            return None, TrialState.PRUNED
        values = [trial.value(objective.name) for objective in self.objectives]
        if trial.status is Status.FAIL or any(math.isnan(value) for value in values):
            return None, TrialState.FAIL
        return values, TrialState.COMPLETE
