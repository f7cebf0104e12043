"""What early stopping would have saved: a pruner on curves that are known to their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nascore.pruning import Pruning
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore_curves.features import as_curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from nascore.contracts import Pruner, SearchSpace


@dataclass(frozen=True)
class Replayed:
    """What a pruner did with the curves.

    Attributes:
        lengths: epochs of each curve that were trained, in their order.
        epochs: their sum.
        best: the best end among those that ran to theirs.
    """

    lengths: tuple[int, ...]
    epochs: int
    best: float


def replay(
    pruner: Pruner,
    curves: ArrayLike | Sequence[ArrayLike],
    *,
    direction: Direction = Direction.MAXIMIZE,
    candidates: Sequence[Candidate] | None = None,
    space: SearchSpace | None = None,
    seed: int = 0,
) -> Replayed:
    """Show a pruner one curve after the other, as a search does, one trial at a time.

    Args:
        pruner: not set up yet.
        curves: (trials, epochs), in the order of the trials.
        direction: in which a value gets better.
        candidates: what each curve is of; None: nothing is known of them.
        space: of the candidates, set up.
        seed: of the pruner.

    Raises:
        DataError: curves that cannot be used.
    """
    objective = Objective("value", direction)
    pruning = Pruning(pruner, objective, space=space, seed=seed)
    nothing = Candidate(Architecture("", None, ""))
    lengths: list[int] = []
    ends: list[float] = []
    for number, row in enumerate(as_curves(curves)):
        candidate = candidates[number] if candidates is not None else nothing
        curve = row[np.isfinite(row)]
        pruning.begin(number, candidate)
        reports = []
        stopped = False
        for step, value in enumerate(curve, 1):
            reports.append((step, {objective.name: float(value)}))
            # A stop at the last epoch saves nothing, and a training loop has its end by then.
            stopped = not pruning.go_on(number, *reports[-1]) and step < len(curve)
            if stopped:
                break
        lengths.append(len(reports))
        end = {} if stopped else {objective.name: float(curve[-1])}
        ends += end.values()
        status = Status.PRUNED if stopped else Status.COMPLETE
        pruning.finish(Trial(number, candidate, status, end, reports=tuple(reports)))
    best = max(ends, default=np.nan) if direction is Direction.MAXIMIZE else min(ends, default=np.nan)
    return Replayed(tuple(lengths), sum(lengths), best)
