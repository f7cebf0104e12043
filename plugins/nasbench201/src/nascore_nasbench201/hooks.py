"""What nascore-nasbench201 offers; records only."""

from __future__ import annotations

from nascore.hooks import Benchmark, Component, hookimpl

PAPER = "arXiv:2001.00326"

NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}

REFERENCE = {
    "cifar10": {
        "random": {"100": 91.03, "200": 91.15},
        "regularised evolution P=50 S=10": {"100": 91.33, "200": 91.51},
        "local search": {"100": 91.45, "200": 91.53},
        "Optuna 5 TPE": {"100": 91.46, "200": 91.55},
        "optimum": {"100": 91.61, "200": 91.61},
    },
    "cifar100": {
        "random": {"100": 71.40, "200": 71.79},
        "regularised evolution P=50 S=10": {"100": 72.41, "200": 73.17},
        "local search": {"100": 72.95, "200": 73.24},
        "Optuna 5 TPE": {"100": 72.88, "200": 73.24},
        "optimum": {"100": 73.49, "200": 73.49},
    },
    "imagenet16-120": {
        "random": {"100": 45.23, "200": 45.50},
        "regularised evolution P=50 S=10": {"100": 45.83, "200": 46.21},
        "local search": {"100": 46.00, "200": 46.23},
        "Optuna 5 TPE": {"100": 46.09, "200": 46.32},
        "optimum": {"100": 46.73, "200": 46.73},
    },
}
"""Means of 500 races by the protocol of this benchmark on this very table, per cent; not ours."""

WORST: dict[str, dict[str, float]] = {"cifar10": {"accuracy": 80.0}, "cifar100": {}, "imagenet16-120": {}}
"""What a front is counted from, per cent; latency, and what is not named, from the worst cell."""


@hookimpl
def nascore_evaluators() -> list[Component]:
    """The table."""
    return [
        Component(
            "table",
            "accuracy, latency, parameters and training time of a NAS-Bench-201 cell, looked up",
            "nascore_nasbench201.table:Table",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_datasets() -> list[Component]:
    """The tasks of the table, without their images."""
    return [
        Component(
            "images",
            "the shape of a NAS-Bench-201 data set; its images are not needed",
            "nascore_nasbench201.table:Images",
        )
    ]


@hookimpl
def nascore_benchmarks() -> list[Benchmark]:
    """One for each data set of the paper."""
    return [
        Benchmark(
            f"nasbench201-{name}",
            f"validation accuracy of 15,625 cells on {title}",
            space="blocks:nasbench201",
            evaluator="nasbench201:table",
            data="nasbench201:images",
            settings={
                "space": {"channels": 16, "cells": 5},
                "evaluator": {"dataset": name},
                "data": {"dataset": name},
            },
            score="mean_accuracy",
            seconds="train_seconds",
            reference_point=WORST[name],
            reference=REFERENCE[name],
            paper=PAPER,
            note="A sampler sees the accuracy of one training, drawn from up to three; an incumbent is scored by the "
            "mean of its cell's trainings.",
        )
        for name, title in NAMES.items()
    ]
