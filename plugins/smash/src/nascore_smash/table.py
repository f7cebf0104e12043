"""The memory-bank view of a network (Brock et al. 2017, section 3.2): banks, and ops that read and write them.

A bank is a group of channels. An op reads some banks and adds its output to some; a block is a row of ops
on its own banks. A residual network reads and writes the same bank; a dense one writes a new bank each time.
No torch here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class BankOp(NamedTuple):
    """One op: what it reads, what it writes, and the convolution between.

    Attributes:
        reads: banks that are concatenated, ascending.
        writes: banks that the output goes to, ascending; each gets a part of its own.
        width: channels between the 1x1 and the k x k convolution, in banks.
        kernel: k, odd.
        dilation: of the k x k convolution.
        groups: of the k x k convolution.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    width: int = 1
    kernel: int = 3
    dilation: int = 1
    groups: int = 1


Block = tuple[BankOp, ...]
Table = tuple[Block, ...]
"""A network: its blocks, first to last."""


def live(ops: Iterable[BankOp], inputs: int) -> Block:
    """What of a block has an effect: empty banks are not read, and an op without reads or writes is left out.

    Args:
        ops: of the block, in order.
        inputs: banks 0 .. inputs - 1 hold the block's input.
    """
    filled = set(range(inputs))
    kept = []
    for op in ops:
        reads = tuple(bank for bank in op.reads if bank in filled)
        if reads and op.writes:
            filled.update(op.writes)
            dilation = op.dilation if op.kernel > 1 else 1
            kept.append(op._replace(reads=reads, dilation=dilation))
    return tuple(kept)


def filled_banks(block: Block, inputs: int) -> tuple[int, ...]:
    """The banks that hold something at the end of a block, ascending."""
    return tuple(sorted({*range(inputs), *(bank for op in block for bank in op.writes)}))


def canonical(ops: Iterable[BankOp], banks: int, inputs: int) -> Block:
    """The live ops, with the banks in an order that their names do not matter for.

    Banks of one kind (those with the block's input, the others) may trade places: the network is the same with
    its channels in another order. So they are sorted by who writes and reads them. The order of the ops is kept,
    also of two that do not depend on each other.

    Args:
        ops: of a block, in order.
        banks: of the block.
        inputs: banks 0 .. inputs - 1 hold the block's input.
    """
    block = live(ops, inputs)

    def use(bank: int) -> tuple[tuple[bool, bool], ...]:
        return tuple((bank not in op.writes, bank not in op.reads) for op in block)  # used earlier comes first

    order = [*sorted(range(inputs), key=use), *sorted(range(inputs, banks), key=use)]
    place = {bank: number for number, bank in enumerate(order)}
    return tuple(
        op._replace(
            reads=tuple(sorted(place[bank] for bank in op.reads)),
            writes=tuple(sorted(place[bank] for bank in op.writes)),
        )
        for op in block
    )
