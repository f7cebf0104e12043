"""What nascore-automlzero offers; records only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.hooks import Component, Method, hookimpl

if TYPE_CHECKING:
    from nascore.driver import Search

PAPER = "arXiv:2003.03384"

QUICK = {
    "data": "automlzero:pairs",
    "data.tasks": 15,
    "data.projections": 4,
    "data.features": 8,
    "trials": 25,
    "space.ops": "linear",
    "sampler.candidates_per_trial": 40_000,
    "sampler.islands": 8,
    "sampler.population_size": 100,
    "sampler.tournament_size": 10,
    "evaluator.hurdle_tasks": 6,
}
"""Pairs of digits, and the seven ops that a linear classifier needs: a million candidates in about a minute."""

NOTE = (
    "The first search compiles for about half a minute; that is kept on disk. Linear regression from empty programs, "
    "and the quick preset beside logistic regression on pairs of digits that no search saw: benchmarks/automlzero.py."
)

PAPER_SETTINGS = {
    "data": "automlzero:pairs",
    "data.images": "cifar10",
    "data.features": 16,
    "trials": 1000,
    "space.setup": 21,
    "space.predict": 21,
    "space.learn": 45,
    "space.scalars": 10,
    "space.vectors": 16,
    "space.matrices": 4,
    "sampler.candidates_per_trial": 1_000_000,
    "sampler.islands": 16,
    "sampler.population_size": 100,
    "sampler.tournament_size": 10,
    "sampler.migrants": 50,
    "sampler.start": "empty",
}
"""Evolution from empty programs with all ops on pairs of CIFAR-10's classes: 10^9 candidates."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """Programs."""
    return [
        Component(
            "programs",
            "programs of three parts (Setup, Predict, Learn) over scalars, vectors and matrices, 65 ops",
            "nascore_automlzero.space:ProgramSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """Regularised evolution."""
    return [
        Component(
            "evolution",
            "regularised evolution of programs: a tournament with replacement, a mutation, the oldest dies",
            "nascore_automlzero.sampler:ProgramEvolution",
            paper=PAPER,
        ),
        Component(
            "islands",
            "the same in compiled rounds, on islands that exchange members; a trial is the best program of a round",
            "nascore_automlzero.islands:ProgramIslands",
            paper=PAPER,
        ),
    ]


@hookimpl
def nascore_evaluators() -> list[Component]:
    """Tasks."""
    return [
        Component(
            "tasks",
            "trains and tests a program on several tasks, compiled; regression or two classes",
            "nascore_automlzero.evaluator:ProgramTasks",
            paper=PAPER,
        ),
        Component(
            "rounds",
            "tasks, and before each trial a compiled round of evolution: cache of behaviours, hurdle, islands",
            "nascore_automlzero.rounds:ProgramRounds",
            paper=PAPER,
        ),
    ]


@hookimpl
def nascore_cost_models() -> list[Component]:
    """The length of a program."""
    return [Component("size", "instructions that a prediction depends on", "nascore_automlzero.evaluator:ProgramSize")]


@hookimpl
def nascore_datasets() -> list[Component]:
    """Many small tasks."""
    return [
        Component(
            "regression", "synthetic regressions: linear, affine, nonlinear", "nascore_automlzero.tasks:Regression"
        ),
        Component(
            "pairs",
            "pairs of classes of digits or cifar10, projected to few features; other pairs to test on",
            "nascore_automlzero.tasks:ClassPairs",
        ),
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """AutoML-Zero."""
    return [
        Method(
            "automl-zero",
            "evolves whole machine-learning programs from scratch",
            space="automlzero:programs",
            sampler="automlzero:islands",
            evaluator="automlzero:rounds",
            data="automlzero:pairs",
            costs=("automlzero:size",),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note=NOTE,
        )
    ]


@hookimpl
def nascore_search_finished(search: Search) -> None:
    """Write the progress of a search over programs: a picture, and the code at each improvement."""
    if "programs" in search.space.provides:
        from nascore_automlzero.progress import write_progress

        write_progress(search)
