"""The cell spaces: decisions, mutation, key, published genotypes, networks."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.cells import CellModule
from nascore_blocks.genotypes import Cell, Edge, genotype
from nascore_blocks.spaces import AMOEBANET_OPS, DARTSSpace, NASNetSpace

if TYPE_CHECKING:
    from nascore.records import Architecture
    from nascore_blocks.cellspace import CellSpace

DIGITS = Task("digits", (1, 8, 8), 10)
FEW = ("skip_connect", "max_pool_3x3")
SEEDS = st.integers(0, 2**32 - 1)


def sampled(space: CellSpace, seed: int) -> Architecture:
    rng = random.Random(seed)
    return space.sample(lambda name, options: rng.choice(options))


def cell_nodes(space: CellSpace, architecture: Architecture, kind: str = "normal") -> Any:
    return getattr(space.structure(architecture), kind).nodes


# ---------------------------------------------------------------------------------- decisions


def test_decisions_of_nasnet() -> None:
    space = NASNetSpace(blocks=2, reductions=1)
    made = space.decisions(sampled(space, 0))
    names = [f"{kind}.{b}.{part}" for kind in ("normal", "reduce") for b in (0, 1) for part in
             ("input.0", "op.0", "input.1", "op.1")]  # fmt: skip
    assert [decision.name for decision in made] == names
    options = {decision.name: decision.options for decision in made}
    assert options["normal.0.input.0"] == (0, 1)
    assert options["reduce.1.input.1"] == (0, 1, 2)
    assert options["reduce.1.op.1"] == AMOEBANET_OPS


def test_size_of_the_darts_space() -> None:
    """METHODS, section 13: C(2,2) C(3,2) C(4,2) C(5,2) 7^8 cells, 1.04e9."""
    space = DARTSSpace()
    made = space.decisions(sampled(space, 0))
    per_cell = math.prod(len(decision.options) for decision in made if decision.name.startswith("normal"))
    assert per_cell == 1 * 3 * 6 * 10 * 7**8 == 1_037_664_180


@settings(deadline=None)
@given(seed=SEEDS)
def test_darts_nodes_have_two_distinct_inputs_and_never_none(seed: int) -> None:
    """METHODS, section 13, P5, as far as it is about the space."""
    space = DARTSSpace()
    for cell in (space.structure(sampled(space, seed)).normal, space.structure(sampled(space, seed)).reduce):
        assert all(first.input < second.input for first, second in cell.nodes)
        assert all(edge.op != "none" for node in cell.nodes for edge in node)
        assert cell.concat == (2, 3, 4, 5)


@settings(deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("space", [NASNetSpace(), DARTSSpace()])
def test_round_trip(space: CellSpace, seed: int) -> None:
    """METHODS, section 5, P1: genome -> genotype -> genome."""
    architecture = sampled(space, seed)
    assert space.genome_of(space.structure(architecture)) == architecture.genome
    assert space.load(architecture.to_json()) == architecture


@settings(deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("space", [NASNetSpace(), DARTSSpace()])
def test_mutation_changes_one_decision_and_stays_inside(space: CellSpace, seed: int) -> None:
    """METHODS, section 6, P4."""
    parent: Any = sampled(space, seed)
    before = dict(parent.genome)
    child: Any = space.mutate(parent, random.Random(seed))
    space.check(child)
    space.structure(child)  # a Cell refuses an input that does not come before its node
    assert parent.genome == before
    assert list(child.genome) == list(parent.genome)
    assert sum(child.genome[name] != parent.genome[name] for name in before) == 1


def test_both_mutations_are_as_likely() -> None:
    space = NASNetSpace()
    parent: Any = sampled(space, 0)
    rng = random.Random(0)
    kinds: Counter[str] = Counter()
    for _ in range(2000):
        child: Any = space.mutate(parent, rng)
        (changed,) = [name for name in child.genome if child.genome[name] != parent.genome[name]]
        kinds[space.group(changed)] += 1
    assert kinds["input"] + kinds["op"] == 2000
    assert abs(kinds["input"] - 1000) < 100  # 4.5 standard deviations


# ---------------------------------------------------------------------------------------- keys


def relabelled(nodes: Any, order: list[int], rng: random.Random) -> Any:
    """The same cell with its nodes in another order and the edges of each shuffled."""
    names = {0: 0, 1: 1} | {state: number for number, state in enumerate(order, start=2)}
    out = []
    for state in order:
        edges = [Edge(edge.op, names[edge.input]) for edge in nodes[state - 2]]
        out.append(tuple(rng.sample(edges, len(edges))))
    return tuple(out)


def another_order(nodes: Any, rng: random.Random) -> list[int]:
    """A random order of the nodes in which inputs come first."""
    order: list[int] = []
    while len(order) < len(nodes):
        free = [
            s
            for s in range(2, len(nodes) + 2)
            if s not in order and all(e.input < 2 or e.input in order for e in nodes[s - 2])
        ]
        order.append(rng.choice(free))
    return order


def brute_force(nodes: Any) -> Any:
    """The least form over all renamings of the nodes: slow, and too simple to be wrong."""
    states = range(2, len(nodes) + 2)
    forms = []
    for renamed in itertools.permutations(states):
        names = {0: 0, 1: 1} | dict(zip(states, renamed, strict=True))
        cell = {names[s]: sorted((names[g], op) for g, op in node) for s, node in zip(states, nodes, strict=True)}
        forms.append(sorted(cell.items()))
    return str(min(forms))


def pairs(nodes: Any) -> Any:
    return [[(edge.input, edge.op) for edge in node] for node in nodes]


@settings(deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("ops", [FEW, AMOEBANET_OPS])
def test_isomorphic_genomes_have_one_key(ops: tuple[str, ...], seed: int) -> None:
    rng = random.Random(seed)
    space = NASNetSpace(blocks=rng.randint(1, 7), ops=ops)
    architecture = sampled(space, seed)
    genotype_ = space.structure(architecture)
    cells = {}
    for kind in ("normal", "reduce"):
        nodes = getattr(genotype_, kind).nodes
        renamed = relabelled(nodes, another_order(nodes, rng), rng)
        cells[kind] = Cell(renamed, space.concat(renamed))
    other = space.genome_of(type(genotype_)(**cells))
    assert space.architecture(other).key == architecture.key


@settings(deadline=None, max_examples=300)
@given(seed=SEEDS)
def test_equal_forms_mean_isomorphic_cells(seed: int) -> None:
    """Against brute force, on near relatives with few ops, where ties between nodes abound."""
    rng = random.Random(seed)
    space = NASNetSpace(blocks=rng.randint(2, 5), ops=FEW[: rng.randint(1, 2)], reductions=0)
    if space.blocks == 2 and len(space.ops) == 1:
        return
    first = sampled(space, seed)
    second = first
    for _ in range(rng.randint(1, 3)):
        second = space.mutate(second, rng)
    one, two = pairs(cell_nodes(space, first)), pairs(cell_nodes(space, second))
    assert (canonical_nodes(one) == canonical_nodes(two)) == (brute_force(one) == brute_force(two))


def all_cells(blocks: int, ops: tuple[str, ...]) -> Any:
    per_block = [list(itertools.product(itertools.product(range(b + 2), ops), repeat=2)) for b in range(blocks)]
    return itertools.product(*per_block)


@pytest.mark.parametrize(("blocks", "ops"), [(2, FEW), (2, AMOEBANET_OPS[:3]), (3, FEW[:1]), (4, FEW[:1])])
def test_as_many_keys_as_isomorphism_classes(blocks: int, ops: tuple[str, ...]) -> None:
    forms: dict[str, set[str]] = {}
    for nodes in all_cells(blocks, ops):
        forms.setdefault(str(canonical_nodes(nodes)), set()).add(brute_force(nodes))
    assert all(len(classes) == 1 for classes in forms.values())
    assert len({form for classes in forms.values() for form in classes}) == len(forms)


def test_unique_one_block_cells_of_pnas() -> None:
    """METHODS, section 9, P1: 256 raw, 136 unique."""
    cells = list(all_cells(1, AMOEBANET_OPS))
    assert len(cells) == 256
    assert len({str(canonical_nodes(nodes)) for nodes in cells}) == 136


def test_equal_nodes_are_not_one_node() -> None:
    """Nodes 2 and 3 are defined alike but have weights of their own: it counts who reads which."""
    twin = [(0, "conv_3x3"), (1, "conv_3x3")]
    apart = [twin, twin, [(2, "conv_1x1"), (2, "conv_3x3")], [(3, "conv_1x1"), (3, "conv_3x3")]]
    mixed = [twin, twin, [(2, "conv_1x1"), (3, "conv_3x3")], [(3, "conv_1x1"), (2, "conv_3x3")]]
    swapped = [twin, twin, [(3, "conv_1x1"), (2, "conv_3x3")], [(2, "conv_1x1"), (3, "conv_3x3")]]
    assert canonical_nodes(apart) != canonical_nodes(mixed)
    assert canonical_nodes(mixed) == canonical_nodes(swapped)
    # One reader of both, by different ops: which of the twins it reads by which does not count.
    crossed = [twin, twin, [(2, "conv_1x1"), (3, "conv_3x3")]]
    assert canonical_nodes(crossed) == canonical_nodes([twin, twin, [(3, "conv_1x1"), (2, "conv_3x3")]])


def test_many_equal_nodes_take_no_factorial() -> None:
    twin = [(0, "conv_3x3"), (1, "conv_3x3")]
    assert canonical_nodes([twin] * 30) == [tuple(twin)] * 30


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
@pytest.mark.parametrize("reduction", [False, True])
def test_isomorphic_cells_compute_the_same(seed: int, reduction: bool) -> None:
    """With the weights carried over, the outputs are equal up to the order of the concatenated nodes."""
    rng = random.Random(seed)
    space = NASNetSpace(blocks=4, ops=("skip_connect", "conv_1x1", "max_pool_3x3", "dil_conv_3x3"))
    nodes = cell_nodes(space, sampled(space, seed))
    order = another_order(nodes, rng)
    renamed = relabelled(nodes, order, random.Random(seed))
    assert canonical_nodes(pairs(nodes)) == canonical_nodes(pairs(renamed))
    one = CellModule(Cell(nodes, space.concat(nodes)), (3, 3), 2, reduction).eval()
    two = CellModule(Cell(renamed, space.concat(renamed)), (3, 3), 2, reduction).eval()
    two.preprocess.load_state_dict(one.preprocess.state_dict())
    again = random.Random(seed)
    for number, state in enumerate(order, start=2):
        for to, source in enumerate(again.sample(range(2), 2)):
            two.edges[f"{number}_{to}"].load_state_dict(one.edges[f"{state}_{source}"].state_dict())
    x, y = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    parts = dict(zip(space.concat(nodes), one(x, y).split(2, 1), strict=True))
    expected = torch.cat([parts[order[state - 2]] for state in space.concat(renamed)], 1)
    torch.testing.assert_close(two(x, y), expected, rtol=1e-4, atol=1e-5)


def test_darts_key_ignores_the_order_of_nodes() -> None:
    space = DARTSSpace(blocks=3, reductions=0)
    genome: Any = sampled(space, 0).genome
    genome = {**genome, "normal.1.input": "0,1", "normal.2.input": "0,2"}
    nodes = cell_nodes(space, space.architecture(genome))
    swapped = relabelled(nodes, [3, 2, 4], random.Random(0))
    assert pairs(swapped)[0] != pairs(nodes)[0] or nodes[0] == nodes[1]
    other = space.genome_of(type(space.structure(space.architecture(genome)))(*[Cell(swapped, (2, 3, 4))] * 2))
    assert other != genome
    assert space.architecture(other).key == space.architecture(genome).key


def test_a_reduction_cell_that_no_layer_needs_is_not_in_the_key() -> None:
    space = NASNetSpace(blocks=1, ops=FEW, cells=1, reductions=1)
    far: Any = {f"{kind}.0.input.{edge}": 0 for kind in ("normal", "reduce") for edge in (0, 1)}
    far |= {f"{kind}.0.op.{edge}": FEW[0] for kind in ("normal", "reduce") for edge in (0, 1)}
    other = {**far, "reduce.0.op.0": FEW[1]}
    assert space.architecture(far).key == space.architecture(other).key
    near = {"normal.0.input.0": 1}
    assert space.architecture({**far, **near}).key != space.architecture({**other, **near}).key
    # The auxiliary head sits on the reduction, so there it counts.
    space = NASNetSpace(blocks=1, ops=FEW, cells=1, reductions=1, auxiliary=True)
    assert space.architecture(far).key != space.architecture(other).key


# ------------------------------------------------------------------------------------- networks


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS)
@pytest.mark.parametrize("make", [NASNetSpace, DARTSSpace])
def test_every_parameter_of_a_network_learns(make: Any, seed: int) -> None:
    """No dead cell, projection or block: each parameter gets a gradient."""
    space = make(blocks=2, channels=4, cells=1)
    space.setup(DIGITS)
    network = space.build(sampled(space, seed), DIGITS)
    logits = network(torch.randn(2, 1, 8, 8))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("shape", "stem", "reductions"),
    [
        ((1, 8, 8), "small", 2),
        ((1, 4, 6), "small", 1),
        ((1, 3, 3), "small", 1),
        ((1, 2, 2), "small", 0),
        ((1, 5, 5), "small", 2),
        ((1, 1, 1), "small", 0),
        ((3, 32, 32), "small", 2),
        ((3, 96, 128), "image", 2),
        ((3, 224, 224), "image", 2),
    ],
)
def test_the_macro_follows_the_task(shape: tuple[int, int, int], stem: str, reductions: int) -> None:
    task = Task("t", shape, 5)
    space = NASNetSpace(blocks=2, channels=4)
    space.setup(task)
    network = space.build(sampled(space, 1), task).eval()
    assert network(torch.randn(1, *shape)).shape == (1, 5)
    assert network.layers == 2 * reductions + 1
    assert (network.stem1 is not None) == (stem == "image")


def test_without_a_reduction_there_is_nothing_to_decide_about_it() -> None:
    space = NASNetSpace(blocks=1, reductions=0)
    assert all(name.startswith("normal") for name in sampled(space, 0).genome)  # type: ignore[union-attr]


def test_a_genome_for_small_images_builds_for_larger_ones() -> None:
    """Without a reduction cell of its own it uses the normal one with stride 2, as PNAS does."""
    space = NASNetSpace(blocks=1, channels=4)
    space.setup(Task("tiny", (1, 1, 1), 2))
    network = space.build(sampled(space, 0), DIGITS).eval()
    assert network(torch.randn(1, 1, 8, 8)).shape == (1, 10)


def params(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "space", "expected"),
    [
        ("DARTS_V2", DARTSSpace(channels=36, cells=6), 3_349_342),
        ("DARTS_V2", DARTSSpace(channels=36, cells=6, auxiliary=True), 3_825_768),
        ("NASNet_A", NASNetSpace(channels=36, cells=6), 3_830_950),
        ("AmoebaNet_A", NASNetSpace(channels=36, cells=6), 3_145_078),
    ],
)
def test_published_genotypes_are_points_of_the_spaces(name: str, space: CellSpace, expected: int) -> None:
    with torch.device("meta"):
        network = space.build(space.architecture(space.genome_of(genotype(name))), Task("cifar10", (3, 32, 32), 10))
    assert params(network) == expected


def test_imagenet_network_of_the_space() -> None:
    space = DARTSSpace(channels=48, cells=4)
    with torch.device("meta"):
        network = space.build(space.architecture(space.genome_of(genotype("DARTS_V2"))), Task("i", (3, 224, 224), 1000))
    assert params(network) == 4_718_752


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("DARTS_V2", NASNetSpace(), "has 4 nodes; this space has blocks=5"),
        ("DARTS_V2", NASNetSpace(blocks=4), r"concatenates \[2, 3, 4, 5\]"),
        ("AmoebaNet_A", NASNetSpace(ops=FEW), "'normal.0.op.0' is 'avg_pool_3x3'"),
        ("NASNet_A", DARTSSpace(blocks=5), r"reduce cell concatenates \[4, 5, 6\]"),
        ("NASNet_A", DARTSSpace(blocks=5, reductions=0), "'normal.1.input' is '0,0'"),
    ],
)
def test_a_genotype_that_does_not_fit_says_why(name: str, space: CellSpace, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        space.genome_of(genotype(name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, "blocks is 0; allowed: 1 to 100"),
        ({"channels": 1}, "channels is 1"),
        ({"cells": 0}, "cells is 0"),
        ({"reductions": -1}, "reductions is -1"),
        ({"stem": "large"}, "Allowed: auto, image, small"),
        ({"ops": []}, "at least one"),
        ({"ops": "conv_1x1"}, "needs a list"),
        ({"ops": ["conv_1x2"]}, "did you mean 'conv_1x1'"),
        ({"ops": ["conv_7x1_1x7", "conv_1x7_7x1"]}, "one op twice"),
    ],
)
@pytest.mark.parametrize("make", [NASNetSpace, DARTSSpace])
def test_bad_options(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(**options)
