"""Which parts fit together, by what they require and provide."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nascore.capabilities import Chosen, Mismatch, mismatches
from nascore.plugins import resolve

if TYPE_CHECKING:
    from nascore.plugins import Plugins

_KINDS = {"search_spaces": "search space", "samplers": "sampler", "evaluators": "evaluator", "datasets": "data set"}


def fits(plugins: Plugins) -> list[dict[str, Any]]:
    """A row for every search space, sampler and evaluator that are installed.

    Three parts fit when, with at least one of the installed data sets, no part requires what no
    other provides. ``reason`` says what is missing with the data set that comes nearest, or is empty.
    """
    chosen = {hook: _installed(plugins, hook, kind) for hook, kind in _KINDS.items()}
    datasets: list[list[Any]] = [[dataset] for dataset in chosen.pop("datasets")] or [[]]
    return [_row(combination, datasets) for combination in product(*chosen.values())]


def _row(combination: tuple[Any, ...], datasets: list[list[Any]]) -> dict[str, Any]:
    broken = [part for part in combination if isinstance(part, _Broken)]
    if broken:
        reason = "; ".join(f"the {part.kind} {part.address!r} cannot be imported: {part.error}" for part in broken)
    else:
        working = [found for found in datasets if not any(isinstance(part, _Broken) for part in found)] or [[]]
        missing: list[Mismatch] = min((mismatches([*combination, *found]) for found in working), key=len)
        reason = "; ".join(map(str, missing))
    space, sampler, evaluator = (part.address for part in combination)
    return {"space": space, "sampler": sampler, "evaluator": evaluator, "fits": not reason, "reason": reason}


class _Broken:
    """A part whose factory cannot be imported."""

    def __init__(self, kind: str, address: str, error: Exception) -> None:
        self.kind, self.address = kind, address
        self.error = f"{type(error).__name__}: {error}"


def _installed(plugins: Plugins, hook: str, kind: str) -> list[Any]:
    found: list[Any] = []
    for address, record in plugins.parts(hook).items():
        try:
            factory = resolve(record.factory)  # type: ignore[union-attr] # these hooks give components only
        except Exception as error:  # noqa: BLE001 - importing a plugin's module can fail in any way
            found.append(_Broken(kind, address, error))
            continue
        words = {word: frozenset(getattr(factory, word, ())) for word in ("requires", "provides")}
        found.append(Chosen(kind, address, SimpleNamespace(**words)))
    return found
