"""Generated weights: P1 to P3 and P6 of METHODS section 11."""

import random
import statistics

import pytest
import torch
from scipy.stats import spearmanr

from nascore.records import Candidate
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext
from nascore.testing.toys import TASK, toy_data
from nascore_blocks.data.digits import Digits
from nascore_blocks.evaluators import Train
from nascore_blocks.supernet.calibrate import recalibrate
from nascore_smash.evaluator import HyperWeights
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace
from nascore_smash.table import BankOp

SIZE = {"growth": 8, "layers": (2,)}


def set_up(task=TASK, **options):
    defaults = {
        "blocks": 2, "ops": 3, "banks": 4, "channels": 4, "widths": (1, 2), "kernels": (3, 5), "dilations": (1, 2),
        "groups": (1, 2),
    }  # fmt: skip
    space = BankSpace(**{**defaults, **options})
    space.name = "smash:banks"
    space.setup(task)
    return space


def tables(space, count):
    rng = random.Random(0)
    return [space.structure(space.sample(lambda _, options: rng.choice(options))) for _ in range(count)]


def supernet(space, seed=0):
    with isolated_random(seed):
        return space.supernet(TASK, **SIZE)


def test_generated_weights_fit_the_reads_of_any_architecture():
    """P1; and all weights fit the network, which load_state_dict checks by name and shape."""
    space = set_up()
    shared = supernet(space)
    for table in tables(space, 40):
        made = shared.generate(table)
        ops = [op for block in table for op in block]
        assert [tuple(w.shape) for w in made] == [(4 * op.width, 4 * len(op.reads), 1, 1) for op in ops]
        for op, weight in zip(ops, made, strict=True):
            assert weight.square().mean().item() == pytest.approx(1 / (4 * len(op.reads)), rel=1e-4)
        space.network(table, TASK).load_state_dict(shared.weights(table), strict=False)
        names = {name for name, _ in space.network(table, TASK).named_parameters()}
        assert names == set(shared.weights(table))


def test_the_same_architecture_has_the_same_weights_and_one_bit_changes_them():
    """P2: one read bit of the second op; through the convolution along the ops it changes the first's as well."""
    shared = supernet(set_up())
    first, second = BankOp((0,), (2,)), BankOp((0, 2), (1,))
    table, other = ((first, second), ()), ((first, second._replace(reads=(0, 1))), ())
    for one, again, changed in zip(*map(shared.generate, (table, table, other)), strict=True):
        assert torch.equal(one, again)
        assert not torch.allclose(one, changed, atol=1e-4)


def test_every_property_of_an_op_is_in_its_description():
    shared = supernet(set_up())
    op = BankOp((0,), (2,))
    changes = {"reads": (1,), "writes": (3,), "width": 2, "kernel": 5, "dilation": 2, "groups": 2}
    others = [op._replace(**{name: value}) for name, value in changes.items()]
    codes = [shared.encode(((one,), ())) for one in [op, *others]] + [shared.encode(((), (op,)))]
    assert len({tuple(code.flatten().tolist()) for code in codes}) == len(codes)
    assert codes[0][:8].flatten().tolist() == [1, -1, -1, -1, -1, -1, 1, -1]


def test_generated_weights_are_no_leaves_and_the_hypernetwork_learns_through_them():
    """P3."""
    space = set_up()
    shared = supernet(space)
    table = next(table for table in tables(space, 20) if all(table))
    assert all(weight.grad_fn is not None and not weight.is_leaf for weight in shared.generate(table))
    inputs, labels = toy_data(16).train.tensors
    torch.nn.functional.cross_entropy(shared(inputs, shared.paths(table)), labels).backward()
    for name, parameter in shared.hyper.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_shared_slices_are_those_of_the_banks_and_the_middle_of_the_kernel():
    space = set_up()
    shared = supernet(space)
    weight = shared.weights(((BankOp((0, 1), (3,), 1, 3, 2, 2),), ()))["blocks.0.ops.0.conv.weight"]
    whole = shared.shared.blocks[0].ops[0].conv.weight
    assert torch.equal(weight, whole[12:16, :2, 1:4, 1:4])
    assert weight.untyped_storage().data_ptr() != whole.untyped_storage().data_ptr()
    weight.sum().backward()
    assert whole.grad.sum().item() == weight.numel()  # the gradient arrives at those and no others


def test_what_is_extracted_computes_the_same_and_keeps_the_statistics_of_the_batch():
    space = set_up()
    shared = supernet(space)
    inputs, _ = toy_data(16).train.tensors
    for table in tables(space, 5):
        network = shared.extract(table)
        recalibrate(network, [torch.randn(8, 3, 8, 8)])
        wanted = shared(inputs, shared.paths(table))
        torch.testing.assert_close(network.eval()(inputs), wanted, rtol=0, atol=1e-6)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()  # a copy: the shared weights do not notice
        torch.testing.assert_close(shared(inputs, shared.paths(table)), wanted, rtol=0, atol=0)


def test_a_small_rank_bounds_the_weights_of_all_architectures():
    space = set_up()
    with isolated_random(0):
        small, large = (space.supernet(TASK, growth=8, layers=(2,), rank=rank) for rank in (2, 0))
    for made, most in ((small, 2), (large, None)):
        code = torch.cat([made.encode(table) for table in tables(space, 40) if any(table)], 1)
        rank = torch.linalg.matrix_rank(made.hyper(code).detach().double(), rtol=1e-5).item()
        assert rank == most if most else rank > 8


def test_the_decay_moves_the_shared_weights_and_not_the_hypernetwork():
    space, evaluator = set_up(), HyperWeights(rounds=1, steps=1, batch_size=8, weight_decay=0.5, **SIZE)
    evaluator.setup(space, toy_data().for_search())
    evaluator.prepare(Perturb(), MemoryContext(toy_data()))
    decays = {id(p): group["weight_decay"] for group in evaluator._optimizer.param_groups for p in group["params"]}
    assert {decays.pop(id(p)) for p in evaluator.supernet.hyper.parameters()} == {0.0}
    assert {decays.pop(id(p)) for p in evaluator.supernet.shared.parameters()} == {0.5}
    assert not decays


@pytest.mark.slow
def test_the_score_ranks_as_training_alone_does():
    """P6 on digits; the correlation of more networks is in benchmarks/smash.py."""
    data = Digits().load(0)
    options = {"blocks": 1, "ops": 4, "banks": 6, "widths": (1, 2, 4), "dilations": (1,)}
    space = set_up(data.task, **options)
    evaluator, alone = HyperWeights(rounds=12, learning_rate=0.01, **SIZE), Train(epochs=2, save_weights=False)
    for one in (evaluator, alone):
        one.setup(space, data.for_search())
    for number in range(12):
        with isolated_random(number):
            evaluator.prepare(Perturb(), MemoryContext(data, number=number, seed=number))
    rng = random.Random(1)
    scores, truths = [], []
    for _ in range(12):
        candidate = Candidate(space.sample(lambda _, options: rng.choice(options)))
        scores.append(evaluator.evaluate(candidate, MemoryContext(data)).objectives["loss"])
        with isolated_random(1):
            truths.append(alone.evaluate(candidate, MemoryContext(data)).objectives["loss"])
    assert statistics.fmean(scores) < 1.8  # chance: ln 10 = 2.3
    assert spearmanr(scores, truths).statistic > 0
