"""What nascore-enas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1802.03268"
OPS = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"]
"""The five ops of the paper's cells."""

QUICK = {
    "trials": 30,
    "sampler.learning_rate": 5e-3,
    "sampler.steps": 10,
    "sampler.samples": 5,
    "sampler.separable_bias": 0.25,
    "sampler.baseline_decay": 0.95,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "space.ops": OPS,
    "evaluator.rounds": 20,
    "evaluator.learning_rate": 0.05,
}
"""About a minute on one core, on digits. The paper's bounds on the logits stay: with c = 2.5 for the ops the
controller settles within three rounds on cells without a parameter, which the shared weights favour early."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 160,
    "sampler.separable_bias": 0.25,
    "space.blocks": 5,
    "space.cells": 2,
    "space.channels": 20,
    "space.ops": OPS,
    "evaluator.rounds": 150,
    "evaluator.batch_size": 160,
    "evaluator.learning_rate": 0.05,
    "evaluator.last_rate": 5e-4,
    "evaluator.weight_decay": 1e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The micro search: B = 7 nodes with the two inputs, 20 filters, 150 epochs, 30 controller steps of 10 samples each
round; ten draws at the end. See the README for what differs."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """ENAS."""
    return [
        Component(
            "enas",
            "an LSTM controller that learns by REINFORCE from the accuracy on shared weights",
            "nascore_enas.sampler:ENAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """ENAS, micro search."""
    return [
        Method(
            "enas",
            "a controller over shared weights, on NASNet cells",
            space="blocks:nasnet",
            sampler="enas:enas",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits, one seed: "
            "the quick preset's answer, trained alone, was not better than random architectures of its space.",
        )
    ]
