"""The usual image data sets, read from where they lie; downloaded only when asked."""

from __future__ import annotations

import gzip
import os
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import DataError
from nascore_blocks.data.splits import check_fractions, stratified_split, tensor_splits


class Published(Dataset):
    """A data set with an official test split; ``valid`` is cut from its training split.

    Args:
        root: the folder where it lies; by default ``NASCORE_DATA``, or ``~/.cache/nascore``.
        valid: fraction of the official training split that architectures are chosen on.
        download: fetch it with torchvision when it is not there.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    classes: ClassVar[int] = 10
    shape: ClassVar[tuple[int, int, int]]
    examples: ClassVar[int]
    """Of the official training split."""
    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(self, root: str = "", valid: float = 0.1, download: bool = False) -> None:
        check_fractions([valid])
        default = os.environ.get("NASCORE_DATA") or Path.home() / ".cache" / "nascore"
        self.root = Path(root or default).expanduser()
        self.valid, self.download = valid, download

    def load(self, seed: int) -> Splits:
        """Stratified splits held in memory as uint8; see :meth:`Dataset.load`."""
        if self.download:
            self._fetch()
        inputs, labels = self._read(train=True)
        train, valid = ((inputs[part], labels[part]) for part in stratified_split(labels, [self.valid], seed))
        return tensor_splits(self.name, train, valid, self._read(train=False), self.classes)

    def outline(self) -> tuple[Task, int]:
        """What is published of it; the number is right up to the rounding of each class."""
        return Task(self.name, self.shape, self.classes), self.examples - round(self.valid * self.examples)

    @abstractmethod
    def _read(self, train: bool) -> tuple[Tensor, Tensor]:
        """Inputs (examples, channels, height, width) uint8, and labels (examples,) int64."""

    def _fetch(self) -> None:
        from torchvision import datasets  # takes seconds to import

        try:
            getattr(datasets, self.kind)(self.root, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"Could not download {self.name} to {self.root}: {error}") from error

    def _missing(self, looked: str, why: str = "") -> DataError:
        return DataError(
            f"There is no usable {self.name} in {self.root} (looked for {looked}){': ' + why if why else ''}. "
            "Say where it lies with --data-root DIR or the environment variable NASCORE_DATA, "
            "or let it be downloaded with --set data.download=true."
        )


class MNIST(Published):
    """70,000 handwritten digits, 28x28, 10 classes (LeCun et al. 1998). See :class:`Published`.

    The four ``idx`` files, gzipped or not, may lie in ``root`` itself or in the folder that
    torchvision makes there.
    """

    name: ClassVar[str] = "mnist"
    kind: ClassVar[str] = "MNIST"
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    examples: ClassVar[int] = 60_000

    def _read(self, train: bool) -> tuple[Tensor, Tensor]:
        stem = "train" if train else "t10k"
        inputs = self._idx(f"{stem}-images-idx3-ubyte", dimensions=3)
        labels = self._idx(f"{stem}-labels-idx1-ubyte", dimensions=1)
        if len(inputs) != len(labels):
            raise DataError(f"{self.name} in {self.root} has {len(inputs)} {stem} images, but {len(labels)} labels.")
        return inputs.unsqueeze(1), labels.long()

    def _idx(self, name: str, dimensions: int) -> Tensor:
        """Read one file of the format that http://yann.lecun.com/exdb/mnist describes: big-endian header, bytes."""
        folders = [self.root, self.root / "raw", self.root / self.kind / "raw"]
        found = [p for folder in folders for p in (folder / name, folder / f"{name}.gz") if p.is_file()]
        if not found:
            raise self._missing(f"{name} or {name}.gz, there or in {self.kind}/raw")
        try:
            content = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
        except (OSError, EOFError) as error:
            raise DataError(f"{found[0]} cannot be read: {error}") from error
        start = 4 * (1 + dimensions)
        shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
        if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != start + int(np.prod(shape)):
            raise DataError(f"{found[0]} is no complete idx file of bytes in {dimensions} dimension(s).")
        return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)


class FashionMNIST(MNIST):
    """70,000 garments, 28x28, 10 classes (Xiao et al., arXiv:1708.07747). See :class:`MNIST`.

    Debian has it: ``apt-get install dataset-fashion-mnist``.
    """

    name: ClassVar[str] = "fashion-mnist"
    kind: ClassVar[str] = "FashionMNIST"


class CIFAR10(Published):
    """60,000 photographs, 3x32x32, 10 classes (Krizhevsky 2009). See :class:`Published`.

    ``root`` holds ``cifar-10-batches-py``, or is it. Its files are pickles; torchvision compares
    their MD5 sums with the published ones before it reads them.
    """

    name: ClassVar[str] = "cifar10"
    kind: ClassVar[str] = "CIFAR10"
    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    examples: ClassVar[int] = 50_000

    def _read(self, train: bool) -> tuple[Tensor, Tensor]:
        from torchvision import datasets  # takes seconds to import

        reader = getattr(datasets, self.kind)
        root = self.root.parent if self.root.name == reader.base_folder else self.root
        try:
            data = reader(root, train=train)
        except (OSError, RuntimeError) as error:
            raise self._missing(reader.base_folder, str(error)) from error
        return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)


class CIFAR100(CIFAR10):
    """60,000 photographs, 3x32x32, 100 classes (Krizhevsky 2009). See :class:`CIFAR10`.

    Its folder is called ``cifar-100-python``.
    """

    name: ClassVar[str] = "cifar100"
    kind: ClassVar[str] = "CIFAR100"
    classes: ClassVar[int] = 100
