"""A layer of ``torch.nn`` as the call that makes it: ``nn.Conv2d(16, 32, 3, padding=1)``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nascore.export import ExportError

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

_NOT_OURS = {"device", "dtype", "self"}
"""Where a module lies and how precise it is are set for the whole network, not layer by layer."""

_SHAPES = {"kernel_size", "stride", "padding", "dilation", "output_padding"}
"""Arguments that torch spreads to one number per dimension."""

_RNN = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
_RECURRENT: dict[type[nn.Module], dict[str, Any]] = {
    nn.RNN: {**_RNN, "nonlinearity": "tanh"},
    nn.GRU: _RNN,
    nn.LSTM: {**_RNN, "proj_size": 0},
}
"""These constructors hide their arguments behind ``*args``, so their defaults stand here."""


@dataclass(frozen=True)
class Layer:
    """A constructor call.

    Attributes:
        name: what is called, such as ``nn.Conv2d``.
        required: names of the arguments without a default, in order.
        defaults: the other arguments and their defaults, in order.
        values: the value of every argument.
    """

    name: str
    required: tuple[str, ...]
    defaults: dict[str, Any]
    values: dict[str, Any]


_ASIDE = ("training", "label")
"""Attributes that do not change what a layer is; pictures name a module by its ``label``."""


def is_layer(module: nn.Module) -> bool:
    """Is it a plain layer of ``torch.nn``: neither a container nor somebody's subclass?"""
    kind = type(module)
    return getattr(nn, kind.__name__, None) is kind and kind not in CONTAINERS and kind is not nn.Module


def read_layer(module: nn.Module, path: str) -> Layer:
    """Find the constructor call of a layer, and prove it: the call makes a module with the same settings.

    Args:
        module: a layer, see :func:`is_layer`.
        path: where it is in the network, for the message.

    Raises:
        ExportError: its settings cannot be read back.
    """
    kind = type(module)
    required, defaults = _signature(kind)
    values = {name: _value(module, name, defaults, path) for name in (*required, *defaults)}
    with torch.device("meta"):
        twin = kind(**values)
    if _settings(twin) != _settings(module):
        raise _unreadable(module, path, f"nn.{kind.__name__} made from {values} is another layer")
    return Layer(f"nn.{kind.__name__}", required, defaults, values)


def _signature(kind: type[nn.Module]) -> tuple[tuple[str, ...], dict[str, Any]]:
    if kind in _RECURRENT:
        return ("input_size", "hidden_size"), _RECURRENT[kind]
    required, defaults = [], {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if variadic or name in _NOT_OURS or name.startswith("_"):
            continue
        if parameter.default is parameter.empty:
            required.append(name)
        else:
            defaults[name] = parameter.default
    return tuple(required), defaults


def _value(module: nn.Module, name: str, defaults: dict[str, Any], path: str) -> Any:
    if name == "bias" and isinstance(module, nn.MultiheadAttention):
        return module.in_proj_bias is not None
    if name == "add_bias_kv":
        return getattr(module, "bias_k", None) is not None
    if not hasattr(module, name):
        if name in defaults:
            return defaults[name]
        raise _unreadable(module, path, f"it does not keep its argument {name!r}")
    value = getattr(module, name)
    if name == "bias" and not isinstance(value, bool):
        return value is not None
    if name in ("kdim", "vdim") and value == getattr(module, "embed_dim", None):
        return None
    if name == "stride" and defaults.get(name, ...) is None and value == getattr(module, "kernel_size", None):
        return None
    if name in _SHAPES and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return tuple(value) if isinstance(value, torch.Size) else value


def _settings(module: nn.Module) -> dict[str, Any]:
    """All that makes a layer what it is, apart from the values of its tensors."""
    plain = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in _ASIDE and isinstance(value, bool | int | float | str | tuple)
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    return {"repr": module.extra_repr(), "attributes": plain, "shapes": shapes}


def _unreadable(module: nn.Module, path: str, why: str) -> ExportError:
    return ExportError(
        f"Cannot write the layer {path!r} ({type(module).__name__}) as code: {why}. "
        "Build it of simpler torch.nn layers, or export with --format torch."
    )
