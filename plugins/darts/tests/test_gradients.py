"""The bilevel gradient on problems whose answer is known (Liu et al. 2019, section 2.3 and figure 2)."""

import pytest
import torch
from torch import nn

from nascore_darts.gradients import exact, finite_difference, first_order, sgd_velocity


class Toy:
    """L_train = w^2 - 2 alpha w + alpha^2, L_val = alpha w - 2 alpha + 1: the paper's example."""

    def __init__(self, alpha, w):
        self.alpha = torch.tensor(alpha, dtype=torch.float64, requires_grad=True)
        self.w = torch.tensor(w, dtype=torch.float64, requires_grad=True)

    def train(self, weights=None):
        w = weights[0] if weights else self.w
        return w**2 - 2 * self.alpha * w + self.alpha**2

    def valid(self, weights=None):
        w = weights[0] if weights else self.w
        return self.alpha * w - 2 * self.alpha + 1

    def gradient(self, kind, xi):
        velocity = sgd_velocity(torch.optim.SGD([self.w], lr=xi or 1.0), [self.w])
        return kind(self.train, self.valid, [self.w], [self.alpha], velocity, xi)[0]


@pytest.mark.parametrize("kind", [finite_difference, exact])
@pytest.mark.parametrize(("alpha", "w", "xi", "expected"), [(2.0, -2.0, 0.1, -2.8), (0.3, 1.2, 0.5, -1.4)])
def test_second_order_on_the_papers_example(kind, alpha, w, xi, expected):
    toy = Toy(alpha, w)
    assert float(toy.gradient(kind, xi)) == pytest.approx(expected, abs=1e-6)
    assert float(toy.w.detach()) == w


def test_first_order_on_the_papers_example():
    toy = Toy(2.0, -2.0)
    assert float(first_order(toy.valid, [toy.alpha])[0]) == -4.0


@pytest.mark.parametrize(("xi", "end"), [(0.0, (2.0, 2.0)), (0.5, (1.0, 1.0))])
def test_only_the_second_order_finds_the_optimum(xi, end):
    toy = Toy(2.0, -2.0)
    for _ in range(2000):
        of_alpha = toy.gradient(finite_difference, xi) if xi else first_order(toy.valid, [toy.alpha])[0]
        with torch.no_grad():
            toy.alpha -= 0.05 * of_alpha
        of_w = torch.autograd.grad(toy.train(), toy.w)[0]
        with torch.no_grad():
            toy.w -= 0.05 * of_w
    assert (float(toy.alpha.detach()), float(toy.w.detach())) == pytest.approx(end, abs=1e-3)


class Smooth(nn.Module):
    """A small relaxed network without kinks, so that finite differences can be right."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = (nn.Linear(*size).double() for size in ((5, 6), (5, 6), (6, 3)))
        self.alpha = torch.randn(2, dtype=torch.float64, requires_grad=True)
        self.batches = [(torch.randn(12, 5).double(), torch.randint(3, (12,))) for _ in range(2)]
        self.weights = list(self.parameters())
        self.sgd = torch.optim.SGD(self.weights, lr=0.1, momentum=0.9, weight_decay=3e-2)

    def loss(self, batch, values):
        w1, b1, w2, b2, w3, b3 = values
        x, y = self.batches[batch]
        share = torch.softmax(self.alpha, 0)
        hidden = share[0] * torch.tanh(x @ w1.T + b1) + share[1] * torch.sigmoid(x @ w2.T + b2)
        return nn.functional.cross_entropy(hidden @ w3.T + b3, y)

    def warm_up(self):
        for _ in range(3):
            self.sgd.zero_grad()
            self.loss(0, self.weights).backward()
            self.sgd.step()
        self.alpha.grad = None


def test_the_exact_gradient_is_that_through_the_optimisers_own_step():
    net = Smooth()
    net.warm_up()
    velocity = sgd_velocity(net.sgd, net.weights)
    found = exact(lambda w: net.loss(0, w), lambda w: net.loss(1, w), net.weights, [net.alpha], velocity, 0.1)[0]

    def after_a_real_step(alpha):
        other = Smooth()
        other.warm_up()
        with torch.no_grad():
            other.alpha.copy_(alpha)
        other.sgd.zero_grad()
        other.loss(0, other.weights).backward()
        other.sgd.step()
        return float(other.loss(1, other.weights).detach())

    for index in range(2):  # central differences of the whole unrolled step
        step = torch.zeros(2, dtype=torch.float64)
        step[index] = 1e-5
        base = net.alpha.detach()
        slope = (after_a_real_step(base + step) - after_a_real_step(base - step)) / 2e-5
        assert float(found[index]) == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_finite_differences_agree_with_the_exact_gradient_and_restore_the_weights():
    net = Smooth()
    net.warm_up()
    before = [w.detach().clone() for w in net.weights]
    velocity = sgd_velocity(net.sgd, net.weights)
    precise = exact(lambda w: net.loss(0, w), lambda w: net.loss(1, w), net.weights, [net.alpha], velocity, 0.1)[0]
    found = finite_difference(
        lambda: net.loss(0, net.weights), lambda: net.loss(1, net.weights), net.weights, [net.alpha], velocity, 0.1
    )[0]
    first = first_order(lambda: net.loss(1, net.weights), [net.alpha])[0]
    assert float((found - precise).norm() / precise.norm()) < 1e-4
    assert float((first - precise).norm() / precise.norm()) > 1e-2
    assert all(torch.equal(a, b) for a, b in zip(before, net.weights, strict=True))
    assert all(w.requires_grad for w in [*net.weights, net.alpha])


def test_weights_that_a_loss_does_not_reach_do_no_harm():
    toy = Toy(2.0, -2.0)
    idle = torch.ones(3, dtype=torch.float64, requires_grad=True)
    weights = [toy.w, idle]
    velocity = sgd_velocity(torch.optim.SGD(weights, lr=0.1), weights)
    found = finite_difference(toy.train, toy.valid, weights, [toy.alpha], velocity, 0.1)[0]
    assert float(found) == pytest.approx(-2.8, abs=1e-6)
