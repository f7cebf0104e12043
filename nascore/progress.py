"""What a user sees while a search runs: a live panel on a terminal, plain lines elsewhere.

An event costs the same in the first trial and in the 20,000th; drawing is limited to four frames
a second, lines to one in two seconds.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from nascore.display import counted, duration, headline, number, trial_values, values
from nascore.hooks import hookimpl
from nascore.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from nascore.contracts import Round
    from nascore.driver import Search
    from nascore.records import Candidate, Trial
    from nascore.result import SearchResult

FRAMES = 4
"""Frames a second of the live panel, at most."""

LINE_SECONDS = 2.0
"""Plain lines come at most this often."""

NEWS_SECONDS = 10.0
"""A long trial or round gets a plain line in between at most this often."""


class Progress:
    """Counts what happens and shows nothing; the base of both displays, and what ``--quiet`` uses.

    Attributes:
        result: of the search, once it has ended (a failed one included).
    """

    def __init__(self) -> None:
        self.result: SearchResult | None = None
        self.counts: dict[str, int] | None = None
        self.finished = 0
        self.rounds = 0
        self.last: Trial | None = None
        self.failure = ""
        self.search: Search | None = None
        self._earlier = 0.0
        self._since = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back; called at the end, however the search ended."""

    # ------------------------------------------------------------------ what happens

    @hookimpl
    def nascore_search_started(self, search: Search) -> None:
        """See :class:`nascore.hooks.LifecycleHooks`."""
        self.search = search
        self._earlier = float(search.run.status()["wall_seconds"])
        self._since = time.monotonic()

    @hookimpl
    def nascore_trial_finished(self, search: Search, trial: Trial) -> None:
        """See :class:`nascore.hooks.LifecycleHooks`."""
        if self.counts is None:  # trials of earlier sessions are counted once, after their replay
            self.counts = search.history.counts()
        else:
            self.counts[trial.status.value] += 1
        self.finished += 1
        self.last = trial
        if trial.status is Status.FAIL:
            self.failure = f"trial {trial.number}: {headline(trial.reason) or 'no reason is given'}"

    @hookimpl
    def nascore_search_finished(self, search: Search, result: SearchResult) -> None:
        """See :class:`nascore.hooks.LifecycleHooks`."""
        self.result = result

    # ------------------------------------------------------------------ what is known

    @property
    def elapsed(self) -> float:
        """Seconds of the search, earlier sessions included."""
        return self._earlier + time.monotonic() - self._since

    def seconds_left(self, done: int, trials: int | None, limit: float | None) -> float | None:
        """Seconds until the first of the two budgets ends; None while nothing can be said.

        Args:
            done: trials so far, earlier sessions included.
            trials: the budget in trials.
            limit: the budget in seconds.
        """
        left = []
        if trials is not None and self.finished:
            left.append((time.monotonic() - self._since) / self.finished * max(0, trials - done))
        if limit is not None:
            left.append(max(0.0, limit - self.elapsed))
        return min(left) if left else None


class PlainProgress(Progress):
    """Lines of text, for a file or a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """
        Args:
            stream: where to write; default: standard error.
        """
        super().__init__()
        self._stream = stream if stream is not None else sys.stderr
        self._written = float("-inf")
        self._told = float("-inf")
        self._shown = -1

    @hookimpl
    def nascore_search_started(self, search: Search) -> None:
        """Say what is searched, and where it is kept."""
        super().nascore_search_started(search)
        settings = search.settings
        budget = [f"{settings.trials} trials"] if settings.trials is not None else []
        budget += [f"{duration(settings.time)}"] if settings.time is not None else []
        done = f", {len(search.stored)} done" if search.stored else ""
        where = f"{settings.device}, in {search.run.path}"
        self._line(f"{settings.plugin}: {' or '.join(budget)}{done}, seed {settings.seed}, {where}")

    @hookimpl
    def nascore_round_finished(self, search: Search, number: int, round: Round) -> None:
        """Tell a round of shared training, now and then."""
        if not round.metrics:  # a preparation
            return
        self.rounds += 1
        if time.monotonic() - self._written >= NEWS_SECONDS:
            self._line(f"shared training, round {self.rounds}: {values(round.metrics)}")

    @hookimpl
    def nascore_trial_reported(self, search: Search, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tell how a long trial goes, now and then."""
        if time.monotonic() - self._written >= NEWS_SECONDS:
            self._line(f"trial {number}, step {step}: {values(metrics)}")

    @hookimpl
    def nascore_trial_finished(self, search: Search, trial: Trial) -> None:
        """Tell a trial, unless one was told a moment ago."""
        super().nascore_trial_finished(search, trial)
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._trial(search, trial)

    @hookimpl
    def nascore_search_finished(self, search: Search, result: SearchResult) -> None:
        """Tell the last trial, if that was left out."""
        super().nascore_search_finished(search, result)
        if self.last is not None and self.last.number != self._shown:
            self._trial(search, self.last)

    def _trial(self, search: Search, trial: Trial) -> None:
        settings, best = search.settings, search.history.best
        done = len(search.history)
        of = f"/{settings.trials}" if settings.trials is not None else ""
        what = trial_values(trial)
        if trial.status is not Status.COMPLETE:
            what = f"{trial.status.value}: {headline(trial.reason) or what}"
        objective = search.history.objectives[0].name
        lead = f"; best {objective} {number(best.value(objective))} (trial {best.number})" if best is not None else ""
        left = self.seconds_left(done, settings.trials, settings.time)
        remaining = f", {duration(left)} left" if left else ""
        self._line(f"trial {trial.number}, {done}{of} done: {what}{lead}; {duration(self.elapsed)}{remaining}")
        self._shown, self._told = trial.number, time.monotonic()

    def _line(self, text: str) -> None:
        self._written = time.monotonic()
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveProgress(Progress):
    """A panel that is drawn over and over by rich, in a thread of its own.

    The thread reads values that are replaced as a whole, never the history, which changes under it.
    """

    def __init__(self, console: Any = None) -> None:
        """
        Args:
            console: a ``rich.console.Console``; default: one on standard error.
        """
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._console = console if console is not None else Console(stderr=True)
        self._title = "starting"
        self._now = "getting ready"
        self._best = ""
        self._done = 0
        self._front = 0
        self._front_at = float("-inf")
        self._trials: int | None = None
        self._limit: float | None = None
        self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=FRAMES, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def close(self) -> None:
        """Stop drawing; the panel vanishes."""
        self._live.stop()

    @hookimpl
    def nascore_search_started(self, search: Search) -> None:
        """Take the title and the budget."""
        super().nascore_search_started(search)
        settings = search.settings
        data = settings.data.get("use", "").rpartition(":")[2]
        self._title = f"{settings.plugin} on {data}, seed {settings.seed}, {settings.device}"
        self._trials, self._limit = settings.trials, settings.time
        self._done = len(search.stored)

    @hookimpl
    def nascore_round_finished(self, search: Search, number: int, round: Round) -> None:
        """Show the round."""
        if not round.metrics:  # a preparation
            return
        self.rounds += 1
        self._now = f"shared training, round {self.rounds}: {values(round.metrics)}"

    @hookimpl
    def nascore_trial_started(self, search: Search, number: int, candidate: Candidate) -> None:
        """Show what is being judged."""
        self._now = f"trial {number}: {candidate.origin}" if candidate.origin else f"trial {number}"

    @hookimpl
    def nascore_trial_reported(self, search: Search, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Show the point of the learning curve."""
        self._now = f"trial {number}, step {step}: {values(metrics)}"

    @hookimpl
    def nascore_trial_finished(self, search: Search, trial: Trial) -> None:
        """Count, and take the best trial."""
        super().nascore_trial_finished(search, trial)
        self._done = len(search.history)
        best = search.history.best
        if best is not None:
            self._best = f"{trial_values(best)}  (trial {best.number})"
        if len(search.history.objectives) > 1 and time.monotonic() - self._front_at > 1 / FRAMES:
            self._front, self._front_at = len(search.history.pareto_front), time.monotonic()

    # ------------------------------------------------------------------ drawing

    def _draw(self) -> Any:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("trials", self._budget())
        grid.add_row("best", Text(self._best or "none yet", style="green" if self._best else "dim"))
        last = self.last
        if last is not None:
            grid.add_row("last", Text(trial_values(last) if last.status is Status.COMPLETE else last.status.value))
        grid.add_row("now", Text(self._now))
        if self.counts is not None:
            front = f"; {self._front} on the Pareto front" if self._front else ""
            grid.add_row("counts", Text(counted(dict(self.counts)) + front))
        if self.failure:
            grid.add_row("failed", Text(self.failure, style="red"))
        # Room for the ^C that a terminal writes behind the panel: wrapped, it would leave a line of the panel there.
        width = max(self._console.width - 3, 20)
        return Panel(grid, title=Text(self._title), title_align="left", width=width)

    def _budget(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        left = self.seconds_left(self._done, self._trials, self._limit)
        clock = duration(self.elapsed) + (f", {duration(left)} left" if left is not None else "")
        if self._trials is not None:
            total, completed, text = float(self._trials), float(self._done), f"{self._done} of {self._trials}"
        else:
            total, completed, text = self._limit or 1.0, min(self.elapsed, self._limit or 1.0), str(self._done)
        row = Table.grid(padding=(0, 2))
        row.add_row(text, ProgressBar(total=total, completed=completed, width=30), clock)
        return row


def choose_progress(quiet: bool) -> Progress:
    """The display for where standard error goes: none, a live panel, or plain lines."""
    if quiet:
        return Progress()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return LiveProgress()
    return PlainProgress()
