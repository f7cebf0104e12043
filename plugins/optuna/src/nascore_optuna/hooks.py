"""What nascore-optuna offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1907.10902"

SAMPLERS = [
    ("tpe", "tree-structured Parzen estimator", "TPE"),
    ("random", "Optuna's random search", "Random"),
    ("nsgaii", "NSGA-II, a genetic algorithm for several objectives", "NSGAII"),
    ("nsgaiii", "NSGA-III, a genetic algorithm for many objectives", "NSGAIII"),
    ("gp", "Bayesian optimisation with a Gaussian process", "GP"),
    ("qmc", "a quasi-Monte-Carlo sequence", "QMC"),
    ("bruteforce", "every architecture once", "BruteForce"),
]

QUICK = {
    "trials": 50,
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits; space and training as in the quick preset of amoebanet."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 1000,
    "space.blocks": 5,
    "space.cells": 3,
    "space.channels": 24,
    "evaluator.epochs": 25,
    "evaluator.batch_size": 128,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.024,
    "evaluator.weight_decay": 5e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""Space and training of the AmoebaNet paper. No paper ran TPE on them; 1,000 trials are our choice."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """Optuna's samplers, over every space made of decisions."""
    return [
        Component(name, summary, f"nascore_optuna.samplers:{factory}", paper=PAPER)
        for name, summary, factory in SAMPLERS
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """TPE on the cells that the other methods search."""
    return [
        Method(
            "optuna",
            "Optuna's TPE on NASNet cells; --sampler optuna:NAME takes another of its samplers",
            space="blocks:nasnet",
            sampler="optuna:tpe",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
        )
    ]
