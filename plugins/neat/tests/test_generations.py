"""Trials that stand for generations: what they say, that they end and resume like others, and what they refuse."""

import itertools
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import nascore
from nascore.contracts import Splits, Task
from nascore.errors import CapabilityError, SettingsError
from nascore.records import Candidate, Constraint, Direction, Objective
from nascore.testing import driver
from nascore_neat.balancing import Balance, Poles
from nascore_neat.classifying import AT_ONCE, Classify
from nascore_neat.drawing import species_sizes
from nascore_neat.fast import start
from nascore_neat.genome import to_json
from nascore_neat.lineage import describe_sizes, read, read_sizes
from nascore_neat.sampler import NEAT
from nascore_neat.space import NEATSpace
from nascore_neat.xor import TruthTable, XORTable

OPTIONS = {"sampler.population_size": 20, "sampler.generations_per_trial": 4, "sampler.goal": None}


def search(folder, trials, options=OPTIONS, **more):
    return nascore.search("neat", trials=trials, out=folder, tracking="off", seed=5, options=options, **more)


def outcome(result):
    return [(driver.described(t), t.seed, t.reused, dict(t.metrics)) for t in result.history]


# ------------------------------------------------------------------------------------- the trials


def test_a_trial_is_the_best_of_its_generations_and_counts_the_others(tmp_path):
    result = search(tmp_path / "run", 6)
    for trial in result.history:
        numbers = trial.metrics
        assert numbers["generation"] == 4 * trial.number + 3
        assert numbers["candidates"] == 20 * 4 * (trial.number + 1)
        assert numbers["best_fitness"] == trial.objectives["fitness"] >= numbers["mean_fitness"]
        last, sizes = read_sizes(trial.candidate.origin)
        assert (last, len(sizes), sum(sizes.values())) == (numbers["generation"], numbers["species"], 20)
        assert last - 3 <= read(trial.candidate.origin).generation <= last
    generations, sizes = species_sizes(result.history)
    assert generations == [3, 7, 11, 15, 19, 23]
    assert [sum(column) for column in zip(*sizes.values(), strict=True)] == [20] * 6


@pytest.mark.parametrize(("direction", "sign"), [(Direction.MAXIMIZE, 1), (Direction.MINIMIZE, -1)])
def test_the_best_is_found_in_the_objectives_own_direction(direction, sign):
    sampler = NEAT(population_size=30, generations_per_trial=3)
    space = NEATSpace()
    space.setup(Task("two", (2,), 1))
    sampler.setup(space, [Objective("value", direction)], 0)
    seen = []

    def judge(genomes):
        seen.append(sign * genomes.weight[:, 0] - 7)
        return seen[-1]

    assert sampler.breed_generations(judge, random.Random(3))
    assert not sampler.breed_generations(judge, random.Random(3))  # the champion was not asked for
    candidate = sampler.ask(None)
    best = sign * max(sign * values.max() if sign > 0 else (-values).max() for values in seen)
    assert len(seen) == 3
    assert candidate.metrics["best_fitness"] == best
    assert sign * candidate.architecture.genome["connections"][0][3] - 7 == pytest.approx(best)
    assert candidate.metrics["mean_fitness"] == pytest.approx(seen[-1].mean())


def test_values_that_are_no_numbers_are_the_worst():
    sampler = NEAT(population_size=10, generations_per_trial=2)
    space = NEATSpace()
    space.setup(Task("two", (2,), 1))
    sampler.setup(space, [Objective("value", Direction.MAXIMIZE)], 0)
    sampler.breed_generations(lambda _: np.array([math.nan, math.inf, *range(8)], float), random.Random(0))
    numbers = sampler.ask(None).metrics
    assert numbers["best_fitness"] == 7
    assert all(map(math.isfinite, numbers.values()))


def test_it_ends_in_the_generation_that_reaches_the_goal(tmp_path):
    options = {"sampler.population_size": 150, "sampler.generations_per_trial": 1000, "sampler.goal": 3.9}
    result = search(tmp_path / "run", 50, options)
    (trial,) = result.history
    assert trial.objectives["fitness"] >= 3.9
    assert trial.metrics["generation"] < 200
    assert read(trial.candidate.origin).generation == trial.metrics["generation"]
    assert trial.metrics["candidates"] == 150 * (trial.metrics["generation"] + 1)


# ------------------------------------------------------------------------------------- the judges


def agree(evaluator, data, objectives, *, count, recurrent=False):
    """The values of a generation are those of its genomes, judged one by one."""
    space = NEATSpace(recurrent=recurrent)
    space.name = "neat:neurons"
    splits = data.load(0)
    space.setup(splits.task)
    evaluator.setup(space, splits)
    population = start(NEAT().settings, space.shape, count, random.Random(1), reach=3.0)
    rng, context = random.Random(2), driver.MemoryContext(splits)
    for _ in range(6):
        population.advance(evaluator.values(population.genomes, objectives[0], context), rng)
    for objective in objectives:
        values = evaluator.values(population.genomes, objective, context)
        for k in {0, 1, count // 2, count - 1}:
            genome = to_json(population.genomes, k, space.shape)
            single = evaluator.evaluate(Candidate(space.architecture(genome)), context)
            assert values[k] == single.objectives[objective]
        assert values.shape == (count,)
        yield values


@pytest.mark.parametrize("fitness", ["paper", "squares"])
def test_a_truth_table_judges_a_generation_like_its_genomes(fitness):
    for values in agree(TruthTable(fitness, save_weights=False), XORTable(), ("fitness", "accuracy"), count=30):
        assert len(set(values)) > 1


@pytest.mark.parametrize("velocities", [True, False])
def test_poles_judge_a_generation_like_its_genomes(velocities):
    evaluator = Balance(save_weights=False)
    judged = list(agree(evaluator, Poles(velocities), ("fitness", "solved"), count=20, recurrent=True))
    assert len(set(judged[0])) > 5


class Blobs(nascore.Dataset):
    def load(self, seed):
        import torch
        from torch.utils.data import TensorDataset

        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(30) % 3
        inputs = torch.randn(30, 1, 2, 2, generator=generator) + labels[:, None, None, None]
        split = TensorDataset(inputs, labels)
        return Splits(Task("blobs", (1, 2, 2), 3), split, split, split)


def test_a_classifier_judges_a_generation_like_its_genomes():
    for values in agree(Classify(save_weights=False), Blobs(), ("fitness", "accuracy"), count=AT_ONCE + 5):
        assert len(set(values)) > 5


def test_an_environment_judges_a_generation(tmp_path):
    pytest.importorskip("gymnasium")
    options = {**OPTIONS, "evaluator.episodes": 1, "evaluator.longest": 30}
    result = search(tmp_path / "run", 2, options, data="gym:CartPole-v1", evaluator="neat:gym")
    assert [trial.metrics["candidates"] for trial in result.history] == [80, 160]
    assert all(trial.metrics["best_fitness"] == 30 for trial in result.history)


# ------------------------------------------------------------------------------------- refusals


def test_an_evaluator_that_cannot_is_named(tmp_path):
    with pytest.raises(CapabilityError, match="generations_per_trial=0"):
        search(tmp_path / "run", 2, OPTIONS, evaluator="blocks:train", data="digits")


def test_constraints_and_costs_as_objectives_are_refused(tmp_path):
    sampler = NEAT(generations_per_trial=1)
    sampler.constraints = (Constraint("params", 50.0),)
    with pytest.raises(CapabilityError, match="Constraints"):
        sampler.setup(NEATSpace(), [Objective("fitness", Direction.MAXIMIZE)], 0)
    with pytest.raises(CapabilityError, match="'params'"):
        search(tmp_path / "run", 2, OPTIONS, objectives=["params"])
    with pytest.raises(SettingsError, match="generations_per_trial is -1"):
        NEAT(generations_per_trial=-1)


def test_sizes_are_read_back():
    assert read_sizes(describe_sizes(3, 12, {5: 80, 71: 1})) == (12, {5: 80, 71: 1})
    assert read_sizes("generation 3, species 5: mutation of 71") is None


# ------------------------------------------------------------------------------------- killed


class Killed(BaseException):
    """Ends a search as abruptly as a kill does: nothing in the core catches it."""


@pytest.mark.parametrize("at", ["in the middle of breeding", "between breeding and its trial"])
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["a checkpoint after each trial", "after breeding only"])
def test_a_search_that_stops_and_is_resumed_ends_like_one_that_does_not(tmp_path, monkeypatch, at, seconds):
    monkeypatch.setattr("nascore.loop.CHECKPOINT_SECONDS", seconds)
    whole = search(tmp_path / "whole", 8)
    calls = itertools.count()
    values, evaluate = TruthTable.values, TruthTable.evaluate

    def values_or_die(self, genomes, objective, context):
        if at == "in the middle of breeding" and next(calls) == 18:
            raise Killed
        return values(self, genomes, objective, context)

    def evaluate_or_die(self, candidate, context):
        if at == "between breeding and its trial" and next(calls) == 3:
            raise Killed
        return evaluate(self, candidate, context)

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(TruthTable, "values", values_or_die)
        patch.setattr(TruthTable, "evaluate", evaluate_or_die)
        with pytest.raises(Killed):
            search(broken, 8)
    assert 0 < len(nascore.open_run(broken).history) < 8
    assert outcome(nascore.resume(broken)) == outcome(whole)


def test_without_any_checkpoint_all_is_bred_again_to_the_same_end(tmp_path):
    whole = search(tmp_path / "whole", 5)
    search(tmp_path / "run", 3)
    for file in (tmp_path / "run" / "state").glob("*.checkpoint"):
        file.unlink()
    assert outcome(nascore.resume(tmp_path / "run", trials=5)) == outcome(whole)


FORKING = textwrap.dedent("""
    import os, signal, sys, time
    import torch, optuna, safetensors.torch, nascore, nascore.api
    import nascore_neat.xor, nascore_neat.space, nascore_neat.sampler, nascore_neat.module
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        action, folder, trials, size, generations, kill_after = line.split()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            if action == "search":
                nascore.search("neat", trials=int(trials), out=folder, tracking="off", seed=7, options={
                    "sampler.population_size": int(size), "sampler.generations_per_trial": int(generations),
                    "sampler.goal": None})
            else:
                nascore.resume(folder)
            os._exit(0)
        deadline = time.monotonic() + float(kill_after)
        while time.monotonic() < deadline and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie still, and does not mind
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
""")


class Forker:
    """Starts searches as children of one process that has imported everything, so that a child's life is search."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def run(self, action, folder, trials, size, generations, kill_after=300.0):
        """Run to the end, or kill -9 after so many seconds; the exit status (-9 when killed)."""
        self.process.stdin.write(f"{action} {folder} {trials} {size} {generations} {kill_after}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forker():
    made = Forker()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("trials", "size", "generations"),
    [(100, 20, 0), (15, 100, 10)],
    ids=["a genome a trial", "ten generations a trial"],
)
def test_kill_9_at_random_instants_and_resume_is_the_same_search(forker, tmp_path, trials, size, generations):
    shape = (trials, size, generations)
    assert forker.run("search", tmp_path / "warm", *shape) == 0  # machine code is read from the disk once
    started = time.monotonic()
    assert forker.run("search", tmp_path / "whole", *shape) == 0
    duration = time.monotonic() - started
    expected = outcome(nascore.open_run(tmp_path / "whole"))
    assert len(expected) == trials
    rng = random.Random(generations)
    kills = 0
    for attempt in range(30):
        folder = tmp_path / f"killed-{attempt}"
        if forker.run("search", folder, *shape, rng.uniform(0.1, duration)) != -signal.SIGKILL:
            continue
        kills += 1
        if not (folder / "search.toml").exists():
            assert forker.run("search", folder, *shape) == 0
        while attempt % 2 and forker.run("resume", folder, *shape, rng.uniform(0.1, duration)) == -signal.SIGKILL:
            kills += 1
        assert forker.run("resume", folder, *shape) == 0
        assert outcome(nascore.open_run(folder)) == expected, f"kill {kills} changed the search"
        if kills >= 5:
            return
    pytest.fail(f"only {kills} kills hit a running search")
