"""From a program to numbers that the interpreter runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore_automlzero.ops import OPS, SET
from nascore_automlzero.program import PARTS, check_program, live

if TYPE_CHECKING:
    import numpy.typing as npt

    from nascore_automlzero.program import Genome, Instruction, Limits

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

PREDICTION = 1
"""Where s1 is in memory; s0 is at 0."""


class Code(NamedTuple):
    """A program in numbers. Memory is one row: the scalars, the vectors, the matrices, a matrix of scratch.

    Attributes:
        table: (instructions, 5) int64: kernel, first element of the output and of both inputs (-1: none), and
            how many numbers it works on.
        constants: (instructions, 2) float64.
        ends: (2,) int64: where Setup and Predict end in the table; Learn is the rest.
        memory: numbers in memory.
        start: where v0 is in memory.
    """

    table: Ints
    constants: Floats
    ends: Ints
    memory: int
    start: int


def lower(genome: Genome, limits: Limits, features: int, prune: bool = True) -> Code:
    """Translate a program.

    Args:
        genome: checked here once more, because the interpreter writes where it is told to.
        limits: of the space.
        features: F.
        prune: leave out what no prediction depends on.

    Raises:
        SpaceError: it is no program within the limits.
    """
    check_program(genome, limits)
    sizes = {"s": 1, "v": features, "m": features * features}
    starts = {"s": 0, "v": limits.s, "m": limits.s + limits.v * features}
    scratch = starts["m"] + limits.m * sizes["m"]
    bodies = live(genome) if prune else genome
    table: list[tuple[int, ...]] = []
    constants: list[tuple[float, float]] = []
    ends = []
    for part in PARTS:
        for one in bodies[part]:
            row, numbers = _lower(one, sizes, starts, features)
            table.append(row)
            constants.append(numbers)
        ends.append(len(table))
    return Code(
        np.array(table, np.int64).reshape(-1, 5),
        np.array(constants, np.float64).reshape(-1, 2),
        np.array(ends[:2], np.int64),
        scratch + sizes["m"],
        limits.s,
    )


def _lower(
    one: Instruction, sizes: dict[str, int], starts: dict[str, int], features: int
) -> tuple[tuple[int, ...], tuple[float, float]]:
    op = OPS[one[0]]
    kinds = op.output + op.inputs
    if not kinds:
        return (op.kernel, -1, -1, -1, 0), (0.0, 0.0)
    places = [starts[kind] + address * sizes[kind] for kind, address in zip(kinds, one[1:], strict=False)]
    numbers = one[1 + len(kinds) :]
    if op.kernel == SET:
        index = 0
        for value in numbers[:-1]:  # of a matrix: row, then column
            index = index * features + int(value * features)
        places[0] += index
        numbers = numbers[-1:]
    padded = [*places, -1, -1][:3]
    first, second = [*map(float, numbers), 0.0, 0.0][:2]
    return (op.kernel, *padded, max(sizes[kind] for kind in kinds)), (first, second)
