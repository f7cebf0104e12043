"""The controller of the recurrent space: what it writes, how likely, and that it learns."""

import math

import pytest
import torch

import nascore
from nascore.contracts import Task
from nascore.records import Architecture
from nascore.seeding import isolated_random
from nascore_blocks.recurrent import RecurrentSpace
from nascore_enas.controller import Shape, controller_for
from nascore_enas.presets import PAPER_RECURRENT, RECURRENT
from nascore_enas.recurrent import RecurrentController
from nascore_enas.reinforce import Reinforce

TASK = Task("text", (8,), 20, kind="language-modelling")
ENAS_CELL = {"first": "chosen", "average": "unread", "share": "pair"}


def made(nodes=3, ops=("tanh", "relu", "sigmoid", "identity"), hidden=16, shape=None, **options):
    space = RecurrentSpace(nodes=nodes, ops=ops, hidden=4, **(options or ENAS_CELL))
    space.name = "blocks:recurrent"
    space.setup(TASK)
    with isolated_random(0):
        return space, controller_for(space, hidden, shape or Shape(op_reduce=1.0))


@pytest.mark.parametrize("options", [ENAS_CELL, {"first": "relu"}], ids=["chosen", "fixed"])
def test_what_it_draws_is_in_the_space(options):
    space, controller = made(**options)
    assert isinstance(controller, RecurrentController)
    draws = controller.draw(50, torch.Generator().manual_seed(0))
    genomes = [controller.genome(row) for row in draws.tokens.tolist()]
    for genome in genomes:
        space.check(Architecture(space.name, genome, ""))
    assert len({str(genome) for genome in genomes}) > 40
    assert draws.tokens.shape == (50, len(genomes[0]))


def test_tokens_are_the_decisions_in_their_order():
    space, controller = made(nodes=2)
    genome = controller.genome([2, 0, 1, 1, 3])
    assert genome == {
        "node.0.op": "sigmoid", "node.1.input": 0, "node.1.op": "relu", "node.2.input": 1, "node.2.op": "identity",
    }  # fmt: skip
    assert list(genome) == [d.name for d in space.decisions(space.architecture(genome))]


@pytest.mark.parametrize("options", [ENAS_CELL, {"first": "tanh"}], ids=["chosen", "fixed"])
def test_the_probabilities_of_all_cells_sum_to_one(options):
    space, controller = made(nodes=3, ops=("tanh", "relu"), **options)
    rows = [[]]
    for node in range(space.nodes + 1):
        chooses = range(2) if node or space.first == "chosen" else [None]
        inputs = range(node) if node else [None]
        rows = [[*row, *(t for t in (i, o) if t is not None)] for row in rows for i in inputs for o in chooses]
    draws = controller.score(torch.tensor(rows))
    assert len(rows) == 2 ** (3 + (space.first == "chosen")) * 6
    assert float(draws.log_prob.detach().exp().sum()) == pytest.approx(1, abs=1e-6)
    again = controller.draw(5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(controller.score(again.tokens).log_prob, again.log_prob)


def test_temperature_and_tanh_bound_every_choice():
    # p <= 1 / (1 + (n - 1) e^(-2c)): with all logits driven to +-infinity.
    space, controller = made(nodes=1, shape=Shape(tanh_constant=1.5, op_reduce=1.0))
    with torch.no_grad():
        controller.op_logits.weight.fill_(-1e6)
        controller.op_logits.weight[0] = 1e6
        controller.lstm.bias_ih.fill_(5)  # the LSTM's output is positive
        controller.lstm.weight_ih.zero_()
        controller.lstm.weight_hh.zero_()
    likeliest = controller.score(torch.tensor([[0, 0, 0]])).log_prob.detach().exp()
    assert float(likeliest) == pytest.approx((1 / (1 + 3 * math.exp(-3))) ** 2, rel=1e-4)
    with isolated_random(0):
        hot = controller_for(space, 16, Shape(temperature=1e6, op_reduce=1.0))
    draws = hot.draw(4, torch.Generator().manual_seed(0))
    assert draws.entropy.tolist() == pytest.approx([2 * math.log(4)] * 4, rel=1e-4)


def test_it_learns_to_match_a_cell():
    # METHODS: the reward is the share of decisions that match; the start is near chance.
    _, controller = made(nodes=3, hidden=32, shape=Shape(tanh_constant=2.5, op_reduce=1.0))
    target = {"node.0.op": "relu", "node.1.op": "tanh", "node.2.input": 1, "node.2.op": "relu", "node.3.input": 0,
              "node.3.op": "identity"}  # fmt: skip

    def value(row):
        genome = controller.genome(row)
        return sum(genome[name] == answer for name, answer in target.items()) / len(target)

    reinforce = Reinforce(controller, 5e-3, 1e-4, 0.95)
    generator = torch.Generator().manual_seed(0)
    start, _ = reinforce.step(200, generator, value)
    for _ in range(150):
        reinforce.step(10, generator, value)
    end, _ = reinforce.step(200, generator, value)
    assert start < 0.45
    assert end > 0.7


@pytest.mark.parametrize("preset", [RECURRENT, PAPER_RECURRENT], ids=["quick", "paper"])
def test_a_preset_is_one_that_parts_accept(preset, tmp_path):
    small = {"evaluator.rounds": 2, "evaluator.steps": 2, "evaluator.batch_size": 4, "data.length": 8,
             "data.characters": 1000, "data.valid": 0.002, "data.test": 0.002, "sampler.steps": 2, "space.hidden": 6,
             "evaluator.learning_rate": 0.01, "space.use": "nascore_blocks.recurrent:RecurrentSpace",
             "data.use": "nascore_blocks.data.text:Text", "trials": 3}  # fmt: skip
    given = {name: value for name, value in preset.items() if name not in ("space", "data")}
    result = nascore.search("enas", options={**given, **small}, seed=0, out=tmp_path / "run", tracking="off")
    assert [trial.status.value for trial in result.search.history] == ["complete"] * 3
    assert "node.0.op" in result.best.architecture.genome
    assert result.best.metrics["perplexity"] > 1
