"""The black-box evaluator: train the candidate from scratch, then validate it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from safetensors.torch import save_file

from nascore.contracts import Evaluator
from nascore.errors import SettingsError
from nascore.records import Direction, Measurement, Metric, Status
from nascore.seeding import isolated_random
from nascore_blocks.data.splits import Joined, as_split
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import Outcome, evaluate, train

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from nascore.contracts import Context, SearchSpace, Splits, Task
    from nascore.records import Architecture, Candidate
    from nascore_blocks.training import Report

WEIGHTS = "weights.safetensors"


class Train(Evaluator):
    """Train each candidate from scratch and validate it.

    A candidate's fidelity may override ``epochs`` and ``data_fraction``.

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
        mixed_precision: half precision on CUDA devices.
        save_weights: keep the trained weights in the trial's folder.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module", "labels"})
    provides: ClassVar[frozenset[str]] = frozenset({"curve", "retrain"})
    objectives: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("", Direction.MAXIMIZE),
        "loss": Metric("nats", Direction.MINIMIZE),
    }

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
        mixed_precision: bool = False,
        save_weights: bool = True,
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
            mixed_precision=mixed_precision,
        )
        self.save_weights = save_weights

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
        recipe = self.recipe.at(candidate.fidelity)
        network = self.space.build(candidate.architecture, context.task)
        outcome = train(
            network,
            as_split(context.data.train),
            recipe,
            seed=context.seed,
            device=context.device,
            valid=as_split(context.data.valid),
            report=lambda epoch, metrics: context.report(epoch, **metrics),
        )
        artifacts = {}
        if self.save_weights and not outcome.pruned:
            save_file(weights(network), context.folder() / WEIGHTS)
            artifacts["weights"] = WEIGHTS
        return Measurement(
            Status.PRUNED if outcome.pruned else Status.COMPLETE,
            objectives={name: outcome.metrics[name] for name in self.objectives},
            metrics=_numbers(outcome) | of_text(context.task, outcome.metrics["loss"]),
            artifacts=artifacts,
            reason=f"stopped after epoch {outcome.epochs} of {recipe.epochs}" if outcome.pruned else "",
        )

    def retrain(
        self,
        architecture: Architecture,
        splits: Splits,
        *,
        seed: int,
        device: str = "cpu",
        epochs: int | None = None,
        report: Report | None = None,
    ) -> tuple[Measurement, dict[str, torch.Tensor]]:
        """Train on ``train`` and ``valid`` together, then test, once.

        Args:
            architecture: of the space that :meth:`setup` was given.
            splits: with ``test`` unsealed.
            seed: of the weights, the order of the examples, everything.
            device: where.
            epochs: instead of the setting; the schedule spans them.
            report: called as ``report(epoch, {"train_loss": ...})``; False stops the training, and
                the test is made all the same.

        Returns:
            A measurement with the objectives ``test_accuracy`` (in [0, 1]) and ``test_loss`` (nats),
            and the weights by name, on the CPU.
        """
        recipe = self.recipe if epochs is None else self.recipe.at({"epochs": epochs})
        data = Joined(as_split(splits.train), as_split(splits.valid))
        with isolated_random(seed):
            network = self.space.build(architecture, splits.task)
            outcome = train(network, data, recipe, seed=seed, device=device, report=report)
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
        raise SettingsError(f"flip, crop and cutout change images; {task.name!r} has tokens. Leave them at 0.")


def _numbers(outcome: Outcome) -> dict[str, float]:
    return {
        "train_loss": outcome.metrics["train_loss"],
        "epochs": outcome.epochs,
        "samples": outcome.samples,
        "train_seconds": outcome.seconds,
    }
