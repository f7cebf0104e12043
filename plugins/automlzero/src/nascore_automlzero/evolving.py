"""Regularised evolution in one compiled loop: hundreds of thousands of candidates a second.

The same programs, the same mutations and the same fitness as in the plain modules :mod:`.mutation`,
:mod:`.bytecode` and :mod:`.evaluator`, on the rows of numbers of :mod:`.numeric`; the tests hold them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nascore_automlzero import ops
from nascore_automlzero.interpreter import judge
from nascore_automlzero.jit import compiled, inlined
from nascore_automlzero.mutation import FLIP
from nascore_automlzero.program import LARGEST

if TYPE_CHECKING:
    from nascore_automlzero.bytecode import Floats, Ints
    from nascore_automlzero.numeric import Flags, Grammar, Programs, Small
    from nascore_automlzero.tasks import Tasks

CANDIDATES, TEXT_HITS, BEHAVIOUR_HITS, EVALUATED, REJECTED, FILLED, OLDEST = range(7)
"""Places in ``counts``: children made; found in the cache by text, and by behaviour; run on the first tasks; of
these, stopped at the hurdle; members that were judged when the population was founded; the oldest member."""
_EVERY = 32
"""So many evaluations lie between two hurdles: sorting costs."""


class Rules(NamedTuple):
    """Settings of the sampler and of the evaluator.

    Attributes:
        tournament: T.
        mutate: probability that a child differs from its parent.
        goal: the loop ends at this fitness.
        classify, epochs, limit: of :func:`~nascore_automlzero.interpreter.judge`.
        first: tasks that stand before the hurdle; 0: no hurdle.
        share: of the recent programs, which lie below the hurdle.
    """

    tournament: int
    mutate: float
    goal: float
    classify: bool
    epochs: int
    limit: float
    first: int
    share: float


class Cache(NamedTuple):
    """Fitness by digest: row 0 of the text that computes, row 1 of the behaviour. A newer entry takes its place."""

    keys: Ints
    values: Floats


class Desk(NamedTuple):
    """Room to work in: the program as the interpreter takes it, and its memory."""

    alive: Flags
    table: Ints
    constants: Floats
    ends: Ints
    memory: Floats
    errors: Floats


# ------------------------------------------------------------------------------------ mutation


@compiled
def _below(rng: np.random.Generator, stop: int) -> int:
    return int(rng.random() * stop)


@compiled
def _draw_row(code: Small, numbers: Floats, grammar: Grammar, rng: np.random.Generator) -> None:
    """A random instruction, as :func:`~nascore_automlzero.mutation.random_instruction`."""
    op = grammar.ops[_below(rng, len(grammar.ops))]
    code[:], numbers[:] = 0, 0.0
    code[0] = op
    for slot in range(3):
        kind = grammar.kinds[op, slot]
        if kind >= 0:
            low = grammar.firsts[kind] if slot == 0 else 0
            code[1 + slot] = low + _below(rng, grammar.addresses[kind] - low)
        if grammar.constants[op, slot]:
            numbers[slot] = rng.random() if grammar.constants[op, slot] == 2 else 2.0 * rng.random() - 1.0


@compiled
def _resize(codes: Small, numbers: Floats, sizes: Small, part: int, grammar: Grammar, rng: np.random.Generator) -> None:
    """Insert a random instruction, or remove one; each as likely where both can be done."""
    low, size = grammar.parts[part], sizes[part]
    insert = rng.random() < 0.5
    if size == 0 or (insert and low + size < grammar.parts[part + 1]):
        at = low + _below(rng, size + 1)
        for row in range(low + size, at, -1):
            codes[row], numbers[row] = codes[row - 1], numbers[row - 1]
        _draw_row(codes[at], numbers[at], grammar, rng)
        sizes[part] += 1
    else:
        for row in range(low + _below(rng, size), low + size - 1):
            codes[row], numbers[row] = codes[row + 1], numbers[row + 1]
        sizes[part] -= 1


@compiled
def _alter(code: Small, numbers: Floats, grammar: Grammar, rng: np.random.Generator) -> None:
    """Change one address or one constant; nothing of a ``no_op``, which has none."""
    kinds, constants = grammar.kinds[code[0]], grammar.constants[code[0]]
    addresses = np.sum(kinds >= 0)
    count = addresses + np.sum(constants > 0)
    if count == 0:
        return
    slot = _below(rng, count)
    if slot < addresses:
        kind = kinds[slot]
        low = grammar.firsts[kind] if slot == 0 else 0
        code[1 + slot] = low + _below(rng, grammar.addresses[kind] - low)
        return
    slot -= addresses
    if constants[slot] == 2:
        numbers[slot] = rng.random()
    elif rng.random() < FLIP:
        numbers[slot] = -numbers[slot]
    else:
        moved = numbers[slot] * np.exp(rng.standard_normal())
        numbers[slot] = max(-LARGEST, min(LARGEST, moved))


@compiled
def mutate(codes: Small, numbers: Floats, sizes: Small, grammar: Grammar, rng: np.random.Generator) -> int:
    """One of the three mutations, in place, each as likely; says which. Some change nothing: an empty part, say."""
    kind = _below(rng, 3)
    part = _below(rng, 3)
    if kind == 2:  # the parts that have something to alter
        if np.sum(sizes) == 0:
            return kind
        while sizes[part] == 0:
            part = _below(rng, 3)
        row = grammar.parts[part] + _below(rng, sizes[part])
        _alter(codes[row], numbers[row], grammar, rng)
        return kind
    while grammar.parts[part] == grammar.parts[part + 1]:  # the parts that may have instructions
        part = _below(rng, 3)
    if kind == 0:
        _resize(codes, numbers, sizes, part, grammar, rng)
    else:
        for row in range(grammar.parts[part], grammar.parts[part] + sizes[part]):
            _draw_row(codes[row], numbers[row], grammar, rng)
    return kind


# --------------------------------------------------------------------- what computes, and lowering


@compiled
def _backward(codes: Small, low: int, high: int, needed: int, alive: Flags, grammar: Grammar) -> int:
    """As in :mod:`.program`: what must be in memory before; ``alive`` says which rows matter."""
    for row in range(high - 1, low - 1, -1):
        op = codes[row, 0]
        output = grammar.kinds[op, 0]
        alive[row] = False
        if output < 0 or not (needed >> (grammar.bits[output] + codes[row, 1])) & 1:
            continue
        alive[row] = True
        if not grammar.keeps[op]:
            needed &= ~(1 << (grammar.bits[output] + codes[row, 1]))
        for slot in range(1, 3):
            kind = grammar.kinds[op, slot]
            if kind >= 0:
                needed |= 1 << (grammar.bits[kind] + codes[row, 1 + slot])
    return needed


@compiled
def _mark(codes: Small, sizes: Small, alive: Flags, grammar: Grammar) -> None:
    """Which rows some prediction depends on; see :func:`nascore_automlzero.program.live`."""
    setup, predict, learn = grammar.parts[0], grammar.parts[1], grammar.parts[2]
    after_learn = 0
    while True:
        before_learn = _backward(codes, learn, learn + sizes[2], after_learn, alive, grammar)
        before_predict = _backward(
            codes, predict, predict + sizes[1], before_learn | after_learn | 2, alive, grammar
        )  # bit 1 is s1
        if before_predict & ~after_learn == 0:
            break
        after_learn |= before_predict
    _backward(codes, setup, setup + sizes[0], before_predict, alive, grammar)


@compiled
def lower(codes: Small, numbers: Floats, sizes: Small, desk: Desk, grammar: Grammar) -> int:
    """Write the rows that compute to the desk, as :func:`nascore_automlzero.bytecode.lower`; how many they are."""
    _mark(codes, sizes, desk.alive, grammar)
    table, constants, f = desk.table, desk.constants, grammar.features
    count = 0
    for part in range(3):
        for row in range(grammar.parts[part], grammar.parts[part] + sizes[part]):
            if not desk.alive[row]:
                continue
            op = codes[row, 0]
            table[count, 0] = grammar.kernels[op]
            table[count, 4] = 0
            for slot in range(3):
                kind = grammar.kinds[op, slot]
                table[count, 1 + slot] = -1
                if kind >= 0:
                    width = grammar.widths[kind]
                    table[count, 1 + slot] = grammar.starts[kind] + codes[row, 1 + slot] * width
                    table[count, 4] = max(table[count, 4], width)
            constants[count, 0], constants[count, 1] = numbers[row, 0], numbers[row, 1]
            if grammar.kernels[op] == ops.SET:
                index, last = 0, 0
                while last < 2 and grammar.constants[op, last + 1]:  # indices come before the value
                    index = index * f + int(numbers[row, last] * f)
                    last += 1
                table[count, 1] += index
                constants[count, 0], constants[count, 1] = numbers[row, last], 0.0
            count += 1
        if part < 2:
            desk.ends[part] = count
    return count


# ---------------------------------------------------------------------------------- fitness, cached


@compiled
def _mixed(digest: int, value: int) -> int:
    """The digest with one more integer in it; products wrap round."""
    digest = (digest ^ value) * 0x2545F4914F6CDD1D
    return digest ^ (digest >> 32)


@compiled
def _text(desk: Desk, count: int) -> int:
    digest = _mixed(_mixed(1, desk.ends[0]), desk.ends[1])
    bits = desk.constants.view(np.int64)
    for row in range(count):
        for column in range(5):
            digest = _mixed(digest, desk.table[row, column])
        digest = _mixed(_mixed(digest, bits[row, 0]), bits[row, 1])
    return digest


@compiled
def _behaviour(errors: Floats) -> int:
    digest = 2
    bits = errors.view(np.int64)
    for i in range(len(bits)):
        digest = _mixed(digest, bits[i])
    return digest


@compiled
def _stumbles(total: float, counts: Ints, recent: Floats, share: float) -> bool:
    """Does a program with this sum of fitness on the first tasks fall at the hurdle?

    The hurdle is a quantile of what the programs that were run last had; it stands behind them in ``recent``.
    """
    window, place = len(recent) - 1, counts[EVALUATED] - 1
    hurdle = recent[window]
    recent[place % window] = total
    if place >= window and place % _EVERY == 0:
        recent[window] = np.sort(recent[:window])[int(share * window)]
    return bool(total < hurdle)


@inlined
def _fitness(
    codes: Small, numbers: Floats, sizes: Small, counts: Ints, recent: Floats, cache: Cache, desk: Desk,
    tasks: Tasks, sample: Tasks, grammar: Grammar, rules: Rules, noise: Floats,
) -> float:  # fmt: skip
    """The mean fitness of one program over the tasks: from the cache by its text, by its behaviour, or from running it.

    0 for a program that the first tasks show to be poor.
    """
    length = lower(codes, numbers, sizes, desk, grammar)
    mask = cache.keys.shape[1] - 1
    text = _text(desk, length)
    if cache.keys[0, text & mask] == text:
        counts[TEXT_HITS] += 1
        return float(cache.values[0, text & mask])
    behaviour, total, value, every = 0, 0.0, 0.0, len(tasks.x)
    desk.errors[:] = 0.0
    # Turn -1 takes the sample, the others the tasks. One place calls the interpreter, because each would be
    # compiled by itself, for many seconds.
    for t in range(-1, every):
        run, at, errors = (sample, 0, desk.errors) if t < 0 else (tasks, t, desk.errors[:0])
        score = judge(
            desk.table[:length], desk.constants[:length], desk.ends, desk.memory, grammar.starts[1],
            run.x[at], run.y[at], run.x_valid[at], run.y_valid[at],
            rules.classify, rules.epochs, rules.limit, noise, errors,
        )  # fmt: skip
        if t < 0:
            behaviour = _behaviour(desk.errors)
            if cache.keys[1, behaviour & mask] == behaviour:
                counts[BEHAVIOUR_HITS] += 1
                value = cache.values[1, behaviour & mask]
                break
            counts[EVALUATED] += 1
            continue
        total += score
        if t + 1 == rules.first and _stumbles(total, counts, recent, rules.share):
            counts[REJECTED] += 1
            break
        if t + 1 == every:
            value = total / every
    cache.keys[1, behaviour & mask], cache.values[1, behaviour & mask] = behaviour, value
    cache.keys[0, text & mask], cache.values[0, text & mask] = text, value
    return value


# --------------------------------------------------------------------------------------- the loop


@compiled
def _copy(source: Programs, place: int, target: Programs, to: int) -> None:
    target.codes[to], target.numbers[to] = source.codes[place], source.numbers[place]
    target.sizes[to], target.fitness[to] = source.sizes[place], source.fitness[place]


@compiled
def evolve(
    candidates: int, living: Programs, best: Programs, counts: Ints, recent: Floats, cache: Cache, desk: Desk,
    tasks: Tasks, sample: Tasks, grammar: Grammar, rules: Rules, noise: Floats, rng: np.random.Generator,
) -> None:  # fmt: skip
    """So many candidates of regularised evolution: a tournament, a mutation, the oldest dies (section 3.2).

    Args:
        candidates: how many children; the members that found the population count too.
        living: (P,), changed in place.
        best: (1,), takes the best of these candidates; of equals the first. Its fitness starts at -1.
        counts: (7,), see :data:`CANDIDATES`.
        recent: (window + 1,): what the hurdle is made of, and the hurdle; 0 at first.
        cache: any size that is a power of two.
        desk: to work in.
        tasks: all tasks.
        sample: a few examples of the first task, for the behaviour.
        grammar, rules: of the space and of the parts.
        noise: for random instructions.
        rng: the one source of chance.
    """
    size = len(living.fitness)
    for _ in range(candidates):
        place = counts[OLDEST]
        if counts[FILLED] < size:  # founding: the member that stands there
            counts[FILLED] += 1
        else:
            winner = _below(rng, size)
            for _ in range(rules.tournament - 1):
                rival = _below(rng, size)
                if living.fitness[rival] > living.fitness[winner]:
                    winner = rival
            if winner != place:
                _copy(living, winner, living, place)  # the child takes the place of the oldest
            if rng.random() < rules.mutate:
                mutate(living.codes[place], living.numbers[place], living.sizes[place], grammar, rng)
        value = _fitness(
            living.codes[place], living.numbers[place], living.sizes[place],
            counts, recent, cache, desk, tasks, sample, grammar, rules, noise,
        )  # fmt: skip
        living.fitness[place] = value
        counts[OLDEST] = (place + 1) % size
        counts[CANDIDATES] += 1
        if value > best.fitness[0]:
            _copy(living, place, best, 0)
            if value >= rules.goal:
                return
