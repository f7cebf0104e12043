"""Networks of memory banks: Brock et al. 2017, section 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_smash.table import filled_banks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_smash.table import BankOp, Block, Table


class BankOpModule(nn.Module):
    """BN, ReLU, 1x1 convolution (of generated weights while searching), BN, ReLU, k x k convolution."""

    def __init__(self, op: BankOp, channels: int) -> None:
        """
        Args:
            op: what to do.
            channels: of a bank; a multiple of the op's groups.
        """
        super().__init__()
        inputs, units, outputs = (n * channels for n in (len(op.reads), op.width, len(op.writes)))
        padding = op.dilation * (op.kernel // 2)
        self.read_norm = nn.BatchNorm2d(inputs)
        self.mix = nn.Conv2d(inputs, units, 1, bias=False)
        self.norm = nn.BatchNorm2d(units)
        self.conv = nn.Conv2d(
            units, outputs, op.kernel, padding=padding, dilation=op.dilation, groups=op.groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, reads * channels, height, width) -> (batch, writes * channels, height, width)."""
        y: Tensor = self.conv(torch.relu(self.norm(self.mix(torch.relu(self.read_norm(x))))))
        return y


class BankBlock(nn.Module):
    """The ops of one block on its banks; gives all banks that hold something, concatenated."""

    def __init__(self, block: Block, channels: int, inputs: int) -> None:
        """
        Args:
            block: its ops, live: each reads banks that hold something, and writes at least one.
            channels: of a bank.
            inputs: banks that hold the block's input.
        """
        super().__init__()
        self.block, self.channels, self.inputs = block, channels, inputs
        self.filled = filled_banks(block, inputs)
        self.ops = nn.ModuleList(BankOpModule(op, channels) for op in block)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs * channels, height, width) -> (batch, filled banks * channels, height, width)."""
        banks = dict(enumerate(torch.split(x, self.channels, 1) if self.inputs > 1 else (x,)))
        for op, module in zip(self.block, self.ops, strict=True):
            output = module(join([banks[bank] for bank in op.reads]))
            parts = torch.split(output, self.channels, 1) if len(op.writes) > 1 else (output,)
            for number, bank in enumerate(op.writes):  # the first write sets a bank, later ones add
                banks[bank] = banks[bank] + parts[number] if bank in banks else parts[number]
        return join([banks[bank] for bank in self.filled])


class BankNetwork(nn.Module):
    """Stem, blocks with a transition that halves the map between two, BN, ReLU, global pooling, classifier."""

    def __init__(self, table: Table, shape: Sequence[int], classes: int, channels: int, inputs: int) -> None:
        """
        Args:
            table: the blocks, at least one, each live.
            shape: of one input, (channels, height, width).
            classes: number of logits.
            channels: of a bank.
            inputs: banks that hold the input of a block.

        Raises:
            SpaceError: the inputs are no images, or too small for so many blocks.
        """
        super().__init__()
        check_shape(shape, len(table))
        self.stem = nn.Conv2d(shape[0], inputs * channels, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(BankBlock(block, channels, inputs) for block in table)
        widths = [len(filled_banks(block, inputs)) * channels for block in table]
        self.transitions = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), nn.Conv2d(w, inputs * channels, 1, bias=False), nn.AvgPool2d(2))
            for w in widths[:-1]
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        x = self.stem(x)
        for number, block in enumerate(self.blocks):
            if number:
                x = self.transitions[number - 1](x)
            x = block(x)
        logits: Tensor = self.classifier(self.flatten(self.pool(torch.relu(self.norm(x)))))
        return logits


def join(parts: list[Tensor]) -> Tensor:
    """Banks side by side: (batch, channels, height, width) each -> (batch, all channels, height, width)."""
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def check_shape(shape: Sequence[int], blocks: int) -> None:
    """Refuse what is no image, and maps that vanish.

    Raises:
        SpaceError: says what is needed.
    """
    if len(shape) != 3:
        raise SpaceError(f"A memory-bank network reads images (channels, height, width); got {tuple(shape)}.")
    least = 2 ** (blocks - 1)
    if min(shape[1:]) < least:
        raise SpaceError(
            f"The images have {shape[1]} x {shape[2]} pixels; {blocks} blocks, which halve them {blocks - 1} times, "
            f"need at least {least} x {least}. Set space.blocks lower."
        )
