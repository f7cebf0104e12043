"""Rule 1: the core names no method, no data set, no op, no epoch. It knows contracts only."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "nascore"
# What speaks to people, or renders an example for them, may name one.
FOR_PEOPLE = ("cli", "testing", "export", "doctor.py", "template")
FORBIDDEN = re.compile(
    r"(?<![a-z])(epochs?|amoebanets?|nasnets?|darts|enas|snas|pnas|proxyless\w*|metaqnn|hnas|smash|automl\w*|"
    r"digits|mnist|cifar\w*|imagenet|sep_?conv\w*|dil_?conv\w*|max_?pool\w*|avg_?pool\w*|skip_?connect\w*|"
    r"supernets?|(?:normal|reduction)_?cells?|alphas)(?![a-z])"
)
KNOWN: dict[str, str] = {}
"""Breaches that are known; mending one makes this list fail."""
ALLOWED = {
    "No method is installed; try: pip install nascore-amoebanet": "advice to people: a method to begin with",
}


def snake(text):
    """``NASNetSpace`` -> ``nasnet_space``, so that the words of a class name are seen too."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", text).lower()


def docstrings(tree):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = set()
    for node in ast.walk(tree):
        for statement in getattr(node, "body", []) if isinstance(node, (*kinds, ast.If)) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                found.add(id(statement.value))  # docstrings, and the strings that explain a constant
    return found


def named(source):
    """(line, text) of what names something that the core must not know, docstrings excepted."""
    tree = ast.parse(source)
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        texts = [
            getattr(node, attribute)
            for attribute in ("id", "attr", "arg", "name", "asname", "module")
            if isinstance(getattr(node, attribute, None), str)
        ]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            texts.append(node.value)
        for text in texts:
            if FORBIDDEN.search(snake(text)) and text not in ALLOWED:
                yield getattr(node, "lineno", 0), text


def files():
    return [p for p in sorted(CORE.rglob("*.py")) if not {*FOR_PEOPLE} & {*p.relative_to(CORE).parts}]


def cases():
    for path in files():
        name = path.relative_to(CORE).as_posix()
        marks = [pytest.mark.xfail(reason=KNOWN[name], strict=True)] if name in KNOWN else []
        yield pytest.param(path, marks=marks, id=name)


@pytest.mark.parametrize("path", list(cases()))
def test_the_core_names_no_method_data_set_op_or_epoch(path):
    assert list(named(path.read_text(encoding="utf-8"))) == []


def test_the_core_is_looked_at():
    assert {"loop.py", "api.py", "settings.py", "tracking"} <= {p.relative_to(CORE).parts[0] for p in files()}


@pytest.mark.parametrize(
    "source",
    ["epochs = 3", "def f(epoch): ...", "x.num_epochs", "a = 'sep_conv_3x3'", "from nascore_darts import x",
     "f(epochs=3)", "SepConv(3)",
     "if method == 'amoebanet': ...",
     "class NASNetSpace: ...", "class C:\n    '''Fine: darts.'''\n    data = 'cifar10'"],
)  # fmt: skip
def test_the_check_itself_sees_a_name(source):
    assert [line for line, _ in named(source)] == [source.count("\n") + 1]


@pytest.mark.parametrize(
    "source", ["'''epochs'''", "def f():\n    '''DARTS'''", "x = 3\n'''epochs'''", "cancelled = 'excellent'"]
)
def test_docstrings_may_give_examples(source):
    assert list(named(source)) == []
