"""What MLflow costs: a quick search of 50 trials with tracking on, over the same with tracking off.

Each runs as a user runs it, as a process of its own, in turn; wall time of the whole command.

    python benchmarks/tracking.py --repeats 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save


def seconds(folder: Path, name: str, trials: int, *arguments: str) -> tuple[float, float]:
    """Wall time of the command, and of the search that it reports."""
    command = [sys.executable, "-m", "nascore", "search", "--plugin", "amoebanet", "--trials", str(trials), "--json"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(folder / name), *arguments], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - started, json.loads(done.stdout)["wall_seconds"]


def main() -> None:
    """Measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(arguments.repeats):
            off = seconds(Path(folder), f"off{repeat}", arguments.trials, "--no-tracking")
            # A folder of its own each time: the first search also makes the database.
            on = seconds(Path(folder) / f"tracked{repeat}", "on", arguments.trials)
            pairs.append((on, off))
    save(
        "tracking",
        {
            "trials": arguments.trials,
            "command_seconds_on": [round(on[0], 2) for on, _ in pairs],
            "command_seconds_off": [round(off[0], 2) for _, off in pairs],
            "search_seconds_on": [round(on[1], 2) for on, _ in pairs],
            "search_seconds_off": [round(off[1], 2) for _, off in pairs],
            "ratio": round(statistics.median(on[0] / off[0] for on, off in pairs), 3),
            "target_ratio": 1.1,
        },
    )


if __name__ == "__main__":
    main()
