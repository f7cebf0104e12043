"""The macro space of ENAS: its size, its network, its supernet."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import SearchSpaceConformance
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.macro import LAYER_OPS, Layers, MacroNetwork, MacroSpace, pairs
from nascore_blocks.supernet import prices
from nascore_blocks.supernet.mix import Paths, Softmax

OPS = tuple(LAYER_OPS)
SMALL = Task("small", (2, 8, 8), 3)


def set_up(task=SMALL, **options):
    space = MacroSpace(**{"layers": 5, "channels": 4, **options})
    space.name = "blocks:macro"
    space.setup(task)
    return space


def drawn(space, seed=0):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def alone(layers, **options):
    return MacroNetwork(layers, **{"shape": (2, 8, 8), "classes": 3, "channels": 4, "reductions": (), **options})


def count(module):
    return count_params(module, torch.empty(0))


class TestTheSpace(SearchSpaceConformance):
    def make(self):
        return MacroSpace(layers=5, channels=2)


def test_twelve_layers_are_the_papers_number():
    """Pham et al. 2018, section 2.3: 6^L 2^(L (L - 1) / 2); 1.6e29 for L = 12."""
    space = set_up(layers=12)
    options = [len(decision.options) for decision in space.decisions(drawn(space))]
    assert math.prod(options) == 6**12 * 2**66
    assert f"{math.prod(options):.1e}" == "1.6e+29"
    assert len(space.wirings["skip"].edges) == 66
    assert space.wirings["op"].size == (12, 6)


def test_a_genome_in_plain_words():
    space = set_up(layers=3)
    genome = {
        "layer.0.op": "conv_3x3",
        "layer.1.op": "max_pool_3x3",
        "layer.1.skip.0": False,
        "layer.2.op": "sep_conv_5x5",
        "layer.2.skip.0": True,
        "layer.2.skip.1": False,
    }
    architecture = space.architecture(genome)
    space.check(architecture)
    found = space.structure(architecture)
    assert found == Layers(("conv_3x3", "max_pool_3x3", "sep_conv_5x5"), ((), (), (0,)))
    assert [found.inputs(layer) for layer in range(3)] == [(0,), (1,), (0, 2)]
    assert [found.last_reader(state) for state in range(4)] == [2, 1, 2, -1]


# ------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("conv_3x3", 9 * 16 + 8),
        ("conv_5x5", 25 * 16 + 8),
        ("sep_conv_3x3", 9 * 4 + 16 + 8),
        ("sep_conv_5x5", 25 * 4 + 16 + 8),
        ("avg_pool_3x3", 0),
        ("max_pool_3x3", 0),
    ],
)
def test_params_by_hand(op, params):
    """C = 4: stem, a projection a layer, ops, classifier."""
    rest = 2 * 4 * 9 + 8 + 4 * 3 + 3
    assert count(alone(Layers((op,), ((),)))) == rest + (16 + 8) + params
    # Three layers and two skips: five states are read.
    assert count(alone(Layers((op,) * 3, ((), (0,), (1,))))) == rest + 5 * 16 + 3 * 8 + 3 * params


def test_what_is_read_later_is_halved_and_nothing_else():
    ops = ("conv_3x3",) * 6
    halve = {
        ((), (), (), (), (), ()): {"2_2", "4_4"},
        ((), (), (0,), (), (), ()): {"2_0", "2_2", "4_4"},
        ((), (), (), (), (), (0, 3)): {"2_0", "2_2", "4_0", "4_3", "4_4"},
    }
    for skips, names in halve.items():
        network = alone(Layers(ops, skips), reductions=(2, 4))
        assert set(network.halve) == names
        assert network(torch.randn(2, 2, 7, 9)).shape == (2, 3)
        of_one = 4 * 4 + 2 * 4  # both halves together, and the BN
        bare = count(alone(Layers(ops, ((),) * 6)))
        assert count(network) == bare + of_one * len(names) + 16 * sum(map(len, skips))


def test_skips_are_concatenated_before_the_previous_output():
    network = alone(Layers(("max_pool_3x3", "max_pool_3x3"), ((), (0,)))).eval()
    x = torch.randn(3, 2, 8, 8)
    stem = network.stem(x)
    first = F.max_pool2d(network.project[0](stem), 3, 1, 1)
    second = F.max_pool2d(network.project[1](torch.cat([stem, first], 1)), 3, 1, 1)
    torch.testing.assert_close(network(x), network.classifier(second.mean((2, 3))))
    assert (network.project[1](torch.cat([stem, first], 1)) >= 0).all()


def test_it_halves_at_a_third_and_two_thirds_of_the_depth():
    for size, layers, expected in [
        (32, 12, (4, 8)),
        (8, 5, (1, 3)),
        (4, 6, (3,)),
        (2, 6, ()),
        (32, 1, ()),
        (32, 2, (1,)),
    ]:
        space = set_up(task := Task("t", (1, size, size), 2), layers=layers)
        assert space.build(drawn(space), task).reductions == expected
    assert set_up(layers=6, reductions=0).build(drawn(set_up(layers=6)), SMALL).reductions == ()


def test_it_can_be_traced():
    space = set_up()
    network = space.build(drawn(space, 3), SMALL).eval()
    x = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(fx.symbolic_trace(network)(x), network(x))


# ------------------------------------------------------------------------------------ the supernet


def supernet(space, dtype=torch.float64, task=SMALL):
    torch.manual_seed(0)
    net = space.supernet(task).to(dtype)
    for module in net.modules():  # else all are 1 and 0, and would be left out unseen
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("options", [{"layers": 6}, {"layers": 5, "reductions": 0}, {"layers": 1}], ids=str)
def test_an_architecture_inside_equals_itself_alone(options, dtype, tolerance):
    space = set_up(**options)
    net = supernet(space, dtype)
    x = torch.randn(5, 2, 8, 8, dtype=dtype)
    for seed in range(8):
        structure = space.structure(drawn(space, seed))
        torch.testing.assert_close(
            net(x, net.paths(structure)), net.extract(structure).train()(x), rtol=0, atol=tolerance
        )


def test_extracted_weights_are_copies():
    space = set_up()
    net = supernet(space)
    structure = space.structure(drawn(space))
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    before = net(x, net.paths(structure)).detach()
    with torch.no_grad():
        for parameter in net.extract(structure).parameters():
            parameter.zero_()
    assert torch.equal(net(x, net.paths(structure)), before)


def test_each_op_and_each_skip_has_an_output_of_its_own():
    """P5 of METHODS section 10: branches that were bound late would all be the last one."""
    space = set_up(layers=3, reductions=0)
    net = supernet(space)
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    skips = [((), *rest) for rest in itertools.product([(), (0,)], [(), (0,), (1,), (0, 1)])]
    structures = [Layers((op,) * 3, skips[0]) for op in OPS] + [Layers(OPS[:3], bits) for bits in skips]
    outputs = [net(x, net.paths(structure)) for structure in structures]
    assert len(outputs) == 14
    assert not any(torch.allclose(a, b, atol=1e-4) for a, b in itertools.combinations(outputs, 2))


def test_sub_graphs_share_tensors_and_nothing_else_learns():
    """P1 of METHODS section 10."""
    space = set_up(layers=6)
    net = supernet(space)
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)

    def touched(structure):
        net.zero_grad(set_to_none=True)
        net(x, net.paths(structure)).sum().backward()
        return {name for name, p in net.named_parameters() if p.grad is not None}

    first = touched(Layers(("conv_3x3",) * 6, ((), (), (), (), (1,), ())))
    second = touched(Layers(("conv_3x3",) * 5 + ("sep_conv_5x5",), ((), (), (), (), (), (3,))))
    assert {name for name in first if ".ops." in name} == {f"layers.{k}.ops.conv_3x3.0.weight" for k in range(6)}
    assert {name for name in first if ".project." in name} - {f"layers.{k}.project.{k}.weight" for k in range(6)} == {
        "layers.4.project.1.weight"
    }
    assert {name for name in first if "halve" in name and "even" in name} == {
        f"halve.{name}.even.weight" for name in ("2_1", "2_2", "4_1", "4_4")
    }
    assert second - first == {
        "layers.5.ops.sep_conv_5x5.0.weight", "layers.5.ops.sep_conv_5x5.1.weight",
        "layers.5.project.3.weight", "halve.4_3.even.weight", "halve.4_3.odd.weight",
    }  # fmt: skip
    assert len(first & second) > 10


def test_near_one_hot_alphas_are_the_discrete_network():
    space = set_up(layers=4)
    net = supernet(space)
    structure = space.structure(drawn(space, 2))
    mixture = {}
    for kind, paths in net.paths(structure).items():
        wiring = net.wirings[kind]
        logits = torch.full(wiring.size, -40.0, dtype=torch.float64)
        for edge, active in enumerate(paths.active):
            logits[edge, active[0] if active else 0] = 40.0
        mixture[kind] = Softmax()(logits, wiring, torch.Generator())
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(x, mixture), net.extract(structure).train()(x), rtol=0, atol=1e-10)


def test_alphas_of_ops_and_skips_get_a_gradient():
    space = set_up(layers=4)
    net = supernet(space)
    logits = {k: torch.zeros(w.size, dtype=torch.float64, requires_grad=True) for k, w in net.wirings.items()}
    mixture = {kind: Softmax()(table, net.wirings[kind], torch.Generator()) for kind, table in logits.items()}
    out = net(torch.randn(4, 2, 8, 8, dtype=torch.float64), mixture)
    F.cross_entropy(out, torch.tensor([0, 1, 2, 0])).backward()
    for table in logits.values():
        assert (table.grad.abs().sum(1) > 1e-6).all()


def test_nothing_runs_where_all_paths_are_dropped():
    space = set_up(layers=3)
    net = supernet(space)
    empty = {kind: Paths(((),) * wiring.size[0]) for kind, wiring in net.wirings.items()}
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(x, empty), net.classifier.bias.expand(3, -1))


def test_derive_takes_the_strongest():
    space = set_up(layers=3)
    ops = torch.tensor([[0, 0, 0.3, 0.3, 0, 0], [0, 0, 0, 0, 0, 1], [0.2] * 6])
    skips = torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.6, 0.4]])
    found = space.structure(space.derive({"op": ops, "skip": skips}))
    assert found == Layers(("conv_5x5", "max_pool_3x3", "conv_3x3"), ((), (), (0,)))
    single = set_up(layers=1)
    assert set(single.wirings) == {"op"}
    assert single.derive({"op": ops[:1]}).genome == {"layer.0.op": "conv_5x5"}


def test_prices_add_up_where_no_reduction_is_shared():
    space = set_up(layers=4, reductions=0)
    net = space.supernet(SMALL)
    structure = space.structure(drawn(space, 1))
    bare = Layers(("max_pool_3x3",) * 4, ((),) * 4)
    for price, counted in ((prices.params, count_params), (prices.macs, count_macs)):
        table = prices.price_table(net, price)
        total = sum(float(table["op"][layer, OPS.index(op)]) for layer, op in enumerate(structure.ops))
        total += sum(float(table["skip"][i, 1]) for i, p in enumerate(pairs(4)) if p.state in structure.skips[p.layer])
        x = torch.zeros(1, 2, 8, 8)
        assert total > 0
        assert counted(alone(bare).eval(), x) + total == counted(alone(structure).eval(), x)


def test_what_the_supernet_has_not_is_refused():
    net = supernet(set_up(layers=2, ops=["conv_3x3"]))
    with pytest.raises(SpaceError, match="no 'conv_5x5' at layer 1"):
        net.paths(Layers(("conv_3x3", "conv_5x5"), ((), ())))
    with pytest.raises(SpaceError, match="2 layers; the architecture has 3"):
        net.extract(Layers(("conv_3x3",) * 3, ((),) * 3))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"channels": 1}, "channels is 1"),
        ({"ops": ["conv_7x7"]}, "There is no op 'conv_7x7'"),
        ({"layers": 3, "reductions": 3}, r"reductions is 3; allowed: 0\.\.2"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        MacroSpace(**wrong)
