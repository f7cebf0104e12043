"""A user's own table of architectures and what they reached, and a space that is nothing but its decisions."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nascore.contracts import Evaluator
from nascore.decisions import DecisionSpace
from nascore.errors import DataError, SettingsError, SpaceError, nearest
from nascore.records import Direction, Measurement, Metric, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nascore.contracts import Choose, Context, SearchSpace, Splits, Task
    from nascore.records import Architecture, Candidate, Json

GENOME = "genome"
"""The column that holds whole genomes, as JSON."""

Row = dict[str, Any]


class ListedSpace(DecisionSpace):
    """Decisions and their options, written down in the settings; it has no networks, only a table does.

    Example:
        >>> ListedSpace({"depth": [1, 2, 3], "op": ["conv", "pool"]})
    """

    provides: ClassVar[frozenset[str]] = DecisionSpace.provides - {"module"}

    def __init__(self, decisions: dict[str, list[bool | int | float | str]]) -> None:
        """
        Args:
            decisions: name -> options. All are made, in this order.

        Raises:
            SettingsError: no decision, or one with no option or with one twice.
        """
        if not decisions:
            raise SettingsError('decisions is empty; write decisions = { depth = [1, 2, 3], op = ["conv", "pool"] }.')
        for name, options in decisions.items():
            if not options or len({_written(option) for option in options}) < len(options):
                raise SettingsError(f"The decision {name!r} has the options {options}; it needs some, each once.")
        self.listed = decisions

    def decide(self, choose: Choose) -> None:
        """All decisions."""
        for name, options in self.listed.items():
            choose(name, options)

    def build(self, architecture: Architecture, task: Task) -> Any:
        """There is nothing to build.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("A space of listed decisions has no networks; it is for --evaluator blocks:table.")


class Table(Evaluator):
    """Looks architectures up in a file: CSV (``.csv``), Parquet (``.parquet``) or arrays of numpy (``.npz``).

    A row is an architecture. It has a column for each decision of the space, empty where that decision is not
    made; or one column ``genome``, a JSON object. Every other column of numbers is a metric. An architecture
    without a row of its own takes that of one with the same key, which the space says is the same network.

    Example, whole (``nascore search --config search.toml``):
        | [space]
        | use = "blocks:listed"
        | decisions = { depth = [1, 2, 3], op = ["conv", "pool"] }
        | [evaluator]
        | use = "blocks:table"
        | file = "measured.csv"
        | objective = "accuracy"
    """

    requires: ClassVar[frozenset[str]] = frozenset({"decisions"})
    provides: ClassVar[frozenset[str]] = frozenset({"table", "rows"})
    objectives: ClassVar[Mapping[str, Metric]] = {"accuracy": Metric("", Direction.MAXIMIZE)}
    deterministic: ClassVar[bool] = True

    def __init__(self, file: str, objective: str = "accuracy", direction: str = "maximize", unit: str = "") -> None:
        """
        Args:
            file: the table.
            objective: the column to search by.
            direction: ``maximize`` or ``minimize``.
            unit: of the objective; empty for a fraction or a count.

        Raises:
            SettingsError: another direction, or a kind of file that cannot be read.
        """
        ways = [way.value for way in Direction]
        if direction not in ways:
            raise SettingsError(f"direction is {direction!r}; {nearest(direction, ways)}.")
        self.file = Path(file).expanduser()
        if self.file.suffix not in _READERS:
            raise SettingsError(f"file is {file!r}; its name must end in {', '.join(_READERS)}.")
        self.objective = objective
        named = {objective: Metric(unit, Direction(direction))}
        self.objectives = named  # type: ignore[misc]  # what it measures is known when it is made

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """Read and check the whole table.

        Raises:
            DataError: the file is missing or malformed: no row, no such column, an option that the space has not,
                an architecture twice, or a value that is no finite number. Says which row.
        """
        super().setup(space, data)
        if not self.file.is_file():
            raise DataError(f"There is no table {self.file}.")
        rows = _read(self.file)
        if not rows:
            raise DataError(f"{self.file} has no row.")
        if self.objective not in rows[0]:
            raise DataError(f"{self.file} has no column {self.objective!r}; {nearest(self.objective, rows[0])}.")
        self._rows: dict[str, Measurement] = {}
        self._same: dict[str, Measurement] = {}
        for number, row in enumerate(rows, start=1):
            self._add(f"{self.file}, row {number}", row)

    def _add(self, where: str, row: Row) -> None:
        try:
            architecture, used = self._architecture(row)
        except SpaceError as error:
            raise DataError(f"{where}: {error}") from error
        text = _text(architecture.genome)
        if text in self._rows:
            raise DataError(f"{where}: {text} has a row already; an architecture has one row.")
        values = {name: _number(where, name, value) for name, value in row.items() if name not in used}
        numbers = {name: value for name, value in values.items() if value is not None}
        if self.objective not in numbers:
            raise DataError(f"{where}: {self.objective} is {row[self.objective]!r}; it must be a finite number.")
        objectives = {self.objective: numbers.pop(self.objective)}
        self._rows[text] = Measurement(Status.COMPLETE, objectives, metrics=numbers)
        self._same.setdefault(architecture.key, self._rows[text])

    def _architecture(self, row: Row) -> tuple[Architecture, set[str]]:
        """The architecture of a row, and the columns that say it.

        Raises:
            SpaceError: it is not in the space.
        """
        if GENOME in row:
            try:
                genome: Json = json.loads(row[GENOME])
            except (TypeError, ValueError, RecursionError) as error:
                raise SpaceError(f"genome is {row[GENOME]!r}; it must be a JSON object ({error}).") from error
            return self.space.load({"space": self.space.name, "genome": genome}), {GENOME}
        used: set[str] = set()

        def choose(name: str, options: Sequence[Any]) -> Any:
            used.add(name)
            if name not in row:
                raise SpaceError(f"there is no column {name!r} for this decision; there are {', '.join(row)}.")
            for option in options:
                if _written(option) == _written(row[name]):
                    return option
            raise SpaceError(f"{name} is {row[name]!r}; {nearest(_written(row[name]), map(_written, options))}.")

        return self.space.sample(choose), used

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """The row of the architecture; see :meth:`Evaluator.evaluate`.

        Raises:
            DataError: it has none.
            SettingsError: the candidate has a fidelity; the table has one value for each architecture.
        """
        if candidate.fidelity:
            raise SettingsError(f"The table knows no fidelity; the candidate has {dict(candidate.fidelity)}.")
        architecture = candidate.architecture
        text = _text(architecture.genome)
        found = self._rows.get(text) or self._same.get(architecture.key)
        if found is None:
            raise DataError(f"{self.file} has {len(self._rows)} rows, but none for {text}.")
        return found

    def rows(self) -> Iterator[Measurement]:
        """Every row: the capability ``rows``."""
        return iter(self._rows.values())


# ------------------------------------------------------------------------------------ files


def _read(path: Path) -> list[Row]:
    """The rows of a file of any kind.

    Raises:
        DataError: it is damaged; says how.
    """
    try:
        return _READERS[path.suffix](path)
    except DataError:
        raise
    except Exception as error:  # a damaged file can be wrong in any way
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _read_csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
    names = list(reader.fieldnames or ())
    if len(set(names)) < len(names):
        raise DataError(f"{path} has a column twice: {', '.join(names)}.")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(f"{path}, row {number}: it has not {len(names)} cells, as the first line has.")
    return rows


def _read_parquet(path: Path) -> list[Row]:
    try:
        import pandas as pd

        table = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(f"To read {path}: pip install pandas pyarrow") from error
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _read_npz(path: Path) -> list[Row]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
        raise DataError(f"{path}: every array must have the shape (rows,); there are {shapes}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


_READERS = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}


def _written(value: Any) -> str:
    """How a cell and an option are compared: ``3``, ``0.5``, ``true``, ``conv``; 3 and 3.0 are alike."""
    if hasattr(value, "item"):
        value = value.item()
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        return f"{float(text):.17g}"
    except ValueError:
        return text


def _text(genome: Json) -> str:
    return json.dumps(genome, sort_keys=True)


def _number(where: str, name: str, value: Any) -> float | None:
    """A metric; None for a cell that is empty or words.

    Raises:
        DataError: NaN or an infinity.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        raise DataError(f"{where}: {name} is {value!r}; it must be a finite number.")
    return number
