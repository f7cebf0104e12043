"""Is this a genome? It may come from anywhere, a stranger's file included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore.errors import SpaceError

if TYPE_CHECKING:
    from nascore_neat.genome import Shape

LARGEST = 1 << 53
"""Numbers of nodes and innovations stay below this, which every JSON reader can hold."""

MOST_GENES = 100_000
MOST_HIDDEN = 2_000
"""The time to put a network in order grows with genes x depth."""


def check_genome(genome: Any, shape: Shape) -> None:
    """Accept only what evolution in this shape could have made, and what costs no endless time to run.

    Raises:
        SpaceError: says which gene is wrong and what is allowed.
    """
    if not isinstance(genome, dict) or set(genome) != {"hidden", "connections"}:
        raise SpaceError("A genome of NEAT is an object with the keys 'hidden' and 'connections', and no others.")
    hidden, genes = genome["hidden"], genome["connections"]
    if not isinstance(hidden, list) or not isinstance(genes, list):
        raise SpaceError("'hidden' and 'connections' are lists.")
    if len(genes) > MOST_GENES:
        raise SpaceError(f"There are {len(genes)} connections; at most {MOST_GENES} are allowed.")
    last = shape.inputs + shape.outputs
    if len(hidden) > MOST_HIDDEN:
        raise SpaceError(f"There are {len(hidden)} hidden nodes; at most {MOST_HIDDEN} are allowed.")
    before = -1
    seen: set[tuple[int, int]] = set()
    for place, gene in enumerate(genes):
        problem = _problem(gene, before, shape)
        if not problem and (gene[1], gene[2]) in seen:
            problem = "there is a gene for these two nodes already"
        if problem:
            raise SpaceError(f"Connection {place} is {gene!r:.200}: {problem}.")
        before = gene[0]
        seen.add((gene[1], gene[2]))
    mentioned = sorted({node for ends in seen for node in ends if node > last})
    if hidden != mentioned or not all(map(_is_number, hidden)):
        raise SpaceError(f"'hidden' must list the hidden nodes of the connections, sorted: {mentioned!r:.200}.")
    if not shape.recurrent and _has_cycle(genome):
        raise SpaceError("The connections close a cycle; allowed with the space's option recurrent=true.")


def _problem(gene: Any, before: int, shape: Shape) -> str:
    """What is wrong with a gene by itself; empty if nothing."""
    if not isinstance(gene, list) or len(gene) != 5:
        return "it must be [innovation, source, target, weight, enabled]"
    innovation, source, target, weight, enabled = gene
    if not all(map(_is_number, gene[:3])):
        return f"innovation, source and target are whole numbers from 0 to {LARGEST - 1}"
    if innovation <= before:
        return f"innovation numbers rise; the one before is {before}"
    if target <= shape.inputs:
        return f"nothing leads to an input or the bias; targets are larger than {shape.inputs}"
    if not shape.recurrent and shape.inputs < source <= shape.inputs + shape.outputs:
        return "nothing leads on from an output in a feed-forward network"
    if type(weight) not in (int, float) or not abs(weight) <= shape.weight_limit:
        return f"the weight must be a number from {-shape.weight_limit:g} to {shape.weight_limit:g}"
    return "" if isinstance(enabled, bool) else "enabled must be true or false"


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _has_cycle(genome: Any) -> bool:
    """Remove nodes that nothing leads to until none is left (Kahn 1962); what stays lies on or behind a cycle."""
    out: dict[int, list[int]] = {}
    waiting: dict[int, int] = {}
    for _, source, target, _, _ in genome["connections"]:
        out.setdefault(source, []).append(target)
        waiting[target] = waiting.get(target, 0) + 1
    free = [node for node in out if node not in waiting]
    while free:
        for target in out.get(free.pop(), ()):
            waiting[target] -= 1
            if not waiting[target]:
                free.append(target)
    return any(waiting.values())
