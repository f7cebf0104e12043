"""The surrogate: predicts the value of a cell of any number of blocks (Liu et al. 2018, section 4.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.threads import pinned_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS = 5
"""Of an ensemble: member i learns without fold i."""

RANGE = 0.1
"""Weights start uniform in [-RANGE, RANGE]."""

_CHUNK = 8192
"""Cells that are predicted at once."""


class _Reader(nn.Module):
    """What both predictors share: the embeddings, and the read-out."""

    def __init__(self, inputs: int, ops: int, embedding: int, width: int) -> None:
        super().__init__()
        self.inputs = nn.Embedding(inputs, embedding)
        self.ops = nn.Embedding(ops, embedding)
        self.out = nn.Linear(width, 1)

    def embedded(self, cells: Tensor) -> Tensor:
        """(count, blocks, 4) -> (count, blocks, 4, embedding)."""
        return torch.cat([self.inputs(cells[..., :2]), self.ops(cells[..., 2:])], dim=2)

    def summary(self, cells: Tensor) -> Tensor:
        """(count, blocks, 4) -> (count, width)."""
        raise NotImplementedError

    def forward(self, cells: Tensor) -> Tensor:
        """Cells of equal size (count, blocks, 4) -> values (count,) in [0, 1]."""
        return torch.sigmoid(self.out(self.summary(cells)).squeeze(1))


class LSTMPredictor(_Reader):
    """An LSTM reads I1, I2, O1, O2 block after block; its last state is read out."""

    def __init__(self, inputs: int, ops: int, embedding: int, hidden: int) -> None:
        super().__init__(inputs, ops, embedding, hidden)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)

    def summary(self, cells: Tensor) -> Tensor:
        """The last state, (count, hidden)."""
        states, _ = self.lstm(self.embedded(cells).flatten(1, 2))
        last: Tensor = states[:, -1]
        return last


class MLPPredictor(_Reader):
    """The tokens of a block side by side, the mean over the blocks, two hidden layers."""

    def __init__(self, inputs: int, ops: int, embedding: int, hidden: int) -> None:
        super().__init__(inputs, ops, embedding, hidden)
        self.layers = nn.Sequential(nn.Linear(4 * embedding, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())

    def summary(self, cells: Tensor) -> Tensor:
        """The second hidden layer, (count, hidden)."""
        hidden: Tensor = self.layers(self.embedded(cells).flatten(2).mean(1))
        return hidden


PREDICTORS: dict[str, type[_Reader]] = {"lstm": LSTMPredictor, "mlp": MLPPredictor}


class Ensemble:
    """Five predictors, each fitted from scratch to the data but its own fold; their mean predicts.

    Cells are tensors of (I1, I2, O1, O2), so that the swap of a block's halves is no other input: the
    space writes the lesser half first. Values may be of any scale: they are stretched to [0, 1] first.
    """

    def __init__(
        self, kind: str, inputs: int, ops: int, *, embedding: int, hidden: int, learning_rate: float, epochs: int
    ) -> None:
        """
        Args:
            kind: of :data:`PREDICTORS`.
            inputs: how many states a block can read, >= 2.
            ops: how many there are.
            embedding: length of the embedding of a token.
            hidden: of the LSTM, or of each of the two layers.
            learning_rate: of Adam, > 0; it falls to 0 along a half cosine.
            epochs: steps of Adam on all data.
        """
        self.kind, self.shape = kind, (inputs, ops, embedding, hidden)
        self.learning_rate, self.epochs = learning_rate, epochs
        self.members: list[_Reader] = []
        self.low, self.range = 0.0, 1.0

    def fit(self, cells: Sequence[Sequence[Sequence[int]]], values: Sequence[float], seed: int) -> None:
        """Fit to everything that was measured.

        Args:
            cells: each a sequence of blocks (I1, I2, O1, O2); of any mixture of sizes; at least one.
            values: finite, larger is better.
            seed: of the weights.
        """
        self.low, self.range = min(values), (max(values) - min(values)) or 1.0
        targets = [(value - self.low) / self.range for value in values]
        self.members = []
        for member in range(MEMBERS):
            chosen = learns_from(member, len(cells))
            with isolated_random(derive_seed(seed, "member", member)), pinned_threads(1):
                self.members.append(self._fitted([cells[i] for i in chosen], [targets[i] for i in chosen]))

    def predict(self, cells: Tensor) -> Tensor:
        """Cells of equal size (count, blocks, 4) -> the mean prediction of the members, (count,)."""
        with torch.no_grad(), pinned_threads(1):
            parts = [self._mean(chunk) for chunk in torch.split(cells, _CHUNK)]
        return self.low + self.range * torch.cat(parts)

    def _mean(self, cells: Tensor) -> Tensor:
        return torch.stack([member(cells) for member in self.members]).mean(0)

    def _fitted(self, cells: Sequence[Sequence[Sequence[int]]], targets: Sequence[float]) -> _Reader:
        predictor = PREDICTORS[self.kind](*self.shape)
        for parameter in predictor.parameters():
            nn.init.uniform_(parameter, -RANGE, RANGE)
        mean = min(max(sum(targets) / len(targets), 0.05), 0.95)
        nn.init.constant_(predictor.out.bias, math.log(mean / (1 - mean)))  # so that it begins with the mean
        groups = _by_size(cells, targets)
        optimizer = torch.optim.Adam(predictor.parameters(), lr=self.learning_rate)
        for epoch in range(self.epochs):
            optimizer.param_groups[0]["lr"] = self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
            losses = [F.l1_loss(predictor(given), wanted, reduction="sum") for given, wanted in groups]
            optimizer.zero_grad(set_to_none=True)
            (torch.stack(losses).sum() / len(cells)).backward()  # type: ignore[no-untyped-call]  # torch leaves it so
            optimizer.step()
        return predictor


def learns_from(member: int, count: int) -> list[int]:
    """Which of ``count`` data a member learns from: all but its own fold, every fifth one.

    With a single datum every member has to take it.
    """
    return [index for index in range(count) if index % MEMBERS != member] or list(range(count))


def _by_size(cells: Sequence[Sequence[Sequence[int]]], targets: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
    groups: dict[int, list[int]] = {}
    for index, cell in enumerate(cells):
        groups.setdefault(len(cell), []).append(index)
    return [
        (torch.tensor([cells[i] for i in members]), torch.tensor([targets[i] for i in members]))
        for members in groups.values()
    ]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation in [-1, 1], ties by their mean rank; NaN where one side is constant."""
    a, b = (_ranks(values) for values in (first, second))
    mean = (len(a) + 1) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    norms = [math.sqrt(sum((x - mean) ** 2 for x in ranks)) for ranks in (a, b)]
    return product / (norms[0] * norms[1]) if all(norms) else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 1 on, the mean one where values are equal."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]
