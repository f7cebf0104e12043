"""What nascore-pnas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1712.00559"

QUICK = {
    "trials": 52,
    "sampler.beam": 8,
    "sampler.hidden": 32,
    "sampler.embedding": 16,
    "space.blocks": 3,
    "space.ops": ["skip_connect", "sep_conv_3x3", "max_pool_3x3", "conv_3x3"],
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""A minute or two on two cores, on digits: 36 cells of one block, 8 of two, 8 of three."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 1160,
    "sampler.beam": 256,
    "sampler.surrogate": "mlp",
    "sampler.largest_only": True,
    "space.blocks": 5,
    "space.cells": 2,
    "space.channels": 24,
    "evaluator.epochs": 20,
    "evaluator.batch_size": 128,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.01,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: 136 cells of one block, then K = 256 of each size up to B = 5; N = 2, F = 24, 20 epochs,
a cosine from 0.01. Batch size and weight decay of the search were not at hand."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The one-cell space."""
    return [
        Component(
            "pnas",
            "one cell of 1 to B pairwise combinations, which with stride 2 reduces as well",
            "nascore_pnas.space:PNASSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """Progressive search."""
    return [
        Component(
            "pnas",
            "cells grow block by block: a surrogate ranks all extensions, the K best are judged",
            "nascore_pnas.sampler:Progressive",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """PNAS."""
    return [
        Method(
            "pnas",
            "progressive search: simple cells first, then larger ones as a surrogate ranks them",
            space="pnas:pnas",
            sampler="pnas:pnas",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
        )
    ]
