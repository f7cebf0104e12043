"""Writes docs/hooks.md from the docstrings of ``nascore.hooks``; ``--check`` only compares.

With ``--check`` the exit status is 1 when the page is not what would be written.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.hooks import Component, LifecycleHooks, Method, PartHooks

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parent / "hooks.md"

HEAD = """\
# Hooks

<!-- Written by `python docs/generate.py` from the docstrings of nascore.hooks. Change those, not this page. -->

A plugin is a module that is announced as an entry point in the group `nascore`. Its functions that
carry the name of a hook and the mark `@nascore.hookimpl` are called as this page says. A function
may take fewer arguments than its hook offers. A name that is no hook is an error, and so is a hook
without the mark. [Write a plugin](plugins.md) shows one from start to end.
"""

PARTS = """\
## Parts

These hooks return lists of records. They are called whenever parts are looked up, so the module
imports nothing heavy: a record names its factory by reference, and the reference is imported when
the part is chosen.
"""

LISTEN = """\
A plugin implements them as functions of its module; they are called in every search, whichever method
is chosen. From Python, any object with marked methods can listen:

```python
import nascore


class Listener:
    @nascore.hookimpl
    def nascore_trial_finished(self, trial):
        print(trial.number, trial.status.value, dict(trial.objectives))


options = {"space.blocks": 1, "evaluator.epochs": 1}
nascore.search("random", trials=2, options=options, tracking="off", observers=[Listener()])
```
"""

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*)$")
_ROLE = re.compile(r":(?:class|meth|func|data):`~?([\w.]+)`")


def page() -> str:
    """The whole page."""
    about = _prose(_sections(LifecycleHooks)[0])
    blocks = [HEAD, PARTS, *_hooks(PartHooks), "## Records\n", *map(_record, (Component, Method))]
    return "\n".join([*blocks, f"## Life cycle\n\n{about}\n\n{LISTEN}", *_hooks(LifecycleHooks)])


def _hooks(specifications: type) -> Iterator[str]:
    for name, function in vars(specifications).items():
        if name.startswith("nascore_"):
            yield _hook(name, function)


def _hook(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    arguments = ", ".join(
        parameter.name if parameter.annotation is parameter.empty else f"{parameter.name}: {parameter.annotation}"
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    )
    prose, sections = _sections(function)
    call = f"```text\n{name}({arguments}) -> {signature.return_annotation}\n```"
    lines = [f"### {name}\n\n{call}\n\n{_prose(prose)}"]
    if "Args" in sections:
        lines += ["", *(f"- `{key}`: {text}" for key, text in _entries(sections["Args"]))]
    if "Returns" in sections:
        lines += ["", f"Returns: {_prose(sections['Returns'])}"]
    return "\n".join([*lines, ""])


def _record(record: type) -> str:
    prose, sections = _sections(record)
    defaults = {field.name: _default(field) for field in dataclasses.fields(record)}
    rows = [
        f"| `{name}` | {defaults[name]} | {text} |"
        for names, text in _entries(sections["Attributes"])
        for name in names.split(", ")
    ]
    head = f"### {record.__name__}\n\n{_prose(prose)}\n\n| field | default | meaning |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    return "required" if field.default_factory is dataclasses.MISSING else f"`{field.default_factory()!r}`"


def _sections(documented: Any) -> tuple[str, dict[str, str]]:
    """A docstring's text without its sections, and the sections by name, dedented."""
    text = f"{inspect.getdoc(documented) or ''}\n"
    sections = {match[1]: textwrap.dedent(match[2]).strip() for match in _SECTION.finditer(text)}
    return _SECTION.sub("", text).strip(), sections


def _entries(section: str) -> list[tuple[str, str]]:
    """The ``name: text`` entries of a section, continuation lines joined."""
    found: list[list[str]] = []
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            found.append([entry[1], entry[2]])
        elif line.strip():
            found[-1][1] += f" {line.strip()}"
    return [(name, _prose(text)) for name, text in found]


def _prose(text: str) -> str:
    """Docstring markup as Markdown."""
    return _ROLE.sub(r"`\1`", text).replace("``", "`")


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    if not arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/hooks.md is not what nascore.hooks says: run python docs/generate.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
