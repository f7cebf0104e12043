"""Energy of inference: by RAPL on Intel and AMD processors, by NVML on NVIDIA's GPUs."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, ClassVar

import torch

from nascore.contracts import CostModel
from nascore.errors import RunError, SettingsError
from nascore.records import Cost, Direction, Metric
from nascore_blocks.costs import at_inference, synchronize
from nascore_device.meters import Nvml, Rapl, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Architecture
    from nascore_device.meters import Meter

WARM_UP = 5


class Energy(CostModel):
    """Energy that the device takes for one batch in evaluation mode.

    The counter of the whole package, or board, is read before and after many runs: what it takes when idle,
    and what else computes on it meanwhile, is in it. Measure on a quiet machine.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"energy_mj": Metric("mJ", Direction.MINIMIZE)}
    cheap: ClassVar[bool] = False

    def __init__(
        self,
        batch_size: int = 1,
        seconds: float = 0.2,
        repeats: int = 5,
        threads: int = 1,
        powercap: str = "/sys/class/powercap",
    ) -> None:
        """
        Args:
            batch_size: inputs at once, >= 1.
            seconds: of running between two readings, > 0; the counters move once in some milliseconds.
            repeats: pairs of readings, >= 2; the cost is their median.
            threads: of torch while measuring; 0 leaves torch's own number.
            powercap: the folder in which Linux shows RAPL's counters.

        Raises:
            SettingsError: a value that is not allowed, or no counter of this machine can be read; says why.
        """
        for name, value, least in (("batch_size", batch_size, 1), ("repeats", repeats, 2), ("threads", threads, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be >= {least}.")
        if not seconds > 0:
            raise SettingsError(f"seconds is {seconds}; it must be > 0.")
        self.batch_size, self.seconds, self.repeats, self.threads = batch_size, seconds, repeats, threads
        self.powercap = powercap
        reasons = {"cpu": self._refusal("cpu"), "cuda": self._refusal("cuda")}
        if all(reasons.values()):
            raise SettingsError(f"energy_mj cannot be measured here. CPU: {reasons['cpu']} GPU: {reasons['cuda']}")

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`.

        Raises:
            SettingsError: the device has no counter that can be read.
            RunError: the counter does not move.
        """
        try:
            meter = self._meter(context.device)
        except Unreadable as error:
            raise SettingsError(f"energy_mj cannot be measured on {context.device!r}: {error}") from error
        with at_inference(space, architecture, context, self.batch_size, self.threads) as (network, inputs):
            for _ in range(WARM_UP):
                network(inputs)
            found = [self._reading(meter, lambda: network(inputs), inputs.device) for _ in range(self.repeats)]
        if not any(found):
            raise RunError(
                f"The energy counter did not move in {self.repeats} times {self.seconds} s; "
                "raise seconds, or the machine hides its counter."
            )
        return {"energy_mj": Cost(statistics.median(found), "mJ", statistics.stdev(found), self.repeats)}

    def _reading(self, meter: Meter, run: Callable[[], object], device: torch.device) -> float:
        """Millijoules a run."""
        synchronize(device)
        meter.start()
        runs, end = 0, time.perf_counter() + self.seconds
        while not runs or time.perf_counter() < end:
            run()
            synchronize(device)
            runs += 1
        return meter.stop() / runs

    def _meter(self, device: str) -> Meter:
        kind = torch.device(device).type
        if kind == "cpu":
            return Rapl(self.powercap)
        if kind == "cuda":
            return Nvml(torch.device(device).index or 0)
        raise Unreadable(f"there is no counter for {kind}.")

    def _refusal(self, device: str) -> str:
        """Why the counter of a device cannot be read; empty: it can."""
        try:
            self._meter(device)
        except Unreadable as error:
            return str(error)
        return ""
