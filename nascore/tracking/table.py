"""What a fast search gets instead of a child run a trial: the table of all, and the best few of them."""

from __future__ import annotations

import csv
import gzip
import heapq
import json
import math
import shutil
from typing import TYPE_CHECKING, Any

from nascore.tracking.outbox import outbox_path, read_events
from nascore.tracking.words import final_values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nascore.tracking.outbox import Event

CHILD_RUNS = 1_000
"""Up to this many trials get a child run each. A search of more (by then it is a fast one: a child run
costs 0.1 to 0.3 s) goes on with its parent run alone: its metrics, ``trials.csv`` and ``trials.jsonl.gz``
hold every trial."""
BEST_CHILDREN = 10
"""So many of the best trials, and the Pareto front up to ten times as many, get a child run even then."""
TABLE_SECONDS = 600.0
"""So often ``trials.csv`` is sent while such a search runs; less often where writing it takes long."""

_FIRST = ("number", "status", "origin", "reused", "seed", "started", "wall_seconds", "key")


def trials(run_folder: Path) -> Iterator[Event]:
    """The trials in the outbox, each once: a trial that was judged again counts as it was last."""
    last = {event["number"]: end for event, end in _trial_events(run_folder)}
    return (event for event, end in _trial_events(run_folder) if last[event["number"]] == end)


def _trial_events(run_folder: Path) -> Iterator[tuple[Event, int]]:
    for event, end in read_events(outbox_path(run_folder)):
        if event is not None and event["event"] == "trial":
            yield event, end


def write_csv(run_folder: Path, path: Path) -> None:
    """Write the table: a row a trial, a column a number that any trial has, and the genome as JSON.

    Raises:
        OSError: it cannot be written.
    """
    columns = dict.fromkeys(_FIRST)
    for event in trials(run_folder):
        columns |= dict.fromkeys(final_values(event))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*columns, "genome"], restval="")
        writer.writeheader()
        writer.writerows(_row(event) for event in trials(run_folder))


def _row(event: Event) -> dict[str, Any]:
    row = {key: event[key] for key in _FIRST if key in event} | {"key": event["architecture"]["key"]}
    return {**row, **final_values(event), "genome": json.dumps(event["architecture"]["genome"])}


def write_events(run_folder: Path, path: Path) -> None:
    """Write the outbox itself, compressed: learning curves included, for trials that get no child run.

    Raises:
        OSError: it cannot be written.
    """
    with outbox_path(run_folder).open("rb") as source, gzip.open(path, "wb", compresslevel=5) as target:
        shutil.copyfileobj(source, target)


def best_trials(run_folder: Path, objective: str, maximize: bool, count: int, also: set[int]) -> list[Event]:
    """The ``count`` best trials by one objective, and those with a number in ``also``, by number.

    Args:
        run_folder: of the search.
        objective: name of an objective, or of a cost.
        maximize: its direction.
        count: at most so many by value.
        also: numbers of further ones (the Pareto front).
    """

    def rank(event: Event) -> float:
        value = final_values(event).get(objective, math.nan)
        return math.inf if math.isnan(value) else -value if maximize else value

    best = heapq.nsmallest(count, (event for event in trials(run_folder) if event["eligible"]), key=rank)
    chosen = {event["number"] for event in best} | also
    return [event for event in trials(run_folder) if event["number"] in chosen]
