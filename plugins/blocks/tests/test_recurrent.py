"""The recurrent cell: its formulas, its space, its supernet, its training, and the ways around it."""

import math
import random

import pytest
import torch
import torch.nn.functional as F

import nascore
from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.export import export_network
from nascore.records import Candidate
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext, SearchSpaceConformance
from nascore.testing.driver import through_checkpoint
from nascore_blocks.costs import count_macs, count_params
from nascore_blocks.data.text import Text
from nascore_blocks.evaluators import Train
from nascore_blocks.genotypes import Edge
from nascore_blocks.recurrent import RecurrentSpace
from nascore_blocks.recurrent_network import ACTIVATIONS, RecurrentCell, RecurrentNetwork, published
from nascore_blocks.supernet.mix import PathDropout, Paths, Softmax
from nascore_blocks.supernet.prices import params, price_table
from nascore_blocks.training import TrainingError, evaluate, train
from nascore_blocks.weight_sharing import SharedWeights

TASK = Task("text", (6,), 11, kind="language-modelling", fingerprint="text")
SPACES = {
    "darts": {},
    "darts, by pair": {"share": "pair"},
    "enas": {"share": "pair", "first": "chosen", "average": "unread"},
    "untied": {"tied": False, "embedding": 5, "first": "relu"},
}
EVERY_SPACE = pytest.mark.parametrize("options", SPACES.values(), ids=SPACES)


def made(options=None, nodes=4, hidden=7, task=TASK):
    space = RecurrentSpace(nodes=nodes, hidden=hidden, **(options or {}))
    space.name = "blocks:recurrent"
    space.setup(task)
    return space


def drawn(space, seed=0):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def tokens(batch=3, time=6, classes=11):
    return torch.randint(classes, (batch, time), generator=torch.Generator().manual_seed(0))


def plain(network, cell, given):
    """The formulas of the module, written out; the gate's weights are the first half of each matrix."""
    size = network.hidden
    hidden, outputs = torch.zeros(len(given), size, dtype=torch.float64), []
    for time in range(given.shape[1]):
        x = network.embedding.weight[given[:, time]]
        both = x @ network.from_input.weight.T + hidden @ network.step.from_hidden.weight.T
        c, s = torch.sigmoid(both[:, :size]), ACTIVATIONS[cell.first](both[:, size:])
        states = [c * s + (1 - c) * hidden]
        for node, weights in zip(cell.nodes, network.step.nodes, strict=True):
            before = states[node.input]
            c = torch.sigmoid(before @ weights.weight[:size].T)
            states.append(c * ACTIVATIONS[node.op](before @ weights.weight[size:].T) + (1 - c) * before)
        hidden = torch.stack([states[state] for state in cell.average]).mean(0)
        outputs.append(hidden @ network.decoder.weight.T + network.decoder.bias)
    return torch.stack(outputs, dim=2)


# ---------------------------------------------------------------------------------------- the cell


@EVERY_SPACE
def test_the_network_computes_the_formulas(options):
    space = made(options)
    for seed in range(3):
        architecture = drawn(space, seed)
        network = space.build(architecture, TASK).double()
        cell = space.structure(architecture)
        torch.testing.assert_close(network(tokens()), plain(network, cell, tokens()), rtol=0, atol=1e-12)


def test_a_small_cell_by_hand():
    cell = RecurrentCell("tanh", (Edge("relu", 0), Edge("identity", 0), Edge("sigmoid", 1)), (1, 2, 3))
    network = RecurrentNetwork(cell, 2, hidden=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
        logits = network(torch.tensor([[0]]))
    gate = 1 / (1 + math.exp(-1))
    s0 = gate * math.tanh(1)
    c0 = 1 / (1 + math.exp(-s0))
    s1 = s2 = s0  # relu and identity of s0 * 1 are s0
    c3 = 1 / (1 + math.exp(-s1))
    s3 = c3 * c3 + (1 - c3) * s1
    assert c0 == c3
    assert logits.flatten().tolist() == pytest.approx([(s1 + s2 + s3) / 3 + 1] * 2, rel=1e-6)


def test_the_published_cells_have_the_published_size():
    # Liu et al. 2019, table 2: 23M parameters on Penn Treebank; 10,000 words and 850 units in the authors' code.
    task = Task("ptb", (35,), 10_000, kind="language-modelling")
    space = made(nodes=8, hidden=850, task=task)
    for name in ("darts-v1", "darts-v2"):
        genome = space.genome_of(published(name))
        with torch.device("meta"):
            network = space.build(space.architecture(genome), task)
        inputs = torch.empty(1, 35, device="meta")
        assert count_params(network, inputs) == 10_000 * 850 + 10_000 + 10 * 850 * 1700 == 22_960_000
        assert count_macs(network.eval(), inputs) == 35 * (10 * 850 * 1700 + 850 * 10_000)


def test_a_prediction_knows_what_came_before_and_nothing_else():
    network = made().build(drawn(made()), TASK).eval()
    given, other = tokens(1), tokens(1)
    other[0, 3] = (other[0, 3] + 1) % 11
    before, after = network(given), network(other)
    assert torch.equal(before[..., :3], after[..., :3])
    assert all(not torch.equal(before[..., time], after[..., time]) for time in (3, 4, 5))


def test_tied_weights_are_one_tensor_and_dropout_is_for_training():
    tied = made({"dropout": 0.5}).build(drawn(made()), TASK)
    assert tied.decoder.weight is tied.embedding.weight
    assert not torch.equal(tied(tokens()), tied(tokens()))
    assert torch.equal(tied.eval()(tokens()), tied(tokens()))
    assert (tied.decoder.bias == 0).all()


# ---------------------------------------------------------------------------------------- the space


class TestSpace(SearchSpaceConformance):
    task = TASK

    def make(self):
        return RecurrentSpace(nodes=3, hidden=4, first="chosen", average="unread")

    def test_networks_work(self):
        """The kit's own check is for images."""
        space = self._space()
        for architecture in self._drawn(space, 3):
            outputs = []
            for one in (architecture, self._space().load(architecture.to_json())):
                with isolated_random(0):
                    outputs.append(space.build(one, TASK).eval()(tokens()))
            assert outputs[0].shape == (3, 11, 6)
            assert torch.isfinite(outputs[0]).all()
            assert torch.equal(*outputs)


def every(space):
    answers = [[]]
    for node in range(1, space.nodes + 1):
        answers = [[*a, (op, j)] for a in answers for op in space.ops for j in range(node)]
    for nodes in answers:
        yield space.architecture(space.write(space.first, [Edge(*node) for node in nodes]))


@pytest.mark.parametrize(("nodes", "trees"), [(1, 1), (2, 2), (3, 4), (4, 9), (5, 20)])
def test_with_one_activation_the_keys_are_the_rooted_trees(nodes, trees):
    # OEIS A000081: unlabelled rooted trees of nodes + 1 vertices.
    space = made({"ops": ("tanh",)}, nodes)
    found = [architecture.key for architecture in every(space)]
    assert (len(found), len(set(found))) == (math.factorial(nodes), trees)


def test_cells_of_one_key_are_one_function_and_cells_of_two_are_not():
    space = made({"ops": ("tanh", "relu")}, nodes=3)
    functions = {}
    for architecture in every(space):
        cell = space.structure(architecture)
        network = space.build(architecture, TASK).double()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            for node in network.step.nodes:  # one matrix for all, so that numbering cannot matter
                node.weight.copy_(network.step.nodes[0].weight)
            value = tuple(round(v, 9) for v in network(tokens()).flatten().tolist())
        functions.setdefault(architecture.key, set()).add(value)
        assert len(cell.average) == 3
    assert all(len(values) == 1 for values in functions.values())
    assert len(set().union(*functions.values())) == len(functions) < 2**3 * 6


def test_the_size_of_enas_space():
    space = RecurrentSpace(nodes=11, first="chosen", average="unread", share="pair")
    space.name = "enas"
    sizes = [len(decision.options) for decision in space.decisions(drawn(space))]
    assert math.prod(sizes) == 4**12 * math.factorial(11)  # Pham et al. 2018, section 3.1: 4^N (N - 1)!, N = 12


def test_unread_nodes_alone_make_the_output_where_that_is_wanted():
    space = made({"average": "unread"}, nodes=4)
    nodes = [Edge("tanh", 0), Edge("relu", 1), Edge("relu", 0), Edge("tanh", 2)]
    assert space.structure(space.architecture(space.write("tanh", nodes))).average == (3, 4)
    assert made().structure(made().architecture(space.write("tanh", nodes))).average == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "nodes is 0"),
        ({"ops": ("tanh", "gelu")}, "ops: there is no 'gelu'"),
        ({"ops": ("tanh", "tanh")}, "each once"),
        ({"first": "chose"}, "did you mean 'chosen'"),
        ({"average": "al"}, "did you mean 'all'"),
        ({"share": "edge"}, "share: there is no 'edge'"),
        ({"embedding": 3}, "tied=false"),
        ({"dropout": 1}, "dropout is 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        RecurrentSpace(**options)


def test_a_cell_that_cannot_be_is_refused():
    with pytest.raises(SpaceError, match="Node 1 reads state 1"):
        RecurrentCell("tanh", (Edge("tanh", 1),), (1,))
    with pytest.raises(SpaceError, match="Allowed: darts-v1, darts-v2"):
        published("darts-v3")
    with pytest.raises(SpaceError, match="first='tanh'"):
        made(nodes=1).genome_of(RecurrentCell("relu", (Edge("tanh", 0),), (1,)))
    with pytest.raises(SpaceError, match=r"mean of \[0, 1\]"):
        made(nodes=1).genome_of(RecurrentCell("tanh", (Edge("tanh", 0),), (0, 1)))
    with pytest.raises(SpaceError, match="supernet has 4 nodes, the cell 8"):
        made().supernet(TASK).paths(published("darts-v1"))


# ---------------------------------------------------------------------------------------- the supernet


@EVERY_SPACE
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_an_architecture_inside_equals_itself_alone(options, dtype, tolerance):
    space = made(options)
    net = space.supernet(TASK).to(dtype)
    for seed in range(4):
        found = space.structure(drawn(space, seed))
        alone = net.extract(found)
        torch.testing.assert_close(net(tokens(), net.paths(found)), alone.train()(tokens()), rtol=0, atol=tolerance)
        with torch.no_grad():  # copies: the supernet does not notice
            before = net(tokens(), net.paths(found))
            for parameter in alone.parameters():
                parameter.zero_()
            assert torch.equal(net(tokens(), net.paths(found)), before)


def slow(net, table, given, first):
    """The mixed cell as the paper writes it, one edge and one activation after the other."""
    size, wiring = net.hidden, net.wiring
    hidden, outputs = torch.zeros(len(given), size, dtype=torch.float64), []

    def mixed(edges, befores, boths):
        total, weight = 0, 0
        for edge, before, both in zip(edges, befores, boths, strict=True):
            c = torch.sigmoid(both[:, :size])
            for op, name in enumerate(wiring.ops):
                if name != "none" and table[edge, op] != 0:
                    total = total + table[edge, op] * (c * ACTIVATIONS[name](both[:, size:]) + (1 - c) * before)
                    weight = weight + table[edge, op]
        return total / max(1, weight)

    for time in range(given.shape[1]):
        both = net.from_input(net.embedding(given[:, time])) + net.from_hidden(hidden)
        if first is None:
            states = [mixed([0], [hidden], [both])]
        else:
            c = torch.sigmoid(both[:, :size])
            states = [c * ACTIVATIONS[first](both[:, size:]) + (1 - c) * hidden]
        for node in range(1, wiring.nodes + 1):
            edges = wiring.into[node]
            befores = [states[wiring.edges[edge].input] for edge in edges]
            owners = [str(node if net.share == "node" else edge) for edge in edges]
            states.append(mixed(edges, befores, [net.squares[o](s) for o, s in zip(owners, befores, strict=True)]))
        hidden = torch.stack(states[1:]).mean(0)
        outputs.append(net.decoder(hidden))
    return torch.stack(outputs, dim=2)


@EVERY_SPACE
def test_the_mixed_cell_is_the_sum_of_the_paper_shared_out(options):
    space = made(options, nodes=3)
    net = space.supernet(TASK).double()
    wiring = space.wirings["cell"]
    logits = torch.randn(wiring.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    first = None if space.first == "chosen" else space.first
    leaves = [logits, *net.parameters()]
    found = []
    for run in (
        lambda paths: net(tokens(), {"cell": paths}),
        lambda paths: slow(net, paths.weights, tokens(), first),
    ):
        out = run(Softmax()(logits, wiring, torch.Generator()))
        gradients = torch.autograd.grad(F.cross_entropy(out, tokens(3, 6)), leaves)
        found.append([out.detach(), *gradients])
    for fast, by_hand in zip(*found, strict=True):
        torch.testing.assert_close(fast, by_hand, rtol=0, atol=1e-12)


@EVERY_SPACE
def test_alphas_that_have_decided_make_the_supernet_the_cell(options):
    space = made(options)
    net = space.supernet(TASK).double()
    wiring = space.wirings["cell"]
    found = space.structure(drawn(space))
    paths = net.paths(found)["cell"]
    logits = torch.full(wiring.size, -40.0, dtype=torch.float64)
    for edge, ops in enumerate(paths.active):
        logits[edge, ops[0] if ops else wiring.ops.index("none")] = 40
    soft = Softmax()(logits, wiring, torch.Generator())
    mixed = net(tokens(), {"cell": Paths(soft.active, soft.weights, concat=found.average)})
    torch.testing.assert_close(mixed, net.extract(found)(tokens()), rtol=0, atol=1e-10)


def test_all_paths_at_once_do_not_explode():
    space = made({"ops": ("identity", "relu")}, nodes=8)
    net = space.supernet(TASK)
    out = net(tokens(4, 100), {"cell": Paths(space.wirings["cell"].everything)})
    assert float(out.detach().abs().max()) < 100


def test_a_node_that_lost_all_its_paths_is_zero_and_the_rest_goes_on():
    space = made(SPACES["enas"])
    net = space.supernet(TASK)
    wiring = space.wirings["cell"]
    nothing = Paths(((),) * len(wiring.edges))
    out = net(tokens(), {"cell": nothing})
    torch.testing.assert_close(out, net.decoder.bias[None, :, None].expand_as(out))
    for seed in range(5):
        drop = PathDropout(0.5)(torch.zeros(0), wiring, torch.Generator().manual_seed(seed))
        loss = F.cross_entropy(net(tokens(), {"cell": drop}), tokens())
        assert all(g is None or torch.isfinite(g).all() for g in _gradients(loss, net.parameters()))


def _gradients(loss, parameters):
    return torch.autograd.grad(loss, list(parameters), allow_unused=True)


def test_weights_belong_to_a_node_or_to_a_pair_and_those_that_rest_have_no_gradient():
    cell = RecurrentCell("tanh", (Edge("tanh", 0), Edge("relu", 0)), (1, 2))
    for share, resting in (("node", []), ("pair", ["squares.2.weight"])):  # edges: 1<-0, 2<-0, 2<-1
        net = made({"share": share}, nodes=2).supernet(TASK)
        loss = F.cross_entropy(net(tokens(), net.paths(cell)), tokens())
        names = [name for name, _ in net.named_parameters()]
        gradients = dict(zip(names, _gradients(loss, net.parameters()), strict=True))
        assert [name for name, gradient in gradients.items() if gradient is None] == resting
        assert len(net.squares) == (2 if share == "node" else 3)


def test_the_strongest_edge_of_each_node_is_derived_and_never_none():
    space = made({"first": "chosen"}, nodes=2)
    wiring = space.wirings["cell"]
    assert [tuple(link) for link in wiring.edges] == [(0, -1), (1, 0), (2, 0), (2, 1)]
    assert wiring.ops == ("tanh", "relu", "sigmoid", "identity", "none")
    assert wiring.allowed[0] == (0, 1, 2, 3)
    table = torch.tensor(
        [[0.1, 0.2, 0.6, 0.1, 0.0], [0.2, 0.1, 0.0, 0.1, 0.6], [0.0, 0.3, 0.1, 0.1, 0.5], [0.1, 0.1, 0.2, 0.4, 0.2]]
    )
    cell = space.structure(space.derive({"cell": table}))
    assert (cell.first, cell.nodes) == ("sigmoid", (Edge("tanh", 0), Edge("identity", 1)))
    assert space.derive({"cell": table - 5}) == space.derive({"cell": table})


@EVERY_SPACE
def test_prices_add_up_to_the_network(options):
    space = made(options)
    architecture = drawn(space)
    with torch.device("meta"):
        net = space.supernet(TASK)
        alone = space.build(architecture, TASK)
    table = price_table(net, params)["cell"]
    around = count_params(alone, None) - sum(p.numel() for p in alone.step.nodes.parameters())
    priced = sum(
        table[edge, op]
        for edge, ops in enumerate(net.paths(space.structure(architecture))["cell"].active)
        for op in ops
    )
    assert float(priced) + around == count_params(alone, None)
    square = next(net.priced_ops())[3].build()
    assert count_macs(square, torch.empty(1, 6, 7)) == 6 * 7 * 14


# ---------------------------------------------------------------------------------------- training


@pytest.fixture
def alphabet(tmp_path):
    """A text in which each character says which one comes next."""
    path = tmp_path / "alphabet.txt"
    path.write_text("abcdefghij" * 150, encoding="utf-8")
    return Text(str(path), length=8).load(0)


def test_evaluation_counts_every_label():
    class Always(torch.nn.Module):
        def forward(self, x):
            logits = torch.zeros(len(x), 4, 2)
            logits[:, 1] = math.log(5)  # p = 5/8 for token 1, 1/8 for each other
            return logits

    from nascore_blocks.data.splits import TensorSplit

    labels = torch.tensor([[1, 1], [1, 0], [2, 3]])
    accuracy, loss = evaluate(Always(), TensorSplit(labels, labels))
    assert accuracy == 0.5
    assert loss == pytest.approx(-(3 * math.log(5 / 8) + 3 * math.log(1 / 8)) / 6)


def test_a_cell_learns_the_alphabet_and_perplexity_follows_the_loss(alphabet):
    space = made(nodes=2, hidden=16, task=alphabet.task)
    trainer = Train(epochs=6, batch_size=16, learning_rate=0.03)
    trainer.setup(space, alphabet.for_search())
    context = MemoryContext(alphabet.for_search(), seed=0)
    with isolated_random(0):
        found = trainer.evaluate(Candidate(drawn(space)), context)
    assert found.objectives["accuracy"] > 0.95
    loss = found.objectives["loss"]
    assert found.metrics["perplexity"] == pytest.approx(math.exp(loss))
    assert found.metrics["bits_per_character"] == pytest.approx(loss / math.log(2))
    again, weights = trainer.retrain(drawn(space), alphabet, seed=1, epochs=2)
    assert again.metrics["test_perplexity"] == pytest.approx(math.exp(again.objectives["test_loss"]))
    space.build(drawn(space), alphabet.task).load_state_dict(weights)


def test_images_have_no_perplexity():
    from nascore.testing import toy_data
    from nascore_blocks.spaces import DARTSSpace

    data = toy_data()
    space = DARTSSpace(blocks=1, channels=4, cells=1, reductions=0)
    space.name = "blocks:darts"
    space.setup(data.task)
    trainer = Train(epochs=1)
    trainer.setup(space, data.for_search())
    assert "perplexity" not in trainer.evaluate(Candidate(drawn(space)), MemoryContext(data, seed=0)).metrics


def test_tokens_are_not_mirrored_and_logits_must_fit(alphabet):
    for evaluator in (Train(flip=True), SharedWeights(crop=2), SharedWeights(retrain={"cutout": 2})):
        with pytest.raises(SettingsError, match="flip, crop, cutout and autoaugment change images"):
            evaluator.setup(made(task=alphabet.task), alphabet.for_search())
    network = torch.nn.Sequential(torch.nn.Embedding(11, 4), torch.nn.Flatten(), torch.nn.Linear(32, 11))
    with pytest.raises(TrainingError, match=r"logits \(batch, classes >= 11, time\); it gave \(64, 11\)"):
        train(network, alphabet.train, Train().recipe, seed=0)


def test_shared_weights_come_back_from_a_checkpoint_bit_for_bit(alphabet):
    class Draws(nascore.contracts.Sampler):
        def ask(self, view):
            return None

    def fresh():
        evaluator = SharedWeights(rounds=3, steps=2, batch_size=8)
        evaluator.setup(made(nodes=2, task=alphabet.task), alphabet.for_search())
        return evaluator

    def go(evaluator, seed):
        with isolated_random(seed):
            evaluator.prepare(Draws(), MemoryContext(alphabet.for_search(), seed=seed))

    whole, first, second = fresh(), fresh(), fresh()
    for seed in range(3):
        go(whole, seed)
    go(first, 0)
    second.load_state_dict(through_checkpoint({"evaluator": first.state_dict()})["evaluator"])
    assert second.supernet.decoder.weight is second.supernet.embedding.weight
    for seed in (1, 2):
        go(second, seed)
    mine, theirs = whole.supernet.state_dict(), second.supernet.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


# ---------------------------------------------------------------------------------------- the ways around


@pytest.mark.parametrize("form", ["py", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_trained_network_is_exported(form, tmp_path):
    space = made(SPACES["untied"], nodes=2, hidden=4)
    architecture = drawn(space)
    network = space.build(architecture, TASK)
    # The writer compares what it wrote with the network before the file gets its name.
    files = export_network(network, tmp_path / "network", form, task=TASK, architecture=architecture)
    assert files[0].is_file()


SMALL = {"data.length": 8, "data.characters": 2000, "data.valid": 0.002, "data.test": 0.002}
SEARCHES = {
    "random": ("nascore_random", "random", {"evaluator.epochs": 1}),
    "darts": ("nascore_darts", "darts", {"sampler.order": "first"}),
    "darts, second order": ("nascore_darts", "darts", {"sampler.order": "second"}),
    "snas": ("nascore_snas", "snas", {}),
    "oneshot": ("nascore_oneshot", "oneshot", {}),
}


@pytest.mark.parametrize(("package", "plugin", "options"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_runs(package, plugin, options, tmp_path):
    pytest.importorskip(package)
    shared = {"evaluator.rounds": 2, "evaluator.steps": 2, "evaluator.batch_size": 8} if plugin != "random" else {}
    result = nascore.search(
        plugin,
        space="nascore_blocks.recurrent:RecurrentSpace",
        data="nascore_blocks.data.text:Text",
        options={"space.nodes": 2, "space.hidden": 6, **SMALL, **shared, **options},
        trials=2,
        seed=0,
        out=tmp_path / "run",
        tracking="off",
    )
    assert [trial.status.value for trial in result.search.history] == ["complete"] * 2
    assert result.best.costs["params"].value == result.best.costs["macs"].value / 8 + result.search.task.classes
    assert math.exp(result.best.objectives["loss"]) == pytest.approx(result.best.metrics["perplexity"])
    result.search.space.check(result.best.architecture)
