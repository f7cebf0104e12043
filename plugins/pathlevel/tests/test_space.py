"""Trees: the limits, the keys, the networks, and children that compute what their parent computes."""

import random

import pytest
import torch
from torch import fx

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.seeding import isolated_random
from nascore.testing import SearchSpaceConformance
from nascore_blocks.costs import count_params
from nascore_blocks.morphs import MorphError
from nascore_blocks.morphs.episodes import Episode
from nascore_pathlevel.controller import Controller
from nascore_pathlevel.morph import grows
from nascore_pathlevel.space import TreeSpace
from nascore_pathlevel.tree import Edge, channels_below

TASK = Task("small", (1, 8, 8), 10)


class TestSpace(SearchSpaceConformance):
    builds = 6

    def make(self):
        return TreeSpace(cells=2, channels=4)


def set_up(**options):
    space = TreeSpace(**{"noise": 0.0, "cells": 2, "channels": 4, **options})
    space.name = "pathlevel:tree"
    space.setup(TASK)
    return space


def edge(kind, *below):
    return Edge(kind, tuple(one if isinstance(one, Edge) else Edge(one) for one in below))


def drawn(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def trained(space, architecture, seed=0):
    """A network whose batch norms have seen images."""
    with isolated_random(seed):
        network = space.build(architecture, TASK).train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.5)
        for _ in range(4):
            network(torch.randn(16, 1, 8, 8))
    return network.eval()


def test_limits_hold_in_a_thousand_cells():
    """P5: depth, branches; P2: the parts of a concatenation sum to the whole."""
    space, depths, seen = set_up(cells=2, channels=5), set(), set()

    def look(tree, inputs, outputs):
        seen.add((tree.kind, len(tree.below)))
        if not tree.leaf:
            sizes = channels_below(tree, inputs, outputs)
            if tree.kind in ("concat", "split"):
                assert sum(out for _, out in sizes) == outputs
            for below, (a, b) in zip(tree.below, sizes, strict=True):
                look(below, a, b)

    for seed in range(500):
        for tree, width in zip(space.structure(drawn(space, seed)), space.widths(), strict=True):
            depths.add(tree.depth)
            look(tree, width, width)
    assert depths == {0, 1, 2}
    assert {entry for entry in seen if entry[1]} == {("add", 2), ("add", 3), ("concat", 2), ("split", 2), ("seq", 2)}


def test_the_start_is_the_chain():
    space = set_up()
    network = space.build(space.start(), TASK)
    stem, first = 9 * 4 + 8, 9 * 4 * 4 + 8
    second = 4 * 8 + 16 + 9 * 8 * 8 + 16  # to twice the channels, then the cell
    assert count_params(network, torch.empty(0)) == stem + first + second + 9 * 10
    assert space.widths() == [4, 8]
    assert set_up(cells=5, pools=1).widths() == [4, 4, 4, 8, 8]
    assert set_up(cells=3, pools=0).widths() == [4, 4, 4]


def test_parameters_of_a_tree_by_hand():
    space = set_up(cells=1, pools=0, max_depth=3)
    tree = edge("concat", edge("sep3"), edge("seq", "conv1", edge("split", "identity", "max3")))
    network = space.build(space.of_trees([tree]), TASK)
    separable, narrow = 9 * 4 + 4 * 2 + 4, 4 * 2 + 4
    assert count_params(network, torch.empty(0)) == 9 * 4 + 8 + separable + narrow + 5 * 10


def test_keys_ignore_identities_in_a_row_and_the_order_of_a_sum():
    space = set_up(cells=1, pools=0)

    def key(tree):
        return space.of_trees([tree]).key

    assert key(edge("seq", "conv1", "identity")) == key(edge("conv1"))
    assert key(edge("add", "conv1", "max3")) == key(edge("add", "max3", "conv1"))
    assert key(edge("split", "identity", "identity")) == key(edge("identity"))
    assert key(edge("seq", "sep3", edge("seq", "conv1", "max3"))) == key(
        edge("seq", edge("seq", "sep3", "conv1"), "max3")
    )
    different = [edge("add", "conv1", "conv1"), edge("conv1"), edge("concat", "conv1", "conv1"),
                 edge("seq", "conv1", "conv1"), edge("add", "conv1", "conv1", "conv1"),
                 edge("split", "conv1", "conv1"), edge("split", "max3", "identity"),
                 edge("split", "identity", "max3")]  # fmt: skip
    assert len(set(map(key, different))) == len(different)


def episodes(space, seed):
    """A policy that is far from uniform."""
    with isolated_random(seed):
        controller = Controller(space, 5, 4, 0)
        for parameter in controller.parameters():
            torch.nn.init.normal_(parameter)
    return controller


@pytest.mark.parametrize("seed", range(5))
def test_children_compute_what_their_parent_computes(seed):
    """P1, P3, P4, P6: three generations of the controller's own transformations, within 1e-5 in evaluation mode."""
    space, rng = set_up(channels=5, max_depth=3), random.Random(seed)
    controller = episodes(space, seed)
    parent = space.start()
    network = trained(space, parent, seed)
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    expected = network(x)
    for _ in range(3):
        with torch.no_grad():
            child = controller.transform(parent, Episode(rng=rng))
        space.check(child)
        weights = space.morph(parent, child, network.state_dict(), rng)
        parent, network = child, space.build(child, TASK)
        network.load_state_dict(weights)
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-5, atol=1e-5)
    assert any(not tree.leaf for tree in space.structure(parent))


def test_the_parent_is_not_written_to_and_noise_breaks_the_symmetry():
    quiet, noisy = set_up(cells=1, pools=0), set_up(cells=1, pools=0, noise=0.1)
    network = trained(quiet, quiet.start())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    child = quiet.of_trees([edge("add", "conv3", "conv3")])
    names = [f"layers.cell0_{number}.weight" for number in range(2)]
    same = quiet.morph(quiet.start(), child, network.state_dict(), random.Random(0))
    assert torch.equal(same[names[0]], same[names[1]])
    apart = noisy.morph(noisy.start(), child, network.state_dict(), random.Random(0))
    assert not torch.equal(apart[names[0]], apart[names[1]])
    for value in (*same.values(), *apart.values()):
        value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("old", "new", "can"),
    [
        (edge("conv3"), edge("conv3"), True),
        (edge("conv3"), edge("conv1"), False),
        (edge("conv3"), edge("identity"), False),
        (edge("identity"), edge("sep5"), True),
        (edge("identity"), edge("max3"), False),  # no pool computes the identity
        (edge("conv3"), edge("split", "conv3", "conv3"), False),
        (edge("identity"), edge("split", "conv1", "identity"), True),
        (edge("max3"), edge("concat", "conv1", "conv1"), False),
        (edge("max3"), edge("split", "max3", edge("seq", "max3", "conv1")), True),
        (edge("conv3"), edge("add", edge("seq", "conv3", "conv1"), "conv3"), True),
        (edge("add", "conv3", "conv3"), edge("add", "conv3", "conv3", "conv3"), False),
        (edge("add", "conv3", "conv1"), edge("seq", edge("add", "conv3", edge("seq", "conv1", "sep3")), "sep7"), True),
        (edge("seq", "conv3", "identity"), edge("seq", "conv3", edge("add", "conv1", "identity")), True),
    ],
)
def test_what_can_be_made_of_what(old, new, can):
    assert grows(old, new) is can
    space = set_up(cells=1, pools=0, max_depth=3)
    parent, child = space.of_trees([old]), space.of_trees([new])
    network = trained(space, parent)
    if not can:
        with pytest.raises(MorphError, match="cannot be made of"):
            space.morph(parent, child, network.state_dict(), random.Random(0))
        return
    other = space.build(child, TASK)
    other.load_state_dict(space.morph(parent, child, network.state_dict(), random.Random(0)))
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(other.eval()(x), network(x), rtol=1e-5, atol=1e-5)


def test_traceable():
    space = set_up(channels=5)
    for seed in range(5):
        network = trained(space, drawn(space, seed))
        x = torch.randn(3, 1, 8, 8)
        torch.testing.assert_close(fx.symbolic_trace(network)(x), network(x))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cells": 0}, "cells"),
        ({"channels": 1}, "channels"),
        ({"pools": 3}, "pools"),
        ({"base": "max3"}, "base"),
        ({"ops": ["conv9"]}, "no 'conv9'"),
        ({"ops": []}, "ops"),
        ({"max_depth": 0}, "max_depth"),
        ({"noise": 1.0}, "noise"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        TreeSpace(**wrong)


def test_what_is_not_in_the_space_is_refused():
    space = set_up(cells=1, pools=0)
    with pytest.raises(SpaceError, match="1 cells; got 2"):
        space.of_trees([edge("conv3")] * 2)
    with pytest.raises(SpaceError, match="cannot be 'identity'"):
        space.of_trees([edge("concat", "identity", "conv3")])
    with pytest.raises(SpaceError, match="sides of 2 pixels"):
        TreeSpace().setup(Task("tiny", (1, 1, 8), 3))
