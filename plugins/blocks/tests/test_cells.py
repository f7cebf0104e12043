"""The cell module and drop path."""

from __future__ import annotations

import random

import pytest
import torch

from nascore_blocks.cells import CellModule
from nascore_blocks.genotypes import Cell, Edge, genotype, published
from nascore_blocks.regularise import DropPath
from nascore_blocks.spaces import NASNetSpace


def random_cell(seed: int) -> Cell:
    rng = random.Random(seed)
    space = NASNetSpace(blocks=5)
    cell: Cell = space.structure(space.sample(lambda name, options: rng.choice(options))).normal
    return cell


@pytest.mark.parametrize("seed", range(100))
def test_reduction_halves_and_normal_keeps(seed: int) -> None:
    """METHODS, section 5, P2 and P5: for 100 random cells."""
    cell = random_cell(seed)
    before, previous = torch.randn(1, 6, 7, 8), torch.randn(1, 5, 7, 8)
    normal = CellModule(cell, (6, 5), 4).eval()
    reduction = CellModule(cell, (6, 5), 4, reduction=True).eval()
    unused = set(range(2, 7)) - {edge.input for node in cell.nodes for edge in node}
    assert normal(before, previous).shape == (1, 4 * len(unused), 7, 8)
    assert reduction(before, previous).shape == (1, 4 * len(unused), 4, 4)
    assert normal.outputs == reduction.outputs == 4 * len(unused)


def test_after_a_reduction_input_0_is_brought_to_the_size_of_input_1() -> None:
    cell = genotype("DARTS_V2").normal
    module = CellModule(cell, (6, 5), 4, reduction_before=True).eval()
    assert module(torch.randn(2, 6, 9, 8), torch.randn(2, 5, 5, 4)).shape == (2, 16, 5, 4)


def test_value_by_hand() -> None:
    """Nodes are sums of their edges, in the right wiring; checked with ops that have no weights."""
    nodes = ((Edge("skip_connect", 0), Edge("max_pool_3x3", 1)), (Edge("skip_connect", 2), Edge("avg_pool_3x3", 2)))
    module = CellModule(Cell(nodes, (3, 2)), (4, 4), 4).eval()
    x, y = torch.randn(1, 4, 5, 5), torch.randn(1, 4, 5, 5)
    a, b = module.preprocess["0"](x), module.preprocess["1"](y)
    first = a + torch.nn.functional.max_pool2d(b, 3, 1, 1)
    second = first + torch.nn.functional.avg_pool2d(first, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(module(x, y), torch.cat([second, first], 1))


def test_an_input_that_nobody_reads_is_not_projected() -> None:
    module = CellModule(Cell(((Edge("skip_connect", 1), Edge("skip_connect", 1)),), (2,)), (6, 5), 4)
    assert list(module.preprocess) == ["1"]
    assert sum(parameter.numel() for parameter in module.parameters()) == 5 * 4 + 8


def test_params_by_hand() -> None:
    """DARTS_V2's normal cell: 6 sep_conv_3x3... counted from its edges: five sep, one dil, two skips."""
    module = CellModule(genotype("DARTS_V2").normal, (8, 16), 4)
    sep, dil = 2 * (36 + 16 + 8), 36 + 16 + 8
    assert sum(parameter.numel() for parameter in module.parameters()) == 5 * sep + dil + (8 * 4 + 8) + (16 * 4 + 8)


def test_only_edges_from_the_inputs_stride() -> None:
    module = CellModule(genotype("NASNet_A").reduce, (4, 4), 4, reduction=True)
    strides = {
        name: getattr(op, "stride", None) for name, op in module.edges.items() if "pool" in type(op).__name__.lower()
    }
    # max_pool at 3 and 6 and avg_pool at 4 read input 1; avg_pool at 5 reads node 2.
    assert strides == {"3_0": 2, "4_0": 2, "5_1": 1, "6_1": 2}


# ------------------------------------------------------------------------------------ drop path


def test_drop_path_keeps_the_expectation() -> None:
    """METHODS, section 5, P3: E[output] = input over 10^4 masks, within 2 %."""
    torch.manual_seed(0)
    out = DropPath(0.3).train()(torch.ones(10_000, 2, 1, 1))
    assert out.mean().item() == pytest.approx(1.0, rel=0.02)


def test_drop_path_drops_whole_examples() -> None:
    torch.manual_seed(0)
    out = DropPath(0.6).train()(torch.ones(200, 3, 2, 2)).flatten(1)
    assert torch.equal(out.amin(1), out.amax(1))
    assert sorted({round(value, 4) for value in out[:, 0].tolist()}) == [0.0, 2.5]


def test_drop_path_rests_in_evaluation() -> None:
    x = torch.ones(8, 1, 1, 1)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


def test_identities_always_live_and_other_edges_do_not() -> None:
    nodes = ((Edge("skip_connect", 0), Edge("max_pool_3x3", 1)),)
    module = CellModule(Cell(nodes, (2,)), (4, 4), 4).train()
    module.drop_path.probability = 0.999
    torch.manual_seed(0)
    x, y = torch.randn(8, 4, 5, 5), torch.randn(8, 4, 5, 5)
    torch.testing.assert_close(module(x, y), module.preprocess["0"](x))


def test_a_skip_of_stride_2_can_be_dropped() -> None:
    nodes = ((Edge("skip_connect", 0), Edge("skip_connect", 1)),)
    module = CellModule(Cell(nodes, (2,)), (4, 4), 4, reduction=True).train()
    module.drop_path.probability = 0.999
    torch.manual_seed(0)
    assert module(torch.randn(8, 4, 4, 4), torch.randn(8, 4, 4, 4)).abs().sum() == 0


@pytest.mark.parametrize("name", published())
def test_published_cells_need_both_inputs(name: str) -> None:
    """So leaving unread inputs out changes no published parameter count."""
    assert genotype(name).normal.inputs == genotype(name).reduce.inputs == {0, 1}
