"""What nascore-darts offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1806.09055"

QUICK = {
    "trials": 12,
    "sampler.learning_rate": 3e-2,
    "sampler.hessian_every": 4,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "evaluator.rounds": 12,
    "evaluator.learning_rate": 0.05,
}
"""Under two minutes on one core, on digits."""

RECURRENT = {
    "data": "blocks:text",
    "data.characters": 60_000,
    "data.valid": 0.03,
    "trials": 10,
    "space": "blocks:recurrent",
    "space.nodes": 4,
    "space.hidden": 48,
    "sampler.learning_rate": 3e-2,
    "sampler.hessian_every": 5,
    "evaluator.rounds": 10,
    "evaluator.steps": 15,
    "evaluator.optimizer": "adamw",
    "evaluator.learning_rate": 0.02,
    "evaluator.retrain": {"epochs": 4, "learning_rate": 0.03},
}
"""The recurrent cell on CPython's language reference, a minute or two on one core; not compared with random cells."""

PAPER_SETTINGS = {
    "data.use": "blocks:cifar10",
    "data.valid": 0.5,
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
"""The paper's search: half of the training images for alpha, 8 cells, C = 16, 50 epochs, batch 64. The search's macro
is that of the space, so the paper's final network (20 cells, C = 36) is trained by another space setting; see the
README."""


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
            presets={"quick": QUICK, "recurrent": RECURRENT, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="The quick preset does not beat a random draw on digits: -0.0036 +- 0.0061 test accuracy, five seeds.",
        )
    ]
