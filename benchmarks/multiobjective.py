"""Accuracy against latency on NAS-Bench-201, CIFAR-10: hypervolume of the front after 200 evaluations.

    python benchmarks/multiobjective.py [--seeds 500] [--slow-seeds 20] [--workers 2]

The score is the share of the exact front's hypervolume, from the reference point (80% accuracy, greatest latency
of the table). The table was measured with the edges that lead nowhere built, so here they count too
(``keep_dead``). A sampler sees the accuracy of one training; the cells that are its front by what it saw are
scored by their mean accuracies. Samplers that choose in microseconds get ``--seeds`` races, those that learn a
model ``--slow-seeds``.
"""

from __future__ import annotations

import argparse

from common import save

from nascore.compare.api import compare

OBJECTIVES = ("accuracy", "latency_ms")
QUICK = {"random": "random", "amoebanet": "amoebanet population_size=30 tournament_size=10"}
SLOW = {"optuna:nsgaii": "optuna:nsgaii", "optuna:tpe": "optuna:tpe", "surrogate": "surrogate"}
NO_TWINS = {"surrogate, no twins": "surrogate"}
"""As the benchmark is shipped: two cells that compute the same are one, and the second is never asked for."""
PEERS = {"random": 0.881, "NSGA-II": 0.909, "Optuna's multi-objective TPE": 0.930}
"""The same budget and table, 200 evaluations, by others."""
BUDGETS = (50, 100, 200)


def main() -> None:
    """Race and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--slow-seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rows: dict = {}
    result: dict = {"samplers": {**QUICK, **SLOW}, "target": {"200": 0.95}, "peers": {"200": PEERS}, "rows": rows}
    groups = (QUICK, arguments.seeds, True), (SLOW, arguments.slow_seeds, True), (NO_TWINS, arguments.slow_seeds, False)
    for group, seeds, twins in groups:
        found = compare(
            "nasbench201-cifar10", list(group.values()), evaluations=BUDGETS, seeds=seeds, objectives=OBJECTIVES,
            workers=arguments.workers, options={"space": {"keep_dead": twins}},
        )  # fmt: skip
        for budget in BUDGETS:
            for text, one in found.summaries(budget).items():
                name = next(name for name, value in group.items() if value == text)
                row = rows.setdefault(name, {"seeds": seeds})
                row[str(budget)] = {"mean": round(one.mean, 4), "ci95": round(one.half, 4), "std": round(one.std, 4)}
        result["reference_point"] = dict(zip(OBJECTIVES, found.score.reference, strict=True))
        result["exact_hypervolume"] = round(found.score.exact, 4)
        result[f"seconds: {', '.join(group)}"] = round(found.wall_seconds, 1)
    save("multiobjective", result)


if __name__ == "__main__":
    main()
