"""The settings of the method's presets; no code."""

from __future__ import annotations

from typing import Any

OPS = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"]
"""The five ops of the paper's cells."""

QUICK = {
    "trials": 30,
    "sampler.learning_rate": 5e-3,
    "sampler.steps": 10,
    "sampler.samples": 5,
    "sampler.separable_bias": 0.25,
    "sampler.baseline_decay": 0.95,
    "space.blocks": 3,
    "space.cells": 1,
    "space.channels": 8,
    "space.ops": OPS,
    "evaluator.rounds": 20,
    "evaluator.learning_rate": 0.05,
}
"""About a minute on one core, on digits. The paper's bounds on the logits stay: with c = 2.5 for the ops the
controller settles within three rounds on cells without a parameter, which the shared weights favour early."""

PAPER_SETTINGS = {
    "data": "blocks:cifar10",
    "trials": 160,
    "sampler.separable_bias": 0.25,
    "space.blocks": 5,
    "space.cells": 2,
    "space.channels": 20,
    "space.ops": OPS,
    "evaluator.rounds": 150,
    "evaluator.batch_size": 160,
    "evaluator.learning_rate": 0.05,
    "evaluator.last_rate": 5e-4,
    "evaluator.weight_decay": 1e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The micro search: B = 7 nodes with the two inputs, 20 filters, 150 epochs, 30 controller steps of 10 samples each
round; ten draws at the end. See the README for what differs."""

MACRO = {
    "space": "blocks:macro",
    "trials": 30,
    "sampler.learning_rate": 5e-3,
    "sampler.tanh_constant": 1.5,
    "sampler.steps": 10,
    "sampler.samples": 5,
    "sampler.baseline_decay": 0.95,
    "space.layers": 6,
    "space.channels": 12,
    "evaluator.rounds": 20,
    "evaluator.learning_rate": 0.05,
}
"""The macro search on digits, one to two minutes on one core."""

PAPER_MACRO = {
    "data": "blocks:cifar10",
    "space": "blocks:macro",
    "trials": 320,
    "sampler.learning_rate": 1e-3,
    "sampler.tanh_constant": 1.5,
    "sampler.steps": 50,
    "sampler.samples": 20,
    "space.layers": 12,
    "space.channels": 36,
    "evaluator.rounds": 310,
    "evaluator.batch_size": 128,
    "evaluator.learning_rate": 0.05,
    "evaluator.last_rate": 5e-4,
    "evaluator.weight_decay": 2.5e-4,
    "evaluator.flip": True,
    "evaluator.crop": 4,
}
"""The macro search: 12 layers of 36 filters, 310 epochs, 50 controller steps of 20 samples each round, skips kept near
a rate of 0.4; ten draws at the end."""

RECURRENT: dict[str, Any] = {
    "data": "blocks:text",
    "data.characters": 60_000,
    "data.valid": 0.03,
    "trials": 12,
    "space": "blocks:recurrent",
    "space.nodes": 5,
    "space.first": "chosen",
    "space.average": "unread",
    "space.share": "pair",
    "space.hidden": 48,
    "sampler.learning_rate": 2e-3,
    "sampler.steps": 10,
    "sampler.samples": 5,
    "sampler.tanh_constant": 1.5,
    "sampler.op_reduce": 1.0,
    "sampler.baseline_decay": 0.95,
    "evaluator.rounds": 10,
    "evaluator.steps": 20,
    "evaluator.optimizer": "adamw",
    "evaluator.learning_rate": 0.02,
    "evaluator.retrain": {"epochs": 4, "learning_rate": 0.02},
}
"""One to two minutes on one core, on CPython's reference: six states, the first of which chooses as well. With the
paper's c = 2.5 the controller settles in a round on the identity, which the shared weights favour early."""

PAPER_RECURRENT: dict[str, Any] = {
    "data": "blocks:text",
    "data.length": 35,
    "trials": 150,
    "space": "blocks:recurrent",
    "space.nodes": 11,
    "space.first": "chosen",
    "space.average": "unread",
    "space.share": "pair",
    "space.hidden": 1000,
    "sampler.learning_rate": 3.5e-4,
    "sampler.steps": 2000,
    "sampler.samples": 1,
    "sampler.temperature": 5.0,
    "sampler.tanh_constant": 2.5,
    "sampler.op_reduce": 1.0,
    "sampler.baseline_decay": 0.95,
    "evaluator.rounds": 150,
    "evaluator.steps": 400,
    "evaluator.learning_rate": 20.0,
    "evaluator.momentum": 0.0,
    "evaluator.weight_decay": 1e-7,
    "evaluator.clip": 0.25,
}
"""The paper's cell: 12 states, 1,000 units, controller with c = 2.5 and temperature 5, 400 and 2,000 steps a round.

The data is not the paper's (Penn Treebank, by the word): there is none that may be passed on. Name your own copy:
``--data text:PATH``, which is read by the character."""
