"""One regressor for one tau: nu-SVRs by random search, or the last value where cross-validation finds it better."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nascore_curves.features import curve_features, summary_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VIEWS = ("all", "summary", "curve")
"""What an SVR sees: everything; the summary and the architecture; the curve alone."""
FAR = 3.0
"""Standard deviations beyond which a feature tells no more: a run that diverges would rule the kernel."""
NEAR = 10
"""The fewest residuals that tell how sure a prediction is."""
KEPT = 5
"""The best settings, whose mean is the prediction."""


@dataclass(frozen=True)
class Setting:
    """Of one nu-SVR.

    Attributes:
        c: penalty, > 0.
        kernel: "rbf", or "linear", which needs fewer curves.
        gamma: of the RBF kernel, on standardised features, of which each block counts as one.
        nu: in (0, 1].
        view: one of :data:`VIEWS`.
        log: learn the logarithm of the values.
        gain: learn what the end adds to the last value, not the end itself: the best and the worst curves are
            then not drawn to the middle.
    """

    c: float
    kernel: str
    gamma: float
    nu: float
    view: str
    log: bool
    gain: bool


class Examples:
    """First parts of curves and what is known beside them, as features in blocks."""

    def __init__(self, blocks: dict[tuple[str, bool], Floats]) -> None:
        """
        Args:
            blocks: name and whether of logarithms -> (curves, features).
        """
        self._blocks = blocks

    @classmethod
    def of(cls, partial: Floats, extra: Floats, epochs: int) -> Examples:
        """Make the features.

        Args:
            partial: (curves, tau), finite.
            extra: (curves, features) of architecture and hyper-parameters.
            epochs: length of a whole curve.
        """
        blocks = {("extra", False): extra, ("extra", True): extra}
        for log in (False, True):
            # Logarithms are only learnt from where all training values are positive; a later one may be not.
            values = np.log(np.maximum(partial, np.finfo(np.float64).tiny)) if log else partial
            blocks["last", log] = values[:, -1:]
            blocks["values", log] = curve_features(values)
            blocks["summary", log] = summary_features(values, epochs)
        return cls(blocks)

    def at(self, rows: NDArray[np.intp]) -> Examples:
        """Some of them."""
        return Examples({name: block[rows] for name, block in self._blocks.items()})

    def last(self, log: bool = False) -> Floats:
        """The last value seen of each curve, or its logarithm, (curves,)."""
        return self._blocks["last", log][:, 0]

    @property
    def features(self) -> int:
        """How many of architecture and hyper-parameters."""
        return int(self._blocks["extra", False].shape[1])

    @property
    def least(self) -> float:
        """The smallest value of all."""
        tau = (self._blocks["values", False].shape[1] + 3) // 3
        return float(self._blocks["values", False][:, :tau].min())

    def blocks(self, view: str, log: bool) -> list[Floats]:
        """The blocks of a view that are not empty."""
        names = {"all": ("values", "summary", "extra"), "summary": ("summary", "extra"), "curve": ("values", "summary")}
        found = [self._blocks[name, log] for name in names[view]]
        return [block for block in found if block.shape[1]]


class Regressor:
    """Predicts the end of a curve from its first tau values.

    Attributes:
        settings: of the SVRs in use; none where the last value, moved by the mean gain, was better.
        guesses: (curves,), what is predicted of each example by regressors that have not seen it.
    """

    def __init__(self, examples: Examples, ends: Floats, *, settings: int, folds: int, seed: int) -> None:
        """Fit.

        Args:
            examples: to learn from.
            ends: (curves,), the last value of each whole curve.
            settings: how many are tried.
            folds: of the cross-validation.
            seed: of the random search and the folds.
        """
        rng = np.random.default_rng(seed)
        self._examples, self._ends = examples, ends
        parts = np.array_split(rng.permutation(len(ends)), folds)
        tried = self._draw(settings, rng)
        guesses = [self._cross_validated(setting, parts) for setting in tried]
        errors = [_rms(guess - ends) for guess in guesses]
        order = [int(i) for i in np.argsort(errors, kind="stable")[:KEPT]]
        self.settings: tuple[Setting, ...] = tuple(tried[i] for i in order)
        self.guesses = self._cross_validated(None, parts)
        if order:
            together: Floats = np.mean([guesses[i] for i in order], axis=0)
            if _rms(together - ends) < _rms(self.guesses - ends):
                self.guesses = together
            else:
                self.settings = ()
        self._models = [_fitted(setting, examples, ends) for setting in self.settings or (None,)]

    def predict(self, examples: Examples) -> Floats:
        """The expected end of each curve, (curves,)."""
        mean: Floats = np.mean([model(examples) for model in self._models], axis=0)
        return mean

    def sigma(self, mean: Floats) -> Floats:
        """How far from its prediction an end may lie, (curves,).

        The root mean square of the cross-validated residuals (training residuals would be too small) of those
        examples whose guesses are nearest: good curves end close together, poor ones anywhere. So few residuals
        are too small by chance now and then; the variance of Student's t makes up for it.

        Args:
            mean: predictions, (curves,).
        """
        near = min(len(self._ends), max(NEAR, len(self._ends) // 4))
        squares = (self.guesses - self._ends) ** 2
        distance = np.abs(mean[:, None] - self.guesses)
        nearest = np.argpartition(distance, near - 1, axis=1)[:, :near]
        sigma: Floats = np.sqrt(squares[nearest].mean(axis=1) * near / (near - 2))
        return sigma

    def _draw(self, count: int, rng: np.random.Generator) -> list[Setting]:
        """Random settings, the views in turn."""
        views = VIEWS if self._examples.features else ("all", "summary")
        may_log = min(self._examples.least, float(self._ends.min())) > 0
        return [
            Setting(
                c=float(10 ** rng.uniform(-1, 2)),
                kernel=("rbf", "linear")[rng.integers(2)],
                gamma=float(10 ** rng.uniform(-3, 0.5)),
                nu=float(rng.uniform(0.05, 1)),
                view=views[i % len(views)],
                log=bool(rng.integers(2)) and may_log,
                gain=bool(rng.integers(2)),
            )
            for i in range(count)
        ]

    def _cross_validated(self, setting: Setting | None, parts: Sequence[NDArray[np.intp]]) -> Floats:
        """A prediction for each example by a model that has not seen it, (curves,)."""
        guesses = np.empty(len(self._ends))
        for held in parts:
            rest = np.setdiff1d(np.arange(len(self._ends)), held)
            guesses[held] = _fitted(setting, self._examples.at(rest), self._ends[rest])(self._examples.at(held))
        return guesses


class _LastValue:
    """The last value seen, moved by the mean gain of the training curves after it."""

    def __init__(self, examples: Examples, ends: Floats) -> None:
        self._room = _room(ends)
        self._gain = float(np.mean(ends - examples.last()))

    def __call__(self, examples: Examples) -> Floats:
        """Predict, (curves,)."""
        return np.clip(examples.last() + self._gain, *self._room)


class _SVR:
    """A nu-SVR on features and values that are standardised by what it learns from."""

    def __init__(self, setting: Setting, examples: Examples, ends: Floats) -> None:
        from sklearn import config_context
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import NuSVR

        self._setting = setting
        blocks = examples.blocks(setting.view, setting.log)
        self._centre = [block.mean(0) for block in blocks]
        self._spread = [_spread(block) for block in blocks]
        values = np.log(ends) if setting.log else ends
        if setting.gain:
            values = values - examples.last(setting.log)
        self._mean, self._std = values.mean(), values.std() or 1.0
        self._room = _room(ends)
        self._svr = NuSVR(
            C=setting.c, kernel=setting.kernel, gamma=setting.gamma, nu=setting.nu, tol=1e-3, max_iter=20_000
        )
        # Checked already; on so few examples scikit-learn's own checks take longer than the fit. A setting for
        # which the solver does not end is judged by cross-validation like any other.
        with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._svr.fit(self._scaled(blocks), (values - self._mean) / self._std)

    def _scaled(self, blocks: Sequence[Floats]) -> Floats:
        """Standardised, a stray curve pulled in, each block as heavy as any other."""
        scaled = [
            np.clip((block - centre) / spread, -FAR, FAR) / np.sqrt(block.shape[1])
            for block, centre, spread in zip(blocks, self._centre, self._spread, strict=True)
        ]
        return np.hstack(scaled)

    def __call__(self, examples: Examples) -> Floats:
        """Predict, (curves,)."""
        blocks = self._scaled(examples.blocks(self._setting.view, self._setting.log))
        values = self._svr.predict(blocks) * self._std + self._mean
        if self._setting.gain:
            values = values + examples.last(self._setting.log)
        # Not beyond the room: the logarithm of a run that diverges may be too large to come back from.
        guesses: Floats = np.exp(np.minimum(values, np.log(self._room[1]))) if self._setting.log else values
        return np.clip(guesses, *self._room)


def _fitted(setting: Setting | None, examples: Examples, ends: Floats) -> _LastValue | _SVR:
    return _LastValue(examples, ends) if setting is None else _SVR(setting, examples, ends)


def _room(ends: Floats) -> tuple[float, float]:
    """Where predictions may lie: among the ends learnt from, and a quarter of their range beyond."""
    least, most = float(ends.min()), float(ends.max())
    return least - (most - least) / 4, most + (most - least) / 4


def _spread(block: Floats) -> Floats:
    """Standard deviation of each column; infinity, which makes it 0, where it says nothing."""
    spread = block.std(0)
    return np.where(spread > 1e-12 * (1 + np.abs(block).max(0, initial=0.0)), spread, np.inf)


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))
