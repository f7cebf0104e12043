import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nascore_device.layers import calls_of


def traced(network, *shape, device="cpu"):
    with torch.inference_mode():
        return calls_of(network.eval(), torch.zeros(*shape, device=device))


def test_layers_in_order_and_what_is_between_them():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.norm(self.conv(x))
            assert y.shape[1] == 4  # a shape computes nothing
            return torch.cat([F.relu(y) + y, y], 1)

    calls = traced(Net(), 1, 3, 8, 8)
    assert [call.key.split("(")[0].split(" ")[0] for call in calls] == [
        "Conv2d", "BatchNorm2d", "torch.nn.functional.relu", "torch.Tensor.add", "torch.cat",
    ]  # fmt: skip
    assert calls[0].label == "Conv2d 3x3 2^8"  # 192 numbers
    assert torch.is_tensor(calls[-1].run())
    assert calls[-1].run().shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 5)),
        (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, dilation=2)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2)),
        (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, bias=False)),
        (nn.MaxPool2d(3), nn.AvgPool2d(3)),
    ],
)
def test_different_layers_have_different_keys(one, other):
    channels = getattr(one, "in_channels", 4)
    keys = [traced(module, 1, channels, 8, 8)[0].key for module in (one, other)]
    assert keys[0] != keys[1]


def test_a_users_layer_is_told_apart_by_its_settings():
    class Scale(nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by = by

        def forward(self, x):
            return x * self.by

    keys = [call.key for by in (2, 3, 2) for call in traced(Scale(by), 1, 4)]
    assert len(keys) == 3  # the product inside is part of the layer
    assert keys[0] == keys[2] != keys[1]


def test_the_meta_device_gives_the_same_keys():
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))

    real = [call.key for call in traced(build(), 2, 3, 8, 8)]
    assert real == [call.key for call in traced(build().to("meta"), 2, 3, 8, 8, device="meta")]
    assert real != [call.key for call in traced(build(), 1, 3, 8, 8)]  # another batch, another time


def test_no_hook_stays():
    network = nn.Sequential(nn.ReLU())
    calls_of(network, torch.zeros(1))
    assert not network[0]._forward_pre_hooks
    assert not network[0]._forward_hooks
