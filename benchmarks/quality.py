"""Is a method better than random search at equal cost? Quick presets on digits, many seeds.

Each method is raced against the sampler ``random`` in its own preset: the same space, evaluator and number of
trials. All candidates are trained for the same number of epochs, so equal trials are equal cost. The score is
the best validation accuracy of a search; the difference is taken seed by seed (the same seed splits the data in
the same way).

    python benchmarks/quality.py --plugins amoebanet --seeds 10 --trials 100 --processes 2

Runs are kept in ``--runs``, so that a stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, mean_interval, save

METHODS = ("amoebanet", "nas", "metaqnn", "nasnet", "pnas", "hnas", "surrogate")
SCORES = ("best", "best_at_half", "mean_of_all")


def best(plugin: str, sampler: str, seed: int, trials: int | None, runs: Path) -> dict[str, float]:
    """Scores of one search, run as a user runs it; a finished one is read.

    Args:
        plugin: the method.
        sampler: in place of its own; empty: its own.
        seed: of the search.
        trials: budget; None: the preset's.
        runs: a folder of runs.
    """
    folder = runs / f"{plugin}-{sampler or 'own'}-{trials or 'preset'}-{seed}"
    nascore = [sys.executable, "-m", "nascore"]
    command = [*nascore, "search", "--plugin", plugin, "--json", "--seed", str(seed), "--no-tracking", "--out", folder]
    command += ["--sampler", sampler] if sampler else []
    command += ["--trials", str(trials)] if trials else []
    if (folder / "search.toml").exists():
        command = [*nascore, "resume", folder, "--json"]
    subprocess.run(command, check=True, capture_output=True)
    shown = subprocess.run(
        [*nascore, "show", folder, "--json", "--history"], check=True, capture_output=True, text=True
    )
    run = json.loads(shown.stdout)
    values = [trial["objectives"].get("accuracy", 0.0) for trial in run["trials"]]
    return {
        "best": max(values),
        "best_at_half": max(values[: len(values) // 2]),
        "mean_of_all": sum(values) / len(values),
        "trials": len(values),
        "wall_seconds": run["wall_seconds"],
    }


def compared(own: list[dict[str, float]], random: list[dict[str, float]]) -> dict[str, Any]:
    """Means with 95% intervals, and the difference seed by seed."""
    out: dict[str, Any] = {"seeds": len(own), "trials": own[0]["trials"]}
    for score in SCORES:
        sides = {"own": [run[score] for run in own], "random": [run[score] for run in random]}
        sides["difference"] = [a - b for a, b in zip(*sides.values(), strict=True)]
        out[score] = {}
        for name, values in sides.items():
            mean, half = mean_interval(values)
            out[score][name] = {"mean": round(mean, 5), "ci95": round(half, 5), "values": values}
    out["search_seconds"] = {
        name: round(sum(run["wall_seconds"] for run in side) / len(side), 1)
        for name, side in (("own", own), ("random", random))
    }
    return out


def main() -> None:
    """Race the methods, one after the other; each result is saved as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, help="default: the preset's")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    for plugin in arguments.plugins:
        with ThreadPoolExecutor(arguments.processes) as pool:
            futures = {
                (sampler, seed): pool.submit(best, plugin, sampler, seed, arguments.trials, arguments.runs)
                for seed in range(arguments.seeds)
                for sampler in ("", "random")
            }
            runs = {key: future.result() for key, future in futures.items()}
        sides = [[runs[sampler, seed] for seed in range(arguments.seeds)] for sampler in ("", "random")]
        saved = RESULTS / "quality.json"
        known = json.loads(saved.read_text()) if saved.exists() else {}
        methods = {**known.get("methods", {}), plugin: compared(*sides)}
        save("quality", {"data": "digits", "preset": "quick", "methods": methods})


if __name__ == "__main__":
    main()
