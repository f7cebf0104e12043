"""A found network in MLflow's model registry, from where ``mlflow.pyfunc`` loads it without nascore or torch."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nascore.errors import RunError
from nascore.tracking.outbox import outbox_path, read_events
from nascore.tracking.place import VARIABLE, Place, artifact_root, resolve_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Registered:
    """Where a model is.

    Attributes:
        name, version: in the registry.
        uri: what ``mlflow.pyfunc.load_model`` takes, with :attr:`tracking_uri` set.
        tracking_uri: of the MLflow store.
    """

    name: str
    version: str
    uri: str
    tracking_uri: str


def register(
    run_folder: Path,
    file: Path,
    name: str,
    example: np.ndarray[Any, Any],
    metrics: Mapping[str, float] | None = None,
    step: int = 0,
) -> Registered:
    """Log an ONNX file as a model of the search's MLflow run, and give it a version in the registry.

    Args:
        run_folder: of the search. Where it was tracked, the model belongs to its run; else to a run of its own.
        file: the ONNX file.
        name: of the registered model; made where there is none, else it gets a further version.
        example: a batch of inputs; gives the signature, and is kept beside the model.
        metrics: of the model, such as its test accuracy; they are the run's too.
        step: of the metrics, such as the number of the trial.

    Raises:
        RunError: MLflow cannot be reached, or refuses; says what it said.
    """
    import mlflow
    import onnx
    import onnxruntime
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature

    place = Place.load(run_folder)
    uri = resolve_uri(run_folder, place.uri)
    model = onnx.load(file)
    try:
        with _store(uri), _run(run_folder, uri, place.experiment):
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            (output, *_) = session.run(None, {"input": example})
            info = mlflow.onnx.log_model(
                model,
                name="network",
                registered_model_name=name,
                signature=infer_signature(example, {"output": output}),
                input_example=example,
                pip_requirements=["onnx", "onnxruntime", "mlflow"],
            )
            if metrics:
                mlflow.log_metrics(dict(metrics), step=step, model_id=info.model_id)
    except MlflowException as error:
        raise RunError(f"MLflow at {uri} does not take the model: {str(error).splitlines()[0]}") from error
    version = str(info.registered_model_version)
    return Registered(name, version, f"models:/{name}/{version}", uri)


@contextlib.contextmanager
def _store(uri: str) -> Iterator[None]:
    """MLflow's global tracking URI for a while; with it goes the variable, which later searches would read."""
    import mlflow

    before, variable = mlflow.get_tracking_uri(), os.environ.get(VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        if variable is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = variable


@contextlib.contextmanager
def _run(run_folder: Path, uri: str, experiment: str) -> Iterator[None]:
    """The MLflow run of the search as the active one; a new one where the search was not tracked."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    identity = found.experiment_id if found else client.create_experiment(experiment, artifact_root(uri))
    parent = _parent(run_folder, client, str(identity))
    with mlflow.start_run(parent or None, str(identity), None if parent else run_folder.name):
        yield


def _parent(run_folder: Path, client: MlflowClient, experiment: str) -> str:
    """The id of the search's run in MLflow; empty where there is none."""
    first = next((event for event, _ in read_events(outbox_path(run_folder)) if event is not None), None)
    if first is None:
        return ""
    runs = client.search_runs([experiment], f"tags.`nascore.run` = '{first['run']}'", max_results=1)
    return str(runs[0].info.run_id) if runs else ""
