"""Each distribution as a user gets it: its wheel, in a clean environment, used, and removed again.

Run by ``tox -e alone``; the one argument is a scratch folder.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path

EPOCHS, ROUNDS = ["evaluator.epochs=1"], ["evaluator.rounds=2", "evaluator.steps=2"]
CHEAP = {
    "neat": [],
    "automl-zero": ["sampler.candidates_per_trial=1000"],
    **dict.fromkeys(("darts", "enas", "oneshot", "proxylessnas", "smash", "snas"), ROUNDS),
}
ROOT = Path(__file__).resolve().parent.parent


def main(scratch: Path) -> None:
    """Build all wheels, then walk through the life of each."""
    wheels = scratch / "wheels"
    for source in (ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(source))
    environment = scratch / "venv"
    venv.create(environment, with_pip=True, clear=True)
    python = environment / "bin" / "python"
    nascore = environment / "bin" / "nascore"

    def pip(*arguments: str) -> None:
        run(str(python), "-m", "pip", "--quiet", *arguments)

    def plugins() -> list[dict]:
        return json.loads(run(str(nascore), "plugins", "list", "--json"))

    pip("install", *map(str, wheels.glob("nascore-*.whl")))
    assert plugins() == [], "the core alone has no plugin"
    assert "pip install" in fails(str(nascore), "search", "--trials", "1"), "and says what to install"
    absent = run(str(python), "-c", "import importlib.util as u; print(u.find_spec('torch'))").strip()
    assert absent == "None", "the core alone brings no torch"

    pip("install", *map(str, wheels.glob("nascore_blocks-*.whl")))
    before = plugins()
    assert [plugin["name"] for plugin in before] == ["blocks"]
    assert before[0]["status"] == "ok", before[0]["error"]

    for wheel in sorted(wheels.glob("nascore_*.whl")):
        name = wheel.name.split("-")[0].removeprefix("nascore_").replace("_", "-")
        if name == "blocks":
            continue
        brings = others(name)
        pip("install", "--find-links", str(wheels), str(wheel))
        found = {plugin["name"]: plugin for plugin in plugins()}
        assert set(found) == {"blocks", name, *brings}, found
        assert found[name]["status"] == "ok", found[name]["error"]
        for method in found[name]["parts"]["methods"]:
            out = scratch / f"run-{method}"
            settings = [argument for setting in CHEAP.get(method, EPOCHS) for argument in ("--set", setting)]
            result = json.loads(
                run(str(nascore), "search", "--plugin", method, "--trials", "2", *settings,
                    "--no-tracking", "--json", "--out", str(out), cwd=scratch)
            )  # fmt: skip
            assert result["counts"]["complete"] > 0, result
            assert result["counts"]["fail"] == 0, result
        pip("uninstall", "--yes", *(f"nascore-{plugin}" for plugin in (name, *brings)))
        assert plugins() == before, f"removing {name} changed something else"
        print(f"{wheel.name}: installed, searched, removed", flush=True)


def others(name: str) -> list[str]:
    """Plugins that a plugin's method takes parts of, and that pip brings with it."""
    text = (ROOT / "plugins" / name / "pyproject.toml").read_text(encoding="utf-8")
    (line,) = re.findall(r"^dependencies = .*", text, re.M)
    return [plugin for plugin in re.findall(r'"nascore-([\w-]+)"', line) if plugin != "blocks"]


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command; its standard output, or the end of this script with all it said."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def fails(*command: str) -> str:
    """Run a command that must refuse with exit status 2; what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, f"{command} gave exit status {done.returncode}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]))
