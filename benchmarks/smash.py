"""Does the SMASH score rank architectures as training alone does, and does it break with a small hypernetwork?

    python benchmarks/smash.py [--architectures 100] [--widths 1 2 8 32] [--seeds 3] [--epochs 8] [--trainings 2]

The same random architectures (memory banks, digits) are trained alone, and judged by the weights that hypernetworks
of several sizes and seeds predict. A width is the growth of the hypernetwork's layers and its rank, the channels
before its output; the largest has the preset's size, without that bottleneck. Two spaces: that of the quick preset
of `smash`, in which most weights are those of k x k convolutions and so not generated, and the same with kernels of
1 and 3, in which more of a network is generated.

The score is the loss with generated weights, by which the preset ranks, or the accuracy, by which the paper does.
Kendall's tau with a 95% bootstrap interval over architectures; ``docs/pictures/smash.svg`` shows it. What was
trained is kept in ``--cache``, so a stopped benchmark goes on where it was.

Why eight epochs alone (the default of ``blocks:train``): after two, the running statistics of batch norm are still
those of the start, and two trainings of a network agree by chance.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import HERE, RESULTS, save
from ranking import Cache, alone, assembled, drawn, shared, spread, tau

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.parts import Parts
    from nascore.records import Architecture

PICTURE = HERE.parent / "docs" / "pictures" / "smash.svg"
SPACES: dict[str, dict[str, Any]] = {"quick preset": {}, "kernels of 1 and 3": {"space.kernels": [1, 3]}}
LARGEST = 32
"""The growth of the quick preset."""
RANKINGS = ("accuracy", "accuracy_by_loss", "loss")
"""Accuracy alone, ranked by accuracy with generated weights; the same by loss; loss alone, by loss."""
BEST = 10
"""Architectures of the best score whose accuracy alone is told."""


def size(width: int) -> dict[str, Any]:
    """Settings of a hypernetwork of this width; those of the preset from its own width on."""
    return {"evaluator.growth": width, "evaluator.layers": [2], "evaluator.rank": width if width < LARGEST else 0}


def counted(parts: Parts, architecture: Architecture) -> tuple[int, int]:
    """Parameters of the network alone, and how many of them a hypernetwork generates."""
    network = parts.space.build(architecture, parts.data.task)
    named = dict(network.named_parameters())
    generated = sum(weight.numel() for name, weight in named.items() if name.endswith(".mix.weight"))
    return sum(weight.numel() for weight in named.values()), generated


def judged(found: Mapping[str, Any], truth: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Of one hypernetwork: how its scores rank."""
    by_loss = [-value for value in found["loss"]]

    def best(scores: Sequence[float]) -> float:
        return statistics.fmean(truth["accuracy"][index] for index in np.argsort(scores)[-BEST:])

    return {
        "seconds": found["seconds"],
        "losses": [round(value, 4) for value in found["loss"]],
        "spread": spread(found["accuracy"]),
        "best_by_accuracy": best(found["accuracy"]),
        "best_by_loss": best(by_loss),
        "accuracy": tau(found["accuracy"], truth["accuracy"]),
        "accuracy_by_loss": tau(by_loss, truth["accuracy"]),
        "loss": tau(found["loss"], truth["loss"]),
    }


def measured(options: Mapping[str, Any], arguments: argparse.Namespace, cache: Cache) -> dict[str, Any]:
    """Of one space: all trainings alone, and all hypernetworks."""
    parts, used = assembled("smash", options, 0)
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
    sizes = [counted(parts, architecture) for architecture in architectures]
    result: dict[str, Any] = {
        "space": used["space"],
        "alone": spread(truth["accuracy"]),
        "truth": truth["accuracy"],
        "generated_share": statistics.fmean(generated / every for every, generated in sizes),
        "params": tau([every for every, _ in sizes], truth["accuracy"]),
        "hypernets": [],
    }
    if arguments.trainings > 1:
        result["two_trainings_alone"] = {
            name: tau([each[0][name] for each in trained], [each[1][name] for each in trained]) for name in truth
        }
    keys = [architecture.key for architecture in architectures]
    for width in arguments.widths:
        seeds = []
        for seed in range(arguments.seeds):
            made, settings = assembled("smash", {**options, **size(width)}, seed)
            of_hypernet = ("hypernet", settings["evaluator"], seed, settings["space"], keys)
            found = cache.get(of_hypernet, lambda m=made, s=seed: shared(m, architectures, s))  # type: ignore[misc]  # as above
            seeds.append(judged(found, truth))
        result["hypernets"].append({
            "width": width,
            "hypernet_params": int(made.evaluator.sizes()["hypernet_params"].value),  # type: ignore[attr-defined]  # it has them
            **{f"mean_{name}": statistics.fmean(one[name]["tau"] for one in seeds) for name in RANKINGS},
            "seeds": seeds,
        })  # fmt: skip
    return result


def picture(path: Path, spaces: Mapping[str, Mapping[str, Any]]) -> None:
    """A row for each space: loss against accuracy alone, largest and smallest hypernetwork; tau against the size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({  # the same picture each time, and small
        "svg.hashsalt": "nascore", "svg.fonttype": "none", "axes.titlesize": 10,
    })  # fmt: skip
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(len(spaces), 3, figsize=(11, 3.5 * len(spaces)), layout="constrained", squeeze=False)
    for axes, (name, one) in zip(rows, spaces.items(), strict=True):
        found = one["hypernets"]
        for axis, of_size in ((axes[0], found[-1]), (axes[1], found[0])):
            first = of_size["seeds"][0]
            axis.scatter(first["losses"], one["truth"], s=8)
            axis.invert_xaxis()
            scale, rank = of_size["hypernet_params"], first["accuracy_by_loss"]["tau"]
            axis.set_title(f"{name}: hypernetwork of\n{scale:,} parameters, tau {rank:.2f}")
            axis.set_xlabel("loss with generated weights")
            axis.set_ylabel("accuracy trained alone")
        axis = axes[2]
        sizes = [of_size["hypernet_params"] for of_size in found]
        for kind, label, colour in (("accuracy_by_loss", "loss", "C0"), ("accuracy", "accuracy", "C1")):
            axis.plot(sizes, [of_size[f"mean_{kind}"] for of_size in found], color=colour, label=f"score: {label}")
            for of_size in found:
                taus = [seed[kind]["tau"] for seed in of_size["seeds"]]
                axis.scatter([of_size["hypernet_params"]] * len(taus), taus, s=12, color=colour)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_ylim(-0.35, 0.85)
        axis.set_xscale("log")
        axis.set_title(f"{name}: {one['generated_share']:.0%} of\nthe weights generated")
        axis.set_xlabel("parameters of the hypernetwork")
        axis.set_ylabel("Kendall's tau")
        axis.legend(loc="lower right", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 2, 8, LARGEST], help="smallest first")
    parser.add_argument("--seeds", type=int, default=3, help="hypernetworks of each width")
    parser.add_argument("--epochs", type=int, default=8, help="of training alone")
    parser.add_argument("--trainings", type=int, default=2, help="alone, of each architecture; their mean counts")
    parser.add_argument("--cache", type=Path, default=RESULTS / "smash_cache.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cache = Cache(arguments.cache)
    result: dict[str, Any] = {
        "architectures": arguments.architectures, "epochs": arguments.epochs, "trainings": arguments.trainings,
        "spaces": {},
    }  # fmt: skip
    for name, options in SPACES.items():
        result["spaces"][name] = measured(options, arguments, cache)
        save("smash", result)
    picture(PICTURE, result["spaces"])


if __name__ == "__main__":
    main()
