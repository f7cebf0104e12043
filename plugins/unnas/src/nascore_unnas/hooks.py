"""What nascore-unnas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:2003.12056"

QUICK = {
    "trials": 30,
    "space.blocks": 2,
    "space.cells": 1,
    "space.channels": 4,
    "space.reductions": 1,
    "evaluator.epochs": 2,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits: a step learns from four rotations of each image."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 500,
    "space.use": "blocks:darts",
    "space.channels": 16,
    "space.cells": 6,
    "evaluator.epochs": 100,
    "evaluator.batch_size": 32,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.025,
    "evaluator.weight_decay": 5e-4,
}
"""The sample-based study on CIFAR-10: 500 networks of width 16 and depth 20 (6 cells a stage and 2 reductions), 100
epochs; batch and learning rate of its rotation and jigsaw."""


@hookimpl
def nascore_evaluators() -> list[Component]:
    """The pretext tasks."""
    return [
        Component(
            "rotation", "train without labels: by which of four angles was the image turned?",
            "nascore_unnas.rotation:Rotation", paper=PAPER,
        ),
        Component(
            "colorization", "train without labels: which colour has each part of a grey image?",
            "nascore_unnas.colour:Colorization", paper=PAPER,
        ),
        Component(
            "jigsaw", "train without labels: in which order do the tiles of the image lie?",
            "nascore_unnas.jigsaw:Jigsaw", paper=PAPER,
        ),
    ]  # fmt: skip


@hookimpl
def nascore_datasets() -> list[Component]:
    """Colour without a download."""
    return [
        Component(
            "patches",
            "2,080 patches of scikit-learn's two photographs, 3x16x16, 6 classes: which photograph, which third",
            "nascore_unnas.patches:Patches",
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """Random search by a pretext task."""
    return [
        Method(
            "unnas",
            "search without labels: cells are judged by how well they tell rotations apart",
            space="blocks:nasnet",
            sampler="random:random",
            evaluator="unnas:rotation",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="The accuracy is that of the pretext task; nascore retrain RUN gives that with labels. Any sampler "
            "fits: --sampler NAME; other tasks: --evaluator unnas:jigsaw, or unnas:colorization where there is colour.",
        )
    ]
