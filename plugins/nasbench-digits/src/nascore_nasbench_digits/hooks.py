"""What nascore-nasbench-digits offers; records only."""

from __future__ import annotations

from nascore.hooks import Benchmark, Component, hookimpl

PAPER = "arXiv:2001.00326"


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The networks that were trained."""
    return [
        Component(
            "cells",
            "NAS-Bench-201 cells in the small network of this table: 16 channels, one cell on 4x4 maps",
            "nascore_nasbench_digits.space:DigitsCells",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_evaluators() -> list[Component]:
    """The table."""
    return [
        Component(
            "table",
            "learning curve, parameters and multiply-accumulates of a NAS-Bench-201 cell on digits, looked up",
            "nascore_nasbench_digits.lookup:Lookup",
        )
    ]


@hookimpl
def nascore_benchmarks() -> list[Benchmark]:
    """The one task."""
    return [
        Benchmark(
            "nasbench-digits",
            "validation accuracy of 15,625 cells on digits",
            space="nasbench-digits:cells",
            evaluator="nasbench-digits:table",
            data="blocks:digits",
            score="mean_accuracy",
            seconds="train_seconds",
            note="A sampler sees the accuracy of one training of three, an incumbent is scored by their mean.",
        )
    ]
