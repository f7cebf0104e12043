"""Double pole balancing: two poles of different length on one cart (section 5 of the paper), compiled.

The equations are those of Wieland (1991), as in Gomez and Miikkulainen (1999), integrated by
Runge-Kutta of fourth order. Units: metres, seconds, kilograms, newtons, radians.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nascore_neat.jit import compiled
from nascore_neat.network import run, wire

if TYPE_CHECKING:
    from nascore_neat.genome import Floats, Genomes, Shape

GRAVITY = -9.8
CART_MASS = 1.0
MASSES = (0.1, 0.01)
HALF_LENGTHS = (0.5, 0.05)
CART_FRICTION = 0.0005
HINGE_FRICTION = 0.000002
FORCE = 10.0
"""The largest, to either side."""
TRACK = 2.4
"""Half of its length."""
TILT = 36 * math.pi / 180
"""The poles have fallen beyond this angle."""
STEP = 0.01
"""Of the integration; a network acts every second one."""
START = 4 * math.pi / 180
"""Angle of the long pole at first; all else is 0."""
LONG = 100_000
"""A network that balances for so many actions, 33 minutes, has solved the task."""
SHORT = 1_000
"""Actions of the trial that gives the fitness without velocities."""
TAIL = 100
"""Its last actions, in which the cart must not swing."""
SCALES = np.array([TRACK, 1.5, TILT, 2.0, TILT, 2.0])
"""What the state is divided by to become inputs: position, velocity, and angle and speed of each pole."""


@compiled
def change(state: Floats, force: float, result: Floats) -> None:
    """Write the derivative of the state (x, x', a1, a1', a2, a2') under a force on the cart to ``result``."""
    push, mass = 0.0, 0.0
    for p in range(2):
        angle, speed = state[2 + 2 * p], state[3 + 2 * p]
        m, length = MASSES[p], HALF_LENGTHS[p]
        s, c = math.sin(angle), math.cos(angle)
        push += m * length * speed**2 * s + 0.75 * m * c * (HINGE_FRICTION * speed / (m * length) + GRAVITY * s)
        mass += m * (1 - 0.75 * c**2)
    result[0] = state[1]
    result[1] = (force - CART_FRICTION * np.sign(state[1]) + push) / (CART_MASS + mass)
    for p in range(2):
        angle, speed = state[2 + 2 * p], state[3 + 2 * p]
        m, length = MASSES[p], HALF_LENGTHS[p]
        turn = result[1] * math.cos(angle) + GRAVITY * math.sin(angle) + HINGE_FRICTION * speed / (m * length)
        result[2 + 2 * p] = speed
        result[3 + 2 * p] = -0.75 * turn / length


@compiled
def integrate(state: Floats, force: float, seconds: float) -> Floats:
    """The state one Runge-Kutta step later."""
    after: Floats = state.copy()
    advance(after, force, seconds, np.empty((5, 6)))
    return after


@compiled
def advance(state: Floats, force: float, seconds: float, work: Floats) -> None:
    """One Runge-Kutta step in place; ``work``, (5, 6), is overwritten (new arrays would cost most of the time)."""
    change(state, force, work[0])
    for stage in range(1, 4):
        share = seconds if stage == 3 else seconds / 2
        for i in range(6):
            work[4, i] = state[i] + share * work[stage - 1, i]
        change(work[4], force, work[stage])
    for i in range(6):
        state[i] += seconds / 6 * (work[0, i] + 2 * work[1, i] + 2 * work[2, i] + work[3, i])


@compiled
def fallen(state: Floats) -> bool:
    """Is the cart off the track, or a pole down?"""
    inside = abs(state[0]) <= TRACK and abs(state[2]) <= TILT and abs(state[4]) <= TILT
    return not inside  # so that NaN has fallen too


@compiled
def balance(
    g: Genomes, k: int, begin: Floats, most: int, velocities: bool, shape: Shape, activation: int, steps: int
) -> tuple[int, float]:
    """Let one network act until a pole falls, or for ``most`` actions.

    Args:
        g, k: the genome; 6 inputs with ``velocities``, else 3; its first output in [0, 1] is the force
            from one side to the other.
        begin: (6,) the state at first.
        most: actions.
        velocities: the network sees the speeds too.
        shape, activation, steps: of the network; a recurrent one remembers from action to action.

    Returns:
        The actions that it balanced; and the sum over the last :data:`TAIL` of them of
        |x| + |x'| + |a1| + |a1'|, the swinging.
    """
    wiring = wire(g, k, shape)
    values, spare = np.zeros(wiring.nodes), np.zeros(wiring.nodes)
    values[shape.inputs] = 1.0
    swings = np.zeros(TAIL)
    state, work = begin.copy(), np.empty((5, 6))
    stride = 1 if velocities else 2
    for action in range(most):
        for i in range(shape.inputs):
            values[i] = state[i * stride] / SCALES[i * stride]
        run(wiring, values, spare, shape, activation, steps)
        force = min(max(2 * values[shape.inputs + 1] - 1, -1.0), 1.0) * FORCE
        for _ in range(2):
            advance(state, force, STEP, work)
        swings[action % TAIL] = abs(state[0]) + abs(state[1]) + abs(state[2]) + abs(state[3])
        if fallen(state):
            return action, swings.sum()
    return most, swings.sum()


@compiled
def judge(g: Genomes, velocities: bool, shape: Shape, activation: int, steps: int) -> tuple[Floats, Floats]:
    """Fitness of every genome, and the actions that it balanced.

    With velocities the fitness is that number, up to :data:`LONG`. Without, it is Gruau's (1996), which
    punishes those who balance by swinging: 0.1 t / 1000 + 0.9 f, with t the actions balanced of 1,000, and
    f = 0 where t < 100, else 0.75 over the swinging of the last 100.
    """
    begin = np.zeros(6)
    begin[2] = START
    fitness, balanced = np.empty(len(g.genes)), np.empty(len(g.genes))
    for k in range(len(g.genes)):
        most = LONG if velocities else SHORT
        actions, swinging = balance(g, k, begin, most, velocities, shape, activation, steps)
        balanced[k] = fitness[k] = actions
        if not velocities:
            fitness[k] = 0.1 * actions / SHORT + (0.9 * 0.75 / swinging if actions >= TAIL else 0.0)
    return fitness, balanced


@compiled
def lasts(g: Genomes, k: int, velocities: bool, shape: Shape, activation: int, steps: int) -> int:
    """How many actions one network balances from the usual start, up to :data:`LONG`."""
    begin = np.zeros(6)
    begin[2] = START
    return balance(g, k, begin, LONG, velocities, shape, activation, steps)[0]


@compiled
def generalisation(g: Genomes, k: int, velocities: bool, shape: Shape, activation: int, steps: int) -> int:
    """From how many of 625 starts one network balances for 1,000 actions.

    Position, velocity, and angle and speed of the long pole take five values each, at 5, 25, 50, 75 and
    95 per cent of +-2.16 m, +-1.35 m/s, +-3.6 and +-8.6 degrees (per second) (Gruau et al. 1996).
    """
    ranges = np.array([2.16, 1.35, 3.6 * math.pi / 180, 8.6 * math.pi / 180])
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    solved = 0
    for start in range(625):
        begin = np.zeros(6)
        code = start
        for i in range(4):
            begin[i] = (2 * shares[code % 5] - 1) * ranges[i]
            code //= 5
        solved += balance(g, k, begin, SHORT, velocities, shape, activation, steps)[0] == SHORT
    return solved
