"""Constraints as a sampler sees them: how far an architecture breaks them, and a draw that breaks none."""

from __future__ import annotations

import random

import pytest
from toy_parts import Letters, Stopwatch, parts

import nascore
from nascore.contracts import View
from nascore.limits import FILE
from nascore.records import Candidate


class Careful(nascore.Sampler):
    """Draws within the constraints."""

    asked: list[tuple[str, float]] = []

    def ask(self, view):
        drawn = view.within(lambda: self.space.sample(lambda _, options: view.rng.choice(options)))
        self.asked.append((drawn.key, view.excess(drawn)))
        return Candidate(drawn)


def vowels(architecture):
    return sum(letter in "ae" for letter in architecture.genome.values())


def test_within_draws_until_the_constraints_hold(tmp_path):
    result = nascore.search(
        **parts(sampler=Careful(), trials=30, out=tmp_path / "run", costs=["toy_parts:Vowels"]),
        constraints=["vowels<=1"],
    )
    counts = [vowels(trial.architecture) for trial in result.history]
    assert max(counts) <= 1
    assert {trial.status for trial in result.history} == {nascore.Status.COMPLETE}


def test_the_excess_is_a_share_of_the_limit(tmp_path):
    seen = {}

    class Asks(Careful):
        def ask(self, view):
            for letters in ("cccccc", "aecccc", "aeaeae"):
                architecture = self.space.architecture({f"op{i}": letter for i, letter in enumerate(letters)})
                seen[letters] = view.excess(architecture)
            return super().ask(view)

    given = parts(sampler=Asks(), trials=1, out=tmp_path / "run", costs=["toy_parts:Vowels"])
    nascore.search(**given, constraints=["vowels<=2", "accuracy>=0.0"])
    assert seen == {"cccccc": 0.0, "aecccc": 0.0, "aeaeae": 2.0}


def test_without_constraints_everything_is_within():
    space = Letters()
    first = space.sample(lambda _, options: options[0])
    assert View(0, random.Random(0), None).within(lambda: first) is first


def test_the_nearest_comes_where_nothing_fits():
    space, drawn = Letters(), iter(["aeaeae", "aaaccc", "aecccc", "eeeeee"])
    view = View(0, random.Random(0), None, excess=lambda architecture: vowels(architecture) - 1.0)
    found = view.within(lambda: space.architecture(dict(enumerate(next(drawn)))), tries=4)
    assert vowels(found) == 2
    with pytest.raises(StopIteration):
        next(drawn)


def test_what_was_measured_is_measured_once_also_after_a_resume(tmp_path):
    given = parts(sampler=Careful(), trials=4, out=tmp_path / "run", costs=["toy_parts:Stopwatch"])
    Careful.asked.clear()
    nascore.search(**given, constraints=["vowels<=2.5"])
    first, calls = list(Careful.asked), Stopwatch.calls
    log = tmp_path / "run" / "state" / FILE
    assert len(log.read_text().split("\n")) > len({key for key, _ in first})
    log.write_text(log.read_text() + '\n["cut off by a ki')
    for file in log.parent.glob("*.checkpoint"):  # so that everything is asked once more
        file.unlink()
    Careful.asked.clear()
    nascore.resume(tmp_path / "run", sampler=Careful(), evaluator=given["evaluator"], data=given["data"],
                   space=given["space"])  # fmt: skip
    assert Careful.asked == first
    assert Stopwatch.calls == calls
