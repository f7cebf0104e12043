"""The black-box evaluator: train the candidate from scratch, then validate it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors.torch import save_file

from nascore.contracts import Evaluator
from nascore.errors import SettingsError
from nascore.records import Direction, Measurement, Metric, Status
from nascore.seeding import isolated_random
from nascore_blocks.data.splits import Joined, as_split
from nascore_blocks.proxies import Reduction, divided
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import Outcome, evaluate, train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from nascore.contracts import Context, SearchSpace, Splits, Task
    from nascore.records import Architecture, Candidate
    from nascore_blocks.data.splits import Split
    from nascore_blocks.training import Checkpoint, Report

WEIGHTS = "weights.safetensors"


def _bare(network: torch.nn.Module) -> torch.nn.Module:
    return network


@dataclass(frozen=True)
class Lesson:
    """What a candidate is trained for.

    Attributes:
        task: that its network is built for.
        train: to learn from.
        valid: to be judged on.
        dress: network -> what is trained in its place, its weights being those of the network.
    """

    task: Task
    train: Split
    valid: Split
    dress: Callable[[torch.nn.Module], torch.nn.Module] = _bare


class Train(Evaluator):
    """Train each candidate from scratch and validate it.

    A candidate's fidelity may override ``epochs``, ``data_fraction``, ``resolution``, ``channels`` and ``cells``.
    The last three make a smaller network or task than the one that is searched for: such weights are not kept, and
    ``retrain`` ignores them.

    Args:
        epochs: passes over the training split.
        batch_size: examples a step, >= 2.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: at the start.
        weight_decay: on all parameters.
        momentum: of ``sgd``, in [0, 1).
        schedule: ``cosine`` (to 0, step by step) or ``constant``.
        clip: largest norm of the gradient; 0 clips nothing.
        label_smoothing: in [0, 1).
        drop_path: probability in the last epoch, growing linearly from 0, in [0, 1).
        drop_path_by_depth: ScheduledDropPath: the probability also grows with the depth of a cell, and step by step.
        auxiliary_weight: of the auxiliary head's loss, where the network has one.
        patience: epochs without a better accuracy after which training stops and goes back to the
            best epoch; 0 trains to the end.
        data_fraction: share of the training split that is used, in (0, 1].
        flip: mirror images at random, left to right; like ``crop`` and ``cutout``, for images only.
        crop: shift images at random by up to this many pixels.
        cutout: side in pixels of a random square set to 0; 0 for none.
        autoaugment: a policy for colour images kept as bytes: ``trivial``, ``rand``, ``cifar10``, ``imagenet`` or
            ``svhn``; empty for none.
        ema: decay of the average of the weights that is validated and kept, in [0, 1); 0 keeps the last weights.
        mixed_precision: half precision on CUDA devices.
        save_weights: keep the trained weights in the trial's folder.
        resolution: a proxy: average the images down to this height and width in pixels; 0 leaves them.
        channels: a proxy: the option ``channels`` of the space, smaller than it is there; 0 leaves it.
        cells: a proxy: the option ``cells`` of the space, smaller than it is there; 0 leaves it.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module", "labels"})
    provides: ClassVar[frozenset[str]] = frozenset({"curve", "retrain"})
    objectives: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("", Direction.MAXIMIZE),
        "loss": Metric("nats", Direction.MINIMIZE),
    }
    artifact: ClassVar[str] = "weights"
    """Name of the trained weights among a trial's artifacts."""

    def __init__(
        self,
        epochs: int = 8,
        batch_size: int = 64,
        optimizer: str = "adamw",
        learning_rate: float = 0.01,
        weight_decay: float = 3e-4,
        momentum: float = 0.9,
        schedule: str = "cosine",
        clip: float = 5.0,
        label_smoothing: float = 0.0,
        drop_path: float = 0.0,
        drop_path_by_depth: bool = False,
        auxiliary_weight: float = 0.0,
        patience: int = 0,
        data_fraction: float = 1.0,
        flip: bool = False,
        crop: int = 0,
        cutout: int = 0,
        autoaugment: str = "",
        ema: float = 0.0,
        mixed_precision: bool = False,
        save_weights: bool = True,
        resolution: int = 0,
        channels: int = 0,
        cells: int = 0,
    ) -> None:
        self.recipe = Recipe(
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            schedule=schedule,
            clip=clip,
            label_smoothing=label_smoothing,
            drop_path=drop_path,
            drop_path_by_depth=drop_path_by_depth,
            auxiliary_weight=auxiliary_weight,
            patience=patience,
            data_fraction=data_fraction,
            flip=flip,
            crop=crop,
            cutout=cutout,
            autoaugment=autoaugment,
            ema=ema,
            mixed_precision=mixed_precision,
        )
        self.save_weights = save_weights
        self.reduction = Reduction(resolution, channels, cells)

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Evaluator.setup`.

        Raises:
            SettingsError: the recipe changes images, and the data has none.
        """
        super().setup(space, data)
        check_augmentation(self.recipe, data.task)

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Build, train on ``train``, validate on ``valid`` after every epoch; see :meth:`Evaluator.evaluate`.

        Raises:
            SettingsError: the candidate's fidelity names something else, or a bad value.
            TrainingError: the loss is not finite, or the network does not fit the data.
        """
        of_recipe, of_reduction = divided(candidate.fidelity)
        recipe, reduction = self.recipe.at(of_recipe), self.reduction.at(of_reduction)
        splits = self.read(context.data.train), self.read(context.data.valid)
        task, (train_split, valid_split) = reduction.data(context.task, *splits)
        lesson = self.lesson(task, train_split, valid_split, context.seed)
        network = reduction.space(self.space, candidate.architecture).build(candidate.architecture, lesson.task)
        outcome = train(
            lesson.dress(network),
            lesson.train,
            recipe,
            seed=context.seed,
            device=context.device,
            valid=lesson.valid,
            report=lambda epoch, metrics: context.report(epoch, **metrics),
        )
        artifacts = {}
        if self.save_weights and not outcome.pruned and not reduction:
            artifacts[self.artifact] = f"{self.artifact}.safetensors"
            save_file(weights(network), context.folder() / artifacts[self.artifact])
        return Measurement(
            Status.PRUNED if outcome.pruned else Status.COMPLETE,
            objectives={name: outcome.metrics[name] for name in self.objectives},
            metrics=_numbers(outcome) | of_text(context.task, outcome.metrics["loss"]),
            artifacts=artifacts,
            reason=f"stopped after epoch {outcome.epochs} of {recipe.epochs}" if outcome.pruned else "",
        )

    def read(self, data: Any) -> Split:
        """A split of the data set as it is learnt from; another kind of evaluator may hide the labels."""
        return as_split(data)

    def lesson(self, task: Task, train: Split, valid: Split, seed: int) -> Lesson:
        """What candidates are trained for: here, the task itself.

        Args:
            task: of the search, its images as small as a proxy makes them.
            train: to learn from, as :meth:`read`.
            valid: to be judged on, as :meth:`read`.
            seed: of the trial.
        """
        return Lesson(task, train, valid)

    def retrain(
        self,
        architecture: Architecture,
        splits: Splits,
        *,
        seed: int,
        device: str = "cpu",
        report: Report | None = None,
        checkpoint: Checkpoint | None = None,
        **changes: Any,
    ) -> tuple[Measurement, dict[str, torch.Tensor]]:
        """Train on ``train`` and ``valid`` together, then test, once.

        Args:
            architecture: of the space that :meth:`setup` was given.
            splits: with ``test`` unsealed.
            seed: of the weights, the order of the examples, everything.
            device: where.
            report: called as ``report(epoch, {"train_loss": ...})``; False stops the training, and
                the test is made all the same.
            checkpoint: keeps the state between epochs; see :func:`nascore_blocks.training.train`.
            changes: settings of the recipe instead of those of the search, such as ``epochs=100, flip=True``;
                the schedule spans the epochs that result.

        Returns:
            A measurement with the objectives ``test_accuracy`` (in [0, 1]) and ``test_loss`` (nats),
            and the weights by name, on the CPU.

        Raises:
            SettingsError: a change that the recipe does not have, or that is not allowed.
        """
        recipe = self.recipe.changed(changes)
        check_augmentation(recipe, splits.task)
        data = Joined(as_split(splits.train), as_split(splits.valid))
        with isolated_random(seed):
            network = self.space.build(architecture, splits.task)
            outcome = train(network, data, recipe, seed=seed, device=device, report=report, checkpoint=checkpoint)
            accuracy, loss = evaluate(network, as_split(splits.test), device=device, batch_size=4 * recipe.batch_size)
        objectives = {"test_accuracy": accuracy, "test_loss": loss}
        metrics = _numbers(outcome) | of_text(splits.task, loss, "test_")
        return Measurement(Status.COMPLETE, objectives, metrics=metrics), weights(network)


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of ``network`` as safetensors takes it: contiguous, on the CPU, nothing shared."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in network.state_dict().items()}


def of_text(task: Task, loss: float, prefix: str = "") -> dict[str, float]:
    """Perplexity of a token and bits a character, where the task is language modelling; else nothing.

    Args:
        task: of the search.
        loss: mean cross entropy of a token (nats).
        prefix: of the names.
    """
    if task.kind != "language-modelling":
        return {}
    perplexity = math.exp(loss) if loss < 700 else math.inf  # more than a float can hold
    return {f"{prefix}perplexity": perplexity, f"{prefix}bits_per_character": loss / math.log(2)}


def check_augmentation(recipe: Recipe, task: Task) -> None:
    """Refuse to mirror, shift or cut what is no image.

    Raises:
        SettingsError: names the task.
    """
    if recipe.augments and task.kind == "language-modelling":
        raise SettingsError(
            f"flip, crop, cutout and autoaugment change images; {task.name!r} has tokens. Leave them out."
        )


def _numbers(outcome: Outcome) -> dict[str, float]:
    return {
        "train_loss": outcome.metrics["train_loss"],
        "epochs": outcome.epochs,
        "samples": outcome.samples,
        "train_seconds": outcome.seconds,
    }
