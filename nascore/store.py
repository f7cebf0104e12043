"""Trials in an Optuna study: one write a trial, in any Optuna storage.

The default storage is Optuna's journal, a single file in the run folder.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nascore.decisions import DecisionSpace
from nascore.errors import RunError
from nascore.order import Order
from nascore.quiet import quiet_optuna
from nascore.records import Architecture, Candidate, Cost, Status, Trial
from nascore.storage import is_server, open_storage, readable, where_is

if TYPE_CHECKING:
    from collections.abc import Sequence

    import optuna

    from nascore.contracts import SearchSpace
    from nascore.decisions import Decision
    from nascore.records import Constraint, Objective

log = logging.getLogger("nascore")

__all__ = ["SpaceName", "TrialStore", "open_storage"]

_RECORD = "nascore"

PATIENCE_SECONDS = 60.0
"""A database server that is restarted is waited for so long."""


class SpaceName(NamedTuple):
    """Stands for a search space where trials are only read."""

    name: str


class TrialStore:
    """The trials of one search.

    Attributes:
        orders: of the trials that were not asked for right before they were told, by number; see
            :mod:`nascore.order`. Filled by :meth:`load` and :meth:`record`.
    """

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: SearchSpace | SpaceName,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        create: bool = True,
    ) -> None:
        """
        Args:
            storage: see :func:`open_storage`.
            name: of the study; loaded if it exists.
            space: of the architectures that are stored.
            objectives: become the study's directions.
            constraints: become the trials' Optuna constraints.
            create: make the study where there is none; else nothing is written, and it has no trials.

        Raises:
            RunError: the study exists with other directions, or the storage is damaged.
        """
        import optuna
        from optuna.distributions import CategoricalDistribution

        from nascore.journal import without_trials

        self._optuna = optuna
        self._categorical = CategoricalDistribution
        self._space = space
        self._objectives = tuple(objectives)
        self._constraints = tuple(constraints)
        self.orders: dict[int, Order] = {}
        self._distributions: dict[Decision, Any] = {}
        directions: list[Any] = [objective.direction.value for objective in objectives]
        with quiet_optuna(), readable(where_is(storage)):
            # create_study(load_if_exists=True) would write a line into the journal each time.
            if name not in optuna.get_all_study_names(storage):
                storage = storage if create else optuna.storages.InMemoryStorage()
                optuna.create_study(storage=storage, study_name=name, directions=directions)
            self._storage = without_trials(storage)
            self.study = optuna.load_study(storage=self._storage, study_name=name)
            stored = [direction.name.lower() for direction in self.study.directions]
            self._opened: Any = storage
        if stored != directions:
            raise RunError(f"The study {name!r} exists with other directions: {stored}, not {directions}.")

    def load(self) -> list[Trial]:
        """All stored trials, in the order they were told.

        Raises:
            RunError: a record is damaged. That it is of this space is checked where it is used.
        """
        from nascore.journal import with_trials

        with readable(where_is(self._storage)):
            whole = self._opened or with_trials(self._storage)
            self._opened = None  # it holds Optuna's form of each trial, which nobody needs again
            frozen = self._optuna.load_study(storage=whole, study_name=self.study.study_name).get_trials(deepcopy=False)
        return [self._thaw(trial) for trial in frozen if _RECORD in trial.user_attrs]

    def close(self) -> None:
        """Force a journal onto the disk; give the connections of a database back, the next use opens new ones."""
        backend: Any = getattr(self._storage, "_backend", None)
        if hasattr(backend, "sync"):
            with contextlib.suppress(OSError):  # the search has ended, and was told if the disk is full
                backend.sync()
        engine = getattr(backend, "engine", None)
        if engine is not None:
            self._storage.remove_session()
            engine.dispose()

    def record(self, trial: Trial, order: Order | None = None) -> None:
        """Store a trial durably, in one write.

        Args:
            trial: just judged.
            order: where it stands among asks and tells; None: it was asked for right before it is told.

        Raises:
            RunError: the storage cannot be written (a full disk, a lost server, a deleted study), or the trial holds
                what Optuna does not store (an objective that is NaN, a number of numpy's).
        """
        if order == Order(trial.number):
            order = None
        try:
            self._add(self.freeze(trial, order), trial.number)
        except (OSError, ValueError, TypeError, KeyError, self._optuna.exceptions.StorageInternalError) as error:
            why = error.strerror or error if isinstance(error, OSError) else error
            why = "its study is not there any more" if isinstance(error, KeyError) else why
            raise RunError(
                f"Cannot store trial {trial.number}: {why}. All earlier trials are safe; "
                "mend that, then `nascore resume` goes on."
            ) from error
        if order is not None:
            self.orders[trial.number] = order

    def _add(self, frozen: optuna.trial.FrozenTrial, number: int) -> None:
        """Write it; to a server that is not there just now a little later, and once only."""
        deadline = time.monotonic() + (PATIENCE_SECONDS if is_server(self._storage) else 0.0)
        lost = False  # the server may have stored what it did not answer
        while True:
            try:
                if not lost or number not in {trial.number for trial in self.load()}:
                    self.study.add_trial(frozen)
                return
            except (RunError, self._optuna.exceptions.StorageInternalError):  # noqa: PERF203 - it is a retry
                if time.monotonic() >= deadline:
                    raise
                if not lost:
                    log.warning("The storage does not answer; it is tried again for %g s.", PATIENCE_SECONDS)
                lost = True
                time.sleep(0.5)

    # --------------------------------------------------------------- Optuna's form and ours

    def freeze(self, trial: Trial, order: Order | None = None) -> optuna.trial.FrozenTrial:
        """The trial in Optuna's form: decisions as parameters, the rest as one user attribute."""
        states = self._optuna.trial.TrialState
        complete = trial.status is Status.COMPLETE
        state = states.COMPLETE if complete else states.FAIL if trial.status is Status.FAIL else states.PRUNED
        params, distributions, exact = self._params(trial.architecture)
        first = self._objectives[0].name
        return self._optuna.trial.FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=[trial.value(objective.name) for objective in self._objectives] if complete else None,
            datetime_start=datetime.datetime.fromtimestamp(trial.started),
            datetime_complete=datetime.datetime.fromtimestamp(trial.started + trial.wall_seconds),
            params=params,
            distributions=distributions,
            user_attrs={_RECORD: self._to_record(trial, with_genome=not exact) | _order_to_record(order)},
            system_attrs={"constraints": list(trial.violations.values())} if trial.violations else {},
            intermediate_values={step: metrics[first] for step, metrics in trial.reports if first in metrics},
        )

    def _params(self, architecture: Architecture) -> tuple[dict[str, Any], dict[str, Any], bool]:
        """Optuna's parameters, their distributions, and whether the genome can be read back from them."""
        if not isinstance(self._space, DecisionSpace):
            return {}, {}, False
        params: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        exact = True
        for decision in self._space.decisions(architecture):
            distribution = self._distributions.get(decision)
            if distribution is None:
                distribution = self._distributions[decision] = self._categorical(decision.options)
            params[decision.name] = decision.value
            distributions[decision.name] = distribution
            # Optuna stores the position of the first equal option, and 1, 1.0 and True are equal in Python.
            exact = exact and len(set(decision.options)) == len(decision.options)
        return params, distributions, exact

    @staticmethod
    def _to_record(trial: Trial, with_genome: bool) -> dict[str, Any]:
        candidate = trial.candidate
        record: dict[str, Any] = {
            "number": trial.number,
            "status": trial.status.value,
            "key": candidate.architecture.key,
            "seed": trial.seed,
            "started": trial.started,
            "wall_seconds": trial.wall_seconds,
        }
        if with_genome:
            record["genome"] = candidate.architecture.genome
        optional: dict[str, Any] = {
            "fidelity": dict(candidate.fidelity),
            "parent": candidate.parent,
            "origin": candidate.origin,
            "objectives": dict(trial.objectives),
            "costs": {name: cost.to_json() for name, cost in trial.costs.items()},
            "metrics": dict(trial.metrics),
            "artifacts": dict(trial.artifacts),
            "reports": [[step, dict(metrics)] for step, metrics in trial.reports],
            "violations": dict(trial.violations),
            "reason": trial.reason,
            "reused": trial.reused,
        }
        return record | {name: value for name, value in optional.items() if value not in (None, "", {}, [])}

    def _thaw(self, frozen: optuna.trial.FrozenTrial) -> Trial:
        record = frozen.user_attrs[_RECORD]
        try:
            _check_record(record)
            genome = record.get("genome", dict(frozen.params))
            architecture = Architecture(self._space.name, genome, record["key"])
            if "told_at_ask" in record:
                self.orders[record["number"]] = _order_from_record(record)
            return Trial(
                number=record["number"],
                candidate=Candidate(
                    architecture, record.get("fidelity", {}), record.get("parent"), record.get("origin", "")
                ),
                status=Status(record["status"]),
                objectives=record.get("objectives", {}),
                costs={name: Cost.from_json(cost) for name, cost in record.get("costs", {}).items()},
                metrics=record.get("metrics", {}),
                artifacts=record.get("artifacts", {}),
                reports=tuple((int(step), _numbers(metrics)) for step, metrics in record.get("reports", ())),
                violations=record.get("violations", {}),
                reason=record.get("reason", ""),
                seed=record["seed"],
                reused=record.get("reused"),
                started=record["started"],
                wall_seconds=record["wall_seconds"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(f"The record of trial {frozen.number} in the storage is damaged: {error!r}.") from error


def _order_to_record(order: Order | None) -> dict[str, Any]:
    if order is None:
        return {}
    return {"told_at_ask": order.told_at_ask, "in_flight": [list(pair) for pair in order.in_flight]}


def _order_from_record(record: dict[str, Any]) -> Order:
    in_flight = tuple((number, told) for number, told in record.get("in_flight", ()))
    for value in (record["told_at_ask"], *(value for pair in in_flight for value in pair)):
        if type(value) is not int or value < 0:
            raise TypeError(f"told_at_ask and in_flight should hold counts, not {value!r}")
    return Order(record["told_at_ask"], in_flight)


_NUMBER = (int, float)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "number": int, "seed": int, "parent": int, "reused": int, "started": _NUMBER, "wall_seconds": _NUMBER,
    "status": str, "key": str, "origin": str, "reason": str, "artifacts": dict, "costs": dict, "reports": list,
    "told_at_ask": int, "in_flight": list,
}  # fmt: skip


def _check_record(record: dict[str, Any]) -> None:
    for name, value in record.items():
        if name in _FIELDS and (not isinstance(value, _FIELDS[name]) or isinstance(value, bool)):
            raise TypeError(f"{name} = {value!r}")
    for name in ("fidelity", "objectives", "metrics", "violations"):
        _numbers(record.get(name, {}))
    for cost in record.get("costs", {}).values():
        _numbers({name: value for name, value in cost.items() if name != "unit"})


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    if not all(isinstance(value, _NUMBER) for value in values.values()):
        raise TypeError(f"{values!r} should hold numbers")
    return values
