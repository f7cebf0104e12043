"""What nascore-darts offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1806.09055"

QUICK = {
    "trials": 12,
    "sampler.learning_rate": 3e-3,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "evaluator.rounds": 12,
    "evaluator.learning_rate": 0.05,
}
"""Under two minutes on one core, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 50,
    "sampler.order": "second",
    "space.blocks": 4,
    "space.cells": 2,
    "space.channels": 16,
    "evaluator.rounds": 50,
    "evaluator.batch_size": 64,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: 8 cells, C = 16, 50 epochs, batch 64. The search's macro is that of the space, so the
paper's final network (20 cells, C = 36) is trained by another space setting; see the README."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """DARTS."""
    return [
        Component(
            "darts",
            "a softmax over the ops of each edge, its logits trained by gradient on the validation loss",
            "nascore_darts.sampler:DARTS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """DARTS."""
    return [
        Method(
            "darts",
            "differentiable architecture search on DARTS cells",
            space="blocks:darts",
            sampler="darts:darts",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="The quick preset is not shown to beat random search on digits: level with it in two seeds.",
        )
    ]
