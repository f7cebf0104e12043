"""The memory layout of images and convolutions: channels-last where it is faster, and safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_Network = TypeVar("_Network", bound=nn.Module)


def layout(network: nn.Module, device: torch.device | str) -> torch.memory_format:
    """The layout to run ``network`` in: channels-last on the CPU, where depthwise networks gain most.

    Not for a network with a strided 1x1 convolution of fewer input channels than oneDNN's block: the
    weight gradient of such a one, channels-last, writes past its work space and corrupts the heap
    (github.com/uxlfoundation/oneDNN/issues/6035; seen with torch 2.14.1 and AVX2).
    """
    if torch.device(device).type != "cpu":
        return torch.contiguous_format
    block = 8 if torch.backends.cpu.get_cpu_capability() == "AVX2" else 16  # 16 with AVX-512; elsewhere to be safe
    unsafe = any(_unsafe(module, block) for module in network.modules())
    return torch.contiguous_format if unsafe else torch.channels_last


def place(network: _Network, device: torch.device | str, form: torch.memory_format) -> _Network:
    """``network`` on ``device``, the weights of its convolutions in the layout ``form``."""
    moved: _Network = network.to(device=device, memory_format=form)  # type: ignore[call-overload]  # not in torch's stubs
    return moved


def arranged(inputs: Tensor, form: torch.memory_format) -> Tensor:
    """Images (batch, channels, height, width) in the layout ``form``; other inputs as they are.

    Images of one channel lie in both layouts at once, and a convolution goes by their strides. So these are set
    too: else a network that :func:`layout` keeps from channels-last would run so all the same.
    """
    if inputs.ndim != 4:
        return inputs
    inputs = inputs.contiguous(memory_format=form)
    _, channels, height, width = inputs.shape
    plain = (channels * height * width, height * width, width, 1)
    if form == torch.contiguous_format and inputs.stride() != plain:
        return torch.empty(inputs.shape, dtype=inputs.dtype, device=inputs.device).copy_(inputs)
    return inputs


def _unsafe(module: nn.Module, block: int) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.kernel_size == (1, 1) and module.stride != (1, 1) and module.weight.shape[1] < block
    # Weights of another module's own may be used in a strided convolution: who knows.
    own = module.parameters(recurse=False)
    return any(p.ndim == 4 and p.shape[2:] == (1, 1) and p.shape[1] < block for p in own)
