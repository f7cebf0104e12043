"""Latency by looking up (Cai et al. 2019, arXiv:1812.00332, section 3.3): the sum over a network's layers."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from nascore_blocks.costs import on_skeleton
from nascore_device.correction import LEAST, Correction, fit
from nascore_device.layers import calls_of
from nascore_device.profiled import ProfiledLatency
from nascore_device.profiling import measure_layers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Architecture
    from nascore_device.layers import Call
    from nascore_device.profile import Profile

log = logging.getLogger("nascore")


class LayerTable(ProfiledLatency):
    """Sum of the layers, each measured once on this device, corrected by what whole networks took.

    ``nascore device profile`` measures. A layer that it did not meet is measured when it is needed, and kept.
    Without measured networks of the space there is no correction: the sum ranks, but is not the latency.
    """

    def predict(self, space: SearchSpace, architecture: Architecture, context: Context) -> tuple[float, float, int]:
        """See :meth:`ProfiledLatency.predict`."""
        profile = self.profile_of(context.device)
        calls = self._calls(profile, space, architecture, context)
        timings = [profile.layers[call.key] for call in calls]
        total = sum(timing.ms for timing in timings)
        correction = self._correction(profile, self.place(space, context.task))
        if correction is not None:
            value = correction(total, len(calls))
            return value, correction.spread * value, correction.networks
        runs = min((timing.runs for timing in timings), default=1)
        return total, math.sqrt(sum(timing.std**2 for timing in timings)), runs

    def forget(self) -> None:
        """See :meth:`ProfiledLatency.forget`."""
        self.__dict__.pop("_corrections", None)

    def _calls(self, profile: Profile, space: SearchSpace, architecture: Architecture, context: Context) -> list[Call]:
        """The layer calls of a network; afterwards the profile knows them all."""

        def trace(network: nn.Module, inputs: torch.Tensor) -> list[Call]:
            return calls_of(network, inputs.expand(self.batch_size, *inputs.shape[1:]))

        calls = on_skeleton(trace, space, architecture, context.task)
        if all(call.key in profile.layers for call in calls):
            return calls
        known = len(profile.layers)
        calls = measure_layers(profile, self.gauge, space, architecture, context, self.batch_size)
        if len(profile.layers) > known:
            profile.save()
        return calls

    def _correction(self, profile: Profile, place: str) -> Correction | None:
        known: dict[tuple[str, str], Correction | None] = self.__dict__.setdefault("_corrections", {})
        if (str(profile.path), place) not in known:
            samples = profile.samples.get(place, [])
            known[str(profile.path), place] = fit(samples) if len(samples) >= LEAST else None
            if len(samples) < LEAST:
                log.warning(
                    "no networks of %s were measured on this device: latency_ms is a bare sum of layers. "
                    "To correct it: nascore device profile --space SPACE --data DATA", place
                )  # fmt: skip
        return known[str(profile.path), place]
