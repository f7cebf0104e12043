"""A user's own data: arrays, or a function that returns them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor

from nascore.contracts import Dataset, Splits
from nascore.errors import DataError
from nascore.plugins import resolve
from nascore_blocks.data.splits import as_split, check_fractions, fingerprint, stratified_split, tensor_splits


class UserData(Dataset):
    """A user's own images and labels.

    ``source`` is ``package.module:function`` (or ``file.py:function``), the function itself, or
    what it would return: ``(inputs, labels)``, three such pairs for train, valid and test, or a
    ready :class:`~nascore.contracts.Splits`. The function may take the seed of the split.

    Inputs are numpy arrays or torch tensors, (examples, channels, height, width) or (examples,
    height, width), of bytes or of floats; they are normalised by the training split. Labels are
    the whole numbers 0..classes-1.

    Args:
        source: what to load.
        valid: fraction that architectures are chosen on, where one pair is given.
        test: fraction that ``retrain`` tests on, where one pair is given.

    Example:
        >>> def my_data():
        ...     images = numpy.load("images.npy")
        ...     return images, numpy.load("labels.npy")
    """

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(self, source: Any, valid: float = 0.2, test: float = 0.2) -> None:
        check_fractions([valid, test])
        self.source, self.valid, self.test = source, valid, test

    def load(self, seed: int) -> Splits:
        """Get the data, check it, split it; see :meth:`Dataset.load`."""
        name = self.source if isinstance(self.source, str) else getattr(self.source, "__name__", "arrays")
        data = resolve(self.source) if isinstance(self.source, str) else self.source
        if callable(data):
            data = data(seed) if inspect.signature(data).parameters else data()
        if isinstance(data, Splits):
            return _ready(data)
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise DataError(
                f"{name} gives {type(data).__name__}; it must give (inputs, labels), "
                "((inputs, labels), (inputs, labels), (inputs, labels)) for train, valid and test, or a nascore Splits."
            )
        if len(data) == 3:
            return _given(name, data)
        inputs, labels = _checked(name, data)
        parts = stratified_split(labels, [self.valid, self.test], seed)
        _check_classes(f"{name}, labels", labels, int(labels.max()) + 1)
        pairs = [(inputs[part], labels[part]) for part in parts]
        return tensor_splits(name, pairs[0], pairs[1], pairs[2], classes=int(labels.max()) + 1)


def from_arrays(inputs: Any, labels: Any, *, seed: int = 0, valid: float = 0.2, test: float = 0.2) -> Splits:
    """Splits of arrays in memory; see :class:`UserData`.

    Args:
        inputs: images.
        labels: whole numbers 0..classes-1.
        seed: of the split.
        valid: fraction that architectures are chosen on.
        test: fraction that ``retrain`` tests on.

    Raises:
        DataError: the arrays cannot be used as they are.
    """
    return UserData((inputs, labels), valid, test).load(seed)


def _given(name: str, data: Any) -> Splits:
    pairs = [_checked(f"{name}, {part}", pair) for part, pair in zip(("train", "valid", "test"), data, strict=True)]
    classes = int(pairs[0][1].max()) + 1
    _check_classes(f"{name}, train labels", pairs[0][1], classes)
    first = pairs[0][0]
    for part, (inputs, labels) in zip(("valid", "test"), pairs[1:], strict=True):
        if inputs.shape[1:] != first.shape[1:] or inputs.dtype != first.dtype:
            raise DataError(
                f"{name}: inputs of {part} are {tuple(inputs.shape[1:])} {inputs.dtype}, "
                f"those of train {tuple(first.shape[1:])} {first.dtype}; they must be alike."
            )
        if int(labels.max()) >= classes:
            raise DataError(f"{name}: {part} has the label {int(labels.max())}, train has 0..{classes - 1} only.")
    return tensor_splits(name, pairs[0], pairs[1], pairs[2], classes)


def _ready(splits: Splits) -> Splits:
    """Splits that a user made: complete the fingerprint, and make every split give batches."""
    named = {part: getattr(splits, part) for part in ("train", "valid", "test")}
    made: dict[str, Any] = {part: None if data is None else as_split(data) for part, data in named.items()}
    train = made["train"]
    if train is None or made["valid"] is None or not len(train) or not len(made["valid"]):
        raise DataError("Splits need examples to train and to validate on; train or valid is empty.")
    shape = tuple(train[0][0].shape)
    if shape != tuple(splits.task.shape):
        raise DataError(f"The task says that inputs are {tuple(splits.task.shape)}; those of train are {shape}.")
    task = splits.task
    if not task.fingerprint:
        # The labels stand for the data: to read every input of a lazy data set may take hours.
        mark = fingerprint(task.name, *(data.labels for data in made.values() if data is not None))
        task = dataclasses.replace(task, fingerprint=mark)
    return dataclasses.replace(splits, task=task, **made)


def _checked(name: str, pair: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{name}: expected the pair (inputs, labels), got {type(pair).__name__}.")
    inputs, labels = _inputs(name, pair[0]), _labels(name, pair[1])
    if len(inputs) != len(labels):
        raise DataError(f"{name}: {len(inputs)} inputs, but {len(labels)} labels.")
    return inputs, labels


def _inputs(name: str, given: Any) -> Tensor:
    inputs = _tensor(f"{name}, inputs", given)
    if inputs.ndim == 3:
        inputs = inputs.unsqueeze(1)
    if inputs.ndim != 4 or 0 in inputs.shape:
        raise DataError(
            f"{name}: inputs have the shape {tuple(inputs.shape)}; images are (examples, channels, height, width) "
            "or (examples, height, width), none of them 0."
        )
    if inputs.shape[3] in (1, 3, 4) and inputs.shape[1] not in (1, 3, 4):
        raise DataError(
            f"{name}: inputs have the shape {tuple(inputs.shape)}, which looks like (examples, height, width, "
            "channels); channels come second: inputs.transpose(0, 3, 1, 2) in numpy, .permute(0, 3, 1, 2) in torch."
        )
    if inputs.dtype == torch.uint8:
        return inputs
    inputs = inputs.float()
    broken = (~torch.isfinite(inputs)).flatten(1).any(1).nonzero().flatten()
    if len(broken):
        raise DataError(f"{name}: {len(broken)} input(s) hold NaN or infinity, the first is number {int(broken[0])}.")
    return inputs


def _labels(name: str, given: Any) -> Tensor:
    labels = _tensor(f"{name}, labels", given)
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool or labels.is_complex():
        raise DataError(
            f"{name}: labels are {labels.dtype} of the shape {tuple(labels.shape)}; they must be whole numbers of the "
            "shape (examples,). numpy.unique(labels, return_inverse=True)[1] makes such of anything."
        )
    labels = labels.long()
    if labels.numel() and int(labels.min()) < 0:
        raise DataError(f"{name}: there is the label {int(labels.min())}; labels are 0..classes-1.")
    return labels


def _check_classes(name: str, labels: Tensor, classes: int) -> None:
    absent = sorted(set(range(classes)) - set(torch.unique(labels).tolist()))
    if absent:
        raise DataError(
            f"{name}: the largest is {classes - 1}, but {absent[0]} is absent; they must be 0..classes-1 without gaps. "
            "numpy.unique(labels, return_inverse=True)[1] closes them."
        )
    if classes < 2:
        raise DataError(f"{name}: there is one class only; a network has nothing to tell apart.")


def _tensor(name: str, given: Any) -> Tensor:
    try:
        return torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name}: cannot be read as numbers ({error}).") from error
