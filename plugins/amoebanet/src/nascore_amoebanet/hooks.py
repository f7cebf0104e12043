"""What nascore-amoebanet offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1802.01548"

QUICK = {
    "trials": 50,
    "sampler.population_size": 12,
    "sampler.tournament_size": 4,
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 20_000,
    "sampler.population_size": 100,
    "sampler.tournament_size": 25,
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
"""The paper's search: N = 3 normal cells a stage, F = 24 filters, 25 epochs, 20,000 models. What stands below
the epochs is the paper's recipe for the final training, from memory; of the search's own none was at hand."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """Aging evolution."""
    return [
        Component(
            "amoebanet",
            "aging evolution: a tournament picks the parent, the child mutates one decision, the oldest dies",
            "nascore_amoebanet.sampler:AgingEvolution",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """AmoebaNet."""
    return [
        Method(
            "amoebanet",
            "aging evolution on NASNet cells",
            space="blocks:nasnet",
            sampler="amoebanet:amoebanet",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            default=True,
        )
    ]
