"""The steps of one call as the lines of a ``forward``: nested as a person would write them."""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.nn import functional

from nascore.export import ExportError
from nascore.export.layout import quoted
from nascore.export.plan import identifier
from nascore.export.trace import Call, same

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore.export.plan import Plan
    from nascore.export.trace import Item

WIDEST = 64
"""Characters of an expression that may still be nested into another one."""

DEEPEST = 3
"""Calls inside calls, at most."""

_INFIX = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@", operator.eq: "==", operator.ne: "!=",
    operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.and_: "&",
    operator.or_: "|", operator.xor: "^", operator.lshift: "<<", operator.rshift: ">>",
}  # fmt: skip
_PREFIX = {operator.neg: "-", operator.pos: "+", operator.invert: "~"}
_BASES = {"size": "size", "chunk": "parts", "split": "parts", "unbind": "parts"}
"""Methods whose results are named after what they are."""
_DROPOUTS = {
    functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d,
    functional.alpha_dropout, functional.feature_alpha_dropout,
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """An expression.

    Attributes:
        code: as it is written.
        depth: calls inside calls.
        infix: needs brackets inside another operation.
        variables: the values that it reads from variables.
    """

    code: str
    depth: int
    infix: bool
    variables: tuple[fx.Node, ...]


class ForwardWriter:
    """Writes ``forward`` of one call.

    A value that is used once is nested into the step that uses it, but only where Python then
    evaluates the steps in their recorded order: steps may change tensors in place.
    """

    def __init__(self, call: Call, plan: Plan, result: Any) -> None:
        """
        Args:
            call: whose steps to write.
            plan: knows how modules are reached.
            result: what is returned, with nodes for values.
        """
        self.call = call
        self.plan = plan
        self.result = result
        self.lines: list[str] = []
        self._modules = plan.references(call.module)
        self._names: dict[fx.Node, str] = {}
        self._pending: dict[fx.Node, Text] = {}
        self._uses = self._count_uses()
        self._arguments: list[str] = []
        self._left = Counter(self._uses)  # not yet read by a written line
        self._deepest, self._widest = DEEPEST, WIDEST
        self._read: list[fx.Node] = []
        self._depth = 0

    def write(self) -> tuple[str, list[str]]:
        """The argument list without ``self``, and the lines of the body."""
        taken: set[str] = {"self", "torch", "nn", "F"}
        for node in self.call.inputs:
            self._names[node] = identifier(self.call.names.get(node, node.name), taken)
        self._arguments = list(self._names.values())
        for item in self.call.body:
            self._step(item)
        self._deepest, self._widest = DEEPEST + 1, 2 * WIDEST  # `return` may hold more than an assignment
        returned = self._nest(_occurrences(self.result), lambda: self._value(self.result, outermost=True))
        self._flush()
        self._emit("return ", returned)
        return ", ".join(self._arguments), self.lines

    # ------------------------------------------------------------------ steps

    def _count_uses(self) -> Counter[fx.Node]:
        uses: Counter[fx.Node] = Counter()
        for item in self.call.body:
            uses.update(_reads(item))
        uses.update(_occurrences(self.result))
        return uses

    def _step(self, item: Item) -> None:
        outputs = item.outputs if isinstance(item, Call) else [item]
        text = self._nest(_reads(item), lambda: self._item(item))
        if len(outputs) > 1:
            self._flush()
            self._left.subtract(text.variables)
            names = self._distinct([self._new_name(item, text) for _ in outputs])
            self._names.update(zip(outputs, names, strict=True))
            self.lines.append(f"{', '.join(names)} = {text.code}")
        elif self._uses[outputs[0]] == 0:  # it is there for what it does to a tensor in place
            self._flush()
            self._emit("", text)
        else:
            self._pending[outputs[0]] = text
            if self._uses[outputs[0]] > 1 or (isinstance(item, Call) and len(item.inputs) > 1):
                self._flush()

    def _nest(self, reads: Sequence[fx.Node], write: Callable[[], Text]) -> Text:
        """Write an expression with the pending ones nested in it, or given names before it."""
        wanted = [node for node in reads if node in self._pending]
        last = list(self._pending)[len(self._pending) - len(wanted) :]
        if wanted != last:
            self._flush()
        text = self._attempt(write)
        if wanted and wanted == last and (len(text.code) > self._widest or text.depth > self._deepest):
            self._flush()
            text = self._attempt(write)
        for node in wanted:
            self._pending.pop(node, None)
        return text

    def _emit(self, before: str, text: Text) -> None:
        self._left.subtract(text.variables)
        self.lines.append(before + text.code)

    def _attempt(self, write: Callable[[], Text]) -> Text:
        self._read, self._depth = [], 0
        text = write()
        return Text(text.code, self._depth + 1, text.infix, tuple(self._read))

    def _flush(self) -> None:
        """Give every pending value a variable, in order."""
        pending, self._pending = self._pending, {}
        for node, text in pending.items():
            item = next(i for i in self.call.body if i is node or (isinstance(i, Call) and i.outputs == [node]))
            self._left.subtract(text.variables)
            self._names[node] = self._new_name(item, text)
            if self._names[node] != text.code:
                self.lines.append(f"{self._names[node]} = {text.code}")

    # ------------------------------------------------------------------ names

    def _new_name(self, item: Item, text: Text) -> str:
        """A chain keeps its variable; another value is named after the module that makes it, or ``out``."""
        read = list(dict.fromkeys(text.variables))
        dead = [self._names[node] for node in read if self._left[node] <= 0]
        general = [name for name in dead if name in self._arguments or name.startswith("out")]
        if general and (len(read) == 1 or general[0].startswith("out")):
            return general[0]
        if len(read) == 1 and dead and isinstance(item, fx.Node) and self._base(item) == "out" and self._arguments:
            return self._free(self._arguments[0], self._alive())  # from a named value on, the chain is `x` again
        return self._free(self._base(item), self._alive())

    def _alive(self) -> set[str]:
        """The variables that are still to be read."""
        return {name for node, name in self._names.items() if self._left[node] > 0}

    def _base(self, item: Item) -> str:
        if isinstance(item, Call):
            reference = self._modules[id(item.module)].removeprefix("self")
            return identifier("_".join(part for part in re.split(r"\W+", reference) if part))
        if item.target is getattr:
            return identifier(str(item.args[1]))
        return _BASES.get(str(item.target), "out")

    @staticmethod
    def _free(base: str, taken: set[str]) -> str:
        name, number = base, 1
        while name in taken or name in ("self", "torch", "nn", "F"):
            number += 1
            name = f"{base}_{number}"
        return name

    def _distinct(self, names: list[str]) -> list[str]:
        distinct: list[str] = []
        for name in names:
            distinct.append(self._free(name, self._alive() | set(distinct)))
        return distinct

    # ------------------------------------------------------------------ expressions

    def _item(self, item: Item) -> Text:
        if isinstance(item, Call):
            return self._called(self._modules[id(item.module)], item.inputs, {})
        if item.op == "call_module":
            return self._called(self._modules[id(self.plan.module(item))], item.args, item.kwargs)
        if item.op == "call_method":
            target = self._value(item.args[0], operand=True).code
            return self._called(f"{target}.{_attribute(item.target)}", item.args[1:], item.kwargs)
        return self._function(item.target, item.args, item.kwargs)

    def _function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Text:
        if target in _INFIX and len(args) == 2:
            left, right = (self._value(arg, operand=True).code for arg in args)
            return self._text(f"{left} {_INFIX[target]} {right}", infix=True)
        if target in _PREFIX:
            return self._text(f"{_PREFIX[target]}{self._value(args[0], operand=True).code}", infix=True)
        if target is operator.getitem:
            return self._text(f"{self._value(args[0], operand=True).code}[{self._index(args[1])}]")
        if target is getattr:
            return self._text(f"{self._value(args[0], operand=True).code}.{_attribute(args[1])}")
        if target is same:
            return self._value(args[0])
        if target in _DROPOUTS:
            args, kwargs = _drop_in_training(target, args, kwargs)
        else:
            kwargs = _without_defaults(target, kwargs)
        return self._called(_function_name(target), args, kwargs)

    def _called(self, function: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
        parts = [self._value(arg).code for arg in args]
        parts += [f"{_attribute(name)}={self._value(arg).code}" for name, arg in kwargs.items()]
        return self._text(f"{function}({', '.join(parts)})")

    def _text(self, code: str, infix: bool = False) -> Text:
        return Text(code, 0, infix, ())

    def _value(self, value: Any, operand: bool = False, outermost: bool = False) -> Text:
        if isinstance(value, fx.Node):
            text = self._node(value)
            return self._text(f"({text.code})") if operand and text.infix else text
        if isinstance(value, tuple | list | dict):
            return self._text(self._collection(value, outermost))
        if isinstance(value, slice):
            return self._text(f"slice({', '.join(self._value(v).code for v in (value.start, value.stop, value.step))})")
        code = _constant(value)
        return self._text(f"({code})" if operand and code.startswith("-") else code)

    def _collection(self, value: Any, outermost: bool) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{_constant(key)}: {self._value(inner).code}" for key, inner in value.items()) + "}"
        inner = ", ".join(self._value(part).code for part in value)
        if isinstance(value, list):
            return f"[{inner}]"
        comma = "," if len(value) == 1 else ""
        return inner if outermost and len(value) > 1 else f"({inner}{comma})"

    def _node(self, node: fx.Node) -> Text:
        if node.op == "get_attr":
            owner, name = self.plan.owner(node)
            if id(owner) in self._modules:
                return self._text(f"{self._modules[id(owner)]}.{identifier(name)}")
            return self._text(self._shared_tensor(getattr(owner, name)))
        if node in self._pending:
            text = self._pending[node]
            self._read.extend(text.variables)
            self._depth = max(self._depth, text.depth)
            return text
        self._read.append(node)
        return self._text(self._names[node])

    def _shared_tensor(self, tensor: Any) -> str:
        """A tensor that another module owns too: reach it through the owner in here."""
        for module in self.call.module.modules():
            for name, own in (*module._parameters.items(), *module._buffers.items()):
                if own is tensor and id(module) in self._modules:
                    return f"{self._modules[id(module)]}.{identifier(name)}"
        raise ExportError(f"Cannot reach a parameter of shape {tuple(tensor.shape)} from {self.call.path!r}.")

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(self._index(part) for part in index) + ("," if len(index) == 1 else "")
        if not isinstance(index, slice):
            return self._value(index).code
        start, stop, step = ("" if v is None else self._value(v).code for v in (index.start, index.stop, index.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")


def _reads(item: Item) -> list[fx.Node]:
    """The values that a step reads, in the order of the text, as often as they stand there."""
    return list(item.inputs) if isinstance(item, Call) else _occurrences((item.args, item.kwargs))


def _occurrences(value: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(value, lambda node: found.append(node) if node.op != "get_attr" else None)
    return found


def _attribute(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ExportError(f"Cannot write the name {name!r} as Python code.")
    return name


def _drop_in_training(target: Any, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Dropout was recorded as switched off; in the file it follows the mode of the network again."""
    bound = inspect.signature(target).bind(*args, **kwargs)
    given = dict(bound.arguments)
    source = given.pop("input")
    return (source,), {**{name: value for name, value in given.items() if value is not False}, "training": _TRAINING}


def _without_defaults(target: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Leave out what torch itself filled in: ``F.relu(x)``, not ``F.relu(x, inplace=False)``."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # many functions of torch are built in and have no signature
        return kwargs
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return {name: value for name, value in kwargs.items() if name not in defaults or value is not defaults[name]}


class _Training:
    """Stands for ``self.training``."""


_TRAINING = _Training()


def _constant(value: Any) -> str:
    if value is _TRAINING:
        return "self.training"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or isinstance(value, bool | int | float | str | complex):
        return quoted(value) if isinstance(value, str) else repr(value)
    if value is ...:
        return "..."
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if isinstance(value, torch.Size):
        return repr(tuple(value))
    raise ExportError(f"Cannot write a value of the type {type(value).__name__} as code: {value!r}.")


@cache
def _functions() -> dict[int, str]:
    """Every public function of torch by its identity, under its shortest name."""
    homes = (
        ("torch.fft", torch.fft),
        ("torch.special", torch.special),
        ("torch.linalg", torch.linalg),
        ("torch", torch),
        ("F", functional),
    )
    return {
        id(value): f"{home}.{name}"
        for home, module in homes
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and not isinstance(value, type)
    }


def _function_name(target: Any) -> str:
    if id(target) in _functions():
        return _functions()[id(target)]
    module, name = getattr(target, "__module__", ""), getattr(target, "__name__", repr(target))
    raise ExportError(
        f"The function {module}.{name} is not part of torch, and the file is to need torch alone. "
        "Write it with torch operations, or export with --format torch."
    )
