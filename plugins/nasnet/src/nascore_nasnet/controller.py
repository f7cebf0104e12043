"""The controller: an LSTM that answers the decisions of a search space one after the other (Zoph et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.seeding import derive_seed, isolated_random

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.records import Option

RANGE = 0.1
"""Weights start uniform in [-RANGE, RANGE]."""


class Scores(NamedTuple):
    """What the controller says of given answers.

    Attributes:
        log_probs: (count, decisions), of each answer given those before it (nats).
        entropy: (count,), of the distributions over all options, summed over the decisions (nats).
    """

    log_probs: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """One LSTM cell; each decision, by its name, has a softmax, and embeddings of its answers.

    A decision that was never met gets its layers when it is. Their weights depend on the seed and the
    name alone, so not on when that is.
    """

    def __init__(self, hidden: int, seed: int) -> None:
        """
        Args:
            hidden: units of the LSTM, and length of an embedding.
            seed: of all weights.
        """
        super().__init__()
        self.hidden, self.seed = hidden, seed
        self.decisions: dict[str, int] = {}
        """Name -> number of options, in the order in which they were met."""
        with isolated_random(derive_seed(seed, "lstm")):
            self.lstm = nn.LSTMCell(hidden, hidden)
            self.start = nn.Parameter(torch.empty(hidden))
            _draw(self)
        self.softmaxes = nn.ModuleList()
        self.embeddings = nn.ModuleList()
        self._numbers: dict[str, int] = {}

    def meet(self, name: str, options: int) -> list[nn.Parameter]:
        """Make the layers of a decision; its new parameters, none where it is known."""
        if name in self.decisions:
            return []
        with isolated_random(derive_seed(self.seed, "decision", name)):
            layers = nn.ModuleList([nn.Linear(self.hidden, options), nn.Embedding(options, self.hidden)])
            _draw(layers)
        layers.to(self.start.device)
        self._numbers[name] = len(self.decisions)
        self.decisions[name] = options
        self.softmaxes.append(layers[0])
        self.embeddings.append(layers[1])
        return list(layers.parameters())

    def score(self, names: Sequence[str], answers: Tensor) -> Scores:
        """The log-probability and entropy of answers; differentiable.

        Args:
            names: of the decisions, in their order; all met before.
            answers: (count, decisions), the index of the option that was chosen, int64.
        """
        state = self.begin(len(answers))
        x = self.start.expand(len(answers), -1)
        log_probs, entropies = [], []
        for name, answer in zip(names, answers.unbind(1), strict=True):
            state = self.lstm(x, state)
            log_p = self.log_softmax(name, state[0])
            log_probs.append(log_p.gather(1, answer[:, None]).squeeze(1))
            entropies.append(-(log_p.exp() * log_p).sum(1))  # over all options, not the drawn one alone
            x = self.embeddings[self._numbers[name]](answer)
        return Scores(torch.stack(log_probs, 1), torch.stack(entropies, 1).sum(1))

    def begin(self, count: int) -> tuple[Tensor, Tensor]:
        """The first state of the LSTM, twice (count, hidden)."""
        zeros = self.start.new_zeros(count, self.hidden)
        return zeros, zeros

    def log_softmax(self, name: str, hidden: Tensor) -> Tensor:
        """(count, hidden) -> (count, options)."""
        return torch.log_softmax(self.softmaxes[self._numbers[name]](hidden), dim=1)

    def embedded(self, name: str, answer: int) -> Tensor:
        """(1, hidden)."""
        row: Tensor = self.embeddings[self._numbers[name]](torch.tensor([answer], device=self.start.device))
        return row


class Walk:
    """One pass through the decisions of a space, each answered by a draw from the controller."""

    def __init__(self, controller: Controller, rng: random.Random, adopt: list[nn.Parameter]) -> None:
        """
        Args:
            controller: answers.
            rng: of the draws.
            adopt: gets the parameters of decisions that are met for the first time.
        """
        self.controller, self.rng, self.adopt = controller, rng, adopt
        self.state = controller.begin(1)
        self.x = controller.start[None]

    @torch.no_grad()
    def choose(self, name: str, options: Sequence[Option]) -> Option:
        """See :meth:`nascore.contracts.SearchSpace.sample`."""
        self.adopt.extend(self.controller.meet(name, len(options)))
        self.state = self.controller.lstm(self.x, self.state)
        weights = self.controller.log_softmax(name, self.state[0]).exp()[0].tolist()
        (answer,) = self.rng.choices(range(len(options)), weights)
        self.x = self.controller.embedded(name, answer)
        return options[answer]


def _draw(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -RANGE, RANGE)
