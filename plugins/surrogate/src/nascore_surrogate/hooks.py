"""What nascore-surrogate offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

QUICK = {
    "trials": 50,
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits."""

PAPER = {
    "data": "blocks:cifar10",
    "trials": 1160,
    "sampler.start": 100,
    "sampler.candidates": 1000,
    "space.blocks": 5,
    "space.cells": 3,
    "space.channels": 24,
    "evaluator.epochs": 20,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The budget of PNAS: 1,160 trainings of 20 epochs."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """The surrogate."""
    return [
        Component(
            "surrogate",
            "a Gaussian process over decisions proposes what it expects to improve most",
            "nascore_surrogate.sampler:Surrogate",
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Predictor-guided search of NASNet cells."""
    return [
        Method(
            "surrogate",
            "predictor-guided search, on NASNet cells",
            space="blocks:nasnet",
            sampler="surrogate:surrogate",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER},
            note="On digits not measured against random search; on NAS-Bench-201 it was, see its README.",
        )
    ]
