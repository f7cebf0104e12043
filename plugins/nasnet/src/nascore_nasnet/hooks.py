"""What nascore-nasnet offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1707.07012"

QUICK = {
    "trials": 60,
    "sampler.hidden": 32,
    "sampler.learning_rate": 0.02,
    "sampler.batch": 10,
    "space.blocks": 2,
    "space.ops": ["skip_connect", "sep_conv_3x3", "avg_pool_3x3", "max_pool_3x3", "conv_3x3"],
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""A minute or two on two cores, on digits: six updates of the controller."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 20_000,
    "sampler.hidden": 100,
    "sampler.learning_rate": 3.5e-4,
    "sampler.batch": 20,
    "sampler.entropy_weight": 1e-5,
    "sampler.baseline_decay": 0.95,
    "space.blocks": 5,
    "space.cells": 2,
    "space.channels": 32,
    "space.combine": ["add", "concat"],
    "evaluator.epochs": 20,
    "evaluator.batch_size": 32,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.025,
    "evaluator.weight_decay": 5e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: N = 2, F = 32, 13 ops, 20 epochs, 20,000 models. Batch size, learning rate and weight
decay of the children are those of the final training; of the search's own none was at hand."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The cells of the paper."""
    return [
        Component(
            "combinations",  # `--space nasnet` stays that of blocks, whether or not this plugin is there
            "NASNet cells with the paper's 13 ops; five decisions a block, addition or concatenation among them",
            "nascore_nasnet.space:NASNetCells",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The controller."""
    return [
        Component(
            "nasnet",
            "an LSTM controller draws the decisions one by one and learns by PPO",
            "nascore_nasnet.sampler:NASNet",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """NASNet."""
    return [
        Method(
            "nasnet",
            "a controller trained by PPO, on NASNet cells",
            space="nasnet:combinations",
            sampler="nasnet:nasnet",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
        )
    ]
