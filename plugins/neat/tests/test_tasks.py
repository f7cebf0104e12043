"""The tasks: XOR, poles, gymnasium, digits."""

import builtins
import math
import statistics

import gymnasium
import numpy as np
import pytest
import torch

import nascore
from nascore.contracts import Splits, Task
from nascore.errors import DataError, SettingsError
from nascore.records import Candidate, Status
from nascore.retrain import retrain
from nascore.testing import EvaluatorConformance
from nascore.testing.driver import MemoryContext
from nascore_blocks.data.splits import TensorSplit, as_split
from nascore_neat import poles
from nascore_neat.balancing import Balance, Poles
from nascore_neat.classifying import Classify
from nascore_neat.control import GymTask, Play, action_of, play
from nascore_neat.fast import evolve
from nascore_neat.genome import Shape, from_json, minimal
from nascore_neat.network import outputs
from nascore_neat.sampler import NEAT
from nascore_neat.space import NEATSpace
from nascore_neat.xor import INPUTS, LABELS, TruthTable, judge

XOR_SHAPE = Shape(2, 1, False, 30.0)


def space_for(data, **options):
    space = NEATSpace(**options)
    space.name = "neat:neurons"
    space.setup(data.task)
    return space


def measured(evaluator, data, genome, **options):
    space = space_for(data, **options)
    evaluator.setup(space, data)
    return evaluator.evaluate(Candidate(space.architecture(genome)), MemoryContext(data))


# ---------------------------------------------------------------------------------------- xor


def judge_xor(genomes):
    fitness, accuracy = judge(outputs(genomes, INPUTS, XOR_SHAPE, 0, 1)[:, :, 0], LABELS)
    solved = np.flatnonzero(accuracy == 1)
    return fitness, int(solved[0]) if len(solved) else -1


def test_xor_is_solved():
    for seed in range(5):
        outcome = evolve(judge_xor, NEAT().settings, XOR_SHAPE, seed=seed)
        assert outcome.solved
        assert outcome.generations <= 200
        assert (outcome.population.genomes.target[outcome.winner] > 3).any()  # no network without a hidden node can


def test_the_fitness_of_xor_is_the_papers():
    values = np.array([[0.0, 1, 1, 0], [0.5, 0.5, 0.5, 0.5], [1, 0, 0, 1], [0.2, 0.9, 0.4, 0.1]])
    fitness, accuracy = judge(values, LABELS)
    assert fitness == pytest.approx([16, 4, 0, (4 - 1.0) ** 2])
    assert accuracy.tolist() == [1, 0.5, 0, 0.75]
    assert judge(values, LABELS, "squares")[0] == pytest.approx([4, 3, 0, 4 - 0.42])
    with pytest.raises(SettingsError, match="squares"):
        TruthTable(fitness="square")


# ---------------------------------------------------------------------------------------- poles


def energy(state):
    """Of cart and poles, without friction (J): kinetic and potential, by the textbook."""
    _, v, *poles_state = state
    total = poles.CART_MASS * v**2 / 2
    for p, (angle, speed) in enumerate([poles_state[:2], poles_state[2:]]):
        m, half = poles.MASSES[p], poles.HALF_LENGTHS[p]
        sideways, down = v + half * speed * math.cos(angle), half * speed * math.sin(angle)
        total += m * (sideways**2 + down**2) / 2 + (m * (2 * half) ** 2 / 12) * speed**2 / 2
        total += m * 9.8 * half * math.cos(angle)
    return total


def test_the_equations_keep_the_energy():
    state = np.array([0.0, 0.4, 0.3, -0.5, -0.2, 1.0])
    before = energy(state)
    for _ in range(200):
        state = poles.integrate(state, 0.0, 0.001)
    assert np.abs(state).max() > 1  # they swing
    assert energy(state) == pytest.approx(before, rel=2e-4)  # the paper's friction is tiny, not nothing


def test_a_force_pushes_the_cart_and_tips_the_poles_back():
    state = poles.integrate(np.zeros(6), 10.0, 0.01)
    assert state[0] > 0 < state[1]
    assert state[2] < 0 > state[3]
    assert state[4] < 0 > state[5]
    assert poles.integrate(np.zeros(6), -10.0, 0.01) == pytest.approx(-state)


def test_a_cart_that_does_nothing_drops_its_poles():
    idle = from_json([minimal(Shape(6, 1, False, 30.0), [0.0] * 7)])
    fitness, balanced = poles.judge(idle, True, Shape(6, 1, False, 30.0), 0, 1)
    assert 20 < fitness[0] == balanced[0] < 200
    short = from_json([minimal(Shape(3, 1, True, 30.0), [0.0] * 4)])
    fitness, balanced = poles.judge(short, False, Shape(3, 1, True, 30.0), 0, 1)
    assert balanced[0] < 100
    assert fitness[0] == pytest.approx(0.1 * balanced[0] / 1000)


def test_a_linear_controller_balances_for_good():
    """Its gains come from the linearised equations, by control theory; that they hold the poles shows the physics."""
    shape = Shape(6, 1, False, 100.0)
    newtons = 2 * poles.FORCE * 4.9 / 4  # of the network at rest, for a sum of 1
    genome = minimal(shape, [*(regulator() * poles.SCALES / newtons), 0.0])
    result = measured(Balance(), Poles().load(0), genome, weight_limit=100.0)
    assert result.objectives == {"fitness": 100_000.0, "solved": 1.0}
    assert poles.generalisation(from_json([genome]), 0, True, shape, 0, 1) > 300


def regulator():
    """Gains k, so that the force k . state holds the poles: the linear-quadratic regulator, by Riccati's iteration."""
    eps = 0.01  # large against the friction, which jumps with the direction
    unit = np.eye(6) * eps
    a = np.stack([poles.integrate(e, 0.0, 0.02) - poles.integrate(-e, 0.0, 0.02) for e in unit], 1) / (2 * eps)
    b = (poles.integrate(np.zeros(6), 1.0, 0.02) - poles.integrate(np.zeros(6), -1.0, 0.02))[:, None] / 2
    p = np.eye(6)
    for _ in range(3000):
        gain = np.linalg.solve(np.eye(1) + b.T @ p @ b, b.T @ p @ a)
        p = np.eye(6) + a.T @ p @ (a - b @ gain)
    return -gain[0]


def test_a_cart_that_does_nothing_holds_just_the_starts_at_rest():
    shape = Shape(6, 1, False, 30.0)
    idle = from_json([minimal(shape, [0.0] * 7)])
    assert poles.generalisation(idle, 0, True, shape, 0, 1) == 5  # upright and at rest, at five positions


# ---------------------------------------------------------------------------------------- gymnasium

LEAN = {"hidden": [], "connections": [[0, 2, 6, 5.0, True], [1, 3, 6, 5.0, True], [2, 4, 5, 0.0, True]]}
"""Push to where the pole of CartPole falls: outputs are nodes 5 and 6, inputs 2 and 3 angle and its speed."""


def test_a_lean_controller_balances_cartpole():
    data = GymTask("CartPole-v1").load(0)
    assert (data.task.shape, data.task.classes) == ((4,), 2)
    good = measured(Play(episodes=3), data, LEAN)
    idle = measured(Play(episodes=3), data, {"hidden": [], "connections": []})
    assert good.objectives["mean_return"] > 100 > 20 > idle.objectives["mean_return"]
    assert measured(Play(episodes=2, longest=9), data, LEAN).objectives["mean_return"] == 9.0


def test_continuous_actions_span_their_range():
    data = GymTask("Pendulum-v1").load(0)
    assert (data.task.shape, data.task.classes) == ((3,), 1)
    returns = play(minimal(Shape(3, 1, False, 30.0), [0.0] * 4), space_for(data), "Pendulum-v1", 1, 0)
    assert -2000 < returns[0] < 0
    torque = gymnasium.spaces.Box(-2.0, 6.0, (3,))
    assert action_of(torque, np.array([0.0, 0.25, 1.5])).tolist() == [-2.0, 0.0, 6.0]
    assert action_of(gymnasium.spaces.Discrete(3, start=5), np.array([0.1, 0.9, 0.2])) == 6


@pytest.mark.parametrize("name", ["NoSuchThing-v0", "CartPole-v99", "not a name"])
def test_an_unknown_environment_is_named(name):
    with pytest.raises(DataError, match=f"{name}.*CartPole-v1"):
        GymTask(name).load(0)


def test_an_environment_of_another_kind_is_refused():
    with pytest.raises(DataError, match=r"FrozenLake-v1 has observations Discrete"):
        GymTask("FrozenLake-v1").load(0)


def test_gymnasium_may_be_missing(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "gymnasium":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'nascore-neat\[gym\]'"):
        GymTask().load(0)


@pytest.mark.slow
def test_cartpole_is_solved(tmp_path):
    options = {"sampler.population_size": 50, "sampler.goal": 500.0, "evaluator.episodes": 5}
    result = nascore.search(
        "neat", data="gym:CartPole-v1", evaluator="neat:gym", trials=1500, seed=0, out=tmp_path / "run", tracking="off",
        options=options,
    )  # fmt: skip
    best = result.best.architecture.genome
    returns = play(best, result.search.parts.space, "CartPole-v1", 100, seed=1)
    assert statistics.fmean(returns) >= 475


# ---------------------------------------------------------------------------------------- digits


def images(labels, inputs=None):
    inputs = torch.randn(len(labels), 1, 2, 2, generator=torch.Generator().manual_seed(0)) if inputs is None else inputs
    split = TensorSplit(inputs, torch.tensor(labels))
    return Splits(Task("images", (1, 2, 2), 3), split, split, split)


def test_a_constant_classifier_has_the_fitness_of_chance():
    data = images([0, 1, 2, 2])
    result = measured(Classify(), data, minimal(Shape(4, 3, False, 30.0), [0.0] * 15))
    assert result.objectives["fitness"] == pytest.approx(1 / 3)
    assert result.objectives["accuracy"] == 0.25  # of equals, the first


def test_the_fitness_of_a_classifier_is_that_of_cross_entropy():
    data = images([0, 1, 2, 0, 1, 2])
    weights = np.random.default_rng(1).normal(size=15).round(3).tolist()
    genome = minimal(Shape(4, 3, False, 30.0), weights)
    result = measured(Classify(sharpness=2.0), data, genome)
    with torch.no_grad():
        logits = 2.0 * space_for(data).build(space_for(data).architecture(genome), data.task)(data.train.inputs)
    loss = torch.nn.functional.cross_entropy(logits, data.train.labels)
    assert result.objectives["fitness"] == pytest.approx(math.exp(-loss), rel=1e-5)
    assert result.objectives["accuracy"] == (logits.argmax(1) == data.valid.labels).double().mean().item()


def test_inputs_that_are_no_numbers_are_refused():
    data = images([0, 1], torch.tensor([[[[math.nan, 0], [0, 0]]], [[[0.0, 0], [0, 0]]]]))
    with pytest.raises(DataError, match="NaN"):
        measured(Classify(), data, minimal(Shape(4, 3, False, 30.0), [0.0] * 15))


def test_digits_are_learnt(tmp_path):
    options = {
        "sampler.population_size": 30, "sampler.goal": None, "space.reach": 0.2, "sampler.power": 0.2,
        "sampler.reach": 0.5, "sampler.survival": 0.2,
    }  # fmt: skip
    result = nascore.search(
        "neat", data="digits", evaluator="neat:classify", trials=120, seed=0, out=tmp_path / "run", tracking="off",
        options=options,
    )  # fmt: skip
    first = max(t.objectives["fitness"] for t in result.history if t.number < 30)
    assert result.best.objectives["fitness"] > first
    assert result.best.status is Status.COMPLETE
    tested = retrain(result).accuracies
    split = as_split(result.search.parts.data.test)
    with torch.no_grad():
        right = result.model()(split.inputs).argmax(1) == split.labels
    assert tested == [pytest.approx(right.double().mean().item(), abs=0.01)]  # float32 sums: nearly equal outputs


def test_a_sharpness_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="sharpness"):
        Classify(sharpness=0.0)


# ---------------------------------------------------------------------------------------- the kit


class TestBalance(EvaluatorConformance):
    def make(self):
        return Balance()

    def space(self):
        return space_for(self.data(), recurrent=True)

    def data(self):
        return Poles(velocities=False).load(0)


class TestPlay(EvaluatorConformance):
    def make(self):
        return Play(episodes=1, longest=50)

    def space(self):
        return space_for(self.data())

    def data(self):
        return GymTask().load(0)


class TestClassify(EvaluatorConformance):
    def make(self):
        return Classify()

    def space(self):
        return space_for(self.data())

    def data(self):
        return images([0, 1, 2, 0])
