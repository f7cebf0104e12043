"""The settings of a search: from a method's preset, a TOML file, ``--set`` and options, checked.

Later layers win. Each part is a table: ``use`` names it, every other key is one of its options.
Where a layer names another part than the layer below did, the options below are dropped with it.
"""

from __future__ import annotations

import datetime
import importlib
import math
import re
import sys
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nascore.errors import SettingsError, nearest
from nascore.options import explain
from nascore.records import Constraint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PART_TABLES = ("space", "sampler", "evaluator", "data", "executor", "pruner")
"""Tables of the settings that choose one part each."""

_SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_CONSTRAINT = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([kMG]?)\s*")


class SearchSettings(BaseModel):
    """All that defines a search; ``search.toml`` in the run folder holds it resolved.

    Attributes:
        plugin: the method, for the record; its parts stand in the tables.
        preset: which of its presets was taken.
        space, sampler, evaluator, data, executor: ``use`` and the options of the part.
        pruner: ``use`` is an Optuna pruner (``median``, ``hyperband``, ...); empty: none.
        costs: addresses of cost models; those that an objective or constraint needs are added.
        cost: options of cost models, a table each, by the name of the part.
        objectives: names, the first leads; empty: the evaluator's first.
        constraints: such as ``params<=50k``.
        trials: budget in trials; None: time ends the search.
        time: budget in seconds of wall time; None: trials end the search.
        trial_timeout: seconds after which a trial that is not done FAILs; None: no limit.
        trial_memory: MiB of memory above which the process of a trial is ended and the trial FAILs; None: no limit.
        seed: names all random numbers of the search.
        device: a torch device.
        threads: torch threads an evaluation may use; 1 is the fastest for tiny networks.
        keep: whose artifacts (weights) stay on disk: those of the ``best`` (and the front), or ``all``.
        storage: see :func:`nascore.store.open_storage`.
        tracking: MLflow URI; ``auto`` is MLFLOW_TRACKING_URI or a file beside the runs; ``off``.
        experiment: name of the MLflow experiment.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    plugin: str = ""
    preset: str = ""
    space: dict[str, Any] = Field(default_factory=dict)
    sampler: dict[str, Any] = Field(default_factory=dict)
    evaluator: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    executor: dict[str, Any] = Field(default_factory=lambda: {"use": "serial"})
    pruner: dict[str, Any] = Field(default_factory=dict)
    costs: list[str] = Field(default_factory=list)
    cost: dict[str, dict[str, Any]] = Field(default_factory=dict)
    objectives: list[str] = Field(default_factory=list)
    constraints: list[str] = Field(default_factory=list)
    trials: int | None = Field(default=None, ge=1)
    time: float | None = Field(default=None, gt=0)
    trial_timeout: float | None = Field(default=None, gt=0)
    trial_memory: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    device: str = "cpu"
    threads: int = Field(default=1, ge=1, le=1024)
    keep: str = "best"
    storage: str = "journal"
    tracking: str = "auto"
    experiment: str = "nascore"

    @field_validator("keep")
    @classmethod
    def _keep_is_known(cls, value: str) -> str:
        if value not in ("best", "all"):
            raise ValueError(f"{value!r} is not allowed; write 'best' or 'all'.")
        return value

    @field_validator("constraints")
    @classmethod
    def _constraints_parse(cls, value: list[str]) -> list[str]:
        for text in value:
            parse_constraint(text)
        return value

    @field_validator("objectives")
    @classmethod
    def _objectives_once(cls, value: list[str]) -> list[str]:
        twice = {name for name in value if value.count(name) > 1}
        if twice:
            raise ValueError(f"the objective {min(twice)!r} is given twice.")
        return value

    @model_validator(mode="after")
    def _has_a_budget(self) -> SearchSettings:
        if self.trials is None and self.time is None:
            raise ValueError("a search needs a budget: give --trials N or --time SECONDS.")
        return self


def parse_constraint(text: str) -> Constraint:
    """Read ``params<=50k``; the suffixes k, M and G are powers of 1000.

    Raises:
        ValueError: not of this form.
    """
    match = _CONSTRAINT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        name, relation, number, suffix = match.groups()
        limit = float(number) * _SUFFIXES[suffix]
        if not math.isfinite(limit):
            raise ValueError
        return Constraint(name, limit, upper=relation == "<=")
    except ValueError:
        raise ValueError(
            f"{text!r} is no constraint; write NAME<=NUMBER or NAME>=NUMBER, such as 'params<=50k' or 'latency_ms<=2'."
        ) from None


def merge(layers: Iterable[Mapping[str, Any]]) -> SearchSettings:
    """Lay settings over each other and check the result.

    Args:
        layers: from the weakest to the strongest; nested tables.

    Raises:
        SettingsError: an unknown key or a value that is not allowed; names the key.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if key not in SearchSettings.model_fields:
                raise SettingsError(f"There is no setting {key!r}; {nearest(key, SearchSettings.model_fields)}.")
            merged[key] = _lay(key, merged.get(key), value)
    try:
        return SearchSettings(**merged)
    except ValidationError as error:
        raise SettingsError("; ".join(map(explain, error.errors()))) from error


def _lay(key: str, below: Any, above: Any) -> Any:
    if key in PART_TABLES and isinstance(above, str):
        above = {"use": above}
    if not isinstance(above, dict):
        return above
    if not isinstance(below, dict) or (key in PART_TABLES and above.get("use", below.get("use")) != below.get("use")):
        below = {}
    # None gives an option its default back: TOML cannot hold it, and a resumed search reads TOML.
    return {name: value for name, value in {**below, **above}.items() if value is not None}


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"sampler.size": 5}`` -> ``{"sampler": {"size": 5}}``; ``{"sampler": "x"}`` -> ``{"sampler": {"use": "x"}}``.

    Raises:
        SettingsError: a key is a value and a table at once.
    """
    out: dict[str, Any] = {}
    for dotted, value in flat.items():
        if dotted in PART_TABLES and isinstance(value, str):  # so that options can stand beside it, in any order
            dotted = f"{dotted}.use"
        table = out
        *parents, last = dotted.split(".")
        for parent in parents:
            inner = table.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{dotted}: {parent!r} is no table.")
            table[parent] = table = dict(inner)  # a copy: a preset of a plugin is not ours to change
        if isinstance(table.get(last), dict) and not isinstance(value, dict):
            raise SettingsError(f"{dotted} = {value!r}: {last!r} is a table.")
        table[last] = {**table.get(last, {}), **value} if isinstance(value, dict) else value
    return out


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read ``sampler.population_size=100``: a dotted key and a TOML value, or plain text.

    Raises:
        SettingsError: there is no ``=``, or no key.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
        raise SettingsError(f"--set {text!r}: write KEY=VALUE, such as sampler.population_size=100.")
    toml = _toml()
    try:
        read = toml.loads(f"value = {value.strip()}")
    except (toml.TOMLDecodeError, RecursionError):
        return key, value.strip()
    return key, read["value"] if list(read) == ["value"] else value.strip()


def read_toml(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        SettingsError: it cannot be read, or is no TOML; says where.
    """
    toml = _toml()
    try:
        return dict(toml.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (toml.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is no TOML: {error}.") from error


def to_toml(settings: SearchSettings) -> str:
    """The settings as TOML; TOML has no null, so what is None is left out.

    Raises:
        SettingsError: an option is something that TOML cannot hold, such as a Python object.
    """
    import tomli_w

    return tomli_w.dumps({key: _plain(value, key) for key, value in settings.model_dump().items() if value is not None})


def _plain(value: Any, where: str) -> Any:
    """What TOML can hold: tables, lists, texts, numbers, dates."""
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, str) and not value.isascii():
        _check_text(value, where)
    if isinstance(value, (str, bool, int, float, datetime.date, datetime.time)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, PurePath):
        return str(value)
    raise SettingsError(f"{where} = {value!r}: a setting is a text, a number, a list or a table, for search.toml.")


def _check_text(text: str, where: str) -> None:
    """Refuse what is no text in UTF-8: half a character, which a command line can hold.

    Raises:
        SettingsError: names the setting.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"{where} = {text!r} is no text in UTF-8, for search.toml.") from error


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    return importlib.import_module("tomli")  # the same thing, for Python 3.10
