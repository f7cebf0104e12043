"""What a search gives: the best trial, the Pareto front, the trained network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nascore.errors import NascoreError, RunError
from nascore.pareto import hypervolume, worst
from nascore.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from nascore.driver import Search
    from nascore.history import TrialHistory
    from nascore.records import Trial


class SearchResult:
    """The result of a search, finished or not.

    Attributes:
        search: settings, parts, run folder.
        reason: why the search ended.
        state: ``running``, ``finished``, ``interrupted`` or ``failed``.
        wall_seconds: of the whole search, earlier sessions included.
    """

    def __init__(self, search: Search, status: Mapping[str, Any]) -> None:
        """
        Args:
            search: with its history.
            status: of the run folder, see :meth:`nascore.run.RunFolder.status`.
        """
        self.search = search
        self.state: str = status["state"]
        self.reason: str = status["reason"]
        if self.state == "interrupted":  # made here, since a run folder can be moved
            self.reason = f"interrupted; `nascore resume {self.folder}` goes on"
        self.wall_seconds: float = status["wall_seconds"]
        self._answer: int | None = status["best"]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.search.run.path

    @property
    def history(self) -> TrialHistory:
        """All trials, in the order they were told."""
        return self.search.history

    @property
    def best(self) -> Trial | None:
        """The trial that the sampler recommends: by default the best recorded one."""
        if self._answer is not None and self._answer in self.history:
            return self.history[self._answer]
        return self.history.best

    @property
    def pareto_front(self) -> tuple[Trial, ...]:
        """The trials that no other one dominates."""
        return self.history.pareto_front

    @property
    def reference_point(self) -> dict[str, float]:
        """What :attr:`hypervolume` is counted from: of each objective the worst value seen; empty with one objective.

        It moves while a search goes on, and differs from search to search; to compare searches, count them all
        from one point with :func:`nascore.pareto.hypervolume`.
        """
        objectives = self.history.objectives
        if len(objectives) == 1:
            return {}
        seen = [self.history.values(trial) for trial in self.history if trial.status is Status.COMPLETE]
        values = worst(seen, [objective.direction for objective in objectives])
        return {o.name: value for o, value in zip(objectives, values, strict=True) if not math.isnan(value)}

    @property
    def hypervolume(self) -> float | None:
        """Of the Pareto front, over :attr:`reference_point`; None with one objective, or without complete trials."""
        objectives, reference = self.history.objectives, self.reference_point
        if len(reference) < max(2, len(objectives)):
            return None
        front = [self.history.values(trial) for trial in self.pareto_front]
        return hypervolume(front, list(reference.values()), [objective.direction for objective in objectives])

    @property
    def counts(self) -> dict[str, int]:
        """How many trials ended complete, pruned, infeasible, fail."""
        return self.history.counts()

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial: number, status, objectives, costs, metrics, decisions, seconds."""
        import pandas as pd

        rows = []
        for trial in self.history:
            genome = trial.architecture.genome
            rows.append(
                {
                    "trial": trial.number,
                    "status": trial.status.value,
                    **trial.objectives,
                    **{name: cost.value for name, cost in trial.costs.items()},
                    **{f"metric.{name}": value for name, value in trial.metrics.items()},
                    "wall_seconds": trial.wall_seconds,
                    "origin": trial.candidate.origin,
                    "key": trial.architecture.key,
                    **({f"genome.{name}": v for name, v in genome.items()} if isinstance(genome, dict) else {}),
                }
            )
        return pd.DataFrame(rows)

    def trial(self, number: int | None = None) -> Trial:
        """The trial with this number; None: the best one.

        Raises:
            RunError: there is none.
        """
        if number is None:
            if self.best is None:
                raise RunError(f"{self.folder} has no complete trial yet.")
            return self.best
        if number not in self.history:
            raise RunError(f"{self.folder} has no trial {number}; it has {len(self.history)}, numbered from 0.")
        return self.history[number]

    def model(self, number: int | None = None) -> Any:
        """The network of a trial, with the weights that the evaluator kept, in eval mode.

        Args:
            number: of the trial; None: the best one.

        Raises:
            RunError: no such trial, or its weights were not kept or are damaged.
        """
        trial = self.trial(number)
        network = self.search.build(trial)
        path = self.search.run.artifact(trial.number, trial.artifacts.get("weights", "weights"))
        if not path.is_file():
            raise RunError(self._no_weights(trial.number))
        return load_weights(network, path)

    def examples(self, count: int = 8) -> Any:
        """Real inputs of the validation split, (count, *shape of one input); None where the data cannot give them.

        Args:
            count: how many at most.
        """
        try:
            valid = self.search.data.valid
        except NascoreError:  # the data stayed on another machine, say
            return None
        batch = getattr(valid, "batch", None)  # splits of images and of text have it
        if batch is None or not len(valid):
            return None
        import torch

        return batch(torch.arange(min(count, len(valid))))[0]

    def _no_weights(self, number: int) -> str:
        with_weights = [n for n in sorted(self.search.front_numbers()) if self.search.run.artifacts(n).is_dir()]
        if with_weights and number not in with_weights:
            return (
                f"The weights of trial {number} were not kept; the best ones are: {with_weights}. "
                "Search with --set keep=all to keep every one."
            )
        return (
            f"There are no weights of trial {number} in {self.folder}: the evaluator kept none, or they were deleted. "
            f"`nascore retrain {self.folder} --trial {number}` trains the network anew, where the evaluator can."
        )

    def summary(self, history: bool = False) -> dict[str, Any]:
        """What ``--json`` prints."""
        best = self.best
        out: dict[str, Any] = {
            "run": str(self.folder),
            "plugin": self.search.settings.plugin,
            "seed": self.search.settings.seed,
            "state": self.state,
            "reason": self.reason,
            "wall_seconds": round(self.wall_seconds, 3),
            "objectives": {o.name: o.direction.value for o in self.history.objectives},
            "counts": self.counts,
            "best": best.summary() if best else None,
            "pareto_front": [trial.summary() for trial in self.pareto_front],
        }
        if len(self.history.objectives) > 1:
            out["hypervolume"] = {"value": self.hypervolume, "reference_point": self.reference_point}
        if history:
            out["trials"] = [_row(trial) for trial in self.history]
        return out

    def _repr_html_(self) -> str:
        """A notebook shows the best network and the table of trials."""
        from nascore.report import page

        return page.for_notebook(self)

    def __repr__(self) -> str:
        best = self.best
        value = f"best trial {best.number}: {dict(best.objectives)}" if best else "no complete trial"
        return f"<SearchResult {self.folder}: {len(self.history)} trials, {value}>"


def load_weights(network: Any, path: Path) -> Any:
    """Load weights from a safetensors file into a network; returns it in eval mode.

    Raises:
        RunError: the file is damaged, or holds the weights of another network.
    """
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except Exception as error:
        why = str(error).strip().partition("\n")[0]
        raise RunError(f"{path} is damaged, or holds the weights of another network: {why}") from error
    return network.eval()


def _row(trial: Trial) -> dict[str, Any]:
    row = trial.summary()
    architecture = row.pop("architecture")
    return {"number": row.pop("trial"), **row, "key": architecture["key"], "genome": architecture["genome"]}
