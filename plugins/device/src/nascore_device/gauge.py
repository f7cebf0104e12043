"""Timing that other work on the machine disturbs little."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nascore.errors import SettingsError, nearest
from nascore_blocks.costs import timed
from nascore_device.profile import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}
"""``cpu`` stands still while another process has the core."""


@dataclass(frozen=True)
class Gauge:
    """How things are timed.

    One round is the lower quartile of some runs: a run that was interrupted is no longer in it. What is
    timed in several rounds, with other things between them, takes the median of the rounds.

    Args:
        clock: a key of :data:`CLOCKS`.
        threads: of torch.
        warm_up: runs of a round that are not timed.
        runs: of a round that are, >= 4.
    """

    clock: str = "wall"
    threads: int = 1
    warm_up: int = 5
    runs: int = 20

    def __post_init__(self) -> None:
        if self.clock not in CLOCKS:
            raise SettingsError(f"clock is {self.clock!r}; {nearest(self.clock, CLOCKS)}.")
        if self.threads < 0:
            raise SettingsError(f"threads is {self.threads}; it must be >= 0.")
        if self.clock == "cpu" and self.threads != 1:
            raise SettingsError(f"clock = 'cpu' sees one thread, and threads is {self.threads}; use clock = 'wall'.")

    def check(self, device: str) -> None:
        """Refuse a device that the clock does not see.

        Raises:
            SettingsError: see above.
        """
        if self.clock == "cpu" and torch.device(device).type != "cpu":
            raise SettingsError(f"clock = 'cpu' does not see what {device} does; use clock = 'wall'.")

    def round(self, run: Callable[[], object], device: torch.device) -> float:
        """Milliseconds of one round."""
        for _ in range(self.warm_up):
            run()
        times = timed(run, device, lambda times: len(times) < self.runs, CLOCKS[self.clock])
        return statistics.quantiles(times, n=4)[0]

    def timing(self, rounds: Sequence[float]) -> Timing:
        """What some rounds say together."""
        std = statistics.stdev(rounds) if len(rounds) > 1 else 0.0
        return Timing(statistics.median(rounds), std, self.runs * len(rounds))
