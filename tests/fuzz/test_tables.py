"""Tables from strangers: CSV, npz and Parquet, damaged by bytes and by cells. What is accepted gives finite numbers."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import pickle

import numpy as np
import pytest
from fuzzing import JSON, SCALARS, corrupted, damaged, fuzz, refused_or
from hypothesis import given
from hypothesis import strategies as st

from nascore.contracts import Splits, Task
from nascore.errors import DataError
from nascore.records import Candidate
from nascore.testing import MemoryContext
from nascore_blocks.table import ListedSpace, Table

DECISIONS = {"depth": [1, 2], "op": ["conv", "pool"], "wide": [True, False]}
ROWS = [
    {"depth": depth, "op": op, "wide": wide, "accuracy": depth / 4, "note": op}
    for depth, op, wide in itertools.product(*DECISIONS.values())
]
WHOLE = [{"genome": json.dumps({name: row[name] for name in DECISIONS}), "accuracy": 0.5} for row in ROWS]
DATA = Splits(Task("none", (1, 8, 8), 10), [], [], [])
KINDS = ["csv", "npz", "parquet"]


def space():
    listed = ListedSpace(DECISIONS)
    listed.name = "blocks:listed"
    return listed


def write(kind, rows):
    """The bytes of a file with these rows, which may be of any shape; None where the format cannot hold them."""
    stream = io.BytesIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    try:
        if kind == "csv":
            text = io.StringIO(newline="")
            csv.writer(text).writerows([names, *([row.get(name, "") for name in names] for row in rows)])
            return text.getvalue().encode()
        if kind == "npz":
            np.savez(stream, **{name: np.array(values) for name, values in columns.items()})
        else:
            import pandas as pd

            pd.DataFrame(columns).to_parquet(stream)
    except Exception:  # noqa: BLE001 - a hostile value that pandas does not take is no input
        return None
    return stream.getvalue()


def use(path, target):
    table = Table(str(path))
    refused_or(target, table.setup, space(), DATA)
    for row in vars(table).get("_rows", ()):  # those before the first damaged one
        found = table.evaluate(Candidate(space().architecture(json.loads(row))), MemoryContext(DATA))
        assert math.isfinite(found.objectives["accuracy"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("kind", KINDS)
@fuzz(0.02, 40)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read(place, kind, data):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = place / f"bytes.{kind}"
    path.write_bytes(data.draw(corrupted(write(kind, data.draw(st.sampled_from([ROWS, WHOLE]))))))
    use(path, f"tables: bytes of {kind}")


@pytest.mark.parametrize("kind", KINDS)
@fuzz(0.015, 40)
@given(data=st.data())
def test_damaged_cells_are_refused_or_read(place, kind, data):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    rows = data.draw(damaged(data.draw(st.sampled_from([ROWS, WHOLE])), SCALARS | JSON.map(json.dumps)))
    usable = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    content = write(kind, rows) if usable else None
    if content is not None:
        path = place / f"cells.{kind}"
        path.write_bytes(content)
        use(path, f"tables: cells of {kind}")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return exec, (f"open({str(self.file)!r}, 'w').close()",)


def test_a_pickle_in_an_array_is_not_opened(tmp_path):
    canary, path = tmp_path / "ran", tmp_path / "table.npz"
    np.savez(path, depth=np.array([Bomb(canary)], dtype=object), accuracy=np.array([0.5]))
    with pytest.raises(DataError, match="allow_pickle=False"):
        Table(str(path)).setup(space(), DATA)
    path.write_bytes(pickle.dumps(Bomb(canary)))
    with pytest.raises(DataError, match="cannot be read"):
        Table(str(path)).setup(space(), DATA)
    assert not canary.exists()
    pickle.loads(path.read_bytes())  # it would have
    assert canary.exists()


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path):
    """A header of some bytes that asks for 8 TB."""
    path = tmp_path / "table.npz"
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        file.writestr("accuracy.npy", stream.getvalue())
    with pytest.raises(DataError, match="cannot be read"):
        Table(str(path)).setup(space(), DATA)
