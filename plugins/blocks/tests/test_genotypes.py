"""Cells as data, and the published genotypes."""

from __future__ import annotations

from typing import Any

import pytest

from nascore.errors import SpaceError
from nascore_blocks.genotypes import Cell, Edge, Genotype, genotype, loose_ends, published, source
from nascore_blocks.ops import OPS

SKIP = (Edge("skip_connect", 0), Edge("skip_connect", 1))


def test_the_published_ones_ship_with_their_source() -> None:
    assert published() == ("NASNet_A", "AmoebaNet_A", "DARTS_V1", "DARTS_V2")
    assert [source(name)[-10:] for name in published()] == ["1707.07012", "1802.01548", "1806.09055", "1806.09055"]


@pytest.mark.parametrize("name", published())
def test_published_ops_exist(name: str) -> None:
    cells = genotype(name)
    assert {edge.op for cell in (cells.normal, cells.reduce) for node in cell.nodes for edge in node} <= set(OPS)


@pytest.mark.parametrize("name", ["NASNet_A", "AmoebaNet_A"])
def test_nasnet_and_amoebanet_concatenate_the_loose_ends(name: str) -> None:
    cells = genotype(name)
    assert cells.normal.concat == loose_ends(cells.normal.nodes)
    assert cells.reduce.concat == loose_ends(cells.reduce.nodes)


def test_details_that_are_easily_lost() -> None:
    assert genotype("NASNet_A").normal.nodes[3] == (Edge("avg_pool_3x3", 0), Edge("avg_pool_3x3", 0))
    assert genotype("NASNet_A").reduce.concat == (4, 5, 6)
    assert genotype("AmoebaNet_A").reduce.nodes[4] == (Edge("conv_7x1_1x7", 0), Edge("sep_conv_3x3", 5))
    assert genotype("AmoebaNet_A").reduce.concat == (3, 4, 6)
    assert genotype("DARTS_V2").normal.nodes[3] == (Edge("skip_connect", 0), Edge("dil_conv_3x3", 2))


def test_unknown_genotype_names_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'DARTS_V2'"):
        genotype("DARTS_V3")


@pytest.mark.parametrize(
    ("nodes", "concat", "message"),
    [
        ((SKIP, ()), (2, 3), "Node 3 has no edge"),
        (((Edge("skip_connect", 2), Edge("skip_connect", 0)),), (2,), r"Node 2 reads state 2; allowed: 0\.\.1"),
        (((Edge("skip_connect", -1), Edge("skip_connect", 0)),), (2,), "Node 2 reads state -1"),
        ((SKIP,), (), "concatenates"),
        ((SKIP,), (3,), r"allowed: one or more of 2\.\.2"),
        ((SKIP,), (0,), "concatenates"),
    ],
)
def test_what_is_no_cell(nodes: Any, concat: tuple[int, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Cell(nodes, concat)


def test_inputs_are_those_that_are_read() -> None:
    assert Cell((SKIP, (Edge("conv_1x1", 2), Edge("conv_1x1", 2))), (3,)).inputs == {0, 1}
    assert Cell(((Edge("conv_1x1", 0), Edge("conv_3x3", 0)),), (2,)).inputs == {0}


GOOD: dict[str, Any] = {"normal": [["conv_1x1", 0], ["conv_1x1", 1]], "normal_concat": [2]}
GOOD |= {"reduce": GOOD["normal"], "reduce_concat": [2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normal": None}, "normal and normal_concat must be lists"),
        ({"reduce": [["conv_1x1", 0]]}, "two .* pairs a node"),
        ({"reduce": [["conv_1x1", 0], ["conv_1x1", "1"]]}, r"An edge is a pair .* got \['conv_1x1', '1'\]"),
        ({"normal_concat": ["2"]}, "normal_concat must be a list of integers"),
    ],
)
def test_malformed_json(change: dict[str, Any], message: str) -> None:
    assert Genotype.from_json(GOOD).normal.concat == (2,)
    with pytest.raises(SpaceError, match=message):
        Genotype.from_json({**GOOD, **change})
