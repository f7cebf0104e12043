"""A network as an ONNX file, which onnxruntime runs without torch."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nascore.errors import UsageError
from nascore.export import ExportError
from nascore.export.checking import difference, evaluating, example_batch, publish, run
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nascore.contracts import Task

RELATIVE, ABSOLUTE = 1e-4, 1e-4
"""How far onnxruntime may be from torch: it fuses batch norm into convolutions."""


def write(network: nn.Module, path: Path, *, task: Task, example: Tensor | None = None) -> list[Path]:
    """Write the file; see :func:`nascore.export.export_onnx`."""
    onnx, runtime = _packages()
    small, large = (example_batch(network, task, example, size) for size in (2, 5))
    one = example_batch(network, task, example, 1)
    with evaluating(network), isolated_random(0), tempfile.TemporaryDirectory() as folder:
        expected = [run(network, batch, "The network") for batch in (one, small, large)]
        draft = Path(folder) / "network.onnx"
        _convert(network, small, draft)
        onnx.checker.check_model(str(draft), full_check=True)
        session = runtime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])
        for batch, outputs in zip((one, small, large), expected, strict=True):
            got = run(lambda inputs: _infer(session, inputs), batch, "The ONNX file")
            found = difference(outputs, got[0] if len(got) == 1 else got, relative=RELATIVE, absolute=ABSOLUTE)
            if found:
                raise ExportError(f"The ONNX file does not compute what the network computes: {found}.")
        publish(draft, path)
    return [path]


def _packages() -> tuple[Any, Any]:
    try:
        importlib.import_module("onnxscript")  # torch's exporter needs it
        return importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Writing ONNX needs the package {error.name}, which is not installed: pip install 'nascore[onnx]'"
        ) from error


def _convert(network: nn.Module, batch: Tensor, draft: Path) -> None:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to the authors of the exporter; the outputs decide
            torch.onnx.export(
                network,
                (batch,),
                draft,
                dynamo=True,
                external_data=False,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
    except Exception as error:  # torch raises many kinds here, private ones among them
        lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
        raise ExportError(
            f"ONNX cannot hold {type(network).__name__}: {type(error).__name__}: {' '.join(lines[:4])}. "
            "Its steps must be torch operations that do not depend on the data or on the size of the batch; "
            "`--format py` and `--format torch` hold more."
        ) from error
    finally:
        logger.setLevel(level)


def _infer(session: Any, inputs: Tensor) -> list[Tensor]:
    name = session.get_inputs()[0].name
    return [torch.from_numpy(output) for output in session.run(None, {name: inputs.cpu().numpy()})]
