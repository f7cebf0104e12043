"""Breaking long lines of generated code at their brackets."""

from __future__ import annotations

import re
from typing import Any

WIDTH = 100
"""Characters of a line of the file, where its brackets allow."""

_OPEN, _CLOSE = "([{", ")]}"


def quoted(text: str) -> str:
    """A string literal: in double quotes where nothing needs an escape, else as ``repr`` escapes it."""
    return f'"{text}"' if re.fullmatch(r"[A-Za-z0-9_.:, -]*", text) else repr(text)


def literal(value: Any) -> str:
    """Plain JSON as a Python literal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return quoted(value) if isinstance(value, str) else repr(value)


def block(lines: list[str], indent: int) -> list[str]:
    """Indent statements by ``indent`` spaces and break the long ones."""
    return [out for line in lines for out in wrap(line, indent)]


def wrap(line: str, indent: int) -> list[str]:
    """Break one statement or argument: one part a line, inside its widest pair of brackets."""
    start, end = _widest_brackets(line)
    parts = _parts(line[start + 1 : end]) if start >= 0 else []
    listing = line[:start].endswith(("nn.Sequential", "nn.ModuleList(", "super().__init__")) and len(parts) > 2
    if start < 0 or (indent + len(line) <= WIDTH and not listing):
        return [" " * indent + line]
    joined = ", ".join(parts)
    if not listing and len(parts) > 1 and indent + 4 + len(joined) <= WIDTH and line[start] == "(":
        return [" " * indent + line[: start + 1], " " * (indent + 4) + joined, " " * indent + line[end:]]
    out = [" " * indent + line[: start + 1]]
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        comma = "" if last and len(parts) == 1 and not _is_call(line, start) else ","
        out.extend(wrap(part + comma, indent + 4))
    return [*out, " " * indent + line[end:]]


def _is_call(line: str, start: int) -> bool:
    """Is this bracket one that a comma after its only part does not change?"""
    return line[start] == "(" and start > 0 and (line[start - 1].isalnum() or line[start - 1] in "_)]")


def _scan(text: str) -> list[tuple[int, str, int]]:
    """Position, character and depth of everything outside of string literals."""
    found: list[tuple[int, str, int]] = []
    depth, quote, position = 0, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        else:
            depth -= character in _CLOSE
            found.append((position, character, depth))
            depth += character in _OPEN
        position += 1
    return found


def _widest_brackets(text: str) -> tuple[int, int]:
    """The widest outermost pair of brackets with something in it; (-1, -1) where there is none."""
    best, start = (-1, -1), -1
    for position, character, depth in _scan(text):
        if depth == 0 and character in _OPEN:
            start = position
        elif depth == 0 and character in _CLOSE and position - start > max(best[1] - best[0], 1):
            best = (start, position)
    start, end = best
    if start >= 0 and text[start + 1] in "[{" and _widest_brackets(text[start + 1 : end]) == (0, end - start - 2):
        return start + 1, end - 1  # `nn.ModuleList([...])`: break the inner pair, keep the outer one closed
    return best


def _parts(text: str) -> list[str]:
    """Split at the outermost commas."""
    cuts = [position for position, character, depth in _scan(text) if character == "," and depth == 0]
    parts = [text[begin:end].strip() for begin, end in zip([0, *(cut + 1 for cut in cuts)], [*cuts, None], strict=True)]
    return [part for part in parts if part]
