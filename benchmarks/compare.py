"""What a race of ``nascore compare`` costs on a table, against the same search written as a bare Python loop.

    python benchmarks/compare.py [--evaluations 20000] [--repeats 5] [--seeds 500]

NAS-Bench-201, CIFAR-10. Aging evolution with P = 50 and S = 10, and random search; a bare loop is all that the
search needs and nothing else: tuples of ops, a dictionary, a deque. Bare loop and race take turns in this process;
processor time, medians. The means that their incumbents reach after 200 evaluations tell that they are one search.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

from common import mean_interval, save

from nascore.compare.race import Course
from nascore.plugins import Plugins
from nascore_blocks.nasbench201 import NAMES
from nascore_nasbench201.table import OPS, read

if TYPE_CHECKING:
    from collections.abc import Callable

    Cell = tuple[str, ...]
    Loop = Callable[[int, int], list[float]]
    Rows = dict[Cell, tuple[tuple[float, ...], float]]
    """Cell -> accuracies of its trainings, and their mean."""

POPULATION, TOURNAMENT = 50, 10
BUDGET = 200
TARGET = 1.5


def rows() -> Rows:
    """The table, as a bare loop reads it."""
    return {
        tuple(OPS[int(digit)] for digit in digits): (row.accuracies, statistics.fmean(row.accuracies))
        for digits, row in read("cifar10").items()
    }


def bare_evolution(table: Rows) -> Loop:
    """Aging evolution; gives the mean accuracy of the incumbent after each evaluation."""

    def search(seed: int, evaluations: int) -> list[float]:
        rng = random.Random(seed)
        population: deque[tuple[float, Cell]] = deque()
        best, score, scores = 0.0, 0.0, []
        for _ in range(evaluations):
            if len(population) < POPULATION:
                cell = tuple([rng.choice(OPS) for _ in NAMES])
            else:
                _, parent = max(rng.sample(population, TOURNAMENT))
                edge = rng.randrange(len(NAMES))
                op = rng.choice([op for op in OPS if op != parent[edge]])
                cell = (*parent[:edge], op, *parent[edge + 1 :])
            accuracies, mean = table[cell]
            accuracy = rng.choice(accuracies)
            population.append((accuracy, cell))
            if len(population) > POPULATION:
                population.popleft()
            if accuracy > best:
                best, score = accuracy, mean
            scores.append(score)
        return scores

    return search


def bare_random(table: Rows) -> Loop:
    """Random search; gives the mean accuracy of the incumbent after each evaluation."""

    def search(seed: int, evaluations: int) -> list[float]:
        rng = random.Random(seed)
        best, score, scores = 0.0, 0.0, []
        for _ in range(evaluations):
            accuracies, mean = table[tuple([rng.choice(OPS) for _ in NAMES])]
            accuracy = rng.choice(accuracies)
            if accuracy > best:
                best, score = accuracy, mean
            scores.append(score)
        return scores

    return search


def race(course: Course, sampler: dict) -> Loop:
    """The same by ``nascore compare``."""
    return lambda seed, evaluations: list(course.race(sampler, seed, evaluations).scores)


def microseconds(loop: Loop, seed: int, evaluations: int) -> float:
    """Processor time of one evaluation."""
    started = time.process_time()
    loop(seed, evaluations)
    return (time.process_time() - started) / evaluations * 1e6


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=500)
    arguments = parser.parse_args()
    table, course = rows(), Course(Plugins().find("benchmarks", "nasbench201-cifar10")[1])
    evolution = {
        "use": "amoebanet:amoebanet", "population_size": POPULATION, "tournament_size": TOURNAMENT,
        "identity_probability": 0.0,  # the bare loop has no copies
    }  # fmt: skip
    pairs = {
        "amoebanet": (bare_evolution(table), race(course, evolution)),
        "random": (bare_random(table), race(course, {"use": "random:random"})),
    }
    result = {}
    for name, loops in pairs.items():
        times = [
            [microseconds(loop, seed, arguments.evaluations) for loop in loops] for seed in range(arguments.repeats)
        ]
        bare, ours = (statistics.median(column) for column in zip(*times, strict=True))
        scores = [[loop(seed, BUDGET)[-1] for seed in range(arguments.seeds)] for loop in loops]
        reached = {
            who: dict(zip(("mean", "ci95"), (round(x, 3) for x in mean_interval(values)), strict=True))
            for who, values in zip(("bare", "race"), scores, strict=True)
        }
        result[name] = {
            "bare_us": round(bare, 1),
            "race_us": round(ours, 1),
            "ratio": round(statistics.median(mine / hand for hand, mine in times), 2),
            "target_ratio": TARGET,
            f"accuracy_after_{BUDGET}": reached,
        }
    save("compare", {"evaluations": arguments.evaluations, "samplers": result})


if __name__ == "__main__":
    main()
