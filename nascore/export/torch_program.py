"""A network as a ``torch.export`` program, which torch runs, compiles and converts further."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nascore.export import ExportError
from nascore.export.checking import difference, evaluating, example_batch, publish, run
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nascore.contracts import Task


def write(network: nn.Module, path: Path, *, task: Task, example: Tensor | None = None) -> list[Path]:
    """Write the program; see :func:`nascore.export.export_torch`."""
    small, large = (example_batch(network, task, example, size) for size in (2, 5))
    with evaluating(network), isolated_random(0), tempfile.TemporaryDirectory() as folder:
        expected = [run(network, batch, "The network") for batch in (small, large)]
        program = _convert(network, small)
        draft = Path(folder) / "network.pt2"
        torch.export.save(program, draft)
        loaded = torch.export.load(draft).module()
        for batch, outputs in zip((small, large), expected, strict=True):
            found = difference(outputs, run(loaded, batch, "The exported program"))
            if found:
                raise ExportError(f"The exported program does not compute what the network computes: {found}.")
        publish(draft, path)
    return [path]


def _convert(network: nn.Module, batch: Tensor) -> torch.export.ExportedProgram:
    sizes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to the authors of layers, torch's own among them; outputs decide
            return torch.export.export(network, (batch,), dynamic_shapes=sizes)
    except Exception as error:  # torch raises many kinds here, private ones among them
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ExportError(
            f"torch.export cannot convert {type(network).__name__}: {type(error).__name__}: {' '.join(lines[:4])}. "
            "Its steps must be torch operations that do not depend on the data or on the size of the batch."
        ) from error
