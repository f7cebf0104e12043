"""Peak memory of one search step of each weight-sharing method on one supernet, against DARTS's.

    python benchmarks/memory.py [--configurations small large]

All run on the supernet of DARTS's cells, with batches of noise of 3x32x32. A step is what the method does between
two steps of its alpha: for ProxylessNAS also each half of it alone, the weight step on one path and the step of alpha
on two. Each is measured in a process of its own: the largest resident memory while it runs, above that once the
supernet, its optimiser and the batches are there. DARTS runs as nascore runs it and the plain way of
``supernet.py``, which is that of the public code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
from typing import TYPE_CHECKING, Any

import torch
from common import save
from supernet import CLIP, DECAY, MOMENTUM, RATE, SIZES, _high_water, parts, plain_search

from nascore.contracts import Task
from nascore.records import Direction, Objective
from nascore_blocks.recipe import Recipe
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.policy import Batch, Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore.contracts import Sampler
    from nascore_blocks.supernet.policy import Policy

TARGET = 0.35
STEPS = ("darts plain", "darts", "snas", "enas", "proxylessnas", "proxylessnas weights", "proxylessnas alpha")
PLAIN = "darts plain"


def sampler(name: str) -> Sampler:
    """The method's sampler, with the options of its paper."""
    if name.startswith("proxylessnas"):
        from nascore_proxylessnas.sampler import ProxylessNAS

        return ProxylessNAS(every=1, cost="macs")
    if name == "snas":
        from nascore_snas.sampler import SNAS

        return SNAS()
    if name == "enas":
        from nascore_enas.sampler import ENAS

        return ENAS()
    from nascore_darts.sampler import DARTS

    return DARTS()


def step_of(name: str, size: dict[str, int]) -> Callable[[], object]:
    """Build all that a step needs, and give the step."""
    if name == PLAIN:
        supernet, darts, batches = parts(size, "first")
        plain: Callable[[], object] = plain_search(supernet, darts, batches, "first")
        return plain
    torch.manual_seed(0)
    space = DARTSSpace(channels=size["channels"], cells=size["cells"])
    task = Task("noise", (3, 32, 32), 10)
    space.setup(task)
    method: Any = sampler(name)
    method.setup(space, [Objective("accuracy", Direction.MAXIMIZE)], 0)
    shared = tools(space, task, size["batch"])
    policy: Policy = method.policy
    policy.begin(shared)
    if name == "proxylessnas weights":
        return lambda: shared.step(policy.mix(shared), shared.train_batch())
    if name == "proxylessnas alpha":
        return lambda: method.policy.learn(shared)
    return lambda: policy.iterate(shared)


def tools(space: DARTSSpace, task: Task, batch: int) -> Shared:
    """What a policy trains with; both streams give the same batch of noise again and again."""
    supernet = space.supernet(task).train()
    fixed = [Batch(torch.randn(batch, *task.shape), torch.randint(task.classes, (batch,))) for _ in "tv"]
    optimizer = torch.optim.SGD(supernet.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    for parameter in supernet.parameters():  # as the evaluator has it, so that it is no part of the step
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    streams: Any = (lambda: fixed[0], lambda: fixed[1])
    recipe = Recipe(learning_rate=RATE, clip=CLIP)
    return Shared(supernet, optimizer, recipe, torch.Generator().manual_seed(0), random.Random(0), streams, (0, 50))


def peak_mib(name: str, size: dict[str, int]) -> float:
    """Peak memory of two steps above that before the first, in MiB; in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, size))


def _peak(name: str, size: dict[str, int]) -> float:
    torch.set_num_threads(1)
    step = step_of(name, size)
    before = _high_water()
    for _ in range(2):  # two draws of paths
        step()
    high: int = _high_water()
    return (high - before) / 1024


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", nargs="*", default=["small", "large"], choices=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"targets": {"proxylessnas_of_darts": TARGET}}
    for configuration in arguments.configurations:
        size = SIZES[configuration]
        peaks = {name: [peak_mib(name, size) for _ in range(arguments.repeats)] for name in STEPS}
        middle = {name: sorted(values)[len(values) // 2] for name, values in peaks.items()}
        result[configuration] = {
            **size,
            "peak_mib": {name: round(value, 1) for name, value in middle.items()},
            "all_peaks_mib": {name: [round(value, 1) for value in values] for name, values in peaks.items()},
            "of_darts_plain": {name: round(value / middle[PLAIN], 3) for name, value in middle.items()},
            "of_darts": {name: round(value / middle["darts"], 3) for name, value in middle.items()},
        }
        print(configuration, result[configuration], flush=True)
    save("memory", result)


if __name__ == "__main__":
    main()
