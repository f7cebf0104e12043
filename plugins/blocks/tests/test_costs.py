"""Costs, checked by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nascore.contracts import Context, Splits, Task
from nascore.decisions import FunctionSpace
from nascore.errors import SettingsError
from nascore_blocks.costs import Latency, Macs, Memory, Params, count_macs, count_params, peak_bytes
from nascore_blocks.liveness import activation_peak

if TYPE_CHECKING:
    from pathlib import Path


class Here(Context):
    def __init__(self, shape: tuple[int, ...] = (3, 32, 32)) -> None:
        self.number, self.seed, self.device = 0, 0, "cpu"
        self.data = Splits(Task("none", shape, 10), None, None)

    def report(self, step: int, **metrics: float) -> bool:
        raise AssertionError("a cost reports nothing")

    def folder(self, number: int | None = None) -> Path:
        raise AssertionError("a cost writes nothing")


def _depthwise(channels: int, dilation: int = 1) -> list[nn.Module]:
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


class Attention(nn.Module):
    """(batch, 4, 5) -> itself weighed: two products of 5 x 5 x 4 for one input of 5 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2) * self.scale
        weights = (x @ x.transpose(1, 2)).softmax(-1)
        return weights @ x


@pytest.mark.parametrize(
    ("network", "shape", "params", "macs"),
    [
        (nn.Conv2d(3, 16, 3, padding=1, bias=False), (3, 32, 32), 432, 442_368),
        # Two depthwise (9 x 16 weights) and two pointwise (16 x 16), at 8 x 8 each; two affine BNs of 32.
        (nn.Sequential(*_depthwise(16), *_depthwise(16)), (16, 8, 8), 864, 51_200),
        (nn.Sequential(*_depthwise(16, dilation=2)), (16, 8, 8), 144 + 256 + 32, 64 * (144 + 256)),
        (nn.Conv2d(8, 12, 3, groups=4), (8, 5, 5), 12 * 2 * 9 + 12, 3 * 3 * 12 * 2 * 9),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 7, 7), 6 * 4 * 9 + 6, 4 * 4 * 6 * 4 * 9),
        (nn.ConvTranspose2d(3, 5, 2, stride=2, bias=False), (3, 4, 4), 3 * 5 * 4, 4 * 4 * 3 * 5 * 4),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 10)), (3, 4, 4), 490, 480),
        (nn.Linear(5, 7), (3, 5), 42, 3 * 35),
        (Attention(), (4, 5), 1, 2 * 5 * 5 * 4),
    ],
)
def test_params_and_macs_by_hand(network: nn.Module, shape: tuple[int, ...], params: int, macs: int) -> None:
    for device in ("cpu", "meta"):
        on_device, inputs = network.to(device).eval(), torch.empty(1, *shape, device=device)
        with torch.no_grad():
            assert count_params(on_device, inputs) == params
            assert count_macs(on_device, inputs) == macs


def test_frozen_parameters_are_not_trainable() -> None:
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6))
    network[0].requires_grad_(False)
    assert count_params(network, torch.empty(1, 4)) == 36


def test_the_peak_of_a_chain_by_hand() -> None:
    # float32, 8 x 8: the input takes 3 x 256 bytes, then 4 x 256 by the convolution, 4 x 256 by the ReLU (a new
    # tensor), 8 x 256 by the second convolution. During that one, 4 and 8 live; during the ReLU 4 and 4.
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1))
    inputs = torch.zeros(1, 3, 8, 8)
    with torch.no_grad():
        assert activation_peak(network, inputs) == (4 + 8) * 256
        assert peak_bytes(network, inputs) == (4 + 8) * 256 + 4 * (3 * 4 * 9 + 4 + 4 * 8 * 9 + 8)
        # Without the second convolution the ReLU is the peak, unless it works in place: then the first convolution is.
        assert activation_peak(network[:2], inputs) == (4 + 4) * 256
        in_place = nn.Sequential(network[0], nn.ReLU(inplace=True))
        assert activation_peak(in_place, inputs) == (3 + 4) * 256


def test_a_skip_keeps_its_tensor_alive() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 6, 1, bias=False), nn.Conv2d(6, 2, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            wide = self.first(x).relu()
            out: Tensor = self.second(wide)
            return out + x

    # During the ReLU: the skip 2, its input 6, its output 6.
    with torch.no_grad():
        assert activation_peak(Skip(), torch.zeros(1, 2, 4, 4)) == (2 + 6 + 6) * 64
        views = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 16)))
        assert activation_peak(views, torch.zeros(1, 2, 4, 4)) == 2 * 64  # a view takes nothing


def test_the_input_waits_until_it_is_read() -> None:
    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(1000, device=x.device).sum() + x

    assert activation_peak(Late(), torch.zeros(1, 8)) == 4 * (1000 + 1 + 8)  # while the ones are summed


def test_the_cost_models_price_an_architecture() -> None:
    built = []

    def space(choose):  # type: ignore[no-untyped-def]  # as a user writes it
        built.append(torch.empty(0).device.type)
        return nn.Sequential(nn.Conv2d(3, choose("width", [16, 32]), 3, padding=1, bias=False))

    made = FunctionSpace(space)
    small, large = (made.architecture({"width": width}) for width in (16, 32))
    state = torch.get_rng_state()
    for architecture, factor in ((small, 1), (large, 2), (small, 1)):
        assert Params().estimate(made, architecture, Here())["params"].value == 432 * factor
        assert Macs().estimate(made, architecture, Here())["macs"].value == 442_368 * factor
        memory = Memory().estimate(made, architecture, Here())["memory_mib"]
        assert memory.value * 2**20 == 4 * (32 * 32 * (3 + 16 * factor) + 432 * factor)
        assert memory.unit == "MiB"
    assert built == ["meta"] * 3  # once an architecture, though three costs were asked
    assert torch.get_rng_state().equal(state)
    assert Macs().estimate(made, small, Here((3, 16, 16)))["macs"].value == 442_368 / 4
    assert built == ["meta"] * 4  # the same architecture on another task is another network


def test_networks_that_refuse_the_meta_device_or_are_lazy_are_priced_all_the_same() -> None:
    class Numpy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            mean = float(np.mean(x.numpy()))
            return self.linear(x.mean(dim=(2, 3)) - mean)  # type: ignore[no-any-return]  # a module's call is Any

    state = torch.get_rng_state()
    for function, params, macs in (
        (lambda choose: Numpy(), 16, 12),
        (lambda choose: nn.Sequential(nn.LazyConv2d(2, 1), nn.Flatten(), nn.LazyLinear(5)), 8 + 5 * 33, 6 * 16 + 160),
    ):
        space = FunctionSpace(function)
        architecture = space.architecture({})
        assert Params().estimate(space, architecture, Here((3, 4, 4)))["params"].value == params
        assert Macs().estimate(space, architecture, Here((3, 4, 4)))["macs"].value == macs
    assert torch.get_rng_state().equal(state)  # though real weights were drawn


def test_a_broken_network_tells_its_own_error() -> None:
    space = FunctionSpace(lambda choose: nn.Conv2d(5, 2, 1))
    with pytest.raises(RuntimeError, match="to have 5 channels"):
        Macs().estimate(space, space.architecture({}), Here())


def test_latency_is_measured_with_its_spread() -> None:
    calls = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append((x.shape[0], self.training, torch.is_inference_mode_enabled(), torch.get_num_threads()))
            return x

    space = FunctionSpace(lambda choose: Counting())
    architecture = space.architecture({})
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    cost = Latency(batch_size=3, warm_up=7, repeats=25).estimate(space, architecture, Here())["latency_ms"]
    assert cost.unit == "ms"
    assert cost.repeats == len(calls) - 7 >= 25
    assert 0 < cost.value < 5
    assert cost.std > 0
    assert set(calls) == {(3, False, True, 1)}
    assert torch.get_num_threads() == threads
    assert torch.get_rng_state().equal(state)


def test_latency_repeats_until_the_median_is_known() -> None:
    model = Latency(tolerance=0.02)
    steady = [1.0, 1.001, 0.999, 1.0] * 5
    assert model._narrow(steady)
    noisy = [1.0, 1.5, 0.6, 1.2] * 5
    assert not model._narrow(noisy)
    assert model._narrow(noisy * 400)  # 1.57 x 0.6 / sqrt(8000) is 0.011


def test_more_work_takes_longer() -> None:
    space = FunctionSpace(lambda choose: nn.Conv2d(3, choose("width", [1, 256]), 7, padding=3))
    low, high = (
        Latency(max_seconds=0.3).estimate(space, space.architecture({"width": width}), Here())["latency_ms"].value
        for width in (1, 256)
    )
    assert high > 3 * low


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"warm_up": 4}, {"repeats": 19}, {"tolerance": 0.0}, {"max_seconds": -1.0}]
)
def test_bad_latency_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="it must be"):
        Latency(**settings)
