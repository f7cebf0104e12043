"""The arithmetic of the fast path: the same results as the plain modules, with less work and memory.

Images are (batch, channels, height, width), channels-last in memory; ``rows`` views them as
(batch * height * width, channels) matrices. Every function here is differentiable once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LAST = torch.channels_last


def rows(x: Tensor) -> Tensor:
    """(batch, channels, height, width), channels-last -> (batch * height * width, channels), a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images(matrix: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`rows`; batch, height and width are those of ``like``."""
    batch, _, height, width = like.shape
    return matrix.view(batch, height, width, -1).permute(0, 3, 1, 2)


def subsampled(x: Tensor, offset: int = 0) -> Tensor:
    """Every second pixel from ``offset`` on (zeros beyond the edge): a 1x1 convolution's stride 2, done apart.

    The gradient of the strided convolution itself would damage memory (see :mod:`nascore_blocks.layout`).
    """
    if offset:
        x = F.pad(x, (-offset, offset, -offset, offset))
    return x[:, :, ::2, ::2].contiguous(memory_format=LAST)


def to_batch(x: Tensor) -> Tensor:
    """Space to batch: (batch, c, 2 h, 2 w) -> (4 batch, c, h, w); a dilation of 2 becomes one of 1."""
    batch, channels, height, width = x.shape
    cut = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    return cut.permute(2, 4, 0, 1, 3, 5).reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)


def to_space(x: Tensor) -> Tensor:
    """The inverse of :func:`to_batch`."""
    batch, channels, height, width = x.shape
    cut = x.permute(0, 2, 3, 1).reshape(2, 2, batch // 4, height, width, channels)
    return cut.permute(2, 3, 0, 4, 1, 5).reshape(batch // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


# ------------------------------------------------------------------------------------ depthwise


def depthwise(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Depthwise convolution with padding kernel // 2 and no dilation.

    Args:
        x: (batch, channels, height, width).
        weight: (channels, 1, kernel, kernel), kernel odd.
        stride: 1 or 2.
    """
    out: Tensor = _Depthwise.apply(x, weight, stride)
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return torch.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=LAST)
        of_x = _of_input(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        of_weight = _of_weight(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, None


def _of_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    around = weight.shape[-1] // 2
    if stride == 1:
        # A forward convolution with the flipped kernel: oneDNN's own data gradient is slower.
        return torch.conv2d(gradient, weight.flip(2, 3), None, 1, around, 1, weight.shape[0])
    return _convolution_backward(gradient, x, weight, stride, around, (True, False))[0]


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient of a depthwise kernel, by ways around two slow ones of oneDNN (measured with AVX2).

    Of a 5x5 kernel on a large map it takes some 15 times that of a 3x3 one, so the taps are put
    together from 3x3 windows; and padding that reaches beyond the middle of a small map takes ten
    times what padding by hand does.
    """
    kernel = weight.shape[-1]
    around = kernel // 2
    large = x.numel() > _LARGE and kernel > 3 and stride == 1
    if not large and min(x.shape[2:]) > 2 * around:
        return _convolution_backward(gradient, x, weight, stride, around, (False, True))[1]
    padded = F.pad(x, (around, around, around, around))
    if not large:
        return _convolution_backward(gradient, padded, weight, stride, 0, (False, True))[1]
    height, width = gradient.shape[2:]
    out = torch.empty_like(weight)
    window = weight[:, :, :3, :3].contiguous()
    for top in range(0, kernel - 2, 2):
        for left in range(0, kernel - 2, 2):
            part = padded[:, :, top : top + height + 2, left : left + width + 2].contiguous(memory_format=LAST)
            taps = _convolution_backward(gradient, part, window, 1, 0, (False, True))[1]
            out[:, :, top : top + 3, left : left + 3] = taps
    return out


_LARGE = 1 << 17
"""Elements of a map from which on four small convolutions are faster than one of 5x5."""


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, needed: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of input and weight; what is not needed is no tensor."""
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], x.shape[1], [*needed, False]
    )
    return found[0], found[1]


# ----------------------------------------------------------------------- pointwise, BN, mixing


def normalised_sum(inputs: list[Tensor], matrices: Tensor, weights: Tensor | None, eps: float = 1e-5) -> Tensor:
    """Sum over k of w_k BN(M_k d_k), without the products or the normalised maps ever being stored.

    With the batch mean m and covariance S of a map d, the batch norm of M d is diag(s) M (d - m),
    s = (diag(M S M^T) + eps)^(-1/2). So one matrix holds the pointwise convolution, the norm and the
    mixing weight, and S costs one product of the size of the convolution's.

    Args:
        inputs: K maps d_k (batch, c, height, width), all of one shape.
        matrices: M_k, (K, outputs, c).
        weights: w_k, (K,); None: 1.
        eps: of the batch norm.

    Returns:
        (batch, outputs, height, width).
    """
    if weights is None:
        weights = matrices.new_ones(len(inputs))
    out: Tensor = _Normalised.apply(False, eps, weights, matrices, *inputs)
    return out


def normalised_relus(inputs: list[Tensor], matrices: Tensor, eps: float = 1e-5) -> tuple[Tensor, ...]:
    """ReLU(BN(M_k d_k)) for each k; arguments as for :func:`normalised_sum`, done alike."""
    weights = matrices.new_ones(len(inputs))
    out: tuple[Tensor, ...] = _Normalised.apply(True, eps, weights, matrices, *inputs)
    return out


class _Normalised(torch.autograd.Function):
    """K maps to their sum, or each to its own ReLU."""

    @staticmethod
    def forward(
        ctx: Any, apart: bool, eps: float, weights: Tensor, matrices: Tensor, *inputs: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        maps = [rows(x) for x in inputs]
        means = torch.stack([x.mean(0) for x in maps])
        covariances = torch.stack([x.t() @ x for x in maps]).div_(maps[0].shape[0])
        covariances.baddbmm_(means[:, :, None], means[:, None, :], alpha=-1)
        through = matrices @ covariances
        scales = (through * matrices).sum(-1).clamp_min_(0).add_(eps).rsqrt_()
        folded = (weights[:, None] * scales)[..., None] * matrices
        bias = (folded @ means[..., None]).squeeze(-1).neg_()
        ctx.apart, ctx.count = apart, len(maps)
        saved = [weights, matrices, means, through, scales, folded, *inputs]
        if apart:
            outputs = [torch.addmm(b, x, m.t()).relu_() for b, x, m in zip(bias, maps, folded, strict=True)]
            found = tuple(images(y, inputs[0]) for y in outputs)
            ctx.save_for_backward(*saved, *found)
            return found
        out = torch.addmm(bias.sum(0), maps[0], folded[0].t())
        for x, matrix in zip(maps[1:], folded[1:], strict=True):
            out.addmm_(x, matrix.t())
        ctx.save_for_backward(*saved)
        return images(out, inputs[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, matrices, means, through, scales, folded, *rest = ctx.saved_tensors
        maps = [rows(x) for x in rest[: ctx.count]]
        given = [gradient.contiguous(memory_format=LAST) for gradient in gradients]
        if ctx.apart:
            pairs = zip(given, rest[ctx.count :], strict=True)
            given = [torch.ops.aten.threshold_backward(gradient, y, 0) for gradient, y in pairs]
        else:
            given *= ctx.count
        flat = [rows(gradient) for gradient in given]
        total = torch.stack([g.sum(0) for g in flat]) if ctx.apart else flat[0].sum(0).expand(ctx.count, -1)
        # The gradient of the folded matrices, g^T (d - m), and from it those of what they are made of.
        of_folded = torch.stack([g.t() @ x for g, x in zip(flat, maps, strict=True)])
        of_folded.baddbmm_(total[..., None], means[:, None, :], alpha=-1)
        along = (of_folded * matrices).sum(-1)
        of_variances = scales.pow(3).mul_(weights[:, None]).mul_(along).mul_(-0.5)
        of_weights = (scales * along).sum(-1) if ctx.needs_input_grad[2] else None
        of_matrices = None
        if ctx.needs_input_grad[3]:
            of_matrices = of_folded.mul_((weights[:, None] * scales)[..., None])
            of_matrices.add_(of_variances[..., None] * through, alpha=2)
        # A map acts directly, by its mean, and by its covariance.
        pull = (matrices.mT @ (of_variances[..., None] * matrices)).mul_(2 / maps[0].shape[0])
        shift = (folded.mT @ total[..., None]).div_(-maps[0].shape[0]).sub_(pull @ means[..., None]).squeeze(-1)
        of_inputs: list[Tensor | None] = [None] * ctx.count
        for k, needed in enumerate(ctx.needs_input_grad[4:]):
            if needed:
                found = torch.addmm(shift[k], flat[k], folded[k]).addmm_(maps[k], pull[k])
                of_inputs[k] = images(found, given[k])
        return None, None, of_weights, of_matrices, *of_inputs


def weighted_sum(inputs: list[Tensor], weights: Tensor | None) -> Tensor:
    """Sum over k of w_k x_k.

    Args:
        inputs: K tensors (batch, channels, height, width), all of one shape.
        weights: (K,); None: 1.
    """
    if weights is None:
        out = inputs[0]
        for x in inputs[1:]:
            out = out + x
        return out
    result: Tensor = _WeightedSum.apply(weights, *inputs)
    return result


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *inputs: Tensor) -> Tensor:
        ctx.factors = weights.tolist()
        ctx.save_for_backward(*(inputs if weights.requires_grad else ()))
        out: Tensor = inputs[0] * ctx.factors[0]
        for x, factor in zip(inputs[1:], ctx.factors[1:], strict=True):
            out.add_(x, alpha=factor)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_weights = None
        if ctx.needs_input_grad[0]:
            flat = rows(gradient).reshape(-1)
            of_weights = torch.stack([torch.dot(flat, rows(x).reshape(-1)) for x in ctx.saved_tensors])
        needs = ctx.needs_input_grad[1:]
        return of_weights, *(gradient * f if need else None for f, need in zip(ctx.factors, needs, strict=True))
