import numpy as np
import pytest
from scipy.stats import spearmanr

from nascore.errors import SettingsError
from nascore.testing import CostModelConformance, MemoryContext
from nascore.testing.toys import ToySpace, toy_data
from nascore_device.encoding import features
from nascore_device.predictor import LearnedLatency
from nascore_device.profile import Sample
from nascore_device.profiling import drawn
from nascore_device.regressor import Regressor


def toy():
    space = ToySpace()
    space.setup(toy_data().task)
    return space


def planted(count, seed):
    """Networks of the toy space whose time is a law: so much for each kind of layer."""
    space = toy()
    samples = []
    for architecture in drawn(space, count, seed):
        found = features(space, architecture, toy_data().task)
        ms = 0.2 + sum(0.1 * value for name, value in found.items() if name.startswith("layers/Conv2d"))
        ms += 2e-6 * found["size/macs"]
        samples.append(Sample(architecture.key, ms, ms, int(found["size/layers"]), found))
    return samples


class TestPredictor(CostModelConformance):
    @pytest.fixture(autouse=True)
    def _profiled(self, tmp_path):
        self.path = tmp_path
        self.make().profile(toy(), MemoryContext(toy_data()), networks=8)

    def make(self):
        return LearnedLatency(folder=str(self.path), clock="cpu")


def test_an_encoding_counts_layers_sizes_and_decisions():
    space = toy()
    architecture = space.architecture({"width": 4, "depth": 1, "op.0": "conv", "kernel.0": 3})
    found = features(space, architecture, toy_data().task)
    assert found["size/params"] == 3 * 4 + 4 + 4 * 4 * 9 + 4 + 4 * 4 + 4
    assert found["size/macs"] == 64 * 3 * 4 + 64 * 4 * 4 * 9 + 4 * 4
    assert found["size/layers"] == 6
    assert found["layers/Conv2d 3x3 2^8"] == 1
    assert found["decision/op.0='conv'"] == 1
    assert found["decision/width=4"] == 1


def test_it_ranks_networks_that_it_did_not_see():
    samples = planted(120, 0)
    regressor = Regressor(samples[:60])
    rest = samples[60:]
    predicted = [regressor.predict(sample.features) for sample in rest]
    measured = np.array([sample.ms for sample in rest])
    means = np.array([mean for mean, _ in predicted])
    assert spearmanr(means, measured).statistic > 0.95
    assert np.abs(means / measured - 1).mean() < 0.05
    assert all(std > 0 for _, std in predicted)


def test_it_is_less_sure_of_what_it_has_not_seen():
    samples = planted(40, 0)
    regressor = Regressor(samples)
    known = samples[0].features
    assert regressor.predict({**known, "layers/Strange 2^9": 5.0})[1] > 2 * regressor.predict(known)[1]


def test_the_cost_carries_the_uncertainty(tmp_path):
    model = LearnedLatency(folder=str(tmp_path), clock="cpu")
    space, context = toy(), MemoryContext(toy_data())
    profile = model.profile_of("cpu")
    profile.samples[model.place(space, context.task)] = planted(30, 0)
    profile.save()
    fresh = LearnedLatency(folder=str(tmp_path), clock="cpu")
    (architecture,) = drawn(space, 1, seed=5)
    cost = fresh.estimate(space, architecture, context)["latency_ms"]
    assert cost.std > 0
    assert cost.repeats == 30
    assert fresh.estimate(space, architecture, context)["latency_ms"] == cost


def test_without_networks_it_refuses_and_says_what_to_type(tmp_path):
    space = toy()
    with pytest.raises(SettingsError, match="nascore device profile --predictor --space toy"):
        LearnedLatency(folder=str(tmp_path)).estimate(
            space, drawn(space, 1, 0)[0], MemoryContext(toy_data())
        )  # fmt: skip
