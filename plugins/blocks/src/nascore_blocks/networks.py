"""Networks of stacked cells: the CIFAR and the ImageNet macro of NASNet, AmoebaNet, PNAS and DARTS.

The layer rules, and so the parameter counts, are those of the public DARTS networks (Liu et al.
2019, section 3): stem, cells, global average pooling, linear classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from nascore.errors import SettingsError, SpaceError
from nascore_blocks.cells import CellModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_blocks.genotypes import Genotype

STEMS = ("small", "image")


def live_layers(inputs: Sequence[frozenset[int]], roots: Sequence[int]) -> frozenset[int]:
    """The layers whose output reaches a root.

    A cell may read only input 0, the cell before the previous one; then the previous one may
    feed nobody.

    Args:
        inputs: per layer, which of the inputs 0 and 1 its cell reads.
        roots: layers whose output is needed for itself.
    """
    live: set[int] = set()
    todo = list(roots)
    while todo:
        layer = todo.pop()
        if layer < 0 or layer in live:
            continue
        live.add(layer)
        todo.extend(layer - 2 + state for state in inputs[layer])
    return frozenset(live)


def root_layers(layers: int, reductions: Sequence[int], auxiliary: bool) -> tuple[int, ...]:
    """The last layer, and the one that feeds the auxiliary head: the last reduction."""
    return (layers - 1, max(reductions)) if auxiliary and reductions else (layers - 1,)


def auxiliary_head(channels: int, classes: int, size: int, stem: str) -> nn.Sequential:
    """A second classifier in the middle of the network, for training alone.

    Pooling to 2x2, 1x1 convolution to 128 channels, BN, ReLU, 2x2 convolution to 768, linear. On the
    maps of the papers (8x8 of CIFAR, 7x7 of ImageNet) it is the public one; smaller maps are pooled
    adaptively, and of larger ones the mean is classified.

    Args:
        channels: that come in.
        classes: number of logits.
        size: height or width of the map in pixels, the smaller of both.
        stem: ``small`` for the CIFAR head, ``image`` for the ImageNet head, which pools with stride 2
            and has no second BN (so in the public code, kept for equal counts).
    """
    stride = 3 if stem == "small" else 2
    fits = size >= 5 + stride
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride, count_include_pad=False) if fits else nn.AdaptiveAvgPool2d(2),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        nn.BatchNorm2d(768) if stem == "small" else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(768, classes),
    )


class CellNetwork(nn.Module):
    """Stem, cells, global pooling, classifier.

    ``forward`` gives the logits alone, in training too, and is symbolically traceable. Training
    with an auxiliary head calls :meth:`forward_with_auxiliary`.

    Cells whose output reaches neither the classifier nor the auxiliary head are not built.
    """

    def __init__(
        self,
        genotype: Genotype,
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 36,
        layers: int = 20,
        reductions: Sequence[int] | None = None,
        stem: str = "small",
        auxiliary: bool = False,
        searching: bool = False,
    ) -> None:
        """
        Args:
            genotype: the two cells.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: of a node before the first reduction; each reduction doubles them.
            layers: number of cells.
            reductions: which of them reduce; by default those at 1/3 and 2/3 of the depth.
            stem: ``small`` (one 3x3 convolution to three times ``channels``) or ``image`` (three
                convolutions of stride 2, for photographs: the cells start at 1/8 of the size).
            auxiliary: build an auxiliary head on the last reduction; without a reduction there is none.
            searching: build the cells as a supernet has them: no weight or bias in their BNs, and a BN
                after each pooling.

        Raises:
            SettingsError: a value that is not allowed.
            SpaceError: the inputs are no images, or an op does not exist.
        """
        super().__init__()
        if reductions is None:
            reductions = sorted({layers // 3, 2 * layers // 3})
        _check(shape, channels, layers, reductions, stem)
        kinds = [genotype.reduce if layer in reductions else genotype.normal for layer in range(layers)]
        roots = root_layers(layers, reductions, auxiliary)
        live = live_layers([kind.inputs for kind in kinds], roots)
        self.auxiliary_layer = max(reductions) if auxiliary and reductions else -1
        self.layers = layers

        self.stem0, self.stem1, width = stems(shape[0], channels, stem)
        size = min(shape[1:]) if stem == "small" else _halve(min(shape[1:]), 3)
        before = previous = width
        reduced = stem == "image"
        self.cells = nn.ModuleDict()
        self.auxiliary_head: nn.Module | None = None
        for layer, kind in enumerate(kinds):
            reduces = layer in reductions
            channels, size = (2 * channels, _halve(size)) if reduces else (channels, size)
            if layer in live:
                self.cells[str(layer)] = CellModule(
                    kind, (before, previous), channels, reduces, reduced, affine=not searching, pool_norm=searching
                )
            before, previous, reduced = previous, channels * len(kind.concat), reduces
            if layer == self.auxiliary_layer:
                self.auxiliary_head = auxiliary_head(previous, classes, size, stem)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(previous, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        return self._run(x)[0]

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The logits, and those of the auxiliary head, each (batch, classes); None without a head."""
        logits, middle = self._run(x)
        return logits, None if self.auxiliary_head is None else self.auxiliary_head(middle)

    def set_drop_path(self, probability: float) -> None:
        """Drop every path but identities with ``probability`` in [0, 1), in training.

        Each cell has its own ``drop_path.probability``, so a schedule by depth can set them one by one.
        """
        for cell in self.cells.values():
            cell.drop_path.probability = probability  # type: ignore[union-attr]  # ModuleDict forgets the class

    def set_drop_path_by_depth(self, probability: float) -> None:
        """ScheduledDropPath's depth (Zoph et al. 2018): cell l of L, from 1 on, drops with l / L of ``probability``."""
        for layer, cell in self.cells.items():
            cell.drop_path.probability = probability * (int(layer) + 1) / self.layers  # type: ignore[union-attr]  # see above

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        before = self.stem0(x)
        previous = middle = before if self.stem1 is None else self.stem1(before)
        for layer in range(self.layers):
            # A dead layer hands on what nobody reads.
            output = self.cells[str(layer)](before, previous) if str(layer) in self.cells else previous
            before, previous = previous, output
            if layer == self.auxiliary_layer:
                middle = output
        return self.classifier(self.flatten(self.pool(previous))), middle


def _check(shape: Sequence[int], channels: int, layers: int, reductions: Sequence[int], stem: str) -> None:
    if len(shape) != 3:
        raise SpaceError(f"A cell network reads images of shape (channels, height, width); got {tuple(shape)}.")
    if channels < 2:
        raise SettingsError(f"channels is {channels}; allowed: 2 or more (a factorised reduction splits them).")
    if layers < 1:
        raise SettingsError(f"layers is {layers}; allowed: 1 or more.")
    if not all(0 <= layer < layers for layer in reductions):
        raise SettingsError(f"The reductions are at layers {list(reductions)}; allowed: 0..{layers - 1}.")
    if stem not in STEMS:
        raise SettingsError(f"stem is {stem!r}; allowed: {', '.join(STEMS)}.")


def _halve(size: int, times: int = 1) -> int:
    """The size after ``times`` layers of stride 2: halved, rounded up."""
    return -(-size // (1 << times))


def stems(inputs: int, channels: int, stem: str) -> tuple[nn.Module, nn.Module | None, int]:
    """The stem's two outputs feed the two inputs of the first cell (None: the same one); their channels."""

    def conv_bn(into: int, out: int, stride: int) -> tuple[nn.Module, nn.Module]:
        return nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)

    if stem == "small":
        return nn.Sequential(*conv_bn(inputs, 3 * channels, 1)), None, 3 * channels
    half = channels // 2
    first = nn.Sequential(*conv_bn(inputs, half, 2), nn.ReLU(), *conv_bn(half, channels, 2))
    return first, nn.Sequential(nn.ReLU(), *conv_bn(channels, channels, 2)), channels
