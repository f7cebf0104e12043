"""The user's own images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nascore.errors import DataError, SettingsError
from nascore_blocks.data import ImageFolder, TensorSplit
from nascore_blocks.data.folder import FileSplit

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [(20, 30), (31, 17), (64, 48), (16, 16), (50, 20), (24, 24)]


def _fill(root: Path, classes: int = 2, mode: str = "RGB", ending: str = "png") -> Path:
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = root / f"class{label}" / "nested"
        folder.mkdir(parents=True)
        for index, (width, height) in enumerate(SIZES):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / f"{index}.{ending}")
    return root


def test_mixed_sizes_and_modes_become_one_shape(tmp_path: Path) -> None:
    root = _fill(tmp_path / "photos")
    extra = root / "class0"
    Image.new("RGBA", (9, 40), (255, 0, 0, 0)).save(extra / "transparent.png")
    Image.new("P", (40, 9)).save(extra / "palette.png")
    Image.new("CMYK", (12, 12)).save(extra / "print.jpg")
    Image.fromarray(np.full((20, 20), 40_000, dtype=np.uint16)).save(extra / "deep.png")
    Image.new("1", (8, 8)).save(extra / "bits.png")
    (extra / "notes.txt").write_text("no image, not read")
    (root / ".cache").mkdir()
    splits = ImageFolder(str(root)).load(0)
    assert splits.task.shape == (3, 20, 20)  # 20 is the median of the shorter sides
    assert splits.task.classes == 2
    assert len(splits.train) + len(splits.valid) + len(splits.test) == 17
    for part in (splits.train, splits.valid, splits.test):
        assert set(part.labels.tolist()) == {0, 1}
        assert torch.isfinite(part.inputs).all()
    torch.testing.assert_close(splits.train.inputs.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_transparent_shows_white_and_16_bits_become_8(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.new("LA", (8, 8), (0, 0)).save(tmp_path / name / f"{index}.png")
            deep = np.full((8, 8), 0x80FF, dtype=np.uint16)
            Image.fromarray(deep).save(tmp_path / name / f"deep{index}.png")
    splits = ImageFolder(str(tmp_path)).load(0)
    Image.new("P", (8, 8)).save(tmp_path / "a" / "palette.png", transparency=0)
    assert ImageFolder(str(tmp_path), size=4).load(0).task.shape == (3, 4, 4)
    every = ImageFolder(str(tmp_path), colour="grey").load(0)
    assert sum(int((part.stored == 255).all(3).all(2).sum()) for part in (every.train, every.valid, every.test)) == 7
    assert splits.task.shape == (1, 8, 8)
    assert torch.unique(torch.cat([part.stored for part in (splits.train, splits.valid, splits.test)])).tolist() == [
        128,
        255,
    ]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:, 4:] = 255  # the right half is white; turned by 90 degrees clockwise (tag 6) the lower half is
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png", exif=exif)
    image = ImageFolder(str(tmp_path), colour="grey").load(0).train.stored[0, 0]
    assert (image[4:] == 255).all()
    assert (image[:4] == 0).all()


def test_the_centre_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((8, 24), dtype=np.uint8)
    pixels[:, 8:16] = 200
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    assert (ImageFolder(str(tmp_path), size=8).load(0).train.stored == 200).all()


def test_grey_images_get_one_channel_unless_told(tmp_path: Path) -> None:
    root = _fill(tmp_path, mode="L")
    assert ImageFolder(str(root)).load(0).task.shape == (1, 20, 20)
    assert ImageFolder(str(root), size=12, colour="rgb").load(0).task.shape == (3, 12, 12)


def test_without_room_in_memory_the_same_images_come_from_disk(tmp_path: Path) -> None:
    root = _fill(tmp_path, ending="jpg")
    cached, lazy = ImageFolder(str(root)).load(1), ImageFolder(str(root), cache_mib=0).load(1)
    assert isinstance(cached.train, TensorSplit)
    assert isinstance(lazy.train, FileSplit)
    at = torch.tensor([3, 0, 5])
    for one, two in zip(cached.train.batch(at), lazy.train.batch(at), strict=True):
        assert one.equal(two)
    assert cached.task == lazy.task


def test_the_fingerprint_sees_contents_names_and_the_split(tmp_path: Path) -> None:
    root = _fill(tmp_path)
    first = ImageFolder(str(root)).load(0).task.fingerprint
    assert ImageFolder(str(root)).load(0).task.fingerprint == first
    assert ImageFolder(str(root)).load(1).task.fingerprint != first
    file = root / "class1" / "nested" / "3.png"
    content = file.read_bytes()
    Image.new("RGB", (16, 16)).save(file)
    assert ImageFolder(str(root)).load(0).task.fingerprint != first
    file.write_bytes(content)
    assert ImageFolder(str(root)).load(0).task.fingerprint == first
    file.rename(file.with_name("3b.png"))
    assert ImageFolder(str(root)).load(0).task.fingerprint != first


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        ImageFolder(str(tmp_path / "nowhere")).load(0)


def test_no_images(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "loose.png")
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"no images in the folders of .*its 1 own image\(s\) belong to no class"):
        ImageFolder(str(tmp_path)).load(0)


def test_one_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one class only, 'class0'"):
        ImageFolder(str(_fill(tmp_path, classes=1))).load(0)


def test_a_class_with_one_image(tmp_path: Path) -> None:
    root = _fill(tmp_path)
    (root / "rare").mkdir()
    Image.new("L", (8, 8)).save(root / "rare" / "only.png")
    with pytest.raises(DataError, match=r"The class 'rare' in .* has 1 image\(s\); it needs 3"):
        ImageFolder(str(root)).load(0)


def test_a_split_is_not_taken_for_classes(tmp_path: Path) -> None:
    for name in ("train", "val"):
        _fill(tmp_path / name)
    with pytest.raises(DataError, match="holds a split"):
        ImageFolder(str(tmp_path)).load(0)


@pytest.mark.parametrize("size", [0, 16])
@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_an_unreadable_image_is_named(tmp_path: Path, damage: str, size: int) -> None:
    root = _fill(tmp_path)
    file = root / "class1" / "nested" / "2.png"
    content = file.read_bytes()
    file.write_bytes({"text": b"hello", "empty": b"", "cut": content[: len(content) // 2]}[damage])
    with pytest.raises(DataError, match=r"2\.png is no image that can be read"):
        ImageFolder(str(root), size=size).load(0)


def test_bad_settings_are_refused_at_once(tmp_path: Path) -> None:
    for settings in ({"size": 2}, {"colour": "gray"}, {"cache_mib": -1}, {"valid": 0.0}):
        with pytest.raises(SettingsError):
            ImageFolder(str(tmp_path), **settings)
