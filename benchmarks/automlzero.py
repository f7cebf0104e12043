"""AutoML-Zero: programs per second, linear regression found from nothing, and classifiers of digits.

``speed``: the compiled interpreter and NumPy, in turn, in this process. 100 + 100 examples, 4 features, one task, one
core; Setup, Predict and Learn of 2, 2 and 10 instructions, drawn from all 65 ops, no instruction left out. A program
that fails early ends early in both; ``full`` are those that do not. Then classifiers on pairs of digits that no search
saw, learnt in one pass: what a program must beat.

``rediscover``: the authors' demonstration. From empty programs, over seven ops, on ten linear tasks of 100 + 100
examples, the search goes on until a fitness of 0.9999; what it found is tested on 100 fresh tasks, of 1,000 examples
to learn from as in that demonstration, and of 100. ``by_hand`` is the best that the regressor of the authors' README
reaches on the ten tasks over its learning rates: where that is below 0.9999, evolution has to find something better.

``digits``: the quick preset, its best program on pairs of digits that the search never saw, beside a linear classifier
written by hand (of the rate 0.05, and of that which is best on the pairs of the search) and scikit-learn's logistic
regression on the same pairs.

    python benchmarks/automlzero.py                                      # speed: some seconds
    python benchmarks/automlzero.py rediscover --seeds 0 1 2 3 4         # minutes; at most 20 a seed (--minutes)
    python benchmarks/automlzero.py digits --seeds 0 1 2                 # a minute or two a seed
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import save

import nascore
from nascore_automlzero.bytecode import lower
from nascore_automlzero.interpreter import judge_all
from nascore_automlzero.mutation import random_instruction
from nascore_automlzero.ops import OPS, SETS
from nascore_automlzero.program import PARTS, Limits
from nascore_automlzero.running import Program, noise_table
from nascore_automlzero.tasks import ClassPairs, Regression

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


def compiled(genome: Any, tasks: Tasks, classify: bool = False, limits: Limits = LIMITS) -> Any:
    """The fitness on each task, translation included."""
    code = lower(genome, limits, tasks.x.shape[2], prune=False)
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


def classifiers(tasks: Tasks) -> dict[str, float]:
    """Mean accuracy on pairs of digits."""
    from sklearn.linear_model import LogisticRegression

    scores = []
    for x, y, x_valid, y_valid in zip(*tasks, strict=True):
        scores.append(LogisticRegression().fit(x, y).score(x_valid, y_valid))
    return {
        "linear_by_gradient": float(np.mean(compiled(REGRESSOR, tasks, classify=True))),
        "scikit_learn_logistic_regression": float(np.mean(scores)),
    }


def all_speeds(programs: int, rounds: int) -> None:
    """Measure speed, and write results/automlzero.json."""
    tasks: Tasks = Regression(tasks=1).load(0).train
    started = time.perf_counter()
    compiled(REGRESSOR, tasks)
    first = time.perf_counter() - started
    mixed = drawn(programs, LIMITS.ops, 0)
    wanted = [plain(genome, tasks) for genome in mixed[::100]]
    found = [float(compiled(genome, tasks)[0]) for genome in mixed[::100]]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    full = [genome for genome in drawn(3 * programs, SETS["linear"], 1) if compiled(genome, tasks)[0] > 0]
    save(
        "automlzero",
        {
            "programs": programs,
            "first_call_seconds": first,
            "all_ops": speed(mixed, tasks, rounds, 40),
            "full": speed(full[:programs], tasks, rounds, 40),
            "held_out_pairs": classifiers(ClassPairs().load(0).test),
        },
    )


REDISCOVER = {
    "space.ops": "linear",
    "sampler.start": "empty",
    "sampler.goal": 0.9999,
    "sampler.islands": 2,
    "sampler.migrants": 0,
    "sampler.population_size": 100,
    "sampler.candidates_per_trial": 200_000,
    "sampler.experiment_rounds": 1,
}
"""Experiments of 100,000 candidates, two at a time, until one succeeds; the authors' have 1,000,000 and P = 1000."""


def by_hand(tasks: Tasks, rates: list[float], classify: bool = False) -> tuple[float, float]:
    """The best fitness of the regressor written by hand over its learning rates, and the rate."""
    found = []
    for rate in rates:
        genome = {**REGRESSOR, "setup": [["s_constant", 2, rate]]}
        found.append((float(np.mean(compiled(genome, tasks, classify))), rate))
    return max(found)


def rediscovered(seed: int, minutes: float) -> dict[str, Any]:
    """One search from empty programs."""
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = nascore.search(
            space="automlzero:programs", sampler="automlzero:islands", evaluator="automlzero:rounds",
            data="automlzero:regression", seed=seed, trials=1_000_000, time=60 * minutes, tracking="off",
            out=Path(folder) / "run", options=REDISCOVER,
        )  # fmt: skip
        best = result.history.best
        assert best is not None
        space: Any = result.search.space
        search_tasks = result.search.parts.data.train
        stored = sum(file.stat().st_size for file in result.folder.rglob("*") if file.is_file())
    fresh = {examples: Regression(tasks=100, examples=examples).load(seed + 1000).test for examples in (100, 1000)}
    means = {
        examples: float(np.mean(compiled(best.architecture.genome, tasks, limits=space.limits)))
        for examples, tasks in fresh.items()
    }
    return {
        "seed": seed,
        "fitness": best.objectives["fitness"],
        "by_hand": by_hand(search_tasks, [0.02 * step for step in range(1, 20)])[0],
        "fresh_tasks": means[100],
        "fresh_tasks_of_1000": means[1000],
        "candidates": int(best.metrics["candidates"]),
        "run": int(best.metrics["evaluated"]),
        "wall_seconds": round(result.wall_seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "trials": len(result.history),
        "stored_bytes": stored,
        "code": space.listing(best.architecture).splitlines(),
    }


def rediscover(seeds: list[int], minutes: float) -> None:
    """Write results/automlzero-rediscover.json, anew after each seed."""
    rows = []
    for seed in seeds:
        rows.append(rediscovered(seed, minutes))
        solved = sum(row["fitness"] >= 0.9999 and row["fresh_tasks_of_1000"] > 0.9999 for row in rows)
        save("automlzero-rediscover", {"minutes": minutes, "settings": REDISCOVER, "solved": solved, "seeds": rows})


RATES = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5]


def digits(seeds: list[int]) -> None:
    """Write results/automlzero-digits.json, anew after each seed."""
    rows = []
    for seed in seeds:
        cpu = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            result = nascore.search("automl-zero", seed=seed, tracking="off", out=Path(folder) / "run")
            best = result.best
            assert best is not None
            cpu = time.process_time() - cpu
            space: Any = result.search.space
            splits = result.search.parts.data
            tasks = splits.test
            _, rate = by_hand(splits.train, RATES, classify=True)
            found = compiled(best.architecture.genome, tasks, classify=True, limits=space.limits)
        rows.append(
            {
                "seed": seed,
                "search": best.objectives["fitness"],
                "found": float(np.mean(found)),
                **classifiers(tasks),
                "linear_of_the_best_rate": by_hand(tasks, [rate], classify=True)[0],
                "best_rate": rate,
                "candidates": int(result.history[len(result.history) - 1].metrics["candidates"]),
                "wall_seconds": round(result.wall_seconds, 1),
                "cpu_seconds": round(cpu, 1),
                "code": space.listing(best.architecture).splitlines(),
            }
        )
        names = ("search", "found", "linear_by_gradient", "linear_of_the_best_rate", "scikit_learn_logistic_regression")
        means = {name: statistics.fmean(row[name] for row in rows) for name in names}
        save("automlzero-digits", {"means": means, "seeds": rows})


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "rediscover", "digits"), default="speed")
    parser.add_argument("--programs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--minutes", type=float, default=20.0)
    arguments = parser.parse_args()
    if arguments.what == "rediscover":
        rediscover(arguments.seeds, arguments.minutes)
    elif arguments.what == "digits":
        digits(arguments.seeds)
    else:
        all_speeds(arguments.programs, arguments.rounds)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        main()
