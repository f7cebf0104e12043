"""ProxylessNAS on its own space, the chain of inverted residual blocks; prices before the first step."""

import json
import math
import random

import pytest
import torch

from nascore.contracts import Task, View
from nascore.errors import CapabilityError, SettingsError
from nascore.records import Direction, Objective
from nascore.testing import SamplerConformance
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.mbconv import MBConvSpace
from nascore_blocks.recipe import Recipe
from nascore_blocks.supernet.policy import Shared, Stream
from nascore_blocks.supernet.prices import macs, price_table
from nascore_proxylessnas import gates
from nascore_proxylessnas.sampler import ProxylessNAS

TASK = Task("noise", (1, 8, 8), 3)
OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]
CHAIN = {"widths": (4, 6), "cells": (3, 2), "kernels": (3, 5), "expansions": (1, 3), "stem": 4, "first": 4}


class TestOnChains(SamplerConformance):
    trials = 6
    of_evaluator = frozenset({"shared_weights"})
    restarts = (1, 4)

    def make(self):
        return ProxylessNAS()

    def space(self):
        return MBConvSpace(**CHAIN)


def chains(**options):
    space = MBConvSpace(**{**CHAIN, **options})
    space.name = "blocks:mbconv"
    space.setup(TASK)
    return space


def started(**options):
    sampler = ProxylessNAS(**{"cost": "none", "every": 1, **options})
    sampler.setup(chains(), OBJECTIVES, 0)
    return sampler


def stream(seed):
    generator = torch.Generator().manual_seed(seed)
    data = TensorSplit(torch.randn(32, *TASK.shape, generator=generator), torch.arange(32) % TASK.classes)
    return Stream(data, 8, generator, "cpu", None)


def forbidden():
    raise AssertionError("not now")


def shared_of():
    torch.manual_seed(0)
    supernet = chains().supernet(TASK).train()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(1)
    return Shared(supernet, optimizer, Recipe(), generator, random.Random(0), (stream(2), stream(3)), (0, 50))


# ----------------------------------------------------------------------- the paper's properties


def test_probabilities_of_ops_that_were_not_drawn_stay():  # P1
    policy, shared = started(learning_rate=0.3, spread=1.0, cost="macs", weight=1.0).policy, shared_of()
    for alpha in policy.alphas.values():
        alpha.data = alpha.data.double()  # in place: the optimiser is the sampler's own
    shared.supernet.double()
    valid = shared.valid_batch
    shared.valid_batch = lambda: (batch := valid())._replace(inputs=batch.inputs.double())
    seen, binary = [], policy._binary
    policy._binary = lambda *arguments: seen.append(binary(*arguments)) or seen[-1]
    policy.begin(shared)
    for _ in range(3):
        before = policy.probabilities()["block"].detach()
        policy.learn(shared)
        change = (policy.probabilities()["block"].detach() - before).abs()
        drawn = torch.zeros_like(change, dtype=torch.bool).scatter_(1, seen[-1].drawn, value=True)
        assert float(change[~drawn].max()) < 1e-12
        assert float(change[drawn].max()) > 0.01


def test_a_weight_step_moves_only_the_drawn_blocks():  # P3
    policy, shared = started(warm_up=1).policy, shared_of()
    shared.valid_batch = forbidden
    drawn, mix = [], policy.mix
    policy.mix = lambda tools: drawn.append(mix(tools)) or drawn[-1]
    policy.iterate(shared)
    skipped = 0
    for number, block in enumerate(shared.supernet.blocks):
        active = [shared.supernet.wiring.ops[op] for op in drawn[0]["block"].active[number]]
        assert len(active) <= 1
        skipped += not active
        for name, op in block.ops.items():
            assert all((p.grad is not None) == (name in active) for p in op.parameters())
    assert skipped  # of this seed; a skipped block breaks nothing
    assert shared.parameters[0].grad is not None


@pytest.mark.parametrize("form", ["add", "multiply"])
def test_cost_alone_drives_alpha_to_skip_what_it_can_and_to_the_cheapest(form):  # P5
    sampler = started(cost="macs", cost_form=form, scale=1.0, weight=1.0, learning_rate=0.05)
    policy, shared = sampler.policy, shared_of()
    shared.loss = lambda mixture, batch: torch.ones(())
    policy.begin(shared)
    for _ in range(400):
        policy.learn(shared)
    found = sampler.ask(View(0, random.Random(0), None)).architecture.genome
    assert list(found.values()) == ["none", "none", "none", "3x3_e1", "none"]


def test_the_cost_counts_where_the_active_op_is_a_skip():
    policy, shared = started(cost="macs", weight=1.0).policy, shared_of()
    dear, skip = shared.supernet.wiring.ops.index("5x5_e3"), len(shared.supernet.wiring.ops) - 1
    with torch.no_grad():
        policy.alphas["block"].fill_(-20.0)
        policy.alphas["block"][:, [skip, dear]] = 0.0
        policy.alphas["block"][3] = 0.0
    shared.loss = lambda mixture, batch: torch.zeros(())
    policy.begin(shared)
    policy.learn(shared)
    for edge in (0, 1, 2, 4):
        assert policy.alphas["block"][edge, skip] > policy.alphas["block"][edge, dear]


# --------------------------------------------------------------------------------- cost forms


def test_the_multiplied_loss_and_its_slopes_are_the_hand_numbers():
    policy = started(cost="macs", cost_form="multiply", scale=0.2, weight=0.3, reference=10.0).policy
    policy.table = {"block": torch.full(policy.alphas["block"].shape, 3.0, dtype=torch.float64)}  # E = 5 * 3
    factor, slope = policy.slopes(2.0)

    def loss(expected):
        return 0.2 * 2.0 * (math.log(1 + expected) / math.log(11)) ** 0.3

    assert factor == pytest.approx(0.2 * (math.log(16) / math.log(11)) ** 0.3, rel=1e-6)
    assert slope == pytest.approx((loss(15 + 1e-4) - loss(15 - 1e-4)) / 2e-4, rel=1e-4)


@pytest.mark.parametrize("cost", [0.0, 1e-9, 0.03, 0.2])
def test_latencies_below_one_millisecond_keep_the_sign_of_the_slope(cost):
    policy = started(cost="latency_ms", cost_form="multiply", weight=0.3, reference=0.5).policy
    policy.table = {"block": torch.full(policy.alphas["block"].shape, cost, dtype=torch.float64)}
    factor, slope = policy.slopes(2.0)
    assert 0 < factor < 1
    assert math.isfinite(slope)
    assert (slope > 0) == (5 * cost > 0.05)  # below a tenth of the reference it counts as that


def test_the_added_loss_has_the_slope_of_equation_seven():
    policy = started(cost="macs", weight=0.1, reference=20.0).policy
    assert policy.slopes(2.0) == (1.0, 0.1 / 20)


def test_each_gate_has_the_slope_of_its_cost():
    policy, shared = started(cost="macs", cost_form="multiply", scale=0.2, weight=0.3).policy, shared_of()
    policy.begin(shared)
    drawn = {k: policy._binary(a, shared.wirings[k], shared.generator) for k, a in policy.alphas.items()}
    batch = shared.valid_batch()
    shared.valid_batch = lambda: batch
    found = policy.gate_gradients(shared, drawn)["block"]
    (plain,) = torch.autograd.grad(shared.loss(drawn, batch), drawn["block"].weights)
    factor, slope = policy.slopes(float(shared.loss(drawn, batch).detach()))
    assert slope > 0
    torch.testing.assert_close(found, factor * plain + slope * policy.table["block"].float())


# ------------------------------------------------------------------- prices before the first step


def test_prices_are_found_once_before_the_first_step():
    policy, shared = started(cost="macs").policy, shared_of()
    assert policy.begin(shared)
    assert torch.equal(policy.table["block"], price_table(shared.supernet, macs)["block"])
    assert not policy.begin(shared)
    assert not started(cost="none").policy.begin(shared)
    again = started(cost="macs")
    again.load_state_dict(policy.state_dict(), None)
    assert not again.policy.begin(shared)


def test_an_edge_with_one_candidate_needs_reinforce():
    space = chains(kernels=(3,), expansions=(3,))
    with pytest.raises(CapabilityError, match=r"block 3 has one candidate alone \(3x3_e3\).*reinforce"):
        ProxylessNAS().setup(space, OBJECTIVES, 0)
    ProxylessNAS(variant="reinforce").setup(space, OBJECTIVES, 0)


# ----------------------------------------------------------------------------- a file of latencies


@pytest.fixture
def clock(monkeypatch):
    """Says how often a latency was measured; each is another."""
    taken = []
    monkeypatch.setattr(gates, "latency_ms", lambda op, device: taken.append(op) or 1.0 + len(taken) % 7)
    return taken


def test_latencies_are_measured_once_for_many_searches(tmp_path, clock):
    file = tmp_path / "laptop.json"
    first, second = (started(cost="latency_ms", latency_table=str(file)).policy for _ in range(2))
    first.begin(shared_of())
    measured = len(clock)
    second.begin(shared_of())
    assert measured == len(clock) == len(json.loads(file.read_text())["ops"]) > 0
    assert torch.equal(first.table["block"], second.table["block"])
    assert list(tmp_path.iterdir()) == [file]


def test_latencies_of_another_space_are_refused_before_training(tmp_path, clock):
    file = tmp_path / "laptop.json"
    started(cost="latency_ms", latency_table=str(file)).policy.begin(shared_of())
    wider = chains(widths=(4, 8))
    sampler = ProxylessNAS(cost="latency_ms", latency_table=str(file))
    sampler.setup(wider, OBJECTIVES, 0)
    shared = shared_of()
    shared.supernet = wider.supernet(TASK)
    with pytest.raises(SettingsError, match=r"has no BlockShape\(op='3x3_e1', .*another space"):
        sampler.policy.begin(shared)
    assert sampler.policy.table is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no table of latencies"),
        ('{"unit": "s", "ops": {}}', "no table of latencies"),
        ('{"unit": "ms", "ops": {"a": "fast"}}', "a has the latency 'fast'"),
        ('{"unit": "ms", "ops": {"a": NaN}}', "a has the latency nan"),
        ('{"unit": "ms", "ops": {"a": -1}}', "a has the latency -1"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    file = tmp_path / "table.json"
    file.write_text(text)
    policy = started(cost="latency_ms", latency_table=str(file)).policy
    with pytest.raises(SettingsError, match=message):
        policy.begin(shared_of())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cost_form": "multiplied"}, "did you mean 'multiply'"),
        ({"scale": 0.0}, "scale"),
        ({"cost": "macs", "latency_table": "a.json"}, "latency_table"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        ProxylessNAS(**options)
