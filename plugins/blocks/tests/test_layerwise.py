"""The layer-wise space: its program, the paper's four rules, its keys, its network."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import SearchSpaceConformance
from nascore_blocks.costs import count_params
from nascore_blocks.layerwise import Layer, LayerwiseNetwork, LayerwiseSpace, loose_layers, maps_before

SMALL = Task("small", (2, 8, 8), 3)


class TestTheSpace(SearchSpaceConformance):
    def make(self):
        return LayerwiseSpace(layers=4, filters=(2, 4))


class TestWithStrides(SearchSpaceConformance):
    def make(self):
        return LayerwiseSpace(layers=5, heights=(1, 3), widths=(1, 3), filters=(2, 3), strides=(1, 2, 3))


def set_up(task=SMALL, **options):
    space = LayerwiseSpace(**{"layers": 3, "filters": (2, 4), **options})
    space.name = "blocks:layerwise"
    space.setup(task)
    return space


def drawn(space, seed=0):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def genome(layers, strides=True):
    """The decisions that make these layers."""
    made = {}
    for i, layer in enumerate(layers):
        made |= {
            f"layer.{i}.height": layer.height,
            f"layer.{i}.width": layer.width,
            f"layer.{i}.filters": layer.filters,
        }
        if strides:
            made[f"layer.{i}.stride"] = layer.stride
        made |= {f"skip.{i}.{j}": j in layer.inputs for j in range(i)}
    return made


def count(network):
    return count_params(network, torch.empty(0))


def test_the_order_is_filter_stride_then_bits():
    space = set_up(strides=(1, 2))
    names = [decision.name for decision in space.decisions(drawn(space))]
    assert names[:5] == ["layer.0.height", "layer.0.width", "layer.0.filters", "layer.0.stride", "layer.1.height"]
    assert names[-2:] == ["skip.2.0", "skip.2.1"]
    assert len(names) == 3 * 4 + 3
    assert "layer.0.stride" not in {decision.name for decision in set_up().decisions(drawn(set_up()))}


def test_a_genome_in_plain_words():
    layers = (Layer(3, 1, 4, 1, ()), Layer(1, 7, 2, 2, (0,)), Layer(5, 5, 4, 3, (0, 1)))
    space = set_up(strides=(1, 2, 3))
    architecture = space.architecture(genome(layers))
    space.check(architecture)
    assert space.structure(architecture) == layers
    assert [space.group(d.name) for d in space.decisions(architecture)][:4] == ["height", "width", "filters", "stride"]


def test_without_any_edge_every_layer_reads_the_image_and_all_are_classified():
    """P3 of METHODS section 2."""
    layers = [Layer(1, 1, 2, 1, ()), Layer(3, 3, 4, 1, ()), Layer(5, 1, 3, 1, ())]
    network = LayerwiseNetwork(layers, (2, 8, 8), 3)
    assert [module[0].in_channels for module in network.layers] == [2, 2, 2]
    assert network.classifier.in_features == 2 + 4 + 3
    x = torch.randn(4, 2, 8, 8)
    parts = [module(x).mean((2, 3)) for module in network.eval().layers]
    torch.testing.assert_close(network(x), network.classifier(torch.cat(parts, 1)))


def test_several_inputs_are_concatenated_and_only_loose_ends_are_classified():
    layers = [Layer(3, 3, 2, 1, ()), Layer(1, 1, 4, 1, (0,)), Layer(3, 3, 5, 1, (0, 1)), Layer(1, 1, 3, 1, (0,))]
    assert loose_layers(layers) == (2, 3)
    network = LayerwiseNetwork(layers, (2, 8, 8), 3).eval()
    assert [module[0].in_channels for module in network.layers] == [2, 2, 6, 2]
    x = torch.randn(4, 2, 8, 8)
    first = network.layers[0](x)
    third = network.layers[2](torch.cat([first, network.layers[1](first)], 1))
    ends = torch.cat([third, network.layers[3](first)], 1).mean((2, 3))
    torch.testing.assert_close(network(x), network.classifier(ends))


def test_smaller_maps_are_padded_with_zeros_to_the_largest():
    """The largest height and the largest width may come from different layers; here both do from the first."""
    layers = [Layer(1, 1, 2, 1, ()), Layer(1, 1, 3, 3, ()), Layer(1, 1, 2, 1, (0, 1))]
    network = LayerwiseNetwork(layers, (1, 5, 7), 3).eval()
    assert maps_before(layers, (5, 7)) == [(5, 7), (5, 7), (5, 7)]
    x = torch.randn(2, 1, 5, 7)
    small = network.layers[1](x)
    assert small.shape[2:] == (2, 3)
    padded = torch.zeros(2, 3, 5, 7)
    padded[:, :, :2, :3] = small
    joined = network.layers[2](torch.cat([network.layers[0](x), padded], 1))
    torch.testing.assert_close(network(x), network.classifier(joined.mean((2, 3))))


def test_parameters_by_hand():
    """conv h w c f, BN 2 f, classifier (sum of loose filters + 1) classes."""
    layers = [Layer(3, 5, 4, 1, ()), Layer(7, 1, 2, 2, (0,)), Layer(1, 1, 8, 1, (0, 1)), Layer(3, 3, 2, 1, ())]
    by_hand = (3 * 5 * 2 * 4 + 8) + (7 * 4 * 2 + 4) + (6 * 8 + 16) + (9 * 2 * 2 + 4) + (8 + 2 + 1) * 3
    assert count(LayerwiseNetwork(layers, (2, 8, 8), 3)) == by_hand


def test_the_order_of_independent_layers_does_not_change_the_key():
    a, b, c = Layer(1, 3, 2, 1, ()), Layer(3, 1, 4, 2, ()), Layer(5, 5, 2, 1, (1,))
    space = set_up(strides=(1, 2, 3))
    swapped = (b, a, c._replace(inputs=(0,)))
    assert space.architecture(genome((a, b, c))).key == space.architecture(genome(swapped)).key
    other = (b, a, c)  # now the third reads the 1x3 layer
    assert space.architecture(genome(other)).key != space.architecture(genome(swapped)).key


def test_height_and_width_are_told_apart():
    space = set_up(layers=1)
    keys = {space.architecture(genome([Layer(h, w, 2, 1, ())], strides=False)).key for h in (1, 3) for w in (1, 3)}
    assert len(keys) == 4


def test_a_stride_beyond_the_map_is_the_same_as_one_of_its_size():
    tiny = Task("tiny", (1, 2, 2), 2)
    space = set_up(tiny, layers=1, strides=(1, 2, 3))
    one, two, three = (space.architecture(genome([Layer(3, 3, 2, stride, ())])) for stride in (1, 2, 3))
    assert two.key == three.key != one.key
    x = torch.randn(3, 1, 2, 2)
    networks = []
    for architecture in (two, three):
        torch.manual_seed(0)
        networks.append(space.build(architecture, tiny).eval())
    assert torch.equal(networks[0](x), networks[1](x))
    wide = set_up(layers=1, strides=(1, 2, 3))
    assert wide.architecture(two.genome).key != wide.architecture(three.genome).key


def test_strides_never_leave_nothing():
    layers = [Layer(1, 1, 2, 3, ()), *(Layer(3, 3, 2, 3, (i,)) for i in range(5))]
    network = LayerwiseNetwork(layers, (1, 8, 8), 2).eval()
    assert network.after[-1] == (1, 1)
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 2)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_every_network_runs_forward_and_backward(seed):
    space = set_up(layers=4, strides=(1, 2, 3))
    architecture = space.mutate(drawn(space, seed), random.Random(seed))
    space.check(architecture)
    network = space.build(architecture, SMALL)
    loss = network(torch.randn(2, 2, 8, 8)).square().sum()
    loss.backward()
    # Every layer leads to the classifier, so every weight learns.
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_it_is_symbolically_traceable():
    space = set_up(layers=4, strides=(1, 2))
    network = space.build(drawn(space, 3), SMALL).eval()
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(fx.symbolic_trace(network)(x), network(x))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"heights": [2]}, "heights is"),
        ({"widths": [3, 4]}, "widths is"),
        ({"filters": []}, "filters is"),
        ({"filters": [8, 8]}, "distinct"),
        ({"strides": [0]}, "strides is"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        LayerwiseSpace(**wrong)


def test_what_is_no_image_is_refused():
    with pytest.raises(SpaceError, match="'words'"):
        LayerwiseSpace().setup(Task("words", (64,), 10))
