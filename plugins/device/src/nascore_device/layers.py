"""The layer calls of a network: what a look-up table has an entry for.

A layer is a module without children; what a network computes outside of those (sums, concatenations,
functional activations) counts call by call. Two calls are the same layer when type, settings, shapes
of parameters and shapes of arguments are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (type(None), bool, int, float, str)


class Call(NamedTuple):
    """One call of a layer.

    Attributes:
        key: equal for equal layers on arguments of equal shapes, whatever the device.
        label: coarser: type, kernel, and the size of the input to a power of two.
        run: calls it again, with the arguments it had.
    """

    key: str
    label: str
    run: Callable[[], object]


def calls_of(network: nn.Module, inputs: Tensor) -> list[Call]:
    """The layer calls of ``network(inputs)``, in order.

    Args:
        network: on any device, the meta device too.
        inputs: a batch on the same device.
    """
    recorder = _Recorder()
    handles = []
    for module in network.modules():
        if next(module.children(), None) is None:
            handles.append(module.register_forward_pre_hook(recorder.enter, with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.leave, always_call=True))
    try:
        with recorder:
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.calls


class _Recorder(TorchFunctionMode):
    """Notes layers, and functions that are called outside of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._inside = 0

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A layer is called."""
        self._inside += 1
        if self._inside == 1:
            name = _type_name(type(module))
            key = f"{name}({_settings(module)}) <- {_described([*args, kwargs])}"
            label = f"{name}{_kernel(module)} {_size_class((args, kwargs))}"
            self.calls.append(Call(key, label, lambda: module(*args, **kwargs)))

    def leave(self, *_: object) -> None:
        """It has returned, or raised."""
        self._inside -= 1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """A torch function is called; one that gives no tensor (a shape, say) computes nothing."""
        given = dict(kwargs or {})
        out = func(*args, **given)
        if not self._inside and getattr(func, "__name__", "") != "__get__" and _tensors(out):
            name = resolve_name(func) or getattr(func, "__name__", type(func).__name__)
            key = f"{name} <- {_described([*args, given])}"
            self.calls.append(Call(key, f"{name} {_size_class((args, given))}", lambda: func(*args, **given)))
        return out


def _type_name(kind: type) -> str:
    """The class; with its module where it is not torch's own."""
    return kind.__qualname__ if kind.__module__.startswith("torch.nn.") else f"{kind.__module__}.{kind.__qualname__}"


def _settings(module: nn.Module) -> str:
    """What sets a module apart from others of its type: plain attributes, and shapes of what it holds."""
    plain = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE and _is_plain(value)}
    held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return ", ".join([*(f"{k}={v!r}" for k, v in plain.items()), *(f"{k}:{_described(t)}" for k, t in held)])


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, (list, tuple)) and all(map(_is_plain, value)))


def _described(value: Any) -> str:
    """Shapes of tensors, values of plain things, types of the rest; nothing about the device."""
    if isinstance(value, Tensor):
        kind = "" if value.dtype == torch.float32 else str(value.dtype).removeprefix("torch.")
        return f"{kind}[{','.join(map(str, value.shape))}]"
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, dict):
        return "".join(f" {name}={_described(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(filter(None, map(_described, value))) if value else "()"
    return type(value).__name__


def _kernel(module: nn.Module) -> str:
    size = getattr(module, "kernel_size", None)
    if size is None:
        return ""
    sides = size if isinstance(size, tuple) else (size,)
    return f" {'x'.join(map(str, sides))}{' grouped' if getattr(module, 'groups', 1) != 1 else ''}"


def _size_class(given: Any) -> str:
    elements = sum(tensor.numel() for tensor in _tensors(given))
    return f"2^{round(math.log2(elements))}" if elements else "-"


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (list, tuple)) else []
