"""The tree cells: the worked example, the size of the space, keys, networks."""

import math
import random

import pytest
import torch

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.seeding import isolated_random
from nascore.testing import SamplerConformance, SearchSpaceConformance
from nascore_blocks.costs import count_params
from nascore_nas.recurrent import Recurrent
from nascore_nas.sampler import NAS
from nascore_nas.tree import TreeCellSpace
from nascore_nas.tree_network import Place, TreeCell, TreeNetwork, TreeStep

TASK = Task("text", (6,), 11, kind="language-modelling", fingerprint="text")

EXAMPLE = TreeCell(
    (Place("add", "tanh"), Place("mul", "relu"), Place("mul", "sigmoid")), Place("add", "relu"), new=1, old=0
)
"""METHODS section 2: b = 2."""


def tokens(batch=3):
    return torch.arange(batch * 6).reshape(batch, 6) % 11


def set_up(**options):
    space = TreeCellSpace(**{"leaves": 4, "hidden": 5, **options})
    space.name = "nas:tree"
    space.setup(TASK)
    return space


def drawn(space, seed=0):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


class TestSpace(SearchSpaceConformance):
    task = TASK

    def make(self):
        return TreeCellSpace(leaves=2, hidden=4)

    def test_networks_work(self):
        """The kit's own check is for images."""
        space = self._space()
        for architecture in self._drawn(space, 3):
            outputs = []
            for one in (architecture, self._space().load(architecture.to_json())):
                with isolated_random(0), torch.no_grad():
                    outputs.append(space.build(one, TASK).eval()(tokens()))
            assert outputs[0].shape == (3, 11, 6)
            assert torch.isfinite(outputs[0]).all()
            assert torch.equal(*outputs)


class TestController(SamplerConformance):
    trials = 20
    restarts = (1, 5, 13)

    def make(self):
        return NAS(hidden=8, layers=1, batch=3, learning_rate=0.05)

    def space(self):
        return TreeCellSpace(leaves=2)


def test_the_worked_example():
    """P5 of METHODS section 2: a0 = relu(tanh(W1 x + U1 h) + c), a1 = relu(W2 x * U2 h), h' = sigmoid(a0 * a1)."""
    step = TreeStep(EXAMPLE, 5).double()
    generator = torch.Generator().manual_seed(0)
    x, h, c = (torch.randn(3, size, dtype=torch.float64, generator=generator) for size in (10, 5, 5))
    hidden, memory = step(x, h, c)
    u = step.from_hidden.weight
    first = torch.relu(torch.tanh(x[:, :5] + h @ u[:5].T) + c)
    product = x[:, 5:] * (h @ u[5:].T)
    torch.testing.assert_close(hidden, torch.sigmoid(first * torch.relu(product)), rtol=0, atol=1e-6)
    torch.testing.assert_close(memory, product, rtol=0, atol=1e-6)


def test_the_memory_of_an_inner_place_is_taken_before_its_activation():
    places = (Place("add", "identity"), Place("add", "identity"), Place("mul", "tanh"))
    step = TreeStep(TreeCell(places, Place("mul", "sigmoid"), new=2, old=2), 4).double()
    generator = torch.Generator().manual_seed(0)
    x, h, c = (torch.randn(2, size, dtype=torch.float64, generator=generator) for size in (8, 4, 4))
    hidden, memory = step(x, h, c)
    left, right = (x + step.from_hidden(h)).chunk(2, dim=-1)
    torch.testing.assert_close(memory, left * right)
    torch.testing.assert_close(hidden, torch.sigmoid(torch.tanh(left * right) * c))


def test_children_of_four_leaves():
    cell = TreeCell((Place("add", "tanh"),) * 7, Place("add", "tanh"), 0, 0)
    assert [cell.children(place) for place in range(7)] == [(), (), (), (), (0, 1), (2, 3), (4, 5)]


def test_the_network_is_its_steps():
    network = TreeNetwork(EXAMPLE, 11, hidden=5).double()
    given = network.from_input(network.embedding(tokens()))
    hidden = memory = torch.zeros(3, 5, dtype=torch.float64)
    for time in range(6):
        hidden, memory = network.step(given[:, time], hidden, memory)
        torch.testing.assert_close(network(tokens())[..., time], network.decoder(hidden))


def test_order_and_size_of_the_papers_space():
    space = set_up(leaves=8)
    made = space.decisions(drawn(space))
    names = [decision.name for decision in made]
    assert names[:3] == ["tree.0.combine", "tree.0.activation", "tree.1.combine"]
    assert names[-5:] == ["tree.14.activation", "inject.combine", "inject.activation", "cell.new", "cell.old"]
    assert f"{math.prod(len(decision.options) for decision in made):.0e}" == "6e+16"


def test_tokens_of_one_type_share_a_softmax():
    controller = Recurrent(0, 4, 1)
    controller.draw(set_up(leaves=8), random.Random(0), [])
    assert [kind.split()[0] for kind in controller.met] == [
        "tree.*.combine", "tree.*.activation", "inject.combine", "inject.activation", "cell.new", "cell.old",
    ]  # fmt: skip


def test_mirrored_trees_have_one_key():
    space = set_up()
    genome = drawn(space, 3).genome
    swap = {0: 2, 1: 3, 2: 0, 3: 1, 4: 5, 5: 4, 6: 6}
    mirrored = {
        (f"tree.{swap[int(name.split('.')[1])]}.{name.split('.')[2]}" if name.startswith("tree") else name): (
            swap[value] if name.startswith("cell") else value
        )
        for name, value in genome.items()
    }
    assert mirrored != genome
    assert space.architecture(mirrored).key == space.architecture(genome).key
    moved = {**genome, "cell.new": (genome["cell.new"] + 1) % 7}
    assert space.architecture(moved).key != space.architecture(genome).key


def test_parameters_by_hand():
    """Embedding (tied to the decoder) 11 x 5, W and U of four leaves, the decoder's bias."""
    space = set_up()
    network = space.build(drawn(space), TASK)
    assert count_params(network, torch.empty(0)) == 11 * 5 + 2 * 4 * 5 * 5 + 11
    untied = set_up(tied=False, embedding=3)
    network = untied.build(drawn(untied), TASK)
    assert count_params(network, torch.empty(0)) == 11 * 3 + 4 * 5 * (3 + 5) + 11 * 5 + 11


@pytest.mark.parametrize("seed", range(8))
def test_networks_run_backward(seed):
    space = set_up()
    network = space.build(space.mutate(drawn(space, seed), random.Random(seed)), TASK)
    network(tokens()).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"leaves": 3}, "leaves is 3"),
        ({"leaves": 1}, "leaves is 1"),
        ({"combinations": ["sub"]}, "no 'sub'"),
        ({"activations": ["tanhh"]}, "did you mean 'tanh'"),
        ({"activations": []}, "activations is"),
        ({"hidden": 0}, "hidden is"),
        ({"embedding": 3}, "tied"),
        ({"dropout": 1.0}, "dropout is"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        TreeCellSpace(**wrong)


def test_what_is_no_cell_is_refused():
    place = Place("add", "tanh")
    with pytest.raises(SpaceError, match="got 5"):
        TreeCell((place,) * 5, place, 0, 0)
    with pytest.raises(SpaceError, match="old is place 3"):
        TreeCell((place,) * 3, place, 0, 3)
