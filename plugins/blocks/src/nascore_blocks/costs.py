"""Costs of a network: exact counts without computing anything, and measured latency.

Counts come from a network on torch's meta device, which has shapes and no memory. A user's network
that cannot be built or run there is built on the CPU instead.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nascore.contracts import CostModel
from nascore.errors import SettingsError
from nascore.records import Cost, Direction, Metric
from nascore.seeding import isolated_random
from nascore_blocks.liveness import activation_peak
from nascore_blocks.threads import pinned_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nascore.contracts import Context, SearchSpace, Task
    from nascore.records import Architecture

_Result = TypeVar("_Result")


class Params(CostModel):
    """Trainable parameters: every one the network holds, an auxiliary head's included."""

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"params": Metric("", Direction.MINIMIZE)}

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        return {"params": Cost(on_skeleton(count_params, space, architecture, context.task), "")}


class Macs(CostModel):
    """Multiply-accumulates of one input in evaluation mode.

    Convolutions and matrix products count (attention included), by torch's ``FlopCounterMode``;
    biases, normalisation, pooling, activations and sums do not, as the literature has it. Fused
    recurrent layers (``nn.LSTM``, ``nn.GRU``) are not seen by the counter.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"macs": Metric("", Direction.MINIMIZE)}

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        return {"macs": Cost(on_skeleton(count_macs, space, architecture, context.task), "")}


class Memory(CostModel):
    """Memory that inference on one input needs at least: weights, and activations at their peak.

    The weights are all parameters and buffers. An activation lives from the op that makes it to
    the last op that reads it, ops in the order in which the network runs them; the input lives
    until it was read last. The peak is the largest sum of what lives during one op: its inputs, its
    outputs, and what waits for later. Work space of kernels, fragmentation, and tensors that
    Python variables keep beyond their use are not in it: an eager run takes somewhat more.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"memory_mib": Metric("MiB", Direction.MINIMIZE)}

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        peak = on_skeleton(peak_bytes, space, architecture, context.task)
        return {"memory_mib": Cost(peak / 2**20, "MiB")}


class Latency(CostModel):
    """Measured latency of one batch in evaluation mode, on the device of the search.

    Runs are timed until the 95% interval of the median is narrow, or the time is up; the cost is
    the median, with the standard deviation and the number of the runs.

    Args:
        batch_size: inputs at once.
        warm_up: runs that are not timed, >= 5.
        repeats: least number of timed runs, >= 20.
        tolerance: the interval is narrow when it lies within this fraction of the median.
        max_seconds: of timing; the least number of runs is made whatever it takes.
        threads: of torch while timing; 0 leaves torch's own number.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"latency_ms": Metric("ms", Direction.MINIMIZE)}
    cheap: ClassVar[bool] = False

    def __init__(
        self,
        batch_size: int = 1,
        warm_up: int = 5,
        repeats: int = 20,
        tolerance: float = 0.02,
        max_seconds: float = 1.0,
        threads: int = 1,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("warm_up", warm_up, 5),
            ("repeats", repeats, 20),
            ("threads", threads, 0),
        ):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be >= {least}.")
        for name, number in (("tolerance", tolerance), ("max_seconds", max_seconds)):
            if not number > 0:
                raise SettingsError(f"{name} is {number}; it must be > 0.")
        self.batch_size, self.warm_up, self.repeats = batch_size, warm_up, repeats
        self.tolerance, self.max_seconds, self.threads = tolerance, max_seconds, threads

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        with at_inference(space, architecture, context, self.batch_size, self.threads) as (network, inputs):
            times = self._measure(self.runner(network, inputs, context.task), inputs.device)
        return {"latency_ms": Cost(statistics.median(times), "ms", statistics.stdev(times), len(times))}

    def runner(self, network: nn.Module, inputs: torch.Tensor, task: Task) -> Callable[[], object]:
        """What is timed: one run of the network on the inputs. Another runtime overrides this."""
        return lambda: network(inputs)

    def _measure(self, run: Callable[[], object], device: torch.device) -> list[float]:
        """Durations in milliseconds."""
        for _ in range(self.warm_up):
            run()
        end = time.perf_counter() + self.max_seconds
        return timed(
            run,
            device,
            lambda times: len(times) < self.repeats or (time.perf_counter() < end and not self._narrow(times)),
        )

    def _narrow(self, times: list[float]) -> bool:
        """Is the median known well? Its 95% interval is 1.57 IQR / sqrt(n) (McGill et al. 1978, section 7)."""
        if len(times) % 10:  # sorting them all after each run would take longer than a small network
            return False
        low, middle, high = statistics.quantiles(times, n=4)
        return 1.57 * (high - low) / math.sqrt(len(times)) <= self.tolerance * middle


@contextmanager
def at_inference(
    space: SearchSpace, architecture: Architecture, context: Context, batch_size: int, threads: int
) -> Iterator[tuple[nn.Module, torch.Tensor]]:
    """The network, untrained, in evaluation mode on the device of the context, and a batch of zeros for it.

    Inside, torch infers, uses ``threads`` threads (0: its own number) and draws from a random stream apart.
    """
    with isolated_random(0), pinned_threads(threads):
        network: nn.Module = space.build(architecture, context.task).to(context.device).eval()
        inputs = torch.zeros(batch_size, *context.task.shape, device=context.device)  # tokens too have a zero
        with torch.inference_mode():
            yield network, inputs


def timed(
    run: Callable[[], object],
    device: torch.device,
    more: Callable[[list[float]], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Durations of runs, one by one, in milliseconds.

    Args:
        run: what is timed; it may be asynchronous, the device is waited for.
        device: that it runs on.
        more: given the durations so far, is another run wanted?
        clock: gives seconds.
    """
    times: list[float] = []
    synchronize(device)  # what was begun before is not the first run's time
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a run is not the network's time
    try:
        while more(times):
            start = clock()
            run()
            synchronize(device)
            times.append(1e3 * (clock() - start))
    finally:
        if collecting:
            gc.enable()
    return times


def count_params(network: nn.Module, inputs: torch.Tensor) -> int:
    """Trainable parameters; ``inputs`` is run only where lazy modules need it to know their shapes."""
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in network.parameters()):
        network(inputs)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_macs(network: nn.Module, inputs: torch.Tensor) -> int:
    """Multiply-accumulates of ``network(inputs)``."""
    counter = FlopCounterMode(display=False)
    with counter:
        network(inputs)
    return counter.get_total_flops() // 2  # it counts the multiplication and the addition


def peak_bytes(network: nn.Module, inputs: torch.Tensor) -> int:
    """Weights and the peak of the activations, in bytes; see :class:`Memory`."""
    peak = activation_peak(network, inputs)
    held = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in _held(network)}
    return peak + sum(held.values())


def on_skeleton(
    count: Callable[[nn.Module, torch.Tensor], _Result], space: SearchSpace, architecture: Architecture, task: Task
) -> _Result:
    """Count on a network of the meta device, or of the CPU where that fails.

    Args:
        count: takes the network, in evaluation mode, and one input for it.
        space, architecture, task: say which network.
    """
    with isolated_random(0), torch.no_grad():  # a cost draws nothing from the trial's random stream
        try:
            return count(_skeleton(space, architecture, task), torch.empty(1, *task.shape, device="meta"))
        except Exception:  # noqa: BLE001 - a user's network can refuse the meta device in any way; if it is broken the CPU tells
            network = space.build(architecture, task).cpu().eval()
            return count(network, torch.zeros(1, *task.shape))


def _skeleton(space: SearchSpace, architecture: Architecture, task: Task) -> nn.Module:
    """The network on the meta device. The last one is kept, on the space: several costs count on it in turn."""
    known: Any = vars(space).get("_skeleton")
    mark = (architecture.space, architecture.key, task)
    if known is None or known[0] != mark:
        with torch.device("meta"):
            known = (mark, space.build(architecture, task).to("meta").eval())
        vars(space)["_skeleton"] = known
    network: nn.Module = known[1]
    return network


def _held(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
