"""Rule 1 and 2 of the house: what is imported when, and who may import whom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ["torch", "mlflow", "optuna", "numpy", "sklearn", "pandas", "matplotlib", "safetensors", "rich"]


def imported(code, *arguments):
    """Top-level names of the modules that the code imports in a fresh interpreter."""
    code = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stderr.split()), done.stdout


def unwanted(names):
    return sorted(name for name in names if name in HEAVY or name.startswith("nascore_"))


@pytest.mark.parametrize(
    "code",
    ["import nascore", "import nascore; dir(nascore)", "import nascore.plugins; nascore.plugins.Plugins().names"],
)
def test_importing_the_core_and_listing_plugins_imports_nothing_heavy_and_no_plugin(code):
    names, _ = imported(code)
    assert unwanted(names) == []


HELP = """
from nascore.cli.main import main
try:
    main(["--help"])
except SystemExit as done:
    assert not done.code
"""


def test_the_help_imports_nothing_heavy_and_no_plugin():
    names, text = imported(HELP)
    assert "search" in text
    assert [name for name in unwanted(names) if name != "rich"] == []


def test_the_check_itself_sees_an_import():
    assert unwanted(imported("import numpy")[0]) == ["numpy"]


@pytest.mark.parametrize("name", sorted(__import__("nascore").__all__))
def test_every_public_name_can_be_fetched(name):
    import nascore

    assert getattr(nascore, name) is not None
    assert name in dir(nascore)


def test_a_name_that_is_not_public():
    import nascore

    with pytest.raises(AttributeError, match="module 'nascore' has no attribute 'serach'"):
        nascore.serach  # noqa: B018 - the access is what is tested


def test_the_layers_hold():
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if tool is None:
        pytest.skip("import-linter is not installed: pip install import-linter")
    done = subprocess.run([tool, "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
