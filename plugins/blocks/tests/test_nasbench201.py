"""NAS-Bench-201 cells: all 15,625 of them, published counts, the network, the supernet."""

from __future__ import annotations

import functools
import hashlib
import itertools
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import SearchSpaceConformance
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.graphcells import ResidualReduction
from nascore_blocks.nasbench201 import (
    EDGES,
    HOUSE_OPS,
    NAMES,
    NASBench201,
    canonical_terms,
    live_edges,
    parse,
    published_form,
    write,
)
from nascore_blocks.supernet import prices
from nascore_blocks.supernet.mix import PathDropout, Paths, Softmax

OPS = tuple(HOUSE_OPS)
EVERY_CELL = list(itertools.product(OPS, repeat=6))
CIFAR = Task("cifar", (3, 32, 32), 10)
SMALL = Task("small", (2, 8, 8), 3)
NONE, SKIP, CONV1, CONV3, POOL = OPS


def set_up(task=SMALL, **options):
    space = NASBench201(**{"channels": 4, **options})
    space.name = "blocks:nasbench201"
    space.setup(task)
    return space


def architecture(space, ops):
    return space.architecture(dict(zip(NAMES, ops, strict=True)))


def network(ops, task=CIFAR, **options):
    space = set_up(task, **{"channels": 16, "cells": 5, **options})
    with torch.device("meta"):
        return space.build(architecture(space, ops), task)


class TestTheSpace(SearchSpaceConformance):
    def make(self):
        return NASBench201(channels=2)


# ------------------------------------------------------------------------------------ the key


@functools.cache
def result(op, weight, x):
    return int.from_bytes(hashlib.blake2b(f"{op} {weight} {x}".encode(), digest_size=8).digest(), "big")


def behaviour(ops):
    """What a cell computes, as seen from outside, over all ways to fill its convolutions with four kinds of weights.

    Each op is a hash of its name, its weights and its input; sums are exact. Cells are told apart by the set
    of their outputs: names and order of edges and nodes do not show in it. (With three kinds, a sum of four
    convolutions would look like one in which two of them are the same.)
    """
    outputs = set()
    dead = [not lives for lives in live_edges(ops)]
    for weights in itertools.product(
        *("abcd" if "conv" in op and not d else "-" for op, d in zip(ops, dead, strict=True))
    ):
        nodes = [1, 0, 0, 0]  # a node that nothing leads to is 0, and no other one can be
        for (node, given), op, weight in zip(EDGES, ops, weights, strict=True):
            if op != NONE and nodes[given]:
                nodes[node] += nodes[given] if op == SKIP else result(op, weight, nodes[given])
        outputs.add(nodes[3])
    return frozenset(outputs)


def test_two_cells_share_a_key_exactly_when_they_do_the_same():
    keys = [str(canonical_terms(ops)) for ops in EVERY_CELL]
    doings = [behaviour(ops) for ops in EVERY_CELL]
    pairs = set(zip(keys, doings, strict=True))
    assert len(EVERY_CELL) == 15_625
    assert len(set(keys)) == len(set(doings)) == len(pairs) == 5_260


def test_the_published_count():
    """Dong and Yang 2020: 6,466 cells are unique; and why that is no key: see published_form."""
    assert len({published_form(ops) for ops in EVERY_CELL}) == 6_466
    once_twice = (CONV3, NONE, SKIP, SKIP, SKIP, NONE), (CONV3, NONE, SKIP, NONE, SKIP, SKIP)
    twice, two = (CONV3, NONE, SKIP, NONE, SKIP, SKIP), (CONV3, CONV3, NONE, NONE, SKIP, SKIP)
    assert published_form(twice) == published_form(two)  # one convolution read twice; two convolutions
    assert canonical_terms(twice) != canonical_terms(two)
    assert canonical_terms(once_twice[0]) != canonical_terms(once_twice[1])
    first, second = (CONV3, NONE, NONE, NONE, SKIP, NONE), (NONE, CONV3, NONE, NONE, NONE, SKIP)
    assert published_form(first) != published_form(second)  # one convolution, by node 1 or by node 2
    assert canonical_terms(first) == canonical_terms(second)


def test_equal_keys_have_equal_costs():
    parameters = {}
    for ops in EVERY_CELL:
        live = [op for op, lives in zip(ops, live_edges(ops), strict=True) if lives]
        found = live.count(CONV1), live.count(CONV3)
        assert parameters.setdefault(str(canonical_terms(ops)), found) == found
    assert len(set(parameters.values())) > 15


def test_cells_with_their_dead_edges_kept_have_keys_of_their_own():
    space = set_up(keep_dead=True)
    assert len({architecture(space, ops).key for ops in EVERY_CELL[::50]}) == len(EVERY_CELL[::50])


def test_dead_edges():
    assert live_edges((CONV3,) * 6) == (True,) * 6
    assert live_edges((CONV3, CONV3, CONV3, NONE, NONE, NONE)) == (False,) * 6
    assert live_edges((NONE, CONV3, CONV3, NONE, CONV3, CONV3)) == (False, True, False, False, False, True)
    assert live_edges((CONV3, CONV3, NONE, SKIP, NONE, SKIP)) == (False, True, False, True, False, True)


# ------------------------------------------------------------------------------------ the writing


def test_the_benchmarks_own_writing():
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert parse(text) == (CONV3, NONE, SKIP, POOL, CONV1, NONE)
    space = set_up()
    assert space.genome_of(text)["edge.3.1"] == CONV1
    assert space.text(space.architecture(space.genome_of(text))) == text
    assert all(parse(write(ops)) == ops for ops in EVERY_CELL[::7])


@pytest.mark.parametrize(
    "text",
    ["", "nor_conv_3x3~0", "|none~0|+|none~0|none~1|", "|none~0|+|none~0|none~0|+|none~0|none~1|none~2|"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(SpaceError, match=r"write it like \|nor_conv_3x3~0\|"):
        set_up().genome_of(text)


def test_an_op_that_the_space_has_not_is_refused():
    with pytest.raises(SpaceError, match=r"edge.1.0"):
        set_up(ops=[NONE, SKIP]).genome_of(write((CONV3,) * 6))


# ------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize(
    ("ops", "params"),
    # Published parameters of the benchmark on CIFAR-10: 1.531546M for the largest cell, 0.073306M for the least.
    [((CONV3,) * 6, 1_531_546), ((SKIP,) * 6, 73_306), ((NONE,) * 6, 73_306)],
)
def test_published_params(ops, params):
    assert count_params(network(ops), torch.empty(0)) == params


def test_params_by_hand():
    fixed = 3 * 16 * 9 + 2 * 16 + 2 * 64 + 64 * 10 + 10
    for c in (16, 32):
        fixed += 9 * c * 2 * c + 9 * 2 * c * 2 * c + 4 * 2 * c + c * 2 * c
    of_one = {CONV1: [c * c + 2 * c for c in (16, 32, 64)], CONV3: [9 * c * c + 2 * c for c in (16, 32, 64)]}
    assert count_params(network((CONV1, SKIP, POOL, CONV3, SKIP, SKIP)), torch.empty(0)) == fixed + 5 * (
        sum(of_one[CONV1]) + sum(of_one[CONV3])
    )
    # A convolution that leads nowhere is built, and counted, with keep_dead alone.
    dead = (CONV3, SKIP, SKIP, SKIP, NONE, NONE)
    assert count_params(network(dead), torch.empty(0)) == fixed
    assert count_params(network(dead, keep_dead=True), torch.empty(0)) == fixed + 5 * sum(of_one[CONV3])


def test_published_macs():
    """220.11969M for the largest cell on CIFAR-10, which counts the classifier's ten biases."""
    largest = network((CONV3,) * 6).eval()
    assert count_macs(largest, torch.empty(1, 3, 32, 32, device="meta")) == 220_119_690 - 10


@pytest.mark.parametrize("keep_dead", [False, True])
@pytest.mark.parametrize("reductions", [0, 2])
@pytest.mark.parametrize(
    "ops",
    [(NONE,) * 6, (CONV3, CONV3, CONV3, NONE, NONE, NONE), (NONE, NONE, NONE, NONE, CONV3, POOL)],
    ids=["none at all", "from the input to nowhere", "from nothing to the output"],
)
def test_a_cell_that_is_always_zero_runs_both_ways(ops, reductions, keep_dead):
    space = set_up(reductions=reductions, keep_dead=keep_dead)
    alone = space.build(architecture(space, ops), SMALL)
    out = alone(torch.randn(4, 2, 8, 8))
    F.cross_entropy(out, torch.tensor([0, 1, 2, 0])).backward()
    assert torch.isfinite(out).all()
    assert alone.classifier.bias.grad.abs().sum() > 0
    cell = next(part for part in alone.body if hasattr(part, "edges"))
    assert len(cell.edges) == (6 if keep_dead else 0)
    if not keep_dead:
        assert not cell(torch.randn(4, 4, 8, 8)).any()


def test_nodes_add_and_the_average_leaves_the_border_out():
    space = set_up()
    alone = space.build(architecture(space, (POOL, SKIP, SKIP, SKIP, NONE, SKIP)), SMALL)
    cell = alone.body[0]
    x = torch.rand(1, 4, 8, 8)
    one = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(cell(x), x + (x + one))


def test_the_reduction_takes_odd_sizes():
    assert ResidualReduction(2, 4)(torch.randn(2, 2, 7, 9)).shape == (2, 4, 4, 5)
    assert ResidualReduction(2, 4)(torch.randn(2, 2, 1, 1)).shape == (2, 4, 1, 1)
    block = ResidualReduction(2, 4)
    nn.init.zeros_(block.convs[1][1].weight)  # the last convolution, so the shortcut is left
    x = torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(block(x), F.conv2d(F.avg_pool2d(x, 2), block.shortcut[1].weight))


@pytest.mark.parametrize(("size", "reductions"), [(32, 2), (8, 2), (4, 1), (2, 0), (1, 0)])
def test_reductions_fit_the_images(size, reductions):
    space = set_up(task := Task("t", (1, size, size), 2))
    alone = space.build(architecture(space, (CONV1,) * 6), task)
    assert sum(isinstance(part, ResidualReduction) for part in alone.body) == reductions
    assert len(alone.body) == 2 * reductions + 1


# ------------------------------------------------------------------------------------ the supernet


def supernet(space, task=SMALL, dtype=torch.float64):
    torch.manual_seed(0)
    net = space.supernet(task).to(dtype)
    for module in net.modules():  # else all are 1 and 0, and would be left out unseen
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_an_architecture_inside_equals_itself_alone(dtype, tolerance):
    space = set_up(cells=2)
    net = supernet(space, dtype=dtype)
    x = torch.randn(5, 2, 8, 8, dtype=dtype)
    rng = random.Random(0)
    drawn = {str(canonical_terms(ops)): ops for ops in [rng.choice(EVERY_CELL) for _ in range(12)]}
    outputs = []
    for ops in [(NONE,) * 6, (CONV3,) * 6, *drawn.values()]:
        alone = net.extract(ops).train()
        outputs.append(net(x, net.paths(ops)))
        torch.testing.assert_close(outputs[-1], alone(x), rtol=0, atol=tolerance)
        # Its dead edges run without any effect.
        everything = {"cell": Paths(tuple((OPS.index(op),) if op != NONE else () for op in ops))}
        torch.testing.assert_close(net(x, everything), outputs[-1], rtol=0, atol=tolerance)
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(outputs, 2))


def test_extracted_weights_are_copies():
    space = set_up()
    net = supernet(space)
    ops = (CONV3, POOL, CONV1, SKIP, CONV3, SKIP)
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    before = net(x, net.paths(ops)).detach()
    with torch.no_grad():
        for parameter in net.extract(ops).parameters():
            parameter.zero_()
    assert torch.equal(net(x, net.paths(ops)), before)


def test_near_one_hot_alphas_are_the_discrete_network():
    space = set_up()
    net = supernet(space)
    ops = (CONV3, NONE, CONV1, SKIP, POOL, SKIP)
    logits = torch.full((6, 5), -40.0, dtype=torch.float64)
    logits[range(6), [OPS.index(op) for op in ops]] = 40.0
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    paths = {"cell": Softmax()(logits, net.wiring, torch.Generator())}
    torch.testing.assert_close(net(x, paths), net.extract(ops).train()(x), rtol=0, atol=1e-10)


def test_only_what_runs_gets_a_gradient():
    space = set_up()
    net = supernet(space)
    ops = (CONV3, CONV3, NONE, NONE, SKIP, NONE)  # edge 2.0 leads nowhere
    net(torch.randn(3, 2, 8, 8, dtype=torch.float64), net.paths(ops)).sum().backward()
    names = {
        name.split(".edges.")[1][:14] for name, p in net.named_parameters() if ".edges." in name and p.grad is not None
    }
    assert names == {"0.nor_conv_3x3"}


def test_nothing_runs_where_all_paths_are_dropped():
    space = set_up()
    net = supernet(space)
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    empty = {"cell": Paths(((),) * 6)}
    torch.testing.assert_close(net(x, empty), net(torch.zeros_like(x), empty))
    assert PathDropout(0.5).probability(net.wiring, 5) == pytest.approx(0.5 ** (1 / 12))  # 4 ops on each of 3 edges


def test_an_op_that_is_not_there_is_refused():
    net = supernet(set_up(ops=[SKIP, CONV1]))
    with pytest.raises(SpaceError, match=r"no 'nor_conv_3x3' on Link\(node=1, input=0\)"):
        net.paths((CONV3,) * 6)


def weights_of(rows):
    table = torch.full((6, 5), 0.1)
    for edge, (op, weight) in rows.items():
        table[edge, OPS.index(op)] = weight
    return {"cell": table}


def test_none_wins_only_where_it_is_strictly_the_strongest():
    rows = {0: (NONE, 0.9), 1: (POOL, 0.5), 2: (NONE, 0.1), 3: (CONV3, 0.2), 4: (CONV1, 0.2), 5: (SKIP, 0.2)}
    derived = set_up().derive(weights_of(rows))
    assert list(derived.genome.values()) == [NONE, POOL, SKIP, CONV3, CONV1, SKIP]
    never = set_up(none_wins=False).derive(weights_of(rows))
    assert list(never.genome.values()) == [SKIP, POOL, SKIP, CONV3, CONV1, SKIP]


def test_prices_add_up_to_the_network():
    space = set_up(cells=2)
    net = space.supernet(SMALL)
    for price, count in ((prices.params, count_params), (prices.macs, count_macs)):
        table = prices.price_table(net, price)["cell"]
        bare = count(space.build(architecture(space, (SKIP,) * 6), SMALL).eval(), torch.zeros(1, 2, 8, 8))
        ops = (CONV3, CONV1, POOL, SKIP, CONV3, CONV1)
        total = sum(float(table[edge, OPS.index(op)]) for edge, op in enumerate(ops))
        assert bare + total == count(space.build(architecture(space, ops), SMALL).eval(), torch.zeros(1, 2, 8, 8))


# ------------------------------------------------------------------------------------ bad settings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ops": []}, "needs a list"),
        ({"ops": ["none"]}, "needs a list"),
        ({"ops": "none"}, "needs a list"),
        ({"ops": ["nor_conv_3x4"]}, "did you mean 'nor_conv_3x3'"),
        ({"ops": [SKIP, SKIP]}, "twice"),
        ({"channels": 0}, "channels is 0"),
        ({"cells": 0}, "cells is 0"),
        ({"reductions": -1}, "reductions is -1"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(SettingsError, match=says):
        NASBench201(**wrong)
