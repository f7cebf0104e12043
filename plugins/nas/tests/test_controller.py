"""The distributions: P1 of METHODS section 2, anchors, what is shared."""

import itertools
import random

import pytest
import torch

from nascore.decisions import DecisionSpace
from nascore.testing.toys import ToySpace
from nascore_blocks.layerwise import LayerwiseSpace
from nascore_nas.controller import Factorised, Question
from nascore_nas.recurrent import RANGE, Recurrent, skip_of

BITS = (False, True)


def everything(space):
    """All architectures of a small space, by answering every question in every way."""
    todo, found = [()], []
    while todo:
        prefix = todo.pop()
        asked = []

        def choose(name, options, prefix=prefix, asked=asked):
            answer = prefix[len(asked)] if len(asked) < len(prefix) else options[0]
            asked.append(tuple(options))
            return answer

        architecture = space.sample(choose)
        if len(asked) == len(prefix):
            found.append(architecture)
        else:
            todo.extend((*prefix, option) for option in asked[len(prefix)])
    return found


def met(controller, space, architecture):
    """The questions and answers of an architecture, whose kinds the controller has met."""
    made = space.decisions(architecture)
    questions = tuple(Question(d.name, d.options) for d in made)
    for question in questions:
        controller.meet(question)
    return questions, [d.options.index(d.value) for d in made]


@torch.no_grad()
def scored(controller, space, architecture):
    questions, answers = met(controller, space, architecture)
    return controller.score(questions, torch.tensor([answers]))


def loud(controller, space, scale=3.0):
    """The controller with weights so large that its distributions are far from uniform."""
    for architecture in everything(space):
        met(controller, space, architecture)
    generator = torch.Generator().manual_seed(1)
    for parameter in controller.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * scale / 3
    return controller


class Edges(DecisionSpace):
    """One token a layer, and bits: 2^3 tokens x 2^3 bits."""

    name = "edges"

    def decide(self, choose):
        for layer in range(3):
            choose(f"layer.{layer}.op", ["a", "b"])
            for before in range(layer):
                choose(f"skip.{layer}.{before}", [False, True])

    def build(self, architecture, task):
        raise NotImplementedError


@torch.no_grad()
@pytest.mark.parametrize("space", [ToySpace(), Edges()], ids=["decisions after others", "skips"])
@pytest.mark.parametrize("kind", [Recurrent, Factorised])
def test_probabilities_sum_to_one(kind, space):
    """P1: over all architectures, with distributions far from uniform."""
    controller = kind(0, 6, 2) if kind is Recurrent else kind(0)
    controller = loud(controller.double(), space)
    found = everything(space)
    assert len({a.key for a in found}) == len(found) >= 64
    groups = {}
    for architecture in found:
        questions, answers = met(controller, space, architecture)
        groups.setdefault(questions, []).append(answers)
    log_probs = torch.cat([controller.score(q, torch.tensor(answers)).log_prob for q, answers in groups.items()])
    assert len(log_probs) == len(found)
    assert log_probs.exp().sum().item() == pytest.approx(1, abs=1e-6)
    assert float(log_probs.max() - log_probs.min()) > 2


@pytest.mark.parametrize("kind", [Recurrent, Factorised])
def test_draws_follow_the_scores(kind):
    space = Edges()
    controller = loud(kind(0, 6, 1) if kind is Recurrent else kind(0), space)
    rng, counts = random.Random(0), {}
    for _ in range(1500):
        key = controller.draw(space, rng, []).key
        counts[key] = counts.get(key, 0) + 1
    for architecture in everything(space):
        p = float(scored(controller, space, architecture).log_prob.exp())
        spread = (p * (1 - p) / 1500) ** 0.5
        assert abs(counts.get(architecture.key, 0) / 1500 - p) < 4.5 * spread + 1e-9


def test_a_batch_is_scored_like_each_alone():
    space = Edges()
    controller = loud(Recurrent(0, 6, 2).double(), space)
    found = everything(space)
    questions = [Question(d.name, d.options) for d in space.decisions(found[0])]
    answers = torch.tensor([[d.options.index(d.value) for d in space.decisions(a)] for a in found])
    together = controller.score(questions, answers)
    for row, architecture in enumerate(found):
        alone = scored(controller, space, architecture)
        torch.testing.assert_close(together.log_prob[row : row + 1], alone.log_prob)
        torch.testing.assert_close(together.entropy[row : row + 1], alone.entropy)


def test_bits_are_the_attention_of_the_paper():
    """P(j -> i) = sigmoid(v^T tanh(W_prev h_j + W_curr h_i)), each independent of the layer's other bits."""
    space = Edges()
    controller = loud(Recurrent(0, 5, 1).double(), space)
    cell, (op, embed) = controller.cells[0], controller.parts[0]
    del op
    state = (controller.start.new_zeros(1, 5),) * 2
    tokens = [0, 1, 1]
    x, anchors = controller.start[None], []

    def bit(j, i):
        mixed = anchors[j] @ controller.previous.weight.T + anchors[i] @ controller.current.weight.T
        return torch.sigmoid(torch.tanh(mixed) @ controller.v)

    run = controller.begin(1)
    for layer, token in enumerate(tokens):
        run.ask(Question(f"layer.{layer}.op", ("a", "b")))
        run.answer(torch.tensor([token]))
        state = cell(x, state)
        if layer == 1:
            anchors.append(state[0])  # it has read layer 0, which has no bits
        x = embed(torch.tensor([token]))
        if layer:
            state = cell(x, state)
            anchors.append(state[0])
        for before in range(layer):
            log_p = run.ask(Question(f"skip.{layer}.{before}", BITS))
            torch.testing.assert_close(log_p[:, 1].exp(), bit(before, layer))
            torch.testing.assert_close(log_p.exp().sum(1), torch.ones(1, dtype=torch.float64))
            run.answer(torch.tensor([1]))
        if layer:
            x = sum(anchors[:layer]) / layer


@torch.no_grad()
def test_entropy_counts_every_option():
    controller = Factorised(0)
    question = Question("op", (1, 2, 3, 4))
    controller.meet(question)
    for answer in range(4):  # the same, whatever was drawn
        entropy = controller.score([question], torch.tensor([[answer]])).entropy
        assert float(entropy) == pytest.approx(torch.log(torch.tensor(4.0)))
    controller.parts[0][0].data = torch.tensor([0.7, 0.1, 0.1, 0.1]).log()
    entropy = controller.score([question], torch.tensor([[0]])).entropy
    assert float(entropy) == pytest.approx(-(0.7 * torch.log(torch.tensor(0.7)) + 0.3 * torch.log(torch.tensor(0.1))))


def test_tokens_of_one_type_share_a_softmax():
    controller = Recurrent(0, 4, 1)
    space = LayerwiseSpace(layers=3, filters=(2, 4))
    space.name = "l"
    rng = random.Random(0)
    controller.draw(space, rng, [])
    assert sorted(kind.split()[0] for kind in controller.met) == ["layer.*.filters", "layer.*.height", "layer.*.width"]
    assert Recurrent(0, 4, 1, shared=False).kind(Question("layer.2.op", (1, 3))) == "layer.2.op [1, 3]"
    assert Factorised(0).kind(Question("skip.1.0", BITS)) == "skip.1.0 [false, true]"
    # The same name with other options is another kind: a softmax has a fixed number of rows.
    assert controller.kind(Question("node.1", (0,))) != controller.kind(Question("node.2", (0, 1)))


def test_what_is_a_skip():
    assert skip_of(Question("skip.12.3", BITS)) == (12, 3)
    assert skip_of(Question("layer.1.skip.0", BITS)) is None
    assert skip_of(Question("skip.1.0", (0, 1))) is None  # 0 and 1 are numbers, not bits


def test_weights_start_in_the_papers_range_whenever_they_are_met():
    first, second = Recurrent(3, 8, 2), Recurrent(3, 8, 2)
    one, two = Question("a.0", (1, 2)), Question("b.0", (1, 2, 3))
    for question in (one, two):
        first.meet(question)
    for question in (two, one):
        second.meet(question)
    assert torch.equal(first.part(one)[0].weight, second.part(one)[0].weight)
    assert all(float(p.detach().abs().max()) <= RANGE == 0.08 for p in first.parameters())
    flat = torch.cat([p.detach().flatten() for p in first.parameters()])
    assert float(flat.abs().max()) > 0.07
    assert sum(1 for _ in itertools.chain(first.meet(one), first.meet(two))) == 0
