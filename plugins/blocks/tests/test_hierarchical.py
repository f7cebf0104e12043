"""The hierarchical space: the paper's properties, the key, mutation, assembly, the network, its export."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.export import export_python
from nascore.testing import SearchSpaceConformance
from nascore_blocks.hierarchical import HierarchicalSpace
from nascore_blocks.hierarchical_network import PRIMITIVES, MotifModule, assemble
from nascore_blocks.motifs import Motif, links, live_links
from nascore_blocks.nasbench201 import Link

SMALL = Task("small", (2, 8, 8), 3)
PAPER = {"motifs": (6, 1), "nodes": (4, 5)}
DEEP = {"motifs": (2, 2, 1), "nodes": (3, 3, 3)}
FLAT = {"motifs": (1,), "nodes": (11,)}
SPACES = [{}, PAPER, DEEP, FLAT, {"merge": "sum"}, {"nodes": (2, 2)}]


def set_up(**options):
    space = HierarchicalSpace(**{"channels": 4, **options})
    space.name = "blocks:hierarchical"
    space.setup(SMALL)
    return space


def sampled(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def with_edges(space, edges):
    """The architecture with ``2.0.1.0`` and so on set (level, motif, node, input), all else ``none``; unchecked."""
    genome = dict.fromkeys(space.trivial().genome, "none")
    for short, op in edges.items():
        level, motif, node, given_node = short.split(".")
        name = f"level.{level}.motif.{motif}.edge.{node}.{given_node}"
        assert name in genome
        genome[name] = op
    return space.architecture(genome)


def cell(space, architecture, channels=4):
    return assemble(space.structure(architecture), channels, space.merge)


def count_params(module):
    return sum(parameter.numel() for parameter in module.parameters())


class TestTheDefault(SearchSpaceConformance):
    builds = 10

    def make(self):
        return HierarchicalSpace(channels=4)


class TestThePapers(SearchSpaceConformance):
    def make(self):
        return HierarchicalSpace(**PAPER, merge="sum", channels=2, reductions=1)


class TestTheFlatBaseline(SearchSpaceConformance):
    def make(self):
        return HierarchicalSpace(**FLAT, channels=2, reductions=0)


# ------------------------------------------------------------------------------------ the decisions


def test_there_is_a_decision_for_each_possible_edge_of_each_motif():
    assert len(set_up(**PAPER).trivial().genome) == 6 * 6 + 10
    assert len(set_up(**FLAT).trivial().genome) == 55
    decisions = {d.name: d.options for d in set_up().decisions(set_up().trivial())}
    assert len(decisions) == 2 * 3 + 6
    assert decisions["level.2.motif.1.edge.2.0"] == (*PRIMITIVES, "none")
    assert decisions["level.3.motif.0.edge.3.1"] == ("motif.0", "motif.1", "none")


@pytest.mark.parametrize("options", SPACES)
def test_what_is_sampled_or_crossed_is_connected(options):
    space = set_up(**options)
    rng = random.Random(0)
    for seed in range(60):
        first, second = sampled(space, seed), sampled(space, seed + 1000)
        for one in (first, second, space.crossover(first, second, rng)):
            space.check(one)


def test_a_sample_of_nothing_is_repaired_by_identities_from_source_to_sink():
    space = set_up()
    repaired = space.sample(lambda _, options: "none")
    assert repaired == with_edges(space, {"2.0.2.0": "skip_connect", "2.1.2.0": "skip_connect", "3.0.3.0": "motif.0"})


def test_a_sample_that_is_connected_is_left_as_it_is():
    space = set_up()
    genome = {**space.trivial().genome, "level.2.motif.1.edge.2.1": "conv_1x1"}
    assert space.sample(lambda name, _: genome[name]).genome == genome


@pytest.mark.parametrize("edge", ["2.0.2.1", "2.1.1.0", "3.0.2.1"])
def test_a_cut_motif_is_refused_even_where_it_is_not_used(edge):
    """P6; the second motif of level 2 is not used by a trivial architecture."""
    space = set_up()
    level, motif, node, given_node = edge.split(".")
    genome = {**space.trivial().genome, f"level.{level}.motif.{motif}.edge.{node}.{given_node}": "none"}
    with pytest.raises(
        SpaceError, match=rf"No path leads from node 0 .* level\.{level}\.motif\.{motif}: .* One way out"
    ):
        space.check(space.architecture(genome))


def test_no_edge_into_the_sink_is_refused():
    space = set_up(**FLAT)
    cut = {name: "none" if ".edge.10." in name else "conv_1x1" for name in space.trivial().genome}
    with pytest.raises(SpaceError, match="node 10"):
        space.check(space.architecture(cut))


# ------------------------------------------------------------------------------------ mutation


@pytest.mark.parametrize("options", SPACES)
def test_a_mutation_changes_exactly_one_entry_and_stays_in_the_space(options):
    """P2."""
    space, rng = set_up(**options), random.Random(0)
    architecture = space.trivial()
    for _ in range(200):
        child = space.mutate(architecture, rng)
        space.check(child)
        assert sum(child.genome[name] != architecture.genome[name] for name in child.genome) == 1
        architecture = child


def test_a_mutation_can_add_alter_and_remove_an_edge():
    space, rng = set_up(), random.Random(0)
    start = sampled(space, 3)
    kinds = Counter()
    for _ in range(300):
        child = space.mutate(start, rng).genome
        (name,) = [name for name in child if child[name] != start.genome[name]]
        kinds[start.genome[name] == "none", child[name] == "none"] += 1
    assert set(kinds) == {(True, False), (False, False), (False, True)}


def test_level_motif_target_predecessor_and_op_are_each_as_likely():
    """Where nothing is forbidden, which is so where every edge is there: one more or less cuts nothing."""
    space, rng, draws = set_up(**PAPER), random.Random(0), 2000
    full = {name: "motif.0" if "level.3" in name else "conv_1x1" for name in space.trivial().genome}
    changed, ops = Counter(), Counter()
    for _ in range(draws):
        child = space.mutate(space.architecture(full), rng).genome
        (name,) = [name for name in child if child[name] != full[name]]
        changed[name] += 1
        ops[child[name]] += "level.2" in name
    shares = {name: count / draws for name, count in changed.items()}
    assert sum(share for name, share in shares.items() if "level.3" in name) == pytest.approx(1 / 2, abs=0.04)
    for motif in range(6):
        of_motif = sum(share for name, share in shares.items() if f"level.2.motif.{motif}." in name)
        assert of_motif == pytest.approx(1 / 12, abs=0.02)
    assert shares["level.3.motif.0.edge.1.0"] == pytest.approx(1 / 2 / 4, abs=0.03)
    assert shares["level.3.motif.0.edge.4.0"] == pytest.approx(1 / 2 / 4 / 4, abs=0.017)
    level_2 = sum(ops.values())
    for op in set(PRIMITIVES) - {"conv_1x1"} | {"none"}:
        assert ops[op] / level_2 == pytest.approx(1 / 6, abs=0.05)


def test_without_distinct_one_mutation_in_seven_changes_nothing():
    """In a motif of 11 nodes that is full; six ops and none are equally likely."""
    space, rng = set_up(**FLAT, distinct=False), random.Random(0)
    full = space.architecture(dict.fromkeys(space.trivial().genome, "conv_1x1"))
    same = sum(space.mutate(full, rng).genome == full.genome for _ in range(1000)) / 1000
    assert same == pytest.approx(1 / 7, abs=0.04)


def test_a_space_of_one_architecture_cannot_be_mutated():
    space = set_up(motifs=[1], nodes=[2], ops=["skip_connect"])
    with pytest.raises(SpaceError, match="Nothing can be mutated"):
        space.mutate(space.trivial(), random.Random(0))


def test_only_what_is_in_the_space_is_mutated():
    space = set_up()
    with pytest.raises(SpaceError, match=r"level\.2\.motif\.1\.edge\.1\.0.* is missing"):
        space.mutate(set_up(motifs=[1], nodes=[3]).trivial(), random.Random(0))


def test_diversifying_is_mutating_again_and_again():
    space = set_up(**PAPER)
    expected, rng = space.trivial(), random.Random(5)
    for _ in range(40):
        expected = space.mutate(expected, rng)
    assert space.diversify(space.trivial(), 40, random.Random(5)) == expected
    assert space.diversify(expected, 0, rng) == expected


def test_after_the_papers_thousand_mutations_nothing_trivial_is_left():
    space = set_up(**PAPER)
    found = [space.diversify(space.trivial(), 1000, random.Random(seed)) for seed in range(5)]
    for architecture in found:
        space.check(architecture)
    assert len({architecture.key for architecture in found}) == 5
    kept = [sum(a.genome[n] == space.trivial().genome[n] for n in a.genome) for a in found]
    assert max(kept) < 46 / 2


# ------------------------------------------------------------------------------------ the key


def test_unused_motifs_do_not_count():
    space = set_up()
    assert space.trivial().key == with_edges(
        space,
        {"2.0.1.0": "skip_connect", "2.0.2.1": "skip_connect", "2.1.2.0": "conv_1x1"}
        | {"3.0.1.0": "motif.0", "3.0.2.1": "motif.0", "3.0.3.2": "motif.0"},
    ).key  # fmt: skip


def test_dead_edges_do_not_count_and_live_ones_do():
    space = set_up()
    base = {"2.0.2.0": "conv_1x1", "2.1.2.0": "max_pool_3x3", "3.0.2.0": "motif.0", "3.0.3.2": "motif.1"}
    key = with_edges(space, base).key
    assert with_edges(space, {**base, "2.0.1.0": "dw_conv_3x3"}).key == key  # leads nowhere
    assert with_edges(space, {**base, "2.0.2.1": "dw_conv_3x3"}).key == key  # comes from nowhere
    assert with_edges(space, {**base, "3.0.2.1": "motif.1"}).key == key
    assert with_edges(space, {**base, "2.0.1.0": "dw_conv_3x3", "2.0.2.1": "skip_connect"}).key != key
    assert with_edges(space, {**base, "3.0.3.0": "motif.0"}).key != key
    assert set_up(merge="sum").architecture(with_edges(space, base).genome).key != key


def test_equal_motifs_of_two_numbers_are_one():
    space = set_up()
    inner = {"2.0.2.0": "conv_1x1", "2.0.1.0": "max_pool_3x3", "2.0.2.1": "conv_1x1"}
    twice = inner | {name.replace("2.0.", "2.1.", 1): op for name, op in inner.items()}
    keys = {with_edges(space, {**twice, "3.0.1.0": a, "3.0.3.1": b}).key for a in MOTIFS for b in MOTIFS}
    assert len(keys) == 1


MOTIFS = ("motif.0", "motif.1")


@pytest.mark.parametrize("options", [{}, PAPER, DEEP])
@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_of_motifs_do_not_count(options, seed):
    space, rng = set_up(**options), random.Random(seed)
    one = sampled(space, seed)
    orders = [rng.sample(range(count), count) for count in space.motifs]
    genome = {}
    for name, op in one.genome.items():
        _, level, _, motif, _, node, given_node = name.split(".")
        level = int(level)
        if op.startswith("motif."):
            op = f"motif.{orders[level - 3][int(op[6:])]}"
        genome[f"level.{level}.motif.{orders[level - 2][int(motif)]}.edge.{node}.{given_node}"] = op
    other = space.sample(lambda name, _: genome[name])
    assert other.key == one.key


def test_the_numbers_of_nodes_do_not_count():
    space = set_up(motifs=[1], nodes=[4])
    first = {"2.0.1.0": "conv_1x1", "2.0.2.0": "max_pool_3x3", "2.0.3.1": "dw_conv_3x3", "2.0.3.2": "avg_pool_3x3"}
    second = {"2.0.2.0": "conv_1x1", "2.0.1.0": "max_pool_3x3", "2.0.3.2": "dw_conv_3x3", "2.0.3.1": "avg_pool_3x3"}
    crossed = {"2.0.1.0": "conv_1x1", "2.0.2.0": "max_pool_3x3", "2.0.3.2": "dw_conv_3x3", "2.0.3.1": "avg_pool_3x3"}
    keys = [with_edges(space, edges).key for edges in (first, second, crossed)]
    assert keys[0] == keys[1] != keys[2]


def test_identities_on_the_way_do_not_count():
    space = set_up()
    chain, direct = {"2.0.1.0": "skip_connect", "2.0.2.1": "conv_1x1"}, {"2.0.2.0": "conv_1x1"}
    rest = {"2.1.2.0": "skip_connect"}
    short = with_edges(space, direct | rest | {"3.0.3.0": "motif.0"}).key
    assert with_edges(space, chain | rest | {"3.0.3.0": "motif.0"}).key == short
    assert with_edges(space, direct | rest | {"3.0.2.0": "motif.1", "3.0.3.2": "motif.0"}).key == short
    assert with_edges(space, direct | rest | {"3.0.2.0": "motif.0", "3.0.3.2": "motif.0"}).key != short


def test_motifs_of_one_op_are_that_op_at_any_level():
    """conv(x) beside conv(max(x)): on level 2, handed up; and on level 3, of motifs that are single ops."""
    space = set_up(**DEEP)
    two = {"2.0.2.0": "conv_1x1", "2.0.1.0": "max_pool_3x3", "2.0.2.1": "conv_1x1", "3.0.2.0": "motif.0"}
    three = {"2.0.2.0": "conv_1x1", "2.1.2.0": "max_pool_3x3"}
    three |= {"3.0.2.0": "motif.0", "3.0.1.0": "motif.1", "3.0.2.1": "motif.0"}
    keys = [with_edges(space, {**edges, "4.0.2.0": "motif.0"}).key for edges in (two, three)]
    assert keys[0] == keys[1]


@functools.cache
def result(op, weight, inputs):
    return int.from_bytes(hashlib.blake2b(f"{op} {weight} {inputs}".encode(), digest_size=8).digest(), "big")


def behaviour(motif):
    """All outputs of a motif, over three kinds of weights in each convolution and two in each projection.

    Three, as three convolutions of one input can be merged, and two of them be one and the same.
    """
    live = motif.live()
    into = {node: [link.input for link in live if link.node == node] for node in range(1, motif.nodes)}
    weighted = [link for link, op in live.items() if "conv" in op]
    weighted += [node for node, inputs in into.items() if len(inputs) > 1]
    outputs = set()
    for weights in itertools.product(*("abc" if isinstance(one, Link) else "ab" for one in weighted)):
        weight = dict(zip(weighted, weights, strict=True))
        nodes = {0: 0}
        for node, inputs in into.items():
            read = []
            for given_node in inputs:
                link = Link(node, given_node)
                x = nodes[given_node]
                read.append(x if live[link] == "skip_connect" else result(live[link], weight.get(link), x))
            if read:
                nodes[node] = read[0] if len(read) == 1 else result("cat", weight[node], tuple(sorted(read)))
        outputs.add(nodes[motif.nodes - 1])
    return frozenset(outputs)


def test_two_flat_cells_share_a_key_exactly_when_they_do_the_same():
    """All 4 x 4 matrices over two ops: the key against what the cells compute, seen from outside."""
    ops = ("skip_connect", "conv_1x1")
    space = set_up(motifs=[1], nodes=[4], ops=ops)
    motifs = [Motif(4, each) for each in itertools.product((*ops, "none"), repeat=6)]
    motifs = [motif for motif in motifs if motif.live()]
    names = list(space.trivial().genome)
    keys = [space.architecture(dict(zip(names, motif.ops, strict=True))).key for motif in motifs]
    doings = [behaviour(motif) for motif in motifs]
    pairs = set(zip(keys, doings, strict=True))
    assert len(set(keys)) == len(set(doings)) == len(pairs) > 50


@pytest.mark.parametrize("options", [{}, PAPER, DEEP, {"merge": "sum"}])
def test_equal_keys_have_equal_costs(options):
    """Few ops and many nones, so that keys do meet."""
    space = set_up(**options, ops=["skip_connect", "conv_1x1"])
    found = {}
    for seed in range(150):
        rng = random.Random(seed)
        one = space.sample(lambda _, choices, rng=rng: rng.choice([choices[0], "none", rng.choice(choices)]))
        with torch.device("meta"):
            found.setdefault(one.key, set()).add(count_params(cell(space, one)))
    assert len(found) < 150
    assert all(len(counts) == 1 for counts in found.values())


# ------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("options", SPACES)
def test_the_trivial_cell_is_the_identity(options):
    """P1: exactly its input, with either merge, since nothing is merged."""
    space = set_up(**options)
    space.check(space.trivial())
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(cell(space, space.trivial())(x), x)


def test_an_upper_triangle_of_identities_is_not_the_trivial_cell():
    space = set_up(motifs=[1], nodes=[3], merge="sum")
    full = space.architecture(dict.fromkeys(space.trivial().genome, "skip_connect"))
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(cell(space, full)(x), 2 * x)
    assert full.key != space.trivial().key


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_assembly_is_the_composition_by_hand(merge):
    """P3: two levels, motif 0 = conv beside an average pooling behind a max pooling, motif 1 = depthwise."""
    space = set_up(merge=merge)
    architecture = with_edges(
        space,
        {"2.0.2.0": "conv_1x1", "2.0.1.0": "max_pool_3x3", "2.0.2.1": "avg_pool_3x3", "2.1.2.0": "dw_conv_3x3"}
        | {"3.0.1.0": "motif.0", "3.0.3.1": "motif.1", "3.0.3.0": "motif.0"},
    )
    torch.manual_seed(0)
    top = cell(space, architecture).eval()

    def merged(module, node, parts):
        return module.project[node](torch.cat(parts, dim=1)) if merge == "concat" else parts[0] + parts[1]

    def motif_0(module, x):
        pooled = nn.AvgPool2d(3, 1, 1, count_include_pad=False)(nn.MaxPool2d(3, 1, 1)(x))
        return merged(module, "2", [module.edges["2_0"](x), pooled])

    x = torch.randn(2, 4, 6, 6)
    first = motif_0(top.edges["1_0"], x)
    expected = merged(top, "3", [motif_0(top.edges["3_0"], x), top.edges["3_1"].edges["2_0"](first)])
    torch.testing.assert_close(top(x), expected)


def test_each_use_of_a_motif_has_weights_of_its_own():
    space = set_up()
    once = {"2.0.2.0": "conv_1x1", "2.1.2.0": "skip_connect", "3.0.1.0": "motif.0", "3.0.3.1": "motif.0"}
    module = cell(space, with_edges(space, once))
    assert count_params(module) == 2 * (4 * 4 + 2 * 4)
    assert module.edges["1_0"].edges["2_0"][0].weight is not module.edges["3_1"].edges["2_0"][0].weight


def test_parameters_by_hand():
    c = 4
    counts = {name: count_params(make(c)) for name, make in PRIMITIVES.items()}
    assert counts == {
        "skip_connect": 0,
        "conv_1x1": c * c + 2 * c,
        "dw_conv_3x3": 9 * c + 2 * c,
        "sep_conv_3x3": 9 * c + c * c + 2 * c,
        "max_pool_3x3": 0,
        "avg_pool_3x3": 0,
    }
    full = Motif(4, ("skip_connect",) * 6)  # merges of two and of three
    assert count_params(MotifModule(full, c, lambda op: nn.Identity())) == (2 + 3) * c * c + 2 * 2 * c
    assert count_params(MotifModule(full, c, lambda op: nn.Identity(), "sum")) == 0


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_op_keeps_the_shape(name):
    for size in ((5, 7), (1, 1), (8, 8)):
        assert PRIMITIVES[name](3)(torch.randn(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_what_is_dead_contributes_nothing(merge):
    """P5: the same network, weight by weight, with a dead end and with edges from nowhere."""
    base = {"2.0.2.0": "sep_conv_3x3", "2.1.2.0": "conv_1x1", "3.0.1.0": "motif.0", "3.0.3.1": "motif.1"}
    dead = {"2.0.2.1": "conv_1x1", "2.1.1.0": "dw_conv_3x3", "3.0.2.0": "motif.1"}
    space, x = set_up(merge=merge), torch.randn(2, 4, 6, 6)
    outputs = []
    for edges in (base, base | dead):
        torch.manual_seed(0)
        outputs.append(cell(space, with_edges(space, edges)).eval()(x))
    assert torch.equal(*outputs)


def test_live_links():
    assert live_links(links(4), 4) == list(links(4))
    assert live_links([Link(1, 0), Link(2, 1)], 4) == []
    assert live_links([Link(3, 2), Link(1, 0), Link(3, 0), Link(2, 1)], 4) == [(1, 0), (2, 1), (3, 0), (3, 2)]
    assert live_links([Link(3, 0), Link(2, 1), Link(1, 0)], 4) == [(3, 0)]


@pytest.mark.parametrize("task", [SMALL, Task("odd", (1, 7, 5), 4), Task("tiny", (3, 1, 1), 2)])
def test_networks_train_at_any_size(task):
    space = HierarchicalSpace(channels=4, cells=2)
    network = space.build(sampled(space, 1), task)
    logits = network(torch.randn(3, *task.shape))
    assert logits.shape == (3, task.classes)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(SPACES), st.booleans())
def test_whatever_is_sampled_or_mutated_works(seed, options, mutated):
    space = set_up(**options, reductions=0)
    one = sampled(space, seed)
    if mutated:
        one = space.diversify(one, 5, random.Random(seed))
    assert space.load(json.loads(json.dumps(one.to_json()))) == one
    network = space.build(one, SMALL)
    logits = network(torch.randn(2, *SMALL.shape))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())  # nothing is built that the logits do not need


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_a_network_is_exported_as_a_python_file(tmp_path, merge):
    space = set_up(merge=merge)
    one = space.diversify(space.trivial(), 40, random.Random(2))
    network = space.build(one, SMALL)
    path, *_ = export_python(network, tmp_path / "net.py", task=SMALL, architecture=one)
    text = path.read_text()
    assert "import nascore" not in text
    assert "from nascore" not in text
    assert "class MotifModule" in text


# ------------------------------------------------------------------------------------ bad options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"motifs": [], "nodes": []}, "every level from 2 on"),
        ({"motifs": [2, 1], "nodes": [3]}, "every level from 2 on"),
        ({"motifs": [2, 2], "nodes": [3, 3]}, "the last number is 1"),
        ({"motifs": [0, 1], "nodes": [3, 3]}, "1 or more"),
        ({"nodes": [1, 3]}, "a source and a sink"),
        ({"ops": ["conv_1x1"]}, "skip_connect"),
        ({"ops": ["skip_connect", "conv_1x2"]}, "did you mean 'conv_1x1'"),
        ({"merge": "cat"}, "concat, sum"),
        ({"channels": 0}, "channels"),
        ({"cells": 0}, "cells"),
        ({"reductions": -1}, "reductions"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError) as caught:
        HierarchicalSpace(**options)
    assert named in str(caught.value)
