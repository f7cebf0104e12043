"""Put the pieces together: from :mod:`nascore_nasbench_digits.produce` to the file of the package."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nascore.errors import DataError
from nascore_blocks.nasbench201 import live_edges
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.data import FILE, MISSING, OPS
from nascore_nasbench_digits.produce import RECIPE, SEEDS, load_data, pieces

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def collect(folder: Path, target: Path = FILE) -> int:
    """Write the table of all pieces that are there.

    Args:
        folder: of the pieces.
        target: the file to write.

    Returns:
        How many trainings it has.

    Raises:
        DataError: the folder has no piece, or one of other networks.
    """
    cells, data = all_cells(), load_data()
    valid = np.full((len(cells.representatives), SEEDS, RECIPE.epochs), MISSING, np.uint16)
    test = np.full(valid.shape[:2], MISSING, np.uint16)
    made, seconds = [], []
    for piece in pieces():
        if not piece.file(folder).exists():
            continue
        with np.load(piece.file(folder)) as found:
            if tuple(found["networks"].tolist()) != piece.networks:
                raise DataError(f"{piece.file(folder)} has other networks than this version makes; use a new folder.")
            chosen = found["networks"]
            valid[chosen, piece.seed], test[chosen, piece.seed] = found["valid"], found["test"]
            made.append(chosen)
            seconds.append(float(found["seconds"]))
    if not made:
        raise DataError(f"{folder} has no piece of the table; make some: python -m nascore_nasbench_digits.produce")
    arrays = {
        "network": np.array(cells.network, np.uint16),
        "valid": valid,
        "test": test,
        "seconds": _seconds(made, np.array(seconds)),
        "valid_examples": np.uint16(len(data.valid)),
        "test_examples": np.uint16(len(data.test)),
    }
    unfinished = target.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)
    unfinished.replace(target)
    trained = sum(map(len, made))
    log.info("%s: %d of %d trainings, %d bytes", target, trained, test.size, target.stat().st_size)
    return trained


def _seconds(made: list[npt.NDArray[np.uint16]], seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """What a training of each network takes.

    A batch is timed as a whole, so the time of an op is found from all batches, by least squares, and a network
    takes the sum over its ops.
    """
    per_network = np.array([_counted(cell) for cell in all_cells().representatives], float)
    per_batch = np.array([per_network[chosen].sum(axis=0) for chosen in made])
    times = np.linalg.lstsq(per_batch, seconds, rcond=None)[0].clip(min=0)
    return np.asarray(per_network @ times, np.float32)


def _counted(cell: tuple[str, ...]) -> list[int]:
    """One for what every network has, then how many live edges have each op, ``none`` left out."""
    live = Counter(op for op, lives in zip(cell, live_edges(cell), strict=True) if lives)
    return [1, *(live[op] for op in OPS if op != "none")]
