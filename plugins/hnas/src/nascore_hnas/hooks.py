"""What nascore-hnas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1711.00436"

QUICK = {
    "trials": 50,
    "sampler.population_size": 20,
    "sampler.mutations": 100,
    "space.motifs": [2, 1],
    "space.nodes": [3, 4],
    "space.cells": 1,
    "space.channels": 8,
    "space.reductions": 1,
    "evaluator.epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two quiet cores, on digits (86 s of one): two motifs of three nodes, one of four."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 7000,
    "sampler.population_size": 200,
    "sampler.mutations": 1000,
    "space.motifs": [6, 1],
    "space.nodes": [4, 5],
    "space.distinct": False,
    "space.cells": 1,
    "space.channels": 16,
    "evaluator.epochs": 28,
    "evaluator.batch_size": 256,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.1,
    "evaluator.weight_decay": 3e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: six motifs of four nodes, one of five, 200 + 6,800 models with 16 channels, each trained for
about 5,000 steps (of 256 images: 28 epochs of 45,000). The batch and what stands below it are from memory. The flat
baseline is ``space.motifs=[1]``, ``space.nodes=[11]``; the random search ``sampler.variant=random``."""


@hookimpl
def nascore_samplers() -> list[Component]:
    """Tournament evolution."""
    return [
        Component(
            "hnas",
            "tournament evolution: 5% of the population compete, the winner's mutated child joins, nobody leaves",
            "nascore_hnas.sampler:TournamentEvolution",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """HNAS."""
    return [
        Method(
            "hnas",
            "tournament evolution of hierarchical motifs",
            space="blocks:hierarchical",
            sampler="hnas:hnas",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note=(
                "On digits, five seeds, the best of `quick` was not shown to be better than random search's (the "
                "paper's own comes within 0.3 points on CIFAR-10). The paper preset has not been run."
            ),
        )
    ]
