"""What nascore-curves offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1705.10823"

QUICK = {
    "trials": 50,
    "pruner.use": "curves:predict",
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 12,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""Two or three minutes on two cores, on digits: 12 epochs, so that there is a curve to stop early."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 1000,
    "pruner.use": "curves:predict",
    "pruner.burn_in": 100,
    "pruner.delta": 0.99,
    "pruner.settings": 1000,
    "pruner.refit": 50,
    "space.blocks": 5,
    "space.cells": 3,
    "space.channels": 24,
    "evaluator.epochs": 20,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""Burn-in, delta and random search of the paper; space and training of PNAS, as the paper's own are many."""


@hookimpl
def nascore_pruners() -> list[Component]:
    """Early stopping by prediction."""
    return [
        Component(
            "predict",
            "stops a trial whose learning curve is predicted not to end above the best",
            "nascore_curves.pruner:Predict",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Random search with early stopping."""
    return [
        Method(
            "curves",
            "random search on NASNet cells, each training stopped when its predicted end cannot win",
            space="blocks:nasnet",
            sampler="random:random",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="The sampler is that of nascore-random; any other fits: --sampler NAME. The preset was not compared "
            "with random search without it; on curves known to their end it trains 1.8 to 2.8 times fewer epochs.",
        )
    ]
