"""What nascore-snas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1812.09926"

QUICK = {
    "trials": 15,
    "sampler.learning_rate": 3e-2,
    "sampler.eta": 1e-4,
    "sampler.last_temperature": 0.1,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "evaluator.rounds": 15,
    "evaluator.learning_rate": 0.05,
}
"""One to two minutes on one core, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 150,
    "space.blocks": 4,
    "space.cells": 2,
    "space.channels": 16,
    "evaluator.rounds": 150,
    "evaluator.batch_size": 64,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: 8 cells, C = 16, 150 epochs, batch 64. The search's macro is that of the space, so the
paper's final network (20 cells, C = 36) is trained by another space setting; see the README."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """SNAS."""
    return [
        Component(
            "snas",
            "relaxed samples of each edge's op, their distribution and the weights trained on one loss",
            "nascore_snas.sampler:SNAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """SNAS."""
    return [
        Method(
            "snas",
            "stochastic architecture search on DARTS cells, with a resource term",
            space="blocks:darts",
            sampler="snas:snas",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits the quick preset beats a random draw: +0.0040 +- 0.0035 test accuracy, five seeds; most of "
            "the ops that it chooses are poolings and identities.",
        )
    ]
