"""ProxylessNAS: the properties of the paper."""

import random
from collections import Counter

import pytest
import torch

from nascore.contracts import Task
from nascore.errors import SettingsError
from nascore.records import Direction, Objective
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.recipe import Recipe
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.mix import BinaryGates, logit_gradient
from nascore_blocks.supernet.policy import Shared, Stream
from nascore_blocks.supernet.prices import OpShape
from nascore_blocks.supernet.wiring import CellWiring
from nascore_proxylessnas.latency import latency_ms
from nascore_proxylessnas.sampler import ProxylessNAS

TASK = Task("noise", (1, 8, 8), 3)
OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
OBJECTIVES = [Objective("accuracy", Direction.MAXIMIZE)]


def small_space():
    space = DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1)
    space.setup(TASK)
    return space


def started(**options):
    sampler = ProxylessNAS(**{"cost": "none", "every": 1, **options})
    sampler.setup(small_space(), OBJECTIVES, 0)
    return sampler


def stream(seed, batch=8):
    generator = torch.Generator().manual_seed(seed)
    data = TensorSplit(torch.randn(32, *TASK.shape, generator=generator), torch.arange(32) % TASK.classes)
    return Stream(data, batch, generator, "cpu", None)


def forbidden():
    raise AssertionError("not now")


def shared_of(number=0):
    torch.manual_seed(0)
    supernet = small_space().supernet(TASK)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05)
    supernet.train()
    generator = torch.Generator().manual_seed(1)
    return Shared(supernet, optimizer, Recipe(), generator, random.Random(0), (stream(2), stream(3)), (number, 50))


def watched(policy):
    """Pairs that the policy draws from now on."""
    seen, binary = [], policy._binary
    policy._binary = lambda *arguments: seen.append(binary(*arguments)) or seen[-1]
    return seen


@pytest.mark.parametrize("cost", ["none", "params"])
def test_probabilities_of_ops_that_were_not_drawn_stay(cost):  # P1
    policy, shared = started(learning_rate=0.3, spread=1.0, cost=cost, weight=1.0).policy, shared_of()
    for alpha in policy.alphas.values():
        alpha.data = alpha.data.double()  # in place: the optimiser is the sampler's own
    slopes = {kind: torch.randn(a.shape, dtype=torch.float64) for kind, a in policy.alphas.items()}
    shared.loss = lambda mixture, batch: sum((paths.weights * slopes[k]).sum() for k, paths in mixture.items())
    seen = watched(policy)
    moved = 0.0
    for _ in range(3):
        before = policy.probabilities()
        seen.clear()
        policy.prepare_costs(shared)
        policy.learn(shared)
        for paths, (kind, after) in zip(seen, policy.probabilities().items(), strict=True):
            change = (after - before[kind]).abs().detach()
            drawn = torch.zeros_like(change, dtype=torch.bool).scatter_(1, paths.drawn, value=True)
            assert float(change[~drawn].max()) < 1e-12
            moved += float(change[drawn].max())
    assert moved > 0.01


def test_the_gate_formula_is_the_gradient_of_the_mixture_for_a_linear_loss():  # P2
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 5, dtype=torch.float64, generator=generator)  # (ops, values)
    c = torch.randn(5, dtype=torch.float64, generator=generator)
    alpha = torch.randn(1, 2, dtype=torch.float64, generator=generator).requires_grad_()
    mixture = torch.softmax(alpha, -1) @ outputs
    by_autograd = torch.autograd.grad((mixture * c).sum(), alpha)[0]
    by_formula = logit_gradient(alpha.detach(), (outputs @ c)[None], torch.tensor([[1, 0]]))
    assert torch.allclose(by_autograd, by_formula, atol=1e-15)


def test_the_gates_gradient_is_that_of_the_validation_loss():
    policy, shared = started(spread=1.0).policy, shared_of()
    drawn = {k: policy._binary(a, shared.wirings[k], shared.generator) for k, a in policy.alphas.items()}
    batch = shared.valid_batch()
    shared.valid_batch = lambda: batch
    shared.train_batch = forbidden
    shared.supernet.double()
    shared.supernet.fast = False
    batch = batch._replace(inputs=batch.inputs.double())
    gates = {kind: paths.weights.detach().double().requires_grad_() for kind, paths in drawn.items()}
    drawn = {kind: type(paths)(paths.active, gates[kind], drawn=paths.drawn) for kind, paths in drawn.items()}
    found = policy.gate_gradients(shared, drawn)
    step = 1e-6
    for kind, edge in (("normal", 0), ("reduce", 3)):
        for op in drawn[kind].active[edge]:
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    gates[kind][edge, op] += sign * step
                    sides.append(float(shared.loss(drawn, batch)))
                    gates[kind][edge, op] -= sign * step
            assert float(found[kind][edge, op]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-3, abs=1e-7)


def test_a_weight_step_moves_only_the_drawn_ops():  # P3
    policy, shared = started(warm_up=1).policy, shared_of()
    shared.valid_batch = forbidden  # nor is alpha learnt in the warm-up
    drawn, mix = [], policy.mix
    policy.mix = lambda tools: drawn.append(mix(tools)) or drawn[-1]
    with torch.no_grad():
        for alpha in policy.alphas.values():
            alpha[:, OPS.index("sep_conv_3x3")] = 1.0
    alphas = [a.detach().clone() for a in policy.alphas.values()]
    policy.iterate(shared)
    (mixture,) = drawn
    supernet, ran, idle = shared.supernet, 0, 0
    for layer, cell in enumerate(supernet.cells):
        for edge in range(len(supernet.wiring.edges)):
            for op in supernet.wiring.live:
                active = op in mixture[supernet.kind(layer)].active[edge]
                for parameter in cell.op(edge, op).parameters():
                    assert active or parameter.grad is None
                    ran, idle = ran + (parameter.grad is not None), idle + (parameter.grad is None)
    assert ran
    assert idle > ran
    assert all(torch.equal(a, b) for a, b in zip(policy.alphas.values(), alphas, strict=True))


def test_a_step_of_alpha_moves_no_weight():
    policy, shared = started(spread=0.1).policy, shared_of()
    shared.train_batch = forbidden
    before = [w.detach().clone() for w in shared.parameters]
    policy.learn(shared)
    assert all(torch.equal(a, b) for a, b in zip(shared.parameters, before, strict=True))
    assert all(w.requires_grad for w in shared.parameters)


def test_alpha_moves_after_every_so_many_steps_of_the_weights():
    policy, shared = started(every=3).policy, shared_of()
    learnt = []
    policy.learn = lambda tools: learnt.append(len(tools.losses))
    for _ in range(7):
        policy.iterate(shared)
    assert learnt == [3, 6]


@pytest.mark.parametrize("variant", ["gradient", "reinforce"])
def test_cost_alone_drives_alpha_to_the_cheapest_ops(variant):  # P5
    policy = started(variant=variant, learning_rate=0.05, weight=1.0).policy
    shared = shared_of()
    shared.loss = lambda mixture, batch: torch.zeros(())  # accuracy and loss say nothing
    shared.accuracy = lambda mixture, batch: 1.0
    generator = torch.Generator().manual_seed(0)
    policy.cost = "latency_ms"
    policy.table = {k: 1.0 + torch.rand(a.shape, generator=generator) for k, a in policy.alphas.items()}
    for table in policy.table.values():
        table[:, 2] = 0.1
    policy.reference = float(policy.expected().detach()) / 10
    start = float(policy.expected().detach())
    for _ in range(600):
        policy.learn(shared)
    assert float(policy.expected().detach()) < start / 2
    for p in policy.probabilities().values():
        assert (p.argmax(-1) == 2).float().mean() == 1.0


def test_pairs_are_drawn_without_replacement_by_p():  # P6
    p = torch.tensor([0.5, 0.3, 0.2])
    wiring, draws = CellWiring(1, 1, ("a", "b", "c")), 20_000
    paths = BinaryGates()(p.log().repeat(draws, 1), wiring, torch.Generator().manual_seed(0))
    counts = Counter(frozenset(pair) for pair in paths.drawn.tolist())
    assert all(len(pair) == 2 for pair in counts)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected = float(p[i] * p[j] / (1 - p[i]) + p[i] * p[j] / (1 - p[j]))
        assert counts[frozenset((i, j))] / draws == pytest.approx(expected, abs=0.012)


def test_the_cost_counts_also_where_the_partner_is_none():
    policy, shared = started(cost="params", weight=1.0).policy, shared_of()
    dear = OPS.index("sep_conv_3x3")
    with torch.no_grad():
        for alpha in policy.alphas.values():  # all but surely `none` (the last) and the convolution are the pair
            alpha.fill_(-20.0)
            alpha[:, [-1, dear]] = 0.0
    shared.loss = lambda mixture, batch: torch.zeros(())
    policy.prepare_costs(shared)
    policy.learn(shared)
    for alpha in policy.alphas.values():
        assert (alpha[:, -1] > alpha[:, dear]).all()


def test_a_draw_of_none_everywhere_gives_no_gradient():
    policy, shared = started().policy, shared_of()
    size = next(iter(policy.alphas.values())).shape
    pairs = torch.full((size[0], 2), size[1] - 1)
    idle = {
        kind: type(BinaryGates()(a, shared.wirings[kind], shared.generator))(
            ((),) * size[0], torch.zeros(size).requires_grad_(), drawn=pairs
        )
        for kind, a in policy.alphas.items()
    }
    assert all((gradient == 0).all() for gradient in policy.gate_gradients(shared, idle).values())


# ---------------------------------------------------------------------------------------- REINFORCE


def test_the_baseline_is_the_old_one_and_starts_at_the_first_reward():
    policy, shared = started(variant="reinforce", samples=2, decay=0.9).policy, shared_of()
    rewards = iter([0.2, 0.6, 0.8, 0.8])
    policy.reward = lambda accuracy, chosen: next(rewards)
    policy.learn(shared)
    assert policy.baseline == pytest.approx(0.4)
    seen = []
    shared_log = policy.log_probability
    policy.log_probability = lambda chosen: seen.append(chosen) or shared_log(chosen)
    policy.learn(shared)
    assert policy.baseline == pytest.approx(0.9 * 0.4 + 0.1 * 0.8)
    # The second advantage is 0.8 - 0.4 for both samples, with the baseline from before.
    expected = -0.4 * sum(shared_log(chosen) for chosen in seen) / 2
    for alpha, by_hand in zip(
        policy.alphas.values(), torch.autograd.grad(expected, list(policy.alphas.values())), strict=True
    ):
        # The gradient was taken before the step of alpha, so it agrees up to that small step.
        assert torch.allclose(alpha.grad, by_hand, atol=1e-3)


def test_the_reward_is_that_of_the_formula():
    policy = started(variant="reinforce", cost="params", weight=0.1).policy
    size = {kind: a.shape for kind, a in policy.alphas.items()}
    policy.table = {kind: torch.ones(shape) for kind, shape in size.items()}
    edges = sum(shape[0] for shape in size.values())
    chosen = {kind: torch.zeros(shape[0], dtype=torch.long) for kind, shape in size.items()}
    policy.reference = 2.0 * edges
    assert policy.reward(0.5, chosen) == pytest.approx(0.5 * 2**0.1)
    policy.reference = edges / 2
    assert policy.reward(0.5, chosen) == pytest.approx(0.5 * 0.933, abs=1e-3)  # METHODS, section 22


def test_reinforce_learns_what_is_rewarded():
    policy, shared = started(variant="reinforce", learning_rate=0.1).policy, shared_of()
    shared.accuracy = lambda mixture, batch: float(mixture["normal"].active[0] == (1,))
    for _ in range(60):
        policy.learn(shared)
    assert float(policy.probabilities()["normal"][0, 1].detach()) > 0.8


# ---------------------------------------------------------------------------------------- rounds, latency, options


def test_nothing_is_proposed_before_alpha_moved():
    policy = started(warm_up=2).policy
    assert [policy.ready(done, 5) for done in range(1, 6)] == [False, False, True, True, True]
    assert started(warm_up=9).policy.ready(5, 5)


def test_latency_is_measured_and_draws_nothing():
    state = torch.get_rng_state()
    small, large = OpShape("sep_conv_3x3", 4, 1, 4, 4), OpShape("sep_conv_5x5", 64, 1, 32, 32)
    assert 0 < latency_ms(small) < latency_ms(large)
    assert torch.equal(state, torch.get_rng_state())


def test_the_reference_is_the_first_expected_cost():
    policy, shared = started(cost="macs", spread=0.0).policy, shared_of()
    policy.prepare_costs(shared)
    mean = sum(float(table.mean(-1).sum()) for table in policy.table.values())
    assert policy.reference == pytest.approx(mean, rel=1e-6)
    given = started(cost="macs", reference=5.0).policy
    given.prepare_costs(shared)
    assert given.reference == 5.0


def test_it_proposes_the_likeliest_ops_and_ends():
    sampler = started()
    with torch.no_grad():
        for alpha in sampler.policy.alphas.values():
            alpha[:, OPS.index("dil_conv_3x3")] = 1.0
            alpha[:, -1] = 9.0
    genome = sampler.ask(None).architecture.genome
    assert {value for name, value in genome.items() if ".op." in name} == {"dil_conv_3x3"}
    sampler.policy.end()
    assert sampler.ask(None) is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"variant": "gradients"}, "did you mean 'gradient'"),
        ({"cost": "latency"}, "did you mean 'latency_ms'"),
        ({"every": 0}, "every"),
        ({"warm_up": -1}, "warm_up"),
        ({"weight": -0.1}, "weight"),
        ({"reference": -1.0}, "reference"),
        ({"samples": 0}, "samples"),
        ({"decay": 1.0}, "decay"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"spread": -1.0}, "spread"),
    ],
)
def test_impossible_options_are_named(options, named):
    with pytest.raises(SettingsError, match=named):
        ProxylessNAS(**options)
