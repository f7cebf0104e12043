"""Trials in Optuna's storages: what goes in comes out; a torn file is mended, a damaged one told."""

from __future__ import annotations

import json
import math
import random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_parts import Letters

import nascore
from nascore.errors import RunError
from nascore.records import Architecture, Candidate, Constraint, Cost, Direction, Objective, Status, Trial
from nascore.store import TrialStore, open_storage

UP = Objective("accuracy", Direction.MAXIMIZE)
DOWN = Objective("params", Direction.MINIMIZE)


class Mixed(nascore.DecisionSpace):
    """Options that Python takes for equal and JSON does not, and a decision that is only sometimes asked."""

    name = "mixed"

    def decide(self, choose):
        made = [choose("a", [1, True, None, "x", 2.5]), choose("b", ["é", ""])]
        return [*made, choose("c", [0, 1])] if made[1] else made

    def build(self, architecture, task):
        raise NotImplementedError


class Graphs(nascore.SearchSpace):
    """Genomes that are no set of decisions."""

    name = "graphs"

    def sample(self, choose):
        raise NotImplementedError

    def check(self, architecture):
        raise NotImplementedError

    def build(self, architecture, task):
        raise NotImplementedError


def letters():
    space = Letters()
    space.name = "toy:letters"
    return space


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)
spreads = st.floats(0, 1e9).map(abs)  # not -0.0
words = st.text("abc_é", min_size=1, max_size=4)
maybe_infinite = st.floats(allow_nan=False)


def maps(values):
    return st.dictionaries(words, values, max_size=3)


@st.composite
def trials(draw, space, number=0):
    if isinstance(space, nascore.DecisionSpace):
        rng = draw(st.randoms(use_true_random=False))
        architecture = space.sample(lambda name, options: rng.choice(options))
    else:
        architecture = space.architecture(draw(st.sampled_from([None, {}, [], "", 0, [[1, {"a": None}]], {"n": [1]}])))
    status = draw(st.sampled_from(Status))
    objectives = {"accuracy": draw(numbers), "params": draw(numbers)} if status is Status.COMPLETE else {}
    count = draw(st.integers(0, 3))
    return Trial(
        number=number,
        candidate=Candidate(architecture, draw(maps(numbers)), draw(st.none() | st.integers(0, 5)), draw(words)),
        status=status,
        objectives=objectives | draw(maps(numbers)),
        costs=draw(maps(st.builds(Cost, numbers, words, spreads, st.integers(1, 9)))),
        metrics=draw(maps(maybe_infinite)),
        artifacts=draw(maps(words)),
        reports=tuple((step, {"accuracy": draw(numbers)} | draw(maps(maybe_infinite))) for step in range(count)),
        violations=draw(maps(maybe_infinite)),
        reason=draw(st.sampled_from(["", "line\nline é \x00"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        reused=draw(st.none() | st.integers(0, 5)),
        started=draw(st.floats(1e8, 4e9)),
        wall_seconds=draw(st.floats(0, 1e5)),
    )


def text(told):
    """The trials as text, in which 1, 1.0 and True are three things."""
    return [repr(t).replace("np.float64", "") for t in told]


def store(url, folder, space, objectives=(UP, DOWN), name="run"):
    return TrialStore(open_storage(url, folder), name, space, objectives, [Constraint("params", 5.0)])


@pytest.mark.parametrize(
    ("url", "examples", "make_space"),
    [("journal", 60, letters), ("journal", 60, Mixed), ("journal", 60, Graphs), ("journal:{folder}/shared", 5, letters),
     ("sqlite:///{folder}/trials.db", 3, Mixed)],
)  # fmt: skip
def test_what_is_recorded_is_loaded(tmp_path_factory, url, examples, make_space):
    space = make_space()

    @settings(max_examples=examples, deadline=None)
    @given(st.data())
    def check(data):
        folder = tmp_path_factory.mktemp("run")
        where = url.format(folder=folder)
        writing = store(where, folder, space)
        told = [data.draw(trials(space, number)) for number in (1, 0)]
        for trial in told:
            writing.record(trial)
        assert text(writing.load()) == text(told)
        assert text(store(where, folder, space).load()) == text(told)

    check()


def test_memory_forgets_and_a_journal_does_not(tmp_path):
    space = letters()
    for url, kept in (("memory", 0), ("journal", 1)):
        store(url, tmp_path, space).record(simple(space, 0))
        assert len(store(url, tmp_path, space).load()) == kept


def simple(space, number, status=Status.COMPLETE):
    rng = random.Random(number)
    architecture = space.sample(lambda name, options: rng.choice(options))
    values = {"accuracy": number / 7, "params": float(number)} if status is Status.COMPLETE else {}
    return Trial(number, Candidate(architecture), status, values, seed=number, started=1e9, wall_seconds=1.0,
                 reports=((1, {"accuracy": 0.5}), (2, {"other": 0.5})),
                 violations={"params": number - 5.0})  # fmt: skip


def test_optuna_sees_decisions_values_curves_and_constraints(tmp_path):
    space = letters()
    storing = store("journal", tmp_path, space)
    for number, status in enumerate([Status.COMPLETE, Status.PRUNED, Status.INFEASIBLE, Status.FAIL]):
        storing.record(simple(space, number, status))
    study = optuna.load_study(study_name="run", storage=open_storage("journal", tmp_path))
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [t.state.name for t in study.trials] == ["COMPLETE", "PRUNED", "PRUNED", "FAIL"]
    first = study.trials[0]
    assert first.params == simple(space, 0).architecture.genome
    assert first.distributions["op3"].choices == ("a", "b", "c", "d", "e")
    assert first.values == [0.0, 0.0]
    assert first.intermediate_values == {1: 0.5}
    assert first.system_attrs["constraints"] == [-5.0]
    assert [t.number for t in study.best_trials] == [0]


def test_a_study_with_other_directions_is_refused(tmp_path):
    store("journal", tmp_path, letters())
    with pytest.raises(RunError, match=r"'run' exists with other directions: \['maximize', 'minimize'\], not"):
        store("journal", tmp_path, letters(), [UP])


# ------------------------------------------------------------------------------------ damage


def journal(folder, count=3):
    space = letters()
    storing = store("journal", folder, space)
    told = [simple(space, number) for number in range(count)]
    for trial in told:
        storing.record(trial)
    return folder / "trials", space, told


def test_a_line_that_was_torn_at_any_byte_is_cut_away_and_the_next_one_is_whole(tmp_path):
    path, space, told = journal(tmp_path)
    whole = path.read_bytes()
    begin = whole[:-1].rindex(b"\n") + 1
    for length in range(begin, len(whole) + 1):
        path.write_bytes(whole[:length])
        lock = tmp_path / "trials.lock"
        if length % 3 == 0:
            lock.symlink_to(path)  # the killed writer held it
        mended = store("journal", tmp_path, space)
        assert not lock.is_symlink()
        kept = told if length == len(whole) else told[:2]
        assert mended.load() == kept
        if length % 41 == 0:
            mended.record(told[2])
            assert store("journal", tmp_path, space).load() == [*kept, told[2]]


def test_a_tear_far_longer_than_a_block_is_cut_away(tmp_path):
    path, space, told = journal(tmp_path)
    path.write_bytes(path.read_bytes() + b"x" * 200_000)
    assert store("journal", tmp_path, space).load() == told
    assert path.read_bytes().endswith(b"}\n")
    path.write_bytes(b"x" * 200_000)
    assert store("journal", tmp_path, space).load() == []


def test_a_long_last_line_is_whole(tmp_path):
    path, space, _ = journal(tmp_path, 1)
    long = Trial(1, simple(space, 1).candidate, Status.FAIL, reason="x" * 200_000)
    store("journal", tmp_path, space).record(long)
    assert store("journal", tmp_path, space).load()[1] == long
    path.write_bytes(path.read_bytes()[:-100])
    assert len(store("journal", tmp_path, space).load()) == 1


@pytest.mark.parametrize("line", [-1, -2, 1])
@pytest.mark.parametrize(
    "garbage", [b"\0\0\0", b"{", b"5", b"[]", b'{"op_code": 4}', b'{"op_code": 99, "worker_id": "x"}', b"\xff"]
)
def test_a_damaged_line_is_told_with_what_to_do(tmp_path, line, garbage):
    path, space, _ = journal(tmp_path)
    lines = path.read_bytes().splitlines()
    lines[line] = garbage
    before = b"\n".join(lines) + b"\n"
    path.write_bytes(before)
    with pytest.raises(RunError, match=r"trials is damaged \(.*\)\. Copy it away, cut it after the last line"):
        store("journal", tmp_path, space).load()
    assert path.read_bytes() == before


def test_any_flipped_byte_is_told_or_harmless_but_never_a_traceback(tmp_path):
    path, space, told = journal(tmp_path)
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        try:
            assert len(store("journal", tmp_path, space).load()) <= len(told)
        except RunError:
            refused += 1
    assert 100 < refused < 300


@pytest.mark.parametrize(
    "change",
    [{"number": "x"}, {"number": True}, {"number": None}, {"status": "done"}, {"key": 5}, {"seed": None},
     {"started": "x"},
     {"objectives": {"accuracy": "high"}}, {"objectives": [1]}, {"violations": {"params": None}}, {"reports": 5},
     {"reports": [[1]]}, {"reports": [["x", {}]]}, {"costs": {"params": 5}}, {"costs": {"params": {"value": 1}}},
     {"costs": {"params": {"value": "1", "unit": ""}}}, {"fidelity": []}, {"artifacts": "x"},
     {"wall_seconds": False}, "text", []],
)  # fmt: skip
def test_a_record_of_wrong_types_is_told_with_its_trial(tmp_path, change):
    path, space, _ = journal(tmp_path, 2)
    lines = path.read_bytes().splitlines()
    log = json.loads(lines[-1])
    log["user_attrs"]["nascore"] = log["user_attrs"]["nascore"] | change if isinstance(change, dict) else change
    path.write_bytes(b"\n".join([*lines[:-1], json.dumps(log).encode()]) + b"\n")
    with pytest.raises(RunError, match="The record of trial 1 in the storage is damaged"):
        store("journal", tmp_path, space).load()


def test_a_reader_changes_nothing_while_a_search_is_writing(tmp_path):
    path, space, told = journal(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "wor')  # half of what is being written
    (tmp_path / "trials.lock").symlink_to(path)
    before = path.read_bytes()
    reading = TrialStore(open_storage("journal", tmp_path, mend=False), "run", space, [UP, DOWN], create=False)
    assert reading.load() == told
    other = TrialStore(open_storage("journal", tmp_path, mend=False), "other", space, [UP, DOWN], create=False)
    assert other.load() == []
    assert path.read_bytes() == before
    assert (tmp_path / "trials.lock").is_symlink()


def test_opening_again_writes_nothing(tmp_path):
    path, space, _ = journal(tmp_path)
    before = path.read_bytes()
    store("journal", tmp_path, space).load()
    assert path.read_bytes() == before


def test_the_storage_of_a_writer_holds_no_trials_and_misses_none(tmp_path):
    _, space, told = journal(tmp_path)
    writing = store("journal", tmp_path, space)
    assert writing.load() == told
    writing.record(simple(space, len(told)))
    study = optuna.load_study(study_name="run", storage=open_storage("journal", tmp_path, mend=False))
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))  # by another process
    writing.record(simple(space, len(told) + 1))
    assert writing.study.trials == []
    assert [t.number for t in writing.load()] == list(range(len(told) + 2))
    assert len(study.trials) == len(told) + 3
    optuna.delete_study(study_name="run", storage=open_storage("journal", tmp_path, mend=False))
    with pytest.raises(RunError, match=r"Cannot store trial 9: .*is not there any more"):
        writing.record(simple(space, 9))


def test_trials_of_others_in_the_same_study_are_passed_over(tmp_path):
    _, space, told = journal(tmp_path)
    study = optuna.load_study(study_name="run", storage=open_storage("journal", tmp_path))
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    assert store("journal", tmp_path, space).load() == told


@pytest.mark.parametrize(
    "url", ["nosuch://x", "sqlite:////nowhere/at/all.db", "journal:/nowhere/at/all", "postgresql://", ""]
)
def test_a_storage_that_cannot_be_opened(tmp_path, url):
    with pytest.raises(
        RunError, match=r"(?s)Cannot open the storage .*Allowed: journal, journal:PATH, memory, sqlite:///FILE"
    ):
        open_storage(url, tmp_path)


def test_a_storage_that_cannot_be_written_any_more(tmp_path):
    path, space, _ = journal(tmp_path)
    storing = store("journal", tmp_path, space)
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match=r"Cannot store trial 7: .*All earlier trials are safe"):
        storing.record(simple(space, 7))


def test_a_database_that_goes_away(tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    storing = store(url, tmp_path, letters())
    import sqlite3

    with sqlite3.connect(tmp_path / "trials.db") as other:
        other.execute("DROP TABLE trials")
    with pytest.raises(RunError, match="Cannot store trial 0"):
        storing.record(simple(letters(), 0))
    with pytest.raises(RunError, match="storage cannot be read"):
        storing.load()


def test_a_trial_whose_cost_objective_is_not_a_number_is_told_not_lost(tmp_path):
    storing = store("journal", tmp_path, letters())
    trial = Trial(0, simple(letters(), 0).candidate, Status.COMPLETE, {"accuracy": 1.0}, {"params": Cost(math.nan, "")})
    with pytest.raises(RunError, match="Cannot store trial 0"):
        storing.record(trial)
    assert storing.load() == []


def test_the_architecture_of_a_loaded_trial_bears_the_name_of_its_space(tmp_path):
    _, space, told = journal(tmp_path, 1)
    assert store("journal", tmp_path, space).load()[0].architecture == Architecture(
        "toy:letters", told[0].architecture.genome, told[0].architecture.key
    )
