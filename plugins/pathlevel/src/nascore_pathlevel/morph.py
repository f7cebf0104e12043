"""A tree made of another one, in steps each of which keeps the function (Cai et al. 2018b, section 3.1 and 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore_blocks.morphs import (
    MorphError,
    Net,
    insert_identity,
    replace_identity,
    replicate_add,
    replicate_concat,
    split_concat,
)
from nascore_blocks.morphs.paths import copy_name
from nascore_pathlevel.tree import KERNELS, MIXING, Edge

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

IDENTITY = Edge("identity")
_SCHEMES = {"add": replicate_add, "concat": replicate_concat, "split": split_concat}


def grows(old: Edge, new: Edge) -> bool:
    """Can ``new`` be made of ``old``?"""
    if old == new:
        return True
    if old.leaf and new.leaf:
        return old.kind == "identity" and new.kind in MIXING
    if _pairwise(old, new):
        return True
    if new.kind == "seq":
        return grows(old, new.below[0]) and grows(IDENTITY, new.below[1])
    return _branches(old, new)


def _pairwise(old: Edge, new: Edge) -> bool:
    alike = not old.leaf and old.kind == new.kind and len(old.below) == len(new.below)
    return alike and all(map(grows, old.below, new.below))


def _branches(old: Edge, new: Edge) -> bool:
    """Is ``new`` branches, each of which grew from a copy (or a part) of the op ``old``?"""
    fits = new.kind == "add" or (new.kind == "concat") == (old.kind in MIXING)
    return old.leaf and not new.leaf and fits and all(grows(old, below) for below in new.below)


class Growth:
    """Carries one cell's tree over, step by step."""

    def __init__(self, spans: Mapping[tuple[int, ...], tuple[str, str]], rng: random.Random, noise: float) -> None:
        """
        Args:
            spans: path -> first and last node of an edge of the old tree.
            rng: draws the noise.
            noise: of all new weights, in standard deviations; 0 keeps the function.
        """
        self.spans, self.rng, self.noise = spans, rng, noise

    def grow(self, net: Net, old: Edge, new: Edge) -> Net:
        """Make ``new`` of ``old``.

        Raises:
            MorphError: it cannot be made of it.
        """
        if not grows(old, new):
            raise MorphError(f"The cell {new} cannot be made of {old} by function-preserving transformations.")
        return self._grow(net, old, new, self.spans[()], ())

    def _grow(self, net: Net, old: Edge, new: Edge, span: tuple[str, str], path: tuple[int, ...] | None) -> Net:
        """``path`` is where the edge is in the old tree; None for one that is new."""
        if old == new:
            return net
        if old.leaf and new.leaf:
            separable = new.kind.startswith("sep")
            return replace_identity(net, span[0], self.rng, KERNELS[new.kind], separable, self.noise)
        if path is not None and _pairwise(old, new):
            for number, (one, other) in enumerate(zip(old.below, new.below, strict=True)):
                inner = (*path, number)
                net = self._grow(net, one, other, self.spans[inner], inner)
            return net
        if new.kind == "seq":
            name = net.graph.fresh(f"{span[1]}_then")
            net = insert_identity(net, span[1], name)
            net = self._grow(net, old, new.below[0], span, path)
            return self._grow(net, IDENTITY, new.below[1], (name, name), None)
        net = _SCHEMES[new.kind](net, *span, len(new.below), self.rng, self.noise)
        for number, below in enumerate(new.below):
            ends = copy_name(span[0], number), copy_name(span[1], number)
            net = self._grow(net, old, below, ends, None)
        return net
