"""A part's options are its constructor's keyword arguments: read them, check them, set them."""

from __future__ import annotations

import contextlib
import inspect
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nascore.errors import NascoreError, SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ANY_KEYWORD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Option:
    """One option of a part, as ``nascore plugins show`` prints it."""

    name: str
    type: str
    default: Any
    required: bool


def options_of(factory: Callable[..., Any]) -> list[Option]:
    """The options that ``factory`` takes, in the order of its signature."""
    return [
        Option(
            name=parameter.name,
            type=_type_name(parameter.annotation),
            default=None if parameter.default is parameter.empty else parameter.default,
            required=parameter.default is parameter.empty,
        )
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind not in _ANY_KEYWORD
    ]


def make(factory: Callable[..., Any], options: Mapping[str, Any], where: str, *given: Any) -> Any:
    """Call ``factory`` with checked options.

    Args:
        factory: class or function of a part.
        options: name -> value, from TOML, ``--set`` or Python.
        where: the table of the settings they came from, for messages (``sampler``).
        given: positional arguments that come first (the PATH of ``folder:PATH``).

    Raises:
        SettingsError: an unknown, missing or unfitting option; names the key and what is allowed.
    """
    from pydantic import ConfigDict, Field, ValidationError, create_model

    parameters = [p for p in inspect.signature(factory).parameters.values() if p.kind not in _ANY_KEYWORD]
    names = [parameter.name for parameter in parameters]
    for name in options:
        if name not in names[len(given) :]:
            near = nearest(name, names[len(given) :])
            raise SettingsError(f"{where}.{name} is no option of {_name(factory)}; {near}.")
    first = dict(zip(names, given, strict=False))  # what is too much, the call itself refuses
    hints = _hints(factory)
    # The fields have names of our own: an option may be called ``copy`` or ``_x``, which a model's field may not.
    fields: dict[str, Any] = {
        f"option_{i}": (hints.get(p.name, Any), Field(... if p.default is p.empty else p.default, alias=p.name))
        for i, p in enumerate(parameters)
    }
    model = create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    try:
        checked = model(**first, **options)
    except ValidationError as error:
        raise SettingsError("; ".join(explain(e, where) for e in error.errors())) from error
    try:
        values = {name: getattr(checked, f"option_{names.index(name)}") for name in (*first, *options)}
        positional = [values.pop(name) for name in first]
        return factory(*positional, *given[len(first) :], **values)
    except NascoreError:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise SettingsError(f"{where}: {error}") from error


def explain(error: Mapping[str, Any], where: str = "") -> str:
    """One pydantic error as a sentence with the dotted key, what was given, and what is allowed."""
    key = ".".join(str(part) for part in ([where] if where else []) + list(error["loc"]))
    if error["type"] == "missing":
        return f"{key} is required: add --set {key}=VALUE"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{key} = {error['input']!r}: {message}"


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types, each on its own: one that only type checkers can see takes no other with it."""
    target: Any = getattr(factory, "__init__", None) if inspect.isclass(factory) else factory
    hints: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        alone = type("Alone", (), {"__annotations__": {name: annotation}})
        with contextlib.suppress(NameError, AttributeError, TypeError):
            hints |= typing.get_type_hints(alone, getattr(target, "__globals__", {}))
    return hints


def _type_name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)
