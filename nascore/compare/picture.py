"""The anytime plot of a comparison: mean score over evaluations, with its 95% interval."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

import numpy as np

from nascore.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from nascore.compare.api import Comparison

SUFFIXES = (".png", ".svg", ".html")


def draw(comparison: Comparison, path: Path) -> None:
    """Write the plot.

    Args:
        comparison: with at least one race.
        path: ends with ``.png``, ``.svg`` or ``.html`` (one file that needs no other).

    Raises:
        UsageError: another ending.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"The plot is {path.name!r}; its name ends with one of {', '.join(SUFFIXES)}.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    evaluations = np.arange(1, max(comparison.budgets) + 1)
    worst = np.inf
    for name, curves in comparison.curves.items():
        table = np.array([[curve.at(int(count)) for count in evaluations] for curve in curves])  # (seeds, evaluations)
        mean = table.mean(axis=0)
        (line,) = axes.plot(evaluations, mean, label=name)
        worst = min(worst, mean[len(mean) // 20]) if comparison.maximise else worst
        if len(table) > 1:
            half = 1.96 * table.std(axis=0, ddof=1) / np.sqrt(len(table))
            axes.fill_between(evaluations, mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0)
    for number, (name, values) in enumerate(comparison.reference.items()):
        points = sorted((int(budget), value) for budget, value in values.items() if int(budget) <= evaluations[-1])
        if points:
            label, marker = f"{name} (reference)", "xovs^D"[number % 6]
            axes.plot(*zip(*points, strict=True), marker=marker, linestyle="none", label=label)
    if np.isfinite(worst):
        axes.set_ylim(bottom=worst)  # the first draws are far below, and hide what matters
    axes.set_xlabel("evaluations")
    axes.set_ylabel(comparison.score.described)
    axes.set_title(comparison.benchmark.name)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    if path.suffix != ".html":
        figure.savefig(path, dpi=120)
        return
    picture = io.StringIO()
    figure.savefig(picture, format="svg")
    svg = picture.getvalue()
    title = html.escape(comparison.benchmark.name)
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title>{svg[svg.index('<svg') :]}"
    path.write_text(page, encoding="utf-8")
