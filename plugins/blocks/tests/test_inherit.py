"""Training that goes on from a parent's weights: METHODS section 21."""

from __future__ import annotations

import json
import random

import pytest
from safetensors.torch import load_file

from nascore.decisions import DecisionSpace
from nascore.errors import RunError, SettingsError
from nascore.records import Candidate, Status
from nascore.seeding import isolated_random
from nascore.testing import EvaluatorConformance
from nascore.testing.driver import MemoryContext
from nascore.testing.toys import TASK, toy_data
from nascore_blocks.data.splits import as_split
from nascore_blocks.evaluators import Train
from nascore_blocks.inherit import Inherit
from nascore_blocks.morphs import Graph, GraphNetwork, Net, Node, net2wider
from nascore_blocks.training import evaluate


def graph(width):
    return Graph((
        Node("image", "input", channels=3), Node("a", "conv", ("image",), width, 3), Node("bn", "bn", ("a",), width),
        Node("r", "relu", ("bn",), width), Node("p", "max_pool", ("r",), width, 2, 2),
        Node("f", "flatten", ("p",), width * 16), Node("out", "fc", ("f",), 4, bias=True),
    ))  # fmt: skip


class Widths(DecisionSpace):
    """One convolution, of 2, 4 or 8 channels."""

    name = "widths"
    provides = DecisionSpace.provides | {"morphs"}

    def decide(self, choose):
        return choose("width", [2, 4, 8])

    def build(self, architecture, task):
        return GraphNetwork(graph(self.structure(architecture)))

    def morph(self, parent, child, weights, rng):
        net = net2wider(Net(graph(self.structure(parent)), weights), "a", self.structure(child), rng)
        return {name: value.clone() for name, value in net.renamed(graph(self.structure(child))).items()}


class TestInherit(EvaluatorConformance):
    def make(self):
        return Inherit(epochs=1, batch_size=16)

    def space(self):
        return Widths()


def started(**options):
    space = Widths()
    space.setup(TASK)
    evaluator = Inherit(**{"epochs": 2, "scratch_epochs": 3, "batch_size": 16, **options})
    evaluator.setup(space, toy_data())
    return evaluator


def of(evaluator, width):
    return evaluator.space.sample(lambda *_: width)


def judged(evaluator, context, number, candidate, seed=0):
    context.number, context.seed = number, seed
    with isolated_random(seed):
        return evaluator.evaluate(candidate, context)


def test_a_child_goes_on_where_its_parent_ended_and_the_parent_stays_as_it_was():
    """P1 (the parent bit-equal after the child trained) and P3 (the same loss at step 0)."""
    evaluator, context = started(), MemoryContext(toy_data())
    parent = judged(evaluator, context, 0, Candidate(of(evaluator, 2)))
    assert parent.metrics["epochs"] == 3
    assert json.loads((context.folder(0) / parent.artifacts["architecture"]).read_text())["genome"] == {"width": 2}
    path = context.folder(0) / "weights.safetensors"
    before = path.read_bytes()
    child = Candidate(of(evaluator, 8), parent=0)
    measured = judged(evaluator, context, 1, child)
    assert measured.metrics["epochs"] == 2
    assert path.read_bytes() == before
    trained = load_file(context.folder(1) / "weights.safetensors")
    assert trained["layers.a.weight"].shape[0] == 8
    context.number = 2
    network = evaluator.space.build(child.architecture, TASK)
    network.load_state_dict(evaluator.inherited(child, context, random.Random(0)))
    valid = as_split(toy_data().valid)
    assert evaluate(network, valid)[1] == pytest.approx(parent.objectives["loss"], rel=1e-5)


def test_the_next_measurement_depends_on_the_parent():
    evaluator, context = started(), MemoryContext(toy_data())
    for number, seed in ((0, 0), (1, 7)):
        judged(evaluator, context, number, Candidate(of(evaluator, 2)), seed)
    losses = [
        judged(evaluator, context, 2 + i, Candidate(of(evaluator, 4), parent=parent), 3).objectives["loss"]
        for i, parent in enumerate((0, 1, 0))
    ]
    assert losses[0] == losses[2] != losses[1]


def test_without_parent_it_is_training_from_scratch():
    evaluator, context = started(), MemoryContext(toy_data())
    ours = judged(evaluator, context, 0, Candidate(of(evaluator, 4)))
    plain = Train(epochs=3, batch_size=16)
    plain.setup(evaluator.space, toy_data())
    assert dict(ours.objectives) == dict(
        judged(plain, MemoryContext(toy_data()), 0, Candidate(of(evaluator, 4))).objectives
    )


def test_missing_weights_say_what_to_type():
    evaluator, context = started(), MemoryContext(toy_data())
    with pytest.raises(RunError, match=r"trial 5, the parent.*--set keep=all"):
        judged(evaluator, context, 1, Candidate(of(evaluator, 4), parent=5))


def test_a_pruned_trial_keeps_nothing():
    evaluator, context = started(), MemoryContext(toy_data(), steps=0)
    measured = judged(evaluator, context, 0, Candidate(of(evaluator, 4)))
    assert measured.status is Status.PRUNED
    assert not measured.artifacts


def test_bad_settings_are_named():
    with pytest.raises(SettingsError, match="scratch_epochs"):
        Inherit(scratch_epochs=-1)
    with pytest.raises(SettingsError, match="epochs"):
        Inherit(epochs=0)
