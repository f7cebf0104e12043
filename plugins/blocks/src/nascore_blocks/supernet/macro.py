"""The supernet of the macro space: every op at every layer, and every skip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.errors import SpaceError
from nascore_blocks.macro import MacroNetwork, Pair, macro_stem, macro_wirings, make_layer_op, pairs
from nascore_blocks.ops import FactorisedReduction
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.mix import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore_blocks.macro import Layers
    from nascore_blocks.supernet.mix import Mixture


class LayerOpShape(NamedTuple):
    """An op of a layer, or a skip: its name, channels, and the height and width of its input."""

    op: str
    channels: int
    height: int
    width: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    def build(self) -> nn.Module:
        """The op as the final network has it; a skip is its part of the layer's projection."""
        if self.op == "skip_connect":
            return nn.Conv2d(self.channels, self.channels, 1, bias=False)
        return make_layer_op(self.op, self.channels)


class SuperLayer(nn.Module):
    """One layer: a 1x1 convolution for each state it may read, and every op."""

    def __init__(self, number: int, ops: Sequence[str], channels: int) -> None:
        """
        Args:
            number: k; the layer reads the states 0, ..., k, the last of them always.
            ops: names of the candidates.
            channels: that come in and go out.
        """
        super().__init__()
        # A convolution for each state, and not slices of one weight: what does not run has no gradient then.
        self.project = nn.ModuleList([nn.Conv2d(channels, channels, 1, bias=False) for _ in range(number + 1)])
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.ops = nn.ModuleDict({op: make_layer_op(op, channels, searching=True) for op in ops})

    def projection(self, states: Sequence[int]) -> Tensor:
        """The weight (channels, states * channels, 1, 1) for what the states concatenated are."""
        return torch.cat([cast("nn.Conv2d", self.project[state]).weight for state in states], dim=1)

    def forward(self, read: dict[int, Tensor], ops: dict[str, Tensor | None]) -> Tensor:
        """The weighted sum of the ops of what is read.

        Args:
            read: state -> its output (batch, channels, height, width), multiplied by its weight.
            ops: names of those that run -> weight, a scalar; None: 1.
        """
        x = F.relu(self.norm(F.conv2d(torch.cat(list(read.values()), dim=1), self.projection(list(read)))))
        total: Tensor | None = None
        for name, weight in ops.items():
            y: Tensor = self.ops[name](x)
            y = y if weight is None else y * weight
            total = y if total is None else total + y
        return torch.zeros_like(x) if total is None else total


class MacroSupernet(Supernet):
    """Stem, layers with all ops and skips, global pooling, classifier.

    The kinds are ``op``, a row of the layers, and ``skip``, a row of :func:`~nascore_blocks.macro.pairs`.
    See :class:`~nascore_blocks.supernet.base.Supernet`.
    """

    def __init__(
        self,
        layers: int,
        ops: tuple[str, ...],
        shape: Sequence[int] = (3, 32, 32),
        classes: int = 10,
        *,
        channels: int = 36,
        reductions: Sequence[int] = (4, 8),
    ) -> None:
        """
        Args:
            layers: how many.
            ops: names of the candidates of each.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            channels: C, of every layer.
            reductions: the layers before which all states are halved.
        """
        super().__init__()
        self.wirings, self.fast = macro_wirings(layers, ops), False
        self.number = {pair: index for index, pair in enumerate(pairs(layers))}
        self.shape, self.classes, self.channels, self.reductions = tuple(shape), classes, channels, tuple(reductions)
        self.stem = macro_stem(shape[0], channels)
        self.layers = nn.ModuleList([SuperLayer(layer, ops, channels) for layer in range(layers)])
        self.halve = nn.ModuleDict(
            {
                f"{layer}_{state}": FactorisedReduction(channels, channels, affine=False)
                for layer in self.reductions
                for state in range(layer + 1)
            }
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(channels, classes)
        without_running_statistics(self)

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes), of the batch's statistics.

        Args:
            x: the images.
            mixture: the paths of ``op`` and ``skip``.
        """
        inputs = [self._inputs(layer, mixture) for layer in range(len(self.layers))]
        states = {0: self.stem(x)}
        for number, (module, reads) in enumerate(zip(self.layers, inputs, strict=True)):
            if number in self.reductions:
                later = set().union(*inputs[number:])
                states = {s: self.halve[f"{number}_{s}"](y) for s, y in states.items() if s in later}
            read = {s: states[s] if weight is None else states[s] * weight for s, weight in reads.items()}
            states[number + 1] = module(read, self._ops(number, mixture["op"]))
        logits: Tensor = self.classifier(self.flatten(self.pool(states[len(self.layers)])))
        return logits

    def _inputs(self, layer: int, mixture: Mixture) -> dict[int, Tensor | None]:
        """State -> weight, of what a layer reads, the previous one last."""
        skips = mixture.get("skip")
        read: dict[int, Tensor | None] = {}
        for state in range(layer):
            edge = self.number[Pair(layer, state)]
            if skips is not None and 1 in skips.active[edge]:
                read[state] = None if skips.weights is None else skips.weights[edge, 1]
        return read | {layer: None}

    def _ops(self, layer: int, paths: Paths) -> dict[str, Tensor | None]:
        names = self.wirings["op"].ops
        return {names[op]: None if paths.weights is None else paths.weights[layer, op] for op in paths.active[layer]}

    # ------------------------------------------------------------------ one architecture

    def paths(self, structure: Layers) -> dict[str, Paths]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.paths`."""
        self._check(structure)
        ops = Paths(tuple((self.wirings["op"].ops.index(op),) for op in structure.ops))
        if "skip" not in self.wirings:
            return {"op": ops}
        return {
            "op": ops,
            "skip": Paths(tuple((1,) if s in structure.skips[layer] else () for layer, s in self.number)),
        }

    def extract(self, structure: Layers) -> MacroNetwork:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.extract`."""
        self._check(structure)
        alone = MacroNetwork(
            structure,
            self.shape,
            self.classes,
            channels=self.channels,
            reductions=self.reductions,
            searching=True,
        ).to(next(self.parameters()))
        for name in ("stem", "classifier"):
            # Not strict, here and below: the supernet's BNs keep no statistics.
            getattr(alone, name).load_state_dict(getattr(self, name).state_dict(), strict=False)
        for name, copy in alone.halve.items():
            copy.load_state_dict(self.halve[name].state_dict(), strict=False)
        for number, op in enumerate(structure.ops):
            mine = cast("SuperLayer", self.layers[number])
            alone.ops[number].load_state_dict(mine.ops[op].state_dict(), strict=False)
            with torch.no_grad():
                weight = cast("Tensor", alone.project[number].get_parameter("0.weight"))
                weight.copy_(mine.projection(structure.inputs(number)))
        return alone

    def priced_ops(self) -> Iterator[tuple[str, int, int, LayerOpShape]]:
        """See :meth:`~nascore_blocks.supernet.base.Supernet.priced_ops`.

        A skip is priced by its part of the projection. The reductions it may need are not in it: skips from
        one state share them.
        """
        height, width = self.shape[1:]
        for layer in range(len(self.layers)):
            if layer in self.reductions:
                height, width = -(-height // 2), -(-width // 2)
            for op, name in enumerate(self.wirings["op"].ops):
                yield "op", layer, op, LayerOpShape(name, self.channels, height, width)
            for state in range(layer):
                yield (
                    "skip",
                    self.number[Pair(layer, state)],
                    1,
                    LayerOpShape("skip_connect", self.channels, height, width),
                )

    def _check(self, structure: Layers) -> None:
        ops = self.wirings["op"].ops
        if len(structure.ops) != len(self.layers):
            raise SpaceError(f"The supernet has {len(self.layers)} layers; the architecture has {len(structure.ops)}.")
        for layer, op in enumerate(structure.ops):
            if op not in ops:
                raise SpaceError(f"The supernet has no {op!r} at layer {layer}; it has {', '.join(ops)}.")
