"""Export of the networks that searches find: sampled cells, and the published ones."""

from __future__ import annotations

import importlib.util
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nascore.contracts import Task
from nascore.export import export_python, export_torch
from nascore.records import Architecture

pytest.importorskip("nascore_blocks.networks")

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("exported", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(network: nn.Module, folder: Path, task: Task, architecture: Architecture) -> str:
    """Export, load, compare outputs and the number of parameters; the text of the file."""
    (path, _) = export_python(network, folder / "net.py", task=task, architecture=architecture)
    written = load_file(path).load()
    inputs = torch.randn(3, *task.shape)
    with torch.no_grad():
        torch.testing.assert_close(written(inputs), network.eval()(inputs), rtol=1e-6, atol=1e-6)
    left_out = sum(p.numel() for name, p in network.named_parameters() if name.startswith("auxiliary"))
    total = sum(p.numel() for p in network.parameters())
    assert sum(p.numel() for p in written.parameters()) == total - left_out
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["NASNetSpace", "DARTSSpace"])
def test_sampled_networks(tmp_path: Path, name: str, seed: int) -> None:
    from nascore_blocks import spaces

    task = Task("digits", (1, 8, 8), 10)
    space = getattr(spaces, name)()
    space.name = f"blocks:{name}"
    space.setup(task)
    rng = random.Random(seed)
    architecture = space.sample(lambda _, options: rng.choice(options))
    torch.manual_seed(seed)
    text = check(space.build(architecture, task), tmp_path, task, architecture)
    assert architecture.key in text


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["small", "image"])
@pytest.mark.parametrize("name", ["NASNet_A", "AmoebaNet_A", "DARTS_V1", "DARTS_V2"])
def test_published_networks(tmp_path: Path, name: str, stem: str) -> None:
    from nascore_blocks.genotypes import genotype
    from nascore_blocks.networks import CellNetwork

    task = Task("photos", (3, 32, 32) if stem == "small" else (3, 64, 64), 10)
    network = CellNetwork(genotype(name), task.shape, 10, channels=8, layers=8, stem=stem, auxiliary=True)
    text = check(network, tmp_path, task, Architecture("blocks:darts", name, name))
    cells = text.count("CellModule(") + sum(text.count(f"CellModule{number}(") for number in range(2, 9))
    classes = text.count("class CellModule")
    assert classes < cells - classes  # cells that are built alike share a class


@pytest.mark.slow
def test_a_sampled_network_as_a_torch_program(tmp_path: Path) -> None:
    from nascore_blocks.genotypes import genotype
    from nascore_blocks.networks import CellNetwork

    task = Task("digits", (1, 8, 8), 10)
    network = CellNetwork(genotype("DARTS_V2"), task.shape, 10, channels=4, layers=3).eval()
    (path,) = export_torch(network, tmp_path / "net.pt2", task=task)
    inputs = torch.randn(7, 1, 8, 8)
    torch.testing.assert_close(torch.export.load(path).module()(inputs), network(inputs))
