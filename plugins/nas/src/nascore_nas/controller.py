"""Controllers: distributions over the decisions of a space, in the order in which its program makes them.

A pass answers the program's questions one by one. Drawing and scoring are the same pass: once with an
answer drawn from each distribution, once with the answer that was given.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.seeding import derive_seed, isolated_random

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import SearchSpace
    from nascore.records import Architecture, Option


class Question(NamedTuple):
    """A decision that a program asks for."""

    name: str
    options: tuple[Option, ...]


class Scores(NamedTuple):
    """What a controller says of given architectures.

    Attributes:
        log_prob: (count,), of all answers of an architecture together (nats).
        entropy: (count,), of the distributions over all options, summed over the decisions (nats).
    """

    log_prob: Tensor
    entropy: Tensor


class Pass(ABC):
    """One walk through the decisions of ``count`` architectures that are asked the same questions."""

    @abstractmethod
    def ask(self, question: Question) -> Tensor:
        """The log-probabilities of the options, (count, options), given the answers until now."""

    @abstractmethod
    def answer(self, index: Tensor) -> None:
        """Give the answers to the last question: indices of options, (count,), int64."""


class Controller(nn.Module, ABC):
    """A distribution over architectures.

    Decisions that only some architectures make get their parameters when they are first met, by
    :meth:`meet`; the weights depend on the seed and the kind of the decision alone, so not on when that is.
    """

    def __init__(self, seed: int) -> None:
        """
        Args:
            seed: of all weights.
        """
        super().__init__()
        self.seed = seed
        self.met: dict[str, int] = {}
        """Kind of decision -> its place among the parts, in the order in which they were met."""
        self.counts: list[int] = []
        """Number of options of each kind."""
        self.parts = nn.ModuleList()

    @abstractmethod
    def kind(self, question: Question) -> str:
        """Decisions of one kind share their parameters; empty: the decision has none of its own."""

    @abstractmethod
    def make(self, options: int) -> nn.Module:
        """The parameters of a kind of decision, drawn from torch's global generator."""

    @abstractmethod
    def begin(self, count: int) -> Pass:
        """A new pass."""

    def meet(self, question: Question) -> list[nn.Parameter]:
        """Make the parameters for a decision; gives the new ones, none where its kind is known."""
        return self.meet_kind(self.kind(question), len(question.options))

    def meet_kind(self, kind: str, options: int) -> list[nn.Parameter]:
        """As :meth:`meet`, for a kind with this number of options."""
        if not kind or kind in self.met:
            return []
        with isolated_random(derive_seed(self.seed, "decision", kind)):
            part = self.make(options)
        part.to(next(iter(self.parameters())))  # the device and the type of the others
        self.met[kind] = len(self.parts)
        self.counts.append(options)
        self.parts.append(part)
        return list(part.parameters())

    def part(self, question: Question) -> nn.Module:
        """What :meth:`make` made for this kind of decision."""
        return self.parts[self.met[self.kind(question)]]

    def score(self, questions: Sequence[Question], answers: Tensor) -> Scores:
        """The log-probability and entropy of architectures; differentiable.

        Args:
            questions: of all of them, in the order of the program; each kind met before.
            answers: (count, decisions), the index of the option that was chosen, int64.
        """
        run = self.begin(len(answers))
        log_prob = entropy = answers.new_zeros(len(answers), dtype=next(iter(self.parameters())).dtype)
        for question, answer in zip(questions, answers.unbind(1), strict=True):
            log_p = run.ask(question)
            log_prob = log_prob + log_p.gather(1, answer[:, None]).squeeze(1)
            entropy = entropy - (log_p.exp() * log_p).sum(1)  # over all options, not the drawn one alone
            run.answer(answer)
        return Scores(log_prob, entropy)

    @torch.no_grad()
    def draw(self, space: SearchSpace, rng: random.Random, adopt: list[nn.Parameter]) -> Architecture:
        """Run the program of a space, each decision answered by a draw.

        Args:
            space: made of decisions.
            rng: of the draws.
            adopt: gets the parameters of decisions that are met for the first time.
        """
        run = self.begin(1)
        device = next(iter(self.parameters())).device

        def choose(name: str, options: Sequence[Option]) -> Option:
            question = Question(name, tuple(options))
            adopt.extend(self.meet(question))
            weights = run.ask(question)[0].exp().tolist()
            (index,) = rng.choices(range(len(options)), weights)
            run.answer(torch.tensor([index], device=device))
            return options[index]

        return space.sample(choose)


class Factorised(Controller):
    """Each decision, by its name, has logits of its own, which start at 0: no answer depends on another."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.register_parameter("unused", nn.Parameter(torch.zeros(())))  # so that there is one to ask for its device

    def kind(self, question: Question) -> str:
        """Its name and options."""
        return f"{question.name} {json.dumps(question.options)}"

    def make(self, options: int) -> nn.Module:
        """Logits, (options,)."""
        return nn.ParameterList([nn.Parameter(torch.zeros(options))])

    def begin(self, count: int) -> Pass:
        """See :class:`Pass`."""
        return _FactorisedPass(self, count)


class _FactorisedPass(Pass):
    def __init__(self, controller: Factorised, count: int) -> None:
        self.controller, self.count = controller, count

    def ask(self, question: Question) -> Tensor:
        (logits,) = self.controller.part(question).parameters()
        return torch.log_softmax(logits, dim=0).expand(self.count, -1)

    def answer(self, index: Tensor) -> None:
        """No later answer depends on it."""
