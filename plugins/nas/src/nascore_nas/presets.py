"""The settings of NAS, small ones and the paper's; data only."""

from __future__ import annotations

from typing import Any

QUICK: dict[str, Any] = {
    "trials": 60,
    "sampler.controller": "factorised",
    "sampler.batch": 2,
    "sampler.redraws": 20,
    "space.layers": 4,
    "space.heights": [1, 3, 5],
    "space.widths": [1, 3, 5],
    "space.filters": [8, 12, 16],
    "evaluator.epochs": 5,
    "evaluator.batch_size": 96,
    "evaluator.learning_rate": 0.02,
}
"""About a minute on two cores, on digits: 30 steps of the controller."""

PAPER_SETTINGS: dict[str, Any] = {
    "data": "blocks:cifar10",
    "trials": 12_800,
    "sampler.controller": "lstm",
    "sampler.hidden": 35,
    "sampler.layers": 2,
    "sampler.learning_rate": 6e-4,
    "sampler.reward": "cube",
    "sampler.last": 5,
    "space.layers": 15,
    "evaluator.epochs": 50,
    "evaluator.batch_size": 128,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 0.1,
    "evaluator.momentum": 0.9,
    "evaluator.weight_decay": 1e-4,
    "evaluator.schedule": "constant",
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The paper's search: 12,800 children of 50 epochs. The paper's depth grows from 6 by 2 every 1,600 samples; here it
is fixed. The batch size of the children and the length of the network are from memory."""

RECURRENT: dict[str, Any] = {
    "data": "blocks:text",
    "data.characters": 60_000,
    "data.valid": 0.03,
    "trials": 20,
    "objectives": ["loss"],
    "space": "nas:tree",
    "space.leaves": 4,
    "space.hidden": 48,
    "sampler.controller": "factorised",
    "sampler.batch": 2,
    "sampler.reward": "perplexity",
    "sampler.redraws": 20,
    "evaluator.epochs": 2,
    "evaluator.learning_rate": 0.01,
}
"""A minute or two on two cores, on CPython's reference, for a look at the method: ten steps of the controller."""

PAPER_RECURRENT: dict[str, Any] = {
    "data": "blocks:text",
    "data.length": 35,
    "trials": 15_000,
    "objectives": ["loss"],
    "space": "nas:tree",
    "space.leaves": 8,
    "space.hidden": 400,
    "sampler.controller": "lstm",
    "sampler.learning_rate": 5e-4,
    "sampler.reward": "perplexity",
    "evaluator.epochs": 35,
    "evaluator.optimizer": "sgd",
    "evaluator.learning_rate": 1.0,
    "evaluator.momentum": 0.0,
}
"""The paper's base 8, 35 epochs, reward 80 / perplexity^2, controller's learning rate. Penn Treebank is not among the
data sets; trials, units and the children's learning rate are ours."""
