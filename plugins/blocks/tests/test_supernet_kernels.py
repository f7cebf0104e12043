"""The fast arithmetic against the plain one, in float64: outputs and every gradient."""

import pytest
import torch
import torch.nn.functional as F

from nascore_blocks.supernet import kernels
from nascore_blocks.supernet.kernels import LAST, depthwise, normalised_relus, normalised_sum, weighted_sum


def leaf(*shape, seed=0):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    made = made.contiguous(memory_format=LAST) if len(shape) == 4 else made
    return made.requires_grad_()


def same_gradients(first, second, leaves):
    torch.manual_seed(0)
    pull = torch.randn_like(first)
    sides = [torch.autograd.grad((y * pull).sum(), leaves) for y in (first, second)]
    torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-10)
    for one, other in zip(*sides, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(8, 8), (9, 6), (2, 2), (1, 3)])
def test_depthwise(monkeypatch, size, kernel, stride, large):
    monkeypatch.setattr(kernels, "_LARGE", 0 if large else 1 << 40)
    x, weight = leaf(3, 4, *size), leaf(4, 1, kernel, kernel, seed=1)
    same_gradients(depthwise(x, weight, stride), F.conv2d(x, weight, None, stride, kernel // 2, 1, 4), [x, weight])


@pytest.mark.parametrize(("height", "width"), [(8, 6), (4, 4), (2, 2)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_dilation_is_gone_in_space_to_batch_form(kernel, height, width):
    x, weight = leaf(3, 4, height, width), leaf(4, 1, kernel, kernel, seed=1)
    ours = kernels.to_space(depthwise(kernels.to_batch(x), weight))
    same_gradients(ours, F.conv2d(x, weight, None, 1, kernel - 1, 2, 4), [x, weight])


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_a_strided_dilated_convolution_reads_every_second_pixel(size):
    x, weight = leaf(3, 4, *size), leaf(4, 1, 3, 3, seed=1)
    ours = depthwise(kernels.subsampled(x), weight)
    same_gradients(ours, F.conv2d(x, weight, None, 2, 2, 2, 4), [x, weight])


def reference(maps, matrices, weights):
    parts = []
    for k, x in enumerate(maps):
        y = F.batch_norm(F.conv2d(x, matrices[k][:, :, None, None]), None, None, training=True)
        parts.append(y if weights is None else y * weights[k])
    return parts


@pytest.mark.parametrize("weighted", [True, False])
def test_a_sum_of_pointwise_convolutions_and_norms(weighted):
    maps = [leaf(3, 4, 5, 6, seed=k) for k in range(3)]
    matrices, weights = leaf(3, 6, 4, seed=9), leaf(3, seed=8) if weighted else None
    leaves = [*maps, matrices, *([weights] if weighted else [])]
    same_gradients(normalised_sum(maps, matrices, weights), sum(reference(maps, matrices, weights)), leaves)


def test_relus_of_pointwise_convolutions_and_norms():
    maps, matrices = [leaf(3, 4, 5, 6, seed=k) for k in range(3)], leaf(3, 6, 4, seed=9)
    ours = torch.stack(normalised_relus(maps, matrices))
    theirs = torch.stack([torch.relu(y) for y in reference(maps, matrices, None)])
    same_gradients(ours, theirs, [*maps, matrices])


def test_a_constant_map_is_normalised_to_zero():
    x = torch.full((2, 4, 3, 3), 7.0).contiguous(memory_format=LAST)
    out = normalised_sum([x], torch.randn(1, 5, 4), None)
    assert torch.isfinite(out).all()
    assert out.abs().max() < 0.1


def test_an_expanded_gradient_is_read_right():
    # Mean pooling hands one over; torch's own channels-last kernels have misread such.
    maps, matrices, weights = [leaf(2, 3, 4, 4)], leaf(1, 3, 3, seed=1), leaf(1, seed=2)
    ours, theirs = normalised_sum(maps, matrices, weights), sum(reference(maps, matrices, weights))
    for one, other in zip(
        torch.autograd.grad(ours.mean((2, 3)).square().sum(), [*maps, matrices, weights]),
        torch.autograd.grad(theirs.mean((2, 3)).square().sum(), [*maps, matrices, weights]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weighted", [True, False])
def test_weighted_sum(weighted):
    maps = [leaf(2, 3, 4, 4, seed=k) for k in range(3)]
    weights = leaf(3, seed=5) if weighted else None
    expected = sum(x if weights is None else x * weights[k] for k, x in enumerate(maps))
    same_gradients(weighted_sum(maps, weights), expected, [*maps, *([weights] if weighted else [])])


@pytest.mark.parametrize("index", [0, 1])
def test_no_gradient_is_computed_that_is_not_needed(index):
    leaves = [leaf(2, 3, 4, 4), leaf(3, 1, 3, 3, seed=1)]
    leaves[1 - index] = leaves[1 - index].detach()
    depthwise(*leaves).sum().backward()
    assert leaves[index].grad is not None
    assert leaves[1 - index].grad is None


def test_second_derivatives_are_refused():
    x, weight = leaf(2, 3, 4, 4), leaf(3, 1, 3, 3, seed=1)
    found = torch.autograd.grad(depthwise(x, weight).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="differentiate twice"):
        found.sum().backward()
