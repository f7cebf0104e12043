"""A search that is stopped at any point and resumed is the same search, bit for bit."""

import pytest

import nascore
import nascore.loop
from nascore.testing.searches import Stop, outcome, stopping
from nascore_blocks.mbconv import MBConvSpace
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_proxylessnas import gates
from nascore_proxylessnas.sampler import ProxylessNAS

OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3")


SPACES = {
    "cells": lambda: DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1),
    "chain": lambda: MBConvSpace((4, 6), (2, 2), kernels=(3, 5), expansions=(1, 2), stem=4, first=4),
}


def fresh(variant="gradient", cost="latency_ms", space="chain"):
    return {
        "space": SPACES[space](),
        "sampler": ProxylessNAS(variant, learning_rate=0.2, every=1, warm_up=1, cost=cost, samples=3),
        "evaluator": SharedWeights(rounds=5, steps=2, batch_size=16, calibration=1),
        "data": "blocks:digits",
    }


def search(parts, folder):
    return nascore.search(**parts, costs=["blocks:params"], trials=4, tracking="off", out=folder)


@pytest.fixture
def ageing_clock(monkeypatch):
    """Latencies that are others at each measurement, as real ones are; says how many were taken."""
    taken = []

    def latency(shape, device):
        taken.append(shape)
        return 1.0 + len(taken) * 0.618 % 1

    monkeypatch.setattr(gates, "latency_ms", latency)
    monkeypatch.setattr(nascore.loop, "CHECKPOINT_SECONDS", 0.0)
    return taken


@pytest.mark.parametrize(
    ("variant", "cost", "space", "stops"),
    [
        ("gradient", "macs", "cells", (1, 3)),
        ("reinforce", "macs", "chain", (2, 7)),
        ("gradient", "latency_ms", "chain", (0, 1, 2, 8)),
    ],
)
def test_a_search_stopped_anywhere_and_resumed_is_the_same_search(tmp_path, ageing_clock, variant, cost, space, stops):
    parts = fresh(variant, cost, space)
    whole = outcome(search(parts, tmp_path / "whole"), parts)
    assert len({trial[5]["loss"] for trial in whole[0]}) == 4
    # Killed before the first checkpoint (0), nothing was begun; from there on the prices are those that it has.
    for at in stops:
        ageing_clock.clear()
        folder = tmp_path / f"stopped-{at}"
        stopped = fresh(variant, cost, space)
        with pytest.raises(Stop):
            search({**stopped, "evaluator": stopping(stopped["evaluator"], at)}, folder)
        if not at:
            ageing_clock.clear()  # what is measured again may be measured differently
        again = fresh(variant, cost, space)
        del again["data"]
        assert outcome(nascore.resume(folder, **again), again) == whole, f"stopped at {at}"


def test_a_search_killed_in_its_first_round_has_its_latencies(tmp_path, ageing_clock):
    stopped = fresh()
    evaluator = stopped["evaluator"]
    train = evaluator._round

    def die(*arguments):
        train(*arguments)  # the round is done, and lost
        raise Stop

    evaluator._round = die
    with pytest.raises(Stop):
        search(stopped, tmp_path / "run")
    measured = len(ageing_clock)
    table = {kind: costs.tolist() for kind, costs in stopped["sampler"].policy.table.items()}
    again = fresh()
    del again["data"]
    nascore.resume(tmp_path / "run", **again)
    assert measured > 0
    assert len(ageing_clock) == measured
    assert {kind: costs.tolist() for kind, costs in again["sampler"].policy.table.items()} == table
