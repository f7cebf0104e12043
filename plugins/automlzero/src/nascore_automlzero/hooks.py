"""What nascore-automlzero offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:2003.03384"

QUICK = {
    "data": "automlzero:pairs",
    "data.tasks": 6,
    "data.features": 8,
    "trials": 20_000,
    "space.ops": "linear",
    "sampler.population_size": 100,
    "sampler.tournament_size": 10,
}
"""Pairs of digits, and the seven ops that a linear classifier needs; about a minute."""

NOTE = (
    "Half of the quick preset (10,000 candidates), seeds 0, 1, 2: accuracy 0.92, 0.89, 0.89, random search 0.77, 0.75, "
    "0.67. On pairs that no search saw: 0.95, 0.88, 0.97; a linear classifier written by hand 0.96, 0.92, 0.97. Not "
    "shown: linear regression from empty programs, which takes millions of candidates. Hurdles and migration are not "
    "built, and `export` does not take programs: `ProgramSpace.source` writes one as NumPy."
)

PAPER_SETTINGS = {
    "data": "automlzero:pairs",
    "data.features": 16,
    "trials": 10_000_000,
    "space.setup": 21,
    "space.predict": 21,
    "space.learn": 45,
    "space.scalars": 10,
    "space.vectors": 16,
    "space.matrices": 4,
    "sampler.population_size": 100,
    "sampler.tournament_size": 10,
    "sampler.start": "empty",
    "evaluator.cache_size": 100_000,
}
"""Evolution from empty programs with all ops, on pairs of digits where the paper has CIFAR-10."""


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
        )
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
        )
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
            "pairs of scikit-learn's digits, projected to few features; other pairs to test on",
            "nascore_automlzero.tasks:DigitPairs",
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
            sampler="automlzero:evolution",
            evaluator="automlzero:tasks",
            data="automlzero:pairs",
            costs=("automlzero:size",),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note=NOTE,
        )
    ]
