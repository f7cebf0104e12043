"""``nascore compare``: races equal searches, statistics equal scipy's and a hand's, and bad input is told."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import toy_parts
from bench_parts import Listed, Noisy
from click.testing import CliRunner
from fake_plugins import Workbench
from scipy import stats

import nascore
from nascore.cli.main import cli, main
from nascore.compare.api import compare
from nascore.compare.picture import draw
from nascore.compare.race import Course, Curve
from nascore.compare.statistics import duels, summaries
from nascore.errors import PluginError, SettingsError, UsageError
from nascore.pareto import hypervolume
from nascore.plugins import Plugins
from nascore.records import Direction

SMALL = "amoebanet population_size=5 tournament_size=2"


@pytest.fixture(autouse=True)
def _bench(tmp_path, monkeypatch):
    bench = Workbench(tmp_path, monkeypatch)
    bench.announce("bench", "bench_parts")


def course(name="letters", objectives=(), **options):
    return Course(Plugins().find("benchmarks", name)[1], options, objectives)


def test_a_race_sees_the_trials_of_a_search(tmp_path):
    sampler = {"use": "amoebanet:amoebanet", "population_size": 5, "tournament_size": 2}
    curve = course("bare").race(sampler, 3, 25)
    result = nascore.search(
        sampler=sampler, space=toy_parts.Letters(), evaluator=Noisy(), data=toy_parts.NoData(), costs=[],
        trials=25, seed=3, tracking="off", out=tmp_path / "run",
    )  # fmt: skip
    values = [trial.objectives["accuracy"] for trial in result.history]
    assert list(curve.scores) == list(np.maximum.accumulate(values))


def test_the_score_is_the_truth_of_the_incumbent_and_not_the_best_truth():
    noisy = course()
    curve = noisy.race({"use": "random:random"}, 0, 60)
    assert any(b < a for a, b in zip(curve.scores, curve.scores[1:]))  # a lucky one took over  # noqa: B905
    assert max(curve.scores) <= 1.0
    clear = course(evaluator={"noise": 0.0}).race({"use": "random:random"}, 0, 60)
    assert list(clear.scores) == sorted(clear.scores)


def test_simulated_seconds_end_a_race():
    assert course().race({"use": "random:random"}, 0, 60, seconds=9.0).seconds == (2.0, 4.0, 6.0, 8.0, 10.0)


TWO = ("accuracy", "size")


def test_two_objectives_are_scored_by_the_truth_of_the_front_that_was_seen():
    two = course("two", objectives=TWO)
    # size is the share of 'a' and 'b', from the worst, 1; accuracy the share of 'c', from 0.2: the exact front is
    # size 0 with accuracy 1
    assert two.score.reference == (0.2, 1.0)
    assert two.score.exact == pytest.approx(0.8)
    curve = two.race({"use": "random:random"}, 0, 40)
    assert 0 <= min(curve.scores) <= max(curve.scores) <= 1.0
    assert len(set(curve.scores)) > 3
    clear = course("two", objectives=TWO, evaluator={"noise": 0.0}).race({"use": "random:random"}, 0, 40)
    assert list(clear.scores) == sorted(clear.scores)
    assert any(b < a for a, b in zip(curve.scores, curve.scores[1:]))  # noqa: B905 - a lucky one pushed a better one out


def test_a_race_of_two_objectives_is_the_search_of_two(tmp_path):
    sampler = {"use": "amoebanet:amoebanet", "population_size": 5, "tournament_size": 2}
    two = course("two", objectives=TWO)
    curve = two.race(sampler, 3, 25)
    result = nascore.search(
        sampler=sampler, space=toy_parts.Letters(), evaluator=Listed(), data=toy_parts.NoData(), costs=[],
        trials=25, seed=3, tracking="off", out=tmp_path / "run", objectives=TWO,
    )  # fmt: skip
    front = [(t.metrics["truth"], t.objectives["size"]) for t in result.pareto_front]
    share = hypervolume(front, (0.2, 1.0), [Direction.MAXIMIZE, Direction.MINIMIZE]) / 0.8
    assert curve.scores[-1] == pytest.approx(share)
    assert 0 < share < 1


def test_another_objective_has_no_numbers_of_others():
    found = compare("two", ["random"], objectives=["size"], evaluations=[8], seeds=2, workers=1)
    assert (found.maximise, dict(found.reference), found.score.name) == (False, {}, "size")
    assert dict(compare("two", ["random"], evaluations=[8], seeds=2, workers=1).reference) == {"a peer": {"10": 0.5}}


@pytest.mark.parametrize(
    ("benchmark", "objectives", "says"),
    [
        ("two", ["acuracy"], "accuracy"),
        ("two", ["size", "size"], "twice"),
        ("letters", ["accuracy", "loss"], "does not list its table"),
        ("far", TWO, "better than its reference point"),
    ],
)
def test_objectives_that_cannot_be(benchmark, objectives, says):
    with pytest.raises(UsageError, match=says):
        compare(benchmark, ["random"], objectives=objectives, workers=1)


def test_the_command_with_two_objectives(tmp_path):
    words = ["compare", "--benchmark", "two", "--sampler", "random", "--objective", "accuracy", "--objective", "size",
             "--evaluations", "10", "--seeds", "3", "--workers", "1"]  # fmt: skip
    done = CliRunner().invoke(cli, [*words, "--plot", str(tmp_path / "p.svg")])
    assert done.exit_code == 0, done.output
    assert "two: hypervolume of the front / of the exact one after 10 evaluations" in done.stdout
    assert "reference point: accuracy 0.2, size 1" in done.stdout
    assert "a peer" not in done.stdout
    as_json = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert as_json["objectives"] == {"accuracy": "maximize", "size": "minimize"}
    assert (as_json["score"], as_json["direction"]) == ("hypervolume", "maximize")
    assert as_json["reference_point"] == {"accuracy": 0.2, "size": 1.0}
    assert as_json["exact_hypervolume"] == pytest.approx(0.8)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    found = compare("letters", ["random", SMALL], evaluations=[5, 20], seeds=6, workers=workers)
    alone = course()
    for seed in range(6):
        assert found.curves["random"][seed] == alone.race({"use": "random:random"}, seed, 20)
    assert found.budgets == (5, 20)
    assert found.summaries(20)[SMALL].seeds == 6


def test_a_short_curve_keeps_its_last_score():
    assert [Curve((0.1, 0.3)).at(n) for n in (1, 2, 9)] == [0.1, 0.3, 0.3]


def test_summaries_by_hand():
    found = summaries({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0, 5.0]}, maximise=True)
    a = found["a"]
    assert (a.mean, a.std, a.rank) == (2.0, 1.0, pytest.approx((2 + 1.5 + 2) / 3))
    assert a.half == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)  # t of two degrees of freedom
    assert summaries({"a": [1.0], "b": [2.0]}, maximise=False)["a"].rank == 1.0


def test_duels_are_wilcoxon_with_holm():
    rng = np.random.default_rng(0)
    scores = {name: list(rng.normal(mean, 1, 20)) for name, mean in (("a", 0), ("b", 0.2), ("c", 2))}
    found = {(d.first, d.second): d for d in duels(scores)}
    raw = {
        pair: stats.wilcoxon(np.subtract(scores[pair[0]], scores[pair[1]])).pvalue
        for pair in (("a", "b"), ("a", "c"), ("b", "c"))
    }
    assert found["b", "c"].p < 0.05
    assert found["a", "c"].difference == pytest.approx(np.mean(scores["a"]) - np.mean(scores["c"]))
    order = sorted(raw, key=raw.get)
    assert found[order[0]].p == pytest.approx(min(1, 3 * raw[order[0]]))
    assert found[order[2]].p == pytest.approx(max(raw[order[2]], *(found[p].p for p in order[:2])))
    assert duels({"a": [1.0] * 5, "b": [2.0] * 5}) == []
    assert duels({"a": [1.0] * 9, "b": [1.0] * 9})[0].p == 1.0


def test_the_plot(tmp_path):
    found = compare("letters", ["random"], evaluations=[12], seeds=3, workers=1)
    for name in ("a.png", "a.svg", "a.html"):
        draw(found, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<svg" in page
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.html"):
        draw(found, tmp_path / "a.gif")


def test_the_command(tmp_path):
    words = ["compare", "--benchmark", "letters", "--sampler", "random", "--sampler", SMALL,
             "--evaluations", "10", "--seeds", "8", "--workers", "1"]  # fmt: skip
    done = CliRunner().invoke(cli, [*words, "--plot", str(tmp_path / "p.svg")])
    assert done.exit_code == 0, done.output
    assert "letters: truth of the incumbent after 10 evaluations" in done.stdout
    assert "a peer (reference)" in done.stdout
    assert "Wilcoxon" in done.stdout
    as_json = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert as_json["budgets"]["10"]["samplers"]["random"]["seeds"] == 8
    assert len(as_json["scores"]["random"]) == 8
    assert (as_json["benchmark"], as_json["evaluations"], as_json["seeds"]) == ("letters", 10, 8)
    first, second = as_json["results"]
    assert (first["plugin"], second["sampler"]) == ("random", SMALL)
    assert list(first["curve"]) == [str(number) for number in range(1, 11)]
    ends = [scores[-1] for scores in as_json["scores"]["random"]]
    assert first["curve"]["10"]["mean"] == pytest.approx(sum(ends) / 8)
    assert first["p_value"] == second["p_value"] == as_json["budgets"]["10"]["duels"][0]["p"]
    assert first["rank"] + second["rank"] == 3


def test_methods_are_compared_by_name():
    words = ["compare", "--benchmark", "bench:letters", "--plugins", "random,amoebanet", "--evaluations", "3",
             "--seeds", "2", "--workers", "1", "--json"]  # fmt: skip
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert [one["plugin"] for one in json.loads(done.stdout)["results"]] == ["random", "amoebanet"]
    none = CliRunner().invoke(cli, ["compare", "--benchmark", "letters"])
    assert "--plugins random,amoebanet" in str(none.exception)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("lettres", ["random"]), PluginError, "letters"),
        (("letters", ["amoebanett"]), PluginError, "amoebanet"),
        (("letters", ["amoebanet populaton_size=5"]), SettingsError, "population_size"),
        (("letters", []), UsageError, "at least one sampler"),
    ],
)
def test_what_is_wrong_is_told_before_a_race(words, error, says):
    with pytest.raises(error, match=says):
        compare(*words, workers=1)


def test_a_budget_of_seconds_needs_a_clock():
    with pytest.raises(UsageError, match="no simulated seconds"):
        compare("bare", ["random"], seconds=3.0)
    with pytest.raises(UsageError, match="is no part of a benchmark"):
        compare("letters", ["random"], options={"sampler": {}})


def test_a_benchmark_is_shown_and_checked(capsys):
    assert main(["plugins", "show", "bench:letters"]) == 0
    assert "a peer" in capsys.readouterr().out
    assert main(["plugins", "check", "bench"]) == 0
