"""Derived architectures within the constraints of a search."""

from __future__ import annotations

import random

import pytest
import torch

from nascore.contracts import Task, View
from nascore.records import Constraint
from nascore_blocks.costs import count_params
from nascore_blocks.spaces import DARTSSpace, NASNetSpace
from nascore_blocks.supernet.limits import Limits

TASK = Task("toy", (1, 8, 8), 4)


def prepared(kind):
    space = kind(blocks=3, channels=4, cells=1, reductions=1)
    space.name = "blocks:cells"
    space.setup(TASK)
    generator = torch.Generator().manual_seed(0)
    weights = {k: torch.softmax(3 * torch.randn(w.size, generator=generator), -1) for k, w in space.wirings.items()}
    return space, weights


def size(space, architecture):
    with torch.device("meta"):
        return count_params(space.build(architecture, TASK), torch.empty(1, *TASK.shape))


def view(space, limit):
    return View(0, random.Random(0), None, excess=lambda a: max(0.0, size(space, a) / limit - 1))


@pytest.mark.parametrize("kind", [DARTSSpace, NASNetSpace])
def test_a_derived_architecture_breaks_no_constraint(kind):
    space, weights = prepared(kind)
    free = size(space, space.derive(weights))
    sizes = []
    for share in (1.0, 0.9, 0.7, 0.5):
        limits = Limits(space, [Constraint("params", share * free)])
        found = limits.derive(weights, view(space, share * free))
        space.check(found)
        sizes.append(size(space, found))
        assert sizes[-1] <= share * free
        assert (limits.pressure > 0) == (share < 1)
    assert sizes[0] == free  # nothing is taken off what fits
    assert sizes[3] > 0.25 * free  # and no more than need be


def test_what_cannot_be_met_gives_the_cheapest():
    space, weights = prepared(DARTSSpace)
    limits = Limits(space, [Constraint("params", 10.0)])
    found = limits.derive(weights, view(space, 10.0))
    ops = {value for name, value in found.genome.items() if ".op." in name}
    assert not any("conv" in op for op in ops)


def test_the_penalty_presses_towards_cheap_ops_while_the_limit_is_broken():
    space, weights = prepared(DARTSSpace)
    alphas = {k: w.log().double().requires_grad_() for k, w in weights.items()}
    limits = Limits(space, [Constraint("params", 1000.0)])
    probabilities = {k: torch.softmax(a, -1) for k, a in alphas.items()}
    assert limits.penalty(probabilities).item() == 0.0
    limits.derive(weights, view(space, 1000.0))
    value = limits.penalty(probabilities)
    expected = sum((p.detach() * limits.tables[0][k]).sum() for k, p in probabilities.items())
    assert value.item() == pytest.approx(limits.pressure * torch.log1p(expected).item())
    gradients = torch.autograd.grad(value, list(alphas.values()))
    ops = space.wiring.ops
    for gradient in gradients:
        assert (gradient[:, ops.index("sep_conv_5x5")] > 0).all()  # descent takes from the dearest
        assert (gradient[:, ops.index("skip_connect")] <= 1e-12).all() or (gradient.sum(-1).abs() < 1e-9).all()


def test_lower_limits_and_limits_on_what_is_evaluated_do_not_press():
    space, weights = prepared(DARTSSpace)
    limits = Limits(space, [Constraint("accuracy", 0.9, upper=False)])
    assert limits.derive(weights, view(space, 1.0)) == space.derive(weights)
    assert limits.pressure == 0.0
