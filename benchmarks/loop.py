"""Overhead of the trial loop: aging evolution on a free table look-up against a bare Optuna loop.

The bare loop asks a study for a trial, suggests the same six decisions, stores the same record as a
user attribute and tells the value, on the same storage. Both run in this process, in turn.

    python benchmarks/loop.py            # 20,000 trials, some minutes
    python benchmarks/loop.py --trials 2000
    python benchmarks/loop.py --memory 100000   # memory and speed on the default storage alone
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import optuna
from common import save

import nascore
from nascore.records import Direction, Measurement, Metric
from nascore.store import TrialStore, open_storage

NAMES = [f"op{i}" for i in range(6)]
OPTIONS = list("abcde")


class Letters(nascore.DecisionSpace):
    """Six decisions of five options."""

    def decide(self, choose):
        """Ask for all six."""
        return [choose(name, OPTIONS) for name in NAMES]

    def build(self, architecture, task):
        """Nothing is trained here."""
        raise TypeError("this space is looked up in a table")


class Table(nascore.Evaluator):
    """The value is the share of 'c'."""

    objectives = {"accuracy": Metric("", Direction.MAXIMIZE)}

    def evaluate(self, candidate, context):
        """Look it up."""
        return Measurement.complete(accuracy=value_of(candidate.architecture.genome))


class NoData(nascore.Dataset):
    """A table needs no data."""

    def load(self, seed):
        """Just a task."""
        return nascore.Splits(nascore.Task("none", (1, 1, 1), 1), None, None)


def value_of(genome):
    """Share of 'c'."""
    return list(genome.values()).count("c") / len(genome)


class Clock:
    """Notes when each trial was told."""

    def __init__(self):
        self.times = [time.perf_counter()]

        self.memory = []

    @nascore.hookimpl
    def nascore_search_started(self):
        """The loop starts here; what is before is start-up, not overhead of a trial."""
        self.times = [time.perf_counter()]

    @nascore.hookimpl
    def nascore_trial_finished(self):
        """A trial is stored and told."""
        self.times.append(time.perf_counter())
        if len(self.times) % 1000 == 0:
            self.memory.append(resident())


def resident() -> int:
    """Bytes of memory that this process holds; of Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ours(storage: str, trials: int, folder: Path) -> Clock:
    """Times, and memory each 1,000 trials, of the nascore loop."""
    clock = Clock()
    nascore.search(
        "amoebanet", space=Letters(), evaluator=Table(), data=NoData(), costs=[], trials=trials, out=folder / "ours",
        tracking="off", storage=storage, observers=[clock],
        options={"sampler.population_size": 100, "sampler.tournament_size": 10},
    )  # fmt: skip
    return clock


def bare(storage: str, trials: int, folder: Path) -> list[float]:
    """Times of a bare Optuna loop that stores the same."""
    (folder / "bare").mkdir()
    backend = open_storage(storage, folder / "bare")
    study = optuna.create_study(storage=backend, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    space = Letters()
    times = [time.perf_counter()]
    for number in range(trials):
        trial = study.ask()
        genome = {name: trial.suggest_categorical(name, OPTIONS) for name in NAMES}
        value = value_of(genome)
        record = nascore.Trial(
            number, nascore.Candidate(space.architecture(genome), origin="random"), nascore.Status.COMPLETE,
            {"accuracy": value}, seed=number, started=time.time(), wall_seconds=1e-4,
        )  # fmt: skip
        trial.set_user_attr("nascore", TrialStore._to_record(record, with_genome=False))
        study.tell(trial, value)
        times.append(time.perf_counter())
    return times


def per_trial(times: list[float]) -> float:
    """Microseconds a trial: median over stretches of 100, which a busy machine disturbs least."""
    size = min(100, len(times) - 1)
    return statistics.median((times[i + size] - times[i]) / size * 1e6 for i in range(0, len(times) - size, size))


def growth(times: list[float]) -> float:
    """Cost of the last 1,000 trials over that of the first 1,000 (a quarter each of short runs)."""
    size = min(1000, (len(times) - 1) // 4)
    return per_trial(times[-size - 1 :]) / per_trial(times[: size + 1])


def long_run(trials: int) -> None:
    """Memory and speed of a long search on the default storage; the first tenth is start-up."""
    with tempfile.TemporaryDirectory() as folder:
        clock = ours("journal", trials, Path(folder))
    first = max(1, len(clock.memory) // 10)
    grown = (clock.memory[-1] - clock.memory[first - 1]) / (len(clock.memory) - first) / 1000
    save("memory_loop", {
        "trials": trials,
        "kib_per_trial": round(grown / 1024, 3),
        "target_kib_per_trial": 2.0,
        "trials_per_second": round(1e6 / per_trial(clock.times), 1),
        "last_1000_trials_per_second": round(1e6 / per_trial(clock.times[-1001:]), 1),
        "target_trials_per_second": 300,
    })  # fmt: skip


def main() -> None:
    """Measure both storages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--memory", type=int, default=0, metavar="TRIALS")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if arguments.memory:
        long_run(arguments.memory)
        return
    result = {}
    for storage, share in (("memory", 1.0), ("journal", 0.2)):
        with tempfile.TemporaryDirectory() as folder:
            # The bare loop is flat and slow on the file: a fifth of the trials tells its cost.
            theirs = bare(storage, int(arguments.trials * share), Path(folder))
            times = ours(storage, arguments.trials, Path(folder)).times
        result[storage] = {
            "trials": arguments.trials,
            "nascore_us_per_trial": round(per_trial(times), 1),
            "bare_optuna_us_per_trial": round(per_trial(theirs), 1),
            "ratio": round(per_trial(times) / per_trial(theirs), 3),
            "target_ratio": 1.15,
            "last_1000_over_first_1000": round(growth(times), 3),
            "bare_last_over_first": round(growth(theirs), 3),
            "target_growth": 1.1,
        }
    save("loop", {"storages": result})


if __name__ == "__main__":
    main()
