"""What a network computes, as graphs: the whole in one, and one for each kind of cell in it.

Any network that torch.fx can follow is drawn, so a search space need not know how. A module with an
attribute ``label`` (text) goes by that; others by their class.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from nascore.export.checking import evaluating, example_batch, run
from nascore.export.trace import Call, same, trace
from nascore.report.graphs import Graph, Node
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nascore.contracts import Task
    from nascore.export.trace import Item

MOST_NODES = 90
"""A picture with more boxes than this is not drawn: nobody could read it."""
MOST_CELLS = 4
MOST_TRIVIAL = 4
"""A cell with fewer boxes is not worth a picture."""

_JOINS: dict[Any, str] = {
    operator.add: "+", operator.iadd: "+", torch.add: "+", "add": "+", sum: "+", torch.cat: "concat",
    operator.mul: "x", torch.mul: "x", "mul": "x", torch.stack: "stack",
}  # fmt: skip


def graphs(network: nn.Module, task: Task) -> list[Graph]:
    """The network, and each kind of cell in it that is no mere chain.

    Args:
        network: any that torch.fx can follow; it is left as it was.
        task: gives the shape of an input.

    Returns:
        The whole first; none where it has too many parts to be read.

    Raises:
        ExportError: its steps depend on the data, or it does not fit the task.
    """
    first, second = (example_batch(network, task, None, size) for size in (2, 3))
    with evaluating(network), isolated_random(0):
        run(network, first, "The network")  # it says more than torch.fx where the task is not the network's
        traced = trace(network, (first, second))
        steps = list(traced.root.steps())
        if steps:
            ShapeProp(fx.GraphModule(network, steps[0].graph)).propagate(first)
    whole = _graph(traced.root, "network")
    cells = {graph.title: graph for graph in reversed(list(_cells(traced.root)))}  # the first of each name
    return [graph for graph in [whole, *list(reversed(cells.values()))[:MOST_CELLS]] if len(graph.nodes) <= MOST_NODES]


def _cells(call: Call) -> Iterator[Graph]:
    """The calls inside that branch; what is inside such a one is not looked at."""
    for item in call.body:
        if not isinstance(item, Call):
            continue
        graph = _graph(item, _name(item.module))
        if graph.is_chain or len(graph.nodes) < MOST_TRIVIAL:
            yield from _cells(item)
        else:
            yield graph


def _graph(call: Call, title: str) -> Graph:
    """The steps and calls right inside a call; views and the like, which change nothing but the shape, vanish."""
    nodes: list[Node] = []
    maker: dict[fx.Node, int] = {}
    edges: dict[tuple[int, int], None] = {}
    for value, name in call.names.items():
        maker[value] = len(nodes)
        nodes.append(Node(name, _size(value), "value"))
    for item in call.body:
        reads = _reads(item)
        if isinstance(item, fx.Node) and not _is_drawn(item):
            source = next((maker[value] for value in reads if value in maker), None)
            if source is not None:
                maker[item] = source
            continue
        number = len(nodes)
        made = _makes(item)
        nodes.append(Node(_label(item), _size(made[0]) if made else "", _kind(item)))
        edges |= dict.fromkeys((maker[value], number) for value in reads if value in maker)
        maker |= dict.fromkeys(made, number)
    return Graph(title, tuple(nodes), tuple(edges))


def _reads(item: Item) -> Sequence[fx.Node]:
    """The values from outside that an item uses."""
    if isinstance(item, fx.Node):
        return item.all_input_nodes
    inside = set(item.steps())
    return list(dict.fromkeys(value for step in item.steps() for value in step.all_input_nodes if value not in inside))


def _makes(item: Item) -> Sequence[fx.Node]:
    """The values that an item makes and others use."""
    if isinstance(item, fx.Node):
        return [item]
    inside = set(item.steps())
    return [step for step in item.steps() if any(user not in inside for user in step.users)]


def _is_drawn(step: fx.Node) -> bool:
    """A layer, or a function or method that computes; no indexing, no reshaping."""
    if step.op == "call_module":
        return not isinstance(_layer(step), (nn.Identity, nn.Flatten, nn.Dropout))
    if step.op in ("call_method", "get_attr") and step.target not in _JOINS:
        return False
    return step.target not in (operator.getitem, getattr, torch.flatten, torch.tensor, same) and _size(step) != ""


def _layer(step: fx.Node) -> nn.Module | None:
    owner = step.graph.owning_module
    return owner.get_submodule(str(step.target)) if owner is not None else None


def _label(item: Item) -> str:
    if isinstance(item, Call):
        return _name(item.module)
    if item.op == "call_module":
        layer = _layer(item)
        return _name(layer) if layer is not None else str(item.target)
    function: Callable[..., Any] | str = item.target
    return _JOINS.get(function) or str(getattr(function, "__name__", function)).strip("_")


def _kind(item: Item) -> str:
    return "join" if isinstance(item, fx.Node) and item.target in _JOINS else "op"


def _name(module: nn.Module) -> str:
    label = getattr(module, "label", None)
    if isinstance(label, str):
        return label
    if isinstance(module, nn.Conv2d):
        depthwise = "depthwise " if module.groups == module.in_channels > 1 else ""
        stride = f", stride {module.stride[0]}" if module.stride[0] != 1 else ""
        return f"{depthwise}conv {module.kernel_size[0]}x{module.kernel_size[1]}{stride}"
    if isinstance(module, nn.Sequential):
        inner = [_name(layer) for layer in module if not isinstance(layer, nn.Identity)]
        if 0 < len(inner) <= 4:
            return "\n".join(inner)
    name = type(module).__name__
    return re.sub("[123]d$", "", name)


def _size(value: fx.Node) -> str:
    """Of one input, without the batch: ``8 x 4 x 4``."""
    meta = value.meta.get("tensor_meta")
    shape = getattr(meta, "shape", None)
    return " x ".join(map(str, shape[1:])) if shape is not None and len(shape) > 1 else ""
