"""The macro space of ENAS (Pham et al. 2018, arXiv:1802.03268, section 2.3): a chain of layers with skips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore_blocks.cellspace import MOST_PARTS, within
from nascore_blocks.nasbench201 import fitting_reductions, subset
from nascore_blocks.ops import FactorisedReduction
from nascore_blocks.supernet.wiring import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_blocks.supernet.macro import MacroSupernet

SKIPS = ("none", "skip_connect")
"""The options of a skip in a supernet."""


@dataclass(frozen=True)
class Layers:
    """What the decisions of the macro space make.

    State 0 is the stem, state k + 1 the output of layer k.

    Attributes:
        ops: name of the op of each layer.
        skips: for each layer k, the states before state k whose outputs it reads beside state k.
    """

    ops: tuple[str, ...]
    skips: tuple[tuple[int, ...], ...]

    def inputs(self, layer: int) -> tuple[int, ...]:
        """The states that a layer reads, the previous one last."""
        return (*self.skips[layer], layer)

    def last_reader(self, state: int) -> int:
        """The last layer that reads a state; -1 where none does."""
        return max((layer for layer in range(len(self.ops)) if state in self.inputs(layer)), default=-1)


class Pair(NamedTuple):
    """A possible skip: from ``state`` to ``layer``."""

    layer: int
    state: int


def pairs(layers: int) -> tuple[Pair, ...]:
    """All possible skips, layer by layer: L (L - 1) / 2."""
    return tuple(Pair(layer, state) for layer in range(layers) for state in range(layer))


class MacroSpace(DecisionSpace):
    """The layer-wise space of ENAS.

    Layer k has an op (``layer.k.op``) and, for each state before the previous one, a bit
    (``layer.k.skip.j``, true or false): does it read state j too? State 0 is the stem, state j the output of
    layer j - 1. So 12 layers are 6^12 2^66 networks. What a layer reads is concatenated and projected to
    ``channels`` by a 1x1 convolution with BN and ReLU, and its op follows. At 1/3 and 2/3 of the depth a
    factorised reduction halves every state that is still read.

    The paper has bits for all earlier layers and takes the previous one where none is set; here, as in
    the authors' code, the previous one is always read and the stem can be skipped to, which gives as many.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"supernet"}

    def __init__(
        self,
        layers: int = 12,
        ops: Sequence[str] = (
            "conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3",
        ),
        channels: int = 16,
        reductions: int | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            layers: L; the paper has 12.
            ops: candidates of a layer: ``conv_3x3``, ``sep_conv_3x3``, ``conv_5x5``, ``sep_conv_5x5``,
                ``avg_pool_3x3``, ``max_pool_3x3``, or some of them.
            channels: C, of every layer; the paper's search has 36.
            reductions: how many times height and width are halved; by default as often as leaves
                2 pixels or more, at most twice.

        Raises:
            SettingsError: a value that is not allowed.
        """
        within("layers", layers, 1, MOST_PARTS)
        if channels < 2:
            raise SettingsError(f"channels is {channels}; allowed: 2 or more (a factorised reduction splits them).")
        if reductions is not None and not 0 <= reductions < layers:
            raise SettingsError(f"reductions is {reductions}; allowed: 0..{layers - 1}, for {layers} layers.")
        self.layers, self.ops, self.channels, self.reductions = layers, subset(ops, LAYER_OPS), channels, reductions
        self._op_names = tuple(f"layer.{layer}.op" for layer in range(layers))
        self._skip_names = {pair: f"layer.{pair.layer}.skip.{pair.state}" for pair in pairs(layers)}

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Remember the task."""
        self.task = task

    def decide(self, choose: Choose) -> Layers:
        """Layer by layer: the op, then the skips."""
        ops, skips = [], []
        for layer, name in enumerate(self._op_names):
            ops.append(choose(name, self.ops))
            asked = {state: choose(self._skip_names[Pair(layer, state)], (False, True)) for state in range(layer)}
            skips.append(tuple(state for state, reads in asked.items() if reads))
        return Layers(tuple(ops), tuple(skips))

    def group(self, name: str) -> str:
        """``op`` or ``skip``."""
        return name.split(".")[2]

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> MacroNetwork:
        """The network for this task."""
        return MacroNetwork(self.structure(architecture), **self._macro(task))

    def supernet(self, task: Task, *, fast: bool = True) -> MacroSupernet:
        """All networks of this space in one: the capability ``supernet``; there is no faster way for ``fast``."""
        from nascore_blocks.supernet.macro import MacroSupernet

        supernet = MacroSupernet(self.layers, self.ops, **self._macro(task))
        supernet.fast = fast
        return supernet

    @property
    def wirings(self) -> dict[str, Row]:
        """``op``: (layers, ops); and ``skip``: (:func:`pairs`, ``none`` and ``skip_connect``), if there are any."""
        return macro_wirings(self.layers, self.ops)

    def derive(self, weights: Mapping[str, Tensor]) -> Architecture:
        """The strongest op of each layer, and the skips that outweigh their absence; of equal ops the first.

        Args:
            weights: ``op`` and ``skip`` -> a table of its wiring's size, whose order counts.
        """
        genome: dict[str, Json] = {}
        for name, row in zip(self._op_names, weights["op"].tolist(), strict=True):
            genome[name] = self.ops[max(range(len(row)), key=row.__getitem__)]
        if self._skip_names:
            for name, (absent, present) in zip(self._skip_names.values(), weights["skip"].tolist(), strict=True):
                genome[name] = present > absent
        # In the order of the program, so that a genome reads like one that was sampled.
        return self.sample(lambda name, _: genome[name])

    def _macro(self, task: Task) -> dict[str, Any]:
        fitting = min(fitting_reductions(task.shape), self.layers - 1)
        reductions = fitting if self.reductions is None else self.reductions
        positions = tuple(self.layers * number // (reductions + 1) for number in range(1, reductions + 1))
        return {"shape": task.shape, "classes": task.classes, "channels": self.channels, "reductions": positions}


def macro_wirings(layers: int, ops: tuple[str, ...]) -> dict[str, Row]:
    """The wirings of the macro space; see :attr:`MacroSpace.wirings`."""
    skips = len(pairs(layers))
    return {"op": Row(layers, ops)} | ({"skip": Row(skips, SKIPS)} if skips else {})


# ------------------------------------------------------------------------------------ the network


def _normed(channels: int, affine: bool, *convolutions: nn.Module) -> nn.Module:
    return nn.Sequential(*convolutions, nn.BatchNorm2d(channels, affine=affine), nn.ReLU())


def _conv(kernel: int, channels: int, affine: bool) -> nn.Module:
    return _normed(channels, affine, nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False))


def _sep_conv(kernel: int, channels: int, affine: bool) -> nn.Module:
    depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return _normed(channels, affine, depthwise, nn.Conv2d(channels, channels, 1, bias=False))


def _avg_pool(channels: int, affine: bool) -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _max_pool(channels: int, affine: bool) -> nn.Module:
    return nn.MaxPool2d(3, 1, 1)


LAYER_OPS: dict[str, Callable[[int, bool], nn.Module]] = {
    "conv_3x3": partial(_conv, 3),
    "sep_conv_3x3": partial(_sep_conv, 3),
    "conv_5x5": partial(_conv, 5),
    "sep_conv_5x5": partial(_sep_conv, 5),
    "avg_pool_3x3": _avg_pool,
    "max_pool_3x3": _max_pool,
}
"""Name -> ``make(channels, affine)``. Unlike the ops of cells, BN and ReLU come after the convolution, and a
separable convolution is one depthwise and one pointwise convolution."""


def make_layer_op(name: str, channels: int, searching: bool = False) -> nn.Module:
    """The op of a layer, (batch, channels, height, width) -> the same shape.

    Args:
        name: a key of :data:`LAYER_OPS`.
        channels: that come in and go out.
        searching: no weight or bias in the BN, and a BN after a pooling, as a supernet has it.
    """
    op = LAYER_OPS[name](channels, not searching)
    return nn.Sequential(op, nn.BatchNorm2d(channels, affine=False)) if searching and "_pool_" in name else op


def macro_stem(inputs: int, channels: int) -> nn.Sequential:
    """A 3x3 convolution and BN."""
    return nn.Sequential(nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


class MacroNetwork(nn.Module):
    """Stem, layers, global pooling, classifier.

    A layer that reads n states has n C^2 + 2 C parameters in its projection, and its op's.
    """

    def __init__(
        self,
        layers: Layers,
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 36,
        reductions: Sequence[int] = (4, 8),
        searching: bool = False,
    ) -> None:
        """
        Args:
            layers: the architecture.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: C, of every layer.
            reductions: the layers before which all states are halved.
            searching: build it as a supernet does; see :func:`make_layer_op`.
        """
        super().__init__()
        self.layers, self.reductions = layers, tuple(reductions)
        self.stem = macro_stem(shape[0], channels)
        self.halve = nn.ModuleDict()
        self.project, self.ops = nn.ModuleList(), nn.ModuleList()
        for layer, op in enumerate(layers.ops):
            if layer in self.reductions:
                for state in self._read_from(layer):
                    self.halve[f"{layer}_{state}"] = FactorisedReduction(channels, channels, not searching)
            mixed = nn.Conv2d(len(layers.inputs(layer)) * channels, channels, 1, bias=False)
            self.project.append(_normed(channels, not searching, mixed))
            self.ops.append(make_layer_op(op, channels, searching))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        states = {0: self.stem(x)}
        for layer in range(len(self.layers.ops)):
            if layer in self.reductions:
                states = {state: self.halve[f"{layer}_{state}"](states[state]) for state in self._read_from(layer)}
            read = torch.cat([states[state] for state in self.layers.inputs(layer)], dim=1)
            states[layer + 1] = self.ops[layer](self.project[layer](read))
        logits: Tensor = self.classifier(self.flatten(self.pool(states[len(self.layers.ops)])))
        return logits

    def _read_from(self, layer: int) -> list[int]:
        """The states before a layer that it or a later one reads."""
        return [state for state in range(layer + 1) if self.layers.last_reader(state) >= layer]
