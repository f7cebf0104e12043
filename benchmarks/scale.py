"""The real driver, sampler and storage against a simulated cluster of 1 to 10,000 workers.

    python benchmarks/scale.py                              # all of it, half an hour on a quiet core
    python benchmarks/scale.py --workers 1000 --per-worker 20

The cluster is an executor like any other: the trial loop, the sampler, the journal and the checkpoints are those
of every search. Its clock is virtual. While the driver works, the clock runs as fast as the real one; while the
driver waits, the clock jumps to the end of the next trial. So a driver that needs 10 ms a trial holds up a cluster
of 10,000 workers here as it would there. Looking a value up in the table is the worker's time and is not counted.

Trials take 600 s on average, log-normal with a standard deviation of 1 of the logarithm: one in a hundred takes
more than 50 minutes. One in twenty FAILs, at any point of its time.

Utilisation is the share of the workers' time, from the first submission to the last, in which they had a trial.
What follows, when no more trials are to be given out, is no matter of the driver.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from common import mean_interval, save

import nascore
from nascore.contracts import Executor
from nascore.records import Status

if TYPE_CHECKING:
    from nascore.contracts import Job
    from nascore.records import Trial

MEAN_SECONDS = 600.0
SPREAD = 1.0
FAILURES = 0.05
COUNTS = (1, 10, 100, 1_000, 10_000)
BUDGETS = (100, 200, 1_000)


class Cluster(Executor):
    """Workers that take as long as they are told, on a virtual clock.

    Attributes:
        busy: seconds in which workers had a trial, until the last submission.
        driver: real seconds in which the driver did not wait.
    """

    def __init__(self, workers: int, seed: int = 0) -> None:
        self.capacity = workers
        self.seed = seed
        self.skipped = 0.0  # how far the virtual clock is ahead of the real one
        self.away = self.away_processor = 0.0  # real seconds that belong to workers
        self.running: list[tuple[float, int, Trial]] = []
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.waited_for_driver = 0

    def now(self) -> float:
        """Virtual seconds."""
        return time.perf_counter() - self.away + self.skipped

    def submit(self, job: Job) -> None:
        """Begin the job now; how it ends is known at once, and told when its time is over."""
        now = self.now()
        clock, processor = time.perf_counter(), time.process_time()
        rng = random.Random(f"{self.seed}/{job.number}")
        seconds = rng.lognormvariate(math.log(MEAN_SECONDS) - SPREAD**2 / 2, SPREAD)
        if rng.random() < FAILURES:
            seconds *= rng.random()
            trial = job.failed("the worker was lost", started=now, wall_seconds=seconds)
        else:
            trial = replace(self.run(job), started=now, wall_seconds=seconds)
        heapq.heappush(self.running, (now + seconds, job.number, trial))
        self.begun.append(now)
        self.away += time.perf_counter() - clock
        self.away_processor += time.process_time() - processor

    def wait(self) -> Trial:
        """The trial that ends first; the clock jumps there, unless the driver is late already."""
        end, _, trial = heapq.heappop(self.running)
        late = self.now() - end
        self.waited_for_driver += late > 0
        self.skipped += max(0.0, -late)
        self.ended.append(end)
        return trial

    def utilisation(self) -> float:
        """Share of the workers' time with a trial, from the first submission to the last."""
        last = self.begun[-1]
        ends = [*self.ended, *(end for end, _, _ in self.running)]
        busy = sum(min(end, last) for end in ends) - sum(self.begun)
        return busy / (self.capacity * (last - self.begun[0]))


class Watch:
    """Notes real seconds and memory while a search runs."""

    def __init__(self, every: int) -> None:
        self.every, self.told = every, 0
        self.times: list[float] = []
        self.memory: list[int] = []

    @nascore.hookimpl
    def nascore_trial_finished(self):
        """A trial is stored and told."""
        self.told += 1
        if self.told % self.every == 0:
            self.times.append(time.perf_counter())
            self.memory.append(resident())


def resident() -> int:
    """Bytes of memory that this process holds; of Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def search(cluster: Executor | None, trials: int, out: Path, seed: int = 0, **more):
    """Aging evolution over the cells of NAS-Bench-201, CIFAR-10."""
    return nascore.search(
        "amoebanet", space="blocks:nasbench201", evaluator="nasbench201:table", data="nasbench201:images", costs=[],
        trials=trials, out=out, seed=seed, tracking="off", executor=cluster,
        options={"sampler.population_size": 50, "sampler.tournament_size": 10}, **more,
    )  # fmt: skip


def measure(workers: int, trials: int) -> dict[str, float]:
    """One search on the default storage."""
    cluster, watch = Cluster(workers), Watch(max(1, trials // 100))
    with tempfile.TemporaryDirectory() as folder:
        clock, processor = time.perf_counter(), time.process_time()
        result = search(cluster, trials, Path(folder) / "run", observers=[watch])
        driver = time.perf_counter() - clock - cluster.away
        processor = time.process_time() - processor - cluster.away_processor
        stored = nascore.open_run(Path(folder) / "run").history
        size = (Path(folder) / "run" / "trials").stat().st_size
    numbers = sorted(trial.number for trial in stored)
    steady = len(watch.times) // 10
    grown = (watch.memory[-1] - watch.memory[steady]) / ((len(watch.memory) - steady - 1) * watch.every)
    return {
        "trials": trials,
        "utilisation": round(cluster.utilisation(), 5),
        "virtual_hours": round((cluster.begun[-1] - cluster.begun[0]) / 3600, 2),
        "virtual_hours_to_the_end": round((max(cluster.ended) - cluster.begun[0]) / 3600, 2),
        "driver_trials_per_second": round(trials / driver, 1),
        "driver_ms_per_trial": round(driver / trials * 1000, 3),
        "processor_ms_per_trial": round(processor / trials * 1000, 3),
        "trials_that_waited_for_the_driver": cluster.waited_for_driver,
        "needed_trials_per_second": round(workers / MEAN_SECONDS, 3),
        "kib_per_trial": round(grown / 1024, 3),
        "mib_at_the_end": round(watch.memory[-1] / 2**20, 1),
        "journal_bytes_per_trial": round(size / trials),
        "load_average": round(os.getloadavg()[0], 1),
        "failed": sum(trial.status is Status.FAIL for trial in result.history),
        "lost": trials - len(set(numbers)),
        "twice": len(numbers) - len(set(numbers)),
    }


def quality(workers: int, seeds: int) -> dict[str, dict[str, float]]:
    """Mean accuracy of the incumbent's cell after some evaluations, told ones counted; 0 workers: the serial search."""
    found: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            cluster = Cluster(workers, seed) if workers else None
            result = search(cluster, BUDGETS[-1], Path(folder) / "run", seed, storage="memory")
            best: Trial | None = None
            for told, trial in enumerate(result.history, start=1):
                value = trial.objectives.get("accuracy", -math.inf)
                if best is None or value > best.objectives.get("accuracy", -math.inf):
                    best = trial
                if told in found:
                    found[told].append(best.metrics["mean_accuracy"])
    rows = {str(budget): mean_interval(values) for budget, values in found.items()}
    return {budget: {"mean": round(mean, 3), "ci95": round(half, 3)} for budget, (mean, half) in rows.items()}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="*", default=list(COUNTS))
    parser.add_argument("--per-worker", type=int, default=20, help="trials for each worker")
    parser.add_argument("--least", type=int, default=2_000, help="trials at least")
    parser.add_argument("--most", type=int, default=100_000, help="trials at most")
    parser.add_argument("--seeds", type=int, default=20, help="searches for each mean of the search quality")
    arguments = parser.parse_args()
    rows: dict = {}
    means: dict = {}
    result = {
        "mean_trial_seconds": MEAN_SECONDS,
        "failure_rate": FAILURES,
        "targets": {"utilisation_at_1000": 0.98, "driver_trials_per_second": 300, "kib_per_trial": 2.0, "lost": 0},
        "workers": rows,
        "quality": {"seeds": arguments.seeds, "accuracy": means},
    }
    for workers in arguments.workers:
        trials = min(max(arguments.least, workers * arguments.per_worker), arguments.most)
        rows[str(workers)] = measure(workers, trials)
        save("scale", result)
    for workers in (0, *arguments.workers) if arguments.seeds else ():
        means[str(workers) if workers else "serial, no failures"] = quality(workers, arguments.seeds)
        save("scale", result)


if __name__ == "__main__":
    main()
