"""The user's own table: three kinds of file say the same, and a damaged one is told with its row."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from nascore.contracts import Splits, Task
from nascore.errors import DataError, SettingsError, SpaceError
from nascore.records import Candidate
from nascore.testing import MemoryContext, ToySpace, toy_data
from nascore_blocks.nasbench201 import HOUSE_OPS, NAMES, NASBench201
from nascore_blocks.table import ListedSpace, Table

DECISIONS = {"depth": [1, 2], "op": ["conv", "pool"], "wide": [True, False]}
ROWS = [
    {"depth": depth, "op": op, "wide": wide, "error": depth + (op == "pool") / 4 + wide / 8, "size": 10 * depth}
    for depth, op, wide in itertools.product(*DECISIONS.values())
]
DATA = Splits(Task("none", (1, 8, 8), 10), [], [], [])


def listed(decisions=None):
    space = ListedSpace(decisions or DECISIONS)
    space.name = "blocks:listed"
    space.setup(DATA.task)
    return space


def csv_file(path, rows):
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def ready(path, space=None, **options):
    table = Table(str(path), **{"objective": "error", "direction": "minimize"} | options)
    table.setup(space or listed(), DATA)
    return table


def looked_up(table, space, genome):
    return table.evaluate(Candidate(space.architecture(genome)), MemoryContext(DATA))


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet", "genome"])
def test_every_kind_of_file_says_the_same(tmp_path, kind):
    path = tmp_path / f"table.{'csv' if kind == 'genome' else kind}"
    if kind == "csv":
        csv_file(path, ROWS)
    elif kind == "npz":
        np.savez(path, **{name: np.array([row[name] for row in ROWS]) for name in ROWS[0]})
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        pytest.importorskip("pandas").DataFrame(ROWS).to_parquet(path)
    else:
        import csv

        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["genome", "error", "size"])
            for row in ROWS:
                writer.writerow([json.dumps({name: row[name] for name in DECISIONS}), row["error"], row["size"]])
    table, space = ready(path), listed()
    for row in ROWS:
        found = looked_up(table, space, {name: row[name] for name in DECISIONS})
        assert found.objectives == {"error": row["error"]}
        assert found.metrics == {"size": row["size"]}
    assert sorted(row.objectives["error"] for row in table.rows()) == sorted(row["error"] for row in ROWS)


def test_a_search_on_a_table(tmp_path):
    """The parts are given as objects, so that this test needs no record in the hooks."""
    import nascore

    table = Table(str(csv_file(tmp_path / "table.csv", ROWS)), objective="error", direction="minimize")
    result = nascore.search(
        space=listed(), sampler="random", evaluator=table, data="digits", costs=[], trials=60, out=tmp_path / "run",
        tracking="off",
    )  # fmt: skip
    assert result.best.objectives == {"error": 1.0}


def test_decisions_that_are_not_made_are_empty(tmp_path):
    space = ToySpace()
    space.setup(toy_data().task)
    names = ["width", "depth", *(f"{part}.{i}" for i in range(3) for part in ("op", "kernel"))]
    path = tmp_path / "toy.csv"
    path.write_text(f"{','.join(names)},accuracy\n4,1,conv,3,,,,,0.5\n4,2,identity,,conv,1,,,0.75\n")
    table = ready(path, space, objective="accuracy", direction="maximize")
    genome = {"width": 4, "depth": 2, "op.0": "identity", "op.1": "conv", "kernel.1": 1}
    assert looked_up(table, space, genome).objectives == {"accuracy": 0.75}


def test_an_equal_network_without_a_row_takes_that_of_its_twin(tmp_path):
    space = NASBench201()
    space.name = "blocks:nasbench201"
    space.setup(DATA.task)
    cell = dict(zip(NAMES, ("nor_conv_3x3", "none", "none", "skip_connect", "none", "none"), strict=True))
    path = csv_file(tmp_path / "cells.csv", [{**cell, "accuracy": 0.25}])
    table = ready(path, space, objective="accuracy", direction="maximize")
    # An edge into nothing (2 <- 1 with no way on) changes the genome, and no network.
    dead = {**cell, "edge.2.1": "nor_conv_1x1"}
    assert space.architecture(cell).key == space.architecture(dead).key
    assert looked_up(table, space, dead).objectives == {"accuracy": 0.25}
    with pytest.raises(DataError, match="1 rows, but none for"):
        looked_up(table, space, dict.fromkeys(NAMES, next(iter(HOUSE_OPS))) | {"edge.3.0": "nor_conv_3x3"})


def test_a_damaged_table_is_told_with_its_row(tmp_path):
    def refused(rows, match, **options):
        with pytest.raises(DataError, match=match):
            ready(csv_file(tmp_path / "bad.csv", rows), **options)

    refused([*ROWS, ROWS[0]], "row 9: .* has a row already")
    refused([ROWS[0], {**ROWS[1], "op": "covn"}], r"row 2: op is 'covn'; did you mean 'conv'\? Allowed: conv, pool")
    refused([{name: value for name, value in row.items() if name != "wide"} for row in ROWS], "no column 'wide'")
    refused([{**ROWS[0], "error": "nan"}], "row 1: error is 'nan'; it must be a finite number")
    refused([{**ROWS[0], "error": ""}], "row 1: error is ''; it must be a finite number")
    refused(ROWS, "no column 'eror'; did you mean 'error'", objective="eror")
    (tmp_path / "short.csv").write_text("depth,op,wide,error\n1,conv,true\n")
    with pytest.raises(DataError, match="row 1: it has not 4 cells"):
        ready(tmp_path / "short.csv")
    (tmp_path / "empty.csv").write_text("depth,op,wide,error\n")
    with pytest.raises(DataError, match="has no row"):
        ready(tmp_path / "empty.csv")
    (tmp_path / "json.csv").write_text("genome,error\n{depth,1\n")
    with pytest.raises(DataError, match=r"row 1: genome is '\{depth'; it must be a JSON object"):
        ready(tmp_path / "json.csv")
    np.savez(tmp_path / "ragged.npz", depth=np.arange(3), error=np.arange(2))
    with pytest.raises(DataError, match=r"the shape \(rows,\)"):
        ready(tmp_path / "ragged.npz")
    with pytest.raises(DataError, match="no table"):
        ready(tmp_path / "absent.csv")


def test_missing_rows_fidelities_and_bad_settings(tmp_path):
    table, space = ready(csv_file(tmp_path / "table.csv", ROWS[:-1])), listed()
    last = {name: ROWS[-1][name] for name in DECISIONS}
    with pytest.raises(DataError, match=r'has 7 rows, but none for \{"depth": 2'):
        looked_up(table, space, last)
    with pytest.raises(SettingsError, match="no fidelity"):
        table.evaluate(Candidate(space.architecture(last), {"epochs": 1}), MemoryContext(DATA))
    with pytest.raises(SettingsError, match=r"must end in \.csv, \.parquet, \.npz"):
        Table("table.xlsx")
    with pytest.raises(SettingsError, match="did you mean 'minimize'"):
        Table("table.csv", direction="minimise")
    with pytest.raises(SettingsError, match="each once"):
        ListedSpace({"depth": [1, 1]})
    with pytest.raises(SettingsError, match="decisions is empty"):
        ListedSpace({})
    with pytest.raises(SpaceError, match="no networks"):
        space.build(space.architecture(last), DATA.task)
