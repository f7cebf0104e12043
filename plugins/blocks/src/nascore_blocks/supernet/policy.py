"""The protocol between a sampler and the training of shared weights: the capability ``policy``.

A sampler that provides ``policy`` has an attribute ``policy``, a :class:`Policy`. The evaluator
``blocks:supernet`` trains in rounds of iterations. Each iteration it calls ``policy.iterate(shared)``,
and the policy does, with the tools of :class:`Shared`, whatever its paper does in one iteration; after
the last one of a round it calls ``policy.end_round(shared)``. The five methods differ here and only here:

==============  ============================================================================
One-Shot        ``mix`` = path dropout of ``shared.progress``; ``ready`` after the last round
ENAS            ``mix`` = one path from the controller; the controller's phase in ``end_round``
DARTS           ``iterate``: step of alpha on ``shared.valid_batch()``, then ``shared.step``
SNAS            ``iterate``: ``shared.step`` on a mix with gradient, then step of alpha
ProxylessNAS    ``iterate``: ``shared.step`` on one path; now and then the gates, on a valid batch
==============  ============================================================================

Example::

    class Snas(Policy):
        def mix(self, shared):
            concrete = Concrete(temperature=1.0 - 0.97 * shared.progress)
            return {kind: concrete(a, shared.wirings[kind], shared.generator) for kind, a in self.logits.items()}

        def iterate(self, shared):
            self.optimizer.zero_grad()
            shared.step(self.mix(shared), shared.train_batch())  # one backward pass fills both gradients
            self.optimizer.step()
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nascore.errors import NascoreError
from nascore_blocks.data.augment import augment
from nascore_blocks.training import batches

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

    from nascore_blocks.data.splits import Split
    from nascore_blocks.recipe import Recipe
    from nascore_blocks.supernet.base import Supernet
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.wiring import Wiring


class DivergedError(NascoreError):
    """A loss, a weight or an alpha that is not finite."""


class Batch(NamedTuple):
    """Inputs (batch, channels, height, width) and labels (batch,), or tokens (batch, time) both; on one device."""

    inputs: Tensor
    labels: Tensor


class Stream:
    """Batches without end: pass after pass over a split, each in a new random order."""

    def __init__(
        self, data: Split, size: int, generator: torch.Generator, device: str, change: Callable[[Tensor], Tensor] | None
    ) -> None:
        """
        Args:
            data: on the device.
            size: examples a batch; a single left-over example joins the batch before.
            generator: of the order, on the CPU.
            device: where the batches go.
            change: augmentation of the inputs.
        """
        self._data, self._size, self._generator, self._device, self._change = data, size, generator, device, change
        self._waiting: list[Tensor] = []

    def __call__(self) -> Batch:
        """The next batch."""
        if not self._waiting:
            order = torch.randperm(len(self._data), generator=self._generator)
            cuts = batches(len(self._data), self._size)
            self._waiting = [order[start:stop] for start, stop in reversed(cuts)]
        inputs, labels = self._data.batch(self._waiting.pop().to(self._data.labels.device))
        inputs, labels = inputs.to(self._device), labels.to(self._device)
        return Batch(self._change(inputs) if self._change else inputs, labels)


class Shared:
    """The tools of one round, handed to the policy.

    Attributes:
        supernet: the shared weights.
        optimizer: of the weights (SGD, or AdamW).
        parameters: the weights, in the optimiser's order.
        generator: of torch's random numbers, on the CPU; seeded anew each round.
        random: of Python's.
        train_batch, valid_batch: give the next batch of each split.
        round: number of the round, from 0 on.
        rounds: of the whole training.
        rate: learning rate of the weights now.
        progress: share of all iterations that are done, in [0, 1).
        losses: of the weight steps so far in this round (nats).
    """

    def __init__(
        self,
        supernet: Supernet,
        optimizer: torch.optim.Optimizer,
        recipe: Recipe,
        generator: torch.Generator,
        chance: random.Random,
        streams: tuple[Stream, Stream],
        rounds: tuple[int, int],
    ) -> None:
        self.supernet, self.optimizer, self.generator, self.random = supernet, optimizer, generator, chance
        self.recipe, (self.round, self.rounds) = recipe, rounds
        self.parameters = list(supernet.parameters())
        self.train_batch, self.valid_batch = streams
        self.rate, self.progress = recipe.learning_rate, 0.0
        self.losses: list[float] = []

    @property
    def wirings(self) -> Mapping[str, Wiring]:
        """Kind of place -> its candidate edges and ops."""
        return self.supernet.wirings

    def loss(self, mixture: Mixture, batch: Batch) -> Tensor:
        """Cross entropy (nats) of the supernet under a mixture; differentiable in weights and mixture."""
        logits = self.supernet(batch.inputs, mixture)
        return F.cross_entropy(logits, batch.labels, label_smoothing=self.recipe.label_smoothing)

    @torch.no_grad()
    def accuracy(self, mixture: Mixture, batch: Batch) -> float:
        """Accuracy in [0, 1] on a batch, by the statistics of the batch."""
        return float((self.supernet(batch.inputs, mixture).argmax(1) == batch.labels).float().mean())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, the weights need no gradient: less work and memory for a gradient of the mixture alone."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def step(self, mixture: Mixture, batch: Batch) -> float:
        """One step of the weights; gives the loss. See :meth:`update`."""
        return self.update(self.loss(mixture, batch))

    def update(self, loss: Tensor) -> float:
        """One step of the weights down ``loss``; what else it depends on gets its gradient too.

        Weights that did not run get no gradient, and neither decay nor momentum moves them.

        Raises:
            DivergedError: the loss is not finite.
        """
        value = self.check(loss.detach(), "the training loss")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.step()
        self.losses.append(value)
        return value

    def check(self, value: Tensor, name: str) -> float:
        """The number in ``value``.

        Raises:
            DivergedError: it is not finite; the evaluator goes back to the last good round.
        """
        number = float(value)
        if not math.isfinite(number):
            raise DivergedError(f"{name} became {number}")
        return number


class Policy(ABC):
    """How a sampler steers the training of shared weights; see the module."""

    @property
    def over(self) -> bool:
        """Has it seen enough? Then no round is trained any more, whatever is left of the budget."""
        return False

    def begin(self, shared: Shared) -> bool:
        """Called before each round. True: it prepared something, such as measured latencies, that a resumed search
        must find again, so a checkpoint is due before the first step. False, the default: go on.
        """
        return False

    @abstractmethod
    def mix(self, shared: Shared) -> Mixture:
        """What runs in the next pass. Called once for each weight step, and to watch the accuracy."""

    def iterate(self, shared: Shared) -> None:
        """One iteration; by default one weight step under :meth:`mix`, without gradient for the policy."""
        mixture = {kind: paths.detached() for kind, paths in self.mix(shared).items()}
        shared.step(mixture, shared.train_batch())

    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Called after the last iteration of a round; gives metrics of the round."""
        return {}

    def ready(self, done: int, rounds: int) -> bool:
        """May a candidate be asked for after ``done`` of ``rounds`` rounds? By default after each."""
        return True

    def end(self) -> None:
        """Training is over: all rounds are done, or it failed too often. Called again after a resume."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes; the sampler's own ``state_dict`` has it too."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""


def augmenting(recipe: Recipe, generator: torch.Generator) -> Callable[[Tensor], Tensor] | None:
    """The augmentation of a recipe, or None."""
    if not recipe.augments:
        return None
    return lambda inputs: augment(inputs, generator, crop=recipe.crop, flip=recipe.flip, cutout=recipe.cutout)
