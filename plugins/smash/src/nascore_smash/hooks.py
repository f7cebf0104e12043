"""What nascore-smash offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1708.05344"

QUICK = {
    "trials": 60,
    "objectives": ["loss"],
    "sampler.random": 40,
    "sampler.perturbations": 10,
    "space.blocks": 1,
    "space.ops": 4,
    "space.banks": 6,
    "space.channels": 4,
    "space.widths": [1, 2, 4],
    "space.kernels": [3, 5],
    "space.dilations": [1],
    "space.groups": [1, 2, 4],
    "evaluator.rounds": 30,
    "evaluator.learning_rate": 0.01,
    "evaluator.growth": 32,
    "evaluator.layers": [2],
}
"""About half a minute of one core on digits: six banks of four channels, four ops, a hypernetwork of two layers.
Ranked by loss, which agrees better with accuracy alone than the paper's accuracy does; see the README."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 700,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The defaults of the parts: 12 ops a block, banks of 8 channels, 100 epochs of batches of 50; 500 random
architectures, 100 perturbations, a chain of 100."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """Memory banks."""
    return [
        Component(
            "banks",
            "blocks of ops that read and write memory banks: residual, dense, and what lies between",
            "nascore_smash.space:BankSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The draws of the paper."""
    return [
        Component(
            "perturb",
            "random draws, then perturbations of the best, then a chain of them",
            "nascore_smash.sampler:Perturb",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_evaluators() -> list[Component]:
    """The hypernetwork."""
    return [
        Component(
            "hypernet",
            "train a hypernetwork that predicts weights, then judge a network by the weights predicted for it",
            "nascore_smash.evaluator:HyperWeights",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """SMASH."""
    return [
        Method(
            "smash",
            "one hypernetwork predicts the weights of any memory-bank network; the best one is trained alone",
            space="smash:banks",
            sampler="smash:perturb",
            evaluator="smash:hypernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="On digits the score of `quick` (loss) ranks 100 networks as eight epochs alone do with tau 0.46 to "
            "0.54 (three hypernetworks), the number of parameters with 0.68. Whether the answer beats a random draw "
            "was not measured.",
        )
    ]
