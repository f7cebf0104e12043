"""``compare``: many races over the cores of this machine, and what they say together."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nascore.compare.race import Course, Curve
from nascore.compare.statistics import Duel, Summary, duels, summaries
from nascore.errors import PluginError, UsageError
from nascore.hooks import Benchmark, Method
from nascore.plugins import Plugins
from nascore.records import Direction
from nascore.settings import parse_assignment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nascore.compare.score import Score

POINTS = 50
"""Of a mean curve in JSON."""
CHUNKS_A_WORKER = 4
"""Races are handed out in so many portions: fewer waste the end, more waste starts."""


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        benchmark: the record.
        score: what the samplers saw, and what they are scored by.
        budgets: numbers of evaluations that are told.
        curves: sampler -> one curve a seed.
        wall_seconds: of all races, on all workers.
    """

    benchmark: Benchmark
    score: Score
    budgets: tuple[int, ...]
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    wall_seconds: float = 0.0

    @property
    def maximise(self) -> bool:
        """Is more better?"""
        objectives = self.score.objectives
        return len(objectives) > 1 or objectives[0].direction is Direction.MAXIMIZE

    @property
    def reference(self) -> Mapping[str, Mapping[str, float]]:
        """The numbers of others; they are of the benchmark's own objective, so with another one there are none."""
        return self.benchmark.reference if self.score.own else {}

    def scores(self, budget: int) -> dict[str, list[float]]:
        """Sampler -> the score of each seed after so many evaluations."""
        return {name: [curve.at(budget) for curve in curves] for name, curves in self.curves.items()}

    def summaries(self, budget: int) -> dict[str, Summary]:
        """Sampler -> mean, spread, interval, rank."""
        return summaries(self.scores(budget), self.maximise)

    def duels(self, budget: int) -> list[Duel]:
        """All pairs of samplers, tested over seeds."""
        return duels(self.scores(budget))

    def results(self) -> list[dict[str, Any]]:
        """For each sampler its mean curve (some fifty points and the budgets), and its rank at the largest budget.

        ``plugin`` is the plugin of the sampler, or what was given where several are of one plugin.
        ``p_value`` is that of the duel with the best-ranked other sampler; None where there is none, or too few seeds.
        """
        most = self.budgets[-1]
        points = sorted({*self.budgets, *(max(1, most * part // POINTS) for part in range(1, POINTS + 1))})
        at = {point: self.summaries(point) for point in points}
        order = sorted(self.curves, key=lambda name: at[most][name].rank)
        p_of = {frozenset((duel.first, duel.second)): duel.p for duel in self.duels(most)}
        plugins = Counter(_plugin(name) for name in self.curves)
        out = []
        for name in self.curves:
            other = next((rival for rival in order if rival != name), name)
            curve = {
                str(point): {"mean": one.mean, "std": one.std, "ci95": one.half}
                for point, one in ((point, at[point][name]) for point in points)
            }
            p_value = p_of.get(frozenset((name, other)))
            plugin = _plugin(name) if plugins[_plugin(name)] == 1 else name
            out.append(
                {"plugin": plugin, "sampler": name, "curve": curve, "rank": at[most][name].rank, "p_value": p_value}
            )
        return out

    def to_json(self) -> dict[str, Any]:
        """All of it, the mean curves included."""
        names = [objective.name for objective in self.score.objectives]
        return {
            "benchmark": self.benchmark.name,
            "evaluations": self.budgets[-1],
            "seeds": len(next(iter(self.curves.values()))),
            "results": self.results(),
            "objectives": {o.name: o.direction.value for o in self.score.objectives},
            "score": self.score.name,
            "direction": (Direction.MAXIMIZE if self.maximise else Direction.MINIMIZE).value,
            "reference_point": dict(zip(names, self.score.reference, strict=False)),
            "exact_hypervolume": self.score.exact or None,
            "wall_seconds": self.wall_seconds,
            "budgets": {
                str(budget): {
                    "samplers": {name: asdict(s) for name, s in self.summaries(budget).items()},
                    "duels": [asdict(duel) for duel in self.duels(budget)],
                }
                for budget in self.budgets
            },
            "reference": {name: dict(values) for name, values in self.reference.items()},
            "scores": {name: [list(curve.scores) for curve in curves] for name, curves in self.curves.items()},
        }


def compare(
    benchmark: str,
    samplers: Sequence[str],
    *,
    evaluations: Sequence[int] = (100,),
    seeds: int = 20,
    objectives: Sequence[str] = (),
    seconds: float | None = None,
    workers: int = 0,
    options: Mapping[str, Any] | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Race samplers on a benchmark.

    Args:
        benchmark: address or name alone; of ``nasbench201-cifar100`` also ``nasbench201:cifar100``.
        samplers: each an address with options behind it: ``amoebanet population_size=50 tournament_size=10``.
        evaluations: budgets; all races run to the largest one.
        seeds: 0, 1, ... so many races for each sampler, the same for all.
        objectives: what the samplers see, the first is the primary one; none: the benchmark's own. The score
            of several is the hypervolume of the front that was found, see :class:`nascore.compare.score.Score`.
        seconds: a budget in the benchmark's simulated seconds, beside the evaluations.
        workers: processes; 0: as many as there are cores.
        options: settings of the benchmark's parts, by table.
        told: called with the number of finished races and of all.

    Returns:
        The comparison.

    Raises:
        UsageError: an unknown benchmark, objective, sampler or option; budgets that are not positive.
        PluginError: the benchmark's data is a package that is not installed; says which.
    """
    if not samplers or not evaluations or min(evaluations) < 1 or seeds < 1:
        raise UsageError("A comparison needs at least one sampler, one seed, and budgets of one evaluation or more.")
    plugins = Plugins()
    names = {address.rpartition(":")[2] for address in plugins.parts("benchmarks")}
    short = benchmark.replace(":", "-")
    record = plugins.find("benchmarks", short if short in names else benchmark)[1]
    if not isinstance(record, Benchmark):
        raise PluginError(f"{benchmark} is no benchmark.")
    if seconds is not None and not record.seconds:
        raise UsageError(f"The benchmark {record.name!r} has no simulated seconds; give evaluations alone.")
    entries = {text: _settings(plugins, text) for text in samplers}
    course = Course(record, options, objectives)  # here too: what is wrong is told before any process starts
    most = max(evaluations)
    for settings in entries.values():
        course.race(settings, 0, 1)
    found = Comparison(record, course.score, tuple(sorted(set(evaluations))))
    started = time.perf_counter()
    found.curves = _races(
        (record, options, objectives), entries, seeds, most, seconds, workers or os.cpu_count() or 1, told
    )
    found.wall_seconds = time.perf_counter() - started
    return found


def sampler_of(plugin: str) -> str:
    """The sampler of a method, for a comparison of methods by name.

    Raises:
        PluginError: there is no such method; names the nearest.
    """
    method = Plugins().find("methods", plugin)[1]
    assert isinstance(method, Method)  # find("methods") reads method records only
    return method.sampler


def _plugin(sampler: str) -> str:
    return sampler.split()[0].partition(":")[0]


def _settings(plugins: Plugins, text: str) -> dict[str, Any]:
    use, *assignments = text.split()
    address = plugins.find("samplers", use)[0]
    return {"use": address, **dict(map(parse_assignment, assignments))}


def _races(
    course: tuple[Benchmark, Mapping[str, Any] | None, Sequence[str]],
    entries: Mapping[str, Mapping[str, Any]],
    seeds: int,
    evaluations: int,
    seconds: float | None,
    workers: int,
    told: Callable[[int, int], None],
) -> dict[str, list[Curve]]:
    portion = max(1, -(-seeds * len(entries) // (workers * CHUNKS_A_WORKER)))
    jobs = [(name, range(start, min(start + portion, seeds))) for start in range(0, seeds, portion) for name in entries]
    curves: dict[str, dict[int, Curve]] = {name: {} for name in entries}
    done = 0
    if workers == 1:
        _start(*course)
        finished = ((name, some, _run(entries[name], some, evaluations, seconds)) for name, some in jobs)
        for name, some, races in finished:
            curves[name].update(zip(some, races, strict=True))
            done += len(some)
            told(done, seeds * len(entries))
    else:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of torch and MLflow
        with ProcessPoolExecutor(workers, spawn, _start, course) as pool:
            waiting = {
                pool.submit(_run, entries[name], some, evaluations, seconds): (name, some) for name, some in jobs
            }
            for future in as_completed(waiting):
                name, some = waiting[future]
                curves[name].update(zip(some, future.result(), strict=True))
                done += len(some)
                told(done, seeds * len(entries))
    return {name: [races[seed] for seed in range(seeds)] for name, races in curves.items()}


_course: Course | None = None


def _start(record: Benchmark, options: Mapping[str, Any] | None, objectives: Sequence[str]) -> None:
    """Make the benchmark ready, once a process."""
    global _course
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _course = Course(record, options, objectives)


def _run(sampler: Mapping[str, Any], seeds: range, evaluations: int, seconds: float | None) -> list[Curve]:
    assert _course is not None  # started
    return [_course.race(sampler, seed, evaluations, seconds) for seed in seeds]
