"""The parts of a chain of inverted residual blocks, and the network of one (Cai et al. 2019, arXiv:1812.00332).

The block is that of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from nascore.errors import SpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence


class MBConv(nn.Module):
    """An inverted residual block without its residual.

    1x1 convolution to ``expansion`` times the channels, BN, ReLU6 (left out at expansion 1); depthwise
    convolution, BN, ReLU6; 1x1 convolution, BN.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, expansion: int, stride: int = 1) -> None:
        """
        Args:
            inputs: channels that come in.
            outputs: channels that go out.
            kernel: of the depthwise convolution, odd.
            expansion: the middle has this many times ``inputs`` channels, >= 1.
            stride: of the depthwise convolution.
        """
        super().__init__()
        middle = inputs * expansion
        self.layers = nn.Sequential(
            *(_conv_bn_relu6(inputs, middle, 1) if expansion > 1 else ()),
            *_conv_bn_relu6(middle, middle, kernel, stride, groups=middle),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) -> (batch, outputs, ceil(height / stride), ceil(width / stride))."""
        y: Tensor = self.layers(x)
        return y


class Residual(nn.Module):
    """An op whose input is added to its output."""

    def __init__(self, op: nn.Module) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same."""
        y: Tensor = x + self.op(x)
        return y


def _conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU6()]


class Block(NamedTuple):
    """The place of one block in a chain: channels in and out, and stride."""

    inputs: int
    outputs: int
    stride: int

    @property
    def residual(self) -> bool:
        """Its input is added to its output, so it may be skipped."""
        return self.stride == 1 and self.inputs == self.outputs

    def op(self, name: str) -> MBConv:
        """The block called ``name`` (such as ``3x3_e6``) at this place, without residual."""
        kernel, expansion = name.split("_e")
        return MBConv(self.inputs, self.outputs, int(kernel.split("x")[0]), int(expansion), self.stride)


@dataclass(frozen=True)
class Chain:
    """What all networks of a space have in common.

    Attributes:
        stem: channels after the first convolution.
        stem_stride: of it.
        first: channels after the separable block that follows.
        blocks: the places that are decided.
        head: channels of a last 1x1 convolution; 0: there is none.
    """

    stem: int
    stem_stride: int
    first: int
    blocks: tuple[Block, ...]
    head: int

    def beginning(self, channels: int) -> nn.Sequential:
        """Stem and first block, for images of ``channels`` channels."""
        stem = _conv_bn_relu6(channels, self.stem, 3, self.stem_stride)
        first = MBConv(self.stem, self.first, 3, 1)
        return nn.Sequential(*stem, Residual(first) if self.stem == self.first else first)

    def end(self, classes: int) -> nn.Sequential:
        """Head, global pooling, classifier."""
        last = self.blocks[-1].outputs
        head = _conv_bn_relu6(last, self.head, 1) if self.head else []
        return nn.Sequential(*head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.head or last, classes))

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of the input of each block, and of the last output, for an image."""
        found = [(divided(height, self.stem_stride), divided(width, self.stem_stride))]
        for block in self.blocks:
            found.append((divided(found[-1][0], block.stride), divided(found[-1][1], block.stride)))
        return found


class MBConvNetwork(nn.Module):
    """One chain. A skipped block is not built."""

    def __init__(self, chain: Chain, ops: Sequence[str], shape: Sequence[int], classes: int) -> None:
        """
        Args:
            chain: the common part.
            ops: of each block, its name or ``none``.
            shape: of one input: (channels, height, width).
            classes: number of logits.

        Raises:
            SpaceError: the inputs are no images, or a block that changes size or width is skipped.
        """
        super().__init__()
        if len(shape) != 3:
            raise SpaceError(f"A chain reads images of shape (channels, height, width); got {tuple(shape)}.")
        self.beginning = chain.beginning(shape[0])
        self.blocks = nn.ModuleDict()
        for number, (block, op) in enumerate(zip(chain.blocks, ops, strict=True)):
            if op == "none" and not block.residual:
                raise SpaceError(f"Block {number} cannot be skipped: it changes height and width, or channels.")
            if op != "none":
                module = block.op(op)
                self.blocks[str(number)] = Residual(module) if block.residual else module
        self.end = chain.end(classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        x = self.beginning(x)
        for block in self.blocks.values():
            x = block(x)
        logits: Tensor = self.end(x)
        return logits


def divided(size: int, stride: int) -> int:
    """What is left of ``size`` pixels after a layer of this stride."""
    return -(-size // stride)
