"""The fast path of a cell: what the ops of many edges have in common is computed once.

Exactly the mathematics of the plain path, for batch statistics (training mode) and one order of
derivatives. Per state, shared by all edges that leave it: the ReLU, its space-to-batch form (in
which a dilation of 2 is one of 1), its subsampled form (for stride 2), each pooling with its BN.
Per node: all pointwise convolutions, BNs and mixing weights of all its edges are one sum
(:func:`~nascore_blocks.supernet.kernels.normalised_sum`). An op that has no fast form is called as a
module.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore_blocks.ops import FactorisedReduction
from nascore_blocks.supernet.kernels import (
    LAST,
    depthwise,
    normalised_relus,
    normalised_sum,
    subsampled,
    to_batch,
    to_space,
    weighted_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_blocks.supernet.cells import SuperCell
    from nascore_blocks.supernet.mix import Paths


class _State:
    """A state of the cell and what is derived from it, made when first asked for."""

    def __init__(self, x: Tensor, stride: int) -> None:
        self.x, self.stride = x.contiguous(memory_format=LAST), stride
        self._pooled: dict[str, Tensor] = {}

    @cached_property
    def relu(self) -> Tensor:
        return torch.relu(self.x)

    @cached_property
    def dilated(self) -> Tensor:
        """What a convolution without dilation reads instead of one with dilation 2."""
        return to_batch(self.relu) if self.stride == 1 else subsampled(self.relu)

    @cached_property
    def corners(self) -> Tensor:
        """What a factorised reduction reads: (batch, 2 channels, height / 2, width / 2)."""
        both = torch.cat([subsampled(self.relu), subsampled(self.relu, 1)], dim=1)
        return both.contiguous(memory_format=LAST)

    def pooled(self, name: str, module: Any) -> Tensor:
        """The output of a pooling and its BN, neither of which has weights."""
        if name not in self._pooled:
            pool, norm = module
            self._pooled[name] = F.batch_norm(pool(self.x), None, None, None, None, True, 0.0, norm.eps)
        return self._pooled[name]

    @property
    def has_even_size(self) -> bool:
        return self.x.shape[2] % 2 == 0 and self.x.shape[3] % 2 == 0


class _Terms:
    """Terms of one kind into one node: maps, matrices, and where their weights stand."""

    def __init__(self) -> None:
        self.maps: list[Tensor] = []
        self.matrices: list[Tensor] = []
        self.places: list[tuple[int, int]] = []

    def add(self, x: Tensor, matrix: Tensor | None, place: tuple[int, int]) -> None:
        self.maps.append(x)
        self.places.append(place)
        if matrix is not None:
            self.matrices.append(matrix)


def preprocessed(module: nn.Module, x: Tensor) -> Tensor:
    """An input projection; a factorised reduction without strided convolutions (see :func:`subsampled`)."""
    x = x.contiguous(memory_format=LAST)
    if not isinstance(module, FactorisedReduction):
        y: Tensor = module(x)
        return y
    x = torch.relu(x)
    halves = [F.conv2d(subsampled(x), module.even.weight), F.conv2d(subsampled(x, 1), module.odd.weight)]
    return F.batch_norm(torch.cat(halves, dim=1), None, None, None, None, True, 0.0, module.bn.eps)


def node_sums(cell: SuperCell, states: dict[int, Tensor], paths: Paths) -> Callable[[int], Tensor]:
    """A function that gives the value of a node from ``states``, which the caller fills on the way."""
    derived: dict[int, _State] = {}

    def value(node: int) -> Tensor:
        terms = {kind: _Terms() for kind in _SUMS}
        separable: list[tuple[Any, _State, tuple[int, int]]] = []
        for edge in cell.wiring.into[node]:
            start = cell.wiring.edges[edge].input
            if paths.active[edge] and start not in derived:
                derived[start] = _State(states[start], cell.stride(start))
            for op in paths.active[edge]:
                name, module = cell.wiring.ops[op], cell.op(edge, op)
                if name.startswith("sep_conv"):
                    separable.append((module, derived[start], (edge, op)))
                else:
                    kind, x, matrix = _term(name, module, derived[start])
                    terms[kind].add(x, matrix, (edge, op))
        _add_separable(separable, terms["pointwise"])
        return weighted_sum([_SUMS[kind](found, paths) for kind, found in terms.items() if found.maps], None)

    return value


def _add_separable(found: list[tuple[Any, _State, tuple[int, int]]], terms: _Terms) -> None:
    """Run the first halves of separable convolutions together, and add the second halves as terms."""
    if not found:
        return
    first = [depthwise(state.relu, module[1].weight, state.stride) for module, state, _ in found]
    between = normalised_relus(first, torch.stack([module[2].weight.flatten(1) for module, _, _ in found]))
    for x, (module, _, place) in zip(between, found, strict=True):
        terms.add(depthwise(x, module[5].weight), module[6].weight.flatten(1), place)


def _term(name: str, module: Any, state: _State) -> tuple[str, Tensor, Tensor | None]:
    """An op as a term: its kind (a key of ``_SUMS``), a map, and the matrix of the pointwise convolution on it."""
    if name.startswith("dil_conv") and (state.stride == 2 or state.has_even_size):
        kind = "spread" if state.stride == 1 else "pointwise"
        return kind, depthwise(state.dilated, module[1].weight), module[2].weight.flatten(1)
    if isinstance(module, FactorisedReduction):
        even, odd = module.even.weight.flatten(1), module.odd.weight.flatten(1)
        halves: Tensor = torch.block_diag(even, odd)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return "corners", state.corners, halves
    if "_pool_" in name:
        return "whole", state.pooled(name, module), None
    return "whole", state.x if isinstance(module, nn.Identity) else module(state.x), None


def _weights(paths: Paths, places: list[tuple[int, int]]) -> Tensor | None:
    if paths.weights is None:
        return None
    edges, ops = zip(*places, strict=True)
    return paths.weights[list(edges), list(ops)]


def _normalised(terms: _Terms, paths: Paths) -> Tensor:
    return normalised_sum(terms.maps, torch.stack(terms.matrices), _weights(paths, terms.places))


_SUMS: dict[str, Callable[[_Terms, Any], Tensor]] = {
    "pointwise": _normalised,
    "corners": _normalised,
    # In space-to-batch form; the sum is brought back once, not each term.
    "spread": lambda terms, paths: to_space(_normalised(terms, paths)),
    # Outputs that need their weights alone.
    "whole": lambda terms, paths: weighted_sum(terms.maps, _weights(paths, terms.places)),
}
"""Kind of term -> how the terms of that kind into one node are added."""
