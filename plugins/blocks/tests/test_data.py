"""Splits, and the data sets that are no folder."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nascore.contracts import Splits, Task
from nascore.errors import DataError, PluginError, SettingsError
from nascore_blocks.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    Digits,
    FashionMNIST,
    Joined,
    Mapped,
    Subset,
    UserData,
    from_arrays,
    nested_subset,
    stratified_split,
)
from nascore_blocks.data.augment import augment
from nascore_blocks.data.splits import tensor_splits

Pair = tuple[Tensor, Tensor]
FASHION = Path("/usr/share/datasets/fashion-mnist")


@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.integers(0, 99), st.floats(0.05, 0.45))
@settings(max_examples=60, deadline=None)
def test_every_class_is_in_every_part_with_its_share(counts: list[int], seed: int, fraction: float) -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    parts = stratified_split(labels, [fraction, fraction], seed)
    assert torch.cat(parts).sort().values.equal(torch.arange(len(labels)))
    for part in parts:
        assert set(labels[part].tolist()) == set(range(len(counts)))
    for label, count in enumerate(counts):
        for part in parts[1:]:
            assert abs(int((labels[part] == label).sum()) - fraction * count) <= 1


def test_the_seed_makes_the_split() -> None:
    labels = torch.arange(200) % 4
    first, again, other = (stratified_split(labels, [0.2], seed)[1] for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)


@pytest.mark.parametrize("fractions", [[0.0], [1.0], [0.5, 0.5], [-0.1], [float("nan")]])
def test_impossible_fractions_are_refused(fractions: list[float]) -> None:
    with pytest.raises(SettingsError, match="between 0 and 1"):
        stratified_split(torch.zeros(9, dtype=torch.int64), fractions, 0)


def test_a_small_subset_is_part_of_a_larger_one_and_keeps_the_shares() -> None:
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 1)
    small, large = (set(nested_subset(labels, fraction).tolist()) for fraction in (0.1, 0.2))
    assert small < large
    assert [sum(labels[i] == c for i in small) for c in range(3)] == [10, 5, 1]
    assert len(nested_subset(labels, 1.0)) == 151


def _thirds(images: Tensor, labels: Tensor) -> tuple[Pair, Pair, Pair]:
    first, second, third = ((images[part::3], labels[part::3]) for part in range(3))
    return first, second, third


def test_bytes_and_floats_of_the_same_images_are_the_same_inputs() -> None:
    images = torch.randint(0, 256, (30, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    as_bytes = tensor_splits("x", *_thirds(images, labels), classes=3).train
    as_floats = tensor_splits("x", *_thirds(images / 255, labels), classes=3).train
    torch.testing.assert_close(as_bytes.inputs, as_floats.inputs)
    torch.testing.assert_close(as_bytes.inputs.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(as_bytes.inputs.std(dim=(0, 2, 3), correction=0), torch.ones(3))
    assert as_bytes.stored.dtype == torch.uint8


def test_a_constant_channel_becomes_zero_not_nan() -> None:
    images = torch.rand(12, 2, 4, 4)
    images[:, 1] = 0.7
    train = tensor_splits("x", *_thirds(images, torch.arange(12) // 3 % 2), classes=2).train
    assert train.inputs[:, 1].abs().max() < 1e-5


def test_subset_joined_and_mapped_give_the_examples_of_their_base() -> None:
    splits = Digits().load(0)
    part = Subset(splits.train, torch.tensor([5, 2, 9]))
    assert part[1][0].equal(splits.train[2][0])
    both = Joined(splits.valid, splits.test)
    at = torch.tensor([len(splits.valid) + 3, 0])
    inputs, labels = both.batch(at)
    assert len(both) == len(splits.valid) + len(splits.test)
    assert inputs.equal(torch.stack([splits.valid[0][0], splits.test[3][0]]))
    assert labels.tolist() == [splits.valid.labels[0], splits.test.labels[3]]
    mapped = Mapped(torch.utils.data.TensorDataset(splits.valid.inputs, splits.valid.labels))
    assert mapped.batch(at[1:])[0].equal(splits.valid.batch(at[1:])[0])
    with pytest.raises(DataError, match=r"\(input, label\)"):
        Mapped(3)


def test_digits_are_those_of_sklearn_split_by_seed() -> None:
    from sklearn.datasets import load_digits

    splits = Digits().load(seed=3)
    assert splits.task.shape == (1, 8, 8)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [1079, 359, 359]
    assert splits.train.inputs.mean().abs() < 1e-5
    assert abs(splits.train.inputs.std() - 1) < 1e-3
    # Undo the normalisation, put the parts together: the 1,797 scans, each once.
    data, target = load_digits(return_X_y=True)
    every = torch.cat([part.inputs for part in (splits.train, splits.valid, splits.test)]).flatten(1)
    raw = every * torch.tensor(data).std() / every.std()
    raw = (raw - raw.min()).round()
    labels = torch.cat([part.labels for part in (splits.train, splits.valid, splits.test)])
    seen = sorted((*row.int().tolist(), label.item()) for row, label in zip(raw, labels, strict=True))
    assert seen == sorted((*map(int, row), int(label)) for row, label in zip(data, target, strict=True))
    assert Digits().load(3).task.fingerprint == splits.task.fingerprint != Digits().load(4).task.fingerprint
    with pytest.raises(SettingsError):
        Digits(valid=0.6, test=0.5)


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _fake_mnist(folder: Path, ending: str) -> np.ndarray:
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28))
    for stem, part in (("train", images[:30]), ("t10k", images[30:])):
        _write_idx(folder / f"{stem}-images-idx3-ubyte{ending}", part)
        _write_idx(folder / f"{stem}-labels-idx1-ubyte{ending}", np.arange(len(part)) % 10)
    return images


@pytest.mark.parametrize(("inside", "ending"), [("", ".gz"), ("raw", ""), ("MNIST/raw", "")])
def test_mnist_reads_idx_files_where_they_lie(tmp_path: Path, inside: str, ending: str) -> None:
    images = _fake_mnist(tmp_path / "data" / inside, ending)
    splits = MNIST(str(tmp_path / "data"), valid=1 / 3).load(0)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [20, 10, 10]
    assert splits.test.stored.squeeze(1).equal(torch.tensor(images[30:], dtype=torch.uint8))
    assert splits.valid.labels.sort().values.tolist() == [*range(10)]


def test_missing_and_damaged_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCORE_DATA", str(tmp_path / "nowhere"))
    for dataset in (MNIST(), FashionMNIST(), CIFAR10(), CIFAR100()):
        with pytest.raises(DataError, match=r"nowhere.*data\.download=true"):
            dataset.load(0)
    _fake_mnist(tmp_path / "cut", "")
    file = tmp_path / "cut" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="train-images-idx3-ubyte is no complete idx file"):
        MNIST(str(tmp_path / "cut")).load(0)


@pytest.mark.skipif(not FASHION.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_the_real_fashion_mnist() -> None:
    splits = FashionMNIST(str(FASHION)).load(0)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [54_000, 6_000, 10_000]
    assert torch.bincount(splits.valid.labels).tolist() == [600] * 10


def test_cifar_is_read_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    with pytest.raises(DataError, match="cifar10"):  # torchvision knows the published MD5 sums
        CIFAR10(str(tmp_path)).load(0)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    for root in (tmp_path, folder):
        splits = CIFAR10(str(root), valid=0.2).load(0)
        assert splits.task.shape == (3, 32, 32)
        assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [80, 20, 20]
    assert splits.test.stored.flatten(1).equal(torch.tensor(batch["data"]))


def _images(examples: int = 30) -> np.ndarray:
    return np.random.default_rng(0).random((examples, 1, 6, 6), dtype=np.float32)


def my_arrays() -> tuple[np.ndarray, np.ndarray]:
    return _images(), np.arange(30) % 3


def test_own_data_from_a_file_a_function_or_arrays(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef data():\n    return np.random.default_rng(0).random((30, 6, 6)), np.arange(30) % 3\n"
    )
    by_reference = UserData(f"{tmp_path / 'mine.py'}:data").load(0)
    assert by_reference.task.shape == (1, 6, 6)
    by_function, by_arrays = UserData(my_arrays).load(0), from_arrays(*my_arrays())
    assert by_function.train.inputs.equal(by_arrays.train.inputs)
    assert [len(part) for part in (by_arrays.train, by_arrays.valid, by_arrays.test)] == [18, 6, 6]
    with pytest.raises(PluginError, match="has no 'dta'"):
        UserData(f"{tmp_path / 'mine.py'}:dta").load(0)


def test_three_pairs_keep_the_given_split() -> None:
    labels = np.arange(30) % 3
    images = _images()
    pairs = tuple((images[part], labels[part]) for part in (slice(0, 15), slice(15, 24), slice(24, 30)))
    splits = UserData(pairs).load(0)
    assert [part.labels.tolist() for part in (splits.train, splits.valid, splits.test)] == [
        labels[:15].tolist(),
        labels[15:24].tolist(),
        labels[24:].tolist(),
    ]


def test_ready_splits_of_torch_datasets_are_taken() -> None:
    data = torch.utils.data.TensorDataset(torch.rand(12, 1, 6, 6), torch.arange(12) % 2)
    splits = UserData(Splits(Task("mine", (1, 6, 6), 2), data, data, data)).load(0)
    assert splits.train.batch(torch.tensor([3]))[0].equal(data[3][0][None])
    assert len(splits.task.fingerprint) == 32
    with pytest.raises(DataError, match=r"those of train are \(1, 6, 6\)"):
        UserData(Splits(Task("mine", (3, 6, 6), 2), data, data)).load(0)


def _bad(change: str) -> object:
    images, labels = _images(), np.arange(30) % 3
    if change == "nan":
        images[7, 0, 2, 2] = np.nan
    return {
        "nan": (images, labels),
        "lengths": (images[:20], labels),
        "float labels": (images, labels + 0.5),
        "text labels": (images, np.array(["cat"] * 30)),
        "negative": (images, labels - 1),
        "gap": (images, labels * 2),
        "one class": (images, labels * 0),
        "too few": (images[:7], np.array([0, 0, 0, 1, 1, 1, 2])),
        "flat": (images.reshape(30, 36), labels),
        "channels last": (np.zeros((30, 6, 6, 3)), labels),
        "empty": (images[:0], labels[:0]),
        "no pair": images,
        "new class": ((images, labels), (images, labels + 1), (images, labels)),
        "other shape": ((images, labels), (images[:, :, :5], labels), (images, labels)),
    }[change]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", r"1 input\(s\) hold NaN or infinity, the first is number 7"),
        ("lengths", "20 inputs, but 30 labels"),
        ("float labels", "must be whole numbers.*return_inverse"),
        ("text labels", "cannot be read as numbers"),
        ("negative", "there is the label -1"),
        ("gap", "the largest is 4, but 1 is absent"),
        ("one class", "one class only"),
        ("too few", r"Class 2 has 1 example\(s\)"),
        ("flat", r"\(30, 36\); images are"),
        ("channels last", r"transpose\(0, 3, 1, 2\)"),
        ("empty", "none of them 0"),
        ("no pair", "ndarray; it must give"),
        ("new class", r"valid has the label 3, train has 0\.\.2 only"),
        ("other shape", "inputs of valid are"),
    ],
)
def test_bad_own_data_is_told(change: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        UserData(_bad(change)).load(0)


def test_augment_shifts_mirrors_and_cuts() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(200, 2, 5, 6, generator=generator) + 1
    flipped = augment(images, generator, flip=True)
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140
    shifted = augment(images, generator, crop=1)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    views = torch.stack([padded[:, :, i : i + 5, j : j + 6] for i in range(3) for j in range(3)], dim=1)
    hits = (views == shifted[:, None]).flatten(2).all(2)
    assert hits.sum(1).eq(1).all()
    assert hits.sum(0).gt(0).all()
    cut = augment(images, generator, cutout=3)
    zero = (cut == 0).flatten(1).sum(1) // 2
    assert set(zero.tolist()) <= {a * b for a in (2, 3) for b in (2, 3)}
    assert ((cut == images) | (cut == 0)).all()
