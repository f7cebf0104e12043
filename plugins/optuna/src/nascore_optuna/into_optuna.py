"""Any nascore sampler over decisions as the sampler of a plain Optuna study."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from nascore.contracts import View
from nascore.decisions import DecisionSpace
from nascore.errors import CapabilityError, SpaceError
from nascore.history import TrialHistory
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from nascore.contracts import Sampler, SearchSpace
    from nascore.records import Architecture

_STATUS = {TrialState.COMPLETE: Status.COMPLETE, TrialState.PRUNED: Status.PRUNED, TrialState.FAIL: Status.FAIL}


class NascoreSampler(BaseSampler):
    """Lets a nascore sampler choose the decisions of ``space`` in an Optuna study.

    The objective makes the decisions by ``space.sample(trial.suggest_categorical)``, or suggests
    the same names with the same options by hand. Parameters that are not decisions of the space
    are drawn at random. The study's directions become objectives named ``value_0``, ``value_1``, ...

    A study that was loaded with trials in it is told to the sampler first, so it goes on where it
    stopped. With the same seed and one trial at a time the same trials follow. A sampler with
    nothing left to propose stops ``Study.optimize``.

    Example:
        >>> space = MySpace()
        >>> study = optuna.create_study(sampler=NascoreSampler(AgingEvolution(20, 5), space))
        >>> study.optimize(lambda trial: loss(space.sample(trial.suggest_categorical)), n_trials=100)
    """

    def __init__(self, sampler: Sampler, space: SearchSpace, seed: int = 0) -> None:
        """Bind a sampler to a space.

        Args:
            sampler: a fresh one; it serves one study.
            space: made of decisions.
            seed: of everything that is drawn.

        Raises:
            CapabilityError: the space is not made of decisions, or lacks what the sampler requires.
        """
        if not isinstance(space, DecisionSpace):
            raise CapabilityError(f"A plain Optuna study needs a space made of decisions; {space!r} is not.")
        missing = sorted(sampler.requires - space.provides)
        if missing:
            raise CapabilityError(
                f"{type(sampler).__name__} requires {missing[0]!r}, which {type(space).__name__} does not provide; "
                f"it provides: {', '.join(sorted(space.provides))}."
            )
        self.sampler = sampler
        self.space = space
        self.seed = seed
        self._lock = threading.RLock()  # Study.optimize(n_jobs=2) calls from several threads
        self._history: TrialHistory | None = None
        self._asked: dict[int, Candidate] = {}

    def reseed_rng(self) -> None:
        """Nothing to do: what is drawn depends on the seed and the trial's number only."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the nascore sampler; its decisions are the parameters of this trial."""
        with self._lock:
            history = self._start(study)
            rng = random.Random(derive_seed(self.seed, "ask", trial.number))
            candidate = self.sampler.ask(View(trial.number, rng, history))
            if candidate is None:
                study.stop()
                return {}
            self._asked[trial.number] = candidate
            decisions = self.space.decisions(candidate.architecture)
        return {decision.name: CategoricalDistribution(decision.options) for decision in decisions}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The decisions of the candidate."""
        candidate = self._asked.get(trial.number)
        genome: Any = candidate.architecture.genome if candidate is not None else {}
        return {name: genome[name] for name in search_space}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that is no decision of the space, at random."""
        sampler = RandomSampler(seed=derive_seed(self.seed, "independent", trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the nascore sampler."""
        with self._lock:
            self._tell(self._start(study), trial, state, values)

    # ------------------------------------------------------------------ inside

    def _start(self, study: Study) -> TrialHistory:
        if self._history is None:
            objectives = [
                Objective(f"value_{index}", Direction(direction.name.lower()))
                for index, direction in enumerate(study.directions)
            ]
            self.sampler.setup(self.space, objectives, self.seed)
            self._history = TrialHistory(objectives)
            for told in study.get_trials(deepcopy=False, states=tuple(_STATUS)):
                self._tell(self._history, told, told.state, told.values)
        return self._history

    def _tell(
        self, history: TrialHistory, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        candidate = self._judged(self._asked.pop(trial.number, None), trial)
        if candidate is None:
            return
        status = _STATUS[state]
        # A pruned trial has its last intermediate value, which is no measurement at full length.
        measured = values if values is not None and status is Status.COMPLETE else ()
        objectives = {f"value_{index}": value for index, value in enumerate(measured)}
        reports = tuple((step, {"value_0": value}) for step, value in sorted(trial.intermediate_values.items()))
        told = Trial(trial.number, candidate, status, objectives, reports=reports)
        self.sampler.tell(told)
        history.add(told)

    def _judged(self, asked: Candidate | None, trial: FrozenTrial) -> Candidate | None:
        """What the objective really saw: an enqueued trial has parameters that nobody asked for here."""
        seen = self._from_parameters(trial.params)
        if asked is not None and (seen is None or seen.genome == asked.architecture.genome):
            return asked
        return None if seen is None else Candidate(seen, origin="given")

    def _from_parameters(self, params: dict[str, Any]) -> Architecture | None:
        """The architecture that these parameters make; None where they do not make one."""
        try:
            architecture = self.space.sample(lambda name, _: params[name])
            self.space.check(architecture)
        except (KeyError, SpaceError):
            return None
        return architecture
