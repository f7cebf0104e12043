"""Splits that give whole batches by index, so that a training loop needs no DataLoader.

A DataLoader collates one example after the other; on 8x8 images that costs more than the network.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from nascore.contracts import Splits, Task
from nascore.errors import DataError, SettingsError
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pair = tuple[Tensor, Tensor]


class Split(TorchDataset[tuple[Tensor, Tensor]], ABC):
    """A ``torch.utils.data.Dataset`` of (input, label) that also gives whole batches.

    Attributes:
        labels: (examples,) int64, or (examples, time) where each input is a sequence; on the device of the split.
    """

    labels: Tensor

    @abstractmethod
    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at ``indices`` (batch,) int64: inputs (batch, *shape), float32 or tokens int64, and labels."""

    def to(self, device: torch.device | str) -> Split:
        """The same split on ``device`` where it is held in memory; itself where it is read from disk."""
        return self

    def __len__(self) -> int:
        return self.labels.shape[0]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, labels = self.batch(torch.tensor([index], device=self.labels.device))
        return inputs[0], labels[0]


class TensorSplit(Split):
    """A split held in memory.

    ``uint8`` inputs stay so, a quarter of the memory, and become ``input * scale + shift`` when
    read; float32 inputs are taken to be normalised already, and tokens stay what they are.
    """

    def __init__(self, stored: Tensor, labels: Tensor, scale: Tensor | None = None, shift: Tensor | None = None):
        """Hold the tensors.

        Args:
            stored: (examples, channels, height, width), float32 or uint8; or tokens (examples, time), int64.
            labels: (examples,) int64, or (examples, time).
            scale: (channels, 1, 1) float32; needed for uint8, None for others.
            shift: of the same shape.
        """
        self.stored, self.labels, self.scale, self.shift = stored, labels, scale, shift

    @property
    def inputs(self) -> Tensor:
        """All inputs, float32 and normalised: (examples, channels, height, width)."""
        return self._normalised(self.stored)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        return self._normalised(self.stored[indices]), self.labels[indices]

    def to(self, device: torch.device | str) -> TensorSplit:
        """See :meth:`Split.to`."""
        scale, shift = (None if t is None else t.to(device) for t in (self.scale, self.shift))
        return TensorSplit(self.stored.to(device), self.labels.to(device), scale, shift)

    def _normalised(self, stored: Tensor) -> Tensor:
        if self.scale is None or self.shift is None:
            return stored
        return torch.addcmul(self.shift, stored.float(), self.scale)


class Subset(Split):
    """Some examples of another split, in the given order."""

    def __init__(self, base: Split, indices: Tensor) -> None:
        """Choose the examples of ``base`` at ``indices``: (examples,) int64."""
        self.base, self.indices = base, indices.to(base.labels.device)
        self.labels = base.labels[self.indices]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        return self.base.batch(self.indices[indices])

    def to(self, device: torch.device | str) -> Subset:
        """See :meth:`Split.to`."""
        return Subset(self.base.to(device), self.indices)


class Joined(Split):
    """Two splits, one after the other."""

    def __init__(self, first: Split, second: Split) -> None:
        """Put ``second`` behind ``first``."""
        self.first, self.second = first, second
        self.labels = torch.cat([first.labels, second.labels])

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`; the examples of the first split come first in the batch."""
        ahead = indices < len(self.first)
        one, two = indices[ahead], indices[~ahead] - len(self.first)
        pairs = [split.batch(part) for split, part in ((self.first, one), (self.second, two)) if part.numel()]
        return torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])

    def to(self, device: torch.device | str) -> Joined:
        """See :meth:`Split.to`."""
        return Joined(self.first.to(device), self.second.to(device))


class Mapped(Split):
    """Any map-style ``torch.utils.data.Dataset`` of (input, label), read one example after the other."""

    def __init__(self, dataset: Any) -> None:
        """Wrap ``dataset``; reads it once for the labels.

        Raises:
            DataError: it has no length, or its items are not pairs.
        """
        try:
            self.labels = torch.tensor([int(dataset[index][1]) for index in range(len(dataset))])
        except TypeError as error:
            raise DataError(
                f"A split is a torch.utils.data.Dataset with a length and items (input, label); got {dataset!r}."
            ) from error
        self.dataset = dataset

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        inputs = torch.stack([torch.as_tensor(self.dataset[int(index)][0]) for index in indices])
        return inputs.float(), self.labels[indices]


def as_split(data: Any) -> Split:
    """What a :class:`~nascore.contracts.Splits` holds, as a :class:`Split`."""
    return data if isinstance(data, Split) else Mapped(data)


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse fractions that :func:`stratified_split` cannot cut out.

    Raises:
        SettingsError: one is not in (0, 1), or nothing would remain.
    """
    if any(not 0 < fraction < 1 for fraction in fractions) or sum(fractions) >= 1:
        raise SettingsError(
            f"Fractions of a split (valid, test) lie between 0 and 1, together below 1; got {list(fractions)}."
        )


def stratified_split(labels: Tensor, fractions: Sequence[float], seed: int) -> list[Tensor]:
    """Cut parts out, each with its share of every class and at least one example of each.

    Args:
        labels: (examples,) int64.
        fractions: of the parts to cut out, each in (0, 1), together below 1.
        seed: the same seed gives the same parts.

    Returns:
        Sorted indices: first those that remain, then each part.

    Raises:
        SettingsError: the fractions are not allowed.
        DataError: a class has too few examples to be in every part.
    """
    check_fractions(fractions)
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    parts: list[list[Tensor]] = [[] for _ in range(len(fractions) + 1)]
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        if len(members) <= len(fractions):
            raise DataError(
                f"Class {label} has {len(members)} example(s); to be split in {len(parts)} parts "
                f"it needs at least {len(parts)}."
            )
        for index, fraction in enumerate(fractions):
            most = len(members) - (len(fractions) - index)  # one for each part still to come, and one to remain
            count = min(max(1, round(fraction * int((labels == label).sum()))), most)
            parts[index + 1].append(members[:count])
            members = members[count:]
        parts[0].append(members)
    return [torch.cat(part).sort().values for part in parts]


def nested_subset(labels: Tensor, fraction: float, seed: int = 0) -> Tensor:
    """Indices of a share of every class, at least one of each; a smaller fraction gives a part of a larger.

    Args:
        labels: (examples,) int64; or (examples, time), then all examples are one class.
        fraction: in (0, 1].
        seed: of the order in which examples come in.

    Returns:
        Sorted indices, (examples,) int64, on the CPU.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "subset"))
    chosen = []
    labels = labels.cpu() if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    for label in torch.unique(labels).tolist():
        members = (labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        chosen.append(members[order[: max(1, round(fraction * len(members)))]])
    return torch.cat(chosen).sort().values


class Moments:
    """Mean and standard deviation of each channel, of images that come in piece by piece."""

    def __init__(self, channels: int) -> None:
        """Start with no image of ``channels`` channels."""
        self._sum = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros(channels, dtype=torch.float64)
        self._count = 0

    def add(self, images: Tensor) -> None:
        """Take in (examples, channels, height, width), float, or uint8 (taken as fractions of 255)."""
        values = images.double() / 255 if images.dtype == torch.uint8 else images.double()
        self._sum += values.sum(dim=(0, 2, 3))
        self._squares += values.square().sum(dim=(0, 2, 3))
        self._count += values.numel() // values.shape[1]

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Two (channels, 1, 1) float32 tensors: ``value * scale + shift`` has mean 0 and deviation 1.

        A constant channel is only moved to 0.
        """
        mean = self._sum / self._count
        std = (self._squares / self._count - mean.square()).clamp_min(0).sqrt()
        std = torch.where(std > 1e-6, std, torch.ones_like(std))
        return (1 / std).float().reshape(-1, 1, 1), (-mean / std).float().reshape(-1, 1, 1)


def normalisation(scale: Tensor, shift: Tensor) -> dict[str, list[float]]:
    """What makes a raw value an input, ``value * scale + shift``, a number a channel, for :class:`Splits`."""
    return {"scale": scale.flatten().tolist(), "shift": shift.flatten().tolist()}


def fingerprint(*parts: Tensor | str) -> str:
    """Digest of tensors (values, type and shape) and words, as 32 hexadecimal digits."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            state.update(part.encode())
            continue
        state.update(f"{part.dtype}{tuple(part.shape)}".encode())
        state.update(part.cpu().contiguous().numpy().data)
    return state.hexdigest()


def tensor_splits(name: str, train: Pair, valid: Pair, test: Pair, classes: int) -> Splits:
    """Splits held in memory, normalised to mean 0 and deviation 1 of each channel of ``train``.

    Args:
        name: of the data set.
        train: inputs (examples, channels, height, width), float32 or uint8; and labels (examples,) int64.
        valid: the same, of the same type.
        test: the same, of the same type.
        classes: number of classes.
    """
    pairs = (train, valid, test)
    moments = Moments(train[0].shape[1])
    for chunk in torch.split(train[0], 4096):  # all of them in float64 at once would take eight times the memory
        moments.add(chunk)
    scale, shift = moments.scale_and_shift()
    if train[0].dtype == torch.uint8:
        scale = scale / 255
        splits = [TensorSplit(inputs, labels, scale, shift) for inputs, labels in pairs]
    else:
        splits = [TensorSplit(torch.addcmul(shift, inputs, scale), labels) for inputs, labels in pairs]
    mark = fingerprint(name, *(tensor for pair in pairs for tensor in pair))
    task = Task(name, tuple(train[0].shape[1:]), classes, fingerprint=mark)
    return Splits(task, *splits, preprocessing=normalisation(scale, shift))
