"""Making the table: a run that was killed goes on, and gives the same file."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from nascore.errors import DataError, SettingsError
from nascore_blocks.recipe import Recipe
from nascore_nasbench_digits import collect as collect_module
from nascore_nasbench_digits import produce as module
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.collect import collect
from nascore_nasbench_digits.data import load_table


def test_pieces_hold_every_training_once():
    made = list(module.pieces())
    trainings = {(piece.seed, network) for piece in made for network in piece.networks}
    assert len(trainings) == sum(len(piece.networks) for piece in made) == 3 * 5260
    assert [piece.seed for piece in made] == sorted(piece.seed for piece in made)


def test_the_parts_share_the_pieces(tmp_path, monkeypatch):
    short(monkeypatch)
    assert module.produce(tmp_path, 0, 2) == 2
    assert module.produce(tmp_path, 1, 2) == 1
    assert module.produce(tmp_path) == 0


def short(monkeypatch):
    """Three small pieces, one epoch."""
    some = [module.Piece(seed, 0, (1, 9, 2000)) for seed in range(2)] + [module.Piece(2, 0, (700,))]
    for each in (module, collect_module):
        monkeypatch.setattr(each, "RECIPE", Recipe(epochs=1, clip=0.0))
        monkeypatch.setattr(each, "pieces", lambda: iter(some))


def test_a_stopped_run_goes_on_and_gives_the_same_table(tmp_path, monkeypatch):
    short(monkeypatch)
    module.produce(tmp_path / "whole")
    assert module.produce(tmp_path / "stopped", most=1) == 1
    (tmp_path / "stopped" / "seed1-batch000.123.tmp").write_bytes(b"half a file")  # killed while writing
    before = (tmp_path / "stopped" / "seed0-batch000.npz").stat().st_mtime_ns
    assert module.produce(tmp_path / "stopped") == 2
    assert (tmp_path / "stopped" / "seed0-batch000.npz").stat().st_mtime_ns == before
    tables = []
    for name in ("whole", "stopped"):
        assert collect(tmp_path / name, tmp_path / f"{name}.npz") == 7
        tables.append(load_table(tmp_path / f"{name}.npz"))
    for field in ("network", "curves", "test", "params", "macs"):
        assert np.array_equal(*(getattr(table, field) for table in tables), equal_nan=field in ("curves", "test"))
    assert np.isfinite(tables[0].curves[[1, 9, 2000], :2]).all()
    assert np.isnan(tables[0].curves[700, :2]).all()
    assert np.isfinite(tables[0].curves[700, 2]).all()


KILLED = """
import sys
from pathlib import Path
from nascore_blocks.recipe import Recipe
from nascore_nasbench_digits import produce
produce.RECIPE = Recipe(epochs=1, clip=0.0)
produce.pieces = lambda: iter([produce.Piece(0, number, (number, 100 + number)) for number in range(10)])
produce.produce(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(tmp_path, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("killed/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    made = len(list(tmp_path.glob("killed/*.npz")))
    assert 0 < made < 10
    some = [module.Piece(0, number, (number, 100 + number)) for number in range(10)]
    for each in (module, collect_module):
        monkeypatch.setattr(each, "RECIPE", Recipe(epochs=1, clip=0.0))
        monkeypatch.setattr(each, "pieces", lambda: iter(some))
    assert module.produce(tmp_path / "killed") == 10 - made
    module.produce(tmp_path / "whole")
    for piece in some:
        with np.load(piece.file(tmp_path / "killed")) as first, np.load(piece.file(tmp_path / "whole")) as second:
            for name in ("networks", "valid", "test"):
                assert np.array_equal(first[name], second[name])


def test_wrong_use_is_told(tmp_path):
    with pytest.raises(SettingsError, match="write K/N"):
        module.main(["--part", "2/2"])
    with pytest.raises(DataError, match="has no piece"):
        collect(tmp_path, tmp_path / "table.npz")
    first = next(module.pieces())
    np.savez(first.file(tmp_path), networks=np.array([5]))
    with pytest.raises(DataError, match="other networks"):
        collect(tmp_path, tmp_path / "table.npz")
    assert not (tmp_path / "table.npz").exists()
    assert len(all_cells().representatives) == 5260
