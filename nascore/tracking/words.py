"""Our events in MLflow's words: names, parameters, metrics and tags within its limits. No MLflow needed."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nascore.tracking.outbox import Event

NAME_LENGTH = 250
PARAM_LENGTH = 2_000
TAG_LENGTH = 5_000
"""Longest name, parameter and tag, in characters. MLflow allows 250, 6,000 and 8,000, but a request of 100
parameters and 100 tags must stay below 1,000,000 bytes."""
MAX_DECISIONS = 500
"""A genome of more decisions is stored as the artifact ``architecture.json`` alone."""

TRIAL_STATUS = {"complete": "FINISHED", "fail": "FAILED", "pruned": "KILLED", "infeasible": "KILLED"}
SEARCH_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}

_FORBIDDEN = re.compile(r"[^\w.\- ]")


class Point(NamedTuple):
    """One value of a metric; ``timestamp`` in Unix milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int


def name(text: str) -> str:
    """A name that MLflow takes on every system: letters, digits, ``_ - .`` and blanks, not too long."""
    return _FORBIDDEN.sub("_", text).strip(" .")[:NAME_LENGTH] or "_"


def names(texts: Iterable[str]) -> dict[str, str]:
    """Names for all of ``texts``; where two would become one, a digest tells them apart."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        new = name(text)
        if new in taken:
            new = f"{new[: NAME_LENGTH - 9]}_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
        taken.add(new)
        out[text] = new
    return out


def cut(text: str, length: int) -> str:
    """The text, or as much of it as fits."""
    return text if len(text) <= length else text[: length - 2] + " …"


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of these values."""
    new = names(values)
    return {
        new[key]: cut(value if isinstance(value, str) else json.dumps(value), PARAM_LENGTH)
        for key, value in values.items()
    }


def decisions(event: Event) -> dict[str, str]:
    """The decisions of a trial as parameters; none where the genome is no flat table of them."""
    genome = event["architecture"]["genome"]
    if not isinstance(genome, dict) or len(genome) > MAX_DECISIONS:
        return {}
    if any(isinstance(value, (dict, list)) for value in genome.values()):
        return {}
    return params(genome)


def milliseconds(event: Event) -> tuple[int, int]:
    """Start and end of a trial, in Unix milliseconds; the end is the later one, even of no duration."""
    start = int(event["started"] * 1000)
    return start, start + max(1, int(event["wall_seconds"] * 1000))


def final_values(event: Event) -> dict[str, float]:
    """What a trial came to: costs (with their spread), further metrics, objectives, seconds."""
    out: dict[str, float] = {}
    for key, cost in event["costs"].items():
        out[key] = cost["value"]
        if cost.get("repeats", 1) != 1:
            out[f"{key}_std"] = cost["std"]
    return {**out, **event["metrics"], **event["objectives"], "wall_seconds": event["wall_seconds"]}


def trial_points(event: Event) -> Iterator[Point]:
    """The metrics of a child run: the learning curve by step, then the final values at its last step.

    When a point was reported is not known, so the curve bears the time of the start; the final value
    bears that of the end, and so is the one that MLflow shows.
    """
    start, end = milliseconds(event)
    last = 0
    reported: dict[tuple[str, int], float] = {}
    for step, values in event["reports"]:
        new = names(values)
        last = max(last, step)
        for key, value in values.items():
            reported[new[key], step] = value
            yield Point(new[key], value, start, step)
    values = final_values(event)
    new = names(values)
    for key, value in values.items():
        if reported.get((new[key], last)) != value:
            yield Point(new[key], value, end, last)


def search_points(event: Event) -> Iterator[Point]:
    """The metrics that a trial adds to the parent run: its final values, with step = trial number."""
    _, end = milliseconds(event)
    values = final_values(event)
    new = names(values)
    for key, value in values.items():
        yield Point(new[key], value, end, event["number"])


def trial_tags(event: Event) -> dict[str, str]:
    """The tags of a child run; ``nascore.trial`` and ``nascore.started`` tell which evaluation it is."""
    tags = {
        "nascore.trial": str(event["number"]),
        "nascore.started": repr(event["started"]),
        "nascore.status": event["status"],
        "nascore.space": event["architecture"]["space"],
        "nascore.key": event["architecture"]["key"],
        "nascore.seed": str(event["seed"]),
    }
    optional = {key: event[key] for key in ("origin", "reason", "fidelity", "violations", "costs", "parent", "reused")}
    for key, value in optional.items():
        if value not in ("", None, {}):
            tags[f"nascore.{key}"] = value if isinstance(value, str) else json.dumps(value)
    return {key: cut(value, TAG_LENGTH) for key, value in tags.items()}


def later_points(event: Event) -> list[Point]:
    """The metrics of the parent run that came after the search, such as a test accuracy."""
    when, step = int(event["time"] * 1000), event.get("step", 0)
    return [Point(name(key), value, when, step) for key, value in event.get("metrics", {}).items()]
