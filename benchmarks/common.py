"""What the benchmarks share: results as JSON, and the page that shows them."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def save(name: str, result: dict[str, Any]) -> None:
    """Write ``results/<name>.json`` with where it was measured, and print it."""
    import optuna

    import nascore

    where = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "nascore": nascore.__version__,
        "optuna": optuna.__version__,
    }
    try:
        import torch

        where["torch"] = torch.__version__.partition("+")[0]
    except ImportError:
        pass
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"benchmark": name, "where": where, **result}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def mean_interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95% confidence interval (Student's t)."""
    from scipy.stats import t

    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(half)
