"""``render_plugin``: what it writes works at once, and what it refuses."""

import os
import subprocess
import sys
import tokenize

import pytest

from nascore.errors import UsageError
from nascore.template import render_plugin


def python(*arguments, cwd, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_it_writes(tmp_path):
    path = render_plugin("my-method", tmp_path / "new")
    assert path == tmp_path / "new" / "nascore-my-method"
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    assert files == [
        "README.md",
        "pyproject.toml",
        "src/nascore_my_method/__init__.py",
        "src/nascore_my_method/hooks.py",
        "src/nascore_my_method/sampler.py",
        "tests/test_sampler.py",
    ]
    for file in path.rglob("*.*"):
        assert "$" not in file.read_text(), f"{file} has an unfilled place"
    assert "class MyMethod(Sampler):" in (path / "src/nascore_my_method/sampler.py").read_text()
    for file in path.rglob("*.py"):
        with tokenize.open(file) as source:
            compile(source.read(), str(file), "exec")


@pytest.mark.slow
def test_the_new_plugin_installs_is_found_and_passes_its_tests(tmp_path):
    path = render_plugin("my-method", tmp_path)
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site, path]
    python(*install, cwd=tmp_path)
    found = python(
        "-c",
        "from nascore.plugins import Plugins, resolve\n"
        "plugin = Plugins().load('my-method')\n"
        "print(plugin.error, plugin.distribution, plugin.version, plugin.parts['methods'][0].name)\n"
        "print(resolve(plugin.parts['samplers'][0].factory)().restart_probability)",
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )
    assert found.split() == ["nascore-my-method", "0.1.0", "my-method", "0.1"]
    told = python("-m", "pytest", "-q", "-W", "error", path, cwd=path, PYTHONPATH=str(site))
    assert " passed" in told
    assert "skipped" not in told


@pytest.mark.parametrize("name", ["", "My-Method", "my_method", "1st", "a--b", "-a", "a-", "a b", "../a", "ä", "a\n"])
def test_names_that_no_package_can_have_are_refused(name, tmp_path):
    with pytest.raises(UsageError, match="small letters"):
        render_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_taken_are_refused(tmp_path):
    with pytest.raises(UsageError, match="leave 'nascore-' out"):
        render_plugin("nascore-darts", tmp_path)
    with pytest.raises(UsageError, match="installed already"):
        render_plugin("amoebanet", tmp_path)
    render_plugin("my-method", tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        render_plugin("my-method", tmp_path)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--dir"):
        render_plugin("my-method", tmp_path / "file")
