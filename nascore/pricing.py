"""Pricing an architecture outside a search, for ``search --dry-run`` and ``retrain``."""

from __future__ import annotations

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


def installed_models(plugins: Plugins, names: Iterable[str], have: Iterable[CostModel] = ()) -> list[CostModel]:
    """Cost models with default options that price ``names``, as far as any is installed.

    Args:
        plugins: the installed plugins.
        names: of costs, such as ``params``.
        have: models that are there already; what they price is not looked for.
    """
    wanted = set(names) - {name for model in have for name in model.metrics}
    found: list[CostModel] = []
    for record in plugins.parts("cost_models").values():
        factory = resolve(record.factory)  # type: ignore[union-attr] # no method here
        if wanted & set(factory.metrics):
            found.append(make(factory, {}, "cost"))
            wanted -= set(factory.metrics)
    return found


def price(
    models: Iterable[CostModel], space: SearchSpace, architecture: Architecture, context: Context
) -> dict[str, Cost]:
    """The costs of an architecture by all these models."""
    costs: dict[str, Cost] = {}
    for model in models:
        costs.update(model.estimate(space, architecture, context))
    return costs
