"""The 15,625 cells, and which of them are one network."""

from __future__ import annotations

import itertools
import json
from functools import cache
from typing import NamedTuple

from nascore_blocks.nasbench201 import EDGES, canonical_terms
from nascore_nasbench_digits.data import OPS

Ops = tuple[str, ...]


class Cells(NamedTuple):
    """All cells.

    Attributes:
        ops: of each cell, one for each edge; the last edge counts up first.
        network: of each cell, the number of its network.
        representatives: of each network, the cell that is trained: the first of its cells.
    """

    ops: tuple[Ops, ...]
    network: tuple[int, ...]
    representatives: tuple[Ops, ...]


@cache
def all_cells() -> Cells:
    """Every cell, and the 5,260 networks that they are; takes some seconds."""
    ops = tuple(itertools.product(OPS, repeat=len(EDGES)))
    numbers: dict[str, int] = {}
    network = tuple(numbers.setdefault(json.dumps(canonical_terms(cell)), len(numbers)) for cell in ops)
    representatives: dict[int, Ops] = {}
    for cell, number in zip(ops, network, strict=True):
        representatives.setdefault(number, cell)
    return Cells(ops, network, tuple(representatives[number] for number in range(len(numbers))))
