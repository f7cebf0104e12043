"""Optuna's pruners, asked about the first objective.

The pruner works on an in-memory study of its own, so that a report costs no write, several
objectives are no obstacle (Optuna refuses to report there), and a resumed search rebuilds what the
pruner knows by showing it the old reports again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore.errors import SettingsError, nearest
from nascore.options import make
from nascore.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    import optuna

    from nascore.records import Objective, Trial


def make_pruner(settings: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """A pruner from its table.

    Args:
        settings: ``use`` is ``median``, ``percentile``, ``hyperband``, ``successivehalving``,
            ``threshold`` or ``wilcoxon``; the rest are its options, Optuna's own.

    Raises:
        SettingsError: unknown pruner or option.
    """
    import optuna

    classes = {
        name.removesuffix("Pruner").lower(): getattr(optuna.pruners, name)
        for name in optuna.pruners.__all__
        if name not in ("BasePruner", "PatientPruner")  # these two need another pruner
    }
    options = dict(settings)
    name = options.pop("use", "")
    if not isinstance(name, str) or name not in classes:
        raise SettingsError(f"There is no pruner {name!r}; {nearest(str(name), classes)}.")
    pruner: optuna.pruners.BasePruner = make(classes[name], options, "pruner")
    return pruner


class Pruning:
    """Asks a pruner whether a running trial should stop."""

    def __init__(self, pruner: optuna.pruners.BasePruner, objective: Objective) -> None:
        import optuna

        self._states = optuna.trial.TrialState
        self._objective = objective.name
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # The sampler is never asked; RandomSampler is the cheapest to make.
        self._study = optuna.create_study(
            study_name="pruning",  # Hyperband assigns brackets by the name: it must not be random
            direction=objective.direction.value,
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        optuna.logging.set_verbosity(level)
        self._running: dict[int, optuna.Trial] = {}

    def go_on(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """Take a report; False when the pruner would stop the trial."""
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

    def replay(self, trial: Trial) -> None:
        """Show the pruner a stored trial again."""
        for step, metrics in trial.reports:
            self.go_on(trial.number, step, metrics)
        self.finish(trial)
