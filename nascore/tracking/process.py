"""The sender's process as the driver sees it: start it, wait for it, or have it send what is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nascore.errors import RunError
from nascore.tracking import events
from nascore.tracking.outbox import Outbox, Sent, outbox_path, pending
from nascore.tracking.place import Place, resolve_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOSE_SECONDS = 10.0
"""How long a search that has ended waits for the sender, in seconds."""
_ENVIRONMENT = {
    # MLflow repeats a request that may have been carried out, which would make a run twice; we look first, then repeat.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Importing numpy and pandas must not start a thread a core beside the search.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # The working directory is the user's: a random.py there is not ours.
    "PYTHONSAFEPATH": "1",
}
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_DISABLE_TELEMETRY": "true"}


class Sender:
    """A sender process. It ends by itself: when we close its standard input, or are gone."""

    def __init__(self, run_folder: Path, uri: str, experiment: str, beside_search: bool) -> None:
        """Start it.

        Args:
            run_folder: whose outbox it sends.
            uri: MLflow tracking URI.
            experiment: name of the MLflow experiment.
            beside_search: it gives way to the search (``nice``), and waits for more events until
                :meth:`close`; False: it sends what is there, and ends.

        Raises:
            OSError: the process or its log cannot be made.
        """
        command = [sys.executable, "-m", "nascore.tracking.sender", str(run_folder), "--experiment", experiment]
        if beside_search:
            command += ["--driver", str(os.getpid())]
        with (run_folder / "tracking" / "sender.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=_environment(uri)
            )
        if not beside_search:
            self._close_pipe()

    @property
    def alive(self) -> bool:
        """Is it still running?"""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _close_pipe(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def close(self, timeout: float | None) -> bool:
        """Tell it that nothing more comes, and wait until it has sent everything or given up.

        Args:
            timeout: at most so many seconds; None: as long as it takes.

        Returns:
            Whether it has ended.
        """
        self._close_pipe()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End it now; nothing is lost, for it can be ended at any instant."""
        self._process.kill()
        self._process.wait()


def _environment(uri: str) -> dict[str, str]:
    """Our own environment, with MLflow made quick to give up; a URI may hold a password, so it is no argument."""
    environment = {**_DEFAULTS, **os.environ, **_ENVIRONMENT, "MLFLOW_TRACKING_URI": uri}
    package_root = Path(__file__).resolve().parents[2]
    if package_root.name not in ("site-packages", "dist-packages"):  # a checkout that may be on our path alone
        paths = [str(package_root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def flush(run_folder: Path, timeout: float | None = None, uri: str = "", experiment: str = "") -> int:
    """Send what a run has not sent yet; ``nascore track RUN`` is this.

    Where a search is running in the folder, its own sender does it, and we wait for that one.

    Args:
        run_folder: of the search, running or not.
        timeout: seconds to wait at most; None: until all is sent, or the server does not answer.
        uri, experiment: another place than the one it was tracked to.

    Returns:
        How many events are still not sent; :func:`last_error` says why.

    Raises:
        RunError: the run was never tracked, or the folder cannot be written.
    """
    if not outbox_path(run_folder).is_file():
        raise RunError(
            f"{run_folder} was not tracked (it has no tracking/outbox.jsonl): its search ran with tracking off."
        )
    place = Place.load(run_folder)
    uri, experiment = resolve_uri(run_folder, uri or place.uri), experiment or place.experiment
    shown = events.without_password(uri)
    state = Sent.load(run_folder, shown, experiment)
    if (state.ended or state.status == "KILLED") and pending(run_folder, shown, experiment) == 0:
        return 0
    try:
        sender = Sender(run_folder, uri, experiment, beside_search=False)
    except OSError as error:
        raise RunError(f"Cannot start the MLflow sender in {run_folder}: {error}.") from error
    if not sender.close(timeout):
        sender.stop()
    return pending(run_folder, shown, experiment)


def last_error(run_folder: Path) -> str:
    """Why the sender could not send, in its last words; empty when it could."""
    return Sent.load(run_folder).error


def add_artifacts(run_folder: Path, files: list[Path]) -> None:
    """Attach files of a run folder (a report, an exported model) to the MLflow run; :func:`flush` sends them.

    Does nothing where the search was not tracked.

    Args:
        run_folder: of the search.
        files: inside of it; a folder means all that is in it.

    Raises:
        RunError: a file is missing or lies elsewhere, or the outbox cannot be written.
    """
    add_metrics(run_folder, {}, files)


def add_metrics(run_folder: Path, metrics: Mapping[str, float], files: list[Path], step: int = 0) -> None:
    """Add metrics to the MLflow run of a search that has ended, with the files behind them, as :func:`add_artifacts`.

    Args:
        run_folder: of the search.
        metrics: finite numbers by name.
        files: inside of the run folder.
        step: of the metrics, such as the number of the trial.

    Raises:
        RunError: a file is missing or lies elsewhere, or the outbox cannot be written.
    """
    if not outbox_path(run_folder).is_file():
        return
    names = []
    for file in files:
        path = file.resolve()
        if not path.exists() or run_folder.resolve() not in path.parents:
            raise RunError(f"{file} is no file in {run_folder}: only files of the run can be attached to it.")
        names.append(path.relative_to(run_folder.resolve()).as_posix())
    try:
        outbox = Outbox(outbox_path(run_folder))
        outbox.append(events.artifacts(names, metrics, step))
        outbox.close()
    except OSError as error:
        raise RunError(f"Cannot write {outbox_path(run_folder)}: {error}.") from error
