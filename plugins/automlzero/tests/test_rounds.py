"""Compiled rounds of evolution: the same programs, mutations and fitness as the plain modules; islands; resuming."""

import contextlib
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest

import nascore
from nascore.contracts import View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore.testing import driver
from nascore_automlzero import evolving
from nascore_automlzero.bytecode import lower
from nascore_automlzero.islands import Island, ProgramIslands
from nascore_automlzero.mutation import random_instruction
from nascore_automlzero.numeric import empty, genome, grammar, write
from nascore_automlzero.ops import OPS
from nascore_automlzero.program import PARTS, Limits, check_program
from nascore_automlzero.rounds import ProgramRounds
from nascore_automlzero.space import ProgramSpace
from nascore_automlzero.tasks import ClassPairs, Regression

LIMITS = Limits(4, 3, 6, 4, 3, 2, tuple(OPS))
FEATURES = 4
FITNESS = Objective("fitness", Direction.MAXIMIZE)
REGRESSOR = {
    "setup": [["s_constant", 2, 0.2]],
    "predict": [["s_dot", 1, 0, 1]],
    "learn": [["s_subtract", 3, 0, 1], ["s_multiply", 3, 3, 2], ["v_scale", 2, 3, 0], ["v_add", 1, 1, 2]],
}


def drawn(count, seed=0, limits=LIMITS):
    rng = random.Random(seed)
    sizes = [{part: rng.randint(0, limits.of(part)) for part in PARTS} for _ in range(count)]
    return [{part: [random_instruction(limits, rng) for _ in range(one[part])] for part in PARTS} for one in sizes]


@cache
def parts(data=Regression, ops="all", **options):
    """The space and the evaluator of one kind; kept, as they hold no state."""
    splits = data(tasks=3, **({"examples": 30, "others": 20} if data is Regression else {})).load(0).for_search()
    space = ProgramSpace(ops=ops)
    space.name = "automlzero:programs"
    space.setup(splits.task)
    evaluator = ProgramRounds(**options)
    evaluator.setup(space, splits)
    return space, evaluator


class Round:
    """The context of a round: all that matters is its seed."""

    def __init__(self, seed):
        self.seed = seed


def settled(rounds, seed=0, data=Regression, ops="linear", judge=(), **options):
    """A sampler after so many rounds."""
    space, evaluator = parts(data, ops, **dict(judge))
    sampler = ProgramIslands(**{"candidates_per_trial": 2000, "population_size": 20, **options})
    sampler.setup(space, [FITNESS], seed)
    made = [evaluator.prepare(sampler, Round(1000 * seed + number)) for number in range(rounds)]
    return sampler, evaluator, made


def test_a_program_goes_through_its_numbers():
    programs = empty(2, LIMITS)
    for one in drawn(200):
        write(one, programs, 1, LIMITS)
        assert genome(programs, 1, LIMITS) == one
    assert genome(programs, 0, LIMITS) == {part: [] for part in PARTS}


def test_it_is_lowered_as_by_the_plain_module():
    programs, tables = empty(1, LIMITS), grammar(LIMITS, FEATURES)
    desk = evolving.Desk(
        np.zeros(13, np.bool_), np.zeros((13, 5), np.int64), np.zeros((13, 2)), np.zeros(2, np.int64),
        np.zeros(tables.memory), np.zeros(20),
    )  # fmt: skip
    lengths = set()
    for one in drawn(1500, seed=1):
        write(one, programs, 0, LIMITS)
        length = evolving.lower(programs.codes[0], programs.numbers[0], programs.sizes[0], desk, tables)
        wanted = lower(one, LIMITS, FEATURES)
        np.testing.assert_array_equal(desk.table[:length], wanted.table)
        np.testing.assert_array_equal(desk.constants[:length], wanted.constants)
        np.testing.assert_array_equal(desk.ends, wanted.ends)
        assert (tables.memory, tables.starts[1]) == (wanted.memory, wanted.start)
        lengths.add(length)
    assert {0, 1, 5} <= lengths


def test_mutations_keep_the_limits_and_do_what_they_should():
    programs, tables, rng = empty(1, LIMITS), grammar(LIMITS, FEATURES), np.random.default_rng(0)
    seen = Counter()
    for one in drawn(300, seed=2):
        write(one, programs, 0, LIMITS)
        for _ in range(40):
            before = genome(programs, 0, LIMITS)
            kind = evolving.mutate(programs.codes[0], programs.numbers[0], programs.sizes[0], tables, rng)
            after = genome(programs, 0, LIMITS)
            check_program(after, LIMITS)
            seen[kind, before == after] += 1
            changed = [part for part in PARTS if before[part] != after[part]]
            assert len(changed) <= 1
            for old, new in ((before[part], after[part]) for part in changed):
                if kind == 0:
                    longer, shorter = sorted((old, new), key=len, reverse=True)
                    assert any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))
                elif kind == 1:
                    assert len(old) == len(new)
                else:
                    [(first, second)] = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
                    assert first[0] == second[0]
                    assert sum(a != b for a, b in zip(first, second, strict=True)) == 1
    for kind in range(3):
        assert seen[kind, False] + seen[kind, True] == pytest.approx(4000, abs=300)
    assert seen[0, True] < 400  # only removing and inserting at the same place would change nothing


@pytest.mark.parametrize("data", [Regression, ClassPairs])
def test_members_have_the_fitness_that_the_evaluator_gives(data):
    sampler, evaluator, _ = settled(2, data=data, ops="all", judge=(("hurdle_tasks", 0),), start="random")
    values = []
    for island in sampler.islands:
        for place, found in enumerate(island.living.fitness):
            one = genome(island.living, place, evaluator.space.limits)
            code = lower(one, evaluator.space.limits, evaluator._features)
            assert found == evaluator.fitness(code, evaluator._train).mean()
            values.append(found)
    assert len(set(values)) > 5


def test_candidates_are_counted_and_most_are_never_run():
    sampler, _, made = settled(3, candidates_per_trial=20_000)
    for one in made:
        assert one.changed
        assert one.metrics["candidates"] == 20_000
        hits = one.metrics["text_hits"] + one.metrics["behaviour_hits"]
        assert hits + one.metrics["evaluated"] == 20_000
        assert hits > 14_000
        assert 0 <= one.metrics["hurdle_rejects"] < one.metrics["evaluated"]
    assert sampler.counted()["candidates"] == 60_000
    assert sum(one.metrics["hurdle_rejects"] for one in made) > 0


def test_no_hurdle_no_rejects():
    _, _, made = settled(3, judge=(("hurdle_tasks", 0),))
    assert all(one.metrics["hurdle_rejects"] == 0 for one in made)


def test_about_the_share_falls_at_the_hurdle():
    counts, recent, rng = np.zeros(7, np.int64), np.zeros(257), np.random.default_rng(0)
    fallen = []
    for _ in range(4000):
        counts[evolving.EVALUATED] += 1
        fallen.append(evolving._stumbles(rng.random(), counts, recent, 0.75))
    assert not any(fallen[:257])
    assert np.mean(fallen[500:]) == pytest.approx(0.75, abs=0.04)


def test_evolution_gets_better_and_the_best_of_the_round_is_proposed():
    sampler, evaluator, made = settled(6, data=ClassPairs)
    best = [one.metrics["best"] for one in made]
    assert best[-1] > best[0] > 0.5
    candidate = sampler.ask(View(6, random.Random(0), TrialHistory([FITNESS])))
    assert candidate.metrics["candidates"] == 12_000
    assert evaluator.evaluate(candidate, None).objectives["fitness"] == best[-1]


def test_the_oldest_die_and_a_tournament_of_all_copies_the_best():
    space, evaluator = parts(Regression, "linear")
    sampler = ProgramIslands(candidates_per_trial=13, islands=1, population_size=10, tournament_size=200, start="empty",
                             mutate_probability=1e-12)  # fmt: skip
    sampler.setup(space, [FITNESS], 0)
    [island] = sampler.islands
    write(REGRESSOR, island.living, 4, space.limits)
    evaluator.prepare(sampler, Round(0))
    present = [genome(island.living, place, space.limits) == REGRESSOR for place in range(10)]
    assert [place for place, here in enumerate(present) if here] == [0, 1, 2, 4]
    assert island.counts[evolving.OLDEST] == 3


def test_migrants_take_the_places_of_the_oldest():
    space, _ = parts(Regression, "linear")
    sampler = ProgramIslands(islands=3, population_size=5, migrants=2)
    sampler.setup(space, [FITNESS], 0)
    for number, island in enumerate(sampler.islands):
        island.living.fitness[:] = number + np.arange(5) / 10
        island.counts[evolving.OLDEST] = 4
    sampler._migrate(np.random.default_rng(0))
    for number, island in enumerate(sampler.islands):
        assert island.counts[evolving.OLDEST] == 1
        came = island.living.fitness[[4, 0]]
        assert {int(value) for value in came} == {(number - 1) % 3}
        assert len(set(came)) == 2
        np.testing.assert_array_equal(island.living.fitness[[1, 2, 3]], number + np.array([0.1, 0.2, 0.3]))


def everything(sampler):
    return [array.tolist() for island in sampler.islands for array in island.arrays()]


def test_threads_change_nothing(monkeypatch):
    one, _, _ = settled(2, islands=3)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    other, _, _ = settled(2, islands=3)
    assert everything(one) == everything(other)
    assert everything(one) != everything(settled(2, islands=3, seed=1)[0])


def test_a_restored_sampler_goes_on_exactly():
    whole, evaluator, _ = settled(4, experiment_rounds=3)
    half, _, _ = settled(2, experiment_rounds=3)
    restored, _, _ = settled(0, experiment_rounds=3)
    restored.load_state_dict(driver.through_checkpoint(half.state_dict()), TrialHistory([FITNESS]))
    for number in (2, 3):
        evaluator.prepare(restored, Round(number))
    assert everything(restored) == everything(whole)


def test_the_goal_ends_a_round_and_the_search():
    sampler, evaluator, made = settled(60, goal=0.47)
    assert 1 <= sum(one.changed for one in made) < 60
    assert sampler.counted()["candidates"] % 2000 != 0
    assert not evaluator.prepare(sampler, Round(77)).changed


@pytest.mark.parametrize("start", ["empty", "random"])
def test_an_experiment_that_is_over_begins_anew_and_the_counts_go_on(start):
    space, evaluator = parts(Regression, "linear", hurdle_tasks=0)

    def after(rounds, seeds, **options):
        sampler = ProgramIslands(candidates_per_trial=2000, population_size=20, start=start, **options)
        sampler.setup(space, [FITNESS], 0)
        for number in range(rounds):
            evaluator.prepare(sampler, Round(seeds[number]))
        return sampler

    once, anew, kept = after(2, [7, 8]), after(4, [7, 8, 7, 8], experiment_rounds=2), after(4, [7, 8, 7, 8])
    assert anew.counted()["candidates"] == kept.counted()["candidates"] == 8000
    found = [[array.tolist() for island in one.islands for array in island.living] for one in (once, anew, kept)]
    assert (found[0] == found[1]) == (start == "empty")  # other first programs, where chance makes them
    assert found[1] != found[2]


def test_a_constraint_holds_for_what_is_proposed():
    sampler, evaluator, _ = settled(6)

    def excess(architecture):
        return max(0.0, sum(map(len, architecture.genome.values())) - 6)

    view = View(0, random.Random(0), TrialHistory([FITNESS]), excess=excess)
    assert excess(sampler.ask(view).architecture) == 0
    never = View(0, random.Random(0), TrialHistory([FITNESS]), excess=lambda _: 1.0)
    assert evaluator.evaluate(sampler.ask(never), None).objectives["fitness"] == max(
        island.best.fitness[0] for island in sampler.islands
    )


def test_the_program_that_is_best_on_unseen_tasks_is_recommended():
    sampler, history = ProgramIslands(), TrialHistory([FITNESS])
    assert sampler.recommend(history) is None
    space, _ = parts(Regression, "linear")
    for number, (seen, unseen) in enumerate([(0.9, 0.7), (0.8, 0.8), (0.7, 0.75)]):
        measured = {"fitness": seen}, {"valid_fitness": unseen}
        history.add(Trial(number, Candidate(space.trivial()), Status.COMPLETE, measured[0], metrics=measured[1]))
    assert sampler.recommend(history).number == 1


@pytest.mark.parametrize(
    "options", [{"islands": 0}, {"islands": 3, "candidates_per_trial": 2}, {"migrants": -1}, {"experiment_rounds": -1},
                {"tournament_size": 0}, {"start": "full"}],
)  # fmt: skip
def test_bad_settings_of_the_sampler(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        ProgramIslands(**options)


@pytest.mark.parametrize("options", [{"cache_size": 1000}, {"hurdle": 1.0}, {"hurdle_tasks": -1}, {"epochs": 0}])
def test_bad_settings_of_the_evaluator(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        ProgramRounds(**options)


def test_too_many_addresses_are_refused():
    with pytest.raises(SettingsError, match=r"62.*automlzero:evolution"):
        grammar(LIMITS._replace(s=60), FEATURES)


def test_parts_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(CapabilityError, match="rounds"):
        nascore.search("automl-zero", evaluator="automlzero:tasks", trials=1, out=tmp_path / "run", tracking="off")


def search(folder, **more):
    small = {"candidates_per_trial": 600, "population_size": 10, "islands": 2}
    return nascore.search(
        "automl-zero", trials=4, seed=3, out=folder, tracking="off", **more,
        options={"data.tasks": 2, **{f"sampler.{name}": value for name, value in small.items()}},
    )  # fmt: skip


def outcome(result):
    return [(t.number, t.architecture.key, dict(t.objectives), dict(t.metrics)) for t in result.history]


class Killed(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


@pytest.mark.parametrize("moment", ["round", "trial"])
def test_a_search_that_died_and_was_resumed_is_the_same(tmp_path, monkeypatch, moment):
    whole = outcome(search(tmp_path / "whole"))
    assert len(whole) == 4
    assert whole[-1][3]["candidates"] == 2400
    calls = []

    def die(original):
        def dying(self, *arguments):
            calls.append(1)
            if len(calls) == 3:
                raise Killed
            return original(self, *arguments)

        return dying

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        where = (ProgramIslands, "ask") if moment == "round" else (ProgramRounds, "evaluate")
        patch.setattr(*where, die(getattr(*where)))
        search(tmp_path / "killed")
    assert len(calls) == 3
    assert outcome(nascore.resume(tmp_path / "killed")) == whole


def test_island_arrays_are_all_that_changes():
    space, _ = parts(Regression, "linear")
    island = Island(empty(3, space.limits), empty(1, space.limits))
    assert len(island.arrays()) == len(vars(island)) + 2 * 3
