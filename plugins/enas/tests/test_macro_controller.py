"""The macro controller, without any network: properties P3, P4 and P6 of METHODS section 10, and its penalty."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nascore.contracts import Task
from nascore.seeding import isolated_random
from nascore_blocks.macro import MacroSpace
from nascore_blocks.nasbench201 import NASBench201
from nascore_blocks.spaces import NASNetSpace
from nascore_blocks.supernet.wiring import Row
from nascore_enas.cells import CellController
from nascore_enas.controller import Shape, controller_for
from nascore_enas.macro import MacroController, divergence
from nascore_enas.reinforce import Reinforce

TASK = Task("toy", (1, 8, 8), 4)
TWO = ("conv_3x3", "max_pool_3x3")


def macro(layers=3, ops=TWO):
    space = MacroSpace(layers, ops, channels=2)
    space.setup(TASK)
    return space


def controller(space, hidden=8, scale=1.0, seed=3, **shape):
    with isolated_random(seed):
        made = controller_for(space, hidden, Shape(**{"op_reduce": 1.0, "tanh_constant": 2.5} | shape))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made


def every_row(layers, ops):
    options = [range(n) for layer in range(layers) for n in (ops, *[2] * layer)]
    return torch.tensor(list(itertools.product(*options)))


def test_the_space_decides_who_writes():
    cells = NASNetSpace(blocks=1, channels=2)
    cells.setup(TASK)
    assert isinstance(controller(cells), CellController)
    assert isinstance(controller(macro()), MacroController)
    edges = controller(NASBench201(channels=2))
    assert isinstance(edges, MacroController)
    assert not edges.skips


def test_the_probabilities_of_all_architectures_add_up_to_one():
    """P3."""
    rows = every_row(3, 2)
    assert len(rows) == 2**3 * 2**3
    draws = controller(macro(), scale=20.0).score(rows)
    probabilities = draws.log_prob.exp().detach()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert float(probabilities.max()) > 3 / len(rows), "uniform would add up to one as well"


def test_each_architecture_is_written_once():
    space = macro()
    made = controller(space)
    genomes = [made.genome(row) for row in every_row(3, 2).tolist()]
    assert len({str(genome) for genome in genomes}) == 64
    for genome in genomes:
        space.check(space.architecture(genome))
    assert made.genome([1, 0, 1, 0, 0, 1]) == {
        "layer.0.op": "max_pool_3x3",
        "layer.1.op": "conv_3x3",
        "layer.1.skip.0": True,
        "layer.2.op": "conv_3x3",
        "layer.2.skip.0": False,
        "layer.2.skip.1": True,
    }


def test_what_is_drawn_has_the_score_of_its_tokens():
    made = controller(macro(4), scale=10.0)
    draws = made.draw(6, torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in draws.tokens.tolist()}) == 6
    again = made.score(draws.tokens)
    torch.testing.assert_close(again.log_prob, draws.log_prob)
    torch.testing.assert_close(again.penalty, draws.penalty)
    # Each architecture of the batch is independent of its neighbours.
    torch.testing.assert_close(made.score(draws.tokens[2:3]).log_prob, draws.log_prob[2:3])
    assert draws.log_prob.std() > 0.01


def test_what_was_chosen_before_counts():
    """Both the op of a layer and its skips change what comes after."""
    made = controller(macro(4), scale=20.0)
    rows = torch.tensor(
        [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]]
    )
    flipped = rows.clone()
    flipped[:, -1] = 1
    last = (made.score(flipped).log_prob - made.score(rows).log_prob).tolist()  # q of the last bit
    assert abs(last[0] - last[1]) > 1e-3
    assert abs(last[0] - last[2]) > 1e-3


def test_draws_come_as_often_as_their_probability_says():
    made = controller(macro(2), scale=20.0)
    rows = every_row(2, 2)
    expected = made.score(rows).log_prob.exp().tolist()
    drawn = made.draw(20_000, torch.Generator().manual_seed(0)).tokens
    for row, p in zip(rows, expected, strict=True):
        share = float((drawn == row).all(1).float().mean())
        assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 20_000) + 1e-4)


def test_the_entropy_counts_all_actions():
    made = controller(macro(), scale=0.0)
    draws = made.draw(3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.entropy, torch.full((3,), 6 * math.log(2)))  # 3 ops of 2, 3 bits


@pytest.mark.parametrize(("constant", "reduce", "bound"), [(1.5, 1.0, 0.801), (1.5, 2.5, 0.399)])
def test_the_tanh_bounds_the_probability_of_an_op(constant, reduce, bound):
    """P4: max p = 1 / (1 + (n - 1) e^(-2c)), with n = 6."""
    made = controller(macro(1, MacroSpace().ops), tanh_constant=constant, op_reduce=reduce)
    with torch.no_grad():
        made.lstm.bias_ih.fill_(9.0)  # every gate open, so the state is far from 0
        made.op_logits["op"].weight.fill_(-1000.0)
        made.op_logits["op"].weight[0] = 1000.0
    shares = made.score(torch.arange(6)[:, None]).log_prob.exp().tolist()
    assert shares[0] == pytest.approx(bound, abs=1e-3)
    assert sum(shares) == pytest.approx(1)


def test_a_skip_has_the_probability_that_the_penalty_counts():
    """Sigmoid(q) in both; the authors draw by sigmoid(2q) and count sigmoid(q)."""
    made = controller(macro(2), scale=20.0)
    rows = torch.tensor([[0, 0, 0], [0, 0, 1]])
    scored = made.score(rows)
    absent, present = torch.softmax(scored.log_prob, 0).tolist()
    rate = 0.4
    by_hand = present * math.log(present / rate) + absent * math.log(absent / (1 - rate))
    assert abs(present - 0.5) > 0.02
    assert scored.penalty.tolist() == pytest.approx([by_hand] * 2, rel=1e-4)


def test_the_penalty_is_zero_at_the_target_and_large_q_is_finite():
    q = torch.tensor([math.log(0.4 / 0.6), 0.0, 200.0, -200.0])
    found = divergence(q, 0.4).tolist()
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[1] == pytest.approx(0.5 * math.log(0.5 / 0.4) + 0.5 * math.log(0.5 / 0.6))
    assert found[2:] == pytest.approx([-math.log(0.4), -math.log(0.6)])


def test_spaces_without_skips_have_no_penalty():
    space = NASBench201(channels=2)
    made = controller(space)
    draws = made.draw(4, torch.Generator().manual_seed(0))
    assert draws.penalty is None
    assert draws.tokens.shape == (4, 6)
    row = [3, 0, 1, 4, 0, 2]
    assert list(made.genome(row).values()) == [space.ops[token] for token in row]


def test_an_op_that_its_place_may_not_have_is_never_drawn():
    class Narrow:
        requires = frozenset()
        wirings = {"block": Row(3, ("a", "b", "none"), (("a", "b"), ("a", "b", "none"), ("none", "b")))}

    draws = controller(Narrow()).draw(300, torch.Generator().manual_seed(0))
    assert [sorted(set(column.tolist())) for column in draws.tokens.unbind(1)] == [[0, 1], [0, 1, 2], [1, 2]]
    assert torch.isfinite(draws.entropy).all()


def test_the_bias_favours_separable_convolutions():
    made = controller(macro(1, ("sep_conv_3x3", "conv_3x3")), scale=0.0, separable_bias=0.25)
    separable, plain = made.score(torch.tensor([[0], [1]])).log_prob.tolist()
    assert separable - plain == pytest.approx(0.5)


def test_the_penalty_pulls_the_rate_of_skips_to_its_target():
    """With rewards that are all alike only the penalty is left to learn from."""
    rates = {}
    for target in (0.2, 0.8):
        made = controller(macro(4), tanh_constant=5.0, skip_target=target)
        reinforce = Reinforce(made, 0.02, 0.0, 0.9, penalty_weight=0.8)
        generator = torch.Generator().manual_seed(0)
        for _ in range(60):
            reinforce.step(8, generator, lambda row: 0.5)
        bits = made.draw(500, generator).tokens[:, [2, 4, 5, 7, 8, 9]]
        rates[target] = float(bits.float().mean())
    assert rates[0.2] == pytest.approx(0.2, abs=0.06)
    assert rates[0.8] == pytest.approx(0.8, abs=0.06)


@pytest.mark.slow
def test_it_learns_a_target():
    """P6: reward = share of 4 ops that are as wanted; 0.17 by chance, 0.6 or more after 300 steps of 10."""
    found = [mean_reward_after_training(seed) for seed in range(3)]
    assert sum(found) / 3 >= 0.6, found


def mean_reward_after_training(seed):
    made = controller(macro(4, MacroSpace().ops), hidden=32, seed=seed)
    reinforce = Reinforce(made, 5e-3, 1e-4, 0.95, penalty_weight=0.8)
    generator = torch.Generator().manual_seed(seed)
    target = (4, 0, 2, 5)

    def share(row):
        ops = (row[0], row[1], row[3], row[6])
        return sum(op == wanted for op, wanted in zip(ops, target, strict=True)) / 4

    rewards = [reinforce.step(10, generator, share)[0] for _ in range(300)]
    assert sum(rewards[:5]) / 5 < 0.35
    return sum(rewards[-20:]) / 20
