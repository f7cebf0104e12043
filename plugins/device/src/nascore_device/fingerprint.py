"""Which device this is: measurements of one are worth nothing on another."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from nascore.records import Json

CPU_INFO = Path("/proc/cpuinfo")


def fingerprint(device: str, threads: int, clock: str) -> dict[str, Json]:
    """What a measurement depends on beside the network, as plain JSON.

    Args:
        device: a torch device.
        threads: of torch while timing; 0: its own number, which is filled in.
        clock: ``wall`` or ``cpu``.
    """
    kind = torch.device(device).type
    return {
        "device": kind,
        "model": torch.cuda.get_device_name(device) if kind == "cuda" else cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "torch": str(torch.__version__),
        "clock": clock,
    }


def cpu_model() -> str:
    """The processor's name, as its maker gave it."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def profile_folder(folder: str) -> Path:
    """Where profiles are kept.

    Args:
        folder: chosen by the user; empty: ``nascore/device`` in the user's cache folder (XDG).
    """
    if folder:
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nascore" / "device"
