"""Ops: shape contract at both strides, parameters counted by hand, and what each op sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nascore.errors import SpaceError
from nascore_blocks.ops import OPS, FactorisedReduction, make_op

C = 4
BN = 2 * C

# By hand, at C=4: convolution k_h * k_w * C_in * C_out / groups, BN 2C.
PARAMS = {
    "none": 0,
    "skip_connect": 0,
    "max_pool_3x3": 0,
    "max_pool_5x5": 0,
    "max_pool_7x7": 0,
    "avg_pool_3x3": 0,
    "sep_conv_3x3": 2 * (9 * 4 + 16 + BN),
    "sep_conv_5x5": 2 * (25 * 4 + 16 + BN),
    "sep_conv_7x7": 2 * (49 * 4 + 16 + BN),
    "dil_conv_3x3": 9 * 4 + 16 + BN,
    "dil_conv_5x5": 25 * 4 + 16 + BN,
    "conv_1x1": 16 + BN,
    "conv_3x3": 9 * 16 + BN,
    "conv_1x3_3x1": 2 * 3 * 16 + BN,
    "conv_7x1_1x7": 2 * 7 * 16 + BN,
    "conv_1x7_7x1": 2 * 7 * 16 + BN,
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_op_is_counted() -> None:
    assert set(PARAMS) == set(OPS)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("stride", [1, 2])
def test_params(name: str, stride: int) -> None:
    reduction = 2 * C * (C // 2) + BN  # two halves of a 1x1 convolution
    expected = reduction if (name, stride) == ("skip_connect", 2) else PARAMS[name]
    assert count(make_op(name, C, stride)) == expected


@pytest.mark.parametrize("name", OPS)
def test_affine_switches_the_weights_of_bn_off(name: str) -> None:
    bns = sum(isinstance(module, nn.BatchNorm2d) for module in make_op(name, C, 2).modules())
    assert count(make_op(name, C, 2)) - count(make_op(name, C, 2, affine=False)) == bns * BN


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 5), (9, 4), (1, 1), (2, 3)])
def test_shape_is_divided_by_the_stride_and_rounded_up(name: str, stride: int, height: int, width: int) -> None:
    out = make_op(name, C, stride).eval()(torch.randn(2, C, height, width))
    assert out.shape == (2, C, -(-height // stride), -(-width // stride))


def test_sep_conv_of_the_reference_table() -> None:
    """METHODS, section 22, P3."""
    op = make_op("sep_conv_3x3", 16).eval()
    assert count(op) == 864
    with FlopCounterMode(display=False) as counter:
        op(torch.randn(1, 16, 8, 8))
    assert counter.get_total_flops() // 2 == 51_200


def seen(op: nn.Module, size: int = 15) -> tuple[int, int]:
    """Height and width of what the middle output pixel depends on: the extent of its gradient."""
    for module in op.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0)
    x = torch.ones(1, C, size, size, requires_grad=True)
    op.eval()(x)[0, 0, size // 2, size // 2].backward()
    assert x.grad is not None
    rows, columns = x.grad[0].abs().sum(0).nonzero(as_tuple=True)
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


@pytest.mark.parametrize(
    ("name", "extent"),
    [
        ("sep_conv_3x3", 5),  # two 3x3 one after the other
        ("sep_conv_5x5", 9),
        ("sep_conv_7x7", 13),
        ("dil_conv_3x3", 5),  # 3 taps two pixels apart
        ("dil_conv_5x5", 9),
        ("avg_pool_3x3", 3),
        ("conv_1x1", 1),
        ("conv_3x3", 3),
        ("conv_1x3_3x1", 3),
        ("conv_7x1_1x7", 7),
    ],
)
def test_receptive_field(name: str, extent: int) -> None:
    assert seen(make_op(name, C)) == (extent, extent)


@pytest.mark.parametrize(("name", "kernel"), [("max_pool_3x3", 3), ("max_pool_5x5", 5), ("max_pool_7x7", 7)])
def test_max_pool_spreads_one_pixel_over_its_window(name: str, kernel: int) -> None:
    x = torch.zeros(1, C, 15, 15)
    x[:, :, 7, 7] = 1.0
    out = make_op(name, C)(x)
    assert out.sum().item() == C * kernel**2


@pytest.mark.parametrize("stride", [1, 2])
def test_average_pool_leaves_the_padding_out(stride: int) -> None:
    out = make_op("avg_pool_3x3", C, stride)(torch.full((1, C, 5, 5), 3.0))
    assert torch.equal(out, torch.full_like(out, 3.0))


@pytest.mark.parametrize("name", ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"])
def test_only_the_first_half_of_sep_conv_strides(name: str) -> None:
    strides = [module.stride for module in make_op(name, C, 2).modules() if isinstance(module, nn.Conv2d)]
    assert strides == [(2, 2), (1, 1), (1, 1), (1, 1)]


def test_none_stops_even_nan() -> None:
    x = torch.full((1, C, 4, 4), float("nan"))
    assert torch.equal(make_op("none", C, 2)(x), torch.zeros(1, C, 2, 2))


def test_skip_is_the_identity() -> None:
    x = torch.randn(1, C, 4, 4)
    assert make_op("skip_connect", C)(x) is x


def reduced_by_hand(op: FactorisedReduction, x: Tensor) -> Tensor:
    """The even pixels through the first convolution, the odd ones (0 beyond the edge) through the second."""
    x = x.relu()
    even = x[:, :, ::2, ::2]
    odd = torch.zeros_like(even)
    inside = x[:, :, 1::2, 1::2]
    odd[:, :, : inside.shape[2], : inside.shape[3]] = inside
    halves = [
        torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], part) for conv, part in ((op.even, even), (op.odd, odd))
    ]
    scale: float = (1 + op.bn.eps) ** -0.5
    return torch.cat(halves, 1) * scale


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (1, 2)])
def test_factorised_reduction_reads_both_parities(size: tuple[int, int]) -> None:
    op = FactorisedReduction(3, 5).eval()
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(op(x), reduced_by_hand(op, x))


def test_unknown_op_names_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'sep_conv_3x3'"):
        make_op("sepconv3x3", C)
