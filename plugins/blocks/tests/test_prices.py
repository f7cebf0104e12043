"""Price tables against the networks themselves, and against numbers worked out by hand."""

import random

import pytest
import torch

from nascore.contracts import Task
from nascore.seeding import derive_seed
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.prices import OpShape, expected_cost, macs, params, price_table

TASKS = [Task("small", (1, 8, 8), 10), Task("odd", (3, 13, 9), 10), Task("photo", (3, 96, 96), 10)]


def space_of(task):
    space = DARTSSpace(blocks=3, channels=4, cells=1)
    space.setup(task)
    return space


def drawn(space, seed):
    rng = random.Random(derive_seed(seed, "architecture"))
    # All nodes read both inputs, so that every architecture has the same input projections.
    return space.sample(lambda name, options: options[0] if name.endswith("input") else rng.choice(options))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(("price", "count"), [(params, count_params), (macs, count_macs)])
def test_two_networks_differ_by_what_their_ops_cost(task, price, count):
    space = space_of(task)
    supernet = space.supernet(task)
    table = price_table(supernet, price)
    prices, counts = [], []
    for seed in range(4):
        architecture = drawn(space, seed)
        with torch.device("meta"):
            network = space.build(architecture, task).eval()
            counts.append(count(network, torch.empty(1, *task.shape)))
        paths = supernet.paths(space.structure(architecture))
        ones = {kind: torch.zeros_like(costs) for kind, costs in table.items()}
        for kind in ones:
            for edge, ops in enumerate(paths[kind].active):
                ones[kind][edge, list(ops)] = 1.0
        prices.append(float(expected_cost(ones, table)))
    assert len(set(counts)) > 1
    assert [p - prices[0] for p in prices] == [c - counts[0] for c in counts]


def test_a_separable_convolution_costs_what_the_formula_says():
    # METHODS, section 22, P3: C = 16 at 8 x 8.
    shape = OpShape("sep_conv_3x3", 16, 1, 8, 8)
    assert params(shape) == 864
    assert macs(shape) == 51_200


def test_stride_and_channels_are_those_of_the_place():
    task = TASKS[0]
    supernet = space_of(task).supernet(task)
    found = {(kind, edge, shape) for kind, edge, op, shape in supernet.priced_ops() if shape.op == "sep_conv_3x3"}
    edges = {place: number for number, place in enumerate(supernet.wiring.edges)}
    into_first = next(number for place, number in edges.items() if place.node == 2 and place.input == 0)
    inside = next(number for place, number in edges.items() if place.node == 3 and place.input == 2)
    assert ("reduce", into_first, OpShape("sep_conv_3x3", 8, 2, 8, 8)) in found
    assert ("reduce", inside, OpShape("sep_conv_3x3", 8, 1, 4, 4)) in found
    assert ("normal", inside, OpShape("sep_conv_3x3", 16, 1, 2, 2)) in found


def test_none_pooling_and_identity_cost_no_parameters():
    task = TASKS[0]
    supernet = space_of(task).supernet(task)
    ops = supernet.wiring.ops
    table = price_table(supernet, params)["normal"]
    free = [ops.index(op) for op in ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")]
    assert (table[:, free] == 0).all()
    assert (table[:, [op for op in range(len(ops)) if op not in free]] > 0).all()


def test_the_expectation_and_its_gradient_are_the_hand_numbers():
    # METHODS, section 15, P4.
    alpha = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    table = {"normal": torch.tensor([[10.0, 20.0]], dtype=torch.float64)}
    cost = expected_cost({"normal": torch.softmax(alpha, -1)}, table)
    assert float(cost.detach()) == 15
    assert torch.autograd.grad(cost, alpha)[0].tolist() == [[-2.5, 2.5]]


def test_a_shape_is_priced_once():
    task = TASKS[0]
    asked = []
    price_table(space_of(task).supernet(task), lambda shape: asked.append(shape) or 1.0)
    assert len(asked) == len(set(asked))
