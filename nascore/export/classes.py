"""The classes of the file: one for each distinct structure, with arguments where its modules differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

import torch
from torch import nn

from nascore.export import ExportError
from nascore.export.expressions import ForwardWriter
from nascore.export.layers import CONTAINERS, Layer, is_layer, read_layer
from nascore.export.layout import block, quoted
from nascore.export.plan import Plan, identifier, own_tensors
from nascore.export.trace import MOST_INLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

MOST_ARGUMENTS = 8
"""A class with more arguments than that is harder to read than several classes."""

_TAKEN = {"nn", "torch", "F", "self", "Path", "json", "load", "read_safetensors", "WEIGHTS", "ARCHITECTURE", "Network"}
_CHANNELS = {"in_channels", "out_channels"}


@dataclass
class Group:
    """A list or a chain of modules that is written where it stands."""

    kind: str
    children: list[tuple[str, Part]]


@dataclass(eq=False)
class Made:
    """One module that is written as a class.

    Attributes:
        module: what it is made from.
        name: of the class; equal for the modules that share one, once it is settled.
        chain: a subclass of ``nn.Sequential``.
        children: name -> what is made there.
        tensors: lines that make its own parameters and buffers.
        arguments: of the method ``forward``.
        forward: lines of that method; none where it is not called as a whole.
        given: argument of the constructor -> value.
    """

    module: nn.Module
    name: str
    chain: bool
    children: list[tuple[str, Part]]
    tensors: list[str]
    arguments: str
    forward: list[str]
    given: dict[str, Any] = field(default_factory=dict)


Part = Union[Layer, Group, Made, None]
"""``None`` keeps a place in a list where evaluation needs nothing."""

Slot = tuple[str, str]
"""Where in a constructor an argument stands (``op.1``), and its name (``in_channels``)."""


class ClassWriter:
    """Turns a plan into the text of its classes; the network itself comes last, as ``Network``."""

    def __init__(self, plan: Plan, weights: bool) -> None:
        """
        Args:
            plan: what becomes a class.
            weights: the values of large buffers will come from a file.
        """
        self.plan = plan
        self.weights = weights
        self._forwards = _write_forwards(plan)
        self._made: dict[int, Made] = {}
        self._taken = set(_TAKEN)

    def write(self, last: list[str]) -> str:
        """The text of all classes.

        Args:
            last: lines that end the constructor of the network.
        """
        self._make(self.plan.network, "")
        made = list(self._made.values())
        texts: list[str] = []
        for height in range(1, max(map(_height, made)) + 1):  # a class is settled after those inside it
            alike: dict[str, list[Made]] = {}
            for one in made:
                if _height(one) == height:
                    alike.setdefault(_skeleton(one), []).append(one)
            for members in alike.values():
                texts.extend(self._settle(members, last))
        return "\n\n\n".join(texts)

    # ------------------------------------------------------------------ what is made

    def _make(self, module: nn.Module, path: str) -> Part:
        if not self.plan.uses(module):
            return None
        if is_layer(module):
            return read_layer(module, path)
        network = module is self.plan.network
        if type(module) in CONTAINERS and not network:
            return Group(f"nn.{type(module).__name__}", self._children(module, path))
        if id(module) not in self._made:
            arguments, forward = self._forwards.get(id(module), ("", []))
            chain = self.plan.chained(module)
            made = Made(
                module,
                type(module).__name__,
                chain,
                self._children(module, path),
                [self._tensor(*own, path) for own in own_tensors(module) if (id(module), own[0]) in self.plan.own],
                arguments,
                [] if chain else forward,
            )
            self._made[id(module)] = made
        return self._made[id(module)]

    def _children(self, module: nn.Module, path: str) -> list[tuple[str, Part]]:
        return [(name, self._make(child, f"{path}.{name}".strip("."))) for name, child in self.plan.children(module)]

    def _tensor(self, name: str, tensor: Tensor, path: str) -> str:
        new = identifier(name)
        if isinstance(tensor, nn.Parameter):
            frozen = "" if tensor.requires_grad else ", requires_grad=False"
            return f"self.{new} = nn.Parameter({_initial(tensor)}{frozen})"
        value = _exact(tensor)
        if value is None and not self.weights:
            raise ExportError(
                f"The buffer {name!r} of {path or 'the network'!r} has {tensor.numel()} values; export it with weights."
            )
        return f'self.register_buffer("{new}", {value or _filled("zeros", tensor)})'

    # ------------------------------------------------------------------ classes

    def _settle(self, members: list[Made], last: list[str]) -> list[str]:
        """Find the arguments of the class that ``members`` share; give each its values; write the class."""
        table = [dict(_slots(one.children)) for one in members]
        columns = {slot: tuple(repr(row[slot]) for row in table) for slot in table[0]}
        differing = {slot: column for slot, column in columns.items() if len(set(column)) > 1}
        distinct = list(dict.fromkeys(differing.values()))
        if len(distinct) > MOST_ARGUMENTS:
            equal: dict[tuple[str, ...], list[Made]] = {}
            for position, one in enumerate(members):
                equal.setdefault(tuple(column[position] for column in distinct), []).append(one)
            return [text for same in equal.values() for text in self._settle(same, last)]
        names = _argument_names(differing)
        lifted = {slot: names[column] for slot, column in differing.items()}
        first = members[0]
        network = any(one.module is self.plan.network for one in members)
        name = "Network" if network else identifier(first.name, self._taken, mark="")
        for one, row in zip(members, table, strict=True):
            one.name = name
            one.given = {argument: row[slot] for slot, argument in lifted.items()}
        return [_class_text(first, list(names.values()), lifted, last if network else [])]


def _write_forwards(plan: Plan) -> dict[int, tuple[str, list[str]]]:
    """Write ``forward`` of every module; one that is called in different ways goes into its callers."""
    while True:
        written: dict[int, tuple[str, list[str]]] = {}
        for call in plan.root.calls():
            result = plan.result if call is plan.root else _result(call.outputs)
            text = ForwardWriter(call, plan, result).write()
            if written.setdefault(id(call.module), text) != text:
                plan.dissolve(call.module)
                break
        else:
            return written


def _result(outputs: list[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _argument_names(differing: dict[Slot, tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Name each distinct column of values after the arguments that take it."""
    names: dict[tuple[str, ...], str] = {}
    taken = {"self", "nn", "torch", "F"}
    for column in dict.fromkeys(differing.values()):
        slots = [slot for slot, values in differing.items() if values == column]
        arguments = {argument for _, argument in slots}
        place, wanted = slots[0]
        if arguments >= _CHANNELS:
            wanted = "channels"
        if wanted in taken and not place.replace(".", "").isdigit():
            wanted = f"{identifier(place.split('.')[0])}_{wanted}"
        names[column] = identifier(wanted, taken)
    return names


def _slots(children: list[tuple[str, Part]], prefix: str = "") -> Iterator[tuple[Slot, Any]]:
    for name, part in children:
        if isinstance(part, Group):
            yield from _slots(part.children, f"{prefix}{name}.")
        elif part is not None:
            values = part.values if isinstance(part, Layer) else part.given
            for argument, value in values.items():
                yield (prefix + name, argument), value


def _height(part: Part) -> int:
    """Classes inside classes, this one included."""
    if part is None or isinstance(part, Layer):
        return 0
    return isinstance(part, Made) + max((_height(child) for _, child in part.children), default=0)


def _skeleton(part: Part) -> str:
    """All that two modules must share to be one class: everything but the values of arguments."""
    if part is None:
        return "-"
    if isinstance(part, Layer):
        return part.name
    children = [(name, child.name if isinstance(child, Made) else _skeleton(child)) for name, child in part.children]
    if isinstance(part, Group):
        return repr((part.kind, children))
    return repr((part.name, part.chain, children, part.tensors, part.arguments, part.forward))


# ---------------------------------------------------------------------------------------- text


def _class_text(made: Made, arguments: list[str], lifted: dict[Slot, str], last: list[str]) -> str:
    base = "nn.Sequential" if made.chain else "nn.Module"
    parameters = ", ".join(["self", *arguments])
    parts = [(name, _part_text(part, name, lifted)) for name, part in made.children]
    if made.chain:
        body = [f"super().__init__({', '.join(text for _, text in parts)})"]
    else:
        body = ["super().__init__()", *(f"self.{name} = {text}" for name, text in parts)]
    lines = [f"class {made.name}({base}):"]
    lines += [*block([f"def __init__({parameters}):"], 4), *block([*body, *made.tensors, *last], 8)]
    if made.forward:
        header = f"def forward({', '.join(filter(None, ['self', made.arguments]))}):"
        lines += ["", *block([header], 4), *block(made.forward, 8)]
    return "\n".join(lines)


def _part_text(part: Part, place: str, lifted: dict[Slot, str]) -> str:
    if part is None:
        return "nn.Identity()"
    if isinstance(part, Made):
        given = (f"{name}={lifted.get((place, name)) or repr(value)}" for name, value in part.given.items())
        return f"{part.name}({', '.join(given)})"
    if isinstance(part, Layer):
        return _layer_text(part, place, lifted)
    texts = [(name, _part_text(child, f"{place}.{name}", lifted)) for name, child in part.children]
    if part.kind == "nn.ModuleDict":
        return f"nn.ModuleDict({{{', '.join(f'{quoted(name)}: {text}' for name, text in texts)}}})"
    inner = ", ".join(text for _, text in texts)
    return f"nn.ModuleList([{inner}])" if part.kind == "nn.ModuleList" else f"nn.Sequential({inner})"


def _layer_text(layer: Layer, place: str, lifted: dict[Slot, str]) -> str:
    parts = [lifted.get((place, name)) or repr(layer.values[name]) for name in layer.required]
    for name, default in layer.defaults.items():
        value = layer.values[name]
        if (place, name) in lifted:
            parts.append(f"{name}={lifted[place, name]}")
        elif value != default or type(value) is not type(default):
            parts.append(f"{name}={value!r}")
    return f"{layer.name}({', '.join(parts)})"


def _initial(parameter: Tensor) -> str:
    """A start for a parameter: its own value where that is one number, else noise of the same spread."""
    exact = _exact(parameter) if parameter.numel() == 1 or _is_uniform(parameter) else None
    return exact or f"{parameter.float().std().item():.2g} * torch.randn({_shape(parameter)})"


def _exact(tensor: Tensor) -> str | None:
    """The very values of a tensor as code, if they are few or all the same."""
    if tensor.numel() and _is_uniform(tensor):
        value = tensor.flatten()[0].item()
        if tensor.dtype == torch.float32 and value in (0, 1):
            return _filled("ones" if value else "zeros", tensor)
        if tensor.dim():
            return f"torch.full({_shape(tensor, True)}, {_number(value)}{_dtype(tensor)})"
    if tensor.numel() <= MOST_INLINE:
        return f"torch.tensor({_nested(tensor.tolist())}{_dtype(tensor)})"
    return None


def _is_uniform(tensor: Tensor) -> bool:
    return bool((tensor == tensor.flatten()[:1]).all())


def _filled(function: str, tensor: Tensor) -> str:
    return f"torch.{function}({_shape(tensor)}{_dtype(tensor)})"


def _shape(tensor: Tensor, as_tuple: bool = False) -> str:
    return repr(tuple(tensor.shape)) if as_tuple or tensor.dim() == 0 else ", ".join(map(str, tensor.shape))


def _dtype(tensor: Tensor) -> str:
    return "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"


def _number(value: Any) -> str:
    return f'float("{value}")' if value != value or value in (float("inf"), float("-inf")) else repr(value)


def _nested(value: Any) -> str:
    return f"[{', '.join(map(_nested, value))}]" if isinstance(value, list) else _number(value)
