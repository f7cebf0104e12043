"""Early stopping: Optuna's pruners by name, and those of plugins; they see the first objective.

An Optuna pruner works on an in-memory study of its own, so that a report costs no write, several
objectives are no obstacle (Optuna refuses to report there), and a resumed search rebuilds what the
pruner knows by showing it the old reports again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nascore.contracts import Pruner
from nascore.errors import SettingsError, nearest
from nascore.options import make
from nascore.quiet import quiet_optuna
from nascore.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import optuna

    from nascore.contracts import SearchSpace
    from nascore.parts import Workshop
    from nascore.records import Candidate, Objective, Trial


def optuna_pruners() -> dict[str, type[optuna.pruners.BasePruner]]:
    """Name -> class of the pruners that Optuna brings."""
    import optuna

    return {
        name.removesuffix("Pruner").lower(): getattr(optuna.pruners, name)
        for name in optuna.pruners.__all__
        if name not in ("BasePruner", "PatientPruner")  # these two need another pruner
    }


def make_pruner(settings: Mapping[str, Any], workshop: Workshop | None = None) -> Pruner:
    """A pruner from its table.

    Args:
        settings: ``use`` is ``median``, ``percentile``, ``hyperband``, ``successivehalving``,
            ``threshold`` or ``wilcoxon`` of Optuna, or the address of a plugin's part or of one's own
            class; the rest are its options.
        workshop: makes the parts of plugins; default: of those installed.

    Raises:
        UsageError: unknown pruner or option.
    """
    classes = optuna_pruners()
    options = dict(settings)
    name = options.get("use", "")
    if isinstance(name, str) and name in classes:
        del options["use"]
        return OptunaPruner(make(classes[name], options, "pruner"))
    if workshop is None:
        from nascore.parts import Workshop

        workshop = Workshop()
    if not isinstance(name, str) or not name:
        offered = [address.rpartition(":")[2] for address in workshop.plugins.parts("pruners")]
        raise SettingsError(f"There is no pruner {name!r}; {nearest(str(name), [*classes, *offered])}.")
    pruner: Pruner = workshop.part("pruner", options)
    return pruner


class OptunaPruner(Pruner):
    """One of Optuna's pruners."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        """
        Args:
            pruner: Optuna's own.
        """
        self.pruner = pruner
        self._running: dict[int, optuna.Trial] = {}

    def setup(self, space: SearchSpace | None, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`Pruner.setup`."""
        import optuna

        super().setup(space, objectives, seed)
        self._states = optuna.trial.TrialState
        self._objective = self.objectives[0].name
        with quiet_optuna():
            # The sampler is never asked; RandomSampler is the cheapest to make.
            self._study = optuna.create_study(
                study_name="pruning",  # Hyperband assigns brackets by the name: it must not be random
                direction=self.objectives[0].direction.value,
                pruner=self.pruner,
                sampler=optuna.samplers.RandomSampler(seed=0),
            )

    def go_on(self, number: int, step: int, metrics: Mapping[str, float], candidate: Candidate | None) -> bool:
        """See :meth:`Pruner.go_on`."""
        if self._objective not in metrics:
            return True
        trial = self._running.get(number) or self._running.setdefault(number, self._study.ask())
        trial.report(metrics[self._objective], step)
        return not trial.should_prune()

    def finish(self, trial: Trial) -> None:
        """The trial is over; the pruner compares later ones with it."""
        running = self._running.pop(trial.number, None)
        if running is None:
            return
        if trial.status is Status.COMPLETE and self._objective in trial.objectives:
            self._study.tell(running, trial.objectives[self._objective])
        else:
            self._study.tell(running, state=self._states.PRUNED if trial.status is Status.PRUNED else self._states.FAIL)


class Pruning:
    """Asks a pruner whether a running trial should stop, and knows what each running trial judges."""

    def __init__(self, pruner: Pruner, *objectives: Objective, space: SearchSpace | None = None, seed: int = 0) -> None:
        """
        Args:
            pruner: not set up yet.
            objectives: of the search, at least one.
            space: of the search, set up.
            seed: of the search.
        """
        pruner.setup(space, objectives, seed)
        self._pruner = pruner
        self._candidates: dict[int, Candidate] = {}

    def begin(self, number: int, candidate: Candidate) -> None:
        """A trial starts; the pruner may look at what is judged."""
        self._candidates[number] = candidate

    def go_on(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """Take a report; False when the pruner would stop the trial."""
        return self._pruner.go_on(number, step, metrics, self._candidates.get(number))

    def noted(self, trial: Trial) -> Trial:
        """The trial that has just been judged, with what the pruner wants kept among its metrics."""
        extra = self._pruner.metrics(trial.number)
        return replace(trial, metrics={**trial.metrics, **extra}) if extra else trial

    def finish(self, trial: Trial) -> None:
        """The trial is over."""
        self._candidates.pop(trial.number, None)
        self._pruner.finish(trial)

    def replay(self, trial: Trial) -> None:
        """Show the pruner a stored trial again."""
        self._pruner.replay(trial)
