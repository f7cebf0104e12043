"""The space and the data that the kit checks parts on, where a part does not bring its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore.contracts import Splits, Task
from nascore.decisions import DecisionSpace

if TYPE_CHECKING:
    from nascore.contracts import Choose
    from nascore.records import Architecture

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
