"""The evaluator that shares weights: rounds, judgement, state, and what happens when numbers explode."""

import logging
import math
import random

import pytest
import torch

from nascore.contracts import Sampler
from nascore.errors import SettingsError, UsageError
from nascore.records import Candidate, Direction, Objective, Status
from nascore.seeding import isolated_random
from nascore.testing import EvaluatorConformance, MemoryContext, toy_data
from nascore.testing.driver import through_checkpoint
from nascore_blocks.data.splits import TensorSplit, as_split
from nascore_blocks.spaces import DARTSSpace, NASNetSpace
from nascore_blocks.supernet.mix import Softmax
from nascore_blocks.supernet.policy import Policy, Stream
from nascore_blocks.weight_sharing import SharedWeights

OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]


class Draws(Sampler):
    """A sampler that knows nothing of shared weights."""

    def ask(self, view):
        return Candidate(self.space.sample(lambda _, options: view.rng.choice(options)))


class Half(Policy):
    """All ops at once, equally; counts what it is asked for."""

    def __init__(self, space):
        self.wirings = space.wirings
        self.iterations, self.ended, self.poison = 0, 0, ()
        self.seen = []

    def mix(self, shared):
        return {kind: Softmax()(torch.zeros(w.size), w, shared.generator) for kind, w in self.wirings.items()}

    def iterate(self, shared):
        super().iterate(shared)
        self.iterations += 1
        self.seen.append((round(shared.progress, 6), shared.rate))
        if self.iterations in self.poison:
            with torch.no_grad():
                next(shared.supernet.parameters())[0].fill_(math.nan)

    def end(self):
        self.ended += 1

    def state_dict(self):
        return {"iterations": self.iterations}

    def load_state_dict(self, state):
        pass  # counts go on, so that poison works once


class Steered(Sampler):
    provides = frozenset({"policy"})

    def setup(self, space, objectives, seed):
        super().setup(space, objectives, seed)
        self.policy = Half(space)

    def ask(self, view):
        return None


def made(sampler=Draws, **options):
    data = toy_data()
    space = DARTSSpace(blocks=2, channels=4, cells=1, reductions=1)
    space.name = "blocks:darts"
    space.setup(data.task)
    evaluator = SharedWeights(**{"rounds": 3, "steps": 2, "batch_size": 8, **options})
    evaluator.setup(space, data.for_search())
    sampler = sampler()
    sampler.setup(space, OBJECTIVES, 0)
    return evaluator, sampler, space


def prepare(evaluator, sampler, seed):
    with isolated_random(seed):
        return evaluator.prepare(sampler, MemoryContext(toy_data().for_search(), seed=seed))


def judge(evaluator, space, seed=0):
    rng = random.Random(seed)
    candidate = Candidate(space.sample(lambda _, options: rng.choice(options)))
    with isolated_random(5):
        return evaluator.evaluate(candidate, MemoryContext(toy_data().for_search(), seed=5))


def weights(evaluator):
    return {name: value.clone() for name, value in evaluator.supernet.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class TestConformance(EvaluatorConformance):
    def make(self):
        return SharedWeights(rounds=1, steps=1, batch_size=8)

    def space(self):
        space = NASNetSpace(blocks=1, channels=4, cells=1, reductions=1)
        space.name = "blocks:nasnet"
        return space

    def _evaluator(self):
        evaluator = super()._evaluator()
        sampler = Draws()
        sampler.setup(evaluator.space, OBJECTIVES, 0)
        prepare(evaluator, sampler, 0)  # as the core does before it asks
        return evaluator


# ------------------------------------------------------------------------ rounds


def test_without_a_policy_all_rounds_come_before_the_first_candidate():
    evaluator, sampler, _ = made()
    rounds = [prepare(evaluator, sampler, seed) for seed in range(4)]
    assert [r.ready for r in rounds] == [False, False, True, True]
    assert [r.changed for r in rounds] == [True, True, True, False]
    assert [r.metrics.get("round") for r in rounds] == [1, 2, 3, None]


def test_with_a_policy_a_candidate_follows_each_round_and_the_end_is_told():
    evaluator, sampler, _ = made(Steered)
    rounds = [prepare(evaluator, sampler, seed) for seed in range(5)]
    assert [r.ready for r in rounds] == [True] * 5
    assert [r.changed for r in rounds] == [True, True, True, False, False]
    assert sampler.policy.iterations == 6
    assert sampler.policy.ended == 2


def test_the_rate_is_half_a_cosine_over_all_rounds():
    evaluator, sampler, _ = made(Steered, learning_rate=0.1, last_rate=0.02)
    for seed in range(3):
        prepare(evaluator, sampler, seed)
    progress = [k / 6 for k in range(6)]
    assert [p for p, _ in sampler.policy.seen] == pytest.approx(progress, abs=1e-6)
    expected = [0.02 + 0.08 * (1 + math.cos(math.pi * p)) / 2 for p in progress]
    assert [rate for _, rate in sampler.policy.seen] == pytest.approx(expected)
    assert evaluator.rate(1.0) == pytest.approx(0.02)


def test_an_epoch_is_a_round_by_default():
    evaluator, sampler, _ = made(Steered, steps=0)
    prepare(evaluator, sampler, 0)
    assert sampler.policy.iterations == math.ceil(len(toy_data().train) / 8)


def test_training_learns():
    evaluator, sampler, _ = made(Steered, rounds=12, steps=8, learning_rate=0.1)
    rounds = [prepare(evaluator, sampler, seed) for seed in range(12)]
    assert rounds[-1].metrics["train_loss"] < 0.7 * rounds[0].metrics["train_loss"]


def test_weight_decay_leaves_what_did_not_run():
    evaluator, sampler, space = made(steps=1, weight_decay=0.5)
    prepare(evaluator, sampler, 0)
    before = weights(evaluator)
    prepare(evaluator, sampler, 1)
    moved = {name for name, value in weights(evaluator).items() if not torch.equal(value, before[name])}
    edges = {name.split(".")[1] + "." + name.split(".")[3] for name in moved if ".edges." in name}
    kinds = space.kinds
    assert "classifier.weight" in moved
    assert 0 < len(edges) <= 4 * 3 * len(kinds)  # two edges a node, two nodes, three layers
    assert len(moved) < len(before) / 2


def test_a_stream_gives_every_example_once_a_pass_in_new_orders():
    split = TensorSplit(torch.arange(9.0).reshape(9, 1, 1, 1), torch.arange(9))
    stream = Stream(split, 4, torch.Generator().manual_seed(0), "cpu", None)
    passes = [[stream().labels.tolist() for _ in range(2)] for _ in range(2)]
    assert [[len(batch) for batch in one] for one in passes] == [[4, 5]] * 2
    flat = [[label for batch in one for label in batch] for one in passes]
    assert [sorted(one) for one in flat] == [list(range(9))] * 2
    assert flat[0] != flat[1]


# --------------------------------------------------------------------- judgement


def test_a_judgement_leaves_the_weights_and_repeats_itself():
    evaluator, sampler, space = made(rounds=1)
    prepare(evaluator, sampler, 0)
    before = weights(evaluator)
    first, other, again = judge(evaluator, space, 0), judge(evaluator, space, 1), judge(evaluator, space, 0)
    assert same(before, weights(evaluator))
    assert first.status is Status.COMPLETE
    assert first.objectives == again.objectives
    assert first.objectives["loss"] != other.objectives["loss"]


def test_without_training_there_is_nothing_to_judge_by():
    evaluator, _, space = made()
    with pytest.raises(UsageError, match="serial executor"):
        judge(evaluator, space)


def test_batch_norm_is_calibrated_on_training_data():
    evaluator, sampler, space = made(rounds=1, calibration=2)
    prepare(evaluator, sampler, 0)
    found = evaluator._calibration_batches("cpu")
    assert [len(batch) for batch in found] == [8, 8]
    train = as_split(toy_data().train).batch(torch.arange(len(toy_data().train)))[0]
    assert all(any(torch.equal(image, other) for other in train) for image in found[0])
    first = judge(evaluator, space)
    evaluator.calibration = 1
    assert judge(evaluator, space).objectives["loss"] != first.objectives["loss"]


# ------------------------------------------------------------------------- state


@pytest.mark.parametrize("kind", [Draws, Steered])
def test_a_resumed_training_is_bit_identical(kind):
    evaluator, sampler, space = made(kind)
    for seed in range(3):
        prepare(evaluator, sampler, seed)
    resumed, sampler, _ = made(kind)
    prepare(resumed, sampler, 0)
    for seed in (1, 2):
        state = through_checkpoint(resumed.state_dict())
        resumed, sampler, _ = made(kind)
        resumed.load_state_dict(state)
        prepare(resumed, sampler, seed)
    assert same(weights(evaluator), weights(resumed))
    assert judge(evaluator, space).objectives == judge(resumed, space).objectives


def test_the_seed_names_the_weights():
    found = []
    for seed in (0, 0, 1):
        evaluator, sampler, _ = made()
        prepare(evaluator, sampler, seed)
        found.append(weights(evaluator))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_loading_a_state_draws_nothing_from_the_global_generator():
    evaluator, sampler, _ = made()
    prepare(evaluator, sampler, 0)
    state = through_checkpoint(evaluator.state_dict())
    resumed, _, _ = made()
    before = torch.get_rng_state()
    resumed.load_state_dict(state)
    assert torch.equal(before, torch.get_rng_state())


# --------------------------------------------------------------------- not finite


def test_a_round_with_nan_is_undone_and_the_rate_halved(caplog):
    evaluator, sampler, _ = made(Steered)
    prepare(evaluator, sampler, 0)
    good = weights(evaluator)
    sampler.policy.poison = (3, 4)
    with caplog.at_level(logging.WARNING, "nascore"):
        done = prepare(evaluator, sampler, 1)
    assert (done.changed, done.ready) == (True, False)
    assert done.metrics == {"round": 1, "undone": 1, "rate_factor": 0.5}
    assert same(good, weights(evaluator))
    assert "undone" in caplog.text
    assert "halved" in caplog.text
    sampler.policy.poison = ()
    sampler.policy.seen.clear()
    done = prepare(evaluator, sampler, 2)
    assert done.metrics["round"] == 2
    assert sampler.policy.seen[0][1] == pytest.approx(0.5 * evaluator.rate(1 / 3))
    state = evaluator.state_dict()
    assert (state["failures"], state["factor"]) == (1, 0.5)


def test_the_third_time_the_training_ends_with_what_it_has(caplog):
    evaluator, sampler, space = made(Steered)
    prepare(evaluator, sampler, 0)
    good = weights(evaluator)
    sampler.policy.poison = range(1000)
    with caplog.at_level(logging.WARNING, "nascore"):
        rounds = [prepare(evaluator, sampler, seed) for seed in range(1, 5)]
    assert [(r.changed, r.ready) for r in rounds] == [(True, False), (True, False), (True, True), (False, True)]
    assert "ends here" in caplog.text
    assert same(good, weights(evaluator))
    assert sampler.policy.ended == 1
    assert judge(evaluator, space).status is Status.COMPLETE


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds is 0"),
        ({"calibration": 0}, "calibration is 0"),
        ({"last_rate": 1.0}, "last_rate is 1.0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"retrain": {"epoch": 3}}, "evaluator.retrain.epoch"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        SharedWeights(**options)


def test_retraining_is_that_of_its_settings():
    evaluator, _, space = made(retrain={"epochs": 1, "batch_size": 16})
    architecture = space.sample(lambda _, options: options[0])
    measurement, found = evaluator.retrain(architecture, toy_data(), seed=0)
    assert measurement.metrics["epochs"] == 1
    assert 0 <= measurement.objectives["test_accuracy"] <= 1
    assert found
