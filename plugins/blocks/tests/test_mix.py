"""The mixing strategies: frequencies, gradients, and what runs (Bender 2018, Liu 2019, Xie 2019, Cai 2019)."""

import itertools

import pytest
import torch

from nascore.errors import SettingsError
from nascore_blocks.supernet.mix import (
    BinaryGates,
    Concrete,
    PathDropout,
    SinglePath,
    Softmax,
    keep_other_probabilities,
    logit_gradient,
)
from nascore_blocks.supernet.wiring import CellWiring, Place, Row

CELL = CellWiring(2, 1, ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "none"))
LOGITS = torch.tensor([1.0, 0.0, -1.0, 0.5])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def many(rows, wiring=CELL):
    """A wiring with one node and ``rows`` edges, to draw often at once."""
    return CellWiring(1, rows // 2, wiring.ops)


def test_a_wiring_names_every_edge_once():
    assert CELL.edges == (Place(2, 0, 0), Place(2, 0, 1), Place(3, 0, 0), Place(3, 0, 1), Place(3, 0, 2))
    assert CELL.into == {2: (0, 1), 3: (2, 3, 4)}
    assert [CELL.paths_into(edge) for edge in range(5)] == [6, 6, 9, 9, 9]
    assert len(CellWiring(4, 1, CELL.ops).edges) == 14  # DARTS
    assert len(CellWiring(5, 2, CELL.ops).edges) == 2 * (2 + 3 + 4 + 5 + 6)  # NASNet


# ------------------------------------------------------------------------ One-Shot


@pytest.mark.parametrize(("k", "each"), [(2, 0.2236), (3, 0.3684), (5, 0.5493), (7, 0.6518)])
def test_all_paths_into_a_node_are_dropped_with_probability_r(k, each):
    r, draws = 0.05, 8000
    wiring = CellWiring(k - 1, 1, ("skip_connect", "none"))  # the last node has k edges of one op
    last = wiring.into[k]
    assert [wiring.paths_into(edge) for edge in last] == [k] * k
    seeded = generator()
    kept = [
        [bool(paths.active[edge]) for edge in last]
        for paths in (PathDropout(r)(torch.zeros(1), wiring, seeded) for _ in range(draws))
    ]
    alone = 1 - sum(map(sum, kept)) / (draws * k)
    assert alone == pytest.approx(each, abs=0.015)
    none_left = sum(not any(row) for row in kept) / draws
    assert none_left == pytest.approx(r, abs=3 * (r * (1 - r) / draws) ** 0.5)


def test_path_dropout_of_zero_keeps_everything_unscaled():
    paths = PathDropout(0.0)(torch.zeros(1), CELL, generator())
    assert paths.active == CELL.everything
    assert paths.weights is None


@pytest.mark.parametrize("r", [-0.1, 1.0])
def test_a_rate_that_is_none_is_refused(r):
    with pytest.raises(SettingsError, match=r"\[0, 1\)"):
        PathDropout(r)


# --------------------------------------------------------------------------- DARTS


def test_softmax_weighs_none_but_does_not_run_it():
    logits = torch.randn(5, 4, requires_grad=True)
    paths = Softmax()(logits, CELL, generator())
    assert torch.equal(paths.weights, torch.softmax(logits, -1))
    assert paths.active == ((0, 1, 2),) * 5
    assert paths.weights.grad_fn is not None
    assert paths.detached().weights.grad_fn is None


# ---------------------------------------------------------------------------- SNAS


def test_concrete_samples_are_largest_as_often_as_softmax_says():
    wiring = many(20_000)
    z = Concrete(0.5)(LOGITS.expand(20_000, 4), wiring, generator()).weights
    assert torch.allclose(z.sum(-1), torch.ones(20_000))
    frequencies = torch.bincount(z.argmax(-1), minlength=4) / 20_000
    assert torch.allclose(frequencies, torch.tensor([0.474, 0.174, 0.064, 0.288]), atol=0.011)


@pytest.mark.parametrize(("temperature", "low", "high"), [(0.01, 0.955, 0.975), (0.1, 0.64, 0.73), (100.0, 0, 0)])
def test_concrete_samples_become_one_hot_as_the_temperature_falls(temperature, low, high):
    z = Concrete(temperature)(LOGITS.expand(20_000, 4), many(20_000), generator()).weights
    assert low <= float((z.max(-1).values > 0.99).float().mean()) <= high
    if temperature > 10:
        assert torch.allclose(z, torch.full_like(z, 0.25), atol=0.04)


@pytest.mark.parametrize(("temperature", "most"), [(1.0, 0.40), (0.3, 0.09), (0.1, 0.03)])
def test_the_reparametrised_gradient_tends_to_the_exact_one(temperature, most):
    prices = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    logits = LOGITS.double().requires_grad_()
    exact = torch.autograd.grad(torch.softmax(logits, -1) @ prices, logits)[0]
    z = Concrete(temperature)(logits.expand(100_000, 4), many(100_000), generator()).weights
    found = torch.autograd.grad((z @ prices).mean(), logits)[0]
    assert float((found - exact).norm() / exact.norm()) < most


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(SettingsError, match="> 0"):
        Concrete(0.0)


# --------------------------------------------------------------------- single path


def test_single_paths_are_drawn_by_softmax_and_none_leaves_the_edge_out():
    paths = SinglePath()(LOGITS.expand(20_000, 4), many(20_000), generator())
    assert paths.weights is None
    counts = {op: sum(active == op for active in paths.active) for op in ((0,), (1,), (2,), ())}
    shares = torch.softmax(LOGITS, -1).tolist()
    assert [n / 20_000 for n in counts.values()] == pytest.approx(shares, abs=0.011)
    assert sum(counts.values()) == 20_000


# -------------------------------------------------------------------- ProxylessNAS


def test_pairs_are_drawn_without_replacement_and_one_of_each_is_open():
    rows = 20_000
    paths = BinaryGates()(LOGITS.expand(rows, 4), many(rows), generator())
    p = torch.softmax(LOGITS, -1).tolist()
    pairs = paths.drawn.sort(-1).values.tolist()
    for i, j in itertools.combinations(range(4), 2):
        expected = p[i] * p[j] / (1 - p[i]) + p[i] * p[j] / (1 - p[j])
        assert sum(pair == [i, j] for pair in pairs) / rows == pytest.approx(expected, abs=0.012)
    assert torch.equal(paths.weights.sum(-1), torch.ones(rows))
    assert torch.equal(paths.weights.gather(1, paths.drawn).sum(-1), torch.ones(rows))
    both = [pair == [0, 3] for pair in pairs]
    opened = paths.weights.detach()[torch.tensor(both)][:, 0].mean()
    assert float(opened) == pytest.approx(p[0] / (p[0] + p[3]), abs=0.02)
    assert paths.active[both.index(True)] == (0,)  # op 3 is none: no output, no gradient


def test_the_gates_gradient_is_that_of_the_soft_mix():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    c = torch.randn(3, 4, dtype=torch.float64)  # dL/dg of a linear loss
    pairs = torch.tensor([[0, 1], [3, 2], [1, 3]])
    soft = torch.softmax(logits.gather(1, pairs), -1)
    expected = torch.autograd.grad((soft * c.gather(1, pairs)).sum(), logits)[0]
    found = logit_gradient(logits.detach(), c, pairs)
    assert torch.allclose(found, expected, rtol=0, atol=1e-15)


def test_the_two_path_update_leaves_the_other_probabilities():
    torch.manual_seed(0)
    before = torch.randn(6, 5, dtype=torch.float64)
    pairs = torch.stack([torch.randperm(5)[:2] for _ in range(6)])
    after = before.scatter_add(1, pairs, torch.randn(6, 2, dtype=torch.float64))
    kept = keep_other_probabilities(before, after, pairs)
    others = torch.ones(6, 5, dtype=torch.bool).scatter(1, pairs, False)
    old, new = torch.softmax(before, -1), torch.softmax(kept, -1)
    assert torch.allclose(old[others], new[others], rtol=0, atol=1e-12)
    assert not torch.allclose(old, torch.softmax(after, -1), atol=1e-3)
    # The pair's own proportions are those of the step.
    assert torch.allclose(kept.gather(1, pairs).diff(dim=1), after.gather(1, pairs).diff(dim=1))


def test_an_op_that_an_edge_may_not_have_is_never_mixed_in():
    wiring = Row(2, ("small", "large", "none"), (("small", "large"), ("small", "large", "none")))
    assert wiring.everything == ((0, 1), (0, 1))
    logits = torch.tensor([[0.0, 0.0, 9.0], [0.0, 0.0, 9.0]], requires_grad=True)
    for paths in (Softmax()(logits, wiring, generator()), Concrete(0.5)(logits, wiring, generator())):
        assert paths.weights[0, 2].item() == 0.0
        assert paths.weights[1, 2].item() > 0.3
    assert Softmax()(logits, wiring, generator()).weights[0].tolist() == [0.5, 0.5, 0.0]
    seeded = generator()
    for _ in range(50):
        assert SinglePath()(logits, wiring, seeded).active[0] != ()
        assert set(BinaryGates()(logits, wiring, seeded).drawn[0].tolist()) == {0, 1}
    (gradient,) = torch.autograd.grad(Softmax()(logits, wiring, None).weights[0, 0], logits)
    assert torch.isfinite(gradient).all()
    assert gradient[0, 2] == 0.0
