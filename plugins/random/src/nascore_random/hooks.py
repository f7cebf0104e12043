"""What nascore-random offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

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
    "trials": 20_000,
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
"""Space and training of the AmoebaNet paper, which has random search as its baseline."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """Random search."""
    return [
        Component(
            "random",
            "independent draws, each option as likely; deduplication on request",
            "nascore_random.sampler:RandomSearch",
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Random search on the cells that the other methods search."""
    return [
        Method(
            "random",
            "random search on NASNet cells: the baseline",
            space="blocks:nasnet",
            sampler="random:random",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
        )
    ]
