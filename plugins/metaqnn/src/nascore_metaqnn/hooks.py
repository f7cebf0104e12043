"""What nascore-metaqnn offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1611.02167"

QUICK = {
    "trials": 100,
    "sampler.learning_rate": 0.1,
    "space.depth": 6,
    "space.filters": [4, 8, 16],
    "space.kernels": [1, 3, 5],
    "space.pools": ["2_2", "3_2"],
    "space.units": [64, 32],
    "space.batch_norm": True,
    "space.dropout": 0.0,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits; the schedule of the paper shrunk to 100 models."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 2_700,
    "sampler.learning_rate": 0.01,
    "sampler.replays": 128,
    "space.depth": 18,
    "evaluator.epochs": 20,
    "evaluator.batch_size": 128,
    "evaluator.optimizer": "adamw",
    "evaluator.learning_rate": 1e-3,
    "evaluator.weight_decay": 0.0,
}
"""The paper's search: 2,700 models of at most 18 layers, 20 epochs each. Not the paper's: its learning rate falls to a
fifth every 5 epochs (here by a cosine), and a child that has learned nothing after one epoch is started again."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """Chains of layers."""
    return [
        Component(
            "chain",
            "convolutions, poolings and fully connected layers in a chain, with the paper's rules of what follows what",
            "nascore_metaqnn.space:ChainSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The agent."""
    return [
        Component(
            "metaqnn",
            "tabular Q-learning, epsilon-greedy, with experience replay",
            "nascore_metaqnn.sampler:MetaQNN",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """MetaQNN."""
    return [
        Method(
            "metaqnn",
            "Q-learning of layers in a chain",
            space="metaqnn:chain",
            sampler="metaqnn:metaqnn",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits, five seeds, the best of `quick` was not shown to be better than random search's.",
        )
    ]
