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
    "space.widths": [8, 16, 24],
    "space.cells": [2, 2, 2],
    "evaluator.rounds": 30,
    "evaluator.learning_rate": 0.05,
}
"""One to two minutes on one core, on digits."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 120,
    "sampler.warm_up": 40,
    "space.widths": [24, 40, 80, 96, 192, 320],
    "space.cells": [4, 4, 4, 4, 4, 1],
    "space.strides": [2, 2, 2, 1, 2, 1],
    "space.kernels": [3, 5, 7],
    "space.expansions": [3, 6],
    "space.stem": 32,
    "space.first": 16,
    "space.head": 1280,
    "evaluator.rounds": 160,
    "evaluator.batch_size": 256,
    "evaluator.label_smoothing": 0.1,
    "evaluator.last_rate": 0.0,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The authors' space and schedule. They searched on ImageNet: give it by `--data folder:PATH`."""


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
            "architecture search with binary gates and measured latency, on chains of inverted residual blocks",
            space="blocks:mbconv",
            sampler="proxylessnas:proxylessnas",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs", "blocks:latency_ms"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits the quick preset beats a random draw: +0.0059 +- 0.0040 test accuracy, five seeds.",
        )
    ]
