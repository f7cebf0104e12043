import sys
from types import SimpleNamespace

import pytest
from torch import nn

from nascore.decisions import FunctionSpace
from nascore.errors import RunError, SettingsError
from nascore.testing import CostModelConformance, MemoryContext
from nascore.testing.toys import ToySpace, toy_data
from nascore_device.energy import Energy

RANGE = 1_000_000


@pytest.fixture
def powercap(tmp_path):
    """Two packages, one of them with a part that must not count."""
    for name, counter in (("intel-rapl:0", 997_000), ("intel-rapl:1", 5), ("intel-rapl:0:0", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{counter}\n")
        (tmp_path / name / "max_energy_range_uj").write_text(f"{RANGE - 1}\n")
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


class Burning(nn.Module):
    """Each run takes 300 microjoules of one package and 200 of the other; the parts' counter is theirs alone."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def forward(self, x):
        for name, micro in (("intel-rapl:0", 300), ("intel-rapl:1", 200), ("intel-rapl:0:0", 100)):
            path = self.folder / name / "energy_uj"
            path.write_text(f"{(int(path.read_text()) + micro) % RANGE}\n")
        return x


def priced(model, network, device="cpu"):
    space = FunctionSpace(lambda choose: network)
    space.name = "burning"
    space.setup(toy_data().task)
    context = MemoryContext(toy_data())
    context.device = device
    return model.estimate(space, space.architecture({}), context)["energy_mj"]


def test_energy_of_one_run_by_rapl(powercap):
    cost = priced(Energy(seconds=0.01, repeats=4, powercap=str(powercap)), Burning(powercap))
    assert cost.value == pytest.approx(0.5)  # the first counter begins anew while it is read
    assert cost.std == pytest.approx(0.0, abs=1e-12)
    assert (cost.unit, cost.repeats) == ("mJ", 4)


class TestEnergy(CostModelConformance):
    @pytest.fixture(autouse=True)
    def _powercap(self, powercap):
        self.path = powercap

    def make(self):
        return Energy(seconds=0.01, repeats=2, powercap=str(self.path))

    def space(self):
        path = self.path

        class Space(ToySpace):
            def build(self, architecture, task):
                return nn.Sequential(Burning(path), super().build(architecture, task))

        return Space()


def test_a_counter_that_does_not_move_is_no_energy_of_zero(powercap):
    with pytest.raises(RunError, match="did not move"):
        priced(Energy(seconds=0.01, repeats=2, powercap=str(powercap)), nn.Identity())


def test_without_a_counter_it_is_refused_with_the_reasons(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SettingsError, match=r"shows no RAPL counter.*NVML is not installed: pip install nvidia-ml-py"):
        Energy(powercap=str(tmp_path))


def test_a_counter_for_root_alone_is_told(powercap, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    def refuse(path, *rest, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(SettingsError, match=r"may be read by root alone; to allow it: sudo chmod a\+r"):
        Energy(powercap=str(powercap))


def test_a_device_without_a_counter_is_refused(powercap):
    with pytest.raises(SettingsError, match="cannot be measured on 'meta': there is no counter for meta"):
        priced(Energy(powercap=str(powercap)), nn.Identity(), "meta")


def nvml(counters, supported=True):
    class NVMLError(Exception):
        pass

    def total(handle):
        if not supported:
            raise NVMLError("Not Supported")
        assert handle == "gpu 1"
        return next(counters)

    return SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: f"gpu {index}",
        nvmlDeviceGetTotalEnergyConsumption=total,
    )  # fmt: skip


def test_nvml_counts_millijoules(monkeypatch):
    from nascore_device.meters import Nvml

    monkeypatch.setitem(sys.modules, "pynvml", nvml(iter([10, 100, 350])))
    meter = Nvml(1)
    meter.start()
    assert meter.stop() == 250.0


def test_an_old_gpu_is_refused(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(iter([]), supported=False))
    with pytest.raises(SettingsError, match="GPU: NVML says: Not Supported"):
        Energy(powercap=str(tmp_path))


@pytest.mark.parametrize("options", [{"repeats": 1}, {"batch_size": 0}, {"seconds": 0.0}, {"threads": -1}])
def test_bad_options_are_refused(options, powercap):
    with pytest.raises(SettingsError, match="it must be"):
        Energy(powercap=str(powercap), **options)
