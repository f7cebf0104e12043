"""Progress of a search: the best fitness over the candidates, with the code at each improvement (fig. 6 and 25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nascore.checkpoint import write_atomically
from nascore.records import Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nascore.driver import Search
    from nascore.records import Objective, Trial

PICTURE, TEXT = "pictures/progress.svg", "pictures/progress.txt"
"""In the run folder."""


class Step(NamedTuple):
    """A trial that was better than all before.

    Attributes:
        candidates: judged until then.
        value: of the objective.
        trial: itself.
    """

    candidates: int
    value: float
    trial: Trial


def improvements(trials: Iterable[Trial], objective: Objective) -> list[Step]:
    """The trials that were better than all before, in their order.

    A trial of a round has the metric ``candidates``; any other one is one candidate.
    """
    steps: list[Step] = []
    for number, trial in enumerate(trials, 1):
        value = trial.value(objective.name)
        if trial.status is not Status.COMPLETE or value != value:  # only a NaN differs from itself
            continue
        if not steps or objective.direction.better(value, steps[-1].value):
            steps.append(Step(int(trial.metrics.get("candidates", number)), value, trial))
    return steps


def write_progress(search: Search) -> list[Path]:
    """Write :data:`PICTURE` and :data:`TEXT`; the files that were written, none before the first complete trial."""
    objective = search.objectives[0]
    steps = improvements(search.history, objective)
    if not steps:
        return []
    space: Any = search.space  # `source` is a capability, not in the contract
    count = len(search.history)
    last = max((int(trial.metrics.get("candidates", 0)) for trial in search.history), default=0) or count
    blocks = []
    for number, step in enumerate(steps, 1):
        title = f"{number}. {objective.name} {step.value:.6f} after {step.candidates:,} candidates"
        blocks.append(f"{title} (trial {step.trial.number})\n\n{space.listing(step.trial.architecture)}\n")
    picture, text = search.folder / PICTURE, search.folder / TEXT
    picture.parent.mkdir(exist_ok=True)
    write_atomically(text, "\n".join(blocks).encode())
    draw(steps, last, objective.name, space.listing(steps[-1].trial.architecture), picture)
    return [picture, text]


def draw(steps: list[Step], last: int, name: str, code: str, path: Path) -> None:
    """The curve, numbered as in the text, with the code of the last improvement beside it.

    Args:
        steps: at least one.
        last: candidates at the end.
        name: of the objective.
        code: of the last step.
        path: of the picture; its ending says the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, max(4.5, 0.17 * code.count("\n") + 1)), layout="constrained")
    curve, listing = figure.subplots(1, 2, width_ratios=(3, 2))
    x = [max(step.candidates, 1) for step in steps]
    y = [step.value for step in steps]
    curve.step([*x, max(last, x[-1])], [*y, y[-1]], where="post")
    curve.set_xscale("log")
    curve.set_xlabel("candidates")
    curve.set_ylabel(name)
    for number, step in enumerate(steps, 1):
        if len(steps) <= 30 or number % (len(steps) // 15) == 0:
            curve.annotate(str(number), (max(step.candidates, 1), step.value), fontsize=7, ha="right", va="bottom")
    listing.set_axis_off()
    listing.text(0, 1, code, family="monospace", fontsize=7, va="top", transform=listing.transAxes)
    figure.savefig(path)
