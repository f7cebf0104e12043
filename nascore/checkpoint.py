"""Checkpoints: plain JSON with its tensors beside it, written atomically, checked when read.

Nothing is ever unpickled. Two generations are kept, so that a damaged one costs little: the trials
since the older one are in the storage, and the loop replays them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from typing import TYPE_CHECKING, Any

from nascore.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_KEPT = 2
SAVING_SHARE = 0.02
"""Of a training's time that its checkpoints may take: the first state is kept, then as often as this allows."""


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` as a whole: a reader sees the old or the new, never a part.

    Raises:
        RunError: the disk is full, the folder is read-only, ...; the old file is untouched.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be what is missing
            partial.unlink(missing_ok=True)
        raise RunError(f"Cannot write {path}: {error.strerror or error}. Nothing that was there is lost.") from error


def encode(value: Any, tensors: dict[str, Any]) -> Any:
    """Turn nested state into JSON; tensors move to ``tensors`` under the name left in their place.

    Raises:
        TypeError: the state holds something that is neither plain data nor a tensor or array.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [encode(item, tensors) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, tensors) for item in value]}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: encode(item, tensors) for key, item in value.items()}
        return {"$items": [[encode(key, tensors), encode(item, tensors)] for key, item in value.items()]}
    kind = type(value).__module__.partition(".")[0]
    if kind in ("torch", "numpy") and hasattr(value, "shape"):
        name = f"{kind}.{len(tensors)}"
        tensors[name] = value
        return {"$tensor" if hasattr(value, "__setitem__") else "$scalar": name}  # numpy.int64(3) is no array
    raise TypeError(f"A state must hold plain data and tensors; got {type(value).__name__}: {value!r:.80}")


def decode(value: Any, tensors: dict[str, Any]) -> Any:
    """The inverse of :func:`encode`."""
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(decode(item, tensors) for item in value["$tuple"])
    if "$items" in value:
        return {decode(key, tensors): decode(item, tensors) for key, item in value["$items"]}
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$scalar" in value:
        return tensors[value["$scalar"]][()]
    return {key: decode(item, tensors) for key, item in value.items()}


def _pack(tensors: dict[str, Any], kind: str) -> bytes:
    """One safetensors blob of the ``numpy`` arrays, or of the ``torch`` tensors; empty for none.

    Raises:
        TypeError: safetensors has no such dtype (text, objects, complex128).
    """
    chosen = {name: value for name, value in tensors.items() if name.startswith(f"{kind}.")}
    if not chosen:
        return b""
    try:
        if kind == "numpy":
            import numpy
            from safetensors.numpy import save

            # safetensors reads the memory in C order whatever the strides are.
            return bytes(save({name: numpy.array(value, order="C") for name, value in chosen.items()}))
        from safetensors.torch import save as save_torch

        # clone: safetensors refuses tensors that share memory.
        return bytes(save_torch({name: value.detach().cpu().clone().contiguous() for name, value in chosen.items()}))
    except Exception as error:
        dtypes = ", ".join(sorted({str(value.dtype) for value in chosen.values()}))
        raise TypeError(f"A state holds tensors that cannot be stored (dtypes {dtypes}): {error}") from error


def _unpack(blob: bytes, kind: str) -> dict[str, Any]:
    if not blob:
        return {}
    if kind == "numpy":
        from safetensors.numpy import load

        return dict(load(blob))
    from safetensors.torch import load as load_torch

    return dict(load_torch(blob))


class Checkpoints:
    """The checkpoints of one run, in ``folder``; the name of each is how many trials had been told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, told: int, state: dict[str, Any]) -> None:
        """Write a checkpoint and drop all but the newest two.

        Raises:
            RunError: it cannot be written; the earlier ones are untouched.
        """
        tensors: dict[str, Any] = {}
        body = json.dumps(encode(state, tensors)).encode()
        arrays = _pack(tensors, "numpy")
        header = {"told": told, "body": len(body), "numpy": len(arrays)}
        content = json.dumps(header).encode() + b"\n" + body + arrays + _pack(tensors, "torch")
        digest = hashlib.sha256(content).hexdigest().encode()
        write_atomically(self.folder / f"{told:08d}.checkpoint", digest + b"\n" + content)
        paths = self._paths()
        # What is newer could not be used, or this search would have gone on from there.
        unusable = [path for path in paths if int(path.stem) > told]
        for old in [*unusable, *paths[len(unusable) :][_KEPT:], *self.folder.glob("*.checkpoint.partial")]:
            old.unlink(missing_ok=True)

    def load(self) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
        """The checkpoints, newest first.

        Yields:
            How many trials had been told, the state, and why it cannot be used (state None then).
        """
        for path in self._paths():
            state, problem = _try_to_read(path)
            yield int(path.stem), state, problem

    def _paths(self) -> list[Path]:
        return sorted(
            (p for p in self.folder.glob("*.checkpoint") if p.stem.isdecimal()), key=lambda p: int(p.stem), reverse=True
        )


class TrainingCheckpoint:
    """The state of one training between two epochs, in a folder of the run.

    Only a training of the same architecture, seed, options and version goes on from it.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """
        Args:
            folder: of the checkpoints; made when the first is written.
            identity: plain data that tells this training from others.
        """
        self._files = Checkpoints(folder)
        self._identity = dict(identity)
        self._due = -math.inf

    def load(self) -> dict[str, Any] | None:
        """The newest state of this training that can be read, or None."""
        for step, state, problem in self._files.load():
            if state is None:
                log.warning("retrain: %s; an older one is looked for", problem)
            elif state["identity"] == self._identity:
                log.info("retrain: goes on after step %d", step)
                kept: dict[str, Any] = state["training"]
                return kept
        return None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Keep the state after ``step``, unless the last one was kept so shortly ago that saving would cost time.

        Raises:
            RunError: the folder cannot be written.
        """
        begun = time.monotonic()
        if begun < self._due:
            return
        try:
            self._files.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"Cannot write {self._files.folder}: {error.strerror or error}.") from error
        self._files.save(step, {"identity": self._identity, "training": state})
        ended = time.monotonic()
        self._due = ended + (ended - begun) / SAVING_SHARE


def _try_to_read(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        return _read(path), ""
    except Exception as error:  # noqa: BLE001 - a damaged or foreign file can be wrong in any way
        return None, f"{path.name} is damaged ({type(error).__name__}: {error})"


def _read(path: Path) -> dict[str, Any]:
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("its digest does not fit")
    first, _, rest = content.partition(b"\n")
    header = json.loads(first)
    if header["told"] != int(path.stem):
        raise ValueError(f"it was written after {header['told']} trials, not {int(path.stem)}")
    body, arrays = header["body"], header["body"] + header["numpy"]
    tensors = _unpack(rest[body:arrays], "numpy") | _unpack(rest[arrays:], "torch")
    state = decode(json.loads(rest[:body]), tensors)
    if not isinstance(state, dict):
        raise TypeError(f"a state is a dict; got {type(state).__name__}")
    return state
