"""A part in words: its summary, its paper, and its options as its constructor documents them."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from nascore.display import columns
from nascore.hooks import Benchmark, Method
from nascore.options import options_of
from nascore.plugins import KINDS, Record, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_WORDS = ("requires", "provides")
_METHOD_FIELDS = ("name", "summary", "paper", "note", "space", "sampler", "evaluator", "data")
_BENCHMARK_FIELDS = (
    "name", "summary", "paper", "note", "space", "evaluator", "data", "objective", "score", "seconds",
)  # fmt: skip


def details(part: Record) -> dict[str, Any]:
    """All about a part, as plain JSON; a part that cannot be imported says so under ``error``."""
    if isinstance(part, Method):
        return {
            **{field: getattr(part, field) for field in _METHOD_FIELDS},
            "costs": list(part.costs),
            "presets": {name: dict(settings) for name, settings in part.presets.items()},
        }
    if isinstance(part, Benchmark):
        return {
            **{field: getattr(part, field) for field in _BENCHMARK_FIELDS},
            "settings": {table: dict(options) for table, options in part.settings.items()},
            "reference": {name: dict(values) for name, values in part.reference.items()},
        }
    out: dict[str, Any] = {"name": part.name, "summary": part.summary, "paper": part.paper, "factory": part.factory}
    try:
        factory = resolve(part.factory)
    except Exception as error:  # noqa: BLE001 - importing a plugin's module can fail in any way
        return {**out, "error": f"{type(error).__name__}: {error}"}
    texts = option_texts(factory)
    options = [
        {
            "name": o.name,
            "type": o.type,
            "default": _plain(o.default),
            "required": o.required,
            "text": texts.get(o.name, ""),
        }
        for o in options_of(factory)
    ]
    words = {word: sorted(getattr(factory, word, ())) for word in _WORDS}
    return {**out, "options": options, **words}


def describe(parts: Mapping[str, Sequence[Record]]) -> str:
    """Parts as text, by kind."""
    blocks = []
    for kind, found in parts.items():
        for part in found:
            told = details(part)
            paper = f" ({told['paper']})" if told["paper"] else ""
            lines = [f"\n{KINDS[kind]} {part.name}: {part.summary}{paper}"]
            if isinstance(part, Benchmark):
                lines += _benchmark_lines(told)
            else:
                lines += _method_lines(told) if isinstance(part, Method) else _component_lines(told)
            blocks.append("\n".join(lines))
    return "\n".join(blocks)


def option_texts(factory: Callable[..., Any]) -> dict[str, str]:
    """What the ``Args:`` sections of the class and its constructor say of each option."""
    found: dict[str, str] = {}
    for owner in (factory, getattr(factory, "__init__", None)):
        found.update(_args_section(inspect.getdoc(owner) or ""))
    return found


def _args_section(doc: str) -> dict[str, str]:
    """The ``name: text`` entries of a Google style docstring; ``a, b: text`` counts for both."""
    match = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
    if match is None:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    indent = len(match[1]) - len(match[1].lstrip())
    for line in match[1].splitlines():
        head = re.fullmatch(rf" {{{indent}}}(\*{{0,2}}\w+(?:, \w+)*)(?: \([^)]*\))?: (.*)", line)
        if head:
            names = head[1].split(", ")
            found.update(dict.fromkeys(names, head[2]))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def _component_lines(told: Mapping[str, Any]) -> list[str]:
    if "error" in told:
        return [f"  cannot be imported: {told['error']}"]
    lines = [f"  {word}: {', '.join(told[word])}" for word in _WORDS if told[word]]
    rows = [
        [o["name"], o["type"], "required" if o["required"] else f"= {o['default']!r}", o["text"]]
        for o in told["options"]
    ]
    return [*lines, *([columns(rows, indent=4)] if rows else [])]


def _method_lines(told: Mapping[str, Any]) -> list[str]:
    lines = [f"  {name}: {told[name]}" for name in ("space", "sampler", "evaluator", "data")]
    lines += [f"  costs: {', '.join(told['costs']) or 'none'}"]
    for name, settings in told["presets"].items():
        lines += [f"  preset {name}:", columns([[key, f"= {value!r}"] for key, value in settings.items()], indent=4)]
    return [*lines, *([f"  note: {told['note']}"] if told["note"] else [])]


def _benchmark_lines(told: Mapping[str, Any]) -> list[str]:
    fields = ("space", "evaluator", "data", "objective", "score", "seconds", "note")
    lines = [f"  {name}: {told[name]}" for name in fields if told[name]]
    lines += [
        f"  {table}.{key} = {value!r}" for table, options in told["settings"].items() for key, value in options.items()
    ]
    rows = [
        [name, ", ".join(f"{at}: {value:g}" for at, value in values.items())]
        for name, values in told["reference"].items()
    ]
    return [*lines, *(["  reference:", columns(rows, indent=4)] if rows else [])]


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None), list, tuple, dict)) else repr(value)
