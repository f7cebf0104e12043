"""A device's profile: what was measured on it, in one JSON file named by its fingerprint."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import write_atomically
from nascore.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nascore.records import Json

log = logging.getLogger("nascore")

FORMAT = 1


@dataclass(frozen=True)
class Timing:
    """How long something takes.

    Attributes:
        ms: the median of the rounds.
        std: of the rounds, in ms.
        runs: timed, in all rounds.
    """

    ms: float
    std: float
    runs: int


@dataclass(frozen=True)
class Sample:
    """A whole network that was measured.

    Attributes:
        key: of the architecture.
        ms: measured.
        total: sum of the table over its layer calls, ms.
        layers: how many layer calls.
        features: its encoding, name -> number; see :mod:`nascore_device.encoding`.
    """

    key: str
    ms: float
    total: float
    layers: int
    features: Mapping[str, float]


@dataclass
class Profile:
    """What is known of one device.

    Attributes:
        path: of its file.
        fingerprint: of the device.
        layers: key of a layer call -> its timing.
        samples: space and shape of the inputs -> networks that were measured.
    """

    path: Path
    fingerprint: dict[str, Json]
    layers: dict[str, Timing] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, fingerprint: dict[str, Json]) -> Profile:
        """The profile of a device, an empty one where there is none.

        A file that is damaged, or of another device, is told and not used; the next :meth:`save` replaces it.

        Args:
            folder: where profiles are kept; made when there is something to write.
            fingerprint: of the device.
        """
        path = folder / f"{fingerprint['device']}-{digest(fingerprint)[:12]}.json"
        try:
            return cls.read(path, fingerprint)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("the device profile %s cannot be used and is built anew: %s", path, error)
        return cls(path, fingerprint)

    @classmethod
    def read(cls, path: Path, fingerprint: Mapping[str, Json] | None = None) -> Profile:
        """Read a file.

        Args:
            path: the file.
            fingerprint: that it must have.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged, or of another device; says what is wrong.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']!r}; this version reads {FORMAT}")
            found = dict(data["fingerprint"])
            layers = {str(key): _timing(values) for key, values in data["layers"].items()}
            samples = {place: [_sample(one) for one in many] for place, many in data["samples"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no device profile ({type(error).__name__}: {error})") from error
        if fingerprint is not None and found != fingerprint:
            other = [f"{name} {found.get(name)!r}, not {fingerprint[name]!r}" for name in fingerprint
                     if found.get(name) != fingerprint[name]]  # fmt: skip
            raise ValueError(f"it is of another device: {'; '.join(other) or 'it says more than ours'}")
        return cls(path, found, layers, samples)

    def save(self) -> None:
        """Write it, as a whole.

        Raises:
            RunError: it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "layers": {key: [one.ms, one.std, one.runs] for key, one in self.layers.items()},
            "samples": {place: [asdict(one) for one in many] for place, many in self.samples.items()},
        }
        write_atomically(self.path, json.dumps(data).encode())


def _timing(values: Any) -> Timing:
    ms, std, runs = values
    return Timing(_number(ms), _number(std), int(runs))


def _sample(values: Any) -> Sample:
    features = {str(name): float(value) for name, value in values["features"].items()}
    ms = _number(values["ms"])
    if not ms:
        raise ValueError("it has a network that takes no time")
    return Sample(str(values["key"]), ms, _number(values["total"]), int(values["layers"]), features)


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"it has a time of {value!r} ms")
    return float(value)
