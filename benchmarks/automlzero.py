"""AutoML-Zero: programs per second of the compiled interpreter and of NumPy, in turn, in this process.

100 + 100 examples, 4 features, one task, one core; Setup, Predict and Learn of 2, 2 and 10 instructions, drawn from
all 65 ops, no instruction left out. A program that fails early ends early in both; ``full`` are those that do not.
Then classifiers on pairs of digits that no search saw, learnt in one pass: what a program must beat.

    python benchmarks/automlzero.py               # some seconds; the first time, numba compiles for some more
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from common import save

from nascore_automlzero.bytecode import lower
from nascore_automlzero.interpreter import judge_all
from nascore_automlzero.mutation import random_instruction
from nascore_automlzero.ops import OPS, SETS
from nascore_automlzero.program import PARTS, Limits
from nascore_automlzero.running import Program, noise_table
from nascore_automlzero.tasks import DigitPairs, Regression

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_automlzero.bytecode import Code
    from nascore_automlzero.program import Genome
    from nascore_automlzero.tasks import Tasks

SIZES = {"setup": 2, "predict": 2, "learn": 10}
LIMITS = Limits(2, 2, 10, 4, 3, 1, tuple(OPS))
NOISE = noise_table(0)
REGRESSOR: Genome = {
    "setup": [["s_constant", 2, 0.05]],
    "predict": [["s_dot", 1, 0, 1]],
    "learn": [["s_subtract", 3, 0, 1], ["s_multiply", 3, 3, 2], ["v_scale", 2, 3, 0], ["v_add", 1, 1, 2]],
}


def compiled(genome: Genome, tasks: Tasks, classify: bool = False) -> Any:
    """The fitness on each task, translation included."""
    code = lower(genome, LIMITS, tasks.x.shape[2], prune=False)
    return judge_all(*code, *tasks, classify, 1, 100.0, NOISE)


def plain(genome: Genome, tasks: Tasks) -> float:
    """The fitness on the first task, by NumPy."""
    program = Program(genome, LIMITS, tasks.x.shape[2], noise=NOISE, prune=False)
    for example, label in zip(tasks.x[0], tasks.y[0], strict=True):
        if not abs(program.learn(example, float(label))) <= 100:
            return 0.0
    errors = tasks.y_valid[0] - program(tasks.x_valid[0])
    if not (np.abs(errors) <= 100).all():
        return 0.0
    return float(1 - 2 / np.pi * np.arctan(np.sqrt(np.mean(errors**2))))


def drawn(count: int, ops: tuple[str, ...], seed: int) -> list[Genome]:
    """Random programs of the full size."""
    rng = random.Random(seed)
    limits = LIMITS._replace(ops=ops)
    return [
        {part: [random_instruction(limits, rng) for _ in range(SIZES[part])] for part in PARTS} for _ in range(count)
    ]


def rate(run: Callable[[Any], Any], items: list[Any]) -> float:
    """Items per second of processor time: other programs on the machine do not count."""
    started = time.process_time()
    for item in items:
        run(item)
    return len(items) / (time.process_time() - started)


def speed(programs: list[Genome], tasks: Tasks, rounds: int, share: int) -> dict[str, float]:
    """Programs per second; NumPy runs one of ``share``. Medians over the rounds."""
    codes = [lower(genome, LIMITS, 4, prune=False) for genome in programs]

    def run(code: Code) -> Any:
        return judge_all(*code, *tasks, False, 1, 100.0, NOISE)

    rates: dict[str, list[float]] = {"compiled": [], "compiled_with_translation": [], "numpy": []}
    for _ in range(rounds):  # in turn, so that a slow minute hits all
        rates["compiled"].append(rate(run, codes))
        rates["compiled_with_translation"].append(rate(lambda genome: compiled(genome, tasks), programs))
        rates["numpy"].append(rate(lambda genome: plain(genome, tasks), programs[::share]))
    out = {name: statistics.median(values) for name, values in rates.items()}
    return {**out, "times_numpy": out["compiled"] / out["numpy"]}


def pairs() -> dict[str, float]:
    """Mean accuracy on ten held-out pairs of digits, 8 features."""
    from sklearn.linear_model import LogisticRegression

    tasks: Tasks = DigitPairs().load(0).test
    scores = []
    for x, y, x_valid, y_valid in zip(*tasks, strict=True):
        scores.append(LogisticRegression().fit(x, y).score(x_valid, y_valid))
    return {
        "linear_by_gradient": float(np.mean(compiled(REGRESSOR, tasks, classify=True))),
        "scikit_learn_logistic_regression": float(np.mean(scores)),
    }


def main() -> None:
    """Measure, and write results/automlzero.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tasks: Tasks = Regression(tasks=1).load(0).train
    started = time.perf_counter()
    compiled(REGRESSOR, tasks)
    first = time.perf_counter() - started
    mixed = drawn(arguments.programs, LIMITS.ops, 0)
    wanted = [plain(genome, tasks) for genome in mixed[::100]]
    found = [float(compiled(genome, tasks)[0]) for genome in mixed[::100]]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    full = [genome for genome in drawn(3 * arguments.programs, SETS["linear"], 1) if compiled(genome, tasks)[0] > 0]
    save(
        "automlzero",
        {
            "programs": arguments.programs,
            "first_call_seconds": first,
            "all_ops": speed(mixed, tasks, arguments.rounds, 40),
            "full": speed(full[: arguments.programs], tasks, arguments.rounds, 40),
            "held_out_pairs": pairs(),
        },
    )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        main()
