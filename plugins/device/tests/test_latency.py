import importlib.util
import shutil

import pytest
import torch
from torch import nn

from nascore.decisions import FunctionSpace
from nascore.errors import NascoreError, RunError, SettingsError
from nascore.testing import CostModelConformance, MemoryContext
from nascore.testing.toys import toy_data
from nascore_device.latency import RuntimeLatency


class TestTorch(CostModelConformance):
    def make(self):
        return RuntimeLatency(max_seconds=0.05)


def space_of(network):
    space = FunctionSpace(lambda choose: network)
    space.name = "one"
    space.setup(toy_data().task)
    return space


def priced(model, network, device="cpu"):
    space = space_of(network)
    context = MemoryContext(toy_data())
    context.device = device
    return model.estimate(space, space.architecture({}), context)["latency_ms"]


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_onnxruntime_runs_what_was_exported(monkeypatch):
    import onnxruntime

    seen = []
    real = onnxruntime.InferenceSession.run

    def run(self, names, given):
        seen.append(next(iter(given.values())).shape)
        return real(self, names, given)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    cost = priced(RuntimeLatency("onnx", batch_size=3, warm_up=6, max_seconds=0.1), small())
    assert seen.count((3, 3, 8, 8)) == cost.repeats + 6
    assert cost.repeats >= 20
    assert cost.value > 0
    assert cost.std > 0


def test_a_network_that_onnx_cannot_hold_is_told():
    class Depends(nn.Module):
        def forward(self, x):
            return x[:, :1] if x.sum() > 1e9 else x.flatten(1)

    with pytest.raises(NascoreError, match="ONNX cannot hold Depends"):
        priced(RuntimeLatency("onnx"), Depends())


def test_onnx_is_measured_on_the_cpu_alone():
    with pytest.raises(SettingsError, match="measured on the CPU, and device is 'meta'"):
        priced(RuntimeLatency("onnx"), small(), "meta")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")  # torch's compiler calls old APIs of its own
def test_compiled_networks_are_compiled_and_timed(monkeypatch):
    calls = []
    real = torch.compile

    def compile_(network, **options):
        calls.append(network)
        return real(network, **options)

    monkeypatch.setattr(torch, "compile", compile_)
    network = small()
    cost = priced(RuntimeLatency("compile", max_seconds=0.1), network)
    assert calls == [network]
    assert cost.repeats >= 20


def test_what_torch_compile_fails_on_is_told(monkeypatch):
    def refuse(network, **options):
        def run(inputs):
            raise RuntimeError("BackendCompilerFailed: no header\nand much more")

        return run

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.raises(RunError, match=r"torch.compile fails on Sequential: RuntimeError: .*no header\. Measure"):
        priced(RuntimeLatency("compile"), small())


def test_a_missing_runtime_is_refused_before_anything_is_measured(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    with pytest.raises(SettingsError, match=r"'onnx' cannot be used here: onnxruntime not installed: pip install"):
        RuntimeLatency("onnx")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SettingsError, match=r"'compile' cannot be used here: .* needs a C\+\+ compiler"):
        RuntimeLatency("compile")
    RuntimeLatency("torch")


@pytest.mark.parametrize(
    ("options", "message"), [({"runtime": "onyx"}, "did you mean 'onnx'"), ({"warm_up": 1}, "warm_up is 1")]
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        RuntimeLatency(**options)


def test_blocks_latency_stays_the_default():
    from nascore.parts import Workshop

    workshop = Workshop()
    layers = [{"objectives": ["accuracy", "latency_ms"], "data": {"use": "digits"}, "costs": []}]
    settings = workshop.settings("random", "", layers)
    assert list(workshop.assemble(settings).costs) == ["blocks:latency_ms"]
