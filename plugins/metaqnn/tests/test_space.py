"""Chains: the rules, the state tuple, the keys, the networks."""

import random

import pytest
import torch
from torch import nn

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore_blocks.costs import count_params
from nascore_metaqnn.network import ChainNetwork
from nascore_metaqnn.space import ChainSpace, State, decision_name, pooled

CIFAR = Task("cifar", (3, 32, 32), 10)
DIGITS = Task("digits", (1, 8, 8), 10)


def set_up(task=DIGITS, **options):
    space = ChainSpace(**options)
    space.name = "metaqnn:chain"
    space.setup(task)
    return space


def drawn(space, rng):
    return space.sample(lambda _, options: rng.choice(options))


def genome(space, *layers):
    answers = iter(layers)
    return space.sample(lambda name, options: next(answers))


def assert_valid(layers, size, depth):
    """The rules, written down a second time, from METHODS section 3."""
    assert len(layers) <= depth + 1
    assert layers[-1] in ("gap", "softmax")
    before, units = "start", []
    for layer in layers[:-1]:
        kind, *numbers = layer.split("_")
        numbers = [int(number) for number in numbers]
        if kind == "conv":
            assert before in ("start", "conv", "pool")
            assert numbers[1] < size
        elif kind == "pool":
            assert before == "conv"
            assert numbers[0] < size
            size = -(-(size - numbers[0] + 1) // numbers[1])
        else:
            assert kind == "fc"
            assert size <= 4
            units.append(numbers[0])
        assert size >= 1
        before = kind
    assert len(units) <= 2
    assert units == sorted(units, reverse=True)
    assert layers[-1] == "softmax" or before in ("conv", "pool")


@pytest.mark.parametrize(("task", "depth"), [(CIFAR, 18), (DIGITS, 4)])
def test_every_random_chain_is_valid(task, depth):
    """P3 of METHODS section 3."""
    space, rng, longest, seen = set_up(task, depth=depth), random.Random(0), 0, set()
    for _ in range(5000):
        layers = space.structure(drawn(space, rng))
        assert_valid(layers, task.shape[1], depth)
        longest = max(longest, len(layers))
        seen.update(layer.split("_")[0] for layer in layers)
    assert longest == depth + 1
    assert seen == {"conv", "pool", "fc", "gap", "softmax"}


def test_the_options_of_each_state():
    space = set_up(CIFAR, depth=5, filters=(8,), units=(64, 32))
    assert space.options(space.start()) == ("conv_8_1", "conv_8_3", "conv_8_5", "softmax")
    state = space.start().after("conv_8_3")
    assert space.options(state)[3:] == ("pool_5_3", "pool_3_2", "pool_2_2", "gap", "softmax")
    state = state.after("pool_5_3")
    assert state.representation == 10
    assert space.options(state) == ("conv_8_1", "conv_8_3", "conv_8_5", "gap", "softmax")
    state = state.after("conv_8_1").after("pool_3_2")
    assert state.representation == 4
    # A filter of 5 pixels does not fit 4; fully connected layers may come.
    assert space.options(state) == ("conv_8_1", "conv_8_3", "fc_64", "fc_32", "gap", "softmax")
    assert space.options(state.after("fc_32")) == ("softmax",)  # five layers: the end is forced
    roomy = set_up(CIFAR, depth=9, filters=(8,), units=(64, 32))
    assert roomy.options(state.after("fc_32")) == ("fc_32", "softmax")
    assert roomy.options(state.after("fc_64")) == ("fc_64", "fc_32", "softmax")
    assert roomy.options(state.after("fc_64").after("fc_32")) == ("softmax",)
    assert set_up(CIFAR, gap=False).options(state)[-2:] == ("fc_128", "softmax")


def test_the_state_tuple():
    start = State(representation=32)
    conv = start.after("conv_64_3")
    assert conv == ("conv", 1, 64, 3, 1, 32, 0, False)
    pool = conv.after("pool_5_3")
    assert pool == ("pool", 2, 0, 5, 3, 10, 0, False)
    first = pool._replace(representation=4).after("fc_256")
    assert first == ("fc", 3, 1, 0, 0, 1, 256, False)
    assert first.after("fc_128") == ("fc", 4, 2, 0, 0, 1, 128, False)  # the filters' place counts them
    assert first.after("softmax").terminate


def test_representation_sizes_are_bucketed():
    buckets = [State(representation=size).bucketed().representation for size in (1, 3, 4, 7, 8, 32)]
    assert buckets == [1, 1, 4, 4, 8, 8]
    space = set_up(CIFAR)
    # 32 pixels pooled by 2 are 16, by 3_2 are 15: one bucket; the last layers differ in their filters.
    assert space.state(["conv_64_3", "pool_2_2", "conv_64_1"]) == space.state(["conv_128_3", "pool_3_2", "conv_64_1"])
    assert space.state(["conv_64_3"]) != space.state(["conv_64_1"])


@pytest.mark.parametrize("size", range(2, 33))
def test_pooling_is_torchs(size):
    for window, stride in ((5, 3), (3, 2), (2, 2), (2, 1)):
        if window < size:
            assert pooled(size, window, stride) == nn.MaxPool2d(window, stride)(torch.zeros(1, 1, size, size)).shape[-1]


def test_names_say_where_the_chain_is():
    space = set_up()
    chain = genome(space, "conv_64_3", "pool_2_2", "fc_256", "fc_128", "softmax")
    assert list(chain.genome) == ["layer.0", "layer.1.conv.8", "layer.2.pool.4", "layer.3.fc1.256", "layer.4.fc2.128"]
    assert decision_name(space.start()) == "layer.0"


def test_the_mean_of_one_pixel_is_that_pixel():
    small = set_up(Task("small", (1, 4, 4), 10), pools=("2_2", "3_2"))
    chains = [genome(small, "conv_64_1", "pool_3_2", end) for end in ("gap", "softmax")]
    assert chains[0].key == chains[1].key
    larger = [genome(small, "conv_64_1", "pool_2_2", end) for end in ("gap", "softmax")]
    assert larger[0].key != larger[1].key
    oblong = set_up(Task("oblong", (1, 4, 8), 10), pools=("3_2",))
    chains = [genome(oblong, "conv_64_1", "pool_3_2", end) for end in ("gap", "softmax")]
    assert chains[0].key != chains[1].key


def count(network):
    return count_params(network, torch.empty(0))


def test_parameters_by_hand():
    chain = ("conv_4_3", "pool_2_2", "conv_6_1", "fc_5", "softmax")
    conv = (9 * 2 * 4 + 4) + (4 * 6 + 6)
    assert count(ChainNetwork(chain, (2, 8, 8), 3)) == conv + (6 * 4 * 4 + 1) * 5 + (5 + 1) * 3
    with_norm = conv - 4 - 6 + 2 * 4 + 2 * 6
    assert count(ChainNetwork(chain, (2, 8, 8), 3, batch_norm=True)) == with_norm + (6 * 16 + 1) * 5 + 6 * 3
    assert count(ChainNetwork(("conv_4_3", "gap"), (2, 8, 6), 3)) == 9 * 2 * 4 + 4 + (4 + 1) * 3
    assert count(ChainNetwork(("conv_4_3", "softmax"), (2, 8, 6), 3)) == 9 * 2 * 4 + 4 + (4 * 48 + 1) * 3
    assert count(ChainNetwork(("softmax",), (2, 8, 6), 3)) == (96 + 1) * 3


def test_dropout_grows_after_every_second_layer():
    chain = ("conv_4_3",) * 7 + ("softmax",)
    found = [m.p for m in ChainNetwork(chain, (1, 8, 8), 3, dropout=0.6).modules() if isinstance(m, nn.Dropout)]
    assert found == pytest.approx([0.2, 0.4, 0.6])
    assert not [m for m in ChainNetwork(chain, (1, 8, 8), 3).modules() if isinstance(m, nn.Dropout)]


def test_networks_run_on_oblong_images_forward_and_backward():
    task = Task("oblong", (2, 9, 14), 3)
    space, rng = set_up(task, filters=(2, 4), units=(8,), depth=6), random.Random(1)
    for _ in range(20):
        network = space.build(drawn(space, rng), task)
        out = network(torch.randn(2, 2, 9, 14))
        assert out.shape == (2, 3)
        out.square().sum().backward()
        assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"depth": 0}, "depth is 0"),
        ({"filters": []}, "filters"),
        ({"kernels": [2]}, "kernels is"),
        ({"units": [8, 8]}, "units is"),
        ({"pools": ["3"]}, "'3_2'"),
        ({"pools": ["1_1"]}, "window >= 2"),
        ({"dropout": 1.0}, "dropout is"),
        ({"fc_layers": -1}, "fc_layers is"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        ChainSpace(**wrong)


def test_what_is_no_image_is_refused():
    with pytest.raises(SpaceError, match="'words'"):
        ChainSpace().setup(Task("words", (64,), 10))


def test_a_chain_that_breaks_a_rule_is_refused():
    space = set_up()
    with pytest.raises(SpaceError, match="pool_2_2"):
        space.check(space.architecture({"layer.0": "pool_2_2", "layer.1.pool.4": "softmax"}))
