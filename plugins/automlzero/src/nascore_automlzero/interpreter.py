"""The interpreter: one compiled loop over the instructions. numba compiles it once and keeps it on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nascore_automlzero import ops
from nascore_automlzero.jit import compiled, inlined

if TYPE_CHECKING:
    from nascore_automlzero.bytecode import Floats, Ints


def _execute(  # noqa: C901 - one branch for each kernel; compiled, it is a jump table
    table: Ints, constants: Floats, start: int, stop: int, memory: Floats, features: int, noise: Floats, drawn: int
) -> int:
    """Run the instructions ``start`` to ``stop`` - 1.

    Args:
        table, constants: of :class:`~nascore_automlzero.bytecode.Code`.
        start, stop: rows.
        memory: (numbers,) changed in place; its last F x F numbers are scratch.
        features: F.
        noise: (2, draws) what random instructions read, one number after the other and round again: uniform
            in [0, 1), and normal.
        drawn: how many were read before.

    Returns:
        How many were read in all.
    """
    f = features
    scratch = len(memory) - f * f
    draws = noise.shape[1]
    for row in range(start, stop):
        k, o, a, b, size = table[row, 0], table[row, 1], table[row, 2], table[row, 3], table[row, 4]
        if k == ops.ADD:
            for i in range(size):
                memory[o + i] = memory[a + i] + memory[b + i]
        elif k == ops.SUBTRACT:
            for i in range(size):
                memory[o + i] = memory[a + i] - memory[b + i]
        elif k == ops.MULTIPLY:
            for i in range(size):
                memory[o + i] = memory[a + i] * memory[b + i]
        elif k == ops.DIVIDE:
            for i in range(size):
                memory[o + i] = memory[a + i] / memory[b + i]
        elif k == ops.ABS:
            for i in range(size):
                memory[o + i] = abs(memory[a + i])
        elif k == ops.RECIPROCAL:
            for i in range(size):
                memory[o + i] = 1.0 / memory[a + i]
        elif k == ops.SIN:
            memory[o] = np.sin(memory[a])
        elif k == ops.COS:
            memory[o] = np.cos(memory[a])
        elif k == ops.TAN:
            memory[o] = np.tan(memory[a])
        elif k == ops.ARCSIN:
            memory[o] = np.arcsin(memory[a])
        elif k == ops.ARCCOS:
            memory[o] = np.arccos(memory[a])
        elif k == ops.ARCTAN:
            memory[o] = np.arctan(memory[a])
        elif k == ops.EXP:
            memory[o] = np.exp(memory[a])
        elif k == ops.LOG:
            memory[o] = np.log(memory[a])
        elif k == ops.FROM_ZERO:
            memory[o] = 1.0 if memory[a] >= 0 else 0.0
        elif k == ops.ABOVE_ZERO:
            for i in range(size):
                memory[o + i] = 1.0 if memory[a + i] > 0 else 0.0
        elif k == ops.SCALE:
            for i in range(size):
                memory[o + i] = memory[a] * memory[b + i]
        elif k == ops.FILL:
            for i in range(size):
                memory[o + i] = memory[a]
        elif k == ops.DOT:
            total = 0.0
            for i in range(size):
                total += memory[a + i] * memory[b + i]
            memory[o] = total
        elif k == ops.OUTER:
            for i in range(f):
                for j in range(f):
                    memory[o + i * f + j] = memory[a + i] * memory[b + j]
        elif k == ops.MATRIX_VECTOR:
            for i in range(f):
                total = 0.0
                for j in range(f):
                    total += memory[a + i * f + j] * memory[b + j]
                memory[scratch + i] = total
            for i in range(f):
                memory[o + i] = memory[scratch + i]
        elif k == ops.AS_ROWS:
            for i in range(size):
                memory[o + i] = memory[a + i % f]
        elif k == ops.AS_COLUMNS:
            for i in range(size):
                memory[o + i] = memory[a + i // f]
        elif k == ops.NORM:
            total = 0.0
            for i in range(size):
                total += memory[a + i] ** 2
            memory[o] = np.sqrt(total)
        elif k == ops.NORM_DOWN:
            for j in range(f):
                total = 0.0
                for i in range(f):
                    total += memory[a + i * f + j] ** 2
                memory[o + j] = np.sqrt(total)
        elif k == ops.NORM_ACROSS:
            for i in range(f):
                total = 0.0
                for j in range(f):
                    total += memory[a + i * f + j] ** 2
                memory[o + i] = np.sqrt(total)
        elif k == ops.TRANSPOSE:
            for i in range(size):
                memory[scratch + i] = memory[a + (i % f) * f + i // f]
            for i in range(size):
                memory[o + i] = memory[scratch + i]
        elif k == ops.MATMUL:
            for i in range(f):
                for j in range(f):
                    total = 0.0
                    for n in range(f):
                        total += memory[a + i * f + n] * memory[b + n * f + j]
                    memory[scratch + i * f + j] = total
            for i in range(size):
                memory[o + i] = memory[scratch + i]
        elif k == ops.MINIMUM:
            for i in range(size):
                x, y = memory[a + i], memory[b + i]
                memory[o + i] = x if x < y or x != x else y  # a NaN stays: only it differs from itself
        elif k == ops.MAXIMUM:
            for i in range(size):
                x, y = memory[a + i], memory[b + i]
                memory[o + i] = x if x > y or x != x else y
        elif k == ops.MEAN:
            total = 0.0
            for i in range(size):
                total += memory[a + i]
            memory[o] = total / size
        elif k == ops.MEAN_DOWN:
            for j in range(f):
                total = 0.0
                for i in range(f):
                    total += memory[a + i * f + j]
                memory[o + j] = total / f
        elif k == ops.STD:
            mean = 0.0
            for i in range(size):
                mean += memory[a + i] / size
            total = 0.0
            for i in range(size):
                total += (memory[a + i] - mean) ** 2
            memory[o] = np.sqrt(total / size)
        elif k == ops.STD_DOWN:
            for j in range(f):
                mean = 0.0
                for i in range(f):
                    mean += memory[a + i * f + j] / f
                total = 0.0
                for i in range(f):
                    total += (memory[a + i * f + j] - mean) ** 2
                memory[o + j] = np.sqrt(total / f)
        elif k == ops.SET:
            memory[o] = constants[row, 0]
        elif k == ops.UNIFORM:
            low, width = constants[row, 0], constants[row, 1] - constants[row, 0]
            for i in range(size):
                memory[o + i] = low + width * noise[0, drawn % draws]
                drawn += 1
        elif k == ops.NORMAL:
            for i in range(size):
                memory[o + i] = constants[row, 0] + constants[row, 1] * noise[1, drawn % draws]
                drawn += 1
    return drawn


_SETUP, _PREDICT, _LEARN = range(3)

execute = compiled(_execute)
_inline = inlined(_execute)


@compiled
def judge(  # noqa: C901 - one loop with one call is a third faster than three readable calls
    table: Ints, constants: Floats, ends: Ints, memory: Floats, start: int,
    x: Floats, y: Floats, x_valid: Floats, y_valid: Floats,
    classify: bool, epochs: int, limit: float, noise: Floats, errors: Floats,
) -> float:  # fmt: skip
    """Train and test one program on one task (Evaluate, section 3.1).

    Args:
        table, constants, ends, start: of :class:`~nascore_automlzero.bytecode.Code`.
        memory: (numbers,) to work in; zeroed here.
        x, y: (examples, F) and (examples,) to learn from.
        x_valid, y_valid: the same, to be tested on.
        classify: the prediction goes through a sigmoid, and the fitness is the accuracy for labels in {0, 1}.
        epochs: passes over the examples, each followed by a test; the best one counts. >= 1.
        limit: an error that is larger, or NaN, ends the program with the fitness 0.
        noise: for the random instructions.
        errors: (any,) filled with the first errors, in the order of predicting.

    Returns:
        The fitness: 1 - 2/pi * atan(RMSE), or the accuracy; in [0, 1].
    """
    f, count = x.shape[1], len(x) + len(x_valid)
    memory[:] = 0.0
    best, total, seen, drawn = 0.0, 0.0, 0, 0
    n = -1  # example of this epoch: first those to learn from
    left = epochs
    part, low, high = _SETUP, 0, ends[0]
    while True:  # one place where instructions run, inlined: a third faster than three calls
        drawn = _inline(table, constants, low, high, memory, f, noise, drawn)
        if part == _PREDICT:
            learning = n < len(x)
            label = y[n] if learning else y_valid[n - len(x)]
            if classify:
                memory[1] = 1.0 / (1.0 + np.exp(-memory[1]))
            error = label - memory[1]
            if seen < len(errors):
                errors[seen] = error
                seen += 1
            if not abs(error) <= limit:
                return 0.0
            if learning:
                memory[0] = label
                part, low, high = _LEARN, ends[1], len(table)
                continue
            if classify:
                total += 1.0 if (memory[1] >= 0.5) == (label >= 0.5) else 0.0
            else:
                total += error * error
        n += 1
        if n == count:
            mean = total / len(x_valid)
            best = max(best, mean if classify else 1.0 - 2.0 / np.pi * np.arctan(np.sqrt(mean)))
            n, total, left = 0, 0.0, left - 1
            if not left:
                return best
        for j in range(f):
            memory[start + j] = x[n, j] if n < len(x) else x_valid[n - len(x), j]
        memory[0] = 0.0  # a program that saw the label while predicting would just copy it
        part, low, high = _PREDICT, ends[0], ends[1]


@compiled
def judge_all(
    table: Ints, constants: Floats, ends: Ints, numbers: int, start: int,
    x: Floats, y: Floats, x_valid: Floats, y_valid: Floats,
    classify: bool, epochs: int, limit: float, noise: Floats,
) -> Floats:  # fmt: skip
    """The fitness on each of several tasks, (tasks,); every array of :func:`judge` has the tasks in front.

    ``numbers`` is how many numbers the program's memory has.
    """
    memory, nothing = np.empty(numbers), np.empty(0)
    fitness = np.empty(len(x))
    for t in range(len(x)):
        fitness[t] = judge(
            table, constants, ends, memory, start, x[t], y[t], x_valid[t], y_valid[t],
            classify, epochs, limit, noise, nothing,
        )  # fmt: skip
    return fitness
