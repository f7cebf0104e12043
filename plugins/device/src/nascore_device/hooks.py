"""What nascore-device offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, hookimpl


@hookimpl
def nascore_cost_models() -> list[Component]:
    """Latency and energy on this device."""
    return [
        Component(
            "latency",
            "measured latency: by torch, by torch.compile or by onnxruntime",
            "nascore_device.latency:RuntimeLatency",
        ),
        Component(
            "table",
            "latency as the sum over a network's layers, each measured once on this device, and a correction",
            "nascore_device.table:LayerTable",
            paper="arXiv:1812.00332",
        ),
        Component(
            "predictor",
            "latency by a Gaussian process that learnt from networks measured on this device",
            "nascore_device.predictor:LearnedLatency",
        ),
        Component("energy", "energy of one batch, by RAPL or NVML", "nascore_device.energy:Energy"),
    ]
