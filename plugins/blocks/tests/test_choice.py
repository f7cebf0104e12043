"""Cells of choice blocks: decisions and keys, networks, the supernet, deriving, prices."""

import itertools
import math
import random

import pytest
import torch

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.testing import SearchSpaceConformance
from nascore_blocks.choice import CHOICE_OPS, ChoiceSpace
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.genotypes import Edge
from nascore_blocks.ops import make_search_op
from nascore_blocks.supernet.mix import BinaryGates, Concrete, PathDropout, Paths, SinglePath, Softmax
from nascore_blocks.supernet.prices import expected_cost, macs, params, price_table

DIGITS = Task("digits", (1, 8, 8), 10)
TASKS = {"even": Task("noise", (2, 8, 8), 3), "odd": Task("noise", (1, 7, 9), 3)}
EVERY_TASK = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


class TestChoiceSpace(SearchSpaceConformance):
    def make(self):
        return ChoiceSpace(blocks=2, channels=4)


def prepared(task=DIGITS, **options):
    space = ChoiceSpace(**{"blocks": 3, "channels": 4, **options})
    space.name = "blocks:choice"
    space.setup(task)
    return space


def drawn(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def of(space, *blocks):
    genome = {}
    for number, (inputs, ops) in enumerate(blocks):
        genome |= {f"cell.{number}.input": inputs, f"cell.{number}.op": ops}
    architecture = space.architecture(genome)
    space.check(architecture)
    return architecture


# ------------------------------------------------------------------------- decisions, keys


def test_the_size_of_the_papers_space():
    """Each block: one or two of its states, one or two of seven ops (7 + 21)."""
    made = ChoiceSpace().decisions(drawn(ChoiceSpace(), 0))
    assert math.prod(len(decision.options) for decision in made) == (3 * 6 * 10 * 15) * 28**4
    assert {ChoiceSpace().group(decision.name) for decision in made} == {"input", "op"}


def test_a_block_is_a_sum_read_and_ops_applied_to_it():
    space = prepared()
    cell = space.structure(of(
        space, ("1", "sep_conv_3x3"), ("0,2", "skip_connect+max_pool_3x3"), ("2,3", "avg_pool_3x3"),
    )).normal  # fmt: skip
    assert cell.nodes == (
        (Edge("skip_connect", 1),), (Edge("sep_conv_3x3", 2),),
        (Edge("skip_connect", 0), Edge("skip_connect", 3)), (Edge("skip_connect", 4), Edge("max_pool_3x3", 4)),
        (Edge("skip_connect", 3), Edge("skip_connect", 5)), (Edge("avg_pool_3x3", 6),),
    )  # fmt: skip
    assert cell.concat == (3, 5, 7)


def test_the_order_of_independent_blocks_does_not_matter():
    space = prepared()
    first = of(space, ("0", "sep_conv_3x3"), ("1", "max_pool_3x3"), ("2,3", "skip_connect"))
    second = of(space, ("1", "max_pool_3x3"), ("0", "sep_conv_3x3"), ("2,3", "skip_connect"))
    other = of(space, ("1", "max_pool_3x3"), ("0", "sep_conv_3x3"), ("2", "skip_connect"))
    assert first.key == second.key != other.key


def test_keys_are_those_of_the_graphs():
    """All of two blocks and two ops: equal keys just where renaming the blocks makes them equal."""
    space = prepared(blocks=2, ops=("skip_connect", "max_pool_3x3"))
    options = [space.decisions(drawn(space, 0))[index].options for index in range(4)]

    def form(genome, order):
        names = {"0": "0", "1": "1"} | {str(2 + block): f"b{place}" for place, block in enumerate(order)}
        blocks = [genome[2 * block : 2 * block + 2] for block in order]
        return tuple((frozenset(names[s] for s in i.split(",")), frozenset(o.split("+"))) for i, o in blocks)

    groups = {}
    for genome in itertools.product(*options):
        key = of(space, genome[:2], genome[2:]).key
        groups.setdefault(key, set()).add(frozenset(form(genome, order) for order in ((0, 1), (1, 0))))
    assert all(len(forms) == 1 for forms in groups.values())
    assert len(set().union(*groups.values())) == len(groups)
    assert 3 * 3 * 6 * 3 / 2 < len(groups) < 3 * 3 * 6 * 3


# --------------------------------------------------------------------------------- networks


def test_a_network_counts_what_its_parts_have():
    space = prepared(blocks=1, reductions=0, channels=4)
    network = space.build(of(space, ("0,1", "sep_conv_3x3+max_pool_3x3")), Task("noise", (1, 8, 8), 3))
    stem = 9 * 12 + 2 * 12
    projections = 2 * (12 * 4 + 2 * 4)
    separable = 2 * (9 * 4 + 4 * 4 + 2 * 4)
    assert count_params(network, torch.empty(1, 1, 8, 8)) == stem + projections + separable + (4 * 3 + 3)


def test_eight_cells_are_two_in_each_row():
    space = prepared(cells=2)
    network = space.build(of(space, *[("0,1", "max_pool_3x3")] * 3), DIGITS).eval()
    sizes = []
    for cell in network.cells.values():
        cell.register_forward_hook(lambda _, given, y: sizes.append(tuple(y.shape[1:])))
    network(torch.randn(2, 1, 8, 8))
    assert sizes == [(12, 8, 8)] * 2 + [(24, 4, 4)] * 3 + [(48, 2, 2)] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 0}, "blocks"),
        ({"channels": 1}, "channels"),
        ({"cells": 0}, "cells"),
        ({"reductions": -1}, "reductions"),
        ({"stem": "big"}, "stem"),
        ({"ops": ("none", "skip_connect")}, "none"),
        ({"ops": ("sep_conv_9x9",)}, "did you mean"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(SettingsError, match=message):
        ChoiceSpace(**options)


# --------------------------------------------------------------------------------- supernet


def supernet_of(task, dtype=torch.float64, **options):
    torch.manual_seed(0)
    space = prepared(task, **options)
    return space, space.supernet(task).to(dtype).train(), torch.randn(5, *task.shape, dtype=dtype)


@EVERY_TASK
@pytest.mark.parametrize("options", [{}, {"reductions": 0, "cells": 2}, {"stem": "image"}], ids=str)
def test_an_architecture_inside_equals_itself_alone(task, options):
    space, net, x = supernet_of(task, **options)
    for seed in range(6):
        found = space.structure(drawn(space, seed))
        torch.testing.assert_close(net(x, net.paths(found)), net.extract(found).train()(x), rtol=0, atol=1e-10)


def test_it_does_so_in_float32():
    space, net, x = supernet_of(Task("noise", (3, 16, 16), 10), torch.float32, blocks=4)
    found = space.structure(drawn(space, 1))
    torch.testing.assert_close(net(x, net.paths(found)), net.extract(found).train()(x), rtol=0, atol=1e-5)


MIXES = {
    "softmax": Softmax(),
    "concrete": Concrete(0.3),
    "single path": SinglePath(),
    "gates": BinaryGates(),
    "dropout": PathDropout(0.5),
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_a_mix_is_the_weighted_sum_of_what_runs(mix):
    _, net, x = supernet_of(TASKS["odd"], reductions=1)
    generator = torch.Generator().manual_seed(1)
    logits = {k: torch.randn(w.size, dtype=torch.float64, requires_grad=True) for k, w in net.wirings.items()}
    paths = {kind: mix(logits[kind], wiring, generator) for kind, wiring in net.wirings.items()}

    def weight(kind, edge):
        given = paths[kind].weights
        return float(bool(paths[kind].active[edge])) * (1.0 if given is None else given[edge, 0])

    before = previous = net.stem0(x)
    for cell in net.cells:
        states = [module(given) for module, given in zip(cell.preprocess, (before, previous), strict=True)]
        for block in range(3):
            edges = [(e, state) for e, (b, state) in enumerate(net.wirings["input"].edges) if b == block]
            total = sum(weight("input", e) * cell.edge("input", e)(states[state]) for e, state in edges)
            edges = [e for e, (b, _) in enumerate(net.wirings["op"].edges) if b == block]
            states.append(sum(weight("op", e) * cell.edge("op", e)(total) for e in edges))
        before, previous = previous, torch.cat(states[2:], dim=1)
    out = net(x, paths)
    torch.testing.assert_close(out, net.end(previous), rtol=0, atol=1e-10)
    leaves = [p.weights for p in paths.values() if p.weights is not None]
    for gradient in torch.autograd.grad(out.square().sum(), leaves) if leaves else ():
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).any()


def test_an_op_is_dropped_by_the_number_of_ops_of_its_block():
    wirings = ChoiceSpace().wirings
    assert {wirings["op"].paths_into(edge) for edge in range(28)} == {7}
    assert [wirings["input"].paths_into(edge) for edge in range(5)] == [2, 2, 3, 3, 3]


def test_only_what_runs_is_computed_and_gets_a_gradient():
    space, net, x = supernet_of(TASKS["even"])
    found = of(space, ("0,1", "sep_conv_3x3"), ("1,2", "sep_conv_5x5+conv_1x7_7x1"), ("0", "skip_connect"))
    paths = net.paths(space.structure(found))
    net(x, paths).square().sum().backward()
    for cell in net.cells:
        for kind, wiring in net.wirings.items():
            for edge in range(len(wiring.edges)):
                runs = bool(paths[kind].active[edge])
                assert all((p.grad is not None) == runs for p in cell.edge(kind, edge).parameters())


def test_nothing_runs_where_all_paths_are_dropped():
    _, net, x = supernet_of(TASKS["odd"])
    empty = {kind: Paths(((),) * len(wiring.edges)) for kind, wiring in net.wirings.items()}
    torch.testing.assert_close(net(x, empty), net.end[-1].bias.expand(5, -1))


def test_extracted_weights_are_copies():
    space, net, x = supernet_of(TASKS["even"])
    found = space.structure(drawn(space, 1))
    before = net(x, net.paths(found)).detach()
    with torch.no_grad():
        for parameter in net.extract(found).parameters():
            parameter.zero_()
    assert torch.equal(net(x, net.paths(found)), before)


def test_an_edge_that_is_not_there_is_refused():
    _, net, _ = supernet_of(TASKS["even"], ops=("skip_connect", "max_pool_3x3"))
    wider = prepared(blocks=4)
    with pytest.raises(SpaceError, match="no 'sep_conv_3x3' in block 0"):
        net.paths(wider.structure(of(wider, *[("0", "sep_conv_3x3")] * 4)))
    with pytest.raises(SpaceError, match="no input 0 in block 3"):
        net.extract(wider.structure(of(wider, *[("0", "skip_connect")] * 4)))


# ------------------------------------------------------------------------ deriving, prices


def test_the_strongest_is_derived_and_the_second_if_it_beats_its_none():
    space = prepared(blocks=2, ops=("skip_connect", "max_pool_3x3", "sep_conv_3x3"))
    inputs = torch.tensor([[0.3, 0.7], [0.4, 0.6], [0.6, 0.4], [0.9, 0.1], [0.8, 0.2]])
    ops = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.65, 0.35], [0.1, 0.9], [0.5, 0.5], [0.2, 0.8]])
    assert space.derive({"input": inputs, "op": ops}).genome == {
        "cell.0.input": "1", "cell.0.op": "max_pool_3x3+sep_conv_3x3",
        "cell.1.input": "1,2", "cell.1.op": "max_pool_3x3",
    }  # fmt: skip


def test_what_is_derived_is_in_the_space_and_the_supernet():
    space, net, _ = supernet_of(TASKS["even"])
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        weights = {k: torch.softmax(torch.randn(w.size, generator=generator), -1) for k, w in net.wirings.items()}
        derived = space.derive(weights)
        space.check(derived)
        for kind, paths in net.paths(space.structure(derived)).items():
            strongest = max(range(len(weights[kind])), key=lambda edge: float(weights[kind][edge, 0]))
            assert paths.active[strongest] == (0,)


@EVERY_TASK
@pytest.mark.parametrize(("price", "count"), [(params, count_params), (macs, count_macs)])
def test_two_networks_differ_by_what_their_edges_cost(task, price, count):
    space, net, _ = supernet_of(task)
    table = price_table(net, price)
    differences, counts = set(), set()
    for seed in range(5):
        rng = random.Random(seed)
        # The first block reads both cells, so that every architecture has the same input projections.
        one = space.sample(lambda name, options: "0,1" if name == "cell.0.input" else rng.choice(options))  # noqa: B023 - called at once
        with torch.device("meta"):
            counted = count(space.build(one, task).eval(), torch.empty(1, *task.shape))
        ones = {kind: torch.zeros(wiring.size, dtype=torch.float64) for kind, wiring in net.wirings.items()}
        for kind, paths in net.paths(space.structure(one)).items():
            for edge, ops in enumerate(paths.active):
                ones[kind][edge, list(ops)] = 1.0
        counts.add(counted)
        differences.add(counted - float(expected_cost(ones, table)))
    assert len(counts) > 1
    assert len(differences) == 1


def test_the_ops_are_the_seven_of_the_paper():
    assert len(CHOICE_OPS) == 7
    assert all(make_search_op(op, 4)(torch.randn(2, 4, 5, 5)).shape == (2, 4, 5, 5) for op in CHOICE_OPS)
