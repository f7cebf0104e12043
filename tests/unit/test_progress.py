"""What a user sees while a search runs, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest
import toy_parts
from cli_parts import Failing
from rich.console import Console

import nascore
from nascore import progress
from nascore.errors import SearchFailedError
from nascore.progress import LiveProgress, PlainProgress, Progress, choose_progress


def search(tmp_path, observer, **changes):
    with observer:
        return nascore.search(**toy_parts.parts(out=tmp_path / "run", observers=[observer]) | changes)


def trial_lines(text):
    return re.findall(r"^trial (\d+), (\d+)/\d+ done.*$", text, re.MULTILINE)


def test_plain_lines_tell_every_trial_when_trials_are_slow(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    result = search(tmp_path, PlainProgress(stream), trials=5)
    text = stream.getvalue()
    assert trial_lines(text) == [(str(i), str(i + 1)) for i in range(5)]
    best = result.best
    assert f"best accuracy {best.value('accuracy'):.4g} (trial {best.number})" in text.splitlines()[-1]
    assert text.startswith("random: 5 trials, seed 0, cpu, in ")


def test_plain_lines_are_limited_when_trials_are_fast_and_the_last_is_told(tmp_path):
    stream = io.StringIO()
    search(tmp_path, PlainProgress(stream), trials=60)
    told = trial_lines(stream.getvalue())
    assert told[0] == ("0", "1")
    assert told[-1] == ("59", "60")
    assert len(told) < 10


def test_a_resumed_search_counts_the_trials_of_both_sessions(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    search(tmp_path, Progress(), trials=3)
    stream = io.StringIO()
    observer = PlainProgress(stream)
    objects = {name: part for name, part in toy_parts.parts().items() if name in ("space", "evaluator", "data")}
    with observer:
        nascore.resume(tmp_path / "run", trials=5, observers=[observer], **objects)
    assert stream.getvalue().startswith("random: 5 trials, 3 done, seed 0")
    assert trial_lines(stream.getvalue()) == [("3", "4"), ("4", "5")]
    assert observer.counts == {"complete": 5, "pruned": 0, "infeasible": 0, "fail": 0}


def test_failures_are_told_with_their_reason(tmp_path):
    stream = io.StringIO()
    observer = PlainProgress(stream)
    with pytest.raises(SearchFailedError):
        search(tmp_path, observer, trials=2, evaluator=Failing())
    assert "fail: RuntimeError: out of cheese" in stream.getvalue()
    assert observer.failure == "trial 1: RuntimeError: out of cheese"
    assert observer.result.state == "failed"


def test_time_left_is_the_budget_that_ends_first():
    observer = Progress()
    assert observer.seconds_left(0, 10, None) is None
    observer.finished = 5
    observer._since = time.monotonic() - 50  # ten seconds a trial
    assert observer.seconds_left(5, 10, None) == pytest.approx(50, abs=1)
    assert observer.seconds_left(5, 10, 70.0) == pytest.approx(20, abs=1)
    assert observer.seconds_left(5, None, 40.0) == 0
    observer._earlier = 15.0
    assert observer.seconds_left(5, None, 70.0) == pytest.approx(5, abs=1)


def test_the_panel_shows_budget_best_last_and_counts(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=110, color_system=None)
    observer = LiveProgress(console)
    result = search(tmp_path, observer, trials=7, objectives=["accuracy", "loss"])
    console.file.truncate(0)
    console.print(observer._draw())
    text = console.file.getvalue()
    assert "random on " in text
    assert "7 of 7" in text
    assert f"accuracy {result.best.value('accuracy'):.4g}" in text
    assert f"(trial {result.best.number})" in text
    assert "7 complete" in text
    assert "on the Pareto front" in text


def test_the_panel_survives_a_failed_search_and_gives_the_terminal_back(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    observer = LiveProgress(console)
    with pytest.raises(SearchFailedError):
        search(tmp_path, observer, trials=1, evaluator=Failing())
    assert console.file.getvalue().endswith("\x1b[2K")  # the panel is wiped
    assert "\x1b[?25h" in console.file.getvalue()  # the cursor is shown again
    console.print(observer._draw())
    assert "out of cheese" in console.file.getvalue()


def test_an_event_costs_the_same_at_any_length(tmp_path):
    """20,000 trials must not be slowed: the display is told the last trial of a long search again and again."""
    observer = LiveProgress(Console(file=io.StringIO(), force_terminal=True))
    result = search(tmp_path, observer, trials=30)
    trial = result.trial(29)
    start = time.perf_counter()
    for _ in range(20_000):
        observer.nascore_trial_finished(result.search, trial)
    assert time.perf_counter() - start < 2.0  # 20 us an event on an idle core


@pytest.mark.parametrize(
    ("quiet", "terminal", "term", "kind"),
    [(True, True, "xterm", Progress), (False, True, "xterm", LiveProgress), (False, True, "dumb", PlainProgress),
     (False, False, "xterm", PlainProgress)],
)  # fmt: skip
def test_the_display_fits_where_standard_error_goes(monkeypatch, quiet, terminal, term, kind):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert type(choose_progress(quiet)) is kind
