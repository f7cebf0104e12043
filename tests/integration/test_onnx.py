"""``nascore export --format onnx``: a file that onnxruntime runs, and a version in MLflow's registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nascore
from nascore.cli.main import cli
from nascore.contracts import Task
from nascore.errors import UsageError
from nascore.export import ExportError, export_onnx
from nascore.result import load_weights
from nascore.retrain import retrained_weights
from nascore.tracking.place import VARIABLE

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("nascore_random")

TASK = Task("digits", (1, 8, 8), 10)


class Branching(nn.Module):
    """Its steps depend on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)) if x.sum() > 0 else x.flatten(1)[:, :10]


def test_what_onnx_cannot_hold_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="ONNX cannot hold Branching"):
        export_onnx(Branching(), tmp_path / "net.onnx", task=TASK)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'nascore\[onnx\]'"):
        export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), tmp_path / "net.onnx", task=TASK)


def test_register_needs_onnx(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format onnx"):
        cli(["export", str(tmp_path), "--format", "py", "--register", "x"], standalone_mode=False)


def _nascore(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "nascore", *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out: dict[str, Any] = json.loads(done.stdout)
    return out


@pytest.mark.slow
def test_registered_and_loaded_without_torch(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    _nascore("search", "--plugin", "random", "--trials", "1", "--set", "evaluator.epochs=1", "--out", run)  # tracked
    accuracy = _nascore("retrain", run, "--seeds", "2", "--epochs", "1", "--quiet")["test_accuracy"]
    assert _nascore("track", run)["pending"] == 0
    out = _nascore("export", run, "--format", "onnx", "--register", "digits")
    file, told = map(Path, out["files"])
    assert json.loads(told.read_text()).keys() == {"shape", "type", "scale", "shift"}
    result = nascore.open_run(run)
    inputs = result.examples()
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"input": inputs.numpy()})
    weights = retrained_weights(result, 0)
    assert weights is not None
    with torch.no_grad():
        expected = load_weights(result.search.build(result.trial(0)), weights)(inputs).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    _check_mlflow(out["registered"], {
        "test_accuracy": accuracy["mean"], "test_accuracy_std": accuracy["std"], "test_accuracy_seeds": 2.0
    })  # fmt: skip
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    script = (
        "import sys, mlflow, numpy as np\n"
        f"mlflow.set_tracking_uri({out['registered']['tracking_uri']!r})\n"
        f"model = mlflow.pyfunc.load_model({out['registered']['uri']!r})\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, model.predict(np.load({str(tmp_path / 'inputs.npy')!r}))['output'])\n"
        "assert not {'torch', 'nascore'} & set(sys.modules)\n"
        "print([list(t.shape) for t in (*model.metadata.signature.inputs, *model.metadata.signature.outputs)])\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[[-1, 1, 8, 8], [-1, 10]]"
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), ours, rtol=1e-6)


def test_a_registry_leaves_the_environment_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow sets the variable that later searches of this process would read."""
    from nascore.tracking.registry import _store

    for before in (None, "http://server:5000"):
        monkeypatch.setenv(VARIABLE, before or "")
        if before is None:
            monkeypatch.delenv(VARIABLE)
        with _store(f"sqlite:///{tmp_path}/mlflow.db"):
            assert os.environ[VARIABLE] == f"sqlite:///{tmp_path}/mlflow.db"
        assert os.environ.get(VARIABLE) == before


def _check_mlflow(registered: dict[str, str], metrics: dict[str, float]) -> None:
    """The run of the search and the model both have the metrics; the model has an example of its input."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.models import get_model_info

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")  # MLflow sets it, and other tests shall not see that
        mlflow.set_tracking_uri(registered["tracking_uri"])
        client, info = MlflowClient(), get_model_info(registered["uri"])
    assert info.saved_input_example_info
    version = client.get_model_version(registered["name"], registered["version"])
    # MLflow copies the run's other metrics to the model.
    model = client.get_logged_model(str(version.source).rpartition("/")[2])
    assert {metric.key: metric.value for metric in model.metrics or []}.items() >= metrics.items()
    run = client.get_run(str(model.source_run_id))
    assert run.data.metrics.items() >= metrics.items()
    assert run.data.tags["nascore.run"]
