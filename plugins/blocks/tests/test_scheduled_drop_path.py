"""ScheduledDropPath: METHODS, section 5, P3: keep = 1 - min(1, t/T) (l/L) (1 - keep_final)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.data import TensorDataset

from nascore_blocks.data.splits import as_split
from nascore_blocks.genotypes import genotype
from nascore_blocks.networks import CellNetwork
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import train

if TYPE_CHECKING:
    from torch import Tensor

FINAL = 0.4
LAYERS = 4


class Watched(CellNetwork):
    """Remembers the dropping probabilities that each step of training met."""

    def __init__(self) -> None:
        super().__init__(genotype("NASNet_A"), (1, 4, 4), 2, channels=2, layers=LAYERS, reductions=[])
        self.seen: list[list[float]] = []

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        self.seen.append([float(cell.drop_path.probability) for cell in self.cells.values()])  # type: ignore[union-attr, arg-type]  # a cell
        return super().forward_with_auxiliary(x)


def seen(by_depth: bool) -> list[list[float]]:
    network = Watched()
    data = as_split(TensorDataset(torch.randn(8, 1, 4, 4), torch.arange(8) % 2))
    recipe = Recipe(epochs=3, batch_size=4, drop_path=FINAL, drop_path_by_depth=by_depth, auxiliary_weight=0.1)
    train(network, data, recipe, seed=0)
    return network.seen


def test_it_is_linear_in_time_and_in_depth() -> None:
    found = seen(by_depth=True)
    assert len(found) == 6
    for step, probabilities in enumerate(found):
        assert probabilities == pytest.approx([FINAL * step / 5 * (layer + 1) / LAYERS for layer in range(LAYERS)])
    assert found[0] == [0.0] * LAYERS, "keep(t = 0) = 1"
    assert found[-1][-1] == pytest.approx(FINAL), "keep(T, last cell) = keep_final"


def test_without_it_all_cells_are_alike() -> None:
    found = seen(by_depth=False)
    assert [row[0] for row in found] == pytest.approx([0.0, 0.0, FINAL / 3, FINAL / 3, 2 * FINAL / 3, 2 * FINAL / 3])
    assert all(len(set(row)) == 1 for row in found)
