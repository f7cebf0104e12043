"""Listeners hear what happens, and one that fails is left out alone."""

from __future__ import annotations

import logging

import pytest

from nascore.errors import UsageError
from nascore.hooks import hookimpl
from nascore.lifecycle import Lifecycle


class Listener:
    def __init__(self, log, name, fails=None):
        self.log, self.name, self.fails = log, name, fails

    @hookimpl
    def nascore_trial_reported(self, number, step):
        self.log.append((self.name, number, step))
        if self.fails is not None:
            raise self.fails

    @hookimpl
    def nascore_trial_finished(self, trial):
        self.log.append((self.name, trial))


def emit(lifecycle, number=0):
    lifecycle.emit("trial_reported", search=None, number=number, step=5, metrics={})


def test_all_hear_in_the_order_of_registration():
    log = []
    emit(Lifecycle([Listener(log, "a"), Listener(log, "b"), Listener(log, "c")]))
    assert log == [("a", 0, 5), ("b", 0, 5), ("c", 0, 5)]


def test_tryfirst_and_trylast_mean_what_pluggy_says():
    log = []

    class First(Listener):
        nascore_trial_finished = hookimpl(tryfirst=True)(lambda self, trial: self.log.append(self.name))

    class Last(Listener):
        nascore_trial_finished = hookimpl(trylast=True)(lambda self, trial: self.log.append(self.name))

    class Middle(Listener):
        nascore_trial_finished = hookimpl(lambda self, trial: self.log.append(self.name))

    lifecycle = Lifecycle([Last(log, "last"), Middle(log, "middle"), First(log, "first")])
    lifecycle.emit("trial_finished", search=None, trial=None)
    assert log == ["first", "middle", "last"]


def test_one_that_fails_is_told_once_and_left_out_of_everything(caplog):
    log = []
    lifecycle = Lifecycle([Listener(log, "a"), Listener(log, "bad", ZeroDivisionError("no")), Listener(log, "c")])
    with caplog.at_level(logging.WARNING, "nascore"):
        emit(lifecycle)
        emit(lifecycle, 1)
        lifecycle.emit("trial_finished", search=None, trial="t")
    assert log == [("a", 0, 5), ("bad", 0, 5), ("c", 0, 5), ("a", 1, 5), ("c", 1, 5), ("a", "t"), ("c", "t")]
    assert [r.getMessage().split(" failed ")[1] for r in caplog.records] == [
        "in nascore_trial_reported and is left out from here on: ZeroDivisionError: no"
    ]


def test_ctrl_c_inside_a_listener_is_no_failure_of_the_listener():
    with pytest.raises(KeyboardInterrupt):
        emit(Lifecycle([Listener([], "a", KeyboardInterrupt())]))


def test_nobody_listens():
    emit(Lifecycle([]))


def test_a_misspelt_hook_of_an_observer_is_an_error():
    class Typo:
        @hookimpl
        def nascore_trial_finishd(self, trial): ...

    with pytest.raises(UsageError, match=r"Typo cannot listen: unknown hook 'nascore_trial_finishd'"):
        Lifecycle([Typo()])


def test_an_unknown_argument_of_an_observer_is_an_error():
    class Typo:
        @hookimpl
        def nascore_trial_finished(self, trail): ...

    with pytest.raises(UsageError, match="trail"):
        Lifecycle([Typo()])
