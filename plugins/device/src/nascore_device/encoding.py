"""A network as named numbers, for a regressor: nothing here is measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from nascore_blocks.costs import count_macs, count_params, on_skeleton
from nascore_device.layers import calls_of

if TYPE_CHECKING:
    from nascore.contracts import SearchSpace, Task
    from nascore.decisions import DecisionSpace
    from nascore.records import Architecture
    from nascore_device.layers import Call


def features(
    space: SearchSpace, architecture: Architecture, task: Task, calls: list[Call] | None = None
) -> dict[str, float]:
    """The encoding of an architecture, group/name -> number.

    ``size``: params, macs and number of layer calls. ``layers``: how many calls of each type, kernel and
    size class. ``decision``: 1 for each option that was chosen, where the space is made of decisions.

    Args:
        space, architecture, task: say which network.
        calls: its layer calls, where they are known.
    """
    if calls is None:
        calls = on_skeleton(calls_of, space, architecture, task)
    found = {
        "size/params": float(on_skeleton(count_params, space, architecture, task)),
        "size/macs": float(on_skeleton(count_macs, space, architecture, task)),
        "size/layers": float(len(calls)),
    }
    found |= {f"layers/{label}": float(count) for label, count in Counter(call.label for call in calls).items()}
    if "decisions" in space.provides:
        made = cast("DecisionSpace", space).decisions(architecture)
        found |= {f"decision/{one.name}={one.value!r}": 1.0 for one in made}
    return found
