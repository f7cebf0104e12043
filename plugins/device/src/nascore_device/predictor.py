"""Latency by a regressor that learnt from measured networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.errors import SettingsError
from nascore_device.correction import LEAST
from nascore_device.encoding import features
from nascore_device.profiled import ProfiledLatency
from nascore_device.regressor import Regressor

if TYPE_CHECKING:
    from nascore.contracts import Context, SearchSpace
    from nascore.records import Architecture


class LearnedLatency(ProfiledLatency):
    """A Gaussian process on encodings: layers by kind and size, parameters, multiply-accumulates, decisions.

    It measures nothing while it predicts, and says how sure it is: the cost's ``std``. ``nascore device profile
    --predictor`` gives it its networks; they are those of the table's correction.
    """

    def predict(self, space: SearchSpace, architecture: Architecture, context: Context) -> tuple[float, float, int]:
        """See :meth:`ProfiledLatency.predict`.

        Raises:
            SettingsError: no networks of this space were measured on this device.
        """
        profile = self.profile_of(context.device)
        place = self.place(space, context.task)
        known: dict[tuple[str, str], Regressor] = self.__dict__.setdefault("_regressors", {})
        samples = profile.samples.get(place, [])
        if len(samples) < LEAST:
            raise SettingsError(
                f"No predictor has learnt {place!r} on this device (profile {profile.path}); type: "
                f"nascore device profile --predictor --space {space.name} --data DATA"
            )
        if (str(profile.path), place) not in known:
            known[str(profile.path), place] = Regressor(samples)
        value, std = known[str(profile.path), place].predict(features(space, architecture, context.task))
        return value, std, len(samples)

    def forget(self) -> None:
        """See :meth:`ProfiledLatency.forget`."""
        self.__dict__.pop("_regressors", None)
