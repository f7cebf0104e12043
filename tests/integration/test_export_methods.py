"""Every method's networks leave in every format: a sampled one of the quick preset's space."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nascore.export import FORMATS, export_network
from nascore.parts import Workshop
from nascore.plugins import Plugins
from nascore.settings import merge, nest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("nascore_blocks.networks")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@cache
def workshop() -> Workshop:
    return Workshop()


def methods() -> list[str]:
    return sorted(address.partition(":")[2] for address in Plugins().parts("methods"))


def sampled(method: str) -> tuple[Any, Any, Any]:
    """Space, task and a sampled architecture of a method's quick preset."""
    _, record = Plugins().find("methods", method)
    parts = {"space": record.space, "sampler": record.sampler, "evaluator": record.evaluator, "data": record.data}
    settings = merge([nest({**parts, **record.presets["quick"]})])
    task, _ = workshop().part("data", settings.data).outline()
    space = workshop().space(settings, task)
    rng = random.Random(0)
    return space, task, space.sample(lambda _, options: rng.choice(list(options)))


@pytest.mark.slow
@pytest.mark.parametrize("method", methods())
def test_networks_leave_in_every_format(method: str, tmp_path: Path) -> None:
    space, task, architecture = sampled(method)
    if "module" not in space.provides:
        pytest.skip("its answers are no networks")
    torch.manual_seed(0)
    network = space.build(architecture, task).eval()
    for form, ending in FORMATS.items():  # each writer compares its file with the network
        files = export_network(network, tmp_path / "net", form, task=task, architecture=architecture)
        assert files[0].suffix == ending
        assert files[0].stat().st_size > 0
