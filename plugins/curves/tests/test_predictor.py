"""METHODS section 16, P1 and P3, and curves of every kind: losses, accuracies, any length, bad ones."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from nascore.errors import DataError, SettingsError
from nascore_curves.features import as_curves, curve_features, extrapolated
from nascore_curves.predictor import CurvePredictor


def synthetic(seed, count=120, epochs=40, noise=0.01):
    """Curves y = a - b t^-c + noise."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.6, 0.95, count), rng.uniform(0.1, 0.6, count), rng.uniform(0.3, 1.5, count)
    time = np.arange(1, epochs + 1)
    return a[:, None] - b[:, None] * time ** -c[:, None] + rng.normal(0, noise, (count, epochs))


def r2(guess, truth):
    return 1 - ((guess - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()


@pytest.mark.parametrize("tau", [2, 3, 10])
def test_p1_values_and_their_differences(tau):
    partial = np.arange(tau, dtype=float)[None] ** 2
    features = curve_features(partial)
    assert features.shape == (1, tau + (tau - 1) + (tau - 2))
    assert features[0, tau : 2 * tau - 1].tolist() == [2 * t + 1 for t in range(tau - 1)]
    assert features[0, 2 * tau - 1 :].tolist() == [2.0] * (tau - 2)


def test_a_power_law_without_noise_is_extrapolated_to_its_end():
    time = np.arange(1, 41)
    curves = np.stack([0.9 - 0.5 * time**-0.5, 2.0 + 3.0 * time**-1.0])
    np.testing.assert_allclose(extrapolated(curves[:, :5], 40), curves[:, -1], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_p3_better_than_the_last_value(seed):
    curves = synthetic(seed)
    mean, std = CurvePredictor(settings=20).fit(curves[:60]).predict(curves[60:, :10])
    truth = curves[60:, -1]
    assert r2(mean, truth) > 0.85
    assert r2(mean, truth) > r2(curves[60:, 9], truth)
    assert 0.5 < std[0] / np.sqrt(np.mean((mean - truth) ** 2)) < 2


def test_few_curves_are_enough_where_they_are_regular():
    curves = synthetic(1, count=200)
    errors = []
    for few in np.split(np.arange(80), 4):
        mean, _ = CurvePredictor(settings=15).fit(curves[few]).predict(curves[80:, :10])
        errors.append(r2(mean, curves[80:, -1]))
    assert np.mean(errors) > 0.945


def test_guesses_are_of_regressors_that_have_not_seen_the_curve():
    rng = np.random.default_rng(0)
    curves = [*rng.normal(size=(30, 4)), rng.normal(size=2)]  # nothing can be predicted
    predictor = CurvePredictor().fit(curves, ends=rng.normal(size=31))
    guesses = predictor.guesses(3)
    assert np.isnan(guesses).tolist() == [False] * 30 + [True]
    ends = predictor.regressor(3)._ends
    assert np.corrcoef(guesses[:30], ends)[0, 1] < 0.5
    near = np.argsort(np.abs(guesses[:30] - 0.1))[:10]
    sigma = np.sqrt(np.mean((guesses[near] - ends[near]) ** 2) * 10 / 8)
    assert predictor.regressor(3).sigma(np.array([0.1]))[0] == pytest.approx(sigma)


@pytest.mark.parametrize("shape", [np.negative, lambda y: np.exp(3 - 3 * y), lambda y: 1000 * (1 - y)])
def test_losses_that_fall_are_predicted_too(shape):
    curves = shape(synthetic(5))
    mean, _ = CurvePredictor(settings=20).fit(curves[:60]).predict(curves[60:, :10])
    assert r2(mean, curves[60:, -1]) > 0.85
    assert spearmanr(mean, curves[60:, -1])[0] > 0.9


def test_features_of_the_architecture_help():
    curves = synthetic(2, noise=0.05)
    known = synthetic(2, noise=0.0)[:, -1:]
    truth = curves[60:, -1]
    without, _ = CurvePredictor(settings=20).fit(curves[:60]).predict(curves[60:, :3])
    with_them, _ = CurvePredictor(settings=20).fit(curves[:60], known[:60]).predict(curves[60:, :3], known[60:])
    assert r2(with_them, truth) > r2(without, truth) + 0.05


def test_the_standard_deviation_is_of_curves_that_were_not_learnt_from():
    rng = np.random.default_rng(0)
    curves = np.hstack([rng.normal(size=(30, 3)), rng.normal(size=(30, 1))])  # nothing can be predicted
    _, std = CurvePredictor().fit(curves).predict(curves[:, :3])
    assert std[0] > 0.8 * curves[:, -1].std()


def test_it_is_surer_where_ends_lie_close_together():
    rng = np.random.default_rng(0)
    ends = np.concatenate([rng.uniform(0.3, 0.7, 60), rng.uniform(0.9, 0.95, 60)])
    late = np.where(ends < 0.8, 0.1, 0.003) * rng.normal(size=120)  # what the beginning does not show
    curves = (ends - late)[:, None] - 0.3 / np.arange(1, 11) + 0.0
    curves[:, -1] = ends
    mean, std = CurvePredictor(6).fit(curves).predict(curves[:, :4])
    assert np.median(std[ends > 0.8]) < np.median(std[ends < 0.8]) / 4
    assert np.mean(np.abs(mean - ends) <= 1.96 * std) > 0.9


def test_the_last_value_is_taken_where_it_is_better():
    rng = np.random.default_rng(1)
    start = 10 ** rng.uniform(-6, 6, (9, 1))  # far too few for a regression over twelve orders of magnitude
    curves = start + np.zeros((1, 8))
    predictor = CurvePredictor(settings=10).fit(curves)
    assert predictor.regressor(4).settings == ()
    mean, _ = predictor.predict(curves[:, :4])
    np.testing.assert_allclose(mean, curves[:, -1])


def test_curves_of_different_lengths():
    curves = list(synthetic(3))
    cut = [curve[: 5 + i % 20] for i, curve in enumerate(curves[60:])]
    mean, std = CurvePredictor(settings=5).fit(curves[:60]).predict(cut)
    for i in (0, 7, 19):
        alone, its_std = CurvePredictor(settings=5).fit(curves[:60]).predict([cut[i]])
        assert alone[0] == pytest.approx(mean[i])
        assert its_std[0] == std[i]


def test_a_run_that_stopped_early_teaches_nothing():
    curves = synthetic(4, count=40)
    cut = synthetic(9, count=20)
    cut[:, 15:] = np.nan
    cut[0, 1:] = np.nan  # one point
    some = CurvePredictor(settings=5).fit(np.vstack([curves, cut])).predict(curves[:, :10])
    without = CurvePredictor(settings=5).fit(curves).predict(curves[:, :10])
    np.testing.assert_array_equal(some, without)


def test_ends_may_be_given():
    curves = synthetic(4, count=40)
    mean, _ = CurvePredictor(settings=5).fit(curves, ends=curves.max(1) + 1).predict(curves[:, :20])
    assert abs(mean - curves.max(1) - 1).max() < 0.1


def test_a_whole_curve_is_its_own_end():
    curves = synthetic(4, count=10)
    mean, std = CurvePredictor(settings=0).fit(curves).predict(curves)
    assert mean.tolist() == curves[:, -1].tolist()
    assert not std.any()


def test_equal_curves_and_equal_ends_are_no_trouble():
    mean, std = CurvePredictor(settings=5).fit(np.ones((8, 6))).predict(np.ones((2, 3)))
    assert mean == pytest.approx([1, 1])
    assert std == pytest.approx([0, 0])


def test_the_same_seed_gives_the_same_prediction():
    curves = synthetic(6)
    first = CurvePredictor(settings=6, seed=3).fit(curves[:60]).predict(curves[60:, :10])
    np.random.default_rng(0)
    again = CurvePredictor(settings=6, seed=3).fit(curves[:60]).predict(curves[60:, :10])
    np.testing.assert_array_equal(first, again)


GOOD = synthetic(0, count=12, epochs=8)


def spoilt(row, column, value):
    curves = GOOD.copy()
    curves[row, column] = value
    return curves


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        (spoilt(3, 4, np.nan), r"Curve 3 is NaN at epoch 5 and goes on after it"),
        (spoilt(3, 4, np.inf), r"Curve 3 is inf at epoch 5"),
        (GOOD[:, :1], r"12 curves with at most 1 points: a curve needs at least 2"),
        (GOOD[:0], r"0 curves"),
        (GOOD[0], r"the shape \(8,\)"),
        (GOOD[:5], r"5 of 5 curves ran to the end of their 8 epochs; a predictor needs at least 6"),
        ([["a", "b"]], r"Curve 0 is no sequence of numbers"),
        (7, "int is no set of curves"),
    ],
)
def test_bad_curves_are_told_and_nothing_is_forgotten(curves, said):
    predictor = CurvePredictor(settings=3).fit(GOOD)
    before = predictor.predict(GOOD[:, :4])
    with pytest.raises(DataError, match=said):
        predictor.fit(curves)
    np.testing.assert_array_equal(predictor.predict(GOOD[:, :4]), before)


@pytest.mark.parametrize(
    ("partial", "features", "said"),
    [
        (spoilt(0, 2, np.nan)[:, :4], GOOD[:, :2], r"Curve 0 is NaN at epoch 3"),
        (GOOD[:, :1], GOOD[:, :2], "at least 2"),
        ([GOOD[0, :3], GOOD[1, :1]], GOOD[:2, :2], r"Curve 1 has 1 points"),
        (np.hstack([GOOD, GOOD]), GOOD[:, :2], r"16 epochs are given; the curves of fit\(\) have 8"),
        (GOOD[:, :4], None, r"0 features for each curve; fit\(\) was given 2"),
        (GOOD[:, :4], GOOD[:3, :2], r"shape \(3, 2\); it must be \(12, features\)"),
        (GOOD[:, :4], spoilt(2, 1, np.nan)[:, :2], r"Feature 1 of curve 2 is nan"),
    ],
)
def test_bad_questions_are_told(partial, features, said):
    predictor = CurvePredictor(settings=0).fit(GOOD, GOOD[:, :2])
    with pytest.raises(DataError, match=said):
        predictor.predict(partial, features)


def test_it_must_learn_first():
    with pytest.raises(DataError, match=r"call fit\(curves, features\) first"):
        CurvePredictor().predict(GOOD)


@pytest.mark.parametrize("options", [{"settings": -1}, {"folds": 1}])
def test_bad_options_are_told(options):
    with pytest.raises(SettingsError, match=f"{next(iter(options))} is"):
        CurvePredictor(**options)


def test_nan_tails_are_the_only_nan_that_pass():
    table = as_curves([[1.0, 2.0, 3.0], [4.0, np.nan, np.nan], [5.0, 6.0]])
    np.testing.assert_array_equal(table, [[1, 2, 3], [4, np.nan, np.nan], [5, 6, np.nan]])
