"""ENAS on a small supernet: properties P1, P2 and P5 of METHODS section 10, and resuming."""

from __future__ import annotations

import pytest
import torch

import nascore
from nascore.errors import SettingsError
from nascore.testing import ToyData, toy_data
from nascore.testing.searches import Stop
from nascore_blocks.macro import MacroSpace
from nascore_blocks.nasbench201 import NASBench201
from nascore_blocks.spaces import DARTSSpace, NASNetSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_enas.presets import OPS
from nascore_enas.sampler import ENAS


def space(kind=NASNetSpace):
    if kind is MacroSpace:
        return MacroSpace(layers=3, channels=2, reductions=1)
    if kind is NASBench201:
        return NASBench201(channels=2, reductions=1)
    return kind(blocks=2, ops=OPS, channels=2, cells=1, reductions=1)


def sampler(**changes):
    return ENAS(**{"hidden": 8, "steps": 2, "samples": 2, "derive": 3, "learning_rate": 0.05} | changes)


def evaluator(rounds=3):
    return SharedWeights(rounds=rounds, steps=2, batch_size=16, calibration=1)


def search(folder, *, trials=5, **changes):
    parts = {"space": space(), "sampler": sampler(), "evaluator": evaluator(), "data": ToyData()} | changes
    return nascore.search(**parts, trials=trials, costs=[], tracking="off", out=folder)


def outcome(result):
    return [(t.number, t.architecture.key, t.candidate.origin, dict(t.objectives)) for t in result.history]


def parameters(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", [NASNetSpace, MacroSpace])
def test_phases_leave_each_other_alone(tmp_path, kind):
    """P2: weights change in the first phase alone, the controller in the second alone."""
    enas, weights = sampler(), evaluator()
    seen = []

    def watch(policy):
        phase_two, step = policy.end_round, policy.iterate

        def iterate(shared):
            before = parameters(shared.supernet), parameters(policy.reinforce.controller)
            step(shared)
            after = parameters(shared.supernet), parameters(policy.reinforce.controller)
            seen.append(("one", equal(before[0], after[0]), equal(before[1], after[1])))

        def end_round(shared):
            before = parameters(shared.supernet), parameters(policy.reinforce.controller)
            metrics = phase_two(shared)
            after = parameters(shared.supernet), parameters(policy.reinforce.controller)
            seen.append(("two", equal(before[0], after[0]), equal(before[1], after[1])))
            return metrics

        policy.iterate, policy.end_round = iterate, end_round

    setup = enas.setup

    def watched_setup(*arguments):
        setup(*arguments)
        watch(enas.policy)

    enas.setup = watched_setup
    search(tmp_path / "run", space=space(kind), sampler=enas, evaluator=weights, trials=2)
    assert set(seen) == {("one", False, True), ("two", True, False)}


def test_only_the_drawn_sub_graph_learns():
    """P1: sub-graphs share tensors, and what is outside of the drawn one has no gradient."""
    cells = space()
    cells.setup(toy_data().task)
    supernet = cells.supernet(toy_data().task)
    genomes = {
        op: {
            f"{kind}.{node}.{what}.{slot}": op if what == "op" else 0
            for kind in ("normal", "reduce")
            for node in (0, 1)
            for what in ("input", "op")
            for slot in (0, 1)
        }
        for op in ("sep_conv_3x3", "sep_conv_5x5")
    }
    touched = {}
    for op, genome in genomes.items():
        supernet.zero_grad(set_to_none=True)
        supernet(torch.randn(4, 3, 8, 8), supernet.paths(cells.structure(cells.architecture(genome)))).sum().backward()
        touched[op] = {name for name, p in supernet.named_parameters() if p.grad is not None and ".edges." in name}
    assert touched["sep_conv_3x3"]
    assert all("sep_conv_3x3" in name for name in touched["sep_conv_3x3"])
    assert all("sep_conv_5x5" in name for name in touched["sep_conv_5x5"])
    mixed = cells.architecture({**genomes["sep_conv_3x3"], "normal.0.op.1": "sep_conv_5x5"})
    supernet.zero_grad(set_to_none=True)
    supernet(torch.randn(4, 3, 8, 8), supernet.paths(cells.structure(mixed))).sum().backward()
    both = {name for name, p in supernet.named_parameters() if p.grad is not None and ".edges." in name}
    assert both & touched["sep_conv_3x3"]
    assert both & touched["sep_conv_5x5"]


def test_each_op_has_an_output_of_its_own():
    """P5: branches that were bound late would all be the last one."""
    cells = NASNetSpace(blocks=1, ops=OPS, channels=4, cells=1, reductions=0)
    cells.setup(toy_data().task)
    supernet = cells.supernet(toy_data().task)
    inputs = torch.randn(8, 3, 8, 8)
    outputs = []
    for op in OPS:
        genome = {"normal.0.input.0": 1, "normal.0.op.0": op, "normal.0.input.1": 1, "normal.0.op.1": "skip_connect"}
        paths = supernet.paths(cells.structure(cells.architecture(genome)))
        outputs.append(supernet(inputs, paths).detach())
    for index, one in enumerate(outputs):
        assert not any(torch.allclose(one, other, atol=1e-4) for other in outputs[index + 1 :])


@pytest.mark.parametrize("kind", [NASNetSpace, DARTSSpace, MacroSpace, NASBench201])
def test_a_search_stopped_anywhere_and_resumed_is_the_same_search(tmp_path, kind):
    whole = search(tmp_path / "whole", space=space(kind))
    assert [t.candidate.origin for t in whole.history] == ["derived from the controller"] * 3 + [
        "drawn by the controller"
    ] * 2
    assert len({t.architecture.key for t in whole.history}) > 1
    for at in range(1, 10, 2):
        folder = tmp_path / f"stopped-{at}"
        stopped = evaluator()
        calls = iter(range(100))

        def dying(method, calls=calls, at=at):
            def wrapped(*arguments):
                if next(calls) == at:
                    raise Stop
                return method(*arguments)

            return wrapped

        stopped.evaluate, stopped._round = dying(stopped.evaluate), dying(stopped._round)
        try:
            search(folder, space=space(kind), evaluator=stopped)
        except Stop:
            pass
        else:
            break
        resumed = nascore.resume(folder, space=space(kind), sampler=sampler(), evaluator=evaluator(), data=ToyData())
        assert outcome(resumed) == outcome(whole), f"stopped at call {at}"
    assert at > 5


def test_a_finished_search_takes_a_larger_budget(tmp_path):
    search(tmp_path / "short", trials=4)
    longer = search(tmp_path / "longer", trials=6)
    resumed = nascore.resume(
        tmp_path / "short", trials=6, space=space(), sampler=sampler(), evaluator=evaluator(), data=ToyData()
    )
    assert outcome(resumed) == outcome(longer)


@pytest.mark.parametrize(
    "wrong",
    [{"hidden": 0}, {"steps": 0}, {"samples": 0}, {"derive": 0}, {"learning_rate": 0.0}, {"temperature": 0.0},
     {"tanh_constant": -1.0}, {"op_reduce": 0.0}, {"entropy_weight": -1.0}, {"baseline_decay": 1.0},
     {"skip_target": 1.0}, {"skip_weight": -0.1}],
)  # fmt: skip
def test_bad_settings_are_named(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ENAS(**wrong)
