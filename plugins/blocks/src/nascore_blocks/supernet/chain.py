"""The supernet of a chain of inverted residual blocks: every candidate of every block, sharing what surrounds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from nascore.errors import SpaceError, nearest
from nascore_blocks.chains import Block, Chain, MBConvNetwork, Residual
from nascore_blocks.layout import arranged, layout, place
from nascore_blocks.mbconv import KIND
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.mix import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.wiring import Row


class BlockShape(NamedTuple):
    """A candidate at its place, and the height and width of its input."""

    op: str
    place: Block
    height: int
    width: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.place.inputs, self.height, self.width

    def build(self) -> nn.Module:
        """The candidate as the final network has it: the residual's sum is part of it."""
        op = self.place.op(self.op)
        return Residual(op) if self.place.residual else op


class SuperBlock(nn.Module):
    """All candidates of one block: m(x) + x where the place has a residual, else m(x); m mixes the candidates."""

    def __init__(self, block: Block, names: Sequence[str]) -> None:
        super().__init__()
        self.block = block
        self.ops = nn.ModuleDict({name: block.op(name) for name in names})

    def forward(self, x: Tensor, active: Sequence[str], weights: Sequence[Tensor] | None) -> Tensor:
        """Run the candidates ``active``; without any, a block with a residual is the identity, another gives zeros.

        Args:
            x: (batch, inputs, height, width).
            active: names of what runs.
            weights: of each, a scalar; None: 1.
        """
        total = x if self.block.residual else None
        for number, name in enumerate(active):
            y: Tensor = self.ops[name](x)
            y = y if weights is None else y * weights[number]
            total = y if total is None else total + y
        if total is None:
            stride = self.block.stride
            batch, _, height, width = x.shape
            return x.new_zeros(batch, self.block.outputs, -(-height // stride), -(-width // stride))
        return total


class ChainSupernet(Supernet):
    """Stem, first block, super blocks, head, pooling, classifier; see :class:`~nascore_blocks.supernet.base.Supernet`.

    The one kind is ``block``. ``fast`` changes nothing: a chain has no arithmetic that its candidates share.
    """

    def __init__(self, chain: Chain, wiring: Row, shape: Sequence[int], classes: int) -> None:
        """
        Args:
            chain: the common part of all networks.
            wiring: candidates of each block.
            shape: of one input: (channels, height, width).
            classes: number of logits.
        """
        super().__init__()
        self.chain, self.wiring, self.shape, self.classes = chain, wiring, tuple(shape), classes
        self.wirings, self.fast = {KIND: wiring}, False
        self.beginning = chain.beginning(shape[0])
        names = [wiring.ops[op] for op in wiring.live]
        self.blocks = nn.ModuleList([SuperBlock(block, names) for block in chain.blocks])
        self.end = chain.end(classes)
        without_running_statistics(self)
        self._form = layout(self, "cpu")
        place(self, next(self.parameters()).device, self._form)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes), of the batch's statistics."""
        paths = mixture[KIND]
        x = self.beginning(arranged(x, self._form) if x.device.type == "cpu" else x)
        for number, block in enumerate(self.blocks):
            active = paths.active[number]
            weights = None if paths.weights is None else [paths.weights[number, op] for op in active]
            x = block(x, [self.wiring.ops[op] for op in active], weights)
        logits: Tensor = self.end(x)
        return logits

    def priced_ops(self) -> Iterator[tuple[str, int, int, BlockShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`; ``none`` costs nothing."""
        sizes = self.chain.sizes(self.shape[1], self.shape[2])
        for number, block in enumerate(self.chain.blocks):
            for op in self.wiring.everything[number]:
                yield KIND, number, op, BlockShape(self.wiring.ops[op], block, *sizes[number])

    def paths(self, structure: Sequence[str]) -> dict[str, Paths]:
        """The mixture in which one architecture runs alone.

        Args:
            structure: of each block, its name or ``none``.

        Raises:
            SpaceError: a block may not have this op.
        """
        active = []
        for number, (name, allowed) in enumerate(zip(structure, self.wiring.allowed, strict=True)):
            names = [self.wiring.ops[op] for op in allowed]
            if name not in names:
                raise SpaceError(f"The supernet has no {name!r} at block {number}; {nearest(name, names)}.")
            active.append(() if name == "none" else (self.wiring.ops.index(name),))
        return {KIND: Paths(tuple(active))}

    def extract(self, structure: Sequence[str]) -> MBConvNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`; ``structure`` as for :meth:`paths`."""
        self.paths(structure)
        network = MBConvNetwork(self.chain, structure, self.shape, self.classes).to(next(self.parameters()))
        with torch.no_grad():
            _copy(self.beginning, network.beginning)
            _copy(self.end, network.end)
            for name, target in network.blocks.items():
                block: SuperBlock = self.blocks[int(name)]  # type: ignore[assignment]  # ModuleList forgets the class
                _copy(block.ops[structure[int(name)]], target.op if isinstance(target, Residual) else target)
        return network


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Weights of ``source``, which has no running statistics, into ``target``, which has."""
    target.load_state_dict(source.state_dict(), strict=False)
