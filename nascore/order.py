"""In which order trials were asked for and told, so that parallel trials can be replayed exactly.

A sampler's proposal depends on what it was told before. With one trial at a time the order is plain: trial
n is asked for after n trials were told. With several in flight each stored trial keeps how many were told
when it was asked for, and the same number of every trial that was in flight when it was told. So whatever
was stored before a kill says, without a further write, when each trial that mattered for it was asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from nascore.checkpoint import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nascore.records import Trial

FILE = "budgets.json"
"""In ``state/``: ``[[number, trials], ...]``, from which ask on which budget in trials held."""


@dataclass(frozen=True)
class Order:
    """Where one told trial stands among asks and tells.

    Attributes:
        told_at_ask: how many trials had been told when it was asked for.
        in_flight: ``(number, told_at_ask)`` of the other trials that were in flight when it was told.
    """

    told_at_ask: int
    in_flight: tuple[tuple[int, int], ...] = ()


Event = Union[int, "Trial"]
"""A number: this trial is asked for. A trial: it is told."""


def events(trials: Sequence[Trial], orders: Mapping[int, Order], told: int = 0, asked: int = 0) -> Iterator[Event]:
    """Asks and tells as they happened.

    Args:
        trials: stored, in the order of telling; those that a checkpoint holds are left out.
        orders: of those trials that were not asked for right before they were told.
        told: how many were told before the first of ``trials``.
        asked: how many were asked for before.

    Yields:
        Numbers to ask for and trials to tell. At the end come the asks of trials that never ended.
    """
    due: dict[int, int] = {}
    for trial in trials:
        order = orders.get(trial.number, Order(trial.number))
        due[trial.number] = order.told_at_ask
        due.update(order.in_flight)
    number = asked
    for count, trial in enumerate(trials, start=told):
        while number in due and due[number] <= count:
            yield number
            number += 1
        yield trial
    while number in due:
        yield number
        number += 1


class Budgets:
    """The budget in trials that a sampler saw at each ask: a replay shows it again, a new session may have another."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: ``state/`` of the run.
        """
        self._path = folder / FILE
        self._since = _read(self._path)

    def at(self, number: int, default: int | None) -> int | None:
        """The budget at this ask; ``default`` where none was kept."""
        for first, trials in reversed(self._since):
            if first <= number:
                return trials
        return default

    def change(self, number: int, trials: int | None) -> None:
        """From this ask on the budget is ``trials``; what was kept for later asks is void: they never counted.

        Raises:
            RunError: it cannot be written.
        """
        kept = [pair for pair in self._since if pair[0] < number]
        if not kept or kept[-1][1] != trials:
            kept.append((number, trials))
        if kept != self._since:
            self._since = kept
            write_atomically(self._path, json.dumps(kept).encode())


def _read(path: Path) -> list[tuple[int, int | None]]:
    """What was kept; nothing where it is missing or damaged."""
    try:
        pairs = [(first, trials) for first, trials in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
    return pairs if all(type(a) is int and (b is None or type(b) is int) for a, b in pairs) else []
