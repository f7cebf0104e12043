"""NASNet's own cells: thirteen ops, five decisions a block, addition and concatenation."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.contracts import Task
from nascore.errors import SettingsError
from nascore_blocks.genotypes import genotype
from nascore_nasnet.space import CombiningCell, NASNetCells

DIGITS = Task("digits", (1, 8, 8), 10)
BOTH = ("add", "concat")
SEEDS = st.integers(0, 2**32 - 1)


def sampled(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def test_five_decisions_a_block_and_thirteen_ops():
    space = NASNetCells(combine=BOTH)
    made = space.decisions(sampled(space, 0))
    assert len(made) == 2 * 5 * 5
    names = ["input.0", "input.1", "op.0", "op.1", "combine"]
    assert [decision.name for decision in made[5:10]] == [f"normal.1.{name}" for name in names]
    assert [len(decision.options) for decision in made[5:10]] == [3, 3, 13, 13, 2]


@pytest.mark.parametrize("combine", [("add",), ("concat",), BOTH])
@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_round_trip(combine, seed):
    """METHODS, section 5, P1."""
    space = NASNetCells(combine=combine)
    architecture = sampled(space, seed)
    assert space.genome_of(space.structure(architecture)) == architecture.genome
    assert space.load(architecture.to_json()) == architecture


def test_the_published_cells_are_in_the_space():
    space = NASNetCells(ops=("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "avg_pool_3x3",
                             "max_pool_3x3"))  # fmt: skip
    made = space.structure(space.architecture(space.genome_of(genotype("NASNet_A"))))
    assert made.normal.nodes == genotype("NASNet_A").normal.nodes
    assert made.normal.joined == ()


def test_how_a_block_combines_is_part_of_the_key():
    space = NASNetCells(blocks=2, combine=BOTH)
    genome = {**sampled(space, 1).genome, "normal.0.combine": "add", "normal.1.combine": "add"}
    changed = [{**genome, f"normal.{block}.combine": "concat"} for block in (0, 1)]
    keys = {space.architecture(one).key for one in (genome, *changed)}
    assert len(keys) == 3
    swapped = dict(genome)
    for part in ("input", "op"):
        first, second = f"normal.1.{part}.0", f"normal.1.{part}.1"
        swapped |= {first: genome[second], second: genome[first]}
    assert space.architecture(swapped).key == space.architecture(genome).key


@pytest.mark.parametrize("seed", range(100))
def test_the_reduction_halves_and_the_loose_ends_are_concatenated(seed):
    """METHODS, section 5, P2 and P5, without a network for all of the data: cell by cell."""
    space = NASNetCells(blocks=3, channels=2, combine=BOTH, reductions=1)
    space.setup(DIGITS)
    network = space.build(sampled(space, seed), DIGITS).eval()
    x = torch.randn(1, 1, 8, 8)
    sizes = []
    for cell in network.cells.values():
        cell.register_forward_hook(lambda module, _, out: sizes.append((out.shape, module)))
    network(x)
    for number, (out, module) in zip(network.cells, sizes, strict=True):
        reduced = number >= "1"
        assert out[2:] == ((4, 4) if reduced else (8, 8))
        used = {edge.input for node in module.cell.nodes for edge in node}
        unused = [state for state in (2, 3, 4) if state not in used]
        assert out[1] == len(unused) * (4 if reduced else 2)


def test_a_concatenating_block_by_hand():
    """Two identities of the two inputs, concatenated, then ReLU, 1x1 convolution, BN."""
    space = NASNetCells(blocks=1, ops=("skip_connect",), channels=3, reductions=0, combine=("concat",))
    space.setup(DIGITS)
    genome = {"normal.0.input.0": 0, "normal.0.input.1": 1, "normal.0.op.0": "skip_connect",
              "normal.0.op.1": "skip_connect", "normal.0.combine": "concat"}  # fmt: skip
    cell = space.build(space.architecture(genome), DIGITS).eval().cells["0"]
    assert isinstance(cell, CombiningCell)
    x, y = torch.randn(2, 9, 8, 8), torch.randn(2, 9, 8, 8)
    both = torch.cat([cell.preprocess["0"](x), cell.preprocess["1"](y)], 1)
    torch.testing.assert_close(cell(x, y), cell.project["2"](both))
    assert cell.project["2"][1].weight.shape == (3, 6, 1, 1)


def test_networks_that_add_are_those_of_blocks():
    """No projection, no other parameter names, the same output from the same weights."""
    from nascore_blocks.spaces import NASNetSpace

    mine, theirs = NASNetCells(channels=4), NASNetSpace(ops=NASNetCells().ops, channels=4)
    architecture = sampled(mine, 3)
    same = theirs.architecture(theirs.genome_of(mine.structure(architecture)))
    one, other = mine.build(architecture, DIGITS).eval(), theirs.build(same, DIGITS).eval()
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("seed", range(5))
def test_mixed_networks_learn(seed):
    space = NASNetCells(channels=4, combine=BOTH)
    space.setup(DIGITS)
    network = space.build(sampled(space, seed), DIGITS)
    network.set_drop_path(0.3)
    network(torch.randn(3, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("combine", [(), "add", ("add", "add"), ("sum",)])
def test_impossible_combinations_are_named(combine):
    with pytest.raises(SettingsError, match=r"combin.*add"):
        NASNetCells(combine=combine)
