"""Children that inherit weights against children trained from scratch, at equal total epochs.

    python benchmarks/inherit.py [--methods eas pathlevel] [--seeds 10]

Both searches of a seed are the quick preset on digits, with the same sampler, space and recipe; in one the evaluator is
``blocks:inherit``, in the other ``blocks:train``, which trains each child from scratch. Both spend the same epochs
in total: for the longer training of the start network with ``inherit``, the other one has more trials. Reported is the
gain in validation accuracy, of the best trial and of the mean child, with its 95% interval over the seeds.
Runs are kept in ``--runs``: a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from common import HERE, RESULTS, mean_interval, save

import nascore
from nascore.plugins import Plugins
from nascore.records import Status

if TYPE_CHECKING:
    from nascore.result import SearchResult

SPACES = {"eas": "eas:chain", "pathlevel": "pathlevel:tree"}


def searched(method: str, seed: int, evaluator: str, folder: Path) -> SearchResult:
    """The finished search of one seed; a started one is gone on with."""
    if (folder / "search.toml").exists():
        result = nascore.open_run(folder)
        return result if result.state == "finished" else nascore.resume(folder)
    options = dict(Plugins().find("methods", method)[1].presets["quick"])  # type: ignore[union-attr]  # a method
    trials, epochs = options.pop("trials"), options["evaluator.epochs"]
    if evaluator == "blocks:train":
        trials += options.pop("evaluator.scratch_epochs") // epochs - 1  # the same epochs in total
    return nascore.search(
        space=SPACES[method], sampler=f"{method}:{method}", evaluator=evaluator, data="blocks:digits", costs=[],
        trials=trials, seed=seed, out=folder, tracking="off", options=options,
    )  # fmt: skip


def measured(result: SearchResult) -> dict[str, float]:
    """Epochs spent, accuracy of the best trial, mean accuracy of the children."""
    complete = [trial for trial in result.history if trial.status is Status.COMPLETE]
    children = [trial.objectives["accuracy"] for trial in complete[1:]]
    return {
        "epochs": sum(trial.metrics["epochs"] for trial in complete),
        "failed": len(result.history) - len(complete),
        "best": max(trial.objectives["accuracy"] for trial in complete),
        "mean_child": statistics.fmean(children),
    }


def interval(values: list[float]) -> dict[str, float]:
    """Mean, and half the width of its 95% interval."""
    mean, half = mean_interval(values)
    return {"mean": mean, "half_interval": half}


def compared(method: str, seeds: int, runs: Path) -> dict[str, Any]:
    """All seeds of a method, pairwise."""
    pairs: list[dict[str, dict[str, float]]] = []
    for seed in range(seeds):
        one = measured(searched(method, seed, "blocks:inherit", runs / f"{method}-inherit-{seed}"))
        other = measured(searched(method, seed, "blocks:train", runs / f"{method}-scratch-{seed}"))
        pairs.append({"inherit": one, "scratch": other})
        print(method, seed, one, other, flush=True)
    gains = {
        name: interval([pair["inherit"][name] - pair["scratch"][name] for pair in pairs])
        for name in ("best", "mean_child")
    }
    return {"seeds": seeds, "gain": gains, "pairs": pairs}


def main() -> None:
    """Run, and write ``results/inherit.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=Path, default=HERE / "runs" / "inherit")
    given = parser.parse_args()
    torch.set_num_threads(1)
    saved = RESULTS / "inherit.json"
    methods = json.loads(saved.read_text())["methods"] if saved.exists() else {}
    for method in given.methods:
        methods[method] = compared(method, given.seeds, given.runs)
        save("inherit", {"methods": methods})


if __name__ == "__main__":
    main()
