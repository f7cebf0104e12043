"""Where it is sent: the tracking URI and the experiment, and how a run folder remembers them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from nascore.checkpoint import write_atomically
from nascore.tracking.events import without_password

VARIABLE = "MLFLOW_TRACKING_URI"
"""Where MLflow looks, and so do we, for the place that a search is tracked to."""
_SQLITE = "sqlite:///"
EXPERIMENT = "nascore"
"""Name of the MLflow experiment, unless another one is given."""


def default_uri(run_folder: Path) -> str:
    """An SQLite file beside the run folder, so that all runs of one folder share it."""
    return f"{_SQLITE}{run_folder.resolve().parent / 'mlflow.db'}"


def resolve_uri(run_folder: Path, given: str = "auto") -> str:
    """The MLflow tracking URI that a setting means.

    Args:
        run_folder: of the search.
        given: an MLflow URI; ``auto`` (or empty) is MLFLOW_TRACKING_URI where that is set, else
            :func:`default_uri`; ``off`` is no tracking.

    Returns:
        A URI that does not depend on the working directory; empty where tracking is off.
    """
    if given == "off":
        return ""
    if given in ("", "auto"):
        given = os.environ.get(VARIABLE, "") or default_uri(run_folder)
    if given.startswith(_SQLITE):
        return f"{_SQLITE}{Path(given[len(_SQLITE) :]).absolute()}"
    return given


def artifact_root(uri: str) -> str | None:
    """Where artifacts of a new experiment go: beside an SQLite file; a server knows it itself (None)."""
    return (Path(uri[len(_SQLITE) :]).parent / "mlartifacts").as_uri() if uri.startswith(_SQLITE) else None


@dataclass(frozen=True)
class Place:
    """What ``RUN/tracking/place.json`` holds, for whoever sends later.

    Attributes:
        uri: without a password (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD carry that);
            ``auto`` for the file beside the runs, which moves with them.
        experiment: name of the experiment.
    """

    uri: str = "auto"
    experiment: str = EXPERIMENT

    @classmethod
    def load(cls, run_folder: Path) -> Place:
        """Read it; the default where there is none or it is damaged."""
        try:
            return cls(**json.loads((run_folder / "tracking" / "place.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return cls()

    @classmethod
    def save(cls, run_folder: Path, uri: str, experiment: str) -> None:
        """Remember a place.

        Raises:
            RunError: the folder cannot be written.
        """
        place = cls("auto" if uri == default_uri(run_folder) else without_password(uri), experiment)
        write_atomically(run_folder / "tracking" / "place.json", json.dumps(asdict(place)).encode())
