"""Do shared weights rank architectures as training alone does? Kendall's tau on digits.

    python benchmarks/ranking.py [--architectures 100] [--methods oneshot enas darts] [--epochs 2] [--trainings 3]

The same random architectures of one space (that of oneshot's quick preset) are trained alone by
``blocks:train``, and judged by the weights that each method trains in its quick preset. Everything
that was trained is kept in ``--cache`` at once, so a stopped benchmark goes on where it was, and a
further method needs no new training alone. The interval is a bootstrap over architectures. The tau
between two trainings alone, of different seeds, says how much of the truth is noise.

Why two epochs: after three, nearly every network of this space is at 0.96 to 0.98 on the 359 validation
images, and nothing is left to rank; after one, seeds differ more than architectures.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import RESULTS, save
from scipy.stats import kendalltau

from nascore.checkpoint import write_atomically
from nascore.parts import Workshop
from nascore.records import Candidate, digest
from nascore.seeding import derive_seed, isolated_random
from nascore.settings import nest
from nascore.testing import MemoryContext
from nascore_blocks.evaluators import Train

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nascore.parts import Parts
    from nascore.records import Architecture

SPACE = {"space.use": "blocks:choice", "space.blocks": 3, "space.cells": 1, "space.channels": 8, "space.reductions": 1}
RESAMPLES = 2000


class Cache:
    """Numbers that take long, by what they are of, in a JSON file; written after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: Sequence[Any], compute: Callable[[], Any]) -> Any:
        """What is known under ``key`` (plain JSON), or what ``compute`` gives."""
        name = digest(list(key))
        if name not in self.known:
            self.known[name] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.known).encode())
        return self.known[name]


def assembled(plugin: str, options: Mapping[str, Any], seed: int) -> tuple[Parts, dict[str, Any]]:
    """The parts of a quick preset, and the settings that its weights depend on."""
    workshop = Workshop()
    settings = workshop.settings(plugin, "quick", [nest({**options, "seed": seed})])
    used = {table: getattr(settings, table) for table in ("space", "sampler", "evaluator", "data")}
    return workshop.assemble(settings), {**used, "seed": seed}


def drawn(parts: Parts, count: int) -> list[Architecture]:
    """Different random architectures of the space, the same each time; the first ones of a longer list."""
    rng = random.Random(0)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = parts.space.sample(lambda _, options: rng.choice(options))
        found.setdefault(architecture.key, architecture)
    return list(found.values())


def alone(parts: Parts, architecture: Architecture, epochs: int, seed: int) -> dict[str, float]:
    """Validation accuracy and loss after training from scratch."""
    evaluator = Train(epochs=epochs, save_weights=False)
    evaluator.setup(parts.space, parts.data.for_search())
    trial_seed = derive_seed(seed, architecture.key)
    with isolated_random(trial_seed):
        found = evaluator.evaluate(
            Candidate(architecture), MemoryContext(parts.data.for_search(), seed=trial_seed)
        ).objectives
    return {"accuracy": found["accuracy"], "loss": found["loss"]}


def shared(parts: Parts, architectures: Sequence[Architecture], seed: int) -> dict[str, Any]:
    """Train as the method does, all rounds; then accuracy and loss of each architecture by these weights."""
    data, started, number = parts.data.for_search(), time.perf_counter(), 0
    while True:
        trial_seed = derive_seed(seed, "prepare", number)
        with isolated_random(trial_seed):
            done = parts.evaluator.prepare(parts.sampler, MemoryContext(data, seed=trial_seed))
        if not done.changed:
            break
        number += 1
        print(f"round {number}: {dict(done.metrics)}", flush=True)
    seconds = time.perf_counter() - started
    found = [parts.evaluator.evaluate(Candidate(a), MemoryContext(data, seed=0)).objectives for a in architectures]
    return {"seconds": seconds, "accuracy": [f["accuracy"] for f in found], "loss": [f["loss"] for f in found]}


def tau(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Kendall's tau-b, and its 95% bootstrap interval over architectures."""
    one, two = np.asarray(first), np.asarray(second)
    rng = np.random.default_rng(0)
    picks = rng.integers(len(one), size=(RESAMPLES, len(one)))
    drawn = [kendalltau(one[pick], two[pick]).statistic for pick in picks]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"tau": float(kendalltau(one, two).statistic), "low": float(low), "high": float(high)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Of accuracies."""
    return {
        "least": min(values),
        "mean": statistics.fmean(values),
        "most": max(values),
        "std": statistics.stdev(values),
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=["oneshot", "enas", "darts"])
    parser.add_argument("--epochs", type=int, default=2, help="of training alone")
    parser.add_argument("--trainings", type=int, default=3, help="alone, of each architecture; their mean counts")
    parser.add_argument("--seed", type=int, default=0, help="of the shared weights")
    parser.add_argument(
        "--set", nargs="*", default=[], help="further settings of all methods, such as evaluator.rounds=3"
    )
    parser.add_argument("--cache", type=Path, default=RESULTS / "ranking_cache.json")
    parser.add_argument("--name", default="ranking", help="of the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    further = {key: json.loads(value) for key, _, value in (text.partition("=") for text in arguments.set)}
    cache = Cache(arguments.cache)
    parts, _ = assembled("oneshot", SPACE, 0)
    architectures = drawn(parts, arguments.architectures)
    trained: list[list[dict[str, float]]] = []
    for index, architecture in enumerate(architectures):
        of_seeds = []
        for seed in range(arguments.trainings):
            key = ("alone", SPACE, architecture.key, arguments.epochs, seed)
            of_seeds.append(
                cache.get(key, lambda a=architecture, s=seed: alone(parts, a, arguments.epochs, s))  # type: ignore[misc]  # bound in the loop
            )
        trained.append(of_seeds)
        print(f"{index + 1} of {len(architectures)} alone: {of_seeds}", flush=True)
    truth = {name: [statistics.fmean(one[name] for one in each) for each in trained] for name in ("accuracy", "loss")}
    result: dict[str, Any] = {
        "architectures": len(architectures), "epochs": arguments.epochs, "trainings": arguments.trainings,
        "space": SPACE, "settings": further, "alone": spread(truth["accuracy"]), "methods": {},
    }  # fmt: skip
    if arguments.trainings > 1:
        result["two_trainings_alone"] = {
            name: tau([each[0][name] for each in trained], [each[1][name] for each in trained]) for name in truth
        }
    for method in arguments.methods:
        made, used = assembled(method, {**SPACE, **further}, arguments.seed)
        of_shared = ("shared", method, used, [a.key for a in architectures])
        found = cache.get(of_shared, lambda m=made: shared(m, architectures, arguments.seed))  # type: ignore[misc]  # as above
        result["methods"][method] = {
            "seconds": found["seconds"],
            "shared": spread(found["accuracy"]),
            "accuracy": tau(found["accuracy"], truth["accuracy"]),
            "loss": tau(found["loss"], truth["loss"]),
            "accuracy_by_loss": tau([-value for value in found["loss"]], truth["accuracy"]),
        }
        save(arguments.name, result)


if __name__ == "__main__":
    main()
