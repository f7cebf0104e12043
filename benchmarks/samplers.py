"""Samplers on NAS-Bench-201, by ``nascore compare``: all three data sets, 100 and 200 evaluations.

    python benchmarks/samplers.py [--seeds 500] [--slow-seeds 50] [--workers 2] [--data cifar10 cifar100 imagenet16-120]

Samplers that choose in microseconds get ``--seeds`` races, those that learn a model ``--slow-seeds``.
"""

from __future__ import annotations

import argparse

from common import save

from nascore.compare.api import compare

QUICK = {"random": "random", "amoebanet": "amoebanet population_size=50 tournament_size=10"}
SLOW = {
    "hnas": "hnas population_size=20 tournament_share=0.1",
    "nas": "nas controller=factorised batch=2 redraws=20 reward=value",
    "surrogate": "surrogate",
}
BUDGETS = (100, 200)


def main() -> None:
    """Race and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--slow-seeds", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", nargs="+", default=["cifar10", "cifar100", "imagenet16-120"])
    arguments = parser.parse_args()
    result: dict = {"benchmark": "samplers", "samplers": {**QUICK, **SLOW}, "tables": {}}
    for data in arguments.data:
        rows: dict = {}
        for group, seeds in ((QUICK, arguments.seeds), (SLOW, arguments.slow_seeds)):
            found = compare(
                f"nasbench201-{data}", list(group.values()), evaluations=BUDGETS, seeds=seeds, workers=arguments.workers
            )
            for budget in BUDGETS:
                for text, one in found.summaries(budget).items():
                    name = next(name for name, value in group.items() if value == text)
                    row = rows.setdefault(name, {"seeds": seeds})
                    row[budget] = {"mean": round(one.mean, 3), "ci95": round(one.half, 3), "std": round(one.std, 3)}
            rows[f"seconds: {', '.join(group)}"] = round(found.wall_seconds, 1)
        result["tables"][data] = rows
    save("samplers", result)


if __name__ == "__main__":
    main()
