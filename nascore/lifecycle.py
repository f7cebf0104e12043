"""Tells everyone who wants to know what happens in a search; a listener that fails is left out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pluggy

from nascore.errors import UsageError
from nascore.hooks import LifecycleHooks, PartHooks

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("nascore")


class Lifecycle:
    """Calls the life-cycle hooks of plugins and observers, each on its own."""

    def __init__(self, listeners: Iterable[Any]) -> None:
        """
        Args:
            listeners: plugin modules, or objects with methods marked by ``nascore.hookimpl``.

        Raises:
            UsageError: a listener has a hook that does not exist, or one with an unknown argument.
        """
        self._manager = pluggy.PluginManager("nascore")
        self._manager.add_hookspecs(LifecycleHooks)
        self._manager.add_hookspecs(PartHooks)
        try:
            for listener in listeners:
                self._manager.register(listener)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise UsageError(f"{type(error.plugin).__name__} cannot listen: {error}") from error

    def emit(self, event: str, **arguments: Any) -> None:
        """Call ``nascore_<event>`` of every listener, in the order they were registered."""
        hook = getattr(self._manager.hook, f"nascore_{event}")
        # As pluggy means it: tryfirst before all others, trylast after them.
        for implementation in sorted(hook.get_hookimpls(), key=lambda one: (one.trylast, not one.tryfirst)):
            try:
                implementation.function(**{name: arguments[name] for name in implementation.argnames})
            except Exception as error:  # noqa: BLE001, PERF203 - a listener can fail in any way, each on its own
                log.warning(
                    "%s failed in nascore_%s and is left out from here on: %s: %s",
                    implementation.plugin_name, event, type(error).__name__, error,
                )  # fmt: skip
                self._manager.unregister(implementation.plugin)
