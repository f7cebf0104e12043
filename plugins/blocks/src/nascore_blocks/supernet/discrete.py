"""From mixing weights to an architecture (DARTS, Liu et al. 2019, section 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore_blocks.genotypes import Edge, Node

if TYPE_CHECKING:
    from torch import Tensor

    from nascore_blocks.supernet.wiring import CellWiring


def strongest_nodes(wiring: CellWiring, weights: Tensor) -> tuple[Node, ...]:
    """The strongest edges into each node, each with its strongest op; ``none`` counts for nothing.

    With one slot a node keeps the two edges whose best op weighs most, so from two different states;
    with two slots, the best edge of each. Of equals, the first of the wiring wins.

    Args:
        wiring: candidate edges and ops.
        weights: (edges, ops), such as softmax(alpha): comparable between the edges of a node.
    """
    table = weights.tolist()
    nodes = []
    for into in wiring.into.values():
        best = [max((table[edge][op], -op) for op in wiring.live) for edge in into]
        ranked = sorted(range(len(into)), key=lambda index: -best[index][0])  # stable: the first of equals
        if wiring.slots == 1:
            kept = sorted(ranked[:2])
        else:
            slots = [[i for i in ranked if wiring.edges[into[i]].slot == slot] for slot in range(wiring.slots)]
            kept = [slot[0] for slot in slots]
        nodes.append(tuple(Edge(wiring.ops[-best[i][1]], wiring.edges[into[i]].input) for i in kept))
    return tuple(nodes)
