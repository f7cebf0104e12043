"""What nascore-eas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl

PAPER = "arXiv:1707.04873"

QUICK = {
    "trials": 81,
    "keep": "all",
    "space.wider_noise": 0.3,
    "sampler.batch": 4,
    "sampler.wider": 2,
    "sampler.deeper": 1,
    "sampler.learning_rate": 0.01,
    "sampler.stage_trials": 8,
    "evaluator.epochs": 2,
    "evaluator.scratch_epochs": 4,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.01,
}
"""Half a minute on two cores, on digits: ten stages of two steps of the controller. Copies of a channel that hardly
differ stay copies for the two epochs of a child, so they get more noise than the default."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 451,
    "keep": "all",
    "space.start": "conv-16-3 pool conv-32-3 pool conv-64-3 pool conv-128-3 pool fc-256",
    "space.widths": [16, 32, 64, 96, 128, 192, 256, 320, 384, 448, 512],
    "space.units": [64, 128, 256, 384, 512, 640, 768, 896, 1024],
    "space.max_depth": 9,
    "space.max_fc": 3,
    "sampler.stage_trials": 300,
    "evaluator.epochs": 20,
    "evaluator.batch_size": 64,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.02,
    "evaluator.weight_decay": 1e-4,
    "evaluator.clip": 0.0,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search on plain networks: batches of 10 children, 20 epochs each at 0.02, 300 children and then 150 of
the best. Start and lists of widths are of the paper's kind, from memory; so is the weight decay."""


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The paper's plain networks."""
    return [
        Component(
            "chain",
            "plain convolutional networks as strings of layers, which widen and deepen without a change of function",
            "nascore_eas.chain:ChainSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The meta-controller."""
    return [
        Component(
            "eas",
            "a bidirectional LSTM widens and deepens a trained network and learns by REINFORCE",
            "nascore_eas.sampler:EAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """EAS."""
    return [
        Method(
            "eas",
            "search by function-preserving transformation: children go on from their parent's weights",
            space="eas:chain",
            sampler="eas:eas",
            evaluator="blocks:inherit",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={"quick": QUICK, "paper": PAPER_SETTINGS},
            paper=PAPER,
            note="Every trial keeps its weights (keep = all): a child needs those of its parent. On digits better "
            "than training each child from scratch at equal total epochs (ten seeds).",
        )
    ]
