"""A run folder from somebody else is data: what it names is not imported, and not opened, until its user says so."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

import nascore
from nascore.cli.main import main
from nascore.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

SPACE = """
from pathlib import Path

import nascore

Path(__file__).with_name("imported").touch()


@nascore.search_space
def space(choose):
    return choose("width", [1, 2, 3])
"""
PARTS = """
from nascore.contracts import Dataset, Evaluator, Splits, Task
from nascore.records import Direction, Measurement, Metric, Status


class Data(Dataset):
    def load(self, seed):
        return Splits(Task("toy", (1,), 2, fingerprint="f"), [], [])


class Wide(Evaluator):
    objectives = {"score": Metric("", Direction.MAXIMIZE)}

    def evaluate(self, candidate, context):
        return Measurement(Status.COMPLETE, {"score": float(candidate.architecture.genome["width"])})
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own code, and a home of the user's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "own_space.py").write_text(SPACE)
    (tmp_path / "own_parts.py").write_text(PARTS)
    return tmp_path


def searched(files: Path, **more: str) -> Path:
    run = files / "run"
    nascore.search(
        space=f"{files}/own_space.py:space", evaluator=f"{files}/own_parts.py:Wide", data=f"{files}/own_parts.py:Data",
        sampler="random", costs=[], trials=2, seed=0, out=run, tracking="off", **more,
    )  # fmt: skip
    (files / "imported").unlink()
    return run


def test_a_search_of_ones_own_goes_on_wherever_its_folder_lies(files: Path) -> None:
    moved = shutil.move(searched(files), files / "moved")
    assert nascore.resume(moved, trials=3).counts["complete"] == 3


def test_what_a_stranger_s_run_names_is_shown_and_not_imported(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(files)
    monkeypatch.setenv("XDG_DATA_HOME", str(files / "other home"))
    assert main(["show", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["complete"] == 2
    for command in (["resume", "--trials", "3"], ["export", "--format", "py"], ["report"], ["retrain"]):
        status = main([command[0], str(run), *command[1:]])
        err = capsys.readouterr().err
        said = err if status else (run / "report.html").read_text()  # the page says why it draws no network
        assert f"nascore trust {run}" in said, command
        assert status or command == ["report"]
    assert not (files / "imported").exists()
    assert main(["trust", str(run), "--yes"]) == 0
    assert "own_space.py:space" in capsys.readouterr().out
    assert main(["resume", str(run), "--trials", "3"]) == 0


def test_a_seal_is_of_one_address_only(files: Path) -> None:
    run = searched(files)
    shutil.copy(files / "own_space.py", files / "evil_space.py")
    settings = run / "search.toml"
    settings.write_text(settings.read_text().replace("own_space.py", "evil_space.py"))
    with pytest.raises(RunError, match="evil_space"):
        nascore.resume(run, trials=3)


def test_a_storage_elsewhere_is_not_opened(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = searched(files, storage=f"sqlite:///{files}/trials.db")
    monkeypatch.setenv("XDG_DATA_HOME", str(files / "other home"))
    with pytest.raises(RunError, match="nascore trust"):
        nascore.open_run(run)


def test_a_home_that_cannot_be_written_stops_no_search(
    files: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (files / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(files / "file"))
    run = searched(files)
    assert "XDG_DATA_HOME" in caplog.text
    with pytest.raises(RunError, match="XDG_DATA_HOME"):
        nascore.resume(run, trials=3)


def test_a_damaged_seal_seals_nothing(files: Path) -> None:
    run = searched(files)
    for content in ("", "[]", "null", '{"a": 1}', json.dumps({f"{files}/own_space.py:space": "é"})):
        (run / "state" / "own.json").write_text(content)
        with pytest.raises(RunError, match="nascore trust"):
            nascore.resume(run, trials=3)
