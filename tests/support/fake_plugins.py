"""Plugins that are written into a folder and announced as entry points, with distributions of their own."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

from nascore.plugins import GROUP, Plugins


class Workbench:
    """Writes plugin modules; ``plugins()`` finds just those that were announced."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.points = []
        monkeypatch.syspath_prepend(str(folder))

    def module(self, name, source):
        """Write a module; an earlier one of this name is forgotten."""
        (self.folder / f"{name}.py").write_text("from nascore.hooks import Component, Method, hookimpl\n" + source)
        sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def announce(self, plugin, module, distribution=None, version="1.2"):
        """Install, so to say, a distribution that announces the plugin."""
        distribution = distribution or f"dist-{plugin}"
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        with (info / "entry_points.txt").open("a") as file:
            if file.tell() == 0:
                file.write(f"[{GROUP}]\n")
            file.write(f"{plugin} = {module}\n")
        found = importlib.metadata.Distribution.at(info).entry_points
        self.points += [point for point in found if point.name == plugin]

    def plugin(self, name, source, distribution=None):
        """A module and its announcement."""
        self.module(f"fake_{name}", source)
        self.announce(name, f"fake_{name}", distribution)

    def plugins(self):
        """What would be found if only the announced plugins were installed."""
        return Plugins(self.points)


def offers(kind, *names, factory="toy_parts:Letters"):
    """The source of a hook that offers these parts, all with one factory."""
    records = ", ".join(f"Component({name!r}, 'a part', {factory!r})" for name in names)
    return f"@hookimpl\ndef nascore_{kind}():\n    return [{records}]\n"
