"""A million candidates of NEAT through the trial loop, a trial for every ten generations.

Is the store small, and is the search as fast at the end as at the start? XOR with no goal, P = 150, tracking off,
storage and checkpoints on. Breeding and judging are timed apart from what is around them: genomes only grow, so a late
generation costs more, whatever the store does. Times of a trial are processor time, so that other work on the machine
does not count; only `seconds` and what follows from it is by the clock on the wall.

    python benchmarks/neat_million.py
    python benchmarks/neat_million.py --candidates 100000
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import save

import nascore
from nascore_neat.sampler import NEAT

POPULATION, GENERATIONS = 150, 10


class Clock:
    """Notes when each trial was finished, and how long its breeding took, in processor time."""

    def __init__(self) -> None:
        self.finished = [time.process_time()]
        self.breeding: list[float] = []

    @nascore.hookimpl
    def nascore_trial_finished(self) -> None:
        """Note the time."""
        self.finished.append(time.process_time())

    def watched(self, breed: Any) -> Any:
        """``NEAT.breed_generations``, timed."""

        def timed(*arguments: Any) -> bool:
            started = time.process_time()
            bred: bool = breed(*arguments)
            if bred:
                self.breeding.append(time.process_time() - started)
            return bred

        return timed


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def tenths(values: list[float]) -> dict[str, float]:
    """The median of the first and of the last tenth, in milliseconds."""
    part = max(1, len(values) // 10)
    first, last = (1000 * statistics.median(some) for some in (values[:part], values[-part:]))
    return {"first_tenth": round(first, 2), "last_tenth": round(last, 2), "ratio": round(last / first, 2)}


def measure(candidates: int, seed: int, run: Path) -> dict[str, Any]:
    """One search; see the top of this file."""
    trials = -(-candidates // (POPULATION * GENERATIONS))
    clock = Clock()
    NEAT.breed_generations = clock.watched(NEAT.breed_generations)  # type: ignore[method-assign]  # for the clock alone
    options = {
        "sampler.population_size": POPULATION,
        "sampler.generations_per_trial": GENERATIONS,
        "sampler.goal": None,
    }
    started = time.perf_counter()
    result = nascore.search(
        "neat", trials=trials, out=run, tracking="off", seed=seed, options=options, observers=[clock]
    )
    seconds = time.perf_counter() - started
    whole = [after - before for before, after in zip(clock.finished, clock.finished[1:], strict=False)]
    around = [total - bred for total, bred in zip(whole, clock.breeding, strict=True)]
    history = list(result.history)
    genes = [len(trial.architecture.genome["connections"]) for trial in history]  # type: ignore[call-overload,index,arg-type]  # a genome of NEAT
    part = max(1, trials // 10)
    return {
        "candidates": int(history[-1].metrics["candidates"]),
        "trials": trials,
        "seconds": round(seconds, 1),
        "candidates_per_second": round(candidates / seconds),
        "seconds_breeding_and_judging": round(sum(clock.breeding), 1),
        "milliseconds_a_trial_around_the_breeding": tenths(around[1:]),  # the first one compiles
        "milliseconds_a_trial_of_breeding": tenths(clock.breeding[1:]),
        "milliseconds_of_breeding_a_gene_of_the_champion": tenths(
            [bred / count for bred, count in zip(clock.breeding[1:], genes[1:], strict=True)]
        ),
        "genes_of_the_champion": {
            "first_tenth": statistics.median(genes[:part]),
            "last_tenth": statistics.median(genes[-part:]),
        },
        "bytes": {name: size(run / name) for name in ("trials", "state", "artifacts")} | {"all": size(run)},
        "bytes_a_candidate": round(size(run) / candidates, 2),
        "target_bytes": 10**9,
    }


def main() -> None:
    """Measure, and write results/neat_million.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.candidates, arguments.seed, Path(folder) / "run")
    save("neat_million", {"population": POPULATION, "generations_per_trial": GENERATIONS, **found})


if __name__ == "__main__":
    main()
