"""Which modules of a traced network become classes, and what everything is called in the new file."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import fx, nn

from nascore.export import ExportError
from nascore.export.layers import is_layer
from nascore.export.layout import quoted
from nascore.export.trace import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from nascore.export.trace import Trace


def is_chain(module: nn.Module) -> bool:
    """Does it run its children one after the other, as ``nn.Sequential`` does?"""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def identifier(text: str, taken: set[str] | None = None, mark: str = "_") -> str:
    """A Python name made of any text, unlike those in ``taken``, to which it is added.

    Args:
        text: what the name is made of.
        taken: names in use; None where any name will do.
        mark: stands between a name that was in use and its number.
    """
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit():
        name = f"layer_{name}"
    if keyword.iskeyword(name):
        name += "_"
    if taken is None:
        return name
    base, number = name, 1
    while name in taken:
        number += 1
        name = f"{base}{'_' if base[-1].isdigit() else mark}{number}"
    taken.add(name)
    return name


@dataclass(frozen=True)
class Place:
    """A module at one of its places: ``path`` as in a state dictionary, with its dot; ``reference`` as in code."""

    module: nn.Module
    path: str
    reference: str


class Plan:
    """A traced network, with every call either a class of its own or dissolved into its caller.

    A call is dissolved when no method ``forward`` can stand for it: it reaches for modules outside
    itself, gives nothing back, or is a chain that passes on more than one value.
    """

    def __init__(self, traced: Trace) -> None:
        self.root = traced.root
        self.result = traced.result
        self.network = traced.root.module
        self.dissolved: set[int] = set()
        self._used: set[int] = set()
        self.own: set[tuple[int, str]] = set()
        self._find_used()
        self._settle()

    # ------------------------------------------------------------------ what is used

    def _find_used(self) -> None:
        self._used = {id(call.module) for call in self.root.calls()}
        nodes = list(self.root.steps())
        attributes = {used for node in nodes for used in node.all_input_nodes if used.op == "get_attr"}
        attributes |= {node for node in nodes_in(self.result) if node.op == "get_attr"}
        for node in attributes:
            owner, name = self.owner(node)
            self._used.add(id(owner))
            self.own.add((id(owner), name))
        self._used |= {id(self.module(node)) for node in nodes if node.op == "call_module"}

    def uses(self, module: nn.Module) -> bool:
        """Is the module, or one inside it, needed in evaluation?"""
        return any(id(inner) in self._used for inner in module.modules())

    def module(self, node: fx.Node) -> nn.Module:
        """The layer that a ``call_module`` node calls."""
        return self.network.get_submodule(str(node.target))

    def owner(self, node: fx.Node) -> tuple[nn.Module, str]:
        """The module that owns the tensor of a ``get_attr`` node, and the tensor's name in it."""
        path, _, name = str(node.target).rpartition(".")
        module = self.network.get_submodule(path)
        if isinstance(module, nn.ParameterList | nn.ParameterDict):
            kind = type(module).__name__
            raise ExportError(f"Cannot write {path!r} as code: it is a {kind}; make each parameter an attribute.")
        return module, name

    # ------------------------------------------------------------------ which calls stay

    def _settle(self) -> None:
        while True:
            self._connect()
            misfit = next(
                (call for call in self.root.calls() if call is not self.root and not self._stands(call)), None
            )
            if misfit is None:
                return
            self.dissolve(misfit.module)

    def dissolve(self, module: nn.Module) -> None:
        """Move the steps of every call of ``module`` into its caller."""
        self.dissolved.add(id(module))
        for call in list(self.root.calls()):
            body: list[Any] = []
            for item in call.body:
                body.extend(item.body if isinstance(item, Call) and item.module is module else [item])
            call.body = body
        self._connect()

    def _connect(self) -> None:
        """Set the inputs and outputs of every call."""
        users: dict[fx.Node, set[fx.Node | None]] = {}
        for node in self.root.steps():
            for used in node.all_input_nodes:
                users.setdefault(used, set()).add(node)
        for node in nodes_in(self.result):
            users.setdefault(node, set()).add(None)
        for call in self.root.calls():
            steps = list(call.steps())
            inside = set(steps)
            reads = [used for node in steps for used in node.all_input_nodes if used not in inside]
            outside = [node for node in dict.fromkeys(reads) if node.op != "get_attr"]
            order = {node: place for place, node in enumerate(call.names)}
            call.inputs = sorted(outside, key=lambda node: order.get(node, len(order)))
            call.outputs = [node for node in steps if not users.get(node, set()) <= inside]

    def _stands(self, call: Call) -> bool:
        """Can this call be a method of its own module?"""
        if not call.outputs or not call.inputs:
            return False
        if is_chain(call.module):
            return self.runs_as_chain(call)
        modules = {id(module) for module in call.module.modules()}
        tensors = {id(tensor) for module in call.module.modules() for _, tensor in own_tensors(module)}
        for item in call.body:
            if isinstance(item, Call):
                if id(item.module) not in modules:
                    return False
                continue
            if item.op == "call_module" and id(self.module(item)) not in modules:
                return False
            for used in item.all_input_nodes:
                if used.op == "get_attr" and id(getattr(*self.owner(used))) not in tensors:
                    return False
        return True

    def runs_as_chain(self, call: Call) -> bool:
        """Is the call what ``nn.Sequential`` makes of its children: one value in, one out, in their order?"""
        if len(call.inputs) != 1 or len(call.outputs) != 1:
            return False
        value, called = call.inputs[0], []
        for item in call.body:
            if isinstance(item, Call):
                called.append(item.module)
                inputs, outputs = item.inputs, item.outputs
            elif item.op == "call_module" and item.args == (value,) and not item.kwargs:
                called.append(self.module(item))
                inputs, outputs = [value], [item]
            else:
                return False
            if inputs != [value] or len(outputs) != 1:
                return False
            value = outputs[0]
        expected = [child for child in call.module._modules.values() if child is not None and self.uses(child)]
        return called == expected and value is call.outputs[0]

    # ------------------------------------------------------------------ names

    def children(self, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """The children that are written, with their new names; numbers in a list or a chain.

        A list or a chain keeps all places, so that the numbers stay.
        """
        if is_layer(module):
            return
        taken = {name for name in dir(nn.Module) if not name.startswith("__")}
        counted = type(module) is nn.ModuleList or self.chained(module)
        for position, (name, child) in enumerate(module._modules.items()):
            if child is None:
                continue
            if counted:
                yield str(position), child
            elif self.uses(child):
                yield (name if type(module) is nn.ModuleDict else identifier(name, taken)), child

    def chained(self, module: nn.Module) -> bool:
        """Is the module written as an ``nn.Sequential`` or a subclass of it?"""
        if module is self.network:
            single = isinstance(self.result, fx.Node) and self.result.op != "get_attr"
            return is_chain(module) and single and self.runs_as_chain(self.root)
        return type(module) is nn.Sequential or (is_chain(module) and id(module) not in self.dissolved)

    def references(self, module: nn.Module) -> dict[int, str]:
        """How ``forward`` of ``module`` reaches the modules inside it: ``self.cells[0]``."""
        found: dict[int, str] = {}
        self._reach(module, "self", found)
        return found

    def _reach(self, module: nn.Module, prefix: str, found: dict[int, str]) -> None:
        found.setdefault(id(module), prefix)
        for name, child in self.children(module):
            self._reach(child, _inside(module, prefix, name), found)

    def places(self, module: nn.Module | None = None, path: str = "", reference: str = "self") -> Iterator[Place]:
        """Every place of the new network, outermost first; a shared module comes at each of its places."""
        module = self.network if module is None else module
        yield Place(module, path, reference)
        for name, child in self.children(module):
            if self.uses(child):
                yield from self.places(child, f"{path}{name}.", _inside(module, reference, name))

    def left_out(self) -> list[nn.Module]:
        """The outermost modules that evaluation does not need."""
        found: dict[int, nn.Module] = {}
        for module in self.network.modules():
            if self.uses(module) and not is_layer(module):
                found |= {id(child): child for child in module.children() if not self.uses(child)}
        return list(found.values())


def _inside(module: nn.Module, reference: str, name: str) -> str:
    """How to reach a child, from how to reach its parent."""
    if type(module) is nn.ModuleDict:
        return f"{reference}[{quoted(name)}]"
    return f"{reference}[{name}]" if name.isdigit() else f"{reference}.{name}"


def own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers that the module itself owns."""
    for group in (module._parameters, module._buffers):
        for name, tensor in group.items():
            if tensor is not None:
                yield name, tensor


def nodes_in(value: Any) -> list[fx.Node]:
    """The nodes in a nested value, each once."""
    found: dict[fx.Node, None] = {}
    fx.node.map_arg(value, lambda node: found.setdefault(node))
    return list(found)
