"""Path dropout and ghost batches: properties P1 to P5 of METHODS section 12."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from nascore.errors import SettingsError
from nascore.seeding import isolated_random
from nascore.testing import EvaluatorConformance, SamplerConformance, driver
from nascore.testing.toys import TASK, toy_data
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.mix import PathDropout, Paths
from nascore_blocks.supernet.policy import Batch
from nascore_blocks.supernet.wiring import CellWiring
from nascore_blocks.weight_sharing import SharedWeights
from nascore_oneshot.evaluator import OneShotModel
from nascore_oneshot.policy import AllPaths, cut
from nascore_oneshot.sampler import FixedDistribution


class Tools:
    """What a policy sees of a round, with a supernet of one's own."""

    def __init__(self, supernet, progress, batch=None):
        self.supernet, self.progress, self.batch = supernet, progress, batch
        self.wirings = supernet.wirings
        self.generator = torch.Generator().manual_seed(0)
        self.mixtures, self.updated = [], None

    def train_batch(self):
        return self.batch

    def loss(self, mixture, batch):
        self.mixtures.append((mixture, batch))
        return torch.nn.functional.cross_entropy(self.supernet(batch.inputs, mixture), batch.labels)

    def update(self, loss):
        self.updated = loss


def tiny():
    return DARTSSpace(blocks=2, channels=2, cells=1, reductions=1, ops=("sep_conv_3x3", "skip_connect", "max_pool_3x3"))


def supernet():
    space = tiny()
    space.setup(TASK)
    with isolated_random(0):
        return space.supernet(TASK, fast=False)


def images(examples=16):
    inputs, labels = toy_data(examples).train.tensors
    return Batch(inputs, labels)


@pytest.mark.parametrize(("paths", "p"), [(2, 0.2236), (3, 0.3684), (5, 0.5493), (7, 0.6518)])
def test_the_drop_probability_rises_to_the_kth_root(paths, p):
    wiring = CellWiring(1, 1, (*(str(op) for op in range(paths)), "none"))  # two edges: 2k paths into the node
    for share in (1.0, 0.5, 0.0):
        assert PathDropout(0.05**2, share).probability(wiring, 0) == pytest.approx(share * p, abs=5e-5)
    assert PathDropout(0.0, 1.0).probability(wiring, 0) == 0.0


@pytest.mark.parametrize("ops", [("a", "none"), ("a", "b", "c", "none")])
def test_a_node_loses_all_its_paths_with_probability_r(ops):
    """P1, at the end of the training; each node has another k."""
    wiring = CellWiring(3, 1, ops)
    net = type("Net", (), {"wirings": {"normal": wiring}})()
    tools, r, draws = Tools(net, progress=1.0), 0.2, 4000
    policy = AllPaths(r, 1)
    lost = dict.fromkeys(wiring.into, 0)
    for _ in range(draws):
        active = policy.mix(tools)["normal"].active
        for node, edges in wiring.into.items():
            lost[node] += not any(active[edge] for edge in edges)
    for count in lost.values():
        assert count / draws == pytest.approx(r, abs=3 * math.sqrt(r * (1 - r) / draws))


def test_nothing_is_dropped_at_the_start():
    """P5: the mask of ones is the plain supernet."""
    net = supernet()
    tools = Tools(net, progress=0.0)
    mixture = AllPaths(0.5, 1).mix(tools)
    assert {kind: paths.active for kind, paths in mixture.items()} == dict.fromkeys(net.kinds, net.wiring.everything)


def test_a_zeroed_op_is_a_removed_one():
    """P2."""
    net, inputs = supernet().double(), images().inputs.double()
    mixture = AllPaths(0.9, 1).mix(Tools(net, progress=1.0))
    assert any(paths.active != net.wiring.everything for paths in mixture.values())
    zeroed = {}
    for kind, paths in mixture.items():
        weights = torch.zeros(len(net.wiring.edges), len(net.wiring.ops), dtype=torch.float64)
        for edge, ops in enumerate(paths.active):
            weights[edge, list(ops)] = 1.0
        zeroed[kind] = Paths(net.wiring.everything, weights)
    torch.testing.assert_close(net(inputs, mixture), net(inputs, zeroed), rtol=0, atol=1e-10)


def test_ghosts_are_separate_passes():
    """P4: each has its own mask and its own statistics, and counts as much as it has examples."""
    net, batch = supernet(), images(9)
    tools = Tools(net, progress=1.0, batch=batch)
    AllPaths(0.2, 2).iterate(tools)
    (first, one), (second, other) = tools.mixtures
    assert first != second
    assert (len(one.labels), len(other.labels)) == (5, 4)
    torch.testing.assert_close(torch.cat([one.inputs, other.inputs]), batch.inputs)
    again = Tools(net, progress=1.0)
    expected = (5 * again.loss(first, one) + 4 * again.loss(second, other)) / 9
    torch.testing.assert_close(tools.updated, expected)


def test_no_ghost_has_a_single_example():
    assert [len(part.labels) for part in cut(images(3), 2)] == [3]
    assert [len(part.labels) for part in cut(images(4), 8)] == [2, 2]


def test_what_was_dropped_does_not_decay():
    """P3: one step with a large decay moves the weights that ran, and leaves all others bit-equal."""
    evaluator, data = OneShotModel(r=0.2, ghosts=1, rounds=1, steps=1, batch_size=16, weight_decay=0.5), toy_data()
    space = tiny()
    space.setup(TASK)
    evaluator.setup(space, data.for_search())
    policy, ran = evaluator._paths, []
    mix = policy.mix

    def late(shared):
        shared.progress = 0.7
        ran.append(mix(shared))
        return ran[-1]

    policy.mix = late
    with isolated_random(0):
        net = evaluator._made("cpu")
        before = {name: value.clone() for name, value in net.named_parameters()}
        evaluator.prepare(FixedDistribution(), driver.MemoryContext(data, seed=0))
    moved = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
    step = ran[0]  # the second call watches the accuracy
    kept = changed = 0
    for layer, cell in enumerate(net.cells):
        for edge in range(len(net.wiring.edges)):
            for op in net.wiring.live:
                names = {
                    f"cells.{layer}.edges.{edge}.{net.wiring.ops[op]}.{n}"
                    for n, _ in cell.op(edge, op).named_parameters()
                }
                if op in step[net.kind(layer)].active[edge]:
                    changed += len(names & moved)
                else:
                    assert not names & moved
                    kept += len(names)
    assert kept
    assert changed


def test_its_options_are_those_of_the_supernet_evaluator():
    """The signature is written out; this is what keeps it up with its parent's."""
    own, parent = (inspect.signature(kind).parameters for kind in (OneShotModel, SharedWeights))
    assert list(own)[2:] == list(parent)
    differ = {name for name in parent if own[name].default != parent[name].default}
    assert differ == {"learning_rate"}
    values = {
        "rounds": 3,
        "steps": 5,
        "batch_size": 12,
        "calibration": 7,
        "fast": False,
        "last_rate": 0.01,
    }
    made = OneShotModel(**values, momentum=0.3, clip=1.5, retrain={"epochs": 9})
    assert {name: getattr(made, name, getattr(made.recipe, name, None)) for name in values} == values
    assert (made.recipe.momentum, made.recipe.clip, made._trainer.recipe.epochs) == (0.3, 1.5, 9)


@pytest.mark.parametrize("wrong", [{"r": 1.0}, {"r": -0.1}, {"ghosts": 0}, {"ghosts": 5, "batch_size": 8}])
def test_bad_settings_are_named(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        OneShotModel(**wrong)


class TestFixedDistribution(SamplerConformance):
    trials = 12
    restarts = (1, 5)

    def make(self):
        return FixedDistribution()


class TestOneShotModel(EvaluatorConformance):
    def make(self):
        return OneShotModel(rounds=1, steps=1, batch_size=16, calibration=1)

    def space(self):
        return tiny()

    def _evaluator(self):
        """Trained: the core asks for candidates when it is."""
        evaluator = super()._evaluator()
        with isolated_random(0):
            done = evaluator.prepare(FixedDistribution(), driver.MemoryContext(self.data(), seed=0))
        assert done.ready
        return evaluator
