"""The tree-LSTM controller."""

import random

import pytest
import torch

from nascore.contracts import Task, View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed, isolated_random
from nascore.testing import SamplerConformance
from nascore_blocks.morphs.episodes import Episode
from nascore_pathlevel.controller import Controller, TreeLSTM
from nascore_pathlevel.morph import grows
from nascore_pathlevel.sampler import PathLevel
from nascore_pathlevel.space import TreeSpace
from nascore_pathlevel.tree import Edge

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)


class TestSampler(SamplerConformance):
    trials = 10
    restarts = (1, 2, 7)

    def make(self):
        return PathLevel(hidden=5, embedding=3, batch=2, stage_trials=4, learning_rate=0.02)

    def space(self):
        return made(cells=1, pools=0)


def made(**options):
    space = TreeSpace(**{"cells": 2, "channels": 4, **options})
    space.name = "pathlevel:tree"
    space.setup(Task("small", (1, 8, 8), 10))
    return space


def controller(space, cells=0):
    with isolated_random(0):
        return Controller(space, 5, 4, cells)


def test_every_proposal_can_be_made_of_its_base_within_the_limits():
    space = made(max_depth=3)
    policy, rng, base = controller(space), random.Random(0), space.start()
    with torch.no_grad():
        for step in range(15):
            child = policy.transform(base, Episode(rng=rng))
            space.check(child)
            assert all(map(grows, space.structure(base), space.structure(child)))
            if step % 3 == 0:
                base = child
    assert all(tree.depth <= 3 for tree in space.structure(base))


def test_an_episode_in_plain_words():
    """Merge and branches; then, at each branch, whether an identity comes behind; at it, which op takes its place."""
    space = made(cells=1, pools=0)
    answers = [1, 0, 1, 3, 0, 0]  # add2; keep, insert; sep5 behind the first; keep, no insert
    policy = controller(space)
    assert policy.ops == ("identity", "conv1", "sep3", "sep5", "sep7")
    episode = Episode(answers=answers)
    (tree,) = space.structure(policy.transform(space.start(), episode))
    assert str(tree) == "add(seq(conv3, sep5), conv3)"
    assert episode.answers == answers


def test_one_cell_of_several():
    space = made(cells=3, pools=0)
    policy, rng = controller(space, cells=1), random.Random(1)
    for _ in range(12):
        with torch.no_grad():
            trees = space.structure(policy.transform(space.start(), Episode(rng=rng)))
        assert sum(not tree.leaf for tree in trees) <= 1


def test_the_tree_is_read_from_both_ends():
    """An edge's state depends on what is below it, beside it and above it."""
    with isolated_random(0):
        read = TreeLSTM(4, 3)
    leaf = Edge("conv1")
    tree = Edge("add", (leaf, Edge("seq", (leaf, Edge("identity")))))
    state = read(tree)
    assert set(state) == {(), (0,), (1,), (1, 0), (1, 1)}
    assert not torch.allclose(read(Edge("concat", tree.below))[1, 1], state[1, 1])  # above
    assert not torch.allclose(read(tree.put((0,), Edge("sep3")))[()], state[()])  # below
    beside = read(tree.put((0,), Edge("sep3")))
    assert not torch.allclose(beside[1, 0], state[1, 0])
    assert torch.equal(read(tree)[1, 0], state[1, 0])


def test_an_episode_scored_again_has_the_probability_it_was_drawn_with():
    space = made()
    policy, drawn = controller(space), Episode(rng=random.Random(3))
    child = policy.transform(space.start(), drawn)
    again = Episode(answers=drawn.answers)
    assert policy.transform(space.start(), again) == child
    assert torch.equal(drawn.log_prob, again.log_prob)


def test_it_learns_to_branch():
    """Rewarded for concatenations, it makes them."""
    space = made(cells=1, pools=0, max_depth=1)
    sampler = PathLevel(hidden=6, embedding=4, batch=5, learning_rate=0.03, entropy_weight=0.0)
    sampler.setup(space, [ACCURACY], 0)
    history, values = TrialHistory([ACCURACY]), []
    for number in range(121):
        candidate = sampler.ask(View(number, random.Random(derive_seed(0, "ask", number)), history, 121))
        values.append(0.9 if space.structure(candidate.architecture)[0].kind == "concat" else 0.1)
        trial = Trial(number, candidate, Status.COMPLETE, {"accuracy": values[-1]})
        history.add(trial)
        sampler.tell(trial)
    assert sum(values[-30:]) / 30 > 0.8 > sum(values[1:31]) / 30


def test_several_objectives_are_refused():
    with pytest.raises(CapabilityError, match="params"):
        PathLevel().setup(made(), [ACCURACY, Objective("params", Direction.MINIMIZE)], 0)


@pytest.mark.parametrize(
    ("options", "named"), [({"hidden": 0}, "hidden"), ({"embedding": 0}, "embedding"), ({"cells": -1}, "cells")]
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        PathLevel(**options)
