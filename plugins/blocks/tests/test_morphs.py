"""Transformations keep the function (METHODS, sections 7 and 8); what cannot be done is refused."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nascore_blocks.morphs import (
    Graph,
    GraphNetwork,
    MorphError,
    Net,
    Node,
    insert_identity,
    net2deeper,
    net2wider,
    replace_identity,
    replicate_add,
    replicate_concat,
    split_concat,
)
from nascore_blocks.morphs.deeper import moments, not_negative, rectified
from nascore_blocks.morphs.graph import key_of
from nascore_blocks.morphs.paths import copy_name, parts_of

TYPES = {torch.float32: 1e-5, torch.float64: 1e-10}
SIZE = 8


# ------------------------------------------------------------------------------ random networks


class Draft:
    """Draws a network layer by layer."""

    def __init__(self, rng):
        self.rng, self.nodes = rng, [Node("image", "input", channels=2)]
        self.sizes = {"image": SIZE}

    def add(self, kind, given, channels, size=None, **options):
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, kind, tuple(given), channels, **options))
        self.sizes[name] = self.sizes[given[0]] if size is None else size
        return name

    def layer(self, given, activation="relu"):
        channels = self.rng.choice([2, 3, 4])
        last = self.add("conv", [given], channels, kernel=self.rng.choice([1, 3, 5]), bias=self.rng.random() < 0.5)
        if self.rng.random() < 0.7:
            last = self.add("bn", [last], channels)
        return self.add(activation, [last], channels)

    def pool(self, given):
        channels = next(node.channels for node in self.nodes if node.name == given)
        kind = self.rng.choice(["max_pool", "avg_pool"])
        if self.rng.random() < 0.5:
            return self.add(kind, [given], channels, kernel=3)
        return self.add(kind, [given], channels, self.sizes[given] // 2, kernel=2, stride=2)

    def channels(self, name):
        return next(node.channels for node in self.nodes if node.name == name)

    def end(self, given):
        flat = self.add("flatten", [given], self.channels(given) * self.sizes[given] ** 2)
        hidden = self.add("fc", [flat], 5, bias=True)
        return self.add("fc", [self.add("relu", [hidden], 5)], 3, bias=True)


def randomised(graph, dtype, seed):
    """Weights far from their usual start, running statistics too."""
    generator = torch.Generator().manual_seed(seed)
    network = GraphNetwork(graph).to(dtype)
    weights = {}
    for name, value in network.state_dict().items():
        if not value.ndim:
            weights[name] = value
        elif name.endswith("running_var"):
            weights[name] = 0.3 + torch.rand(value.shape, generator=generator, dtype=dtype)
        else:
            scale = 1 / max(1, value[0].numel()) ** 0.5 if value.ndim > 1 else 0.5
            weights[name] = torch.randn(value.shape, generator=generator, dtype=dtype) * scale
            if name.endswith(".weight") and value.ndim == 1:
                weights[name] = weights[name].abs() + 0.5
    return Net(graph, weights)


def chain(seed, dtype=torch.float64, activation="relu"):
    """conv [bn] relu [pool], two or three times; then flatten, fc, relu, fc."""
    draft = Draft(random.Random(seed))
    last = "image"
    for _ in range(draft.rng.choice([2, 3])):
        last = draft.layer(last, activation)
        if draft.rng.random() < 0.6:
            last = draft.pool(last)
    draft.end(last)
    return randomised(Graph(tuple(draft.nodes)), dtype, seed)


def dense(seed, dtype=torch.float64):
    """Each layer reads all that came before, concatenated; one of them even twice."""
    draft = Draft(random.Random(seed))
    made = [draft.layer("image")]
    for _ in range(2):
        before = [*made, made[0]]
        draft.rng.shuffle(before)
        made.append(draft.layer(draft.add("concat", before, sum(map(draft.channels, before)))))
    last = draft.add("concat", made, sum(map(draft.channels, made)))
    draft.end(draft.pool(last))
    return randomised(Graph(tuple(draft.nodes)), dtype, seed)


def images(dtype, seed=0, count=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, SIZE, SIZE, generator=generator, dtype=torch.float64).to(dtype)


@torch.no_grad()
def outputs(net, x, training=False):
    network = GraphNetwork(net.graph).to(x.dtype)
    network.load_state_dict(dict(net.weights))
    return network.train(training)(x)


def differ(before, after, x, training=False):
    """Largest difference, in units of the largest output where that is above 1."""
    first, second = outputs(before, x, training), outputs(after, x, training)
    return float((first - second).abs().max() / first.abs().max().clamp_min(1))


def named(net, *kinds):
    return [node.name for node in net.graph.nodes if node.kind in kinds]


def params(net):
    return sum(p.numel() for p in GraphNetwork(net.graph).parameters())


seeds, types = st.integers(0, 2**20), st.sampled_from(list(TYPES))


# ------------------------------------------------------------------------------ Net2Wider


@settings(max_examples=15, deadline=None)
@given(seed=seeds, dtype=types, make=st.sampled_from([chain, dense]))
def test_wider_keeps_the_function_in_both_modes(seed, dtype, make):
    """P1 and P3 of section 7: any layer, twice, in chains and with concatenation."""
    rng, before = random.Random(seed), make(seed, dtype)
    layers = named(before, "conv", "fc")[:-1]
    after = before
    for node in (rng.choice(layers), rng.choice(layers)):
        after = net2wider(after, node, after.graph[node].channels + rng.choice([1, 2, 5]), rng)
        after = net2wider(after, node, after.graph[node].channels + 2, rng)
    assert params(after) > params(before)
    x = images(dtype)
    assert differ(before, after, x) < TYPES[dtype]
    assert differ(before, after, x, training=True) < TYPES[dtype] * (10 if dtype is torch.float32 else 1)


def test_copies_of_a_slice_add_up_to_it():
    """P4: over all copies of a channel the next layer's slices sum to the old slice; new channels copy old ones."""
    before = chain(3)
    first, second = named(before, "conv")[:2]
    after = net2wider(before, first, before.graph[first].channels + 5, random.Random(1))
    old, new = before.of(first)["weight"], after.of(first)["weight"]
    source = [int((old - row).abs().sum((1, 2, 3)).argmin()) for row in new]
    assert source[: len(old)] == list(range(len(old)))
    assert torch.equal(new, old[source])
    total = torch.zeros_like(before.of(second)["weight"])
    total.index_add_(1, torch.tensor(source), after.of(second)["weight"])
    torch.testing.assert_close(total, before.of(second)["weight"])


def test_parameters_grow_as_predicted():
    """P6: conv k^2 c + bias + BN a channel, and k'^2 c' of each reader."""
    nodes = (
        Node("image", "input", channels=2), Node("a", "conv", ("image",), 4, 3), Node("bn", "bn", ("a",), 4),
        Node("r", "relu", ("bn",), 4), Node("b", "conv", ("r",), 6, 5, bias=True), Node("f", "flatten", ("b",), 6 * 64),
        Node("out", "fc", ("f",), 3),
    )  # fmt: skip
    net = randomised(Graph(nodes), torch.float64, 0)
    assert params(net2wider(net, "a", 7, random.Random(0))) - params(net) == 3 * (2 * 9 + 2 + 6 * 25)
    assert params(net2wider(net, "b", 8, random.Random(0))) - params(net) == 2 * (4 * 25 + 1 + 64 * 3)
    assert params(net2deeper(net, "r", random.Random(0), 5)) - params(net) == 4 * 4 * 25 + 2 * 4


def test_noise_breaks_the_symmetry_of_copies_alone():
    before = chain(3)
    node = named(before, "conv")[0]
    old = before.graph[node].channels
    quiet = net2wider(before, node, old + 4, random.Random(1))
    noisy = net2wider(before, node, old + 4, random.Random(1), noise=0.1)
    assert torch.equal(quiet.of(node)["weight"][:old], noisy.of(node)["weight"][:old])
    rows = noisy.of(node)["weight"][old:]
    assert not torch.equal(quiet.of(node)["weight"][old:], rows)
    assert differ(before, noisy, images(torch.float64)) > 0


def test_the_old_weights_are_never_written_to():
    before = dense(5)
    kept = {name: value.clone() for name, value in before.weights.items()}
    node = named(before, "conv")[0]
    net2wider(before, node, 9, random.Random(0), noise=0.1)
    net2deeper(before, named(before, "relu")[0], random.Random(0), 3, noise=0.1)
    for name, value in kept.items():
        assert torch.equal(value, before.weights[name])


# ------------------------------------------------------------------------------ Net2Deeper


@settings(max_examples=15, deadline=None)
@given(seed=seeds, dtype=types, make=st.sampled_from([chain, dense]), kernel=st.sampled_from([1, 3, 5]))
def test_deeper_keeps_the_function_in_evaluation_mode(seed, dtype, make, kernel):
    """P2 of section 7: behind any ReLU, of convolutions and of fc, twice."""
    rng, before = random.Random(seed), make(seed, dtype)
    after = net2deeper(before, rng.choice(named(before, "relu")), rng, kernel)
    after = net2deeper(after, rng.choice(named(after, "relu")), rng, kernel)
    assert len(after.graph.nodes) >= len(before.graph.nodes) + 4
    assert differ(before, after, images(dtype)) < TYPES[dtype]


@settings(max_examples=10, deadline=None)
@given(seed=seeds, dtype=types)
def test_wider_and_deeper_mix(seed, dtype):
    rng, before = random.Random(seed), chain(seed, dtype)
    after = before
    for _ in range(5):
        if rng.random() < 0.5:
            after = net2deeper(after, rng.choice(named(after, "relu")), rng, rng.choice([1, 3]))
        else:
            node = rng.choice(named(after, "conv", "fc")[:-1])
            after = net2wider(after, node, after.graph[node].channels + 1, rng)
    assert differ(before, after, images(dtype)) < TYPES[dtype]


def test_the_undone_norm_knows_its_input():
    """In training mode too a new layer changes little: its statistics are those of a rectified normal variable."""
    mean, variance = torch.tensor([0.5, -0.3, 2.0]), torch.tensor([1.0, 0.25, 0.5])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.relu(mean + variance.sqrt() * torch.randn(400_000, 3, generator=generator))
    estimated = rectified(mean, variance)
    torch.testing.assert_close(estimated[0], drawn.mean(0), rtol=0.02, atol=0.003)
    torch.testing.assert_close(estimated[1], drawn.var(0), rtol=0.02, atol=0.003)
    nodes = (
        Node("image", "input", channels=2), Node("a", "conv", ("image",), 4, 3), Node("bn", "bn", ("a",), 4),
        Node("r", "relu", ("bn",), 4), Node("f", "flatten", ("r",), 256), Node("out", "fc", ("f",), 3),
    )  # fmt: skip
    net, x = randomised(Graph(nodes), torch.float64, 0), images(torch.float64, count=400)
    after = net2deeper(net, "r", random.Random(0))
    known = moments(net, "r", x)
    assert differ(net, after, x, training=True) < 0.1
    name = named(after, "bn")[-1]
    blind = dict(after.weights)  # as if nothing were known: mean 0, variance 1
    blind |= {key_of(name, "weight"): torch.ones(4).double(), key_of(name, "bias"): torch.zeros(4).double()}
    assert differ(net, Net(after.graph, blind), x, training=True) > 0.2
    assert torch.equal(after.of(name)["running_mean"], known[0])


def test_a_sigmoid_is_refused():
    """P2: the identity is no fixed point of it."""
    net = chain(1, activation="sigmoid")
    with pytest.raises(MorphError, match="relu only"):
        net2deeper(net, named(net, "sigmoid")[0], random.Random(0))


# ------------------------------------------------------------------------------ path level


def row(net, place=0):
    """A convolution with what follows it up to its ReLU."""
    conv = named(net, "conv")[place]
    last = conv
    while net.graph[last].kind != "relu":
        (user,) = net.graph.users(last)
        last = user.name
    return conv, last


@settings(max_examples=10, deadline=None)
@given(seed=seeds, dtype=types, count=st.sampled_from([2, 3]), make=st.sampled_from([chain, dense]))
def test_branches_keep_the_function(seed, dtype, count, make):
    """P1 and P3 of section 8, for any layer of the network."""
    rng, before, x = random.Random(seed), make(seed, dtype), images(dtype)
    first, last = row(before, rng.randrange(len(named(before, "conv"))))
    after = replicate_add(before, first, last, count, rng)
    assert differ(before, after, x) < TYPES[dtype]
    assert differ(before, after, x, training=True) < TYPES[dtype] * 10
    if before.graph[first].channels >= count:
        after = replicate_concat(before, first, last, count, rng)
        assert differ(before, after, x) < TYPES[dtype]
        assert differ(before, after, x, training=True) < TYPES[dtype] * 10
    inserted = insert_identity(before, last)
    assert torch.equal(outputs(before, x), outputs(inserted, x))


def separable(seed, dtype):
    """Stem; depthwise, 1x1, BN, ReLU; a depthwise convolution with BN; a pool."""
    nodes = (
        Node("image", "input", channels=2), Node("stem", "conv", ("image",), 5, 3), Node("r0", "relu", ("stem",), 5),
        Node("d", "conv", ("r0",), 5, 3, groups=5), Node("p", "conv", ("d",), 5), Node("b", "bn", ("p",), 5),
        Node("r", "relu", ("b",), 5), Node("dd", "conv", ("r",), 5, 3, groups=5), Node("bb", "bn", ("dd",), 5),
        Node("pool", "avg_pool", ("bb",), 5, 3), Node("f", "flatten", ("pool",), 320), Node("out", "fc", ("f",), 3),
    )  # fmt: skip
    return randomised(Graph(nodes), dtype, seed)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, dtype=types, count=st.sampled_from([2, 3]))
def test_separable_rows_and_splits(seed, dtype, count):
    rng, before, x = random.Random(seed), separable(seed, dtype), images(dtype)
    cut = replicate_concat(before, "d", "r", count, rng)
    assert cut.graph[copy_name("d", 0)].channels == 5  # whole: the 1x1 convolution behind it reads all
    assert [cut.graph[copy_name("p", number)].channels for number in range(count)] == parts_of(5, count)
    for after in (
        cut,
        replicate_add(before, "d", "r", count, rng),
        split_concat(before, "dd", "bb", count, rng),
        split_concat(before, "pool", "pool", count, rng),
        split_concat(before, "dd", "pool", count, rng),
    ):
        assert differ(before, after, x) < TYPES[dtype]
        assert differ(before, after, x, training=True) < TYPES[dtype] * 10


@settings(max_examples=10, deadline=None)
@given(seed=seeds, dtype=types, kernel=st.sampled_from([1, 3, 5, 7]), separate=st.booleans())
def test_an_identity_becomes_a_convolution(seed, dtype, kernel, separate):
    """P6 of section 8."""
    rng, before = random.Random(seed), separable(seed, dtype)
    after = insert_identity(before, "r", "one")
    after = replace_identity(after, "one", rng, kernel, separate)
    assert len(named(after, "conv")) == len(named(before, "conv")) + 1 + separate
    assert differ(before, after, images(dtype)) < TYPES[dtype]


@pytest.mark.parametrize("seed", range(4))
def test_ten_in_a_row(seed):
    """P4 of section 8: random sequences of ten transformations stay within 1e-4 (float32)."""
    rng, before = random.Random(seed), chain(seed, torch.float32)
    after, done = before, 0
    while done < 10:
        act = rng.choice(["add", "concat", "split", "insert", "replace"])
        identities = named(after, "identity")
        try:
            if act == "insert":
                after = insert_identity(after, rng.choice(named(after, "relu", "concat", "scale")))
            elif act in ("replace", "split") and identities:
                node = rng.choice(identities)
                after = (
                    replace_identity(after, node, rng, rng.choice([1, 3]), rng.random() < 0.5)
                    if act == "replace" else split_concat(after, node, node, 2, rng)
                )  # fmt: skip
            elif act in ("add", "concat"):
                place = rng.randrange(len(named(after, "conv")))
                after = (replicate_add if act == "add" else replicate_concat)(after, *row(after, place), 2, rng)
            else:
                continue
        except MorphError:  # one channel cannot be split, flattened features may be negative, ...
            continue
        done += 1
    assert differ(before, after, images(torch.float32)) < 1e-4
    assert len(after.graph.nodes) > len(before.graph.nodes) + 10


@given(channels=st.integers(2, 200), count=st.integers(2, 6))
def test_parts_sum_to_the_whole(channels, count):
    """P2 of section 8; the first ones have one more."""
    if channels >= count:
        parts = parts_of(channels, count)
        assert sum(parts) == channels
        assert len(parts) == count
        assert parts == sorted(parts, reverse=True)
        assert parts[0] - parts[-1] <= 1


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda n, r: net2wider(n, "d", 9, r), "depthwise or grouped layer cannot be widened"),
        (lambda n, r: net2wider(n, "stem", 9, r), "'d' reads its channels, and is depthwise"),
        (lambda n, r: net2wider(n, "out", 9, r), "outputs of the network"),
        (lambda n, r: net2wider(n, "r", 9, r), "only conv and fc"),
        (lambda n, r: net2wider(n, "p", 3, r), "narrower"),
        (lambda n, r: net2wider(n, "pp", 9, r), "did you mean 'p'"),
        (lambda n, r: net2deeper(n, "p", r), "behind a relu only"),
        (lambda n, r: net2deeper(n, "r", r, 2), "must be odd"),
        (lambda n, r: split_concat(n, "p", "p", 2, r), "mixes channels"),
        (lambda n, r: split_concat(n, "pool", "pool", 6, r), r"5 channel\(s\) cannot be split into 6"),
        (lambda n, r: replicate_concat(n, "pool", "pool", 2, r), "split its input instead"),
        (lambda n, r: replicate_add(n, "d", "r", 1, r), "two at least"),
        (lambda n, r: replicate_add(n, "r", "d", 2, r), "no row"),
        (lambda n, r: replace_identity(n, "pool", r), "only an identity"),
        (lambda n, r: replace_identity(insert_identity(n, "bb", "i"), "i", r), "may be negative"),
        (lambda n, r: insert_identity(n, "r", "stem"), "comes once"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_changed(act, says):
    net = separable(0, torch.float64)
    before = dict(net.weights), net.graph
    with pytest.raises(MorphError, match=says):
        act(net, random.Random(0))
    assert before[1] == net.graph
    assert all(net.weights[name] is value for name, value in before[0].items())


def test_one_channel_cannot_be_split():
    with pytest.raises(MorphError, match="1 channel"):
        parts_of(1, 2)


def test_a_widened_sum_is_refused():
    nodes = (
        Node("image", "input", channels=2), Node("a", "conv", ("image",), 2), Node("s", "add", ("image", "a"), 2),
        Node("f", "flatten", ("s",), 128), Node("out", "fc", ("f",), 3),
    )  # fmt: skip
    with pytest.raises(MorphError, match="kind add"):
        net2wider(randomised(Graph(nodes), torch.float64, 0), "a", 4, random.Random(0))


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ((Node("image", "input", channels=1), Node("a", "konv", ("image",), 2)), "did you mean 'conv'"),
        ((Node("image", "input", channels=1), Node("image", "relu", ("image",), 1)), "once"),
        ((Node("image", "input", channels=1), Node("a", "relu", ("b",), 1)), "can read"),
        ((Node("image", "input", channels=1), Node("a.b", "relu", ("image",), 1)), "no dot"),
    ],
)
def test_what_is_no_graph_is_refused(nodes, says):
    with pytest.raises(MorphError, match=says):
        Graph(nodes)


def test_weights_are_renamed_by_structure_alone():
    net = dense(2)
    graph = Graph(tuple(
        Node(f"x{node.name}", node.kind, tuple(f"x{name}" for name in node.inputs), node.channels, node.kernel,
             node.stride, node.groups, node.bias) for node in net.graph.nodes))  # fmt: skip
    x = images(torch.float64)
    assert torch.equal(outputs(net, x), outputs(Net(graph, net.renamed(graph)), x))
    with pytest.raises(MorphError, match="not the one"):
        net.renamed(chain(2).graph)


def test_signs():
    net = separable(0, torch.float64)
    assert [not_negative(net, name) for name in ("image", "stem", "r0", "d", "r", "bb", "pool")] == [
        False, False, True, False, True, False, False,
    ]  # fmt: skip
