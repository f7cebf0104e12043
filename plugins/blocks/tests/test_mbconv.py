"""Chains of inverted residual blocks: published counts, decisions and keys, the supernet, prices."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import SearchSpaceConformance
from nascore_blocks.chains import Block, MBConv, Residual
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.mbconv import MBConvSpace
from nascore_blocks.supernet.chain import BlockShape
from nascore_blocks.supernet.mix import BinaryGates, Concrete, PathDropout, Paths, SinglePath, Softmax
from nascore_blocks.supernet.prices import expected_cost, macs, params, price_table

DIGITS = Task("digits", (1, 8, 8), 10)
SEEDS = st.integers(0, 2**32 - 1)
SMALL = {"widths": (4, 6), "cells": (3, 2), "kernels": (3, 5), "expansions": (1, 3), "stem": 4, "first": 4}
PAPER = {"cells": (4, 4, 4, 4, 4, 1), "strides": (2, 2, 2, 1, 2, 1)}


class TestMBConvSpace(SearchSpaceConformance):
    def make(self):
        return MBConvSpace(**SMALL)


def prepared(task=DIGITS, **options):
    space = MBConvSpace(**{**SMALL, **options})
    space.name = "blocks:mbconv"
    space.setup(task)
    return space


def drawn(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def of(space, names):
    return space.architecture({f"block.{number}": name for number, name in enumerate(names)})


def counts(space, architecture, task):
    with torch.device("meta"):
        network, x = space.build(architecture, task).eval(), torch.empty(1, *task.shape)
        return count_params(network, x), count_macs(network, x)


# ------------------------------------------------------------------------------- networks


PUBLISHED = {
    # The authors' networks, a kernel and an expansion for each block; parameters as the public model zoos count them.
    "mobile": ((32, 40, 80, 96, 192, 320), "53-- 7355 7555 5555 7777 7", "33-- 3333 6333 6333 6633 6", 4_080_512),
    "gpu": ((32, 56, 112, 128, 256, 432), "5--- 7--3 7--5 5-35 7775 7", "3--- 3--3 6--3 6-33 6666 6", 7_119_848),
}
ENDS = {"mobile": (32, 16, 1280), "gpu": (40, 24, 1728)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_their_published_parameters(name):
    widths, kernels, expansions, expected = PUBLISHED[name]
    stem, first, head = ENDS[name]
    space = MBConvSpace(widths, **PAPER, stem=stem, first=first, head=head)
    task = Task("imagenet", (3, 224, 224), 1000)
    space.setup(task)
    pairs = [pair for pair in zip(kernels, expansions, strict=True) if pair != (" ", " ")]
    found = counts(space, of(space, ["none" if k == "-" else f"{k}x{k}_e{e}" for k, e in pairs]), task)
    assert found[0] == expected
    if name == "mobile":
        assert round(found[1] / 1e6) == 320  # the authors' own number


def test_a_block_costs_what_the_formulas_say():
    # 8 -> 24 -> 16 channels, 5x5, from 8 x 6 to 4 x 3 pixels.
    shape = BlockShape("5x5_e3", Block(8, 16, 2), 8, 6)
    assert params(shape) == (8 * 24 + 2 * 24) + (25 * 24 + 2 * 24) + (24 * 16 + 2 * 16)
    assert macs(shape) == 8 * 24 * 48 + 25 * 24 * 12 + 24 * 16 * 12


def test_expansion_one_has_no_expanding_convolution():
    assert [type(layer) for layer in MBConv(4, 6, 3, 1).layers] == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU6, nn.Conv2d, nn.BatchNorm2d,
    ]  # fmt: skip
    assert len(MBConv(4, 6, 3, 2).layers) == 8


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_strides_in_the_middle(stride):
    block = MBConv(3, 5, 7, 2, stride)
    assert [layer.stride for layer in block.layers if isinstance(layer, nn.Conv2d)] == [(1, 1), (stride,) * 2, (1, 1)]
    assert block(torch.randn(2, 3, 9, 6)).shape == (2, 5, -(-9 // stride), 6 // stride)


def test_residuals_are_where_nothing_changes():
    space = prepared(widths=(4, 4, 6), cells=(2, 2, 2), strides=(1, 2, 1))
    network = space.build(of(space, ["3x3_e3"] * 6), DIGITS)
    assert [isinstance(block, Residual) for block in network.blocks.values()] == [True, True, False, True, False, True]
    x = torch.randn(2, 4, 3, 3)
    block = network.blocks["0"].eval()
    assert torch.equal(block(x), x + block.op(x))


def test_a_skipped_block_is_not_built_and_is_the_identity():
    space = prepared()
    some = space.build(of(space, ["3x3_e1", "none", "none", "3x3_e1", "none"]), DIGITS)
    assert list(some.blocks) == ["0", "3"]
    seen = []
    some.blocks["0"].register_forward_hook(lambda module, given, output: seen.append(output))
    some.blocks["3"].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    some(torch.randn(2, 1, 8, 8))
    assert seen[0] is seen[1]


# ------------------------------------------------------------------------- decisions, keys


def test_only_blocks_that_change_nothing_may_be_skipped():
    space = prepared()
    made = space.decisions(drawn(space, 0))
    assert [decision.name for decision in made] == [f"block.{number}" for number in range(5)]
    ops = ("3x3_e1", "3x3_e3", "5x5_e1", "5x5_e3")
    assert [decision.options for decision in made] == [(*ops, "none")] * 3 + [ops, (*ops, "none")]
    assert [len(allowed) for allowed in space.wirings["block"].allowed] == [5, 5, 5, 4, 5]


def test_the_papers_chain_has_six_ops_and_a_skip_but_at_its_stages_starts():
    space = MBConvSpace((24, 40, 80, 96, 192, 320), **PAPER, stem=32, first=16, head=1280)
    options = [len(allowed) for allowed in space.wirings["block"].allowed]
    assert options == [6, 7, 7, 7] * 5 + [6]
    assert sum(options) == 141


def test_which_of_equal_places_is_skipped_does_not_matter():
    space = prepared()
    one, other = (of(space, names) for names in (
        ["none", "3x3_e3", "5x5_e1", "3x3_e1", "none"], ["3x3_e3", "5x5_e1", "none", "3x3_e1", "none"],
    ))  # fmt: skip
    assert one.key == other.key
    torch.manual_seed(0)
    first = space.build(one, DIGITS).eval()
    torch.manual_seed(0)
    second = space.build(other, DIGITS).eval()
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(first(x), second(x))


@settings(deadline=None, max_examples=50)
@given(SEEDS, SEEDS)
def test_equal_keys_are_equal_networks(seed, other):
    space = prepared(kernels=(3,), expansions=(1, 3))
    first, second = drawn(space, seed), drawn(space, other)
    same = [[str(block) for block in space.build(each, DIGITS).blocks.values()] for each in (first, second)]
    assert (first.key == second.key) == (same[0] == same[1])


# ------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("shape", "stem", "strides"),
    [
        ((1, 1, 5), 1, [1, 1, 1, 1]),
        ((1, 2, 2), 1, [1, 2, 1, 1]),
        ((1, 3, 8), 1, [1, 2, 2, 1]),
        ((1, 8, 8), 1, [1, 2, 2, 2]),
        ((3, 96, 99), 2, [1, 2, 2, 2]),
    ],
)
def test_without_strides_images_are_halved_as_often_as_fits(shape, stem, strides):
    space = MBConvSpace(widths=(4, 4, 5, 6), cells=(1, 1, 1, 1), stem=4, first=4)
    task = Task("noise", shape, 3)
    space.setup(task)
    assert space.chain.stem_stride == stem
    assert [block.stride for block in space.chain.blocks] == strides
    network = space.build(drawn(space, 0), task).eval()
    assert network(torch.randn(2, *shape)).shape == (2, 3)


def test_strides_that_leave_nothing_are_refused():
    space = MBConvSpace((4,) * 6, cells=(1,) * 6, strides=PAPER["strides"])
    space.setup(Task("noise", (3, 9, 9), 3))
    with pytest.raises(SettingsError, match=r"stage 4 would halve .* 8x8\. Leave strides out"):
        space.setup(DIGITS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (4, 0)}, "widths"),
        ({"cells": (1,)}, "cells has 1 numbers and widths 2"),
        ({"cells": (1, 0)}, "cells"),
        ({"strides": (1,)}, "strides has 1"),
        ({"strides": (1, 3)}, "each is 1 or 2"),
        ({"kernels": (3, 4)}, "odd"),
        ({"kernels": ()}, "kernels"),
        ({"expansions": (3, 3)}, "distinct"),
        ({"stem": 0}, "stem"),
        ({"first": 0}, "first"),
        ({"head": -1}, "head"),
        ({"stem_stride": 3}, "stem_stride"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(SettingsError, match=message):
        MBConvSpace(**{**SMALL, **options})


def test_what_is_no_image_is_refused():
    with pytest.raises(SpaceError, match="channels, height, width"):
        MBConvSpace().setup(Task("text", (35,), 10))


# --------------------------------------------------------------------------------- supernet

TASKS = {"even": Task("noise", (2, 8, 8), 3), "odd": Task("noise", (1, 7, 9), 3)}
EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
MIXES = {
    "softmax": Softmax(),
    "concrete": Concrete(0.3),
    "single path": SinglePath(),
    "gates": BinaryGates(),
    "dropout": PathDropout(0.5),
}


def supernet_of(task, dtype=torch.float64, **options):
    torch.manual_seed(0)
    space = prepared(task, **options)
    return space, space.supernet(task).to(dtype).train(), torch.randn(5, *task.shape, dtype=dtype)


@EVERY_TASK
@pytest.mark.parametrize("head", [0, 7])
def test_an_architecture_inside_equals_itself_alone(task, head):
    space, net, x = supernet_of(task, head=head)
    for seed in range(20):
        found = space.structure(drawn(space, seed))
        torch.testing.assert_close(net(x, net.paths(found)), net.extract(found).train()(x), rtol=0, atol=1e-10)


def test_it_does_so_in_float32_with_the_papers_ops():
    task = Task("noise", (3, 32, 32), 10)
    space, net, x = supernet_of(task, torch.float32, widths=(8, 16), kernels=(3, 5, 7), expansions=(3, 6))
    for seed in range(3):
        found = space.structure(drawn(space, seed))
        torch.testing.assert_close(net(x, net.paths(found)), net.extract(found).train()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_mix_is_the_weighted_sum_of_what_runs(mix):
    _, net, x = supernet_of(TASKS["odd"])
    logits = torch.randn(net.wiring.size, dtype=torch.float64, requires_grad=True)
    paths = mix(logits, net.wiring, torch.Generator().manual_seed(1))
    weights = torch.ones(net.wiring.size) if paths.weights is None else paths.weights
    by_hand = net.beginning(x)
    for number, block in enumerate(net.blocks):
        terms = [weights[number, op] * block.ops[net.wiring.ops[op]](by_hand) for op in paths.active[number]]
        like = block.ops["3x3_e1"](by_hand)
        mixed = sum(terms, torch.zeros_like(like))
        by_hand = by_hand + mixed if block.block.residual else mixed
    out = net(x, {"block": paths})
    torch.testing.assert_close(out, net.end(by_hand), rtol=0, atol=1e-10)
    if paths.weights is not None:
        leaf = paths.weights if paths.weights.is_leaf else logits
        (gradient,) = torch.autograd.grad(out.square().sum(), leaf)
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).any()


def test_only_what_runs_is_computed_and_gets_a_gradient():
    _, net, x = supernet_of(TASKS["even"])
    ran = set()
    for number, block in enumerate(net.blocks):
        for name, op in block.ops.items():
            op.register_forward_hook(lambda *_, which=(number, name): ran.add(which))
    found = ("3x3_e3", "none", "5x5_e1", "5x5_e3", "none")
    net(x, net.paths(found)).square().sum().backward()
    assert ran == {(0, "3x3_e3"), (2, "5x5_e1"), (3, "5x5_e3")}
    for number, block in enumerate(net.blocks):
        for name, op in block.ops.items():
            assert all((p.grad is not None) == ((number, name) in ran) for p in op.parameters())


def test_a_skipped_block_keeps_the_graph_alive():
    _, net, x = supernet_of(TASKS["even"])
    paths = net.paths(("none", "none", "none", "3x3_e3", "none"))
    net(x, paths).square().sum().backward()
    assert net.beginning[0].weight.grad.abs().sum() > 0
    # All that is drawn is `none`, and the gates of its blocks have no gradient.
    gates = torch.zeros(net.wiring.size, dtype=torch.float64, requires_grad=True)
    closed = Paths(((), (), (), paths["block"].active[3], ()), gates)
    (gradient,) = torch.autograd.grad(net(x, {"block": closed}).square().sum(), gates)
    assert [bool((row != 0).any()) for row in gradient] == [False, False, False, True, False]


def test_where_every_path_is_dropped_zeros_go_on():
    _, net, x = supernet_of(TASKS["odd"])
    out = net(x, {"block": Paths(((),) * 5)})
    torch.testing.assert_close(out, net.end[-1].bias.expand(5, -1))


def test_extracted_weights_are_copies():
    space, net, x = supernet_of(TASKS["even"])
    found = space.structure(drawn(space, 1))
    before = net(x, net.paths(found)).detach()
    alone = net.extract(found)
    assert {name for name, _ in alone.named_buffers()}  # it has running statistics of its own
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.zero_()
    assert torch.equal(net(x, net.paths(found)), before)


def test_an_op_that_a_block_may_not_have_is_refused():
    _, net, _ = supernet_of(TASKS["even"])
    with pytest.raises(SpaceError, match="no 'none' at block 3"):
        net.extract(("3x3_e1",) * 3 + ("none", "3x3_e1"))
    with pytest.raises(SpaceError, match="no '9x9_e1' at block 0"):
        net.paths(("9x9_e1",) + ("3x3_e1",) * 4)


# ------------------------------------------------------------------------ deriving, prices


def test_the_strongest_op_is_derived_and_none_only_where_it_is_allowed():
    space = prepared()
    weights = torch.zeros(5, 5)
    weights[:, 4] = 0.5
    weights[2, 3] = 0.9
    weights[3, 1] = 0.1
    derived = space.derive({"block": weights})
    assert list(derived.genome.values()) == ["none", "none", "5x5_e3", "3x3_e3", "none"]
    equal = space.derive({"block": torch.ones(5, 5)})
    assert set(equal.genome.values()) == {"3x3_e1"}  # none does not win a tie


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_what_is_derived_is_in_the_space(seed):
    space = prepared()
    table = torch.softmax(torch.randn(5, 5, generator=torch.Generator().manual_seed(seed)), -1)
    derived = space.derive({"block": table})
    space.check(derived)
    for name, row, allowed in zip(derived.genome.values(), table, space.wirings["block"].allowed, strict=True):
        assert row[space.wirings["block"].ops.index(name)] == row[list(allowed)].max()


@EVERY_TASK
def test_two_networks_differ_by_what_their_blocks_cost(task):
    space, net, _ = supernet_of(task)
    tables = [price_table(net, price) for price in (params, macs)]
    differences = set()
    for seed in range(8):
        architecture = drawn(space, seed)
        ones = torch.zeros(net.wiring.size, dtype=torch.float64)
        for number, ops in enumerate(net.paths(space.structure(architecture))["block"].active):
            ones[number, list(ops)] = 1.0
        priced = [float(expected_cost({"block": ones}, table)) for table in tables]
        found = counts(space, architecture, task)
        differences.add((found[0] - priced[0], found[1] - priced[1]))
    assert len(differences) == 1
