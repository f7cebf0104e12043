"""Learning-curve prediction: how well the end is foretold from the first quarter, and how many epochs that saves.

    python benchmarks/curves.py [--nlp FOLDER] [--seeds 10]

Curves: ten families made here (one of them by training networks of scikit-learn), accuracies of nasbench-digits
(where that plugin and its table are installed), and losses of 345 recurrent cells on WikiText-2 (``--nlp`` names the
folder with ``curves.npz`` of NAS-Bench-NLP). Defaults and features were chosen on the families of :data:`CHOSEN` and
on other networks and other trainings of nasbench-digits than those measured here; all else is held out.

Prediction: half of the curves (150 at most) teach, the others are predicted at 25% of their length; R2 and
Spearman's rho, over random halves, beside the last value seen. Saving: architectures in random order, each trained
until its pruner stops it, beside training all to the end; the pruners see the same order, and of the families made
here the curves alone. Regret is what the best finished architecture lacks of the best of all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from common import mean_interval, save
from scipy.signal import lfilter
from scipy.stats import spearmanr
from sklearn.datasets import make_classification
from sklearn.neural_network import MLPClassifier

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


COUNT = 300
"""Curves of a family that is made here."""

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


class Source:
    """Curves of one kind.

    Attributes:
        curves: (curves, epochs), each to its end.
        features: (curves, features).
        direction: in which a value gets better.
        noise: standard deviation of an end when a training is repeated; None where that is not known.
        space, candidates: what the curves are of, as a pruner sees it in a search; None where that is not known.
    """

    def __init__(
        self,
        curves: Floats,
        direction: Direction,
        noise: float | None = None,
        features: Floats | None = None,
        space: SearchSpace | None = None,
        candidates: Sequence[Candidate] | None = None,
    ) -> None:
        whole = np.isfinite(curves).all(1)
        assert candidates is None or whole.all(), "each curve has its candidate"
        self.direction, self.noise, self.space, self.candidates = direction, noise, space, candidates
        self.curves = curves[whole]
        self.features = features[whole] if features is not None else np.empty((len(self.curves), 0))


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nlp", type=Path, help="folder with curves.npz of NAS-Bench-NLP")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--settings", type=int, default=30, help="of the SVR that are tried")
    options = parser.parse_args()
    result = {}
    for name, source in sources(options.nlp).items():
        print(name, file=sys.stderr)
        result[name] = {
            "held out": name not in CHOSEN,
            "curves": len(source.curves),
            "epochs": source.curves.shape[1],
            "noise": source.noise,
            "spread of the ends": round(float(source.curves[:, -1].std()), 4),
            "prediction": prediction(source, options.seeds, options.settings),
            "saving": {
                f"{count} architectures": saving(source, options.seeds, count) for count in (100, 40)
            },
        }  # fmt: skip
    save("curves", {"seeds": options.seeds, "sources": result})


def sources(nlp: Path | None) -> dict[str, Source]:
    """What there is."""
    found = {name: make(np.random.default_rng(7)) for name, make in {**CHOSEN, **HELD_OUT}.items()}
    if nlp is not None:
        data = np.load(nlp / "curves.npz")
        size = np.log(data["num_params"])[:, None]
        found["nas-bench-nlp"] = Source(data["val_loss"].astype(float), DOWN, features=size)
    digits = nasbench_digits()
    return {**found, "nasbench-digits": digits} if digits is not None else found


# ---------------------------------------------------------------------- families


def drawn(rng: np.random.Generator, *ranges: tuple[float, float]) -> list[Floats]:
    """A parameter of all curves for each range, (COUNT, 1)."""
    return [rng.uniform(least, most, (COUNT, 1)) for least, most in ranges]


def power_laws(rng: np.random.Generator) -> Source:
    """Accuracies a - b t^-c + noise."""
    time = np.arange(1, 41)
    a, b, c = drawn(rng, (0.6, 0.95), (0.1, 0.6), (0.3, 1.5))
    return Source(a - b * time**-c + rng.normal(0, 0.01, (COUNT, 40)), UP, 0.01)


def slow_winners(rng: np.random.Generator) -> Source:
    """Accuracies; the larger, the better and the slower: curves cross late. The feature is a hint of the size."""
    time, size = np.arange(1, 31), rng.uniform(0, 1, (COUNT, 1))
    end = 0.7 + 0.2 * size + rng.normal(0, 0.03, (COUNT, 1))
    slow = 1 + 9 * size * rng.uniform(0.5, 1, (COUNT, 1))
    curves = end - 0.6 * np.exp(-time / slow) + rng.normal(0, 0.005, (COUNT, 30))
    return Source(curves, UP, 0.005, size + rng.normal(0, 0.2, (COUNT, 1)))


def spikes(rng: np.random.Generator) -> Source:
    """Losses; one value in twenty is a spike, and one run in ten diverges."""
    time = np.arange(1, 51)
    end, b, c = 0.3 + rng.gamma(4, 0.15, (COUNT, 1)), *drawn(rng, (1, 4), (0.3, 1.2))
    curves = end + b * time**-c + rng.normal(0, 0.02, (COUNT, 50))
    curves += rng.exponential(1, curves.shape) * (rng.random(curves.shape) < 0.05)
    begins = np.where(rng.random((COUNT, 1)) < 0.1, rng.integers(3, 50, (COUNT, 1)), 99)
    return Source(curves + rng.uniform(1, 6, (COUNT, 1)) * np.log1p(np.maximum(0, time - begins)), DOWN, 0.02)


def rate_drops(rng: np.random.Generator) -> Source:
    """Per cent; a high learning rate hides the end until it drops, after 10 and 15 of 20 epochs."""
    time, skill, rate = np.arange(1, 21), rng.normal(0, 1, (COUNT, 1)), rng.uniform(0, 1, (COUNT, 1))
    still = np.where(time > 15, 0.0, np.where(time > 10, 0.25, 1.0))
    start, slow = drawn(rng, (20, 50), (0.8, 3))
    curves = 80 + 6 * skill + rng.normal(0, 1, (COUNT, 1)) - (3 + 14 * rate) * still - start * np.exp(-time / slow)
    curves += rng.normal(0, 1, curves.shape) * (0.3 + 1.5 * still * rate)
    return Source(np.clip(curves, 1, 99.9), UP, 0.3, np.hstack([rate, skill + rng.normal(0, 1, (COUNT, 1))]))


def sigmoids(rng: np.random.Generator) -> Source:
    """Accuracies; at chance for a while, then a rise; 12 epochs."""
    time, end, begins = np.arange(1, 13), 0.85 * rng.beta(5, 2, (COUNT, 1)), rng.gamma(2, 1.5, (COUNT, 1))
    curves = 0.1 + end / (1 + np.exp(-rng.uniform(0.5, 2, (COUNT, 1)) * (time - begins)))
    return Source(curves + rng.normal(0, 0.01, curves.shape), UP, 0.01)


def long_losses(rng: np.random.Generator) -> Source:
    """Perplexities of 200 epochs; a fast and a slow fall, and noise that hangs together."""
    time = np.arange(1, 201)
    late, fast, slow = drawn(rng, (0.1, 1), (2, 8), (20, 120))
    curves = rng.normal(3.5, 0.35, (COUNT, 1)) + rng.uniform(1, 3, (COUNT, 1)) * np.exp(-time / fast)
    noise = lfilter([0.01], [1, -0.8], rng.normal(0, 1, (COUNT, 200)))
    hint = late + rng.normal(0, 0.3, (COUNT, 1))
    return Source(np.exp(curves + late * np.exp(-time / slow) + noise), DOWN, 0.6, hint)


def short(rng: np.random.Generator) -> Source:
    """Per cent; 5 epochs, and a feature that tells something."""
    time, end = np.arange(1, 6), rng.normal(70, 8, (COUNT, 1))
    b, c = drawn(rng, (10, 40), (0.5, 1.5))
    curves = end - b * time**-c + rng.normal(0, 0.7, (COUNT, 5))
    return Source(curves, UP, 0.7, end + rng.normal(0, 6, (COUNT, 1)))


def overfitting(rng: np.random.Generator) -> Source:
    """Losses that fall, and rise again."""
    time, end, slow = np.arange(1, 31), rng.uniform(0.3, 0.8, (COUNT, 1)), rng.uniform(1, 6, (COUNT, 1))
    rise = rng.gamma(2, 0.004, (COUNT, 1)) * np.maximum(0, time - 2 * slow) ** 1.2
    return Source(end + 1.5 * np.exp(-time / slow) + rise + rng.normal(0, 0.01, (COUNT, 30)), DOWN, 0.01)


def ties(rng: np.random.Generator) -> Source:
    """Accuracies on 500 examples: the good ones end close together."""
    time, start, slow = np.arange(1, 26), *drawn(rng, (0.3, 0.9), (0.7, 5))
    wrong = np.exp(rng.normal(-3.3, 0.8, (COUNT, 1))) + start * np.exp(-time / slow)
    return Source(1 - rng.binomial(500, np.clip(wrong, 0.001, 0.9)) / 500, UP, 0.006)


def perceptrons(rng: np.random.Generator) -> Source:
    """Accuracies of 160 real trainings: perceptrons of scikit-learn, of random sizes and hyper-parameters."""
    curves, features = [], []
    for number in range(160):
        rate, momentum, decay = 10 ** rng.uniform(-3.5, 0), rng.uniform(0, 0.97), 10 ** rng.uniform(-5, 0)
        width, batch, depth = int(2 ** rng.uniform(2, 7)), int(2 ** rng.uniform(4, 8)), int(rng.integers(1, 4))
        network = MLPClassifier(
            (width,) * depth, solver="sgd", learning_rate_init=rate, momentum=momentum, batch_size=batch, alpha=decay,
            random_state=number,
        )  # fmt: skip
        features.append([*np.log([rate, 1 - momentum, decay, width, batch]), depth])
        curves.append(trained(network))
    return Source(np.array(curves), UP, None, np.array(features))


def trained(network: MLPClassifier, epochs: int = 30) -> list[float]:
    """Accuracy on 1,000 examples after each epoch on as many others; by chance from where it diverges."""
    x, y = make_classification(2000, 20, n_informative=10, n_classes=5, n_clusters_per_class=2, random_state=0)
    curve: list[float] = []
    try:
        with np.errstate(all="ignore"):
            while len(curve) < epochs:
                curve.append(network.partial_fit(x[:1000], y[:1000], classes=range(5)).score(x[1000:], y[1000:]))
    except ValueError:  # scikit-learn refuses to go on
        curve += [0.2] * (epochs - len(curve))
    return curve


CHOSEN = {
    "power laws": power_laws,
    "slow winners": slow_winners,
    "spikes": spikes,
    "rate drops": rate_drops,
}
"""Families by which features, settings and defaults were chosen."""

HELD_OUT = {
    "sigmoids": sigmoids,
    "long losses": long_losses,
    "short": short,
    "overfitting": overfitting,
    "ties": ties,
    "perceptrons": perceptrons,
}
"""Families that were looked at when all was chosen."""


def nasbench_digits() -> Source | None:
    """The first training of every other network; None where the plugin or its table is missing."""
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
    half = slice(None, None, 2)  # the defaults were chosen on the second trainings of the other half
    candidates = [
        Candidate(space.architecture({name: OPS[op] for name, op in zip(NAMES, cell, strict=True)}))
        for cell in cells[half]
    ]
    best = np.argsort(-table.accuracy.mean(1))[: len(cells) // 10]
    noise = round(float(np.sqrt(table.accuracy[best].var(1, ddof=1).mean())), 4)
    return Source(table.curves[half, 0].astype(float), UP, noise, features[half], space, candidates)


def prediction(source: Source, seeds: int, settings: int) -> dict[str, Any]:
    """R2 and Spearman's rho at a quarter of the curve, with 95% intervals over random halves."""
    tau = max(2, source.curves.shape[1] // 4)
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
        "curves": {"use": "curves:predict"},
        "median": {"use": "median", "n_startup_trials": 15, "n_warmup_steps": epochs // 4},
        "successive halving": {"use": "successivehalving", "min_resource": max(1, epochs // 4), "reduction_factor": 2},
        "hyperband": {"use": "hyperband", "min_resource": max(1, epochs // 4), "max_resource": epochs},
    }
    found: dict[str, Any] = {}
    for name, table in pruners.items():
        share, regret, same, milliseconds = [], [], [], []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(source.curves))[:architectures]
            curves = source.curves[order]
            known = [source.candidates[index] for index in order] if source.candidates else None
            begun = process_time()
            done = replay(
                make_pruner(table), curves,
                direction=source.direction, candidates=known, space=source.space, seed=seed,
            )  # fmt: skip
            milliseconds.append(1000 * (process_time() - begun) / len(curves))
            ends = curves[:, -1]
            best = float(ends.max() if source.direction is UP else ends.min())
            share.append(done.epochs / curves.size)
            regret.append(abs(best - done.best))
            same.append(done.best == best)
        found[name] = {
            "share of the epochs": interval(share),
            "fewer epochs, times": interval([1 / one for one in share]),
            "regret": interval(regret),
            "same best": f"{sum(same)} of {seeds}",
            "processor milliseconds for each training": interval(milliseconds),
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
