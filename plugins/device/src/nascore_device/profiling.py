"""Measuring a device: whole networks, and every layer call of theirs, in the same way and at the same time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from nascore.errors import SpaceError
from nascore.seeding import derive_seed
from nascore_blocks.costs import at_inference
from nascore_device.encoding import features
from nascore_device.layers import calls_of
from nascore_device.profile import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Architecture
    from nascore_device.gauge import Gauge
    from nascore_device.layers import Call
    from nascore_device.profile import Profile

ROUNDS = 3
"""Everything is measured so often, with all the rest in between: what drifts hits all alike."""

TRIES = 50
"""Draws in a row that bring no new architecture: the space is used up."""


def drawn(space: SearchSpace, count: int, seed: int, without: Collection[str] = ()) -> list[Architecture]:
    """Different random architectures of a space, fewer where it has not so many.

    Args:
        space: set up.
        count: how many.
        seed: names the draws.
        without: keys of those that are not wanted.
    """
    rng = random.Random(derive_seed(seed, "device"))
    found: dict[str, Architecture] = {}
    misses = 0
    while len(found) < count and misses < TRIES:
        architecture = space.sample(lambda _, options: rng.choice(options))
        new = architecture.key not in found and architecture.key not in without
        misses = 0 if new else misses + 1
        if new:
            found[architecture.key] = architecture
    return list(found.values())


def measure(
    profile: Profile,
    gauge: Gauge,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    context: Context,
    batch_size: int,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Sample]:
    """Measure networks and their layers; the layers are put into the profile, the networks are not.

    Args:
        profile: of this device; a layer that it has is measured anew.
        gauge: times.
        space, architectures, context: say which networks; at least one.
        batch_size: inputs at once.
        progress: told from time to time what is being done.

    Raises:
        SpaceError: no network of them can be built and run.
    """
    networks: dict[str, list[float]] = {}
    layers: dict[str, list[float]] = {}
    traces: dict[str, list[Call]] = {}
    problem = ""
    for done in range(ROUNDS):
        for index, architecture in enumerate(architectures):
            progress(f"round {done + 1} of {ROUNDS}, network {index + 1} of {len(architectures)}, {len(layers)} layers")
            try:
                calls, ms = _one_round(gauge, space, architecture, context, batch_size, layers, done)
            except Exception as error:  # noqa: BLE001 - a user's network can fail in any way; in a search its trial fails
                problem = f"{type(error).__name__}: {error}"
                continue
            networks.setdefault(architecture.key, []).append(ms)
            traces[architecture.key] = [call._replace(run=_nothing) for call in calls]  # the tensors are let go
    if not networks:
        raise SpaceError(f"No network of {space.name!r} can be measured. The last: {problem}")
    profile.layers.update({key: gauge.timing(rounds) for key, rounds in layers.items()})
    return [
        Sample(
            architecture.key,
            gauge.timing(networks[architecture.key]).ms,
            sum(profile.layers[call.key].ms for call in traces[architecture.key]),
            len(traces[architecture.key]),
            features(space, architecture, context.task, traces[architecture.key]),
        )
        for architecture in architectures
        if architecture.key in networks
    ]


def _one_round(
    gauge: Gauge,
    space: SearchSpace,
    architecture: Architecture,
    context: Context,
    batch_size: int,
    layers: dict[str, list[float]],
    done: int,
) -> tuple[list[Call], float]:
    """The layer calls of a network, and its time; layers that have no time of this round yet get one."""
    with at_inference(space, architecture, context, batch_size, gauge.threads) as (network, inputs):
        ms = gauge.round(lambda: network(inputs), inputs.device)
        calls = calls_of(network, inputs)
        for call in calls:
            known = layers.setdefault(call.key, [])
            if len(known) <= done:
                known.append(gauge.round(call.run, inputs.device))
    return calls, ms


def measure_layers(
    profile: Profile, gauge: Gauge, space: SearchSpace, architecture: Architecture, context: Context, batch_size: int
) -> list[Call]:
    """The layer calls of a network; those that the profile does not know are measured and put into it."""
    with at_inference(space, architecture, context, batch_size, gauge.threads) as (network, inputs):
        calls = calls_of(network, inputs)
        unknown = {call.key: call.run for call in calls if call.key not in profile.layers}
        rounds = [[gauge.round(run, inputs.device) for run in unknown.values()] for _ in range(ROUNDS)]
    profile.layers.update({key: gauge.timing(times) for key, *times in zip(unknown, *rounds, strict=True)})
    return calls


def _nothing() -> None:
    return None
