"""What nascore-oneshot offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "Bender et al., ICML 2018"

QUICK = {
    "trials": 50,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "space.reductions": 1,
    "evaluator.r": 0.1,
    "evaluator.rounds": 15,
    "evaluator.learning_rate": 0.05,
}
"""One to two minutes on one core, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 20_000,
    "space.blocks": 4,
    "space.cells": 2,
    "space.channels": 16,
    "evaluator.rounds": 113,
    "evaluator.batch_size": 64,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's four choice blocks, eight cells, seven ops, r = 0.05, two ghosts of 32, 113 epochs; see the README."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """The draws of the paper."""
    return [
        Component(
            "oneshot",
            "independent draws from a fixed distribution, ranked by shared weights",
            "nascore_oneshot.sampler:FixedDistribution",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_evaluators() -> list[Component]:
    """The one-shot model."""
    return [
        Component(
            "supernet",
            "train all paths at once with path dropout, then judge a network by the weights it shares",
            "nascore_oneshot.evaluator:OneShotModel",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """One-Shot."""
    return [
        Method(
            "oneshot",
            "one network with all paths, trained once; random architectures ranked by its weights",
            space="blocks:choice",
            sampler="oneshot:oneshot",
            evaluator="oneshot:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits: shared weights rank 100 architectures as two epochs alone do (tau 0.42); the answer, "
            "trained alone, is not shown to beat a random draw: +0.0029 +- 0.0034 test accuracy, five seeds.",
        )
    ]
