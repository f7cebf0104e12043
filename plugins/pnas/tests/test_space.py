"""The one-cell space: its size, its decisions, its keys, its networks."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.contracts import Task
from nascore.errors import SpaceError
from nascore_blocks.genotypes import Cell, Edge, Genotype, genotype
from nascore_blocks.spaces import AMOEBANET_OPS
from nascore_pnas.space import SIZE, PNASSpace

DIGITS = Task("digits", (1, 8, 8), 10)
SEEDS = st.integers(0, 2**32 - 1)


def sampled(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def swapped(space, architecture, block):
    """The same architecture with (I1, O1) and (I2, O2) of one block exchanged."""
    genome = dict(architecture.genome)
    for part in ("input", "op"):
        names = [f"normal.{block}.{part}.{half}" for half in (0, 1)]
        genome |= dict(zip(names, [genome[name] for name in reversed(names)], strict=True))
    return space.architecture(genome)


@pytest.mark.parametrize(("block", "options"), list(enumerate([136, 300, 528, 820, 1176])))
def test_options_for_each_block(block, options):
    """METHODS, section 9, P1: of 256 single blocks 136 differ; and so on."""
    assert len(PNASSpace().options(block)) == options


def test_the_one_block_cells_are_all_different_and_are_all():
    space = PNASSpace(blocks=1)
    raw = [
        {SIZE: 1, "normal.0.input.0": i, "normal.0.input.1": j, "normal.0.op.0": o, "normal.0.op.1": p}
        for i in (0, 1) for j in (0, 1) for o in AMOEBANET_OPS for p in AMOEBANET_OPS
    ]  # fmt: skip
    assert len(raw) == 256
    keys = {space.architecture(genome).key for genome in raw}
    assert len(keys) == 136
    assert keys == {space.of_blocks([block]).key for block in space.options(0)}


def test_a_block_that_is_not_there_is_not_decided():
    space = PNASSpace(blocks=3)
    seen = set()
    for seed in range(60):
        made = space.decisions(sampled(space, seed))
        assert made[0].name == SIZE
        assert made[0].options == (1, 2, 3)
        assert len(made) == 1 + 4 * made[0].value
        seen.add(made[0].value)
    assert seen == {1, 2, 3}
    names = [f"normal.1.{part}.{half}" for part in ("input", "op") for half in (0, 1)]
    made = space.decisions(space.of_blocks([(0, 1, 0, 0), (0, 2, 0, 0)]))
    assert [decision.name for decision in made[5:]] == names, "(I1, I2, O1, O2), as the paper writes a block"
    assert made[5].options == (0, 1, 2)


@settings(deadline=None)
@given(seed=SEEDS)
def test_swapping_the_halves_of_a_block_keeps_the_key(seed):
    """METHODS, section 9, P2."""
    space = PNASSpace()
    architecture = sampled(space, seed)
    for block in range(architecture.genome[SIZE]):
        other = swapped(space, architecture, block)
        space.check(other)
        assert other.key == architecture.key
        assert space.blocks_of(other) == space.blocks_of(architecture)


@settings(deadline=None)
@given(seed=SEEDS)
def test_round_trips(seed):
    space = PNASSpace()
    architecture = sampled(space, seed)
    assert space.of_blocks(space.blocks_of(architecture)).key == architecture.key
    assert space.genome_of(space.structure(architecture)) == architecture.genome
    assert space.load(architecture.to_json()) == architecture


@settings(deadline=None)
@given(seed=SEEDS)
def test_mutants_are_in_the_space(seed):
    space = PNASSpace(blocks=3)
    child = space.mutate(sampled(space, seed), random.Random(seed))
    space.check(child)
    assert len(space.structure(child).normal.nodes) == child.genome[SIZE]


def test_cells_of_different_size_or_ops_have_different_keys():
    space = PNASSpace(blocks=2, ops=("skip_connect", "conv_3x3"))
    keys = [space.of_blocks([block]).key for block in space.options(0)]
    keys += {space.of_blocks([a, b]).key for a in space.options(0) for b in space.options(1)}
    assert len(set(keys)) == len(keys)


def test_one_cell_serves_for_both():
    space = PNASSpace()
    made = space.structure(sampled(space, 0))
    assert made.normal == made.reduce
    with pytest.raises(SpaceError, match="the same"):
        space.genome_of(genotype("NASNet_A"))


def test_genotypes_that_do_not_fit_are_named():
    def one(nodes, concat):
        cell = Cell(nodes, concat)
        return Genotype(cell, cell)

    node = (Edge("skip_connect", 0), Edge("skip_connect", 1))
    space = PNASSpace(blocks=2)
    with pytest.raises(SpaceError, match="3 nodes"):
        space.genome_of(one((node,) * 3, (2, 3, 4)))
    with pytest.raises(SpaceError, match="two edges"):
        space.genome_of(one((node[:1],), (2,)))
    with pytest.raises(SpaceError, match="concatenates"):
        space.genome_of(one((node, node), (2,)))


@pytest.mark.parametrize("seed", range(6))
def test_networks_run_forward_and_backward(seed):
    space = PNASSpace(channels=4)
    space.setup(DIGITS)
    network = space.build(sampled(space, seed), DIGITS)
    loss = network(torch.randn(3, 1, 8, 8)).sum()
    loss.backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_the_reduction_has_the_ops_of_the_normal_cell_at_stride_two():
    space = PNASSpace(blocks=1, ops=("conv_3x3",), channels=4, reductions=1)
    network = space.build(space.of_blocks([(0, 1, 0, 0)]), DIGITS)
    normal, reduce, _ = network.cells.values()
    strides = [[edge[1].stride for edge in cell.edges.values()] for cell in (normal, reduce)]
    assert strides == [[(1, 1), (1, 1)], [(2, 2), (2, 2)]]
    assert normal(torch.ones(1, 12, 8, 8), torch.ones(1, 12, 8, 8)).shape == (1, 4, 8, 8)
    assert reduce(torch.ones(1, 12, 8, 8), torch.ones(1, 4, 8, 8)).shape == (1, 8, 4, 4)


def test_the_loose_ends_are_concatenated():
    space = PNASSpace(blocks=3)
    made = space.structure(space.of_blocks([(0, 1, 0, 0), (0, 1, 0, 0), (0, 2, 1, 1)]))
    assert made.normal.concat == (3, 4)
