"""Learning-curve prediction: how well the end is foretold from the first quarter, and how many epochs that saves.

    python benchmarks/curves.py [--nlp FOLDER] [--seeds 10] [--architectures 100]

Curves: accuracies of nasbench-digits (where that plugin and its table are installed), losses of 345 recurrent
cells on WikiText-2 (``--nlp`` names the folder with ``curves.npz`` of NAS-Bench-NLP), and power laws with noise.

Prediction: half of the curves (150 at most) teach, the others are predicted at 25% of their length; R2 and
Spearman's rho, over random halves, beside the last value seen. Saving: architectures in random order, each trained
until its pruner stops it, beside training all to the end; the pruners see the same order. Regret is what the best
finished architecture lacks of the best of all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import mean_interval, save
from scipy.stats import spearmanr

from nascore.errors import DataError
from nascore.pruning import make_pruner
from nascore.records import Candidate, Direction
from nascore_blocks.nasbench201 import NAMES
from nascore_curves.predictor import CurvePredictor
from nascore_curves.replay import replay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nascore.contracts import SearchSpace

    Floats = NDArray[np.float64]


class Source:
    """Curves of one kind.

    Attributes:
        name: of the source.
        curves: (curves, epochs), each to its end.
        features: (curves, features).
        direction: in which a value gets better.
        space, candidates: what the curves are of, as a pruner sees it in a search; None where that is not known.
    """

    def __init__(
        self,
        name: str,
        curves: Floats,
        features: Floats,
        direction: Direction,
        space: SearchSpace | None = None,
        candidates: Sequence[Candidate] | None = None,
    ) -> None:
        whole = np.isfinite(curves).all(1)
        assert candidates is None or whole.all(), "each curve has its candidate"
        self.name, self.direction, self.space, self.candidates = name, direction, space, candidates
        self.curves, self.features = curves[whole].astype(float), features[whole].astype(float)


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nlp", type=Path, help="folder with curves.npz of NAS-Bench-NLP")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--architectures", type=int, default=100, help="in one search")
    parser.add_argument("--settings", type=int, default=30, help="of the SVR that are tried")
    options = parser.parse_args()
    result = {
        source.name: {
            "curves": len(source.curves),
            "epochs": source.curves.shape[1],
            "prediction": prediction(source, options.seeds, options.settings),
            "saving": saving(source, options.seeds, options.architectures),
        }
        for source in sources(options.nlp)
    }
    save("curves", {"architectures": options.architectures, "seeds": options.seeds, "sources": result})


def sources(nlp: Path | None) -> list[Source]:
    """What there is."""
    found = [power_laws()]
    if nlp is not None:
        data = np.load(nlp / "curves.npz")
        size = np.log(data["num_params"])[:, None]
        found.append(Source("nas-bench-nlp", data["val_loss"], size, Direction.MINIMIZE))
    digits = nasbench_digits()
    return [*found, digits] if digits is not None else found


def power_laws(count: int = 300, epochs: int = 40) -> Source:
    """Curves y = a - b t^-c + noise."""
    rng = np.random.default_rng(0)
    a, b, c = rng.uniform(0.6, 0.95, count), rng.uniform(0.1, 0.6, count), rng.uniform(0.3, 1.5, count)
    time = np.arange(1, epochs + 1)
    curves = a[:, None] - b[:, None] * time ** -c[:, None] + rng.normal(0, 0.01, (count, epochs))
    return Source("power laws", curves, np.empty((count, 0)), Direction.MAXIMIZE)


def nasbench_digits() -> Source | None:
    """The first training of each network; None where the plugin or its table is missing."""
    try:
        from nascore_nasbench_digits.data import OPS, load_table
        from nascore_nasbench_digits.produce import load_data
        from nascore_nasbench_digits.space import DigitsCells

        table = load_table()
    except (ImportError, DataError) as error:
        print(f"without nasbench-digits: {error}", file=sys.stderr)
        return None
    cells = table.ops[np.unique(table.network, return_index=True)[1]]
    edges = (cells[:, :, None] == np.arange(cells.max() + 1)).reshape(len(cells), -1)
    features = np.hstack([np.log1p(np.stack([table.params, table.macs], axis=1)), edges])
    space = DigitsCells()
    space.setup(load_data().task)
    candidates = [
        Candidate(space.architecture({name: OPS[op] for name, op in zip(NAMES, cell, strict=True)})) for cell in cells
    ]
    return Source("nasbench-digits", table.curves[:, 0], features, Direction.MAXIMIZE, space, candidates)


def prediction(source: Source, seeds: int, settings: int) -> dict[str, Any]:
    """R2 and Spearman's rho at a quarter of the curve, with 95% intervals over random halves."""
    tau = source.curves.shape[1] // 4
    scores: dict[str, list[float]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(source.curves))
        train, test = np.split(order, [min(150, len(order) // 2)])
        test = test[:2000]
        predictor = CurvePredictor(settings, seed=seed).fit(source.curves[train], source.features[train])
        mean, std = predictor.predict(source.curves[test, :tau], source.features[test])
        truth, last = source.curves[test, -1], source.curves[test, tau - 1]
        moved = last + (source.curves[train, -1] - source.curves[train, tau - 1]).mean()
        for name, guess in (("curves", mean), ("last value", last), ("last value + mean gain", moved)):
            scores.setdefault(f"{name}: R2", []).append(r2(guess, truth))
            scores.setdefault(f"{name}: Spearman", []).append(float(spearmanr(guess, truth)[0]))
        inside = np.abs(mean - truth) <= 1.96 * std
        scores.setdefault("curves: share within 1.96 std", []).append(float(inside.mean()))
    return {"tau": tau, **{name: interval(values) for name, values in scores.items()}}


def saving(source: Source, seeds: int, architectures: int) -> dict[str, Any]:
    """Epochs of a search and its regret, for each pruner, over random orders."""
    epochs = source.curves.shape[1]
    pruners: dict[str, Mapping[str, Any]] = {
        "curves, delta 0.95": {"use": "curves:predict"},
        "curves, delta 0.9": {"use": "curves:predict", "delta": 0.9},
        "curves, delta 0.99": {"use": "curves:predict", "delta": 0.99},
        "median": {"use": "median", "n_startup_trials": 15, "n_warmup_steps": epochs // 4},
        "successive halving": {"use": "successivehalving", "min_resource": max(1, epochs // 4), "reduction_factor": 2},
        "hyperband": {"use": "hyperband", "min_resource": max(1, epochs // 4), "max_resource": epochs},
    }
    found: dict[str, Any] = {}
    for name, table in pruners.items():
        share, regret, same = [], [], []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(source.curves))[:architectures]
            curves = source.curves[order]
            known = [source.candidates[index] for index in order] if source.candidates else None
            done = replay(
                make_pruner(table), curves,
                direction=source.direction, candidates=known, space=source.space, seed=seed,
            )  # fmt: skip
            ends = curves[:, -1]
            best = float(ends.max() if source.direction is Direction.MAXIMIZE else ends.min())
            share.append(done.epochs / curves.size)
            regret.append(abs(best - done.best))
            same.append(done.best == best)
        found[name] = {
            "share of the epochs": interval(share),
            "fewer epochs, times": interval([1 / one for one in share]),
            "regret": interval(regret),
            "same best": f"{sum(same)} of {seeds}",
        }
    return found


def r2(guess: Floats, truth: Floats) -> float:
    """The share of the variance that is explained."""
    return float(1 - ((guess - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def interval(values: list[float]) -> dict[str, float]:
    """Mean, and half of the width of its 95% interval."""
    mean, half = mean_interval(values)
    return {"mean": round(mean, 4), "ci95": round(half, 4)}


if __name__ == "__main__":
    main()
