"""The space and the data that the kit checks parts on, where a part does not bring its own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar

from nascore.contracts import Dataset, Evaluator, Splits, Task
from nascore.decisions import DecisionSpace
from nascore.records import Direction, Measurement, Metric
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Choose, Context
    from nascore.records import Architecture, Candidate

TASK = Task("toy", (3, 8, 8), 4, fingerprint="toy")


class ToySpace(DecisionSpace):
    """Small convolutional networks; some decisions appear only after others. 1,197 architectures."""

    name = "toy"

    def decide(self, choose: Choose) -> tuple[int, list[tuple[str, int]]]:
        """A width, a depth, and an op and a kernel size per layer (an identity has no kernel)."""
        width = choose("width", [4, 8, 12])
        layers = []
        for index in range(choose("depth", [1, 2, 3])):
            op = choose(f"op.{index}", ["conv", "depthwise", "identity"])
            kernel = choose(f"kernel.{index}", [1, 3, 5]) if op != "identity" else 0
            layers.append((op, kernel))
        return width, layers

    def build(self, architecture: Architecture, task: Task) -> Any:
        """A ``torch.nn.Module``: (batch, channels, height, width) -> (batch, classes)."""
        from torch import nn

        width, layers = self.structure(architecture)
        modules: list[nn.Module] = [nn.Conv2d(task.channels, width, 1)]
        for op, kernel in layers:
            if op != "identity":
                groups = width if op == "depthwise" else 1
                modules += [nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=groups), nn.ReLU()]
        return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, task.classes))


def toy_data(examples: int = 48) -> Splits:
    """Images of noise whose class shows as a brighter stripe; the same ones every time.

    Args:
        examples: in each split; inputs are float32 of shape (3, 8, 8), labels int64 in [0, 4).
    """
    import torch
    from torch.utils.data import TensorDataset

    generator = torch.Generator().manual_seed(0)

    def split() -> TensorDataset:
        labels = torch.arange(examples) % TASK.classes
        inputs = torch.randn(examples, *TASK.shape, generator=generator)
        inputs[torch.arange(examples), :, 2 * labels] += 3
        return TensorDataset(inputs, labels)

    return Splits(TASK, split(), split(), split())


class ToyData(Dataset):
    """:func:`toy_data` as a data set."""

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def load(self, seed: int) -> Splits:
        """The same splits, whatever the seed."""
        return toy_data()


class ToyEvaluator(Evaluator):
    """An accuracy in [0, 1) that depends on the architecture alone; the last of each five trials fails."""

    objectives: ClassVar[Mapping[str, Metric]] = {"accuracy": Metric("", Direction.MAXIMIZE)}

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Judge at once.

        Raises:
            RuntimeError: the number of the trial is 4, 9, 14, ...
        """
        if context.number % 5 == 4:
            raise RuntimeError("out of memory")
        return Measurement.complete(accuracy=random.Random(derive_seed(0, candidate.architecture.key)).random())
