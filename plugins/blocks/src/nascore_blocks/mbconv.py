"""The space of ProxylessNAS: chains of inverted residual blocks (Cai, Zhu and Han 2019, arXiv:1812.00332).

What is fixed: a 3x3 stem, a separable first block, widths and strides of the stages. What is decided, for each
block: kernel and expansion, or ``none`` where the block may be skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError
from nascore_blocks.cellspace import MOST_PARTS, PHOTOGRAPH
from nascore_blocks.chains import Block, Chain, MBConvNetwork, divided
from nascore_blocks.supernet.wiring import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_blocks.supernet.chain import ChainSupernet

KIND = "block"
"""The one kind of place of its supernet."""

_LARGE = (1 << 20, 1 << 20)
"""Until the images are known: a size that every stride fits."""


class MBConvSpace(DecisionSpace):
    """A chain of inverted residual blocks in stages of one width (Cai et al. 2019, section 4.2).

    Block ``b`` is made by the decision ``block.b``: kernel and expansion such as ``"5x5_e6"``, or ``"none"``,
    which skips it, where stride is 1 and width unchanged. The first block of a stage has the stage's stride.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}

    def __init__(
        self,
        widths: Sequence[int] = (8, 16, 24),
        cells: Sequence[int] = (2, 2, 2),
        strides: Sequence[int] | None = None,
        kernels: Sequence[int] = (3, 5, 7),
        expansions: Sequence[int] = (3, 6),
        stem: int = 8,
        first: int = 8,
        stem_stride: int = 0,
        head: int = 0,
    ) -> None:
        """
        Args:
            widths: channels of each stage (24, 40, 80, 96, 192, 320 in the paper).
            cells: blocks in each stage (4, 4, 4, 4, 4, 1 in the paper).
            strides: 1 or 2 for each stage (2, 2, 2, 1, 2, 1 in the paper); by default 1 for the first stage, then
                2 as long as the images have two pixels or more to halve.
            kernels: sizes to choose from, odd.
            expansions: factors to choose from.
            stem: channels after the first convolution (32 in the paper).
            first: channels after the separable block that follows (16 in the paper).
            stem_stride: of the first convolution, 1 or 2; 0: 2 for images from 96 pixels on, else 1.
            head: channels of a last 1x1 convolution (1280 in the paper); 0: none.

        Raises:
            SettingsError: a value that is not allowed.
        """
        _check_stages(widths, cells, strides)
        for name, values in (("kernels", kernels), ("expansions", expansions)):
            if not values or min(values) < 1 or len(set(values)) < len(values):
                raise SettingsError(f"{name} is {list(values)}; it needs distinct whole numbers >= 1.")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise SettingsError(f"kernels is {list(kernels)}; a kernel is odd, so that it has a middle.")
        for name, value, least in (("stem", stem, 1), ("first", first, 1), ("head", head, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; allowed: {least} or more.")
        if stem_stride not in (0, 1, 2):
            raise SettingsError(f"stem_stride is {stem_stride}; allowed: 1, 2, or 0 (by the size of the images).")
        self.widths, self.cells, self.strides = tuple(widths), tuple(cells), None if strides is None else tuple(strides)
        self.stem, self.first, self.stem_stride, self.head = stem, first, stem_stride, head
        self.ops = tuple(f"{k}x{k}_e{e}" for k in kernels for e in expansions)
        self.chain = self._chain(_LARGE)

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Fix the strides by the size of the images.

        Raises:
            SettingsError: the given strides leave nothing of the images.
        """
        self.task = task
        self.chain = self._chain(_size(task))

    def decide(self, choose: Choose) -> tuple[str, ...]:
        """Decide each block; gives their names."""
        return tuple(
            [choose(f"{KIND}.{number}", self._options(block)) for number, block in enumerate(self.chain.blocks)]
        )

    def canonical(self, genome: Json) -> Json:
        """The blocks that are built, with widths and strides: it is the same which of two equal places is skipped."""
        chosen: dict[str, str] = genome  # type: ignore[assignment]  # a checked genome
        blocks = [(chosen[f"{KIND}.{number}"], block) for number, block in enumerate(self.chain.blocks)]
        return [[op, block.outputs, block.stride] for op, block in blocks if op != "none"]

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> MBConvNetwork:
        """The network for this task; its strides follow the size of the images."""
        return MBConvNetwork(self._chain(_size(task)), self.structure(architecture), task.shape, task.classes)

    @property
    def wirings(self) -> dict[str, Row]:
        """``block`` -> one edge a block; the last op is ``none``, which only some may have."""
        options = tuple(self._options(block) for block in self.chain.blocks)
        return {KIND: Row(len(self.chain.blocks), (*self.ops, "none"), options)}

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The strongest op of each block, ``none`` among them where it is allowed; of equals, the first.

        Args:
            weights: ``block`` -> (blocks, ops) in the order of :attr:`wirings`; the order alone counts.
        """
        wiring = self.wirings[KIND]
        table = weights[KIND].tolist()
        best = [max(ops, key=row.__getitem__) for row, ops in zip(table, wiring.allowed, strict=True)]
        architecture = self.architecture({f"{KIND}.{number}": wiring.ops[op] for number, op in enumerate(best)})
        self.check(architecture)
        return architecture

    def supernet(self, task: Task, *, fast: bool = True) -> ChainSupernet:
        """All networks of this space in one: the capability ``supernet``.

        Args:
            task: as for :meth:`build`.
            fast: is not looked at: there is no arithmetic to share in a chain.
        """
        from nascore_blocks.supernet.chain import ChainSupernet

        return ChainSupernet(self._chain(_size(task)), self.wirings[KIND], task.shape, task.classes)

    # ---------------------------------------------------------------------- inside

    def _options(self, block: Block) -> tuple[str, ...]:
        return (*self.ops, "none") if block.residual else self.ops

    def _chain(self, size: tuple[int, int]) -> Chain:
        photograph = min(size) >= PHOTOGRAPH
        stem_stride = self.stem_stride or (2 if photograph else 1)
        left = divided(min(size), stem_stride)
        blocks = []
        inputs = self.first
        for stage, (width, cells) in enumerate(zip(self.widths, self.cells, strict=True)):
            stride = self._stride(stage, left, size)
            left = divided(left, stride)
            for cell in range(cells):
                blocks.append(Block(inputs, width, 1 if cell else stride))
                inputs = width
        return Chain(self.stem, stem_stride, self.first, tuple(blocks), self.head)

    def _stride(self, stage: int, left: int, size: tuple[int, int]) -> int:
        if self.strides is None:
            return 2 if stage and left >= 2 else 1
        if self.strides[stage] == 2 and left < 2:
            raise SettingsError(
                f"strides is {list(self.strides)}: stage {stage} would halve a map that is {left} pixel high or wide, "
                f"of images of {size[0]}x{size[1]}. Leave strides out, to halve as often as fits, or give fewer twos."
            )
        return self.strides[stage]


def _check_stages(widths: Sequence[int], cells: Sequence[int], strides: Sequence[int] | None) -> None:
    if not widths or min(widths) < 1:
        raise SettingsError(f"widths is {list(widths)}; it needs one number >= 1 for each stage.")
    for name, values in (("cells", cells), ("strides", strides)):
        if values is not None and len(values) != len(widths):
            raise SettingsError(f"{name} has {len(values)} numbers and widths {len(widths)}; one for each stage.")
    if min(cells) < 1 or sum(cells) > MOST_PARTS:
        raise SettingsError(
            f"cells is {list(cells)}; each stage needs one block or more, all together {MOST_PARTS} at most."
        )
    if strides is not None and not {1, 2}.issuperset(strides):
        raise SettingsError(f"strides is {list(strides)}; each is 1 or 2.")


def _size(task: Task) -> tuple[int, int]:
    if len(task.shape) != 3:
        raise SpaceError(f"A chain reads images of shape (channels, height, width); got {tuple(task.shape)}.")
    return task.shape[1], task.shape[2]
