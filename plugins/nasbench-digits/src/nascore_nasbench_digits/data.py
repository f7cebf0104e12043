"""The table, as it lies in the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nascore.errors import DataError
from nascore_blocks.nasbench201 import EDGES, HOUSE_OPS, live_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

OPS = tuple(HOUSE_OPS)
"""The ops; a cell is six numbers of them, in the order of :data:`~nascore_blocks.nasbench201.EDGES`."""

FILE = Path(__file__).with_name("table.npz")

MISSING = 65535
"""Stands in the file where a training has not been made."""

CELLS = len(OPS) ** len(EDGES)

CONVOLUTIONS = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
"""Op -> weights of its kernel for each pair of channels."""

CHANNELS, CLASSES, PIXELS = 16, 10, 16


@dataclass(frozen=True)
class Table:
    """All trainings. A cell is counted with its last edge fastest, so its number is its ops read in base 5.

    Attributes:
        ops: (15625, 6) uint8: the ops of each cell, as places in :data:`OPS`.
        network: (15625,) int64: the number of each cell's network.
        curves: (networks, seeds, epochs) float32: validation accuracy in [0, 1]; NaN where not trained.
        test: (networks, seeds) float32: test accuracy after the last epoch. Never choose by it.
        params: (networks,) int64: trainable parameters.
        macs: (networks,) int64: multiply-accumulates of one image.
        seconds: (networks,) float32: of one training, on one core.
    """

    ops: npt.NDArray[np.uint8]
    network: npt.NDArray[np.int64]
    curves: npt.NDArray[np.float32]
    test: npt.NDArray[np.float32]
    params: npt.NDArray[np.int64]
    macs: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> npt.NDArray[np.float32]:
        """(networks, seeds) validation accuracy after the last epoch."""
        return self.curves[:, :, -1]

    def network_of(self, cell: Sequence[str]) -> int:
        """The number of a cell's network.

        Args:
            cell: names of its ops, in the order of the edges.
        """
        number = 0
        for op in cell:
            number = len(OPS) * number + OPS.index(op)
        return int(self.network[number])


@cache
def load_table(file: Path = FILE) -> Table:
    """Read the table; its arrays cannot be written to.

    Args:
        file: as ``python -m nascore_nasbench_digits.produce --collect`` writes it.

    Raises:
        DataError: the file is missing or is no such table.
    """
    try:
        with np.load(file) as stored:
            raw = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise DataError(
            f"The table {file} cannot be read ({error}); install nascore-nasbench-digits again, or make the table: "
            "python -m nascore_nasbench_digits.produce"
        ) from error
    _check(raw, file)
    ops = np.stack(np.unravel_index(np.arange(CELLS), (len(OPS),) * len(EDGES)), axis=1).astype(np.uint8)
    network = raw["network"].astype(np.int64)
    first = np.unique(network, return_index=True)[1]
    params, macs = np.array([counts([OPS[op] for op in cell]) for cell in ops[first]]).T
    table = Table(
        ops,
        network,
        _fractions(raw["valid"], int(raw["valid_examples"])),
        _fractions(raw["test"], int(raw["test_examples"])),
        params,
        macs,
        raw["seconds"],
    )
    for array in vars(table).values():
        array.flags.writeable = False
    return table


def counts(cell: Sequence[str]) -> tuple[int, int]:
    """Parameters, and multiply-accumulates of one image, of a cell's network; those of dead edges do not count."""
    # Stem and classifier, and the weights and biases of two batch norms.
    params, macs = 9 * CHANNELS + (CHANNELS + 1) * CLASSES + 4 * CHANNELS, 9 * CHANNELS * PIXELS + CHANNELS * CLASSES
    for op, lives in zip(cell, live_edges(tuple(cell)), strict=True):
        if lives and op in CONVOLUTIONS:
            kernel = CONVOLUTIONS[op] * CHANNELS**2
            params, macs = params + kernel + 2 * CHANNELS, macs + kernel * PIXELS
    return params, macs


def _fractions(correct: npt.NDArray[np.uint16], examples: int) -> npt.NDArray[np.float32]:
    fractions = (correct / examples).astype(np.float32)
    fractions[correct == MISSING] = np.nan
    return fractions


def _check(raw: dict[str, Any], file: Path) -> None:
    """
    Raises:
        DataError: an array is missing or has another shape than it must.
    """
    needed = {"network", "valid", "test", "seconds", "valid_examples", "test_examples"}
    absent = sorted(needed - set(raw))
    if absent:
        raise DataError(f"The table {file} has no {absent[0]}; it needs {', '.join(sorted(needed))}.")
    networks = len(raw["valid"])
    shapes = {"network": (CELLS,), "test": raw["valid"].shape[:2], "seconds": (networks,)}
    for name, shape in shapes.items():
        if raw[name].shape != shape:
            raise DataError(f"The table {file}: {name} has the shape {raw[name].shape}; it must be {shape}.")
    if raw["valid"].ndim != 3 or set(raw["network"].tolist()) != set(range(networks)):
        raise DataError(f"The table {file}: its cells and its {networks} networks do not fit each other.")
    for name in ("valid", "test"):
        values = raw[name][raw[name] != MISSING]
        if (values > raw[f"{name}_examples"]).any():
            raise DataError(f"The table {file}: {name} counts more than {raw[f'{name}_examples']} examples.")
