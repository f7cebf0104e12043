"""The chain space: strings, keys, networks, and children that compute what their parent computes."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.seeding import isolated_random
from nascore.testing import SearchSpaceConformance
from nascore_blocks.costs import count_params
from nascore_blocks.morphs import MorphError
from nascore_eas.chain import ChainSpace, chain_of, tokens_of

TASK = Task("small", (1, 8, 8), 10)


class TestSpace(SearchSpaceConformance):
    def make(self):
        return ChainSpace(max_depth=2)


def set_up(**options):
    space = ChainSpace(**{"wider_noise": 0.0, "deeper_noise": 0.0, **options})
    space.name = "eas:chain"
    space.setup(TASK)
    return space


def of(space, text):
    return space.of_chain(chain_of(text.split()))


def trained(space, architecture, seed=0):
    """A network whose batch norms have seen images."""
    with isolated_random(seed):
        network = space.build(architecture, TASK).train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.5)
        for _ in range(5):
            network(torch.randn(32, 1, 8, 8))
    return network.eval()


def grown(space, architecture, rng):
    """A random child, by the transformations of the string."""
    chain = space.structure(architecture)
    for _ in range(6):
        block = rng.randrange(len(chain))
        index = rng.randrange(len(chain[block]))
        layer = chain[block][index]
        if rng.random() < 0.5 and space.room(chain, block):
            kernel = 0 if block == space.blocks else rng.choice(space.kernels)
            chain = space.deepened(chain, block, index, kernel)
        elif space.next_width(layer):
            layers = list(chain[block])
            layers[index] = layer._replace(width=space.next_width(layer))
            chain = (*chain[:block], tuple(layers), *chain[block + 1 :])
    return space.of_chain(chain)


def test_strings():
    text = "conv-4-3 conv-8-1 pool conv-16-5 pool fc-8 fc-32"
    assert tokens_of(chain_of(text.split())) == tuple(text.split())
    space = set_up()
    architecture = of(space, text)
    assert space.tokens(architecture) == tuple(text.split())
    assert architecture.genome["block.0.1.filters"] == 8
    assert space.load(architecture.to_json()) == architecture
    assert space.tokens(space.start()) == ("conv-4-3", "pool", "conv-4-3", "pool", "fc-8")


def test_parameters_by_hand():
    space = set_up()
    network = space.build(of(space, "conv-4-3 conv-8-1 pool conv-12-5 pool fc-16"), TASK)
    convolutions = 9 * 4 + 8 + 4 * 8 + 16 + 25 * 8 * 12 + 24
    assert count_params(network, torch.empty(0)) == convolutions + (12 * 4 + 1) * 16 + 17 * 10


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_a_child_computes_what_its_parent_computes(seed):
    """Two generations of random transformations, each with the same logits in evaluation mode."""
    space, rng = set_up(), random.Random(seed)
    parent = space.start()
    network = trained(space, parent, seed)
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    expected = network(x)
    for _ in range(2):
        child = grown(space, parent, rng)
        weights = space.morph(parent, child, network.state_dict(), rng)
        parent, network = child, space.build(child, TASK)
        network.load_state_dict(weights)
        torch.testing.assert_close(network.eval()(x), expected, rtol=1e-5, atol=1e-5)


def test_the_parent_is_not_written_to_and_shares_no_storage():
    """P1 of section 21, and its pitfall."""
    space = set_up(wider_noise=0.1, deeper_noise=0.1)
    network = trained(space, space.start())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    child = of(space, "conv-4-3 pool conv-8-3 pool fc-8 fc-8")
    weights = space.morph(space.start(), child, network.state_dict(), random.Random(0))
    for value in weights.values():
        value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_noise_follows_the_generator_and_changes_the_function():
    quiet, noisy = set_up(), set_up(wider_noise=0.1, deeper_noise=0.1)
    network = trained(quiet, quiet.start())
    child = of(quiet, "conv-8-3 conv-8-3 pool conv-4-3 pool fc-8")
    made = [s.morph(s.start(), child, network.state_dict(), random.Random(seed))
            for s, seed in ((quiet, 0), (noisy, 0), (noisy, 0), (noisy, 1))]  # fmt: skip
    key = "layers.conv0_1.weight"
    assert torch.equal(made[1][key], made[2][key])
    assert not torch.equal(made[1][key], made[0][key])
    assert not torch.equal(made[1][key], made[3][key])


@pytest.mark.parametrize(
    "child",
    [
        "conv-4-5 pool conv-4-3 pool fc-8",  # another kernel
        "conv-8-3 pool conv-4-3 pool fc-8",  # narrower (of the parent below)
        "conv-8-3 conv-4-3 pool conv-8-3 pool fc-8",  # a new layer that is narrower than the one before
        "conv-12-1 conv-12-3 pool conv-8-3 pool fc-8",  # a new first layer: images may be negative
    ],
)
def test_what_cannot_be_made_is_refused(child):
    space = set_up()
    parent = of(space, "conv-8-3 pool conv-8-3 pool fc-8")
    with pytest.raises(MorphError, match="cannot be made of"):
        space.morph(parent, of(space, child), trained(space, parent).state_dict(), random.Random(0))


def test_traceable():
    space = set_up()
    network = trained(space, of(space, "conv-4-3 conv-8-1 pool conv-16-5 pool fc-8 fc-32"))
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(fx.symbolic_trace(network)(x), network(x))


@pytest.mark.parametrize("text", ["pool conv-4-3 fc-8", "conv-4-3 pool", "conv-4-3 fc-8", "conv-4-3 pool fc-8 pool",
                                  "conv-4-3 pool fc-8 conv-4-3", "conv-4 pool fc-8", ""])  # fmt: skip
def test_what_is_no_chain_is_refused(text):
    with pytest.raises(SettingsError, match="is no chain"):
        chain_of(text.split())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"start": "conv-5-3 pool fc-8"}, "not in this space"),
        ({"widths": [8, 4]}, "ascending"),
        ({"kernels": [2]}, "odd"),
        ({"units": []}, "units is"),
        ({"max_depth": 0}, "max_depth"),
        ({"wider_noise": -1.0}, "wider_noise"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        ChainSpace(**wrong)


def test_too_small_images_are_refused():
    with pytest.raises(SpaceError, match="sides of 4 pixels"):
        ChainSpace().setup(Task("tiny", (1, 2, 8), 3))
