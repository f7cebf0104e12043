"""One DARTS search step on nascore's supernet against the plain way: time, memory, equality.

    python benchmarks/supernet.py [--pairs 3] [--configurations small large]

The plain way is that of the public reference code, written here anew: each candidate op of each edge
is a module that is called in turn on NCHW tensors, its output is multiplied and added; the second
order trains a copy of the model. Both do the same mathematics: outputs and gradients are compared in
float64 first. Times are CPU seconds of one thread, in pairs, plain and fast one after the other; each
of the two runs in a process of its own to measure its peak memory.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from common import save
from torch import Tensor, nn

from nascore.contracts import Task
from nascore.records import Direction, Objective
from nascore_blocks.ops import Zero
from nascore_blocks.recipe import Recipe
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.mix import Softmax
from nascore_blocks.supernet.policy import Batch, Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore_blocks.supernet.network import CellSupernet
    from nascore_darts.sampler import Alphas

SIZES = {
    "tiny": {"channels": 4, "cells": 1, "batch": 8},
    "small": {"channels": 8, "cells": 1, "batch": 32},
    "large": {"channels": 16, "cells": 2, "batch": 64},
}
RATE, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0


class Plain(nn.Module):
    """The supernet run the plain way; holds the modules of a :class:`CellSupernet` and its alphas."""

    def __init__(self, supernet: CellSupernet, alphas: dict[str, Tensor]) -> None:
        super().__init__()
        self.supernet = supernet
        self.alphas = nn.ParameterDict({kind: alpha.detach().clone() for kind, alpha in alphas.items()})

    def weights(self) -> list[Tensor]:
        return list(self.supernet.parameters())

    def forward(self, x: Tensor) -> Tensor:
        net = self.supernet
        before = previous = net.stem0(x)
        for layer, cell in enumerate(net.cells):
            shares = torch.softmax(self.alphas[net.kind(layer)], dim=-1)
            before, previous = previous, self.cell(cell, before, previous, shares)
        return net.classifier(net.flatten(net.pool(previous)))  # type: ignore[no-any-return]  # a module's output

    def cell(self, cell: Any, before: Tensor, previous: Tensor, shares: Tensor) -> Tensor:
        states = [cell.preprocess[0](before), cell.preprocess[1](previous)]
        for into in cell.wiring.into.values():
            total: Any = 0
            for edge in into:
                start = cell.wiring.edges[edge].input
                ops = [cell.edges[edge][n] if n != "none" else Zero(cell.stride(start)) for n in cell.wiring.ops]
                total = total + sum(share * op(states[start]) for share, op in zip(shares[edge], ops, strict=True))
            states.append(total)
        return torch.cat(states[2:], dim=1)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self(batch.inputs), batch.labels)


class PlainSearch:
    """Algorithm 1 as the reference code runs it."""

    def __init__(self, model: Plain, order: str) -> None:
        self.model, self.order = model, order
        self.sgd = torch.optim.SGD(model.weights(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
        self.adam = torch.optim.Adam(model.alphas.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def step(self, train: Batch, valid: Batch) -> None:
        self.adam.zero_grad()
        if self.order == "first":
            self.model.loss(valid).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        else:
            self.second_order(train, valid)
        self.adam.step()
        self.sgd.zero_grad()
        self.model.loss(train).backward()  # type: ignore[no-untyped-call]  # as above
        nn.utils.clip_grad_norm_(self.model.weights(), CLIP)
        self.sgd.step()

    def second_order(self, train: Batch, valid: Batch) -> None:
        model = self.model
        weights, alphas = model.weights(), list(model.alphas.values())
        gradient = torch.autograd.grad(model.loss(train), weights)
        unrolled = copy.deepcopy(model)
        with torch.no_grad():
            for moved, weight, g in zip(unrolled.weights(), weights, gradient, strict=True):
                buffer = self.sgd.state[weight].get("momentum_buffer")
                moved.sub_(RATE * (g + DECAY * weight + (0 if buffer is None else MOMENTUM * buffer)))
        unrolled.loss(valid).backward()  # type: ignore[no-untyped-call]  # as above
        vector = [weight.grad for weight in unrolled.weights()]
        epsilon = 0.01 / float(torch.cat([v.flatten() for v in vector if v is not None]).norm())
        sides = []
        for move in (epsilon, -2 * epsilon):
            with torch.no_grad():
                for weight, v in zip(weights, vector, strict=True):
                    weight.add_(v, alpha=move)  # type: ignore[arg-type]  # every weight has its gradient
            sides.append(torch.autograd.grad(model.loss(train), alphas))
        with torch.no_grad():
            for weight, v in zip(weights, vector, strict=True):
                weight.add_(v, alpha=epsilon)  # type: ignore[arg-type]  # as above
        for alpha, moved, plus, minus in zip(alphas, unrolled.alphas.values(), *sides, strict=True):
            alpha.grad = moved.grad - RATE * (plus - minus) / (2 * epsilon)


def parts(
    size: dict[str, int], order: str, dtype: torch.dtype = torch.float32
) -> tuple[CellSupernet, Alphas, list[Batch]]:
    """A supernet, its alphas, and two batches of noise."""
    from nascore_darts.sampler import DARTS

    torch.manual_seed(0)
    space = DARTSSpace(channels=size["channels"], cells=size["cells"])
    task = Task("noise", (3, 32, 32), 10)
    space.setup(task)
    sampler = DARTS(order=order)
    sampler.setup(space, [Objective("accuracy", Direction.MAXIMIZE)], 0)
    policy = sampler.policy
    supernet = space.supernet(task).to(dtype)
    for alpha in policy.alphas.values():
        alpha.data = alpha.data.to(dtype)
    batches = [
        Batch(torch.randn(size["batch"], 3, 32, 32, dtype=dtype), torch.randint(10, (size["batch"],))) for _ in "tv"
    ]
    return supernet, policy, batches


def fast_search(supernet: CellSupernet, policy: Alphas, batches: Sequence[Batch]) -> Callable[[], None]:
    """One iteration of nascore's own DARTS."""
    optimizer = torch.optim.SGD(supernet.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    recipe = Recipe(learning_rate=RATE, clip=CLIP)
    streams: Any = (lambda: batches[0], lambda: batches[1])
    shared = Shared(supernet, optimizer, recipe, torch.Generator(), None, streams, 0)  # type: ignore[arg-type]  # no chance
    return lambda: policy.iterate(shared)


def plain_search(supernet: CellSupernet, policy: Alphas, batches: Sequence[Batch], order: str) -> Callable[[], None]:
    """One iteration of the baseline."""
    search = PlainSearch(Plain(supernet, policy.alphas), order)
    return lambda: search.step(*batches)


def differences(order: str) -> float:
    """Largest difference of weights and alphas after two iterations in float64, relative to the largest value."""
    size = SIZES["tiny"]
    ours, policy, batches = parts(size, order, torch.float64)
    theirs = copy.deepcopy(ours)
    plain = PlainSearch(Plain(theirs, policy.alphas), order)
    policy.optimizer = torch.optim.Adam(policy.alphas.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    step = fast_search(ours, policy, batches)
    for _ in range(2):
        step()
        plain.step(*batches)
    pairs: list[tuple[Tensor, Tensor]] = [*zip(ours.parameters(), theirs.parameters(), strict=True)]
    pairs += [(policy.alphas[kind], plain.model.alphas[kind]) for kind in policy.alphas]
    return max(float((a - b).detach().abs().max() / b.detach().abs().max()) for a, b in pairs)


def gradient_difference() -> float:
    """Largest difference of outputs, and of gradients relative to the largest one, in float64."""
    supernet, policy, (batch, _) = parts(SIZES["tiny"], "first", torch.float64)
    plain = Plain(supernet, policy.alphas)
    weights = list(supernet.parameters())
    mixture = {k: Softmax()(a, supernet.wiring, torch.Generator()) for k, a in policy.alphas.items()}
    outputs = [supernet(batch.inputs, mixture), plain(batch.inputs)]
    worst = float((outputs[0] - outputs[1]).detach().abs().max())
    sides = []
    both: list[Any] = [policy.alphas, plain.alphas]
    for output, alphas in zip(outputs, both, strict=True):
        loss = F.cross_entropy(output, batch.labels)
        sides.append(torch.autograd.grad(loss, [*weights, *alphas.values()]))
    scale = max(float(g.abs().max()) for g in sides[1])
    return max(worst, *(float((a - b).abs().max()) / scale for a, b in zip(*sides, strict=True)))


def peak_mib(kind: str, size: dict[str, int], order: str) -> float:
    """Peak memory of one iteration above that of the model and the libraries, in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (kind, size, order))


def _peak(kind: str, size: dict[str, int], order: str) -> float:
    torch.set_num_threads(1)
    supernet, policy, batches = parts(size, order)
    step = fast_search(supernet, policy, batches) if kind == "fast" else plain_search(supernet, policy, batches, order)
    before = _high_water()
    step()
    return (_high_water() - before) / 1024


def _high_water() -> int:
    """Peak resident memory of this process in KiB; getrusage's goes on from the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def seconds(step: Callable[[], None]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    step()
    return time.process_time() - start


def measure(size: dict[str, int], order: str, pairs: int) -> dict[str, Any]:
    """Times in pairs, after one warm-up each, and peak memories."""
    fast = fast_search(*parts(size, order))
    plain = plain_search(*parts(size, order), order)
    if pairs > 1:
        fast()
        plain()
    times = [(seconds(plain), seconds(fast)) for _ in range(pairs)]
    memory = {kind: peak_mib(kind, size, order) for kind in ("plain", "fast")}
    return {
        "plain_seconds": statistics.median(t[0] for t in times),
        "fast_seconds": statistics.median(t[1] for t in times),
        "speed_up": statistics.median(t[0] / t[1] for t in times),
        "speed_ups": [round(t[0] / t[1], 3) for t in times],
        "plain_peak_mib": memory["plain"],
        "fast_peak_mib": memory["fast"],
        "memory_ratio": memory["fast"] / memory["plain"],
    }


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--configurations", nargs="*", default=["small", "large"], choices=list(SIZES))
    parser.add_argument("--orders", nargs="*", default=["first", "second"], choices=["first", "second"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "float64_difference_of_outputs_and_gradients": gradient_difference(),
        "float64_difference_after_two_iterations": {order: differences(order) for order in arguments.orders},
        "targets": {"first": 3.0, "second": 2.5, "memory_ratio": 0.5},
    }
    for name in arguments.configurations:
        for order in arguments.orders:
            result[f"{name}_{order}"] = {**SIZES[name], **measure(SIZES[name], order, arguments.pairs)}
            print(name, order, result[f"{name}_{order}"], flush=True)
    save("supernet", result)


if __name__ == "__main__":
    main()
