"""Every plugin is a distribution of its own, alike in form; no file names a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nascore

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").is_file())
every_plugin = pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_there_are_plugins():
    assert {"amoebanet", "blocks", "optuna", "random"} <= {folder.name for folder in PLUGINS}


def test_no_folder_among_the_plugins_lacks_its_pyproject():
    assert [
        p.name for p in (ROOT / "plugins").iterdir() if p.is_dir() and p not in PLUGINS and any(p.rglob("*.py"))
    ] == []


@every_plugin
def test_a_plugin_has_all_its_files(folder):
    module = folder / "src" / f"nascore_{folder.name.replace('-', '_')}"
    for path in (folder / "README.md", module / "__init__.py", module / "hooks.py", module / "py.typed"):
        assert path.is_file(), f"{path.relative_to(ROOT)} is missing"
    assert list((folder / "tests").glob("test_*.py")), "it has no tests"
    assert f"nascore-{folder.name}" in (folder / "README.md").read_text(encoding="utf-8")


@every_plugin
def test_a_plugin_is_named_announced_and_versioned_alike(folder):
    made = project(folder)
    module = f"nascore_{folder.name.replace('-', '_')}"
    assert made["project"]["name"] == f"nascore-{folder.name}"
    assert made["project"]["entry-points"]["nascore"] == {folder.name: f"{module}.hooks"}
    assert made["project"]["dynamic"] == ["version"]
    assert "version" not in made["project"]
    version = folder / made["tool"]["hatch"]["version"]["path"]
    assert version.resolve() == ROOT / "nascore" / "_version.py"
    assert made["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"src/{module}"]
    assert "nascore" in made["project"]["dependencies"]


@every_plugin
def test_a_plugin_configures_no_tool_of_its_own(folder):
    assert set(project(folder)["tool"]) == {"hatch"}  # ruff, mypy, pytest: the root's alone


@every_plugin
def test_a_plugin_is_covered_by_the_rules_about_imports(folder):
    linter = project(ROOT)["tool"]["importlinter"]
    module = f"nascore_{folder.name.replace('-', '_')}"
    assert module in linter["root_packages"]
    core = next(c for c in linter["contracts"] if c["source_modules"] == ["nascore"])
    assert module in core["forbidden_modules"]
    if folder.name != "blocks":
        assert module in next(c for c in linter["contracts"] if c["type"] == "independence")["modules"]


def test_the_version_is_read_from_the_one_place():
    assert f'"{nascore.__version__}"' in (ROOT / "nascore" / "_version.py").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", nascore.__version__)
    assert project(ROOT)["tool"]["hatch"]["version"]["path"] == "nascore/_version.py"


def texts():
    """(path, text) of every file that is tracked, or would be."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
        cwd=ROOT,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.is_file():
            data = path.read_bytes()
            if b"\0" not in data[:4096]:
                yield name, data.decode(encoding="utf-8", errors="replace")


MACHINE = re.compile(
    r"(?<![\w.])/(?:home|Users|root|work|opt|mnt|data|scratch)/[\w.-]+|[A-Z]:\\Users\\|\b127\.0\.1\.1\b"
)


def test_no_file_holds_a_path_of_a_machine():
    found = [
        f"{name}: {match[0]}"
        for name, text in texts()
        if name != Path(__file__).relative_to(ROOT).as_posix()
        for match in MACHINE.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["cd /home/me/x", "'/opt/venv/bin'", "see /Users/ann/nas", r"C:\Users\x"])
def test_the_check_itself_sees_a_path(text):
    assert MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["plugins/opt/x", "sqlite:///x.db", "https://example.org/home/me", "/usr/bin/env", "/tmp/x"]
)
def test_other_paths_are_fine(text):
    assert not MACHINE.search(text)
