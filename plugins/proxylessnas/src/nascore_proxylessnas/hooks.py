"""What nascore-proxylessnas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1812.00332"

QUICK = {
    "trials": 20,
    "sampler.learning_rate": 3e-2,
    "sampler.every": 1,
    "sampler.warm_up": 10,
    "sampler.weight": 0.01,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "evaluator.rounds": 30,
    "evaluator.learning_rate": 0.05,
}
"""One to two minutes on one core, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 120,
    "sampler.warm_up": 40,
    "space.blocks": 4,
    "space.cells": 2,
    "space.channels": 16,
    "evaluator.rounds": 160,
    "evaluator.batch_size": 256,
    "evaluator.label_smoothing": 0.1,
    "evaluator.last_rate": 0.0,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The authors' schedule (40 epochs of warm-up, 120 of search, batch 256, alpha every 5 steps), on DARTS cells:
their own space of inverted residuals is not here; see the README."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """ProxylessNAS."""
    return [
        Component(
            "proxylessnas",
            "one sampled path a step, its probabilities learnt from two, latency in the loss",
            "nascore_proxylessnas.sampler:ProxylessNAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """ProxylessNAS."""
    return [
        Method(
            "proxylessnas",
            "architecture search with binary gates and measured latency, on DARTS cells",
            space="blocks:darts",
            sampler="proxylessnas:proxylessnas",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs", "blocks:latency_ms"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="The space of inverted residuals of the paper is not here yet: DARTS cells stand in for it.",
        )
    ]
