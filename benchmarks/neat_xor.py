"""XOR with a population of 150: our NEAT beside the package neat-python, in turn, in this process.

The task and its fitness, 4 - sum of squared errors, are the same for both; solved is 3.9. neat-python runs
with the settings of its own XOR example, ours with its defaults. Both evolve in memory: nothing is stored.

    python benchmarks/neat_xor.py               # 1,000 seeds of ours, 20 of neat-python, some minutes
    python benchmarks/neat_xor.py --seeds 10 --theirs 3

(The file is not called neat.py, because `import neat` would then import it.)
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import neat  # type: ignore[import-untyped]  # ships no types
import numpy as np
from common import mean_interval, save

from nascore_neat.fast import evolve
from nascore_neat.genome import Shape
from nascore_neat.network import outputs
from nascore_neat.sampler import NEAT
from nascore_neat.xor import INPUTS, LABELS, judge

POPULATION = 150
SOLVED = 3.9
SHAPE = Shape(2, 1, False, 30.0)
GENOME = {
    "num_inputs": 2, "num_outputs": 1, "num_hidden": 0, "feed_forward": True, "initial_connection": "full_direct",
    "activation_default": "sigmoid", "activation_options": "sigmoid", "activation_mutate_rate": 0.0,
    "aggregation_default": "sum", "aggregation_options": "sum", "aggregation_mutate_rate": 0.0,
    "bias_init_mean": 0.0, "bias_init_stdev": 1.0, "bias_init_type": "gaussian", "bias_max_value": 30.0,
    "bias_min_value": -30.0, "bias_mutate_power": 0.5, "bias_mutate_rate": 0.7, "bias_replace_rate": 0.1,
    "response_init_mean": 1.0, "response_init_stdev": 0.0, "response_init_type": "gaussian",
    "response_max_value": 30.0, "response_min_value": -30.0, "response_mutate_power": 0.0,
    "response_mutate_rate": 0.0, "response_replace_rate": 0.0,
    "weight_init_mean": 0.0, "weight_init_stdev": 1.0, "weight_init_type": "gaussian", "weight_max_value": 30.0,
    "weight_min_value": -30.0, "weight_mutate_power": 0.5, "weight_mutate_rate": 0.8, "weight_replace_rate": 0.1,
    "enabled_default": True, "enabled_mutate_rate": 0.01, "enabled_rate_to_true_add": 0.0,
    "enabled_rate_to_false_add": 0.0, "compatibility_disjoint_coefficient": 1.0,
    "compatibility_weight_coefficient": 0.5, "conn_add_prob": 0.5, "conn_delete_prob": 0.5,
    "node_add_prob": 0.2, "node_delete_prob": 0.2, "single_structural_mutation": False,
    "structural_mutation_surer": "default",
}  # fmt: skip
SECTIONS: dict[str, dict[str, Any]] = {
    "NEAT": {
        "fitness_criterion": "max",
        "fitness_threshold": SOLVED,
        "pop_size": POPULATION,
        "reset_on_extinction": False,
        "no_fitness_termination": False,
    },
    "DefaultGenome": GENOME,
    "DefaultSpeciesSet": {"compatibility_threshold": 3.0},
    "DefaultStagnation": {"species_fitness_func": "max", "max_stagnation": 20, "species_elitism": 2},
    "DefaultReproduction": {"elitism": 2, "survival_threshold": 0.2, "min_species_size": 2},
}


def theirs(seed: int, generations: int, folder: Path) -> dict[str, Any]:
    """One run of neat-python: solved, generations, seconds."""
    path = folder / "config"
    lines = []
    for name, values in SECTIONS.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    path.write_text("\n".join(lines))
    config = neat.Config(
        neat.DefaultGenome, neat.DefaultReproduction, neat.DefaultSpeciesSet, neat.DefaultStagnation, str(path)
    )
    random.seed(seed)
    rows = [(tuple(row), label) for row, label in zip(INPUTS.tolist(), LABELS.tolist(), strict=True)]

    def assess(genomes: Any, config: Any) -> None:
        for _, genome in genomes:
            network = neat.nn.FeedForwardNetwork.create(genome, config)
            genome.fitness = 4.0 - sum((network.activate(row)[0] - label) ** 2 for row, label in rows)

    population = neat.Population(config)
    started = time.process_time()
    winner = population.run(assess, generations)
    seconds = time.process_time() - started
    solved = winner.fitness >= SOLVED
    count = population.generation + (1 if solved else 0)
    return {"solved": solved, "generations": count, "evaluations": count * POPULATION, "seconds": seconds}


def ours(seed: int, generations: int, papers: bool = False) -> dict[str, Any]:
    """One run of ours; with ``papers``, on the paper's fitness, and solved when all four outputs are right."""

    def assess(genomes: Any) -> tuple[Any, int]:
        values = outputs(genomes, INPUTS, SHAPE, 0, 1)[:, :, 0]
        if papers:
            fitness, accuracy = judge(values, LABELS)
            done = np.flatnonzero(accuracy == 1)
        else:
            fitness = 4.0 - ((values - LABELS) ** 2).sum(axis=1)
            done = np.flatnonzero(fitness >= SOLVED)
        return fitness, int(done[0]) if len(done) else -1

    started = time.process_time()
    found = evolve(assess, NEAT().settings, SHAPE, size=POPULATION, generations=generations, seed=seed)
    seconds = time.process_time() - started
    genomes, k = found.population.genomes, found.winner
    on = genomes.enabled[k, : genomes.genes[k]]
    hidden = {int(node) for node in genomes.target[k, : genomes.genes[k]] if node > 3}
    return {
        "solved": found.solved, "generations": found.generations, "evaluations": found.evaluations,
        "seconds": seconds, "hidden": len(hidden), "connections": int(on.sum()),
    }  # fmt: skip


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Successes, evaluations with their confidence interval, generations a second of processor time."""
    mean, half = mean_interval([float(run["evaluations"]) for run in runs])
    result = {
        "seeds": len(runs),
        "solved": sum(bool(run["solved"]) for run in runs),
        "evaluations_mean": round(mean, 1),
        "evaluations_ci95": round(half, 1),
        "generations_mean": round(statistics.fmean(run["generations"] for run in runs), 2),
        "generations_worst": max(run["generations"] for run in runs),
        "generations_per_second": round(statistics.median(run["generations"] / run["seconds"] for run in runs), 1),
    }
    for name in ("hidden", "connections"):
        if name in runs[0]:
            result[f"{name}_mean"] = round(statistics.fmean(run[name] for run in runs if run["solved"]), 2)
    return result


def main() -> None:
    """Measure both, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="of ours")
    parser.add_argument("--theirs", type=int, default=20, help="seeds of neat-python, which is slow")
    parser.add_argument("--generations", type=int, default=300, help="at most")
    arguments = parser.parse_args()
    ours(0, 3)  # compile
    ours(0, 3, papers=True)
    rows: dict[str, list[dict[str, Any]]] = {"ours": [], "neat_python": [], "ours_paper": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            rows["ours"].append(ours(seed, arguments.generations))
            rows["ours_paper"].append(ours(seed, arguments.generations, papers=True))
            if seed < arguments.theirs:
                rows["neat_python"].append(theirs(seed, arguments.generations, Path(folder)))
    shared = rows["ours"][: arguments.theirs]
    result = {name: summary(runs) for name, runs in rows.items()}
    for name in ("ours", "ours_paper"):
        result[f"{name}_on_the_first_100_seeds"] = summary(rows[name][:100])  # as many as the paper had runs
    result["ours_on_the_seeds_of_neat_python"] = summary(shared)
    speed = result["ours_on_the_seeds_of_neat_python"]["generations_per_second"]
    save(
        "neat_xor",
        {
            "neat_python_version": getattr(neat, "__version__", ""),
            "population": POPULATION,
            "runs": result,
            "speed_ratio": round(speed / result["neat_python"]["generations_per_second"], 1),
            "target_ratio": 10,
            "paper": {"solved": "100 of 100", "evaluations_mean": 4755, "generations_mean": 32, "hidden_mean": 2.35},
        },
    )


if __name__ == "__main__":
    main()
