"""Is a torch device there? Asked before a search computes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.errors import SettingsError

if TYPE_CHECKING:
    from nascore.parts import Parts
    from nascore.settings import SearchSettings


def check_search_device(settings: SearchSettings, parts: Parts) -> None:
    """Refuse the device of a search that builds networks, where torch cannot compute on it here.

    Raises:
        SettingsError: see :func:`check_device`.
    """
    if "module" in parts.evaluator.requires:
        check_device(settings.device)


def check_device(name: str) -> None:
    """Refuse a device that torch cannot compute on here.

    Args:
        name: such as ``cpu`` or ``cuda:0``.

    Raises:
        SettingsError: names the devices that are here, and what torch says of this one.
    """
    import torch

    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:  # which of them depends on how torch was built
        says = str(error).strip().partition("\n")[0]
        here = ", ".join(available_devices())
        raise SettingsError(
            f"device = {name!r} cannot be used here; allowed: {here}. torch says: {says:.200}"
        ) from error


def available_devices() -> list[str]:
    """The devices that torch can compute on here, ``cpu`` first."""
    import torch

    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    for kind in ("mps", "xpu"):
        module = getattr(torch, kind, None)
        if module is not None and getattr(module, "is_available", lambda: False)():
            found.append(kind)
    return found
