"""Asks and tells as they happened, from what is stored; and the budgets that samplers saw."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import worker_parts
from toy_parts import Letters, NoData, Table, parts

import nascore
from nascore.contracts import Executor
from nascore.errors import RunError
from nascore.order import Budgets, InFlight, Order, events
from nascore.records import Architecture, Candidate, Status, Trial


def trial(number):
    return Trial(number, Candidate(Architecture("s", None, "k")), Status.COMPLETE)


def told(found):
    return [event if isinstance(event, int) else f"tell {event.number}" for event in found]


def test_one_at_a_time_needs_no_record():
    assert told(events([trial(0), trial(1)], {})) == [0, "tell 0", 1, "tell 1"]
    assert told(events([trial(3)], {}, told=3, asked=3)) == [3, "tell 3"]


def test_a_random_parallel_history_is_found_again_from_any_part_of_it():
    rng = random.Random(0)
    for _ in range(200):
        happened, flying, stored, orders, asked = [], InFlight(), [], {}, 0
        for _ in range(30):
            if flying and (len(flying) == 3 or rng.random() < 0.4):
                number = rng.choice(sorted(flying))
                order = flying.order_of(flying.end(number))
                if order != Order(number):
                    orders[number] = order
                stored.append(trial(number))
                happened.append(f"tell {number}")
            else:
                flying.add(asked, trial(asked).candidate, len(stored))
                happened.append(asked)
                asked += 1
        for cut in range(len(stored) + 1):
            kept = {t.number for t in stored[:cut]}
            until = happened.index(f"tell {stored[cut - 1].number}") + 1 if cut else 0
            found = told(events(stored[:cut], {n: o for n, o in orders.items() if n in kept}))
            assert found == happened[:until]
        named = Counter(n for order in orders.values() for n, _ in order.in_flight)
        assert not named or max(named.values()) == 1


def test_a_parent_is_known_while_its_children_are_in_flight():
    flying = InFlight()
    for number, parent in enumerate([7, 7, None]):
        flying.add(number, Candidate(Architecture("s", None, "k"), parent=parent), 8)
    assert flying.inherits(7)
    flying.end(0)
    assert flying.inherits(7)
    flying.end(1)
    assert not flying.inherits(7)
    assert not flying.inherits(5)


class Shuffled(Executor):
    """Three jobs at a time, in this process; which is done first is drawn."""

    capacity = 3

    def __init__(self, seed, stop_at=-1):
        self.rng, self.jobs, self.stop_at, self.seen = random.Random(seed), [], stop_at, {}

    def submit(self, job):
        self.seen[job.number] = (job.candidate, job.seed)
        self.jobs.append(job)

    def wait(self):
        self.stop_at -= 1
        if self.stop_at == -1:
            raise Stop
        return self.run(self.jobs.pop(self.rng.randrange(len(self.jobs))))


class Stop(BaseException):
    """Ends a search as abruptly as a kill does."""


def again(**changes):
    return {"space": Letters(), "sampler": worker_parts.Learner(), "evaluator": Table(), "data": NoData(), **changes}


@pytest.mark.parametrize("stop_at", [0, 1, 2, 5, 9, 13])
def test_a_parallel_search_stopped_anywhere_asks_the_same_again(tmp_path, stop_at):
    first = Shuffled(1, stop_at)
    with pytest.raises(Stop):
        nascore.search(**parts(sampler=worker_parts.Learner(), trials=14, out=tmp_path / "run", executor=first))
    second = Shuffled(2)
    result = nascore.resume(tmp_path / "run", **again(executor=second))
    assert Counter(t.number for t in result.history) == Counter(range(14))
    lost = [job.number for job in first.jobs]
    assert lost
    assert {n: second.seen[n] for n in lost} == {n: first.seen[n] for n in lost}
    # All that is stored goes through a fresh sampler once more, which must propose the same.
    longer = nascore.resume(tmp_path / "run", trials=16, **again(executor=Shuffled(3)))
    assert [t.number for t in longer.history][:14] == [t.number for t in result.history]
    assert len(longer.history) == 16


def test_an_order_that_is_not_what_happened_is_told(tmp_path):
    nascore.search(**parts(sampler=worker_parts.Learner(), trials=9, out=tmp_path / "run", executor=Shuffled(1)))
    path = tmp_path / "run" / "trials"
    text = path.read_text()
    wrong = text.replace('"told_at_ask":3', '"told_at_ask":2').replace(",3]", ",2]")
    assert wrong != text
    path.write_text(wrong)
    with pytest.raises(RunError, match="not what the sampler proposes now"):
        nascore.resume(tmp_path / "run", trials=12, **again(executor=Shuffled(1)))


def test_a_parallel_search_goes_on_one_at_a_time_and_back(tmp_path):
    nascore.search(**parts(sampler=worker_parts.Learner(), trials=4, out=tmp_path / "run"))
    with pytest.raises(Stop):
        nascore.resume(tmp_path / "run", trials=10, **again(executor=Shuffled(1, 2)))
    nascore.resume(tmp_path / "run", trials=12, **again())
    result = nascore.resume(tmp_path / "run", trials=15, **again(executor=Shuffled(4)))
    assert Counter(t.number for t in result.history) == Counter(range(15))


class Budgeted(worker_parts.Learner):
    """Looks at the budget, as an exploration schedule does."""

    def ask(self, view):
        self.state += view.trials
        return super().ask(view)


def test_a_replay_shows_the_budget_that_held(tmp_path):
    nascore.search(**parts(sampler=Budgeted(), trials=6, out=tmp_path / "run", executor=Shuffled(1)))
    nascore.resume(tmp_path / "run", trials=9, **again(sampler=Budgeted(), executor=Shuffled(1)))
    result = nascore.resume(tmp_path / "run", trials=12, **again(sampler=Budgeted(), executor=Shuffled(1)))
    assert len(result.history) == 12


def test_budgets_that_never_counted_are_void(tmp_path):
    budgets = Budgets(tmp_path)
    assert budgets.at(3, 50) == 50
    for number, trials in ((0, 10), (4, 20), (4, 30), (6, 30)):
        budgets.change(number, trials)
    again = Budgets(tmp_path)
    assert [again.at(n, None) for n in (0, 3, 4, 9)] == [10, 10, 30, 30]
    (tmp_path / "budgets.json").write_text('[["x", 1]]')
    assert Budgets(tmp_path).at(0, 7) == 7
