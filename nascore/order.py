"""In which order trials were asked for and told, so that parallel trials can be replayed exactly.

A sampler's proposal depends on what it was told before. With one trial at a time the order is plain: trial
n is asked for after n trials were told. With several in flight each stored trial keeps how many were told
when it was asked for, and the same number of every other trial that was asked for since the last one was
stored and is in flight. So whatever was stored before a kill says, without a further write, when each trial
that mattered for it was asked for, and each is named at most twice, however many are in flight.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from nascore.checkpoint import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from nascore.records import Candidate, Trial

FILE = "budgets.json"
"""In ``state/``: ``[[number, trials], ...]``, from which ask on which budget in trials held."""


@dataclass(frozen=True)
class Order:
    """Where one told trial stands among asks and tells.

    Attributes:
        told_at_ask: how many trials had been told when it was asked for.
        in_flight: ``(number, told_at_ask)`` of the other trials that were in flight when it was told, and that
            no trial told before it names.
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


@dataclass(frozen=True)
class Asked:
    """A trial that was asked for: what was proposed, and how many had been told then."""

    candidate: Candidate
    told_at_ask: int


class InFlight:
    """The trials that were asked for and are not told. No step costs more when there are many."""

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}
        self._unnamed: dict[int, int] = {}  # number -> told_at_ask of those that no stored trial names
        self._children: Counter[int] = Counter()

    def add(self, number: int, candidate: Candidate, told: int) -> None:
        """Take a trial that was just asked for, after ``told`` were told."""
        self._asked[number] = Asked(candidate, told)
        self._unnamed[number] = told
        if candidate.parent is not None:
            self._children[candidate.parent] += 1

    def end(self, number: int) -> Asked | None:
        """Let a trial go that is over; None where it was not asked for."""
        asked = self._asked.pop(number, None)
        self._unnamed.pop(number, None)
        if asked is not None and asked.candidate.parent is not None:
            self._children[asked.candidate.parent] -= 1
        return asked

    def order_of(self, asked: Asked) -> Order:
        """The order to store with a trial that was let go; all that are in flight are named from here on."""
        order = Order(asked.told_at_ask, tuple(self._unnamed.items()))
        self.all_named()
        return order

    def all_named(self) -> None:
        """The stored trials name all that are in flight."""
        self._unnamed.clear()

    def inherits(self, number: int) -> bool:
        """Does a trial in flight inherit from this one?"""
        return self._children[number] > 0

    def __getitem__(self, number: int) -> Candidate:
        return self._asked[number].candidate

    def __iter__(self) -> Iterator[int]:
        """Numbers, in the order of asking."""
        return iter(self._asked)

    def __len__(self) -> int:
        return len(self._asked)


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
