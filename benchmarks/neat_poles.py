"""Two poles on a cart, evolved in memory: how many evaluations until the task is solved, beside the paper's table.

With velocities a network has solved it when it balances for 100,000 actions. Without, the fitness is Gruau's, over
1,000 actions, and a champion of each generation is tested: 100,000 actions, then 1,000 from each of 625 other starts,
of which it must pass 200. The paper does not say what happens where a champion that failed lives on unchanged; here a
network is tested once, and the test of the generation goes to the champion of the next best species, as in the
authors' program. The settings are the preset `paper`; `VARIANTS` change one or two, to show what matters.

    python benchmarks/neat_poles.py                  # 20 seeds, and 5 of each variant: about ten minutes of one core
    python benchmarks/neat_poles.py --seeds 3 --variants 0
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from common import mean_interval, save

from nascore_neat.balancing import NEEDED
from nascore_neat.breeding import rank
from nascore_neat.fast import evolve, start
from nascore_neat.genome import Shape, to_json
from nascore_neat.hooks import PAPER_SETTINGS
from nascore_neat.poles import LONG, SHORT, generalisation, judge, lasts
from nascore_neat.sampler import NEAT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nascore_neat.population import Population

SEEING, BLIND = Shape(6, 1, False, 30.0), Shape(3, 1, True, 30.0)
PAPER = {key.removeprefix("sampler."): value for key, value in PAPER_SETTINGS.items() if key.startswith("sampler.")}
VARIANTS: dict[str, dict[str, Any]] = {
    "weights change by up to 2.5": {"power": 2.5},
    "distance not divided by the size": {"small": 1000},
    "both": {"power": 2.5, "small": 1000},
}
PUBLISHED = {"with_velocities": 3_578, "without_velocities": 33_184, "runs": 20}
"""Evaluations of the paper's NEAT, means."""


def with_velocities(seed: int, generations: int) -> dict[str, Any]:
    """P = 150 and the defaults, feed-forward; the fitness is the number of actions."""

    def assess(genomes: Any) -> tuple[Any, int]:
        fitness, _ = judge(genomes, True, SEEING, 0, 1)
        done = np.flatnonzero(fitness == LONG)
        return fitness, int(done[0]) if len(done) else -1

    started = time.process_time()
    found = evolve(assess, NEAT().settings, SEEING, size=150, generations=generations, seed=seed)
    return {"solved": found.solved, "evaluations": found.evaluations, "seconds": time.process_time() - started}


def champions(population: Population, fitness: Any) -> list[int]:
    """The fittest of each species, the best species first."""
    order, starts = rank(fitness, population.species, len(population.names))
    best = order[starts[:-1]]
    ordered: list[int] = best[np.argsort(-fitness[best], kind="stable")].tolist()
    return ordered


def without_velocities(seed: int, generations: int, options: dict[str, Any]) -> dict[str, Any]:
    """Recurrent, no speeds seen; ends with the first champion that passes both tests.

    A generation has one test: of the best champion that balanced for the short time and was not tested before.
    """
    sampler = NEAT(**options)
    rng = random.Random(seed)
    population = start(sampler.settings, BLIND, sampler.population_size, rng)
    started = time.process_time()
    most_species, passes = 0, 0
    tested: set[str] = set()
    for generation in range(1, generations + 1):
        fitness, balanced = judge(population.genomes, False, BLIND, 0, 1)
        most_species = max(most_species, len(population.names))
        passes = 0
        for champion in champions(population, fitness):
            network = str(to_json(population.genomes, champion, BLIND))
            if balanced[champion] == SHORT and network not in tested:
                tested.add(network)
                if lasts(population.genomes, champion, False, BLIND, 0, 1) == LONG:
                    passes = generalisation(population.genomes, champion, False, BLIND, 0, 1)
                break
        if passes >= NEEDED or generation == generations:
            break
        population.advance(fitness, rng)
    sys.stderr.write(f"seed {seed}: {passes} of 625 after {generation} generations\n")
    return {
        "seed": seed, "solved": passes >= NEEDED, "evaluations": generation * sampler.population_size, "passes": passes,
        "most_species": most_species, "seconds": time.process_time() - started,
    }  # fmt: skip


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Successes; evaluations of those that solved it, and of all (at least: the others were stopped)."""
    solved = [float(run["evaluations"]) for run in runs if run["solved"]]
    result: dict[str, Any] = {"seeds": len(runs), "solved": len(solved)}
    if solved:
        mean, half = mean_interval(solved)
        result |= {
            "evaluations_mean_of_solved": round(mean),
            "evaluations_ci95_of_solved": round(half) if half == half else None,
        }
    result["evaluations_mean_of_all_at_least"] = round(statistics.fmean(run["evaluations"] for run in runs))
    if "passes" in runs[0]:
        passed = [run["passes"] for run in runs if run["solved"]]
        result["passes_mean_of_solved"] = round(statistics.fmean(passed)) if passed else None
        result["most_species_median"] = statistics.median(run["most_species"] for run in runs)
        result["evaluations"] = [run["evaluations"] if run["solved"] else None for run in runs]
    result["seconds_of_processor"] = round(sum(run["seconds"] for run in runs), 1)
    return result


def main() -> None:
    """Measure, and write results/neat_poles.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--variants", type=int, default=5, help="seeds of each variant")
    parser.add_argument("--generations", type=int, default=100, help="at most")
    arguments = parser.parse_args()
    seeds, most = range(arguments.seeds), arguments.generations
    result: dict[str, Any] = {"settings_without_velocities": PAPER, "generations_at_most": most, "paper": PUBLISHED}
    variants: dict[str, Any] = {}

    def blind(seeds: Iterable[int], options: dict[str, Any], into: dict[str, Any], name: str) -> None:
        runs = []
        for seed in seeds:  # saved after each: a run can take minutes, and what is done is of use
            runs.append(without_velocities(seed, most, options))
            into[name] = summary(runs)
            save("neat_poles", {**result, **({"variants_without_velocities": variants} if variants else {})})

    blind(seeds, PAPER, result, "without_velocities")
    result["with_velocities"] = summary([with_velocities(seed, most) for seed in seeds])
    for name, change in VARIANTS.items() if arguments.variants else ():
        blind(range(arguments.variants), PAPER | change, variants, name)
    save("neat_poles", {**result, **({"variants_without_velocities": variants} if variants else {})})


if __name__ == "__main__":
    main()
