"""What the table and the predictor share: a profile of the device, how it is built, and what it says of itself."""

from __future__ import annotations

import statistics
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from nascore.contracts import CostModel
from nascore.errors import SettingsError
from nascore.records import Cost, Direction, Metric
from nascore_device.correction import LEAST, fit
from nascore_device.fingerprint import fingerprint, profile_folder
from nascore_device.gauge import Gauge
from nascore_device.profile import Profile
from nascore_device.profiling import drawn, measure
from nascore_device.scores import cross_validated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nascore.contracts import Context, SearchSpace, Task
    from nascore.records import Architecture
    from nascore_device.profile import Sample


class ProfiledLatency(CostModel):
    """Latency that is known from earlier measurements on this device. Subclasses say how."""

    requires: ClassVar[frozenset[str]] = frozenset({"module"})
    metrics: ClassVar[Mapping[str, Metric]] = {"latency_ms": Metric("ms", Direction.MINIMIZE)}

    def __init__(self, batch_size: int = 1, threads: int = 1, clock: str = "wall", folder: str = "") -> None:
        """
        Args:
            batch_size: inputs at once, >= 1.
            threads: of torch while timing; 0 leaves torch's own number.
            clock: ``wall``, or ``cpu``: the time that this thread computes (one thread, on the CPU), which is
                steadier on a busy machine.
            folder: where profiles are kept; empty: ``nascore/device`` in the user's cache folder.

        Raises:
            SettingsError: a value that is not allowed.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size is {batch_size}; it must be >= 1.")
        self.batch_size = batch_size
        self.gauge = Gauge(clock, threads)
        self.folder = profile_folder(folder)
        self._profiles: dict[str, Profile] = {}

    # ------------------------------------------------------------------ pricing

    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """See :meth:`CostModel.estimate`."""
        value, std, repeats = self.predict(space, architecture, context)
        return {"latency_ms": Cost(value, "ms", std, repeats)}

    @abstractmethod
    def predict(self, space: SearchSpace, architecture: Architecture, context: Context) -> tuple[float, float, int]:
        """Latency and its standard deviation in ms, and how many measurements stand behind it."""

    # ------------------------------------------------------------------ the profile

    def profile_of(self, device: str) -> Profile:
        """The profile of a device.

        Raises:
            SettingsError: the clock does not see this device.
        """
        kind = str(torch.device(device))
        if kind not in self._profiles:
            self.gauge.check(device)
            self._profiles[kind] = Profile.open(self.folder, fingerprint(device, self.gauge.threads, self.gauge.clock))
        return self._profiles[kind]

    def place(self, space: SearchSpace, task: Task) -> str:
        """Names the networks that are alike: of one space, on inputs of one shape."""
        return f"{space.name} on {'x'.join(map(str, (self.batch_size, *task.shape)))}"

    def profile(
        self,
        space: SearchSpace,
        context: Context,
        networks: int = 40,
        progress: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Measure random networks of a space and all their layers on this device, and keep that.

        Networks of the same space that were measured before are replaced.

        Args:
            space: set up.
            context: says the task, the device and the seed.
            networks: how many, >= 8.
            progress: told from time to time what is being done.

        Returns:
            What :meth:`describe` says of this place.

        Raises:
            SettingsError: too few networks, or the space has too few.
            SpaceError: no network can be measured.
            RunError: the profile cannot be written.
        """
        if networks < LEAST:
            raise SettingsError(f"networks is {networks}; a correction needs at least {LEAST}.")
        architectures = drawn(space, networks, context.seed)
        if len(architectures) < LEAST:
            raise SettingsError(
                f"{space.name!r} has {len(architectures)} architectures; a correction needs {LEAST}. "
                "Measure them all instead: --cost blocks:latency_ms."
            )
        profile = self.profile_of(context.device)
        measured = measure(profile, self.gauge, space, architectures, context, self.batch_size, progress)
        place = self.place(space, context.task)
        profile.samples[place] = measured
        profile.save()
        self.forget()
        return {"file": str(profile.path), "fingerprint": profile.fingerprint, "place": place, **_said(measured)}

    def forget(self) -> None:
        """The profile has changed: drop what was learnt from it."""

    def describe(self) -> list[dict[str, Any]]:
        """All profiles in the folder, whatever device they are of; a damaged one with its ``error``."""
        found: list[dict[str, Any]] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                profile = Profile.read(path)
            except (OSError, ValueError) as error:
                found.append({"file": str(path), "error": str(error)})
                continue
            ours = (
                fingerprint(str(profile.fingerprint.get("device")), self.gauge.threads, self.gauge.clock)
                if profile.fingerprint.get("device") == "cpu" or torch.cuda.is_available()
                else {}
            )
            found.append({
                "file": str(path),
                "fingerprint": profile.fingerprint,
                "this_device": profile.fingerprint == ours,
                "layers": len(profile.layers),
                "places": {place: _said(samples) for place, samples in profile.samples.items()},
            })  # fmt: skip
        return found


def _said(samples: list[Sample]) -> dict[str, Any]:
    """What can be told of the networks that were measured at one place."""
    measured = [sample.ms for sample in samples]
    said: dict[str, Any] = {
        "networks": len(samples),
        "latency_ms": {"least": min(measured), "median": statistics.median(measured), "most": max(measured)},
    }
    if len(samples) >= LEAST:
        said["correction"] = fit(samples)._asdict()
        said["errors"] = cross_validated(samples)
    return said
