"""The process that sends: ``python -m nascore.tracking.sender RUN``, started beside a search.

It reads the outbox and sends to MLflow until the driver says that nothing more comes (it closes our
standard input), or is gone; then it sends the rest and ends. While the server is away it tries again
with growing pauses; once the driver is gone it gives up after a few. It can be killed at any instant.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import time
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nascore.errors import RunError
from nascore.records import Direction
from nascore.tracking import table, words
from nascore.tracking.events import without_password
from nascore.tracking.guard import POLL_SECONDS, Driver, only_one
from nascore.tracking.outbox import READ_BYTES, READ_EVENTS, Sent, outbox_path, read_events
from nascore.tracking.place import EXPERIMENT, resolve_uri

if TYPE_CHECKING:
    from nascore.tracking.outbox import Event
    from nascore.tracking.target import Target
    from nascore.tracking.words import Point

log = logging.getLogger("nascore.tracking.sender")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between tries: doubled from the first to the longest while the server is away."""
TRIES_ALONE = 4
"""Once the driver is gone: so many failures in a row, and the sender gives up (after 3.5 s of pauses)."""
TRIES_REFUSED = 3
"""An event that MLflow itself calls invalid so many times is passed over, and counted."""
BATCH, TABLE_BATCH = 10, 200
"""So many events are sent before ``sent.json`` is written again; more where trials get no child run."""
NICE = 10


class Sender:
    """Reads events, hands them to a target, remembers how far it got."""

    def __init__(self, run_folder: Path, uri: str, experiment: str, driver: Driver) -> None:
        """
        Args:
            run_folder: whose outbox is sent.
            uri: MLflow tracking URI.
            experiment: name of the MLflow experiment.
            driver: says when nothing more comes.
        """
        self.run_folder = run_folder
        self.uri = uri
        self.driver = driver
        self.state = Sent.load(run_folder, without_password(uri), experiment)
        self._target: Target | None = None
        self._queue: deque[tuple[Event | None, int]] = deque()
        self._failures = 0
        self._unsure = False
        self._next_table = time.monotonic() + table.TABLE_SECONDS

    def run(self) -> int:
        """Send until everything is sent and nothing more comes.

        Returns:
            0, or 1 when it gave up.
        """
        while True:
            over = self.driver.over  # asked before the outbox is read, or its last lines could be missed
            try:
                sent = self._send_batch() or self._settle_status(over)
            except Exception as error:  # noqa: BLE001 - MLflow, SQLAlchemy and requests raise what they like; all is tried again
                if self._failed(error, over):
                    return 1
                continue
            if self._failures:
                log.info("sending goes on")
            self._failures = 0
            if not sent and over:
                return 0
            if not sent:
                self.driver.sleep(POLL_SECONDS)

    # ------------------------------------------------------------------ sending

    def _send_batch(self) -> bool:
        """Send the next events; False when there is none."""
        if not self._queue:
            self._read()
        if not self._queue:
            return False
        size = 1 if self._failures else TABLE_BATCH if self.state.table else BATCH
        batch = list(islice(self._queue, size))
        after = replace(self.state, offset=batch[-1][1], error="")
        after.table = after.table or self._is_fast()
        points: list[Point] = []
        for event, _ in batch:
            if event is None:
                after.refused += 1
                log.error("a damaged line of the outbox is passed over")
                continue
            self._send(event, after, points)
        if points:
            self._connected().points(points)
        self._save(after)
        for _ in batch:
            self._queue.popleft()
        if after.table and not after.ended:
            self._table_now_and_then()
        return True

    def _table_now_and_then(self) -> None:
        """Show the trials of a long search that get no child runs before it has ended."""
        started = time.monotonic()
        if started < self._next_table:
            return
        self._next_table = started + table.TABLE_SECONDS  # also where it fails
        self._connected().attach_table()
        took = time.monotonic() - started
        self._next_table = started + max(table.TABLE_SECONDS, 20 * took)

    def _read(self) -> None:
        path = outbox_path(self.run_folder)
        if path.exists() and path.stat().st_size < self.state.offset:
            log.warning("the outbox was replaced; sending it from its start")
            self.state = Sent(self.state.uri, self.state.experiment)
        start = self.state.offset
        for event, end in read_events(path, start):
            self._queue.append((event, end))
            if len(self._queue) >= READ_EVENTS or end - start > READ_BYTES:
                return

    def _is_fast(self) -> bool:
        """More trials than get a child run each: too many by now, or too many that wait."""
        numbers = [event["number"] for event, _ in self._queue if event is not None and event["event"] == "trial"]
        return len(numbers) > table.CHILD_RUNS or any(number >= table.CHILD_RUNS for number in numbers)

    def _send(self, event: Event, after: Sent, points: list[Point]) -> None:
        """Send one event; what concerns the parent's metrics alone goes to ``points``."""
        target = self._connected()
        kind = event["event"]
        if kind == "started":
            target.start(event)
            if after.status not in ("", "RUNNING"):
                target.set_status("RUNNING")
            after.status, after.ended = "RUNNING", False
        elif kind == "trial":
            if not after.table:
                target.trial(event)
            points.extend(words.search_points(event))
            points.extend(self._best_so_far(event, after, target.objectives[0]))
        elif kind == "round":
            for key, value in event["metrics"].items():
                points.append(
                    words.Point(f"round/{words.name(key)}", value, int(event["time"] * 1000), event["number"])
                )
        elif kind == "finished":
            target.points(points)
            points.clear()
            if self._unsure:
                target.delete_doubles()
            target.finish(event, after.table)
            after.status, after.ended = words.SEARCH_STATUS[event["status"]], True
        elif kind == "artifacts":
            points.extend(words.later_points(event))
            target.attach(event["files"])
        else:
            raise KeyError(f"unknown event {kind!r}")

    def _best_so_far(self, event: Event, after: Sent, objective: list[str]) -> list[Point]:
        name, direction = objective
        value = words.final_values(event).get(name)
        if (
            event["eligible"]
            and value is not None
            and (after.best is None or Direction(direction).better(value, after.best))
        ):
            after.best = value
        if after.best is None:
            return []
        return [words.Point(f"best_{words.name(name)}", after.best, words.milliseconds(event)[1], event["number"])]

    def _settle_status(self, over: bool) -> bool:
        """All is sent, and the search has not ended: it runs, or its driver was killed."""
        wanted = "KILLED" if over else "RUNNING"
        if self.state.ended or self.state.status == wanted:
            return False
        self._connected().set_status(wanted)
        self._save(replace(self.state, status=wanted, error=""))
        return True

    def _connected(self) -> Target:
        if self._target is None:
            from nascore.tracking.target import Target

            events = (event for event, _ in read_events(outbox_path(self.run_folder)))
            first = next((event for event in events if event is not None and event["event"] == "started"), None)
            if first is None:
                raise RunError(f"{outbox_path(self.run_folder)} does not say which search it is of.")
            self._target = Target(self.uri, self.state.experiment, self.run_folder, first)
        return self._target

    def _save(self, state: Sent) -> None:
        state.save(self.run_folder)
        self.state = state

    # ------------------------------------------------------------------ failing

    def _failed(self, error: Exception, over: bool) -> bool:
        """Note a failure and pause.

        Returns:
            Whether to give up.
        """
        connected, self._target, self._unsure = self._target is not None, None, True
        self._failures += 1
        text = _in_short(error)
        if connected and self._failures >= TRIES_REFUSED and _is_refusal(error) and self._queue:
            log.error("an event is passed over, for MLflow refuses it: %s", text)
            _, end = self._queue.popleft()
            self.state = replace(self.state, offset=end, refused=self.state.refused + 1)
            return False
        if text != self.state.error:
            log.warning("cannot send: %s", text, exc_info=error)
            self.state.error = text
            with contextlib.suppress(RunError):
                self.state.save(self.run_folder)
        if over and self._failures >= TRIES_ALONE:
            log.warning("giving up; the rest is kept")
            return True
        self.driver.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10)))
        return False


def _in_short(error: BaseException) -> str:
    """What lies at the bottom of it, in a line: MLflow wraps "connection refused" four times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]  # the loop's condition says so
    return words.cut(without_password(f"{type(error).__name__}: {error}").replace("\n", " "), 200)


def _is_refusal(error: Exception) -> bool:
    """Would the same event be refused for ever? Only what MLflow, or our own reading of it, calls invalid."""
    return isinstance(error, (KeyError, TypeError)) or getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE"


def main() -> int:
    """Read the command line and send.

    Returns:
        The exit status: 0 when everything is sent.
    """
    for name in ("SIGINT", "SIGHUP"):  # Ctrl-C and a closed terminal reach the whole group; the driver decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="python -m nascore.tracking.sender", description=__doc__)
    parser.add_argument("run", type=Path, help="the run folder")
    parser.add_argument("--uri", default="", help="MLflow tracking URI; default: MLFLOW_TRACKING_URI")
    parser.add_argument("--experiment", default=EXPERIMENT, help="name of the MLflow experiment")
    parser.add_argument("--driver", type=int, default=None, help="process id of the search beside which it runs")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.driver is not None and hasattr(os, "nice"):
        os.nice(NICE)
    driver = Driver(arguments.driver)
    with only_one(arguments.run, driver) as ours:
        if not ours:
            return 0
        return Sender(arguments.run, resolve_uri(arguments.run, arguments.uri), arguments.experiment, driver).run()


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    os._exit(status)  # MLflow's idle threads would hold us, and the driver that waits, for some more time
