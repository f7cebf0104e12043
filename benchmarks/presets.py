"""The answers of the five weight-sharing quick presets against random architectures, trained in the same way.

    python benchmarks/presets.py [--methods darts snas proxylessnas enas oneshot] [--seeds 5] [--random 20]

Each method searches digits with its quick preset, once a seed. The answer, and ``--random`` random
architectures of the same space, are then trained from scratch on train and valid by ``blocks:train``
and tested. Runs are kept in ``--runs`` and trainings in ``--cache``: a stopped benchmark goes on where
it was. No choice looks at test accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from common import HERE, RESULTS, mean_interval, save
from ranking import Cache, assembled, drawn

import nascore
from nascore.seeding import derive_seed
from nascore_blocks.evaluators import Train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.parts import Parts
    from nascore.records import Architecture
    from nascore.result import SearchResult

METHODS = ("darts", "snas", "proxylessnas", "enas", "oneshot")


def searched(method: str, seed: int, options: Mapping[str, Any], folder: Path) -> SearchResult:
    """The finished search of one seed; a started one is gone on with."""
    if (folder / "search.toml").exists():
        result = nascore.open_run(folder)
        return result if result.state == "finished" else nascore.resume(folder)
    return nascore.search(method, seed=seed, out=folder, tracking="off", options=options)


def tested(parts: Parts, architecture: Architecture, epochs: int, seed: int) -> float:
    """Test accuracy after training from scratch on train and valid."""
    trainer = Train(epochs=epochs, save_weights=False)
    trainer.setup(parts.space, parts.data)
    measured, _ = trainer.retrain(architecture, parts.data, seed=derive_seed(seed, architecture.key))
    return measured.objectives["test_accuracy"]


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean, and half the width of its 95% interval."""
    mean, half = mean_interval(list(values))
    return {"mean": mean, "half_interval": half}


def difference(ours: Sequence[float], random: Sequence[float]) -> dict[str, float]:
    """Difference of the means with its 95% interval (Welch)."""
    from scipy.stats import t

    parts = [statistics.variance(values) / len(values) for values in (ours, random)]
    error = math.sqrt(sum(parts))
    if not error:
        return {"mean": statistics.fmean(ours) - statistics.fmean(random), "half_interval": 0.0}
    freedom = error**4 / sum(p**2 / (len(v) - 1) for p, v in zip(parts, (ours, random), strict=True))
    mean = statistics.fmean(ours) - statistics.fmean(random)
    return {"mean": mean, "half_interval": float(t.ppf(0.975, freedom)) * error}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--random", type=int, default=20, help="architectures")
    parser.add_argument("--epochs", type=int, default=5, help="of training from scratch")
    parser.add_argument("--trainings", type=int, default=2, help="of each architecture; their mean counts")
    parser.add_argument(
        "--set", nargs="*", default=[], help="further settings of all methods, such as evaluator.rounds=3"
    )
    parser.add_argument("--cache", type=Path, default=RESULTS / "presets_cache.json")
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    parser.add_argument("--name", default="presets", help="of the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = {key: json.loads(value) for key, _, value in (text.partition("=") for text in arguments.set)}
    cache = Cache(arguments.cache)
    result: dict[str, Any] = {
        "seeds": arguments.seeds, "random": arguments.random, "epochs": arguments.epochs,
        "trainings": arguments.trainings, "settings": options, "methods": {},
    }  # fmt: skip
    for method in arguments.methods:
        parts, used = assembled(method, options, 0)

        def accuracy(architecture: Architecture, parts: Parts = parts, space: Any = used["space"]) -> float:
            values = [
                cache.get(
                    ("tested", space, architecture.key, arguments.epochs, seed),
                    lambda seed=seed: tested(parts, architecture, arguments.epochs, seed),  # type: ignore[misc]  # bound in the loop
                )
                for seed in range(arguments.trainings)
            ]
            return statistics.fmean(values)

        ours, seconds = [], []
        for seed in range(arguments.seeds):
            found = searched(method, seed, options, arguments.runs / f"{method}-{seed}")
            assert found.best is not None  # a search without an answer raises
            ours.append(accuracy(found.best.architecture))
            seconds.append(found.wall_seconds)
            print(f"{method}, seed {seed}: {ours[-1]:.4f} after {seconds[-1]:.0f} s", flush=True)
        at_random = [accuracy(architecture) for architecture in drawn(parts, arguments.random)]
        result["methods"][method] = {
            "answer": interval(ours), "random": interval(at_random), "difference": difference(ours, at_random),
            "search_seconds": interval(seconds), "answers": ours, "randoms": at_random,
        }  # fmt: skip
        save(arguments.name, result)


if __name__ == "__main__":
    main()
