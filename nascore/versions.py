"""The versions of the plugins that a search was begun with: another one may propose and measure something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore._version import __version__
from nascore.errors import RunError

if TYPE_CHECKING:
    from nascore.plugins import Plugins
    from nascore.run import RunFolder
    from nascore.settings import SearchSettings

_TABLES = ("space", "sampler", "evaluator", "data", "pruner")


def versions_of(settings: SearchSettings, plugins: Plugins) -> dict[str, str]:
    """Distribution -> version, of the core and of every plugin whose parts the settings name.

    The executor is not among them: a trial's value does not depend on where it is judged.
    """
    uses = [getattr(settings, table).get("use", "") for table in _TABLES]
    heads = {str(use).partition(":")[0] for use in (*uses, *settings.costs)}
    found = {"nascore": __version__}
    for name in sorted(heads.intersection(plugins.names)):
        plugin = plugins.load(name)
        found[plugin.distribution] = plugin.version
    return found


def check_versions(run: RunFolder, settings: SearchSettings, plugins: Plugins, force: bool) -> None:
    """Refuse to go on under another version than the search was begun with.

    Args:
        run: the run folder; one from before versions were kept is not checked.
        settings: of the search.
        plugins: those installed now.
        force: go on all the same.

    Raises:
        RunError: names the distribution, both versions, and what to type.
    """
    then = run.facts().get("versions", {})
    now = versions_of(settings, plugins)
    if force or not isinstance(then, dict):
        return
    changed = {name: version for name, version in now.items() if then.get(name, version) != version}
    if changed:
        each = ", ".join(f"{name} {then[name]} (now {version})" for name, version in changed.items())
        install = " ".join(f"{name}=={then[name]}" for name in changed)
        raise RunError(
            f"{run.path} was begun with {each}: trials may come out differently now. Go on with the old version, "
            f"`pip install {install}`, or with this one, `nascore resume {run.path} --force`."
        )


def note_versions(run: RunFolder, settings: SearchSettings, plugins: Plugins) -> None:
    """From now on the run goes with the versions that are installed."""
    run.write_facts({**run.facts(), "versions": versions_of(settings, plugins)})
