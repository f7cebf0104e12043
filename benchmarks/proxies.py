"""How well do cheap judgements rank networks? Spearman and Kendall with the accuracy after full training.

    python benchmarks/proxies.py [--cells 300] [--resamples 1000]

Zero-cost scores (``blocks:zero-cost``) on two tables: random cells of NAS-Bench-201, built with 16 channels and one
cell a stage and scored on a batch of noise of 3x32x32 (the table has no images), against the mean accuracy on
CIFAR-10 in the table; and random networks of nasbench-digits, scored on a batch of its training images, against
their accuracy in its table. For nasbench-digits also the accuracy after the first epochs: of the first training,
against the mean of the others where a network has several, else against its own end. Intervals are bootstraps over
networks. ``upper half`` are the better half of the networks: that is where a search has to choose.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import save
from scipy.stats import kendalltau, spearmanr

from nascore.contracts import Splits, Task
from nascore.records import Candidate
from nascore.seeding import derive_seed, isolated_random
from nascore.testing import MemoryContext
from nascore_blocks.data import Digits
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.nasbench201 import NAMES, NASBench201
from nascore_blocks.zerocost import SCORES, ZeroCost
from nascore_nasbench201.table import OPS, read
from nascore_nasbench_digits.data import load_table
from nascore_nasbench_digits.space import DigitsCells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Architecture

EPOCHS = (1, 2, 3, 5)
BATCH = 32


def correlation(proxy: Sequence[float], truth: Sequence[float], resamples: int) -> dict[str, Any]:
    """Rank correlations (average ranks for ties), a 95% interval of Spearman's, and Spearman's of the upper half."""
    one, two = np.asarray(proxy, dtype=float), np.asarray(truth, dtype=float)
    picks = np.random.default_rng(0).integers(len(one), size=(resamples, len(one)))
    low, high = np.nanpercentile([spearmanr(one[p], two[p]).statistic for p in picks], [2.5, 97.5])
    upper = two >= np.median(two)
    return {
        "spearman": round(float(spearmanr(one, two).statistic), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "kendall": round(float(kendalltau(one, two).statistic), 3),
        "spearman_upper_half": round(float(spearmanr(one[upper], two[upper]).statistic), 3),
    }


def scored(space: NASBench201, data: Splits, architectures: Sequence[Architecture], name: str) -> list[float]:
    """One score of each network, each with weights of its own seed."""
    evaluator, found = ZeroCost(name, batch_size=BATCH), []
    space.setup(data.task)
    evaluator.setup(space, data)
    for architecture in architectures:
        seed = derive_seed(0, architecture.key)
        with isolated_random(seed):
            measured = evaluator.evaluate(Candidate(architecture), MemoryContext(data, seed=seed))
        found.append(measured.objectives["score"])
    return found


def all_scores(
    space: NASBench201, data: Splits, cells: Sequence[Architecture], truth: Sequence[float], resamples: int
) -> dict[str, Any]:
    """Correlation of each score with the truth, and what a score of one network takes."""
    result: dict[str, Any] = {}
    for name in SCORES:
        started = time.perf_counter()
        found = scored(space, data, cells, name)
        milliseconds = 1000 * (time.perf_counter() - started) / len(cells)
        result[name] = {**correlation(found, truth, resamples), "ms_each": round(milliseconds, 1)}
        print(name, result[name], flush=True)
    return result


def on_nasbench201(count: int, resamples: int) -> dict[str, Any]:
    """Random cells, each network once, against the table's mean accuracy on CIFAR-10."""
    rows = read("cifar10")
    space, rng = NASBench201(channels=16, cells=1, reductions=2), random.Random(0)
    keys = list(rows)
    cells: dict[str, Architecture] = {}
    truth: dict[str, float] = {}
    while len(cells) < count:
        key = rng.choice(keys)
        made = space.architecture({name: OPS[int(digit)] for name, digit in zip(NAMES, key, strict=True)})
        cells.setdefault(made.key, made)
        truth.setdefault(made.key, statistics.fmean(rows[key].accuracies))
    generator = torch.Generator().manual_seed(0)
    noise = TensorSplit(
        torch.randn(4 * BATCH, 3, 32, 32, generator=generator), torch.randint(10, (4 * BATCH,), generator=generator)
    )
    data = Splits(Task("noise", (3, 32, 32), 10), noise, noise).for_search()
    return {"cells": count, **all_scores(space, data, list(cells.values()), list(truth.values()), resamples)}


def digits_cells(count: int) -> tuple[DigitsCells, list[Architecture], np.ndarray[Any, Any], list[int]]:
    """Random trained networks, their curves (networks, seeds, epochs), NaN where not trained, and parameters."""
    table, space = load_table(), DigitsCells()
    trained = [n for n in range(len(table.curves)) if np.isfinite(table.accuracy[n]).any()]
    chosen = random.Random(0).sample(trained, min(count, len(trained)))
    first = np.unique(table.network, return_index=True)[1]
    ops = list(space.ops)
    cells = [space.architecture(dict(zip(NAMES, (ops[o] for o in table.ops[first[n]]), strict=True))) for n in chosen]
    return space, cells, table.curves[chosen], table.params[chosen].tolist()


def on_digits(count: int, resamples: int) -> dict[str, Any]:
    """Scores and early epochs against the table's accuracy."""
    space, cells, curves, _ = digits_cells(count)
    truth = np.nanmean(curves[:, :, -1], axis=1)
    several = bool(np.isfinite(curves[:, 1:, -1]).any(axis=1).all())
    others = np.nanmean(curves[:, 1:, -1], axis=1) if several else curves[:, 0, -1]
    result: dict[str, Any] = {
        "networks": len(cells),
        "trainings_each": round(float(np.isfinite(curves[:, :, -1]).sum(axis=1).mean()), 2),
        **all_scores(space, Digits().load(0).for_search(), cells, truth.tolist(), resamples),
    }
    for epoch in EPOCHS:
        early = curves[:, 0, epoch - 1]
        known = np.isfinite(early) & np.isfinite(others)
        found = correlation(early[known].tolist(), others[known].tolist(), resamples)
        result[f"epoch {epoch} of {curves.shape[2]}"] = {
            **found,
            "against": "other trainings" if several else "its own end",
        }
        print(f"epoch {epoch}", found, flush=True)
    return result


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=300, help="networks of each table")
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "nasbench201": on_nasbench201(arguments.cells, arguments.resamples),
        "nasbench_digits": on_digits(arguments.cells, arguments.resamples),
    }
    save("proxies", result)


if __name__ == "__main__":
    main()
