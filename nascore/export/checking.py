"""What every format needs: an example input, evaluation mode for a while, and a comparison of outputs."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from nascore.export import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor, nn

    from nascore.contracts import Task

RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""How far an exported network may be from the original (float32 rounding in another order of the same sums)."""


def example_batch(network: nn.Module, task: Task, example: Tensor | None, size: int) -> Tensor:
    """A batch that the network accepts, on the network's device and in its precision.

    Args:
        network: gives device and floating-point type.
        task: gives the shape; a ``language-modelling`` task has inputs of token numbers.
        example: a batch that is used instead, repeated or cut to ``size``.
        size: number of inputs in the batch, >= 1.

    Returns:
        A tensor of shape (size, *shape of one input).
    """
    first = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    if example is not None:
        if example.dim() == 0 or len(example) == 0:
            raise ExportError(f"The example must be a batch of inputs; got the shape {tuple(example.shape)}.")
        return example.to(first.device)[torch.arange(size) % len(example)]
    draw = torch.Generator().manual_seed(size)  # of its own: the caller's random state stays as it is
    shape = (size, *task.shape)
    if task.kind == "language-modelling":
        return torch.randint(max(task.classes, 1), shape, generator=draw).to(first.device)
    return torch.randn(shape, generator=draw).to(first.device, first.dtype)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; each module's own mode comes back after."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def run(network: Callable[[Tensor], Any], batch: Tensor, what: str) -> Any:
    """The outputs for a copy of a batch.

    Raises:
        ExportError: ``what`` fails; says on which inputs, and how.
    """
    try:
        return network(batch.clone())
    except Exception as error:  # a stranger's forward pass can fail in any way
        shape = tuple(batch.shape)
        raise ExportError(
            f"{what} fails on inputs of shape {shape}: {type(error).__name__}: {error}. "
            "If its inputs look otherwise, give an example of them."
        ) from error


def publish(draft: Path, path: Path) -> None:
    """Give a finished file its place: complete, or not at all.

    Raises:
        ExportError: the folder cannot be written to, or the disk is full.
    """
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(draft, beside)
        beside.replace(path)
    except OSError as error:
        raise ExportError(f"Cannot write {path}: {error.strerror or error}.") from error


def difference(expected: Any, actual: Any, *, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> str:
    """Say how two outputs (tensors, or tuples, lists and dicts of them) differ; empty when they agree.

    Args:
        expected, actual: the outputs.
        relative, absolute: tolerances, as of ``torch.allclose``.
    """
    within = {"relative": relative, "absolute": absolute}
    if isinstance(expected, torch.Tensor):
        if not isinstance(actual, torch.Tensor) or expected.shape != actual.shape:
            return f"expected a tensor of shape {tuple(expected.shape)}, got {_kind(actual)}"
        wanted, got = expected.double().cpu(), actual.double().cpu()
        if torch.allclose(got, wanted, rtol=relative, atol=absolute, equal_nan=True):
            return ""
        return f"the outputs differ by up to {(got - wanted).abs().max().item():.3g}"
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or expected.keys() != actual.keys():
            return f"expected the keys {sorted(expected)}, got {_kind(actual)}"
        return next((found for key in expected if (found := difference(expected[key], actual[key], **within))), "")
    if isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple) or len(actual) != len(expected):
            return f"expected {len(expected)} outputs, got {_kind(actual)}"
        return next(
            (found for pair in zip(expected, actual, strict=True) if (found := difference(*pair, **within))), ""
        )
    return "" if expected == actual else f"expected {expected!r}, got {actual!r}"


def _kind(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(type(value).__name__)
