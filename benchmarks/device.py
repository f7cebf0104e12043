"""How well is latency predicted on this machine? Table, corrected table and learned predictor against measurements.

    python benchmarks/device.py [--networks 200] [--fit 40] [--clock cpu|wall] [--size 8] [--spaces nasnet ...]

Random architectures of a space are measured in three rounds, with all their layers in between. The first
``--fit`` of them give the correction and teach the predictor; the scores are of the others, the held-out
ones. Of these some are measured once more, later: how far a measurement is from another one of the same
network is what no prediction can beat. One thread, one input.

Why ``--clock cpu`` is the default: on a machine that does other work as well the wall clock measures that too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import torch
from common import save

from nascore.contracts import Splits, Task
from nascore.parts import Workshop
from nascore.pricing import PricingContext
from nascore_device.correction import fit
from nascore_device.fingerprint import fingerprint
from nascore_device.profiling import drawn, measure
from nascore_device.scores import METHODS, score
from nascore_device.table import LayerTable

SPACES: dict[str, dict[str, Any]] = {
    "nasnet": {"use": "blocks:nasnet", "cells": 1, "channels": 8},
    "nasbench201": {"use": "blocks:nasbench201"},
    "layerwise": {"use": "blocks:layerwise"},
    "mbconv": {"use": "blocks:mbconv"},
}


def scored(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Scores of each way to predict, on one space."""
    workshop = Workshop()
    task = Task("random", (3, arguments.size, arguments.size), 10)
    space = workshop.part("space", SPACES[name])
    space.setup(task)
    architectures = drawn(space, arguments.fit + arguments.networks, seed=0)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = LayerTable(folder=folder, clock=arguments.clock)
        profile, context = model.profile_of("cpu"), PricingContext(Splits(task, [], []), "cpu", 0)
        samples = measure(profile, model.gauge, space, architectures, context, 1)
        layers = len(profile.layers)
        known, rest = samples[: arguments.fit], samples[arguments.fit :]
        again = architectures[arguments.fit :][: arguments.again]
        repeated = {sample.key: sample.ms for sample in measure(profile, model.gauge, space, again, context, 1)}
    seconds = time.perf_counter() - began
    measured = [sample.ms for sample in rest]
    both = [(repeated[sample.key], sample.ms) for sample in rest if sample.key in repeated]
    out: dict[str, Any] = {
        "space": SPACES[name], "fitted_on": len(known), "held_out": len(rest), "layers": layers, "seconds": seconds,
        "latency_ms": {"least": min(measured), "most": max(measured)},
        "correction": fit(known)._asdict(),
        "measured_again": {**score(*zip(*both, strict=True)), "networks": len(both)},
    }  # fmt: skip
    for method, learn in METHODS.items():
        predict = learn(known)
        out[method] = score([predict(sample) for sample in rest], measured)
    return out


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200, help="held out, of each space")
    parser.add_argument("--fit", type=int, default=40, help="networks to learn from, of each space")
    parser.add_argument("--again", type=int, default=40, help="networks that are measured once more")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    parser.add_argument("--size", type=int, default=8, help="height and width of an input, pixels")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=["nasnet", "nasbench201", "layerwise"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "device": {key: value for key, value in fingerprint("cpu", 1, arguments.clock).items() if key != "torch"},
        "input": [1, 3, arguments.size, arguments.size],
        "spaces": {},
    }
    for name in arguments.spaces:
        result["spaces"][name] = scored(name, arguments)
        save("device", result)


if __name__ == "__main__":
    main()
