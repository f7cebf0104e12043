"""Cells of the beam, and all that extends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nascore_pnas.space import Block

    Blocks = tuple[Block, ...]


@dataclass(frozen=True)
class Proposal:
    """A cell of the beam.

    Attributes:
        blocks: of the cell.
        predicted: its value by the surrogate, before it is judged; None where there was no surrogate.
        parent: number of the trial whose cell it extends; None for a single block.
    """

    blocks: Blocks
    predicted: float | None = None
    parent: int | None = None

    def packed(self) -> list[Any]:
        """As plain JSON."""
        return [[list(block) for block in self.blocks], self.predicted, self.parent]

    @classmethod
    def unpacked(cls, blocks: Sequence[Sequence[int]], predicted: float | None, parent: int | None) -> Proposal:
        """The inverse of :meth:`packed`."""
        return cls(tuple((i, j, o, p) for i, j, o, p in blocks), predicted, parent)


def extended(parents: Sequence[Blocks], options: Sequence[Block]) -> Tensor:
    """Every parent with every option, parent by parent.

    Args:
        parents: cells of equal size.
        options: for their next block.

    Returns:
        (parents * options, blocks + 1, 4), int64.
    """
    before, new = torch.tensor(parents), torch.tensor(options)
    count, blocks, width = before.shape
    left = before[:, None].expand(count, len(new), blocks, width)
    right = new[None, :, None].expand(count, len(new), 1, width)
    return torch.cat([left, right], dim=2).flatten(0, 1)
