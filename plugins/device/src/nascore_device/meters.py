"""Counters of energy that devices have."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Protocol


class Unreadable(Exception):  # noqa: N818 - the reason stands in the message; the cost model makes an error of it
    """A counter that is not there or cannot be read; says why and what helps."""


class Meter(Protocol):
    """Measures the energy between two moments."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> float:
        """Millijoules since the last :meth:`start`."""


class Rapl:
    """Running average power limit: counters of whole processor packages, in microjoules.

    Linux shows a package as ``intel-rapl:0``, on AMD's processors too; its parts (``intel-rapl:0:0``) are in it.
    """

    def __init__(self, folder: str) -> None:
        """
        Args:
            folder: ``/sys/class/powercap``.

        Raises:
            Unreadable: no package has a counter that this user may read.
        """
        found = sorted(path for path in Path(folder).glob("intel-rapl:*") if re.search(r":\d+$", path.name))
        self._packages = [path for path in found if path.name.count(":") == 1]
        if not self._packages:
            raise Unreadable(f"{folder} shows no RAPL counter (intel-rapl:0); virtual machines often hide it.")
        self._ranges = [self._read(path / "max_energy_range_uj") for path in self._packages]
        self._begin = self._counters()

    def start(self) -> None:
        """See :class:`Meter`."""
        self._begin = self._counters()

    def stop(self) -> float:
        """See :class:`Meter`; a counter that began anew in between is taken for what it is."""
        moved = [
            (end - begin) % (most + 1)
            for begin, end, most in zip(self._begin, self._counters(), self._ranges, strict=True)
        ]
        return sum(moved) / 1e3

    def _counters(self) -> list[int]:
        return [self._read(path / "energy_uj") for path in self._packages]

    @staticmethod
    def _read(path: Path) -> int:
        try:
            return int(path.read_text())
        except PermissionError as error:
            raise Unreadable(f"{path} may be read by root alone; to allow it: sudo chmod a+r {path}") from error
        except (OSError, ValueError) as error:
            raise Unreadable(f"{path} cannot be read ({error}).") from error


class Nvml:
    """NVIDIA's counter of the whole board, in millijoules (from Volta on)."""

    def __init__(self, index: int) -> None:
        """
        Args:
            index: of the GPU.

        Raises:
            Unreadable: NVML is not installed, or has no such counter here.
        """
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ImportError as error:
            raise Unreadable("NVML is not installed: pip install nvidia-ml-py") from error
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            self._begin = self._counter()
        except self._nvml.NVMLError as error:
            raise Unreadable(f"NVML says: {error}") from error

    def start(self) -> None:
        """See :class:`Meter`."""
        self._begin = self._counter()

    def stop(self) -> float:
        """See :class:`Meter`."""
        return float(self._counter() - self._begin)

    def _counter(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
