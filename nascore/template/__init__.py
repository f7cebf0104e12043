"""``nascore plugins new``: a plugin that works, to be changed into one's own."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from nascore._version import __version__
from nascore.errors import UsageError

_FILES = Path(__file__).parent / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def render_plugin(name: str, folder: Path) -> Path:
    """Write the distribution ``nascore-<name>``: a sampler, its hooks, a method, tests and a README.

    Args:
        name: of the plugin: small letters, digits and single hyphens, a letter first.
        folder: where the new folder ``nascore-<name>`` goes; made when it is missing.

    Returns:
        The new folder.

    Raises:
        UsageError: the name is not allowed or taken, or the folder cannot be written.
    """
    path = Path(folder) / f"nascore-{name}"
    _check(name, path)
    words = name.split("-")
    values = {
        "name": name,
        "module": "nascore_" + "_".join(words),
        "class_name": "".join(word.capitalize() for word in words),
        "title": " ".join(words),
        "version": __version__,
    }
    try:
        for source in sorted(_FILES.rglob("*.tmpl")):
            relative = source.relative_to(_FILES).with_suffix("").as_posix()
            target = path / relative.replace("MODULE", values["module"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}. Choose another place with --dir.") from error
    return path


def _check(name: str, path: Path) -> None:
    from nascore.plugins import Plugins

    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a plugin: take small letters, digits and single hyphens, a letter first, "
            "such as 'my-method'."
        )
    if name.startswith("nascore-") or name == "nascore":
        raise UsageError(f"{name!r} would become 'nascore-{name}': leave 'nascore-' out.")
    if name in Plugins().names:
        raise UsageError(f"A plugin {name!r} is installed already. Take another name, or uninstall that one first.")
    if path.exists():
        raise UsageError(f"{path} exists already. Remove it, take another name, or choose another place with --dir.")
