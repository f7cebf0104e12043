"""Checkpoints: a bit-exact round trip, atomic writing, and damage that is always told."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore.checkpoint import Checkpoints, write_atomically
from nascore.errors import RunError

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int64]
KINDS = ["f2", "f4", "f8", "?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "c8"]
shapes = st.sampled_from([(), (0,), (1,), (3,), (2, 3), (0, 4), (2, 1, 3)])
bits = st.randoms(use_true_random=False)


@st.composite
def tensors(draw):
    shape, dtype, rng = draw(shapes), draw(st.sampled_from(DTYPES)), draw(bits)
    size = torch.empty((), dtype=dtype).element_size()
    raw = (
        rng.randbytes(size * math.prod(shape))
        if dtype != torch.bool
        else bytes(rng.choices([0, 1], k=math.prod(shape)))
    )
    tensor = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    return tensor.reshape(shape)


@st.composite
def arrays(draw):
    shape, kind, rng = draw(shapes), draw(st.sampled_from(KINDS)), draw(bits)
    dtype = np.dtype(kind)
    raw = (
        rng.randbytes(dtype.itemsize * math.prod(shape))
        if kind != "?"
        else bytes(rng.choices([0, 1], k=math.prod(shape)))
    )
    array = np.frombuffer(raw, dtype).reshape(shape)
    return draw(st.sampled_from([array, array.copy(order="F"), array[::-1] if shape else array, array.T]))


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | tensors() | arrays()
    | st.sampled_from([np.int64(3), np.bool_(True), np.float32(0.1)])
)  # fmt: skip
keys = st.text(max_size=3) | st.integers() | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=2))
keys |= st.sampled_from(["$tuple", "$items", "$tensor", "$scalar", "$"])
states = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=3) | st.lists(x, max_size=3).map(tuple) | st.dictionaries(keys, x, max_size=3),
    max_leaves=10,
)


def identical(a, b):
    """The same types, orders, dtypes, shapes and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(identical(p, q) and identical(a[p], b[q]) for p, q in zip(a, b, strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, torch.Tensor):
        contiguous = [t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*contiguous)
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)  # NaN


def loaded(folder):
    return list(Checkpoints(folder).load())


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), states, max_size=3))
def test_any_state_comes_back_bit_for_bit(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("state")
    Checkpoints(folder).save(7, state)
    [(told, back, problem)] = loaded(folder)
    assert (told, problem) == (7, "")
    assert identical(back, state)


def test_what_comes_back_can_be_changed_in_place(tmp_path):
    Checkpoints(tmp_path).save(0, {"a": np.zeros(3), "t": torch.zeros(3)})
    state = loaded(tmp_path)[0][1]
    state["a"] += 1
    state["t"] += 1
    assert state["a"].sum() == state["t"].sum() == 3


def test_tensors_that_share_memory_or_learn(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    Checkpoints(tmp_path).save(0, {"w": weight, "view": weight[0], "t": weight.T, "same": weight})
    state = loaded(tmp_path)[0][1]
    assert torch.equal(state["view"], weight[0])
    assert torch.equal(state["t"], weight.T)
    state["w"].zero_()
    assert state["same"].sum() == 15


@pytest.mark.parametrize(
    "bad",
    [object(), {1, 2}, b"bytes", 1j, torch.float32, random.Random(0), np.array(["a"]), np.array([{}]), np.array([1j]),
     torch.ones(2, dtype=torch.complex128)],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_when_saving_and_nothing_is_written(tmp_path, bad):
    Checkpoints(tmp_path).save(1, {"good": 1})
    with pytest.raises(TypeError, match="A state"):
        Checkpoints(tmp_path).save(2, {"bad": [bad]})
    assert loaded(tmp_path) == [(1, {"good": 1}, "")]


def test_two_generations_are_kept_newest_first(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for told in (0, 9, 10, 123_456_789):
        checkpoints.save(told, {"n": told})
    assert [(told, state["n"]) for told, state, _ in checkpoints.load()] == [(123_456_789, 123_456_789), (10, 10)]
    checkpoints.save(10, {"n": "again"})  # from the older one: what is newer was not usable
    assert [(told, state["n"]) for told, state, _ in checkpoints.load()] == [(10, "again")]
    assert [path.name for path in tmp_path.iterdir()] == ["00000010.checkpoint"]


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    (tmp_path / "00000003.checkpoint.partial").write_bytes(b"half")
    assert loaded(tmp_path) == []
    Checkpoints(tmp_path).save(4, {})
    assert [path.name for path in tmp_path.iterdir()] == ["00000004.checkpoint"]


def example(folder):
    state = {"n": 1, "w": torch.arange(5.0), "a": np.arange(3), "d": {1: (2, "x")}}
    Checkpoints(folder).save(5, state)
    return folder / "00000005.checkpoint", state


def test_every_flipped_bit_is_told(tmp_path):
    path, _ = example(tmp_path)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << (at % 8))]) + good[at + 1 :])
        [(told, state, problem)] = loaded(tmp_path)
        assert (told, state) == (5, None)
        assert problem.startswith("00000005.checkpoint is damaged (")


def test_every_cut_is_told(tmp_path):
    path, _ = example(tmp_path)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert loaded(tmp_path)[0][1] is None
    path.write_bytes(good + b"\n")
    assert loaded(tmp_path)[0][1] is None


@given(st.binary(max_size=64))
def test_any_content_is_told(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("state")
    (folder / "00000000.checkpoint").write_bytes(content)
    assert loaded(folder)[0][1] is None


BLOB = (8).to_bytes(8, "little") + b'{"x":{}}'


@pytest.mark.parametrize(
    ("header", "body", "blob"),
    [
        ({"told": 5, "numpy": 0}, b"[]", b""),
        ({"told": 5, "numpy": 0}, b'"text"', b""),
        ({"told": 6, "numpy": 0}, b"{}", b""),
        ({"numpy": 0}, b"{}", b""),
        ({"told": 5, "numpy": "x"}, b"{}", b""),
        ([1], b"{}", b""),
        ({"told": 5, "numpy": 0}, b'{"a": {"$tensor": "torch.0"}}', b""),
        ({"told": 5, "numpy": 0}, b'{"a": {"$items": [[{"$items": []}, 1]]}}', b""),
        ({"told": 5, "numpy": 0}, b'{"a": {"$tuple": 5}}', b""),
        ({"told": 5, "numpy": 0}, b'{"a": {"$items": [1]}}', b""),
        ({"told": 5, "numpy": 0}, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b""),
        ({"told": 5, "numpy": 0}, b"{}", BLOB),
        ({"told": 5, "numpy": len(BLOB)}, b"{}", BLOB),
        ({"told": 5, "numpy": 0}, b"{}", b"\xff" * 40),
    ],
)
def test_a_forged_checkpoint_with_a_good_digest_is_told(tmp_path, header, body, blob):
    if isinstance(header, dict):
        header = {"body": len(body)} | header
    content = json.dumps(header).encode() + b"\n" + body + blob
    path = tmp_path / "00000005.checkpoint"
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    [(told, state, problem)] = loaded(tmp_path)
    assert (told, state) == (5, None)
    assert "is damaged" in problem


def test_a_renamed_checkpoint_is_not_taken_for_another(tmp_path):
    path, _ = example(tmp_path)
    path.rename(tmp_path / "00000006.checkpoint")
    assert "written after 5 trials, not 6" in loaded(tmp_path)[0][2]


def test_an_older_one_serves_when_the_newest_is_damaged_and_strange_files_are_passed_over(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for told in (3, 5):
        checkpoints.save(told, {"n": told})
    (tmp_path / "00000005.checkpoint").write_bytes(b"x")
    (tmp_path / "00000007.checkpoint").mkdir()
    (tmp_path / "notes.checkpoint").write_text("mine")
    assert [(told, state) for told, state, _ in loaded(tmp_path)] == [(7, None), (5, None), (3, {"n": 3})]


# ------------------------------------------------------------------------------------ atomic writes


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "f"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    write_atomically(path, b"old")
    if call == "fsync":

        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        target = path
    else:
        target = tmp_path / "f" / "inside"  # a folder that is a file
    with pytest.raises(
        RunError, match=r"Cannot write .*(No space left on device|Not a directory)\. Nothing that was there is lost"
    ):
        write_atomically(target, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
