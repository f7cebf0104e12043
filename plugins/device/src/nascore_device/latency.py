"""Measured latency by three runtimes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nascore.errors import RunError, SettingsError, nearest
from nascore_blocks.costs import Latency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from nascore.contracts import Context, SearchSpace, Task
    from nascore.records import Architecture, Cost

RUNTIMES = ("torch", "compile", "onnx")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class RuntimeLatency(Latency):
    """Latency of one batch in evaluation mode, by the runtime that the network will be used with.

    Timed as by ``blocks:latency_ms``. Compiling and exporting are not timed.
    """

    def __init__(
        self,
        runtime: str = "torch",
        batch_size: int = 1,
        warm_up: int = 5,
        repeats: int = 20,
        tolerance: float = 0.02,
        max_seconds: float = 1.0,
        threads: int = 1,
    ) -> None:
        """
        Args:
            runtime: ``torch`` (eager), ``compile`` (torch.compile) or ``onnx`` (onnxruntime, on the CPU).
            batch_size: inputs at once.
            warm_up: runs that are not timed, >= 5.
            repeats: least number of timed runs, >= 20.
            tolerance: enough is timed when the 95% interval of the median lies within this fraction of it.
            max_seconds: of timing; the least number of runs is made whatever it takes.
            threads: of the runtime while timing; 0 leaves its own number.

        Raises:
            SettingsError: a value that is not allowed, or a runtime that is not here; says why.
        """
        super().__init__(batch_size, warm_up, repeats, tolerance, max_seconds, threads)
        if runtime not in RUNTIMES:
            raise SettingsError(f"runtime is {runtime!r}; {nearest(runtime, RUNTIMES)}.")
        self.runtime = runtime
        missing = {"torch": "", "compile": _compile_lacks(), "onnx": _onnx_lacks()}[runtime]
        if missing:
            raise SettingsError(f"runtime = {runtime!r} cannot be used here: {missing}")

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`nascore.contracts.CostModel.estimate`.

        Raises:
            SettingsError: onnxruntime is measured on the CPU only.
            RunError: torch.compile fails on this network.
            ExportError: ONNX cannot hold this network.
        """
        if self.runtime == "onnx" and torch.device(context.device).type != "cpu":
            raise SettingsError(
                f"runtime = 'onnx' is measured on the CPU, and device is {context.device!r}; use --device cpu."
            )
        return super().estimate(space, architecture, context)

    def runner(self, network: nn.Module, inputs: torch.Tensor, task: Task) -> Callable[[], object]:
        """See :meth:`Latency.runner`."""
        if self.runtime == "compile":
            return _compiled(network, inputs)
        if self.runtime == "onnx":
            return self._onnx(network, inputs, task)
        return super().runner(network, inputs, task)

    def _onnx(self, network: nn.Module, inputs: torch.Tensor, task: Task) -> Callable[[], object]:
        import onnxruntime

        from nascore.export import export_onnx

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(False):
            (path,) = export_onnx(network, Path(folder) / "network.onnx", task=task)
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        given = {session.get_inputs()[0].name: inputs.numpy()}
        return lambda: session.run(None, given)


def _compiled(network: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    torch.compiler.reset()  # each network is a new one: what was compiled for the last is no use
    try:
        compiled = torch.compile(network, dynamic=False)
        compiled(inputs)
    except Exception as error:  # torch raises many kinds here, private ones among them
        first = str(error).strip().partition("\n")[0]
        raise RunError(
            f"torch.compile fails on {type(network).__name__}: {type(error).__name__}: {first:.300}. "
            "Measure it with runtime = 'torch'."
        ) from error
    return lambda: compiled(inputs)


def _compile_lacks() -> str:
    """Why torch.compile cannot be used here; empty: it can."""
    named = os.environ.get("CXX", "")
    compilers = [named] if named else ["cl"] if sys.platform == "win32" else ["g++", "clang++"]
    if not any(map(shutil.which, compilers)):
        return f"torch.compile needs a C++ compiler, and there is no {' or '.join(compilers)}; install one, or set CXX."
    return ""


def _onnx_lacks() -> str:
    """Why onnxruntime cannot be used here; empty: it can."""
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed: pip install 'nascore[onnx]'" if missing else ""
