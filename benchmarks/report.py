"""The report of a long search: seconds of ``nascore report`` as a command of its own.

    python benchmarks/report.py [--trials 10000] [--repeats 3]

The search is a real one over the cells of NAS-Bench-201, aging evolution on the table, stored in the default
journal; two objectives, so that the page has a front to draw. Wall and processor seconds of the whole command, the
start of Python included; the fastest repeat counts, since what else the machine does only adds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import save

import nascore


def searched(trials: int, folder: Path) -> None:
    """The search that is reported."""
    nascore.search(
        "amoebanet", space="blocks:nasbench201", evaluator="nasbench201:table", data="nasbench201:images", costs=[],
        trials=trials, seed=0, out=folder, tracking="off", options={"space.keep_dead": True},
        objectives=["accuracy", "latency_ms"],
    )  # fmt: skip


def reported(folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of one report."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nascore", "report", str(folder)], check=True, capture_output=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Search once, report several times, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        searched(arguments.trials, folder)
        times = [reported(folder) for _ in range(arguments.repeats)]
        size = (folder / "report.html").stat().st_size
    result = {
        "trials": arguments.trials,
        "wall_seconds": round(min(wall for wall, _ in times), 2),
        "processor_seconds": round(min(processor for _, processor in times), 2),
        "page_bytes": size,
        "target_seconds": 10,
    }
    save("report", result)


if __name__ == "__main__":
    main()
