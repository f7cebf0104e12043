"""The one training loop: a recipe, a network and splits in; trained weights and a curve out.

On the CPU the result depends on the recipe, the seed, the network's initial weights and torch's
number of threads alone, bit for bit. Where the speed comes from, for networks that are smaller
than Python's overhead: batches are indexed from tensors, the optimiser's step is fused, nothing
asks the device for a number within an epoch (but once in fifty steps, whether the loss is finite),
and activations lie channels-last.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.errors import NascoreError
from nascore.seeding import derive_seed
from nascore_blocks.average import Average
from nascore_blocks.data.augment import Augmentation
from nascore_blocks.data.splits import Subset, nested_subset
from nascore_blocks.layout import arranged, layout, place

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_blocks.data.splits import Split
    from nascore_blocks.recipe import Recipe

    Report = Callable[[int, dict[str, float]], bool]

_CHECK_EVERY = 50
"""Steps between two looks at whether the loss is finite: each look waits for the device."""


class TrainingError(NascoreError):
    """A training that cannot go on: a loss that is not finite, or a network that does not fit the task."""


class Checkpoint(Protocol):
    """Where a training keeps its state between epochs, so that one that was killed goes on."""

    def load(self) -> dict[str, Any] | None:
        """The last state that was kept; None to begin anew."""

    def save(self, epoch: int, state: dict[str, Any]) -> None:
        """Keep ``state``, of tensors and plain data, as it is after ``epoch``; it may be passed over."""


@dataclass
class Outcome:
    """What a training gives.

    Attributes:
        epochs: how many were run.
        metrics: ``train_loss``, and ``accuracy`` (in [0, 1]) and ``loss`` (nats, without label
            smoothing) on the validation split where there is one; of the last epoch, or of the
            best where the recipe has patience.
        pruned: the report said stop.
        samples: how many examples were learnt from, repeats counted.
        seconds: duration.
    """

    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    pruned: bool = False
    samples: int = 0
    seconds: float = 0.0


def train(
    network: nn.Module,
    data: Split,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    valid: Split | None = None,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train ``network`` in place.

    An incomplete last batch is kept; if it would be a single example, which batch norm cannot
    take, that example joins the batch before.

    Args:
        network: (batch, *shape) -> logits (batch, classes), or (batch, classes, time) for sequences. If it has
            ``forward_with_auxiliary(inputs) -> (logits, auxiliary logits or None)`` or
            ``set_drop_path(probability)``, they are used as the recipe says.
        data: to learn from.
        recipe: how.
        seed: of the order of the examples and of the augmentation. Dropout and the like draw from
            torch's global generator, which the caller seeds.
        device: where to train; the network is moved there.
        valid: to validate on after every epoch.
        report: called as ``report(epoch, metrics)`` after every epoch, from 1 on; False stops.
        checkpoint: keeps the state after every epoch. A training that finds one goes on behind it, and on the
            CPU ends with the very weights, bit for bit, of one that was not interrupted. ``report`` is not
            called again for the epochs before.

    Raises:
        TrainingError: the loss is not finite, or the network does not fit the data.
    """
    return _Training(network, data, recipe, seed, torch.device(device), valid).run(report, checkpoint)


@dataclass
class _Progress:
    """How far a training is: what :meth:`_Training.run` carries from epoch to epoch.

    Attributes:
        metrics: those of the outcome.
        best: highest accuracy (or lowest loss, negative) where the recipe has patience.
        best_epoch: when that was.
        seconds: spent in earlier sessions.
    """

    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0


class _Training:
    """One run of the loop; the state that its steps share."""

    def __init__(
        self, network: nn.Module, data: Split, recipe: Recipe, seed: int, device: torch.device, valid: Split | None
    ) -> None:
        if recipe.data_fraction < 1:
            data = Subset(data, nested_subset(data.labels, recipe.data_fraction))
        if len(data) < 2:
            raise TrainingError(f"Training needs at least 2 examples; the split has {len(data)}.")
        self.recipe, self.device = recipe, device
        self.data = data.to(device)
        self.valid = valid.to(device) if valid is not None else None
        network = materialised(network.to(device), self.data)
        self.form = layout(network, device)
        self.network = place(network, device, self.form)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        if not self.parameters:
            raise TrainingError("The network has no trainable parameter.")
        self.optimizer = _optimizer(self.parameters, recipe)
        self.order = torch.Generator().manual_seed(derive_seed(seed, "order"))
        # bfloat16 needs no loss scaling; older devices have float16 only, which does.
        self.amp = recipe.mixed_precision and device.type == "cuda"
        self.half = torch.bfloat16 if self.amp and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.amp and self.half is torch.float16)
        self.classes = int(self.data.labels.max()) + 1
        self.augmentation = Augmentation(self.data, recipe, self.order) if recipe.augments else None
        self.average = Average(self.network, recipe.ema) if recipe.ema else None
        self.best_state: dict[str, Tensor] | None = None
        self.step = 0
        self.steps = recipe.epochs * len(batches(len(data), recipe.batch_size))

    def run(self, report: Report | None, checkpoint: Checkpoint | None) -> Outcome:
        started = time.perf_counter()
        state = checkpoint.load() if checkpoint is not None else None
        done = self.restored(state) if state is not None else _Progress()
        before, pruned = done.seconds, False
        while done.epoch < self.recipe.epochs and not self.out_of_patience(done):
            done.epoch += 1
            metrics = {"train_loss": self.epoch(done.epoch)}
            self.judge(metrics, done)
            done.seconds = before + time.perf_counter() - started
            if checkpoint is not None:
                checkpoint.save(done.epoch, self.state(done))
            if report is not None and not report(done.epoch, metrics):
                pruned = True
                break
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)
        elif self.average is not None:
            self.average.settle()
        seconds = before + time.perf_counter() - started
        return Outcome(done.epoch, done.metrics, pruned, done.epoch * len(self.data), seconds)

    def out_of_patience(self, done: _Progress) -> bool:
        return bool(self.recipe.patience) and done.epoch - done.best_epoch >= self.recipe.patience

    def judge(self, metrics: dict[str, float], done: _Progress) -> None:
        """Validate what is to be kept, and remember it where it is the best so far and the recipe has patience."""
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            if self.valid is not None:
                metrics["accuracy"], metrics["loss"] = evaluate(
                    self.network, self.valid, device=self.device, batch_size=4 * self.recipe.batch_size
                )
            score = metrics.get("accuracy", -metrics["train_loss"])
            if not self.recipe.patience:
                done.metrics = metrics
            elif score > done.best:
                done.best, done.best_epoch, done.metrics = score, done.epoch, metrics
                self.best_state = copy.deepcopy(self.network.state_dict())

    def state(self, done: _Progress) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        cuda = self.device.type == "cuda"
        return {
            "progress": asdict(done),
            "step": self.step,
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": [self.average.updates, self.average.averages] if self.average is not None else None,
            "best": self.best_state,
            "order": self.order.get_state(),
            "torch": torch.get_rng_state(),  # dropout and the like
            "device": torch.cuda.get_rng_state(self.device) if cuda else None,
        }

    def restored(self, state: dict[str, Any]) -> _Progress:
        """Go back to a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if torch.is_tensor(value) and value.shape == parameter.shape and value.ndim:
                    # A fused step reads weight and moments side by side in memory: their layouts must be one.
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.updates, averages = state["average"]
            torch._foreach_copy_(self.average.averages, [value.to(self.device) for value in averages])
        self.best_state, self.step = state["best"], state["step"]
        self.order.set_state(state["order"])
        torch.set_rng_state(state["torch"])
        if state["device"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device"], self.device)
        return _Progress(**state["progress"])

    def epoch(self, number: int) -> float:
        """One pass over the data; the mean loss (nats)."""
        self.network.train()
        if not self.recipe.drop_path_by_depth:
            self.drop_paths("set_drop_path", (number - 1) / self.recipe.epochs)
        order = torch.randperm(len(self.data), generator=self.order)
        losses: list[Tensor] = []
        sizes = []
        for start, stop in batches(len(self.data), self.recipe.batch_size):
            losses.append(self.update(order[start:stop].to(self.device)))
            sizes.append(stop - start)
            if len(losses) % _CHECK_EVERY == 0:
                _check_finite(losses, number)
        _check_finite(losses, number)
        return float(torch.stack(losses).double().cpu() @ torch.tensor(sizes).double()) / len(self.data)

    def update(self, indices: Tensor) -> Tensor:
        """One step of the optimiser; the batch's loss, left on the device."""
        recipe = self.recipe
        inputs, labels = self.data.batch(indices)
        inputs, labels = inputs.to(self.device), labels.to(self.device)
        if self.augmentation is not None:
            inputs = self.augmentation(inputs)
        inputs = arranged(inputs, self.form)
        if recipe.drop_path_by_depth:
            self.drop_paths("set_drop_path_by_depth", self.step / max(1, self.steps - 1))
        with torch.autocast("cuda", dtype=self.half, enabled=self.amp):
            loss = self.loss(inputs, labels)
        rate = recipe.rate(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if recipe.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update()
        self.step += 1
        return loss.detach()

    def drop_paths(self, method: str, time: float) -> None:
        """Let the network drop ``time``, in [0, 1], of the recipe's probability, if it has the method."""
        setter = getattr(self.network, method, None)
        if setter is not None:
            setter(self.recipe.drop_path * time)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        with_auxiliary = getattr(self.network, "forward_with_auxiliary", None)
        smoothing = self.recipe.label_smoothing
        if with_auxiliary is None or not self.recipe.auxiliary_weight:
            return F.cross_entropy(self.fitting(self.network(inputs)), labels, label_smoothing=smoothing)
        logits, auxiliary = with_auxiliary(inputs)
        loss = F.cross_entropy(self.fitting(logits), labels, label_smoothing=smoothing)
        if auxiliary is None:
            return loss
        return loss + self.recipe.auxiliary_weight * F.cross_entropy(auxiliary, labels, label_smoothing=smoothing)

    def fitting(self, logits: Any) -> Tensor:
        labels = self.data.labels
        if not isinstance(logits, Tensor) or logits.ndim != labels.ndim + 1 or logits.shape[1] < self.classes:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            wanted = f"(batch, classes >= {self.classes}{', time' * (labels.ndim - 1)})"
            raise TrainingError(f"The network must give logits {wanted}; it gave {got}.")
        return logits


@torch.no_grad()
def evaluate(
    network: nn.Module, data: Split, *, device: torch.device | str = "cpu", batch_size: int = 256
) -> tuple[float, float]:
    """Accuracy in [0, 1] and mean cross entropy (nats) of ``network``, which is put in evaluation mode.

    For sequences, over all their labels.
    """
    network.eval()
    form = layout(network, device)
    data = data.to(device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    total = torch.zeros((), device=device)
    for indices in torch.split(torch.arange(len(data)), batch_size):
        inputs, labels = data.batch(indices.to(data.labels.device))
        inputs, labels = inputs.to(device), labels.to(device)
        logits = network(arranged(inputs, form))
        total += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    predictions = data.labels.numel()
    return correct.item() / predictions, total.item() / predictions


def batches(examples: int, batch_size: int) -> list[tuple[int, int]]:
    """Bounds of the batches of an epoch; a single left-over example joins the batch before.

    Example:
        >>> batches(5, 2)
        [(0, 2), (2, 5)]
    """
    starts = list(range(0, examples, batch_size))
    if len(starts) > 1 and examples - starts[-1] == 1:
        del starts[-1]
    return list(zip(starts, [*starts[1:], examples], strict=True))


def materialised(network: nn.Module, data: Split) -> nn.Module:
    """``network`` with the shapes of its lazy modules (``nn.LazyLinear``) set by a look at ``data``."""
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in network.parameters()):
        network.eval()
        with torch.no_grad():
            network(data.batch(torch.arange(2, device=data.labels.device))[0])
    return network


def _optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": recipe.momentum > 0}
    kind: Any = torch.optim.SGD if recipe.optimizer == "sgd" else torch.optim.AdamW
    try:
        return kind(parameters, fused=True, **options)  # type: ignore[no-any-return]  # both are optimisers
    except RuntimeError:  # not on this device, or not in this version of torch
        return kind(parameters, foreach=True, **options)  # type: ignore[no-any-return]  # both are optimisers


def _check_finite(losses: list[Tensor], epoch: int) -> None:
    finite = torch.isfinite(torch.stack(losses[-_CHECK_EVERY:]))
    if not finite.all():
        step = len(losses) - len(finite) + int((~finite).nonzero()[0]) + 1
        raise TrainingError(
            f"The loss became {losses[step - 1].item()} in epoch {epoch}, step {step}; "
            "a lower learning_rate, or clip > 0, may help."
        )
