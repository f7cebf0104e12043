"""What nascore-ray offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, hookimpl


@hookimpl
def nascore_executors() -> list[Component]:
    """Ray's actors as workers."""
    return [
        Component("ray", "trials on a Ray cluster, or on one that is begun here", "nascore_ray.executor:RayExecutor")
    ]
