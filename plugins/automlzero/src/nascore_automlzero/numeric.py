"""Programs as rows of numbers, for compiled evolution; and the tables that its kernels read.

A program has a row for each instruction that it may have: first those of Setup, then of Predict, then of Learn.
``sizes`` says how many of each part's rows are in use, from the part's first row on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore.errors import SettingsError
from nascore_automlzero.ops import OPS
from nascore_automlzero.program import FIRST_WRITABLE, PARTS

if TYPE_CHECKING:
    import numpy.typing as npt

    from nascore_automlzero.bytecode import Floats, Ints
    from nascore_automlzero.program import Genome, Instruction, Limits

    Small = npt.NDArray[np.int32]
    Flags = npt.NDArray[np.bool_]

_NAMES = tuple(OPS)
_NUMBERS = {name: number for number, name in enumerate(_NAMES)}
_MOST_PLACES = 62
"""Sets of addresses are the bits of one integer."""


class Grammar(NamedTuple):
    """What a program may consist of, as arrays. An op is its number in :data:`nascore_automlzero.ops.OPS`.

    Types are 0 (scalar), 1 (vector), 2 (matrix), and -1 where there is none.

    Attributes:
        kinds: (65, 3): types of what an op writes and of its two inputs.
        constants: (65, 3): 0 for none, 1 for any number, 2 for a number in [0, 1).
        kernels: (65,): what the interpreter does.
        keeps: (65,): does a part of the old output stay?
        ops: (ops,): those that may be used.
        parts: (4,): first row of each part, and the end of the last.
        addresses: (3,): how many each type has.
        firsts: (3,): the first that may be written.
        starts: (3,): where each type starts in the interpreter's memory.
        widths: (3,): numbers in one value of each type.
        bits: (3,): bit of each type's address 0 in a set of addresses.
        features: F.
        memory: numbers in the interpreter's memory.
    """

    kinds: Ints
    constants: Ints
    kernels: Ints
    keeps: Flags
    ops: Ints
    parts: Ints
    addresses: Ints
    firsts: Ints
    starts: Ints
    widths: Ints
    bits: Ints
    features: int
    memory: int


class Programs(NamedTuple):
    """Several programs, changed in place.

    Attributes:
        codes: (programs, rows, 4): op, address that is written, addresses that are read; 0 where there is none.
        numbers: (programs, rows, 3): constants.
        sizes: (programs, 3): instructions of each part.
        fitness: (programs,).
    """

    codes: Small
    numbers: Floats
    sizes: Small
    fitness: Floats


def grammar(limits: Limits, features: int) -> Grammar:
    """The tables of a space.

    Raises:
        SettingsError: it has too many addresses for compiled evolution.
    """
    addresses = [limits.s, limits.v, limits.m]
    if sum(addresses) > _MOST_PLACES:
        raise SettingsError(
            f"The space has {sum(addresses)} addresses; compiled evolution takes {_MOST_PLACES}. Lower space.scalars, "
            "space.vectors or space.matrices, or search with sampler=automlzero:evolution, evaluator=automlzero:tasks."
        )
    widths = [1, features, features * features]
    ends = np.cumsum([count * width for count, width in zip(addresses, widths, strict=True)])

    def padded(text: str) -> list[int]:
        return [*("svm".index(kind) for kind in text), -1, -1, -1][:3]

    def numbered(text: str) -> list[int]:
        return [*(" cu".index(kind) for kind in text), 0, 0, 0][:3]

    def ints(values: object) -> Ints:
        return np.array(values, np.int64)

    return Grammar(
        kinds=ints([padded(op.output + op.inputs) for op in OPS.values()]),
        constants=ints([numbered(op.constants) for op in OPS.values()]),
        kernels=ints([op.kernel for op in OPS.values()]),
        keeps=np.array([op.keeps for op in OPS.values()]),
        ops=ints([_NUMBERS[name] for name in limits.ops]),
        parts=ints(np.cumsum([0, limits.setup, limits.predict, limits.learn])),
        addresses=ints(addresses),
        firsts=ints([FIRST_WRITABLE[kind] for kind in "svm"]),
        starts=ints([0, *ends[:2]]),
        widths=ints(widths),
        bits=ints(np.cumsum([0, *addresses[:2]])),
        features=features,
        memory=int(ends[2]) + features * features,
    )


def empty(count: int, limits: Limits) -> Programs:
    """Programs that do nothing, of fitness 0."""
    rows = limits.setup + limits.predict + limits.learn
    return Programs(
        np.zeros((count, rows, 4), np.int32), np.zeros((count, rows, 3)), np.zeros((count, 3), np.int32),
        np.zeros(count),
    )  # fmt: skip


def write(genome: Genome, programs: Programs, place: int, limits: Limits) -> None:
    """Put a checked program where ``place`` is."""
    row = 0
    for index, part in enumerate(PARTS):
        programs.sizes[place, index] = len(genome[part])
        for offset, one in enumerate(genome[part]):
            op = OPS[one[0]]
            addresses, numbers = one[1 : len(one) - len(op.constants)], one[len(one) - len(op.constants) :]
            programs.codes[place, row + offset] = [_NUMBERS[op.name], *addresses, 0, 0, 0][:4]
            programs.numbers[place, row + offset] = [*numbers, 0.0, 0.0, 0.0][:3]
        row += limits.of(part)


def genome(programs: Programs, place: int, limits: Limits) -> Genome:
    """The program there; the inverse of :func:`write`."""
    out: Genome = {}
    row = 0
    for index, part in enumerate(PARTS):
        rows = range(row, row + int(programs.sizes[place, index]))
        out[part] = [_instruction(programs.codes[place, at], programs.numbers[place, at]) for at in rows]
        row += limits.of(part)
    return out


def _instruction(code: Small, numbers: Floats) -> Instruction:
    op = OPS[_NAMES[code[0]]]
    count = len(op.output) + len(op.inputs)
    return [op.name, *map(int, code[1 : 1 + count]), *map(float, numbers[: len(op.constants)])]
