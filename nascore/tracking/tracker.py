"""The observer in the driver: writes events into the outbox, and keeps a sender running."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from nascore.errors import RunError
from nascore.hooks import hookimpl
from nascore.tracking import events
from nascore.tracking.outbox import Outbox, Sent, outbox_path, pending, read_events
from nascore.tracking.place import EXPERIMENT, Place
from nascore.tracking.process import CLOSE_SECONDS, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from nascore.contracts import Round
    from nascore.driver import Search
    from nascore.records import Trial
    from nascore.result import SearchResult

log = logging.getLogger("nascore")

_CHECK_SECONDS = 2.0
"""The tracker looks at most this often whether the sender still lives."""
_RESTARTS = 5
"""How often a sender that has died is started again in one search."""


class Tracker:
    """Tracks a search in MLflow without waiting for it.

    Example:
        >>> tracker = Tracker(run_folder, resolve_uri(run_folder, "auto"))  # doctest: +SKIP
        >>> nascore.search("amoebanet", observers=[tracker])  # doctest: +SKIP
        >>> tracker.close()  # doctest: +SKIP
    """

    def __init__(self, run_folder: Path, uri: str, experiment: str = EXPERIMENT) -> None:
        """
        Args:
            run_folder: of the search; the outbox is ``tracking/outbox.jsonl`` in it.
            uri: an MLflow tracking URI, see :func:`nascore.tracking.resolve_uri`.
            experiment: name of the MLflow experiment; made where there is none.
        """
        self.run_folder = run_folder
        self.uri = uri
        self.experiment = experiment
        self._outbox: Outbox | None = None
        self._sender: Sender | None = None
        self._known: set[int] = set()
        self._warned: set[str] = set()
        self._starts = 0
        self._checked = 0.0

    # ------------------------------------------------------------------ hooks

    @hookimpl
    def nascore_search_started(self, search: Search) -> None:
        """Open the outbox, note what it has missed, start the sender."""
        path = outbox_path(self.run_folder)
        run_id = self._read_outbox()
        try:
            self._outbox = Outbox(path)
        except OSError as error:
            self._warn("outbox", "MLflow tracking is off: cannot write %s: %s", path, error)
            return
        self._append(events.started(search, run_id, self.run_folder))
        self._catch_up(search)
        try:
            Place.save(self.run_folder, self.uri, self.experiment)
        except RunError as error:
            self._warn("full", "MLflow tracking: %s The search goes on.", error)
        self._start_sender()

    @hookimpl
    def nascore_round_finished(self, number: int, round: Round) -> None:
        """Note the metrics of a round of shared training, if it has any."""
        if round.metrics:
            self._append(events.round_finished(number, round))

    @hookimpl
    def nascore_trial_finished(self, trial: Trial) -> None:
        """Note a trial."""
        self._known.add(trial.number)
        self._append(events.trial_finished(trial))
        self._look_after_sender()

    @hookimpl
    def nascore_search_finished(self, search: Search, result: SearchResult) -> None:
        """Note the end, and what was missed: trials of the storage that were replayed, not judged again."""
        self._catch_up(search)
        self._append(events.finished(result))

    # ------------------------------------------------------------------ the end

    def close(self, timeout: float = CLOSE_SECONDS) -> int:
        """Wait for the sender, then leave; call it when the search has ended, however it ended.

        Says in one line what could not be sent, and how it will be.

        Args:
            timeout: seconds to wait at most.

        Returns:
            How many events are not sent yet. They are kept in the outbox.
        """
        if self._outbox is None:
            return 0
        self._outbox.close()
        self._outbox = None
        deadline = time.monotonic() + timeout
        if (self._sender is None or not self._sender.alive) and self._pending():
            self._start_sender()
        done = self._sender is None or self._sender.close(max(0.0, deadline - time.monotonic()))
        left = self._pending()
        if left:
            why = Sent.load(self.run_folder).error or (
                "the sender ended early" if done else "the sender goes on in the background"
            )
            log.warning(
                "MLflow has not got everything yet (%s). %d events are kept in %s; `nascore track %s` sends them.",
                why, left, outbox_path(self.run_folder), self.run_folder,
            )  # fmt: skip
        return left

    # ------------------------------------------------------------------ inside

    def _read_outbox(self) -> str:
        """Which trials the outbox has, and the name of the run; a new name where there is none."""
        run_id = ""
        for event, _ in read_events(outbox_path(self.run_folder)):
            if event is None:
                continue
            if event["event"] == "trial":
                self._known.add(event["number"])
            elif event["event"] == "started" and not run_id:
                run_id = event["run"]
        return run_id or uuid.uuid4().hex

    def _catch_up(self, search: Search) -> None:
        """A kill can fall between the storing of a trial and its event."""
        for trial in search.history:
            if trial.number not in self._known:
                self._known.add(trial.number)
                self._append(events.trial_finished(trial))

    def _append(self, event: dict[str, Any]) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.append(event)
        except OSError as error:
            self._warn(
                "full", "MLflow tracking: cannot write %s (%s). It is tried again with each trial; the search goes on.",
                self._outbox.path, error,
            )  # fmt: skip

    def _look_after_sender(self) -> None:
        now = time.monotonic()
        if now - self._checked < _CHECK_SECONDS or self._sender is None:
            return
        self._checked = now
        if self._sender.alive:
            return
        if self._starts <= _RESTARTS:
            self._start_sender()
        else:
            log_path = self.run_folder / "tracking" / "sender.log"
            self._warn("sender", "The MLflow sender ends again and again; %s says why. Events are kept.", log_path)

    def _start_sender(self) -> None:
        self._starts += 1
        self._checked = time.monotonic()
        try:
            self._sender = Sender(self.run_folder, self.uri, self.experiment, beside_search=True)
        except OSError as error:
            self._warn("sender", "Cannot start the MLflow sender: %s. Events are kept.", error)

    def _pending(self) -> int:
        return pending(self.run_folder, events.without_password(self.uri), self.experiment)

    def _warn(self, kind: str, message: str, *values: object) -> None:
        """Once a kind: a full disk would say it with every trial."""
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(message, *values)
