"""Is amoebanet better than random search at equal cost? Quick preset on digits, many seeds.

Both train every candidate for the same number of epochs, so equal trials are equal cost. The score
is the best validation accuracy of a search; the difference is taken seed by seed (the same seed
splits the data in the same way).

    python benchmarks/quality.py --seeds 10 --trials 100 --processes 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from common import mean_interval, save


def best(plugin: str, seed: int, trials: int, folder: str) -> dict:
    """The anytime curve of one search, run as a user runs it."""
    command = [sys.executable, "-m", "nascore", "search", "--plugin", plugin, "--trials", str(trials), "--json",
               "--seed", str(seed), "--no-tracking", "--out", f"{folder}/{plugin}-{seed}"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    shown = subprocess.run(
        [sys.executable, "-m", "nascore", "show", f"{folder}/{plugin}-{seed}", "--json", "--history"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    run = json.loads(shown.stdout)
    values = [trial["objectives"].get("accuracy", 0.0) for trial in run["trials"]]
    return {
        "best": max(values),
        "best_at_half": max(values[: len(values) // 2]),
        "mean_of_all": sum(values) / len(values),
        "wall_seconds": run["wall_seconds"],
    }


def main() -> None:
    """Run both methods over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", default="amoebanet,random")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    plugins = arguments.plugins.split(",")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.processes) as pool:
        futures = {
            (plugin, seed): pool.submit(best, plugin, seed, arguments.trials, folder)
            for seed in range(arguments.seeds)
            for plugin in plugins
        }
        runs = {key: future.result() for key, future in futures.items()}
    result: dict = {"seeds": arguments.seeds, "trials": arguments.trials, "data": "digits", "preset": "quick"}
    for score in ("best", "best_at_half", "mean_of_all"):
        result[score] = {}
        for plugin in plugins:
            values = [runs[plugin, seed][score] for seed in range(arguments.seeds)]
            mean, half = mean_interval(values)
            result[score][plugin] = {"mean": round(mean, 5), "ci95": round(half, 5), "values": values}
        first, second = plugins[:2]
        differences = [runs[first, seed][score] - runs[second, seed][score] for seed in range(arguments.seeds)]
        mean, half = mean_interval(differences)
        result[score]["difference"] = {"of": f"{first} - {second}", "mean": round(mean, 5), "ci95": round(half, 5)}
    result["search_seconds"] = {
        plugin: round(mean_interval([runs[plugin, s]["wall_seconds"] for s in range(arguments.seeds)])[0], 1)
        for plugin in plugins
    }
    result["benchmark_seconds"] = round(time.perf_counter() - started, 1)
    save("quality", result)


if __name__ == "__main__":
    main()
