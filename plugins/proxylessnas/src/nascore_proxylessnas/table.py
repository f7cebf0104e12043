"""A file of latencies: of each op with its shape, in milliseconds, measured once and used by many searches."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nascore.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nascore_blocks.supernet.base import PricedOp

UNIT = "ms"


def tabled(file: str, ops: Collection[PricedOp], measure: Callable[[PricedOp], float]) -> Callable[[PricedOp], float]:
    """The latencies in ``file``; where there is none, it is written, with what ``measure`` gives.

    Args:
        file: JSON: ``{"unit": "ms", "ops": {"BlockShape(op='3x3_e3', ...)": 0.12, ...}}``.
        ops: that need a price.
        measure: op -> milliseconds.

    Raises:
        SettingsError: the file is no such table, or has not all the ops.
    """
    path = Path(file)
    if path.exists():
        known = _read(path)
        missing = [repr(op) for op in ops if repr(op) not in known]
        if missing:
            raise SettingsError(
                f"latency_table {file} has no {min(missing)}, nor {len(missing) - 1} other(s) of the {len(ops)} ops of "
                f"this search: it was made for another space or other images. Name a file that does not exist, and "
                "it will be measured here."
            )
    else:
        known = {repr(op): measure(op) for op in sorted(ops, key=repr)}
        _write(path, known)
    return lambda op: known[repr(op)]


def _read(path: Path) -> dict[str, float]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"latency_table {path} cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("unit") != UNIT or not isinstance(data.get("ops"), dict):
        raise SettingsError(
            f"latency_table {path} is no table of latencies: it needs the keys 'unit' ({UNIT!r}) and 'ops'."
        )
    for op, value in data["ops"].items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            raise SettingsError(
                f"latency_table {path}: {op} has the latency {value!r}; it must be a number >= 0, in {UNIT}."
            )
    return dict(data["ops"])


def _write(path: Path, known: dict[str, float]) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps({"unit": UNIT, "ops": known}, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise SettingsError(f"latency_table {path} cannot be written: {error}") from error
