"""Memory banks: what is built, and that it computes what was meant. P4 and P5 of METHODS section 11."""

import importlib.util
import random

import pytest
import torch

from nascore.contracts import Task
from nascore.export import export_python
from nascore_smash.network import BankBlock, BankNetwork
from nascore_smash.space import BankSpace
from nascore_smash.table import BankOp, canonical, live

C = 4
DIGITS = Task("digits", (1, 8, 8), 10)


def set_up(**options):
    defaults = {
        "blocks": 2,
        "ops": 3,
        "banks": 4,
        "channels": C,
        "widths": (1, 2),
        "kernels": (1, 3, 5),
        "groups": (1, 2),
    }
    space = BankSpace(**{**defaults, **options})
    space.name = "smash:banks"
    space.setup(DIGITS)
    return space


def drawn(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


def by_hand(module, x):
    """BN, ReLU, 1x1, BN, ReLU, k x k, from the weights alone."""
    F = torch.nn.functional  # noqa: N806 - the field's name for it
    for norm, conv in ((module.read_norm, module.mix), (module.norm, module.conv)):
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        x = (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        x = F.conv2d(F.relu(x), conv.weight, padding=conv.padding, dilation=conv.dilation, groups=conv.groups)
    return x


def scramble(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double()


def test_a_residual_table_is_a_residual_network():
    """P4: read and write the same banks."""
    torch.manual_seed(0)
    block = tuple(BankOp((0, 1), (0, 1), 2, kernel, dilation, groups) for kernel, dilation, groups in
                  ((3, 1, 1), (5, 1, 2), (3, 2, 4)))  # fmt: skip
    module = scramble(BankBlock(block, C, 2))
    x = direct = torch.randn(5, 2 * C, 8, 8, dtype=torch.float64)
    for op in module.ops:
        direct = direct + by_hand(op, direct)
    torch.testing.assert_close(module(x), direct, rtol=0, atol=1e-6)


def test_a_dense_table_is_a_dense_network():
    """P4: read all, write a new bank."""
    torch.manual_seed(0)
    block = tuple(BankOp(tuple(range(2 + i)), (2 + i,)) for i in range(3))
    module = scramble(BankBlock(block, C, 2))
    x = direct = torch.randn(5, 2 * C, 8, 8, dtype=torch.float64)
    for op in module.ops:
        direct = torch.cat([direct, by_hand(op, direct)], 1)
    torch.testing.assert_close(module(x), direct, rtol=0, atol=1e-6)


def test_the_first_write_sets_and_later_ones_add():
    """P5, on banks of which each op's output is known."""
    module = scramble(BankBlock((BankOp((0,), (1, 2)), BankOp((0,), (2, 3))), C, 1))
    x = torch.randn(5, C, 8, 8, dtype=torch.float64)
    first, second = (by_hand(op, x) for op in module.ops)
    out = module(x)
    for bank, wanted in enumerate([x, first[:, :C], first[:, C:] + second[:, :C], second[:, C:]]):
        torch.testing.assert_close(out[:, bank * C : (bank + 1) * C], wanted, rtol=0, atol=1e-6)


def test_what_has_no_effect_is_not_built():
    ops = [BankOp((2,), (3,)), BankOp((0, 3), ()), BankOp((0, 2), (3,), kernel=1, dilation=2), BankOp((3,), (1,))]
    assert live(ops, 1) == (BankOp((0,), (3,), kernel=1, dilation=1), BankOp((3,), (1,)))


def test_names_of_banks_do_not_matter_and_kinds_of_banks_do():
    rng = random.Random(0)
    for _ in range(50):
        ops = [
            BankOp(*(tuple(sorted(rng.sample(range(6), rng.randint(0, 4)))) for _ in range(2)), rng.choice((1, 2)))
            for _ in range(4)
        ]
        order = [*rng.sample(range(2), 2), *rng.sample(range(2, 6), 4)]
        other = [
            op._replace(reads=tuple(order[bank] for bank in op.reads), writes=tuple(order[bank] for bank in op.writes))
            for op in ops
        ]
        one = canonical(ops, 6, 2)
        assert canonical(other, 6, 2) == one
        assert canonical(one, 6, 2) == one
    # An input bank and an empty one are different: the second may not be read.
    assert canonical([BankOp((0,), (1,))], 3, 1) != canonical([BankOp((0,), (0,))], 3, 1)


def test_equal_keys_are_networks_of_equal_size_and_another_read_is_another_key():
    space = set_up(blocks=1)
    answers = dict(drawn(space, 3).genome)
    answers |= {f"block0.op0.{kind}{bank}": False for kind in ("read", "write") for bank in range(4)}

    def made(**changed):
        given = answers | {f"block0.op0.{name}": value for name, value in changed.items()}
        return space.sample(lambda name, _: given[name])

    written = {"read0": True, "write2": True}
    keys = [made(**w).key for w in (written, {**written, "read3": True}, {**written, "read1": True}, {"read0": True})]
    assert keys[0] == keys[1]  # bank 3 holds nothing
    assert len(set(keys)) == 3


@pytest.mark.parametrize("seed", range(3))
def test_a_network_is_exported_as_readable_python_that_computes_the_same(tmp_path, seed):
    space = set_up()
    architecture = drawn(space, seed)
    torch.manual_seed(seed)
    network = space.build(architecture, DIGITS).eval()
    path, _ = export_python(network, tmp_path / "net.py", task=DIGITS, architecture=architecture)
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs = torch.randn(3, *DIGITS.shape)
    with torch.no_grad():
        torch.testing.assert_close(module.load()(inputs), network(inputs), rtol=1e-6, atol=1e-6)


def test_a_network_without_any_op_classifies_its_stem():
    network = BankNetwork(((), ()), (1, 8, 8), 10, C, 2)
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    assert sum(p.numel() for p in network.parameters()) == 9 * 8 + (16 + 8 * 8) + 16 + 8 * 10 + 10
