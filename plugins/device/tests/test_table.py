import json
import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

from nascore.decisions import FunctionSpace
from nascore.errors import SettingsError
from nascore.testing import CostModelConformance, MemoryContext
from nascore.testing.toys import ToySpace, toy_data
from nascore_device import fingerprint as fingerprints
from nascore_device.correction import fit
from nascore_device.gauge import Gauge
from nascore_device.profile import Profile, Sample, Timing
from nascore_device.table import LayerTable


def context():
    return MemoryContext(toy_data())


def chain():
    space = FunctionSpace(
        lambda choose: nn.Sequential(
            *(nn.Conv2d(3, 3, 3, padding=1) for _ in range(choose("depth", [1, 2, 3]))), nn.ReLU(), nn.Flatten()
        )
    )
    space.name = "chain"
    space.setup(toy_data().task)
    return space


def draw(space, seed):
    rng = random.Random(seed)
    return space.sample(lambda _, options: rng.choice(options))


class TestTable(CostModelConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.path = tmp_path

    def make(self):
        return LayerTable(folder=str(self.path), clock="cpu")


class TestCorrectedTable(TestTable):
    @pytest.fixture(autouse=True)
    def _profiled(self, _folder):
        space = self.space()
        space.setup(self.data().task)
        space.name = space.name or "toy"
        self.make().profile(space, context(), networks=8)


def planted(table, times):
    """Put times into the profile by the type of the layer."""
    profile = table.profile_of("cpu")
    space = chain()
    for depth in (1, 2, 3):
        table.predict(space, space.architecture({"depth": depth}), context())
    for key in profile.layers:
        profile.layers[key] = Timing(times[key.split("(")[0]], 0.1, 60)
    return profile, space


def test_the_prediction_is_the_sum_of_the_layers(tmp_path):
    table = LayerTable(folder=str(tmp_path))
    _, space = planted(table, {"Conv2d": 2.0, "ReLU": 0.5, "Flatten": 0.25})
    for depth in (1, 2, 3):
        cost = table.estimate(space, space.architecture({"depth": depth}), context())["latency_ms"]
        assert cost.value == pytest.approx(2.0 * depth + 0.75)
        assert cost.std == pytest.approx(0.1 * (depth + 2) ** 0.5)
        assert (cost.unit, cost.repeats) == ("ms", 60)


def test_with_measured_networks_it_is_corrected(tmp_path):
    table = LayerTable(folder=str(tmp_path))
    profile, space = planted(table, {"Conv2d": 2.0, "ReLU": 0.5, "Flatten": 0.25})
    law = [Sample(str(i), 1.0 + 0.5 * t + 0.25 * n, t, n, {}) for i, (t, n) in enumerate(
        (t, n) for t in (1.0, 2.0, 4.0) for n in (3, 4, 6))]  # fmt: skip
    profile.samples[table.place(space, toy_data().task)] = law
    table.forget()
    cost = table.estimate(space, space.architecture({"depth": 2}), context())["latency_ms"]
    assert cost.value == pytest.approx(1.0 + 0.5 * 4.75 + 0.25 * 4)
    assert cost.repeats == 9


def test_the_correction_recovers_a_planted_law():
    rng = np.random.default_rng(0)
    terms = zip(rng.uniform(0.5, 5, 30), rng.integers(5, 60, 30).tolist(), strict=True)
    samples = [Sample(str(i), 0.3 + 0.8 * t + 0.05 * n, t, n, {}) for i, (t, n) in enumerate(terms)]
    found = fit(samples)
    assert found[:3] == pytest.approx((0.3, 0.8, 0.05), rel=1e-6)
    assert found.spread < 1e-6
    assert found(2.0, 10) == pytest.approx(2.4)
    noisy = fit([s.__class__(s.key, s.ms * rng.normal(1, 0.05), s.total, s.layers, {}) for s in samples])
    assert 0.03 < noisy.spread < 0.08
    with pytest.raises(SettingsError, match="at least 8 measured networks; there are 7"):
        fit(samples[:7])


def test_where_all_networks_have_as_many_layers_there_is_a_correction_still():
    samples = [Sample(str(t), 1.0 + 2.0 * t, t, 7, {}) for t in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)]
    assert fit(samples)(10.0, 7) == pytest.approx(21.0, rel=1e-6)


def test_unknown_layers_are_measured_once_and_kept(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(Gauge, "round", lambda self, run, device: measured.append(run()) or 0.5)
    space = chain()
    architecture = space.architecture({"depth": 2})
    first = LayerTable(folder=str(tmp_path)).predict(space, architecture, context())
    assert len(measured) == 3 * 3  # three rounds of a convolution, a ReLU and a Flatten
    again = LayerTable(folder=str(tmp_path)).predict(space, architecture, context())
    assert again == first == (2.0, 0.0, 60)
    assert len(measured) == 9


def test_the_batch_is_part_of_a_layer(tmp_path, monkeypatch):
    shapes = []
    monkeypatch.setattr(Gauge, "round", lambda self, run, device: shapes.append(run().shape[0]) or 0.5)
    space = chain()
    for batch in (1, 4):
        LayerTable(batch_size=batch, folder=str(tmp_path)).predict(space, space.architecture({"depth": 1}), context())
    assert shapes == [1] * 9 + [4] * 9


def test_another_device_has_another_profile(tmp_path, monkeypatch, caplog):
    ours = LayerTable(folder=str(tmp_path)).profile_of("cpu")
    ours.layers["x"] = Timing(1.0, 0.0, 1)
    ours.save()
    assert LayerTable(folder=str(tmp_path)).profile_of("cpu").layers
    for changed in ("cpu_model", "torch"):
        with monkeypatch.context() as patch:
            if changed == "torch":
                patch.setattr(torch, "__version__", "9.9.9")
            else:
                patch.setattr(fingerprints, "cpu_model", lambda: "Another 9000")
            other = LayerTable(folder=str(tmp_path)).profile_of("cpu")
            assert not other.layers
            assert other.path != ours.path
    assert not LayerTable(folder=str(tmp_path), threads=2).profile_of("cpu").layers
    assert not LayerTable(folder=str(tmp_path), clock="cpu").profile_of("cpu").layers


DAMAGE = {
    "not JSON": lambda data: "{",
    "a list": lambda data: "[]",
    "a negative time": lambda data: json.dumps({**data, "layers": {"x": [-1, 0, 1]}}),
    "no layers": lambda data: json.dumps({**data, "layers": None}),
    "another format": lambda data: json.dumps({**data, "format": 0}),
    "another device": lambda data: json.dumps({**data, "fingerprint": {**data["fingerprint"], "model": "Other"}}),
    "no UTF-8": lambda data: b"\xff\xfe\x00",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_broken_or_foreign_profile_is_told_and_rebuilt(tmp_path, caplog, damage):
    table = LayerTable(folder=str(tmp_path), clock="cpu")
    space = chain()
    architecture = space.architecture({"depth": 1})
    table.predict(space, architecture, context())
    (path,) = tmp_path.glob("*.json")
    spoilt = DAMAGE[damage](json.loads(path.read_text()))
    path.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    with caplog.at_level(logging.WARNING, logger="nascore"):
        assert LayerTable(folder=str(tmp_path), clock="cpu").predict(space, architecture, context())[0] > 0
    assert f"{path} cannot be used and is built anew" in caplog.text
    if damage == "another device":
        assert "model 'Other', not" in caplog.text
    caplog.clear()
    assert len(Profile.read(path).layers) == 3
    LayerTable(folder=str(tmp_path), clock="cpu").profile_of("cpu")
    assert "built anew" not in caplog.text


def test_profiling_measures_networks_and_layers(tmp_path):
    space = ToySpace()
    space.setup(toy_data().task)
    table = LayerTable(folder=str(tmp_path), clock="cpu")
    told = table.profile(space, context(), networks=12)
    assert told["place"] == "toy on 1x3x8x8"
    assert told["networks"] == 12
    assert set(told["errors"]) == {"sum", "corrected", "predictor"}
    kept = LayerTable(folder=str(tmp_path), clock="cpu").profile_of("cpu")
    samples = kept.samples["toy on 1x3x8x8"]
    assert len({sample.key for sample in samples}) == 12
    deep = max(samples, key=lambda sample: sample.layers)
    assert deep.total < 3 * deep.ms
    assert deep.ms < 3 * deep.total
    known = dict(kept.layers)
    one = draw(space, 3)
    cost = LayerTable(folder=str(tmp_path), clock="cpu").estimate(space, one, context())["latency_ms"]
    assert cost.repeats == 12
    assert cost.std > 0
    assert known.items() <= LayerTable(folder=str(tmp_path), clock="cpu").profile_of("cpu").layers.items()


def test_too_few_networks_are_refused(tmp_path):
    table = LayerTable(folder=str(tmp_path))
    with pytest.raises(SettingsError, match="networks is 3"):
        table.profile(chain(), context(), networks=3)
    with pytest.raises(SettingsError, match="'chain' has 3 architectures"):
        table.profile(chain(), context(), networks=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size is 0"), ({"threads": -1}, "threads is -1"), ({"clock": "sun"}, "clock is 'sun'"),
     ({"clock": "cpu", "threads": 2}, "clock = 'cpu' sees one thread")],
)  # fmt: skip
def test_bad_options_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        LayerTable(**options)


def test_the_cpus_clock_does_not_see_a_gpu():
    with pytest.raises(SettingsError, match="does not see what cuda"):
        LayerTable(clock="cpu").profile_of("cuda")


def test_a_cache_folder_by_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert LayerTable().folder == tmp_path / "nascore" / "device"
    assert LayerTable().describe() == []
