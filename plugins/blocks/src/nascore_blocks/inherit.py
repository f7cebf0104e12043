"""Training that goes on from the weights of a parent network (Cai et al. 2018a, arXiv:1707.04873, section 3)."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors.torch import load_file

from nascore.errors import RunError, SettingsError
from nascore.seeding import derive_seed
from nascore_blocks.evaluators import WEIGHTS, Train

if TYPE_CHECKING:
    from torch import Tensor

    from nascore.contracts import Context, SearchSpace, Task
    from nascore.records import Architecture, Candidate, Measurement


ARCHITECTURE = "architecture.json"
"""Beside the weights of a trial: whose weights they are."""


class Inherit(Train):
    """Train each candidate on from its parent's weights, transformed by the space, and validate it.

    The space turns the parent's weights into the child's, so that both compute the same (its ``morph``; but for
    the noise that the space is set to). A candidate without a parent is trained from scratch. The parent's weights are
    read from its folder and never written to; the child's are kept in its own. So trials must keep their weights: set
    ``keep = "all"`` in the search, as the presets do, or those of a parent that is not the best are deleted.
    """

    requires: ClassVar[frozenset[str]] = Train.requires | {"morphs"}
    provides: ClassVar[frozenset[str]] = Train.provides | {"inherits"}

    def __init__(
        self,
        epochs: int = 3,
        scratch_epochs: int = 0,
        batch_size: int = 64,
        optimizer: str = "adamw",
        learning_rate: float = 0.01,
        weight_decay: float = 3e-4,
        momentum: float = 0.9,
        schedule: str = "cosine",
        clip: float = 5.0,
        label_smoothing: float = 0.0,
        data_fraction: float = 1.0,
        flip: bool = False,
        crop: int = 0,
        cutout: int = 0,
        mixed_precision: bool = False,
    ) -> None:
        """
        Args:
            epochs: passes over the training split, of a child.
            scratch_epochs: of a network without parent; 0: as many as ``epochs``.
            batch_size, optimizer, learning_rate, weight_decay, momentum, schedule, clip, label_smoothing,
                data_fraction, flip, crop, cutout, mixed_precision: see :class:`nascore_blocks.evaluators.Train`.

        Raises:
            SettingsError: a value that is not allowed.
        """
        super().__init__(
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            schedule=schedule,
            clip=clip,
            label_smoothing=label_smoothing,
            data_fraction=data_fraction,
            flip=flip,
            crop=crop,
            cutout=cutout,
            mixed_precision=mixed_precision,
        )
        if scratch_epochs < 0:
            raise SettingsError(f"scratch_epochs is {scratch_epochs}; it must be a whole number >= 0 (0: as epochs).")
        self.scratch = self.recipe.at({"epochs": scratch_epochs}) if scratch_epochs else self.recipe

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Build, take over the parent's weights, train, validate; see :meth:`nascore.contracts.Evaluator.evaluate`.

        Raises:
            RunError: the parent's weights are not there.
            MorphError: the child cannot be made of its parent.
        """
        trainer: Any = copy.copy(self)
        if candidate.parent is None:
            trainer.recipe = self.scratch
        else:
            rng = random.Random(derive_seed(context.seed, "morph"))
            trainer.space = _Begun(self.space, self.inherited(candidate, context, rng))
        measured = Train.evaluate(trainer, candidate, context)
        if WEIGHTS not in measured.artifacts.values():
            return measured
        (context.folder() / ARCHITECTURE).write_text(json.dumps(candidate.architecture.to_json()))
        return replace(measured, artifacts={**measured.artifacts, "architecture": ARCHITECTURE})

    def inherited(self, candidate: Candidate, context: Context, rng: random.Random) -> dict[str, Tensor]:
        """The weights that a child begins with, none of them shared with its parent.

        Raises:
            RunError: the parent's weights are not there.
            MorphError: the child cannot be made of its parent.
        """
        folder = context.folder(candidate.parent)
        if not (folder / WEIGHTS).is_file() or not (folder / ARCHITECTURE).is_file():
            raise RunError(
                f"The weights of trial {candidate.parent}, the parent, are not in {folder}: they were not kept. "
                "Search with --set keep=all."
            )
        parent = self.space.load(json.loads((folder / ARCHITECTURE).read_text()))
        space: Any = self.space  # `morph` is there by capability, not by contract
        made: dict[str, Tensor] = space.morph(parent, candidate.architecture, load_file(folder / WEIGHTS), rng)
        return made


class _Begun:
    """A space whose networks begin with given weights."""

    def __init__(self, space: SearchSpace, weights: dict[str, Tensor]) -> None:
        self.space, self.weights = space, weights

    def build(self, architecture: Architecture, task: Task) -> Any:
        """The network, with the weights."""
        network = self.space.build(architecture, task)
        network.load_state_dict(self.weights)
        return network
