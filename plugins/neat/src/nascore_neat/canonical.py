"""One form for all genomes that compute the same in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore_neat.genome import live_genes

if TYPE_CHECKING:
    from nascore.records import Json
    from nascore_neat.genome import Shape


def canonical_form(genome: Any, shape: Shape) -> Json:
    """The live genes as sorted ``[source, target, weight]``, with hidden nodes numbered by what surrounds them.

    Nodes get colours, refined until they tell apart what differs; of nodes that still look alike, one
    gets a colour of its own, and so on. Nodes that look alike can nearly always be swapped, so it does not
    matter which: two equal networks have one form (a failure costs a second evaluation, no more), and two
    different networks never share one.
    """
    genes = live_genes(genome, shape)
    last = shape.inputs + shape.outputs
    hidden = sorted({node for source, target, _ in genes for node in (source, target) if node > last})
    colours = dict.fromkeys(hidden, 0)
    while True:
        colours = _refined(colours, genes)
        counts: dict[int, list[int]] = {}
        for node, colour in colours.items():
            counts.setdefault(colour, []).append(node)
        alike = [nodes for _, nodes in sorted(counts.items()) if len(nodes) > 1]
        if not alike:
            break
        colours[alike[0][0]] = len(hidden)
    names = {node: last + 1 + colour for node, colour in colours.items()}
    return sorted([names.get(source, source), names.get(target, target), weight] for source, target, weight in genes)  # type: ignore[return-value]  # lists of numbers


def _refined(colours: dict[int, int], genes: list[tuple[int, int, float]]) -> dict[int, int]:
    """Colours 0, 1, ... by the node's own colour and the weights and colours of its neighbours, until stable."""
    while True:
        around: dict[int, list[tuple[int, float, int, int]]] = {node: [] for node in colours}
        for source, target, weight in genes:
            if target in around:
                around[target].append((0, weight, colours.get(source, -1), source if source not in colours else -1))
            if source in around:
                around[source].append((1, weight, colours.get(target, -1), target if target not in colours else -1))
        signatures = {node: (colours[node], tuple(sorted(seen))) for node, seen in around.items()}
        ranks = {signature: rank for rank, signature in enumerate(sorted(set(signatures.values())))}
        if len(ranks) == len(set(colours.values())):
            return {node: ranks[signature] for node, signature in signatures.items()}
        colours = {node: ranks[signature] for node, signature in signatures.items()}
