"""Training the networks of nasbench-digits: batched against one after the other, in two processes each.

    python benchmarks/nasbench_digits.py [--rounds 3]

Both do the same trainings (ten epochs on digits, validated after each, tested once). The plain way is nascore's
own training loop, already quick for small networks, one network after the other. Rounds are in turn, on the same
pieces of the table, drawn at random; the plain way trains every fourth network of a piece. Rates are by the clock,
both processes together; and by the processor, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch
from common import save

from nascore_blocks.training import evaluate, train
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.produce import RECIPE, TOGETHER, initial_network, load_data, pieces, train_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    Cells = list[tuple[str, ...]]

PROCESSES = 2
SHARE = 4


def batched(cells: Cells) -> int:
    """Train all cells at once; how many there were."""
    train_cells(cells, 0, load_data())
    return len(cells)


def one_by_one(cells: Cells) -> int:
    """Train every fourth cell alone; how many there were."""
    data = load_data()
    chosen = cells[::SHARE]
    for cell in chosen:
        network = initial_network(cell, 0, data)
        train(network, data.train, RECIPE, seed=0, valid=data.valid)
        evaluate(network, data.test)
    return len(chosen)


def timed(work: tuple[Callable[[Cells], int], Cells]) -> tuple[int, float]:
    """Networks, and CPU seconds."""
    torch.set_num_threads(1)
    started = time.process_time()
    return work[0](work[1]), time.process_time() - started


def rates(pool: Any, way: Callable[[Cells], int], parts: list[Cells]) -> tuple[float, float]:
    """Networks per second by the clock, all processes together; and per CPU second of one process."""
    started = time.perf_counter()
    done = pool.map(timed, [(way, cells) for cells in parts], chunksize=1)
    wall = time.perf_counter() - started
    count = sum(number for number, _ in done)
    return count / wall, count / sum(seconds for _, seconds in done)


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    cells = all_cells().representatives
    drawn = random.Random(0).sample([piece for piece in pieces() if piece.seed == 0], PROCESSES * rounds)
    found: dict[str, list[tuple[float, float]]] = {"batched": [], "one by one": []}
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for way in (batched, one_by_one):  # imports and first calls are not measured
            pool.map(timed, [(way, [cells[-1]])] * PROCESSES, chunksize=1)
        for number in range(rounds):
            parts = [
                [cells[network] for network in piece.networks]
                for piece in drawn[PROCESSES * number : PROCESSES * (number + 1)]
            ]
            found["batched"].append(rates(pool, batched, parts))
            found["one by one"].append(rates(pool, one_by_one, parts))
    result: dict[str, Any] = {"rounds": rounds, "processes": PROCESSES, "together": TOGETHER}
    for name, pairs in found.items():
        result[name] = {
            "models_per_second": round(statistics.median(wall for wall, _ in pairs), 2),
            "models_per_cpu_second": round(statistics.median(cpu for _, cpu in pairs), 2),
        }
    both = list(zip(found["batched"], found["one by one"], strict=True))
    result["ratio"] = round(statistics.median(ours[0] / plain[0] for ours, plain in both), 2)
    result["ratio_of_cpu_seconds"] = round(statistics.median(ours[1] / plain[1] for ours, plain in both), 2)
    result["target"] = {"models_per_second": 6, "ratio": 2.3}
    save("nasbench_digits", result)


if __name__ == "__main__":
    main()
