"""The operations of the cell spaces, as DARTS defines them (Liu et al. 2019, arXiv:1806.09055).

NASNet, AmoebaNet, PNAS, DARTS and NAS-Bench-201 use subsets of this one table. Every op maps
``(batch, channels, height, width)`` to ``(batch, channels, ceil(height / stride), ceil(width / stride))``
for any height and width, so that the outputs of any two ops can be added.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    Op = Callable[[int, int, bool], nn.Module]


class Zero(nn.Module):
    """The op ``none``: zeros of the right shape. Not a product with 0, which would keep NaN alive."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same, height and width divided by the stride."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class FactorisedReduction(nn.Module):
    """Halve height and width: ReLU, two parallel 1x1 convolutions of stride 2, concatenation, BN.

    The second convolution reads the input moved one pixel down and right, so that together they
    see pixels of both parities. The input is padded there, which lets odd sizes through; on even
    sizes the padding is never read.
    """

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        """
        Args:
            inputs: channels that come in.
            outputs: channels that go out, at least 2; where odd, the second half is the larger one.
            affine: give the BN a weight and a bias.
        """
        super().__init__()
        self.relu = nn.ReLU()
        self.shift = nn.ConstantPad2d((-1, 1, -1, 1), 0.0)
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, ceil(height / 2), ceil(width / 2))."""
        x = self.relu(x)
        y: Tensor = self.bn(torch.cat([self.even(x), self.odd(self.shift(x))], dim=1))
        return y


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """ReLU, convolution without bias, BN; an odd ``kernel`` keeps height and width at stride 1."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, affine=affine),
    )


def _none(channels: int, stride: int, affine: bool) -> nn.Module:
    return Zero(stride)


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels, affine)


def _max_pool(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.MaxPool2d(kernel, stride, kernel // 2)


def _avg_pool(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)


def _conv(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return relu_conv_bn(channels, channels, kernel, stride, affine)


def _depthwise(kernel: int, dilation: int, channels: int, stride: int, affine: bool) -> list[nn.Module]:
    """ReLU, depthwise kernel x kernel, pointwise, BN."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def _sep_conv(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    # Twice, and only the first half strides.
    first = _depthwise(kernel, 1, channels, stride, affine)
    return nn.Sequential(*first, *_depthwise(kernel, 1, channels, 1, affine))


def _dil_conv(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Sequential(*_depthwise(kernel, 2, channels, stride, affine))


def _factorised_conv(kernel: int, channels: int, stride: int, affine: bool) -> nn.Module:
    """ReLU, 1 x kernel, kernel x 1, BN; each convolution strides along its own direction."""
    half = kernel // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, half), bias=False),
        nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (half, 0), bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


OPS: dict[str, Op] = {
    "none": _none,
    "skip_connect": _skip,
    "max_pool_3x3": partial(_max_pool, 3),
    "max_pool_5x5": partial(_max_pool, 5),
    "max_pool_7x7": partial(_max_pool, 7),
    "avg_pool_3x3": partial(_avg_pool, 3),
    "sep_conv_3x3": partial(_sep_conv, 3),
    "sep_conv_5x5": partial(_sep_conv, 5),
    "sep_conv_7x7": partial(_sep_conv, 7),
    "dil_conv_3x3": partial(_dil_conv, 3),
    "dil_conv_5x5": partial(_dil_conv, 5),
    "conv_1x1": partial(_conv, 1),
    "conv_3x3": partial(_conv, 3),
    "conv_1x3_3x1": partial(_factorised_conv, 3),
    # The published genotypes call it 7x1_1x7, though the 1x7 convolution comes first.
    "conv_7x1_1x7": partial(_factorised_conv, 7),
}
"""Name -> ``make(channels, stride, affine)``; ``stride`` is 1 or 2, ``affine`` is for the BNs."""
OPS["conv_1x7_7x1"] = OPS["conv_7x1_1x7"]


def make_op(name: str, channels: int, stride: int = 1, affine: bool = True) -> nn.Module:
    """Make the op called ``name``.

    Args:
        name: a key of :data:`OPS`.
        channels: that come in and go out.
        stride: 1, or 2 to halve height and width (rounded up).
        affine: give the BNs a weight and a bias.

    Raises:
        SpaceError: no op has this name.
    """
    if name not in OPS:
        raise SpaceError(f"There is no op {name!r}; {nearest(name, OPS)}.")
    op = OPS[name](channels, stride, affine)
    op.label = name  # type: ignore[assignment]  # pictures name the op by it
    return op


def make_search_op(name: str, channels: int, stride: int = 1, affine: bool = False) -> nn.Module:
    """Make an op as a supernet has it: its BNs have no weight or bias, and one follows a pooling.

    So the outputs of all ops of an edge have one scale, and none can grow to outshout the others
    (so in the public code of DARTS, Liu et al. 2019).

    Args:
        name: a key of :data:`OPS`.
        channels: that come in and go out.
        stride: 1, or 2 to halve height and width (rounded up).
        affine: give the BNs a weight and a bias after all.

    Raises:
        SpaceError: no op has this name.
    """
    op = make_op(name, channels, stride, affine)
    return nn.Sequential(op, nn.BatchNorm2d(channels, affine=affine)) if "_pool_" in name else op
