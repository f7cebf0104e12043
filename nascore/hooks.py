"""The hook specifications, and the records that hooks return.

A plugin is a module with functions marked by :data:`hookimpl`, announced as an entry point in the
group ``nascore``. Its module imports nothing heavy: a record names its factory by reference
(``module:attribute``), and the reference is imported only when the part is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Round
    from nascore.driver import Search
    from nascore.records import Candidate, Trial
    from nascore.result import SearchResult

hookspec = pluggy.HookspecMarker("nascore")
hookimpl = pluggy.HookimplMarker("nascore")


@dataclass(frozen=True)
class Component:
    """One part that a plugin offers.

    Attributes:
        name: unique among the parts of its kind in this plugin.
        summary: one line for people.
        factory: ``module:attribute`` of the class (or function) that makes the part; the keyword
            arguments of its constructor are the part's options.
        paper: where it comes from, such as ``arXiv:1802.01548``.
    """

    name: str
    summary: str
    factory: str
    paper: str = ""


@dataclass(frozen=True)
class Method:
    """A method of the literature: a named choice of parts, with the paper's settings.

    Attributes:
        name: what ``nascore search --plugin`` takes.
        summary: one line for people.
        space, sampler, evaluator, data: addresses of parts, ``plugin:part``.
        costs: addresses of the cost models that price every trial.
        presets: name -> settings, as in ``search.toml``, keys dotted (``sampler.population_size``).
            Every method has ``quick`` (the default) and ``paper``.
        paper: where it comes from.
        note: what a user must know, such as a preset that does not beat random search.
        default: serve a search that names no plugin (the first such method by name does).
    """

    name: str
    summary: str
    space: str
    sampler: str
    evaluator: str
    data: str
    costs: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    paper: str = ""
    note: str = ""
    default: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A task with a known truth, on which ``nascore compare`` races samplers.

    Attributes:
        name: unique among the benchmarks of its plugin.
        summary: one line for people.
        space, evaluator, data: addresses of parts, ``plugin:part``. An evaluator that provides ``table``
            looks values up and draws from nothing but ``context.seed``.
        settings: of those parts, by table: ``{"evaluator": {"data": "cifar10"}}``.
        objective: what the samplers see; empty: the evaluator's first.
        score: the metric of a measurement that an incumbent is judged by, and no sampler sees; empty: the
            objective itself.
        seconds: the metric with the simulated seconds of an evaluation; empty: none.
        reference_point: objective -> the worst value that counts, for the hypervolume of a front; one that is left
            out: the worst of the table. Several objectives need an evaluator that provides ``rows``.
        reference: name -> {evaluations: mean score}, numbers of others to be shown beside.
        paper: where it comes from.
        note: what a user must know.
    """

    name: str
    summary: str
    space: str
    evaluator: str
    data: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: str = ""
    score: str = ""
    seconds: str = ""
    reference_point: Mapping[str, float] = field(default_factory=dict)
    reference: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    paper: str = ""
    note: str = ""


class PartHooks:
    """What a plugin offers. Each hook is called when parts are looked up, and returns records only."""

    @hookspec
    def nascore_search_spaces(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Search spaces.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.SearchSpace`.
        """

    @hookspec
    def nascore_samplers(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Samplers.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.Sampler`.
        """

    @hookspec
    def nascore_evaluators(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Evaluators.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.Evaluator`.
        """

    @hookspec
    def nascore_cost_models(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Hardware cost models.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.CostModel`.
        """

    @hookspec
    def nascore_datasets(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Data sets.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.Dataset`. A data set that is
            named with an argument (``folder:PATH``) gets it as its first constructor argument. The
            part called ``user`` wraps what a user's own reference (``my_data.py:load``) gives.
        """

    @hookspec
    def nascore_executors(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Executors: where evaluations run.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.Executor`.
        """

    @hookspec
    def nascore_pruners(self) -> Sequence[Component]:  # type: ignore[empty-body]  # a specification
        """Pruners: rules that stop a trial early. Optuna's are there without a plugin.

        Returns:
            Records whose factory makes a :class:`nascore.contracts.Pruner`.
        """

    @hookspec
    def nascore_methods(self) -> Sequence[Method]:  # type: ignore[empty-body]  # a specification
        """Methods.

        Returns:
            Records; a method names its parts by address, so it needs no factory.
        """

    @hookspec
    def nascore_benchmarks(self) -> Sequence[Benchmark]:  # type: ignore[empty-body]  # a specification
        """Benchmarks with a known truth, for ``nascore compare``.

        Returns:
            Records; a benchmark names its parts by address, so it needs no factory.
        """


class LifecycleHooks:
    """What happens in a search.

    An implementation that raises is reported, then left out for the rest of the search; it never
    stops it. All are called in the driver's process, in order.
    """

    @hookspec
    def nascore_search_started(self, search: Search) -> None:
        """A search (or a resumed one) is about to ask for its first candidate.

        Args:
            search: settings, parts, run folder and history; read only.
        """

    @hookspec
    def nascore_round_finished(self, search: Search, number: int, round: Round) -> None:
        """A round of shared training changed something.

        Args:
            search: the search.
            number: of the trial about to be asked.
            round: what was done, with its metrics.
        """

    @hookspec
    def nascore_trial_started(self, search: Search, number: int, candidate: Candidate) -> None:
        """A candidate was proposed and goes to an executor.

        Args:
            search: the search.
            number: of the trial.
            candidate: what was proposed.
        """

    @hookspec
    def nascore_trial_reported(self, search: Search, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """A running trial reported a point of its learning curve.

        Args:
            search: the search.
            number: of the trial.
            step: as reported, usually an epoch from 1 on.
            metrics: the values at this step.
        """

    @hookspec
    def nascore_trial_finished(self, search: Search, trial: Trial) -> None:
        """A trial is stored and told.

        Args:
            search: the search.
            trial: with its status, whatever it is.
        """

    @hookspec
    def nascore_search_finished(self, search: Search, result: SearchResult) -> None:
        """The search ended: its budget is used up, it was interrupted, or nothing is left to propose.

        Args:
            search: the search.
            result: best trial, Pareto front, counts.
        """
