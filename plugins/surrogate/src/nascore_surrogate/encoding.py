"""Architectures of any decision space as numbers: which decisions were made how, and how often each option was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from nascore.decisions import Decision, DecisionSpace
    from nascore.records import Architecture, Option

    Floats = NDArray[np.float64]


class Encoding:
    """Grows with what it has seen: a decision that only some architectures make has columns of its own.

    Columns of ``choices``: one for each (decision, option) met. Columns of ``counts``: one for each
    (group of decisions, option) met, such as how many edges are ``sep_conv_3x3``.
    """

    def __init__(self, space: DecisionSpace) -> None:
        """
        Args:
            space: set up.
        """
        self._space = space
        self._choice: dict[tuple[str, Option], int] = {}
        self._count: dict[tuple[str, Option], int] = {}

    def learn(self, architectures: Iterable[Architecture]) -> list[tuple[Decision, ...]]:
        """The decisions of each; the columns that they need are there from now on."""
        found = [self._space.decisions(architecture) for architecture in architectures]
        for decisions in found:
            for decision in decisions:
                self._choice.setdefault((decision.name, decision.value), len(self._choice))
                self._count.setdefault((self._space.group(decision.name), decision.value), len(self._count))
        return found

    def encode(self, architectures: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Choices, 0 or 1, (architectures, columns), and counts as shares of all decisions, likewise.

        Columns of earlier calls stay where they were.
        """
        traces = self.learn(architectures)
        choices = np.zeros((len(traces), len(self._choice)))
        counts = np.zeros((len(traces), len(self._count)))
        for row, decisions in enumerate(traces):
            for decision in decisions:
                choices[row, self._choice[decision.name, decision.value]] = 1.0
                counts[row, self._count[self._space.group(decision.name), decision.value]] += 1.0 / len(decisions)
        return choices, counts
