"""Random instructions and the three mutations (section 3.2)."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from nascore_automlzero.ops import OPS
from nascore_automlzero.program import FIRST_WRITABLE, LARGEST, PARTS, length

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from nascore_automlzero.program import Genome, Instruction, Limits

FLIP = 0.1
"""How often a mutated constant only changes its sign (as in the authors' program)."""


def random_instruction(limits: Limits, rng: random.Random) -> Instruction:
    """Op, addresses and constants, each uniform among what is allowed; constants in [-1, 1)."""
    op = OPS[rng.choice(limits.ops)]
    addresses = []
    for slot, kind in enumerate(op.output + op.inputs):
        addresses.append(rng.randrange(FIRST_WRITABLE[kind] if slot == 0 else 0, limits.of(kind)))
    constants = [rng.random() if kind == "u" else rng.uniform(-1, 1) for kind in op.constants]
    return [op.name, *addresses, *constants]


def resize(genome: Genome, limits: Limits, rng: random.Random) -> None:
    """Insert a random instruction, or remove one; each as likely where both can be done."""
    part = rng.choice([part for part in PARTS if limits.of(part)])
    body = genome[part]
    insert = rng.random() < 0.5
    if not body or (insert and len(body) < limits.of(part)):
        body.insert(rng.randint(0, len(body)), random_instruction(limits, rng))
    else:
        del body[rng.randrange(len(body))]


def redraw(genome: Genome, limits: Limits, rng: random.Random) -> None:
    """Draw all instructions of one part anew; their number stays."""
    part = rng.choice([part for part in PARTS if limits.of(part)])
    genome[part] = [random_instruction(limits, rng) for _ in genome[part]]


def alter(genome: Genome, limits: Limits, rng: random.Random) -> None:
    """Change one address or one constant of one instruction; nothing where there is none."""
    filled = [part for part in PARTS if any(one[0] != "no_op" for one in genome[part])]
    if not filled:
        return
    one = rng.choice([one for one in genome[rng.choice(filled)] if one[0] != "no_op"])
    op = OPS[one[0]]
    slot = rng.randrange(1, length(op))
    kinds = op.output + op.inputs + op.constants
    kind = kinds[slot - 1]
    if kind == "u":
        one[slot] = rng.random()
    elif kind == "c":
        one[slot] = _moved(one[slot], rng)
    else:
        one[slot] = rng.randrange(FIRST_WRITABLE[kind] if slot == 1 else 0, limits.of(kind))


def _moved(value: float, rng: random.Random) -> float:
    if rng.random() < FLIP:
        return -value
    return max(-LARGEST, min(LARGEST, value * math.exp(rng.gauss(0, 1))))


MUTATIONS: tuple[Callable[[Genome, Limits, random.Random], None], ...] = (resize, redraw, alter)
"""Each is as likely, and works in place."""


def mutated(genome: Genome, limits: Limits, rng: random.Random) -> Genome:
    """A copy with one mutation, drawn again until something changed."""
    while True:
        child = copy.deepcopy(genome)
        rng.choice(MUTATIONS)(child, limits, rng)
        if child != genome:
            return child
