"""Trials per second of one and of two worker processes, on evaluations of about a second that really train.

    python benchmarks/workers.py                    # 50 trials each, about three minutes on two quiet cores
    python benchmarks/workers.py --workers 1 2 4

Each count runs the same search: random architectures of NASNet cells, trained on digits, on one torch
thread. The clock runs from the first submitted trial to the last told one, the start of the workers
included. The cores must be idle otherwise: the script says how busy they were.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from common import save

import nascore


class Clock:
    """Notes when the search began, and when it ended."""

    began = ended = 0.0

    @nascore.hookimpl
    def nascore_search_started(self):
        """Workers are starting."""
        self.began = time.perf_counter()

    @nascore.hookimpl
    def nascore_trial_finished(self):
        """A trial is told."""
        self.ended = time.perf_counter()


def measure(workers: int, trials: int, epochs: int, folder: Path) -> dict[str, float]:
    """One search."""
    clock = Clock()
    result = nascore.search(
        "random", trials=trials, out=folder, tracking="off", seed=0, observers=[clock],
        executor={"use": "processes", "workers": workers},
        options={
            "space.blocks": 2, "space.cells": 1, "space.channels": 8, "evaluator.epochs": epochs,
            "evaluator.batch_size": 96,
        },
    )  # fmt: skip
    seconds = clock.ended - clock.began
    return {
        "seconds": round(seconds, 2),
        "trials_per_second": round(trials / seconds, 4),
        "median_trial_seconds": round(statistics.median(t.wall_seconds for t in result.history), 3),
        "complete": result.counts["complete"],
        "load_before": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    """Measure each count of workers, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    found = {}
    for workers in arguments.workers:
        with tempfile.TemporaryDirectory() as folder:
            found[str(workers)] = measure(workers, arguments.trials, arguments.epochs, Path(folder) / "run")
    first = found[str(arguments.workers[0])]["trials_per_second"]
    speedup = {count: round(one["trials_per_second"] / first, 3) for count, one in found.items()}
    save("workers", {"trials": arguments.trials, "workers": found, "speed_up": speedup, "target_for_two": 1.8})


if __name__ == "__main__":
    main()
