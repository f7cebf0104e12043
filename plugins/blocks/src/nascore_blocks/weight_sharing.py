"""The evaluator that trains one supernet and judges candidates by its weights.

How a method steers the training is the protocol of :mod:`nascore_blocks.supernet.policy`, with an
example there. A sampler without the capability ``policy`` searches on weights that were trained on
random architectures, one a step (Guo et al. 2020, arXiv:1904.00420; Li and Talwalkar 2019,
arXiv:1902.07638)::

    nascore search --sampler amoebanet --space blocks:darts --evaluator blocks:supernet
"""

from __future__ import annotations

import copy
import logging
import math
import random
import statistics
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.contracts import Evaluator, Round
from nascore.errors import SettingsError, UsageError
from nascore.options import make
from nascore.records import Direction, Measurement, Metric, Status
from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.data.splits import as_split
from nascore_blocks.evaluators import Train, check_augmentation, of_text
from nascore_blocks.recipe import Recipe
from nascore_blocks.supernet.calibrate import recalibrate
from nascore_blocks.supernet.policy import DivergedError, Policy, Shared, Stream, augmenting
from nascore_blocks.supernet.sizes import sizes_of
from nascore_blocks.training import batches, evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from nascore.contracts import Context, Sampler, SearchSpace, Splits
    from nascore.records import Architecture, Candidate, Cost
    from nascore_blocks.supernet.base import Supernet, SupernetSpace
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.training import Checkpoint, Report

log = logging.getLogger("nascore")

MOST_FAILURES = 3
"""Rounds that may diverge; the last of them ends the training."""


class RandomPaths(Policy):
    """Trains one architecture a step, drawn as the space draws; for samplers that have no policy."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def mix(self, shared: Shared) -> Mixture:
        """A random architecture alone."""
        drawn = self._space.sample(lambda _, options: shared.random.choice(options))
        return shared.supernet.paths(cast("SupernetSpace", self._space).structure(drawn))

    def ready(self, done: int, rounds: int) -> bool:
        """After all rounds: weights that go on changing would make trials incomparable."""
        return done >= rounds


class SharedWeights(Evaluator):
    """Train a supernet in rounds; judge a candidate by its paths, with batch-norm statistics of its own.

    A round that ends in a number that is not finite is undone, and the learning rate halved; the third
    such round ends the training. On the CPU the weights depend on the settings and the seed of the
    search alone, bit for bit, across kills and resumes.

    Args:
        rounds: how many; then the weights stay as they are.
        steps: iterations a round; 0: as many as an epoch has batches.
        batch_size: examples a step, >= 2.
        optimizer: of the weights: ``sgd`` or ``adamw``.
        learning_rate: at the start.
        last_rate: at the end of all rounds; the cosine falls to it.
        momentum: of ``sgd``, in [0, 1).
        weight_decay: on the weights that ran.
        clip: largest norm of the gradient; 0 clips nothing.
        label_smoothing: in [0, 1).
        flip, crop, cutout: augmentation of the training images; see the evaluator ``blocks:train``.
        calibration: training batches that a candidate's batch-norm statistics are averaged over, >= 1.
        fast: share computation between edges on the CPU; False for second derivatives.
        retrain: settings of ``blocks:train`` for `nascore retrain`, such as ``{"epochs": 600}``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"supernet", "labels"})
    provides: ClassVar[frozenset[str]] = frozenset({"shared_weights", "retrain"})
    objectives: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("", Direction.MAXIMIZE),
        "loss": Metric("nats", Direction.MINIMIZE),
    }

    def __init__(
        self,
        rounds: int = 20,
        steps: int = 0,
        batch_size: int = 64,
        optimizer: str = "sgd",
        learning_rate: float = 0.025,
        last_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 3e-4,
        clip: float = 5.0,
        label_smoothing: float = 0.0,
        flip: bool = False,
        crop: int = 0,
        cutout: int = 0,
        calibration: int = 4,
        fast: bool = True,
        retrain: dict[str, Any] | None = None,
    ) -> None:
        for name, value, least in (("rounds", rounds, 1), ("steps", steps, 0), ("calibration", calibration, 1)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if not 0 <= last_rate <= learning_rate:
            raise SettingsError(f"last_rate is {last_rate}; it must be in [0, learning_rate] ({learning_rate}).")
        self.recipe = Recipe(
            batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate, momentum=momentum,
            weight_decay=weight_decay, clip=clip, label_smoothing=label_smoothing, flip=flip, crop=crop, cutout=cutout,
        )  # fmt: skip
        self.rounds, self.steps, self.last_rate, self.calibration = rounds, steps, last_rate, calibration
        self.fast = fast
        self._trainer: Train = make(Train, retrain or {}, "evaluator.retrain")
        self.done = self.failures = 0
        self.factor = 1.0
        self.metrics: dict[str, float] = {}
        self.supernet: Supernet | None = None

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Evaluator.setup`.

        Raises:
            SettingsError: too few examples for a batch, or an augmentation of what is no image.
        """
        super().setup(space, data)
        self._trainer.setup(space, data)
        check_augmentation(self.recipe, data.task)
        for name, split in (("train", data.train), ("valid", data.valid)):
            if len(split) < 2:
                raise SettingsError(f"The {name} split has {len(split)} example(s); batch norm needs at least 2.")
        self.supernet = None

    # ------------------------------------------------------------------ training

    def prepare(self, sampler: Sampler, context: Context) -> Round:
        """One round, if any is left; see :meth:`Evaluator.prepare`."""
        policy = self.policy(sampler)
        if self.done >= self.rounds or self.failures >= MOST_FAILURES or policy.over:
            policy.end()
            return Round()
        self._made(context.device)
        shared = self._shared(context)
        if policy.begin(shared):
            return Round(changed=True, ready=False)
        before = copy.deepcopy((self.state_dict(), policy.state_dict()))
        try:
            metrics = self._round(policy, shared)
        except (DivergedError, FloatingPointError) as error:
            return self._undo(policy, before, error)
        return Round(True, policy.ready(self.done, self.rounds), metrics)

    def policy(self, sampler: Sampler) -> Policy:
        """Who steers the training: the sampler's policy where it has one."""
        if "policy" not in sampler.provides:
            return RandomPaths(self.space)
        policy: Policy = sampler.policy  # type: ignore[attr-defined]  # what the word means
        return policy

    def _round(self, policy: Policy, shared: Shared) -> dict[str, float]:
        assert self.supernet is not None  # made by the caller
        steps = self.steps or len(batches(len(self.data.train), self.recipe.batch_size))
        self.supernet.train()
        for step in range(steps):
            shared.progress = (self.done + step / steps) / self.rounds
            shared.rate = self.factor * self.rate(shared.progress)
            policy.iterate(shared)
        metrics = dict(policy.end_round(shared))
        self._check_finite(policy)
        self.done += 1
        self.metrics = {
            "round": self.done,
            "train_loss": statistics.fmean(shared.losses) if shared.losses else math.nan,
            "supernet_accuracy": shared.accuracy(policy.mix(shared), shared.valid_batch()),
            "learning_rate": shared.rate,
            **metrics,
        }
        return self.metrics

    def rate(self, progress: float) -> float:
        """The learning rate at ``progress`` in [0, 1]: half a cosine, from ``learning_rate`` to ``last_rate``."""
        return self.last_rate + (self.recipe.learning_rate - self.last_rate) * (1 + math.cos(math.pi * progress)) / 2

    def _shared(self, context: Context) -> Shared:
        assert self.supernet is not None  # made by the caller
        generators = [
            torch.Generator().manual_seed(derive_seed(context.seed, name)) for name in ("mix", "train", "valid")
        ]
        size, change = self.recipe.batch_size, augmenting(self.recipe, generators[1])
        train = Stream(as_split(self.data.train).to(context.device), size, generators[1], context.device, change)
        valid = Stream(as_split(self.data.valid).to(context.device), size, generators[2], context.device, None)
        chance = random.Random(derive_seed(context.seed, "paths"))
        return Shared(
            self.supernet, self._optimizer, self.recipe, generators[0], chance, (train, valid), (self.done, self.rounds)
        )

    def _check_finite(self, policy: Policy) -> None:
        assert self.supernet is not None  # made by the caller
        sums = torch.stack([parameter.detach().sum() for parameter in self.supernet.parameters()])
        if not torch.isfinite(sums).all():
            raise DivergedError("a weight is not finite")
        if not all(torch.isfinite(tensor).all() for tensor in _tensors(policy.state_dict())):
            raise DivergedError("the policy's state (alphas, a controller) is not finite")

    def _undo(self, policy: Policy, before: Any, error: Exception) -> Round:
        own, of_policy = before
        failures, factor = self.failures + 1, self.factor / 2
        self.load_state_dict(own)
        policy.load_state_dict(of_policy)
        self.failures, self.factor = failures, factor
        over = failures >= MOST_FAILURES
        then = "The training ends here." if over else f"The learning rate is halved, to {factor:g} times its schedule."
        log.warning("Round %d of the shared weights is undone: %s. %s", self.done + 1, error, then)
        return Round(True, over, {"round": self.done, "undone": failures, "rate_factor": factor})

    def sizes(self) -> dict[str, Cost]:
        """Parameters and multiply-accumulates of the supernet, all paths running; nothing is computed."""
        return sizes_of(cast("SupernetSpace", self.space), self.data.task)

    # ------------------------------------------------------------------ judging

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Accuracy and loss on ``valid`` of the candidate's paths; see :meth:`Evaluator.evaluate`.

        Raises:
            UsageError: nothing was trained in this process.
        """
        if self.supernet is None:
            raise UsageError(
                "There are no shared weights in this process: they are trained where the search runs, "
                "so a weight-sharing search needs the serial executor."
            )
        supernet = self._made(context.device)
        genotype = cast("SupernetSpace", self.space).structure(candidate.architecture)
        network = supernet.extract(genotype)
        recalibrate(network, self._calibration_batches(context.device))
        size = 4 * self.recipe.batch_size
        accuracy, loss = evaluate(network, as_split(self.data.valid), device=context.device, batch_size=size)
        return Measurement(
            Status.COMPLETE,
            {"accuracy": accuracy, "loss": loss},
            metrics=self._of_the_round() | of_text(context.task, loss),
        )

    def _of_the_round(self) -> dict[str, float]:
        """What the last round gave, for the trials that it is judged by."""
        return {name: value for name, value in self.metrics.items() if math.isfinite(value)} | {"round": self.done}

    def _calibration_batches(self, device: str) -> list[Tensor]:
        """The same for every candidate, so that two judgements of one differ in the weights alone."""
        data = as_split(self.data.train).to(device)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
        cuts = batches(len(data), self.recipe.batch_size)[: self.calibration]
        return [data.batch(order[start:stop].to(data.labels.device))[0].to(device) for start, stop in cuts]

    def retrain(
        self, architecture: Architecture, splits: Splits, *, seed: int, device: str = "cpu",
        report: Report | None = None, checkpoint: Checkpoint | None = None, **changes: Any,
    ) -> tuple[Measurement, dict[str, Tensor]]:  # fmt: skip
        """Train alone, from scratch; see :meth:`nascore_blocks.evaluators.Train.retrain`."""
        return self._trainer.retrain(
            architecture, splits, seed=seed, device=device, report=report, checkpoint=checkpoint, **changes
        )

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, and where in the schedule; nothing before the first round."""
        if self.supernet is None:
            return {}
        return {
            "done": self.done,
            "failures": self.failures,
            "factor": self.factor,
            "metrics": dict(self.metrics),
            "weights": dict(self.supernet.state_dict()),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        if not state:
            return
        with isolated_random(0):  # fresh weights are drawn, then replaced
            supernet = self._made(str(next(self.supernet.parameters()).device) if self.supernet else "cpu")
        supernet.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.done, self.failures, self.factor = state["done"], state["failures"], state["factor"]
        self.metrics = dict(state["metrics"])

    def _made(self, device: str) -> Supernet:
        """The supernet, made when first needed, with fresh weights of torch's global generator."""
        if self.supernet is None:
            self.supernet = cast("SupernetSpace", self.space).supernet(self.data.task, fast=self.fast)
            self._optimizer = _optimizer(list(self.supernet.parameters()), self.recipe)
        if next(self.supernet.parameters()).device != torch.device(device):
            self.supernet.to(device)
            self._optimizer.load_state_dict(self._optimizer.state_dict())  # its state follows the weights
        return self.supernet


def _optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with the plain momentum of the papers (no Nesterov, which their second order is not made for), or AdamW."""
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    kind: Any = torch.optim.AdamW
    if recipe.optimizer == "sgd":
        kind, options["momentum"] = torch.optim.SGD, recipe.momentum
    try:
        made: torch.optim.Optimizer = kind(parameters, fused=True, **options)
    except RuntimeError:  # not in this version of torch
        made = kind(parameters, foreach=True, **options)
    if options.get("momentum"):
        # torch's fused step fails where some weights have a buffer and some, which run for the first time, have none.
        for parameter in parameters:
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, torch.Tensor):
        return [state] if state.is_floating_point() else []
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in _tensors(value)]
