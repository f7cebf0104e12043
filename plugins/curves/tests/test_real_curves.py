"""345 real curves of recurrent cells on WikiText-2 (NAS-Bench-NLP), where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from nascore_curves.predictor import CurvePredictor

FOLDER = os.environ.get("NASCORE_NLP_CURVES", "")
pytestmark = pytest.mark.skipif(
    not FOLDER or not Path(FOLDER, "curves.npz").is_file(),
    reason="NASCORE_NLP_CURVES names no folder with curves.npz of NAS-Bench-NLP",
)


def test_a_quarter_of_the_curve_tells_the_end():
    data = np.load(Path(FOLDER, "curves.npz"))
    curves, params = data["val_loss"].astype(float), np.log(data["num_params"])[:, None]
    order = np.random.default_rng(0).permutation(len(curves))
    train, test = order[:150], [i for i in order[150:] if np.isfinite(curves[i]).all()]
    mean, _ = CurvePredictor().fit(curves[train], params[train]).predict(curves[test, :12], params[test])
    truth = curves[test, -1]
    error, plain = ((mean - truth) ** 2).sum(), ((curves[test, 11] - truth) ** 2).sum()
    assert 1 - error / ((truth - truth.mean()) ** 2).sum() > 0.75
    assert error < 0.75 * plain
    assert spearmanr(mean, truth)[0] > 0.9
