"""Does the SMASH score rank architectures as training alone does, and does it break with a small hypernetwork?

    python benchmarks/smash.py [--architectures 100] [--widths 1 2 8 32] [--epochs 2] [--trainings 2]

The same random architectures of the quick space of `smash` (memory banks, digits) are trained alone, and judged by
the weights that hypernetworks of several sizes predict. A width is the growth of the hypernetwork's layers and its
rank, the channels before its output; the largest has the preset's size, without that bottleneck. Kendall's tau with
a 95% bootstrap interval over architectures; ``docs/pictures/smash.svg`` shows both. What was trained is kept in
``--cache``, so a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from common import HERE, RESULTS, save
from ranking import Cache, alone, assembled, drawn, shared, spread, tau

if TYPE_CHECKING:
    from collections.abc import Sequence

PICTURE = HERE.parent / "docs" / "pictures" / "smash.svg"
LARGEST = 32
"""The growth of the quick preset."""


def size(width: int) -> dict[str, Any]:
    """Settings of a hypernetwork of this width; those of the preset from its own width on."""
    return {"evaluator.growth": width, "evaluator.layers": [2], "evaluator.rank": width if width < LARGEST else 0}


def picture(path: Path, truth: Sequence[float], widths: Sequence[int], found: Sequence[dict[str, Any]]) -> None:
    """Score against accuracy alone for the smallest and the largest hypernetwork, and tau against the size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "nascore"  # the same picture each time
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, number in ((axes[0], -1), (axes[1], 0)):
        one = found[number]
        axis.scatter(one["scores"], truth, s=12)
        axis.set_title(f"{one['hypernet_params']:,} parameters: tau {one['accuracy']['tau']:.2f}")
        axis.set_xlabel("accuracy with generated weights")
        axis.set_ylabel("accuracy trained alone")
    sizes = [one["hypernet_params"] for one in found]
    for name, label in (("accuracy", "by accuracy"), ("accuracy_by_loss", "by loss")):
        middle = [one[name]["tau"] for one in found]
        below = [one[name]["tau"] - one[name]["low"] for one in found]
        above = [one[name]["high"] - one[name]["tau"] for one in found]
        axes[2].errorbar(sizes, middle, yerr=[below, above], marker="o", capsize=3, label=f"ranked {label}")
    axes[2].axhline(0, color="grey", linewidth=0.8)
    axes[2].set_xscale("log")
    axes[2].set_xlabel("parameters of the hypernetwork")
    axes[2].set_ylabel("Kendall's tau, 95%")
    axes[2].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 2, 8, LARGEST], help="smallest first")
    parser.add_argument("--epochs", type=int, default=2, help="of training alone")
    parser.add_argument("--trainings", type=int, default=2, help="alone, of each architecture; their mean counts")
    parser.add_argument("--seed", type=int, default=0, help="of the hypernetworks")
    parser.add_argument("--cache", type=Path, default=RESULTS / "smash_cache.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cache = Cache(arguments.cache)
    parts, used = assembled("smash", {}, 0)
    architectures = drawn(parts, arguments.architectures)
    trained: list[list[dict[str, float]]] = []
    for index, architecture in enumerate(architectures):
        of_seeds = []
        for seed in range(arguments.trainings):
            key = ("alone", used["space"], architecture.key, arguments.epochs, seed)
            of_seeds.append(
                cache.get(key, lambda a=architecture, s=seed: alone(parts, a, arguments.epochs, s))  # type: ignore[misc]  # bound in the loop
            )
        trained.append(of_seeds)
        print(f"{index + 1} of {len(architectures)} alone: {of_seeds}", flush=True)
    truth = {name: [statistics.fmean(one[name] for one in each) for each in trained] for name in ("accuracy", "loss")}
    result: dict[str, Any] = {
        "architectures": len(architectures), "epochs": arguments.epochs, "trainings": arguments.trainings,
        "space": used["space"], "alone": spread(truth["accuracy"]), "truth": truth["accuracy"], "hypernets": [],
    }  # fmt: skip
    if arguments.trainings > 1:
        result["two_trainings_alone"] = {
            name: tau([each[0][name] for each in trained], [each[1][name] for each in trained]) for name in truth
        }
    for width in arguments.widths:
        made, settings = assembled("smash", size(width), arguments.seed)
        keys = [architecture.key for architecture in architectures]
        of_hypernet = ("hypernet", settings["evaluator"], arguments.seed, settings["space"], keys)
        found = cache.get(of_hypernet, lambda m=made: shared(m, architectures, arguments.seed))  # type: ignore[misc]  # as above
        result["hypernets"].append({
            "width": width,
            "hypernet_params": int(made.evaluator.sizes()["hypernet_params"].value),  # type: ignore[attr-defined]  # it has them
            "seconds": found["seconds"],
            "scores": found["accuracy"],
            "spread": spread(found["accuracy"]),
            "accuracy": tau(found["accuracy"], truth["accuracy"]),
            "loss": tau(found["loss"], truth["loss"]),
            "accuracy_by_loss": tau([-value for value in found["loss"]], truth["accuracy"]),
        })  # fmt: skip
    save("smash", result)
    picture(PICTURE, truth["accuracy"], arguments.widths, result["hypernets"])


if __name__ == "__main__":
    main()
