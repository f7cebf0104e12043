"""The user's own images: one folder a class."""

from __future__ import annotations

import hashlib
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import DataError, SettingsError, nearest
from nascore_blocks.data.pictures import Picture, opened
from nascore_blocks.data.splits import Moments, Split, TensorSplit, check_fractions, normalisation, stratified_split

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")
_COLOURS = ("auto", "grey", "rgb")
_AUTO_SIZES = (8, 32)
"""Least and largest size chosen by itself: a search trains many networks, so larger ones are to be asked for."""
_CHUNK = 256
"""Files decoded at once."""


class ImageFolder(Dataset):
    """Images of mixed sizes and modes in ``path/<class>/``, with subfolders or without.

    Every file is decoded once when the data is loaded, so that a broken one shows before any
    training, turned upright as its EXIF says, scaled so that its shorter side fits, cut to the
    centre square, and kept as bytes. Where all of them take more than ``cache_mib`` they are
    decoded again, each time that they are read.

    Args:
        path: the folder; each of its subfolders is a class, but those that start with a dot or ``__``.
        size: height and width in pixels; 0 takes the median of the shorter sides, within 8..32.
        colour: ``rgb``, ``grey``, or ``auto``: grey where all images are.
        valid: fraction that architectures are chosen on.
        test: fraction that ``retrain`` tests on.
        cache_mib: memory for decoded images, in MiB.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"images", "labels"})

    def __init__(
        self,
        path: str,
        size: int = 0,
        colour: str = "auto",
        valid: float = 0.2,
        test: float = 0.2,
        cache_mib: int = 2048,
    ) -> None:
        check_fractions([valid, test])
        if size and size < 4:
            raise SettingsError(f"size is {size}; it must be >= 4 pixels, or 0 to choose by the images.")
        if colour not in _COLOURS:
            raise SettingsError(f"colour is {colour!r}; {nearest(colour, _COLOURS)}.")
        if cache_mib < 0:
            raise SettingsError(f"cache_mib is {cache_mib}; it must be >= 0.")
        self.path, self.size, self.colour = Path(path).expanduser(), size, colour
        self.valid, self.test, self.cache_mib = valid, test, cache_mib

    def load(self, seed: int) -> Splits:
        """Find, check and split the images; see :meth:`Dataset.load`."""
        classes = find_images(self.path)
        files = [file for images in classes.values() for file in images]
        labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(c) for c in classes.values()]))
        parts = stratified_split(labels, [self.valid, self.test], seed)
        learnt = torch.zeros(len(files), dtype=torch.bool)
        learnt[parts[0]] = True

        picture = self._picture(files)
        cached = len(files) * picture.channels * picture.size**2 <= self.cache_mib * 2**20
        moments, pixels = Moments(picture.channels), []
        state = hashlib.blake2b(repr((picture, list(classes), [part.tolist() for part in parts])).encode())
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            images, digests = _read(chunk, picture)
            for file, content in zip(chunk, digests, strict=True):
                state.update(file.relative_to(self.path).as_posix().encode() + content)
            moments.add(images[learnt[start : start + _CHUNK]])
            pixels += [images] if cached else []

        scale, shift = moments.scale_and_shift()
        shape = (picture.channels, picture.size, picture.size)
        task = Task(f"folder:{self.path.name}", shape, len(classes), fingerprint=state.hexdigest()[:32])
        told = {**picture.told(), **normalisation(scale / 255, shift), "classes": list(classes)}
        if cached:
            every = torch.cat(pixels)
            made = [TensorSplit(every[part], labels[part], scale / 255, shift) for part in parts]
            return Splits(task, *made, preprocessing=told)
        splits = [
            FileSplit([files[i] for i in part.tolist()], labels[part], picture, scale / 255, shift) for part in parts
        ]
        return Splits(task, *splits, preprocessing=told)

    def _picture(self, files: list[Path]) -> Picture:
        sides, grey = [], self.colour == "grey"
        if self.size and self.colour != "auto":
            return Picture(self.size, grey)
        modes = set()
        for file in files:
            with opened(file) as image:
                sides.append(min(image.size))
                modes.add(image.mode)
        if self.colour == "auto":
            grey = modes <= set(_GREY_MODES)
        low, high = _AUTO_SIZES
        return Picture(self.size or min(max(int(statistics.median(sides)), low), high), grey)


class FileSplit(Split):
    """Images that are decoded each time they are read, because all of them do not fit in memory."""

    def __init__(self, files: list[Path], labels: Tensor, picture: Picture, scale: Tensor, shift: Tensor) -> None:
        """Hold the files' names.

        Args:
            files: one an example.
            labels: (examples,) int64.
            picture: how to decode.
            scale: (channels, 1, 1); a byte becomes ``byte * scale + shift``.
            shift: of the same shape.
        """
        self.files, self.labels, self.picture, self.scale, self.shift = files, labels, picture, scale, shift

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Split.batch`."""
        images, _ = _read([self.files[index] for index in indices.tolist()], self.picture)
        return torch.addcmul(self.shift, images.float(), self.scale), self.labels[indices]


def find_images(root: Path) -> dict[str, list[Path]]:
    """The image files of every class, classes and files sorted by name.

    Raises:
        DataError: the folder is missing, or its layout is not one folder a class with three images or more.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give one that holds a folder of images for each class.")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    if {folder.name.lower() for folder in folders} & {"train", "training"}:
        raise DataError(
            f"{root} holds a split ({', '.join(folder.name for folder in folders)}), not classes. The split is made "
            f"here, by seed: give one folder with a folder for each class, such as {root / 'train'}."
        )
    classes = {folder.name: _images(folder) for folder in folders}
    if not any(classes.values()):
        loose = len([p for p in root.iterdir() if p.suffix.lower() in EXTENSIONS])
        also = f"; its {loose} own image(s) belong to no class" if loose else ""
        raise DataError(
            f"There are no images in the folders of {root}{also}. Put the images of each class in a folder of its own "
            f"there. Read are {', '.join(EXTENSIONS)}."
        )
    if len(classes) < 2:
        raise DataError(f"{root} has one class only, {folders[0].name!r}; a network has nothing to tell apart.")
    for name, images in classes.items():
        if len(images) < 3:
            raise DataError(
                f"The class {name!r} in {root} has {len(images)} image(s); it needs 3 at least: to learn from, to "
                f"validate, to test. Add some, or take the folder away. Read are {', '.join(EXTENSIONS)}."
            )
    return classes


def _images(folder: Path) -> list[Path]:
    found = [p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".")]
    return sorted(p for p in found if p.is_file())


def _read(files: list[Path], picture: Picture) -> tuple[Tensor, list[bytes]]:
    """Images (files, channels, size, size) uint8, and a digest of each file's content."""

    def one(file: Path) -> tuple[Tensor, bytes]:
        content = file.read_bytes()
        return picture.decode(file, content), hashlib.blake2b(content, digest_size=16).digest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes outside Python's lock
        pairs = list(pool.map(one, files))
    return torch.stack([image for image, _ in pairs]), [content for _, content in pairs]
