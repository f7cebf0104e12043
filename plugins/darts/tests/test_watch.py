"""What is watched at each round: skip connections, curvature, the early stop of Zela et al. 2020."""

import pytest
import torch
from torch import nn

from nascore.errors import SettingsError
from nascore.history import TrialHistory
from nascore.records import Architecture, Candidate, Direction, Objective, Status, Trial
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext, toy_data
from nascore.testing.driver import through_checkpoint
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.curvature import fixed_batch, largest_eigenvalue, validation_curvature
from nascore_blocks.weight_sharing import SharedWeights
from nascore_darts.sampler import DARTS
from nascore_darts.watch import stopping_round

OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]


def made(rounds=2, ops=("skip_connect", "avg_pool_3x3", "sep_conv_3x3"), reductions=1, **options):
    data = toy_data()
    space = DARTSSpace(blocks=2, channels=4, cells=1, reductions=reductions, ops=ops)
    space.name = "blocks:darts"
    space.setup(data.task)
    evaluator = SharedWeights(rounds=rounds, steps=1, batch_size=8)
    evaluator.setup(space, data.for_search())
    sampler = DARTS(hessian_examples=8, **options)
    sampler.setup(space, OBJECTIVES, 0)
    return evaluator, sampler


def prepare(evaluator, sampler, seed):
    with isolated_random(seed):
        return evaluator.prepare(sampler, MemoryContext(toy_data().for_search(), seed=seed))


def tiny_smooth():
    """The tools of a round over a float64 supernet without kinks, and the sampler's policy."""
    evaluator, sampler = made(ops=("avg_pool_3x3", "skip_connect"), reductions=0)
    with isolated_random(0):
        net = evaluator._made("cpu").double()
    for module in net.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
    shared = evaluator._shared(MemoryContext(toy_data().for_search(), seed=1))
    loss = shared.loss
    shared.loss = lambda mixture, batch: loss(mixture, batch._replace(inputs=batch.inputs.double()))
    for seed, alpha in enumerate(sampler.policy.alphas.values()):
        alpha.data = torch.randn(alpha.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    net.train()
    return shared, sampler.policy


# ------------------------------------------------------------------ the eigenvalue


def test_of_a_quadratic_it_is_that_of_its_matrix():
    x, y = (torch.tensor([v, -v], dtype=torch.float64, requires_grad=True) for v in (0.3, 1.0))
    matrix = torch.diag(torch.tensor([-9.0, 1.0, 4.0, 2.5], dtype=torch.float64))
    matrix[2, 3] = matrix[3, 2] = 1.0
    z = torch.cat([x, y])
    found = largest_eigenvalue(z @ matrix @ z / 2 + z.sum(), [x, y], tolerance=0.0)
    assert found == pytest.approx(3.25 + 1.5625**0.5, abs=1e-10)  # of [[4, 1], [1, 2.5]]; -9 is larger only in size


def test_leaves_that_the_loss_does_not_reach_and_linear_losses_have_none():
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    idle = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert largest_eigenvalue((x**2).sum() * 2.5, [idle, x], tolerance=0.0) == pytest.approx(5.0)
    assert largest_eigenvalue(x.sum() * 3, [x]) == 0.0


@pytest.mark.parametrize(("tolerance", "error"), [(0.0, 1e-9), (0.05, 2e-2)])
def test_on_a_supernet_it_is_that_of_the_full_hessian(tolerance, error):
    shared, policy = tiny_smooth()
    alphas = list(policy.alphas.values())
    batch = fixed_batch(shared.valid_batch, 8)
    shapes = [a.shape for a in alphas]

    def loss(flat):
        parts = torch.split(flat, [s.numel() for s in shapes])
        given = dict(zip(policy.alphas, (p.reshape(s) for p, s in zip(parts, shapes, strict=True)), strict=True))
        mixed = {k: policy._softmax(a, shared.wirings[k], shared.generator) for k, a in given.items()}
        shared.supernet.fast = False
        return shared.loss(mixed, batch)

    hessian = torch.autograd.functional.hessian(loss, torch.cat([a.detach().flatten() for a in alphas]))
    expected = float(torch.linalg.eigvalsh(hessian)[-1])
    assert expected > 1e-6
    found = validation_curvature(shared, alphas, lambda: policy.mix(shared), 8, tolerance)
    assert found == pytest.approx(expected, rel=error)


def test_it_is_of_the_same_examples_at_every_call_and_moves_nothing():
    evaluator, sampler = made()
    prepare(evaluator, sampler, 0)
    policy, found, batches = sampler.policy, [], []
    for seed in (1, 2):
        shared = evaluator._shared(MemoryContext(toy_data().for_search(), seed=seed))
        before = torch.get_rng_state()
        states = shared.valid_batch._generator.get_state(), shared.generator.get_state()
        batches.append(fixed_batch(shared.valid_batch, 8))
        found.append(
            validation_curvature(shared, list(policy.alphas.values()), lambda shared=shared: policy.mix(shared), 8)
        )
        assert torch.equal(before, torch.get_rng_state())
        assert all(map(torch.equal, states, (shared.valid_batch._generator.get_state(), shared.generator.get_state())))
    assert found[0] == found[1] != 0
    assert torch.equal(batches[0].inputs, batches[1].inputs)
    assert shared.supernet.fast
    assert all(p.requires_grad for p in shared.parameters)


# ---------------------------------------------------------------- metrics of a round


def test_a_round_and_its_trial_tell_skips_and_curvature():
    evaluator, sampler = made(hessian_every=2)
    skip = sampler.space.wiring.ops.index("skip_connect")
    with torch.no_grad():
        sampler.policy.alphas["normal"][:, skip] = 8.0
        sampler.policy.alphas["reduce"][:, skip] = -8.0
    first = prepare(evaluator, sampler, 0).metrics
    assert (first["skips_normal"], first["skips_reduce"]) == (4, 0)
    assert "hessian_eigenvalue" not in first
    second = prepare(evaluator, sampler, 1).metrics
    assert sampler.policy.watch.eigenvalues == [second["hessian_eigenvalue"]]
    context = MemoryContext(toy_data().for_search(), seed=0)
    told = evaluator.evaluate(sampler.ask(None), context).metrics
    assert {name: told[name] for name in second} == second


def test_the_curvature_can_be_left_out():
    evaluator, sampler = made(hessian_every=0)
    assert "hessian_eigenvalue" not in prepare(evaluator, sampler, 0).metrics


# -------------------------------------------------------------------- the early stop


@pytest.mark.parametrize(
    ("eigenvalues", "expected"),
    [
        ([1.0] * 9, 0),  # fewer than two windows
        ([1.0] * 30, 0),
        ([1.0] * 5 + [1.33] * 5, 0),  # 1 / 1.33 > 0.75
        ([1.0] * 5 + [1.34] * 5, 5),
        ([1.0] * 7 + [1.0, 1.0, 1.0, 1.0, 3.0], 7),  # the mean of the last five is 1.4
        ([3.0] * 5 + [1.0] * 5, 0),
    ],
)
def test_it_stops_where_the_mean_grew_by_a_third_in_five_rounds(eigenvalues, expected):
    assert stopping_round(eigenvalues) == expected


def stopping_at(monkeypatch, values):
    given = iter(values)
    monkeypatch.setattr("nascore_darts.watch.validation_curvature", lambda *_: next(given))


def test_an_early_stop_ends_the_search_with_the_architecture_of_five_rounds_before(monkeypatch):
    stopping_at(monkeypatch, [1.0] * 6 + [2.0] * 20)
    evaluator, sampler = made(rounds=30, early_stop=True)
    history, number = TrialHistory(OBJECTIVES), 0
    while True:
        done = prepare(evaluator, sampler, number)
        candidate = sampler.ask(None)
        if candidate is None:
            break
        history.add(
            Trial(number, candidate, Status.COMPLETE, {"accuracy": 0.1}, metrics={"round": done.metrics["round"]})
        )
        number += 1
    # After round 10 the last five are 1, 2, 2, 2, 2 and the five before all 1: 1 / 1.8 < 0.75.
    assert done.metrics["round"] == 10
    assert done.metrics["answer_round"] == 5
    assert sampler.recommend(history).metrics["round"] == 5


def test_a_stopped_search_stays_so_when_resumed_and_learns_no_more(monkeypatch):
    stopping_at(monkeypatch, [1.0] * 5 + [2.0] * 20)
    evaluator, sampler = made(rounds=30, early_stop=True)
    while sampler.ask(None) is not None:
        prepare(evaluator, sampler, 0)
    states = through_checkpoint({"sampler": sampler.state_dict(), "evaluator": evaluator.state_dict()})
    again, resumed = made(rounds=30, early_stop=True)
    resumed.load_state_dict(states["sampler"], TrialHistory(OBJECTIVES))
    again.load_state_dict(states["evaluator"])
    prepare(again, resumed, 1)
    assert resumed.ask(None) is None
    assert all(map(torch.equal, evaluator.supernet.parameters(), again.supernet.parameters()))
    assert resumed.state_dict()["eigenvalues"] == sampler.state_dict()["eigenvalues"]
    assert len(resumed.policy.history.alphas["normal"]) == again.done == 10


def test_without_the_option_nothing_stops(monkeypatch):
    stopping_at(monkeypatch, [1.0] * 5 + [9.0] * 20)
    evaluator, sampler = made(rounds=12)
    for seed in range(12):
        prepare(evaluator, sampler, seed)
        assert sampler.ask(None) is not None


def test_an_answer_that_breaks_a_constraint_gives_way_to_the_next():
    _, sampler = made()
    sampler.policy.watch.answer = 1
    history = TrialHistory(OBJECTIVES)
    for number, violation in enumerate([1.0, -1.0, -1.0]):
        history.add(
            Trial(
                number, Candidate(Architecture("darts", {}, str(number))), Status.COMPLETE, {"accuracy": 0.5},
                metrics={"round": number + 1}, violations={"params": violation},
            )
        )  # fmt: skip
    assert sampler.recommend(history).number == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hessian_every": -1}, "hessian_every is -1"),
        ({"hessian_examples": 1}, "hessian_examples is 1"),
        ({"hessian_every": 2, "early_stop": True}, "hessian_every is 2; early_stop needs 1"),
        ({"hessian_every": 0, "early_stop": True}, "hessian_every is 0; early_stop needs 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        DARTS(**options)
