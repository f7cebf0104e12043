"""What nascore-pathlevel offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1806.02639"

QUICK = {
    "trials": 31,
    "keep": "all",
    "space.cells": 3,
    "space.channels": 8,
    "space.max_depth": 2,
    "sampler.hidden": 32,
    "sampler.batch": 5,
    "sampler.stage_trials": 10,
    "sampler.learning_rate": 0.01,
    "evaluator.epochs": 2,
    "evaluator.scratch_epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.01,
}
"""About a minute on two cores, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 501,
    "keep": "all",
    "space.cells": 12,
    "space.channels": 32,
    "space.pools": 2,
    "space.max_depth": 3,
    "sampler.cells": 1,
    "evaluator.epochs": 20,
    "evaluator.batch_size": 64,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.035,
    "evaluator.weight_decay": 1e-4,
    "evaluator.clip": 0.0,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""500 children of 20 epochs at 0.035, depth 3, hidden 100. The paper's base networks (DenseNet, PyramidNet) are not
here: the chain of 12 cells is ours."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """Tree-structured cells."""
    return [
        Component(
            "tree",
            "a chain of cells that are trees of branches, each grown from a layer without a change of function",
            "nascore_pathlevel.space:TreeSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The tree-LSTM controller."""
    return [
        Component(
            "pathlevel",
            "a tree-LSTM turns layers into branches and learns by REINFORCE",
            "nascore_pathlevel.sampler:PathLevel",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Path-level transformation."""
    return [
        Method(
            "pathlevel",
            "layers become trees of branches that compute the same, and go on learning",
            space="pathlevel:tree",
            sampler="pathlevel:pathlevel",
            evaluator="blocks:inherit",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="Every trial keeps its weights (keep = all): a child needs those of its parent. On digits better "
            "than training each child from scratch at equal total epochs (ten seeds).",
        )
    ]
