"""What a network computes in evaluation, as a tree: each call of a module holds the steps made inside it.

torch.fx records the steps through all modules down to the layers of ``torch.nn``, so any Python between
them (loops over cells, lists of states) is resolved. The tree gives the steps back to the modules.
"""

from __future__ import annotations

import inspect
import operator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any, Union

import torch
from torch import fx, nn

from nascore.export import ExportError
from nascore.export.layers import is_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

MOST_INLINE = 64
"""Numbers of a constant tensor that are written into the code; a larger one must be a buffer."""


@dataclass(eq=False)
class Call:
    """One call of a module that is no layer.

    Attributes:
        module: what is called.
        path: where it is in the network; ``""`` for the network itself.
        names: value from outside -> the name of the argument that brings it in.
        body: the steps inside, in order.
        inputs: the values from outside that the steps use, in the order of the arguments.
        outputs: the values made inside that are used outside, in the order they are made.
    """

    module: nn.Module
    path: str
    names: dict[fx.Node, str] = field(default_factory=dict)
    body: list[Item] = field(default_factory=list)
    inputs: list[fx.Node] = field(default_factory=list)
    outputs: list[fx.Node] = field(default_factory=list)

    def steps(self) -> Iterator[fx.Node]:
        """All steps inside, those of inner calls included, in order."""
        for item in self.body:
            if isinstance(item, Call):
                yield from item.steps()
            else:
                yield item

    def calls(self) -> Iterator[Call]:
        """This call and all calls inside."""
        yield self
        for item in self.body:
            if isinstance(item, Call):
                yield from item.calls()


Item = Union[fx.Node, Call]


def same(value: Any) -> Any:
    """The step that gives a value a second node; it is written as the value itself."""
    return value


@dataclass
class Trace:
    """A traced network.

    Attributes:
        root: the call of the network itself.
        result: what the network returns, with nodes for values.
    """

    root: Call
    result: Any


def trace(network: nn.Module, examples: tuple[Tensor, Tensor]) -> Trace:
    """Record what the network does; it must be in evaluation mode.

    Args:
        network: the network.
        examples: two batches of different sizes, to settle questions about sizes that do not depend on the batch.

    Raises:
        ExportError: the network cannot be recorded; names the module where it stopped.
    """
    tracer = _Tracer(examples)
    try:
        graph = tracer.trace(network)
    except Exception as error:  # the forward pass of a stranger's module can fail in any way
        raise _untraceable(network, tracer.stopped, error) from error
    (output,) = (node for node in graph.nodes if node.op == "output")
    live = _live(graph, network)
    root = tracer.stack[0]
    _prune(root, live)
    return Trace(root, output.args[0])


class _Tracer(fx.Tracer):
    """Records the tree of calls beside the graph, and knows values when control flow asks for them."""

    def __init__(self, examples: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.proxy_buffer_attributes = True
        self.stack: list[Call] = []
        self.stopped: str | None = None
        self._examples = examples
        self._values: dict[fx.Node, tuple[Any, Any]] = {}
        self._computing = False

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """The network gets one argument, the batch; its other arguments keep their defaults."""
        parameters = list(inspect.signature(self.root.forward).parameters)
        self.stack = [Call(self.root, "")]
        batch = self.create_proxy("placeholder", parameters[0] if parameters else "x", (), {})
        self.stack[0].names[batch.node] = batch.node.name
        return root_fn, [self.root, batch]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """The layers of ``torch.nn`` are steps; everything else is looked into."""
        return is_layer(m)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Open a call in the tree, and close it after."""
        if self._computing:
            return forward(*args, **kwargs)
        if is_layer(m):
            return super().call_module(m, forward, args, kwargs)
        args, kwargs = self._tell_apart(args, kwargs)
        call = Call(m, self.path_of_module(m), _argument_names(m, args, kwargs))
        self.stack[-1].body.append(call)
        self.stack.append(call)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.stopped = self.stopped or call.path
            raise
        finally:
            self.stack.pop()

    def _tell_apart(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Give a value that fills two arguments two nodes, so that the steps inside tell which one they use."""
        seen: set[fx.Node] = set()

        def once(value: Any) -> Any:
            if not isinstance(value, fx.Proxy):
                return value
            if value.node in seen:
                return self.create_proxy("call_function", same, (value,), {})
            seen.add(value.node)
            return value

        return tuple(map(once, args)), {name: once(value) for name, value in kwargs.items()}

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        """Look into functions that a library marked with ``fx.wrap``: the file is to need torch alone."""
        if kind == "call_function" and isinstance(target, FunctionType) and not _is_known(target):
            return target(*args, **kwargs)
        return super().create_proxy(kind, target, args, kwargs, *rest, **more)

    def create_node(self, kind: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Put each step into the innermost open call."""
        node = super().create_node(kind, *args, **kwargs)
        if kind in ("call_module", "call_function", "call_method"):
            self.stack[-1].body.append(node)
        return node

    def create_arg(self, a: Any) -> Any:
        """Write small constant tensors as code, instead of hanging them onto the network as fx does."""
        if not isinstance(a, torch.Tensor) or any(a is own for own in (*self.root.parameters(), *self.root.buffers())):
            return super().create_arg(a)
        if a.numel() > MOST_INLINE:
            raise ExportError(
                f"it uses a tensor of shape {tuple(a.shape)} that is no buffer of it: call register_buffer in __init__"
            )
        return self.create_node("call_function", torch.tensor, (a.tolist(),), {"dtype": a.dtype})

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: Any) -> Any:
        """Leave parameters alone while values are computed."""
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Proxies that can answer questions about sizes."""
        return _Value(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Settle an ``if`` on sizes; one on data cannot be settled."""
        return bool(self.known(obj.node))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Go through a tuple, or through the first dimension of a tensor."""
        item: Any = obj  # a proxy can be indexed; torch's annotations do not say so
        return iter([item[position] for position in range(self.length(obj.node))])

    def known(self, node: fx.Node) -> Any:
        """The value of a node that is the same for every batch.

        Raises:
            ExportError: it is a tensor, or depends on the number of inputs in the batch.
        """
        first, second = self._compute(node)
        if isinstance(first, torch.Tensor):
            raise ExportError("its control flow depends on data (an `if` or a loop on values of a tensor)")
        if first != second:
            raise ExportError("its control flow depends on the number of inputs in the batch")
        return first

    def length(self, node: fx.Node) -> int:
        """The length of a value, which must be the same for every batch."""
        first, second = (len(value) for value in self._compute(node))
        if first != second:
            raise ExportError("it goes through the inputs of the batch one by one")
        return first

    def _compute(self, wanted: fx.Node) -> tuple[Any, Any]:
        with self._plain():
            for node in self.graph.nodes:
                if node not in self._values and wanted not in self._values:
                    pair = [self._run(node, which) for which in (0, 1)]
                    self._values[node] = (pair[0], pair[1])
        return self._values[wanted]

    @contextmanager
    def _plain(self) -> Iterator[None]:
        self._computing = True
        try:
            yield
        finally:
            self._computing = False

    def _run(self, node: fx.Node, which: int) -> Any:
        if node.op == "placeholder":
            return self._examples[which]
        target: Any = node.target
        if node.op == "get_attr":
            owner, _, name = target.rpartition(".")
            return getattr(self.root.get_submodule(owner), name)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda used: self._values[used][which])
        if node.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        function = self.root.get_submodule(target).forward if node.op == "call_module" else target
        return function(*args, **kwargs)


class _Value(fx.Proxy):
    """A proxy that is a number, or has a length, where that is known."""

    tracer: _Tracer

    def __getattr__(self, k: str) -> Any:
        return _Attribute(self, k)

    def __setitem__(self, place: Any, value: Any) -> None:
        raise ExportError("it assigns to a part of a tensor (x[...] = y); use torch.where, torch.cat or F.pad")

    def __index__(self) -> int:
        return operator.index(self.tracer.known(self.node))

    def __float__(self) -> float:
        return float(self.tracer.known(self.node))

    def __len__(self) -> int:
        return self.tracer.length(self.node)


class _Attribute(_Value, fx.proxy.Attribute):
    """The same for ``x.shape`` and its like, which become a step only when they are used."""

    def __init__(self, root: fx.Proxy, attr: str) -> None:
        fx.proxy.Attribute.__init__(self, root, attr)

    __call__ = fx.proxy.Attribute.__call__
    node = fx.proxy.Attribute.node


def _is_known(function: FunctionType) -> bool:
    return function is same or function.__module__.partition(".")[0] == "torch"


def _argument_names(module: nn.Module, args: Any, kwargs: Any) -> dict[fx.Node, str]:
    """Name each value after the argument of ``forward`` that brings it in."""
    names: dict[fx.Node, str] = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, fx.Proxy):
            names.setdefault(value.node, name)
        elif isinstance(value, list | tuple):
            for position, inner in enumerate(value):
                visit(f"{name}_{position}", inner)
        elif isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{name}_{key}", inner)

    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    for name, value in bound.arguments.items():
        parameter = bound.signature.parameters[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            for key, inner in value.items():
                visit(key, inner)
        else:
            visit(name, value)
    return names


def _live(graph: fx.Graph, network: nn.Module) -> set[fx.Node]:
    """The nodes that the result depends on; what changes a tensor in place counts as needed."""
    live: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in live or _changes_in_place(node, network):
            live.add(node)
            live.update(node.all_input_nodes)
    return live


def _changes_in_place(node: fx.Node, network: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(network.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
    elif node.op == "call_function":
        name = getattr(node.target, "__name__", "")
    else:
        return False
    return bool(node.kwargs.get("inplace")) or (name.endswith("_") and not name.endswith("__"))


def _prune(call: Call, live: set[fx.Node]) -> None:
    """Take out steps that nothing needs, and calls in which no step is left."""
    kept: list[Item] = []
    for item in call.body:
        if isinstance(item, Call):
            _prune(item, live)
            if item.body:
                kept.append(item)
        elif item in live:
            kept.append(item)
    call.body = kept


def _untraceable(network: nn.Module, path: str | None, error: Exception) -> ExportError:
    module = network.get_submodule(path) if path else network
    where = f"the module {path!r} ({type(module).__name__})" if path else f"the network ({type(module).__name__})"
    why = str(error) if isinstance(error, ExportError) else f"{type(error).__name__}: {error}"
    return ExportError(
        f"Cannot write {where} as plain code: {why}. A Python file can hold a forward pass whose steps are the same "
        "for every input; rewrite this one with torch operations, or keep the network as weights."
    )
