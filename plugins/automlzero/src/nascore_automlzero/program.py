"""Programs: what a genome looks like, whether it is one, and what of it computes.

A genome is ``{"setup": [...], "predict": [...], "learn": [...]}``. An instruction is a list: the op, the
address that is written, the addresses that are read, the constants. ``["s_dot", 1, 0, 2]`` is
s1 = dot(v0, v2), ``["s_constant", 2, 0.1]`` is s2 = 0.1, and ``["no_op"]`` is nothing.

s0 is the label (0 while predicting), s1 the prediction, v0 the features; s0 and v0 are never written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nascore.errors import SpaceError, nearest
from nascore_automlzero.ops import OPS, Op

if TYPE_CHECKING:
    from collections.abc import Iterator

    Instruction = list[Any]
    Genome = dict[str, list[Instruction]]
    Place = tuple[str, int]
    """An address: type and number."""

PARTS = ("setup", "predict", "learn")
FIRST_WRITABLE = {"s": 1, "v": 1, "m": 0}
LARGEST = 1e6
"""Constants lie in [-LARGEST, LARGEST]."""


class Limits(NamedTuple):
    """How large a program may be.

    Attributes:
        setup, predict, learn: instructions at most.
        s, v, m: addresses of each type; s0, s1 and v0 count.
        ops: names of the instructions that may be used.
    """

    setup: int
    predict: int
    learn: int
    s: int
    v: int
    m: int
    ops: tuple[str, ...]

    def of(self, name: str) -> int:
        """The limit of a part or a type, by its name."""
        value: int = getattr(self, name)
        return value


def written(instruction: Instruction) -> Place:
    """The address that an instruction writes; not for ``no_op``."""
    return OPS[instruction[0]].output, instruction[1]


def read(instruction: Instruction) -> list[Place]:
    """The addresses that an instruction reads."""
    op = OPS[instruction[0]]
    return list(zip(op.inputs, instruction[2 : 2 + len(op.inputs)], strict=True))


def length(op: Op) -> int:
    """How many entries an instruction has."""
    return 1 + len(op.output) + len(op.inputs) + len(op.constants)


# ---------------------------------------------------------------------------------- is it a program?


def check_program(genome: Any, limits: Limits) -> None:
    """Accept a program that may come from anywhere.

    Raises:
        SpaceError: says which instruction is wrong, and what is allowed.
    """
    if not isinstance(genome, dict) or set(genome) != set(PARTS):
        raise SpaceError("A program is a JSON object with just the keys 'setup', 'predict' and 'learn'.")
    for part in PARTS:
        if not isinstance(genome[part], list):
            raise SpaceError(f"{part!r} is no list of instructions.")
        if len(genome[part]) > limits.of(part):
            raise SpaceError(f"{part!r} has {len(genome[part])} instructions; at most {limits.of(part)} are allowed.")
        for index, instruction in enumerate(genome[part]):
            trouble = _trouble(instruction, limits)
            if trouble:
                raise SpaceError(f"Instruction {index} of {part!r}: {trouble}")


def _trouble(instruction: Any, limits: Limits) -> str:
    """What is wrong with an instruction, or nothing."""
    if not isinstance(instruction, list) or not instruction or not isinstance(instruction[0], str):
        return "an instruction is a list that starts with the name of an op."
    if instruction[0] not in limits.ops:
        return f"there is no op {instruction[0]!r}; {nearest(instruction[0], limits.ops)}."
    op = OPS[instruction[0]]
    if len(instruction) != length(op):
        return f"{op.name} has {len(instruction)} entries; {length(op)} are needed."
    for slot, kind in enumerate(op.output + op.inputs):
        low = FIRST_WRITABLE[kind] if slot == 0 and op.output else 0
        address = instruction[1 + slot]
        if type(address) is not int or not low <= address < limits.of(kind):
            what = "write to" if slot == 0 else "read"
            return f"{op.name} cannot {what} {kind}{address!r}; allowed: {kind}{low} to {kind}{limits.of(kind) - 1}."
    for kind, value in zip(op.constants, instruction[length(op) - len(op.constants) :], strict=True):
        if type(value) not in (int, float) or not abs(value) <= LARGEST:  # NaN too
            return f"{op.name} has the constant {value!r}; a finite number of size {LARGEST:g} at most is needed."
        if kind == "u" and not 0 <= value < 1:
            return f"{op.name} has the index {value!r}; it must be in [0, 1)."
    return ""


# --------------------------------------------------------------------------------- what computes


def live(genome: Genome) -> Genome:
    """The program without the instructions that no prediction depends on.

    Memory goes from Setup to Predict, from Predict to Learn, from Learn back to Predict, and from Predict to
    Predict when the program is tested. What is needed at those places grows until it is stable.
    """
    after_learn: set[Place] = set()
    while True:
        before_learn, _ = _backward(genome["learn"], after_learn)
        after_predict = before_learn | after_learn | {("s", 1)}
        before_predict, predict = _backward(genome["predict"], after_predict)
        if before_predict <= after_learn:
            break
        after_learn = after_learn | before_predict
    _, learn = _backward(genome["learn"], after_learn)
    _, setup = _backward(genome["setup"], before_predict)
    return {"setup": setup, "predict": predict, "learn": learn}


def _backward(instructions: list[Instruction], after: set[Place]) -> tuple[set[Place], list[Instruction]]:
    """What must be in memory before, given what is needed after; and the instructions that matter."""
    needed, kept = set(after), []
    for instruction in reversed(instructions):
        if instruction[0] == "no_op" or written(instruction) not in needed:
            continue
        if not OPS[instruction[0]].keeps:
            needed.discard(written(instruction))
        needed.update(read(instruction))
        kept.append(instruction)
    return needed, kept[::-1]


def instructions(genome: Genome) -> Iterator[Instruction]:
    """All instructions, Setup first."""
    for part in PARTS:
        yield from genome[part]


def canonical_program(genome: Genome) -> Genome:
    """What computes, with the addresses renamed by first use.

    An address that nothing writes is zero, so all of its type are one: number -1.
    """
    alive = live(genome)
    names: dict[Place, int] = {("s", 0): 0, ("v", 0): 0, ("s", 1): 1}
    counts = {"s": 2, "v": 1, "m": 0}
    stays = {written(instruction) for instruction in instructions(alive)} | {("s", 0), ("v", 0), ("s", 1)}

    def rename(place: Place) -> int:
        if place not in stays:
            return -1
        if place not in names:
            names[place] = counts[place[0]]
            counts[place[0]] += 1
        return names[place]

    renamed: Genome = {part: [] for part in PARTS}
    for part in PARTS:
        for one in alive[part]:
            op = OPS[one[0]]
            inputs = [rename(place) for place in read(one)]
            constants = [float(value) for value in one[2 + len(op.inputs) :]]
            renamed[part].append([op.name, rename(written(one)), *inputs, *constants])
    return renamed
