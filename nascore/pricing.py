"""Pricing an architecture outside a search, for ``search --dry-run`` and ``retrain``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nascore.contracts import Context
from nascore.errors import RunError
from nascore.options import make
from nascore.plugins import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nascore.contracts import CostModel, SearchSpace, Splits
    from nascore.plugins import Plugins
    from nascore.records import Architecture, Cost


log = logging.getLogger("nascore")


class PricingContext(Context):
    """A context without a trial: nothing is reported, nothing is kept."""

    def __init__(self, data: Splits, device: str, seed: int) -> None:
        """
        Args:
            data: the splits.
            device: a torch device.
            seed: names the random numbers of what is priced.
        """
        self.number = 0
        self.seed = seed
        self.device = device
        self.data = data.for_search()

    def report(self, step: int, **metrics: float) -> bool:
        """Go on; see :meth:`nascore.contracts.Context.report`."""
        return True

    def folder(self, number: int | None = None) -> Path:
        """There is none."""
        raise RunError("A cost model keeps no artifacts here: there is no trial.")


def price_by_installed(
    plugins: Plugins, names: Iterable[str], space: SearchSpace, architecture: Architecture, context: Context
) -> dict[str, Cost]:
    """Price ``names`` by whatever cost models are installed, with their default options.

    What nothing prices is left out, and so is what fails: nobody asked for these models by name.

    Args:
        plugins: the installed plugins.
        names: of costs, such as ``params``.
        space, architecture, context: see :meth:`nascore.contracts.CostModel.estimate`.
    """
    missing = set(names)
    costs: dict[str, Cost] = {}
    for address, record in plugins.parts("cost_models").items() if missing else ():
        factory = resolve(record.factory)  # type: ignore[union-attr] # no method here
        if not missing & set(factory.metrics) or not factory.requires <= space.provides:
            continue
        try:
            costs.update(make(factory, {}, "cost").estimate(space, architecture, context))
        except Exception as error:  # noqa: BLE001 - a network that was not made for this model can fail in any way
            log.warning("the cost model %s cannot price this network: %s: %s", address, type(error).__name__, error)
        missing -= set(costs)
    return costs


def price(
    models: Iterable[CostModel], space: SearchSpace, architecture: Architecture, context: Context
) -> dict[str, Cost]:
    """The costs of an architecture by all these models."""
    costs: dict[str, Cost] = {}
    for model in models:
        costs.update(model.estimate(space, architecture, context))
    return costs
