"""Do pretext tasks rank architectures as labels do? Rank correlation on nasbench-digits.

    python benchmarks/unnas.py [--architectures 120] [--tasks rotation jigsaw] [--epochs 4]

Random networks of nasbench-digits are trained on a pretext task of the digits' training images and judged on it by
those of ``valid``, never seeing a label; the other side is the accuracy with labels in the table, the mean over its
trainings. The space is that of the table. What was trained is kept in ``--cache``, so a stopped benchmark goes on
where it was. Where networks have several trainings in the table, the correlation between two of them says how
much of the truth is noise. ``params_alone`` is how well the number of parameters ranks the same networks: what a
pretext task has to beat.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import RESULTS, save
from proxies import correlation, digits_cells
from ranking import Cache

from nascore.records import Candidate
from nascore.seeding import derive_seed, isolated_random
from nascore.testing import MemoryContext
from nascore_blocks.data import Digits
from nascore_unnas.jigsaw import Jigsaw
from nascore_unnas.rotation import Rotation

if TYPE_CHECKING:
    from nascore.contracts import Splits
    from nascore.records import Architecture
    from nascore_nasbench_digits.space import DigitsCells
    from nascore_unnas.pretext import Pretext

TASKS: dict[str, type[Pretext]] = {"rotation": Rotation, "jigsaw": Jigsaw}


def pretext(
    task: str, options: dict[str, Any], space: DigitsCells, data: Splits, cell: Architecture
) -> dict[str, float]:
    """Accuracy and loss of one training, and what it took."""
    evaluator = TASKS[task](**options, save_weights=False)
    evaluator.setup(space, data)
    seed, started = derive_seed(0, cell.key), time.perf_counter()
    with isolated_random(seed):
        found = evaluator.evaluate(Candidate(cell), MemoryContext(data, seed=seed)).objectives
    return {**found, "seconds": time.perf_counter() - started}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=120)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64, help="images a step")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--cache", type=Path, default=RESULTS / "unnas_cache.json")
    parser.add_argument("--name", default="unnas", help="of the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cache, data = Cache(arguments.cache), Digits().load(0).for_search()
    space, cells, curves, params = digits_cells(arguments.architectures)
    space.setup(data.task)
    truth = np.nanmean(curves[:, :, -1], axis=1).tolist()
    options = {
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.learning_rate,
    }
    result: dict[str, Any] = {"architectures": len(cells), "training": options, "paper": "Spearman above 0.8"}
    result["trainings_with_labels_each"] = float(np.isfinite(curves[:, :, -1]).sum(axis=1).mean())
    result["params_alone"] = correlation(params, truth, arguments.resamples)
    both = np.isfinite(curves[:, :2, -1]).all(axis=1)
    if both.sum() > len(cells) / 2:
        first, second = curves[both][:, :2, -1].T.tolist()
        result["two_trainings_with_labels"] = correlation(first, second, arguments.resamples)
    for task in arguments.tasks:
        found = []
        for number, cell in enumerate(cells, start=1):
            key = (task, options, cell.key)
            found.append(cache.get(key, lambda t=task, c=cell: pretext(t, options, space, data, c)))  # type: ignore[misc]  # bound in the loop
            if number % 10 == 0:
                print(f"{task}: {number} of {len(cells)}, {found[-1]}", flush=True)
        result[task] = {
            "by_accuracy": correlation([f["accuracy"] for f in found], truth, arguments.resamples),
            "by_loss": correlation([-f["loss"] for f in found], truth, arguments.resamples),
            "accuracy": {"least": min(f["accuracy"] for f in found), "most": max(f["accuracy"] for f in found)},
            "seconds_each": round(sum(f["seconds"] for f in found) / len(found), 2),
        }
    save(arguments.name, result)


if __name__ == "__main__":
    main()
