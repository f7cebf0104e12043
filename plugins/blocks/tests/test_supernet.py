"""The supernet: fast equals plain, and an architecture inside equals the same one outside."""

import random

import pytest
import torch
import torch.nn.functional as F

from nascore.contracts import Task
from nascore.errors import SpaceError
from nascore_blocks.genotypes import Cell, Edge, Genotype
from nascore_blocks.spaces import DARTSSpace, NASNetSpace
from nascore_blocks.supernet.calibrate import recalibrate
from nascore_blocks.supernet.discrete import strongest_nodes
from nascore_blocks.supernet.mix import BinaryGates, Concrete, PathDropout, Paths, SinglePath, Softmax
from nascore_blocks.supernet.wiring import CellWiring

SPACES = {
    "darts": lambda: DARTSSpace(blocks=3, channels=4, cells=1),
    "darts, one cell": lambda: DARTSSpace(blocks=2, channels=3, cells=1, reductions=0),
    "nasnet": lambda: NASNetSpace(blocks=2, channels=4, cells=1),
    "photographs": lambda: DARTSSpace(blocks=2, channels=4, cells=1, stem="image"),
}
SHAPES = {"even": (2, 8, 8), "odd": (1, 7, 9)}
EVERY_SPACE = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def made(space, shape, dtype=torch.float64):
    torch.manual_seed(0)
    space = space()
    task = Task("noise", shape, 3)
    space.setup(task)
    x = torch.randn(5, *shape, dtype=dtype)
    return space, space.supernet(task).to(dtype), x


def genotype(space, seed=0):
    rng = random.Random(seed)
    return space.structure(space.sample(lambda _, options: rng.choice(options)))


def logits_of(net, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    size = len(net.wiring.edges), len(net.wiring.ops)
    return {k: torch.randn(size, generator=generator, dtype=dtype).requires_grad_() for k in net.kinds}


def mixture(net, mix, logits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {kind: mix(table, net.wiring, generator) for kind, table in logits.items()}


MIXES = {
    "softmax": Softmax(),
    "concrete": Concrete(0.3),
    "single path": SinglePath(),
    "gates": BinaryGates(),
    "dropout": PathDropout(0.5),
}


PAIRS = [(name, "softmax") for name in SPACES] + [("darts", name) for name in MIXES] + [("nasnet", "single path")]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("space", "mix"), dict.fromkeys(PAIRS))
def test_fast_equals_plain(space, mix, shape):
    _, net, x = made(SPACES[space], shape)
    mix = MIXES[mix]
    logits = logits_of(net)
    outputs, gradients = [], []
    for fast in (False, True):
        net.fast = fast
        paths = mixture(net, mix, logits)
        leaves = [*net.parameters(), *(p.weights for p in paths.values() if p.weights is not None)]
        out = net(x, paths)
        loss = F.cross_entropy(out, torch.tensor([0, 1, 2, 1, 0]))
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
        outputs.append(out)
        gradients.append([torch.zeros_like(y) if g is None else g for g, y in zip(found, leaves, strict=True)])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    scale = max(float(g.abs().max()) for g in gradients[0])
    for plain, quick in zip(*gradients, strict=True):
        assert float((plain - quick).abs().max()) <= 1e-10 * scale


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("fast", [False, True])
@EVERY_SPACE
def test_an_architecture_inside_equals_itself_alone(space, fast, shape):
    space, net, x = made(space, shape)
    net.fast = fast
    for seed in range(3):
        found = genotype(space, seed)
        alone = net.extract(found)
        torch.testing.assert_close(net(x, net.paths(found)), alone.train()(x), rtol=0, atol=1e-10)


def test_it_does_so_in_float32():
    space, net, x = made(SPACES["darts"], (3, 16, 16), torch.float32)
    found = genotype(space)
    torch.testing.assert_close(net(x, net.paths(found)), net.extract(found).train()(x), rtol=0, atol=1e-5)


def test_extracted_weights_are_copies():
    space, net, x = made(SPACES["darts"], (2, 8, 8))
    found = genotype(space)
    before = net(x, net.paths(found)).detach()
    alone = net.extract(found)
    with torch.no_grad():
        for parameter in alone.parameters():
            parameter.zero_()
    assert torch.equal(net(x, net.paths(found)), before)


def test_two_architectures_share_the_weights_of_equal_edges():
    _, net, _ = made(SPACES["darts"], (2, 8, 8))
    nodes = tuple((Edge("sep_conv_3x3", 0), Edge("dil_conv_5x5", 1)) for _ in range(3))
    first = Genotype(Cell(nodes, (2, 3, 4)), Cell(nodes, (2, 3, 4)))
    other = (nodes[0], nodes[1], (Edge("sep_conv_3x3", 0), Edge("skip_connect", 2)))
    second = Genotype(Cell(other, (2, 3, 4)), Cell(other, (2, 3, 4)))
    runs = [net.paths(g)["normal"].active for g in (first, second)]
    same = [edge for edge, (a, b) in enumerate(zip(*runs, strict=True)) if a and a == b]
    assert [net.wiring.edges[edge] for edge in same] == [(2, 0, 0), (2, 0, 1), (3, 0, 0), (3, 0, 1), (4, 0, 0)]


@pytest.mark.parametrize("fast", [False, True])
def test_what_does_not_run_gets_no_gradient(fast):
    space, net, x = made(SPACES["darts"], (2, 8, 8))
    net.fast = fast
    paths = net.paths(genotype(space))
    net(x, paths).sum().backward()
    for layer, cell in enumerate(net.cells):
        for edge, ops in enumerate(cell.edges):
            for op, name in enumerate(net.wiring.ops[:-1]):
                runs = op in paths[net.kind(layer)].active[edge]
                assert all((p.grad is not None) == runs for p in ops[name].parameters()), (layer, edge, name)


def test_a_dropped_op_is_an_op_of_weight_zero():
    _, net, x = made(SPACES["darts"], (2, 8, 8))
    paths = mixture(net, PathDropout(0.5), logits_of(net))
    zeroed = {}
    for kind, found in paths.items():
        weights = torch.zeros(len(net.wiring.edges), len(net.wiring.ops), dtype=torch.float64)
        for edge, active in enumerate(found.active):
            weights[edge, list(active)] = 1.0
        zeroed[kind] = Paths(net.wiring.everything, weights)
    torch.testing.assert_close(net(x, paths), net(x, zeroed), rtol=0, atol=1e-10)


def test_near_one_hot_alphas_are_the_discrete_network():
    space, net, x = made(SPACES["darts"], (2, 8, 8))
    found = genotype(space)
    none = net.wiring.ops.index("none")
    weights = {}
    for kind, paths in net.paths(found).items():
        logits = torch.full((len(net.wiring.edges), len(net.wiring.ops)), -40.0, dtype=torch.float64)
        for edge, active in enumerate(paths.active):
            logits[edge, active[0] if active else none] = 40.0
        weights[kind] = Softmax()(logits, net.wiring, None)
    torch.testing.assert_close(net(x, weights), net.extract(found).train()(x), rtol=0, atol=1e-10)


def test_nothing_runs_where_all_paths_are_dropped():
    _, net, x = made(SPACES["darts"], (1, 7, 9))
    empty = {kind: Paths(((),) * len(net.wiring.edges)) for kind in net.kinds}
    torch.testing.assert_close(net(x, empty), net.classifier.bias.expand(5, -1))


def test_an_edge_that_is_not_there_is_refused():
    _, net, _ = made(SPACES["darts"], (2, 8, 8))
    nodes = tuple((Edge("conv_3x3", 0), Edge("skip_connect", 1)) for _ in range(3))
    with pytest.raises(SpaceError, match=r"no 'conv_3x3' on edge 0 of node 2"):
        net.paths(Genotype(Cell(nodes, (2, 3, 4)), Cell(nodes, (2, 3, 4))))
    twice = ((Edge("skip_connect", 0), Edge("skip_connect", 0)),) * 3
    with pytest.raises(SpaceError, match="twice"):
        net.paths(Genotype(Cell(twice, (2, 3, 4)), Cell(twice, (2, 3, 4))))


# --------------------------------------------------------------------- statistics


def test_recalibrated_statistics_are_those_of_the_batches():
    space, net, _ = made(SPACES["darts"], (2, 8, 8))
    alone = net.extract(genotype(space))
    batches = [torch.randn(6, 2, 8, 8, dtype=torch.float64) * 3 + 1 for _ in range(3)]
    recalibrate(alone, batches)
    assert not alone.training
    convolution, norm = alone.stem0
    outputs = [convolution(batch) for batch in batches]
    expected = torch.stack([y.mean((0, 2, 3)) for y in outputs]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    spread = torch.stack([y.var((0, 2, 3)) for y in outputs]).mean(0)
    torch.testing.assert_close(norm.running_var, spread)
    assert norm.momentum == 0.1


# ----------------------------------------------------------------- discretisation

OPS = ("skip_connect", "sep_conv_3x3", "none")


def test_a_node_keeps_its_two_strongest_edges_and_never_none():
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.1, 0.6], [0.5, 0.4, 0.1], [0.01, 0.02, 0.97], [0.3, 0.6, 0.1]])
    assert strongest_nodes(CellWiring(2, 1, OPS), weights) == (
        (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),
        (Edge("skip_connect", 0), Edge("sep_conv_3x3", 2)),
    )


def test_with_two_slots_each_keeps_its_strongest_edge():
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.1, 0.6], [0.1, 0.4, 0.5], [0.35, 0.02, 0.63]])
    expected = ((Edge("skip_connect", 1), Edge("sep_conv_3x3", 0)),)
    assert strongest_nodes(CellWiring(1, 2, OPS), weights) == expected


@EVERY_SPACE
def test_what_is_derived_is_in_the_space(space):
    space, net, _ = made(space, (2, 8, 8))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        logits = {k: torch.randn(len(net.wiring.edges), len(net.wiring.ops), generator=generator) for k in net.kinds}
        weights = {kind: torch.softmax(table, -1) for kind, table in logits.items()}
        derived = space.derive(weights)
        space.check(derived)
        moved = {kind: torch.softmax(table + torch.randn(len(table), 1), -1) for kind, table in logits.items()}
        assert space.derive(moved) == derived
        found = space.structure(derived)
        assert all(edge.op != "none" for node in (*found.normal.nodes, *found.reduce.nodes) for edge in node)
        net.paths(found)
