"""Make the table: train every network, in pieces that can be stopped and gone on with.

    python -m nascore_nasbench_digits.produce --out raw --part 0/2     # beside it: --part 1/2
    python -m nascore_nasbench_digits.produce --out raw --collect      # what is there, as the table of the package

A piece is a batch of networks with one seed, and a file that is written at once. A run goes over the pieces and
makes those that are not there; all pieces of seed 0 come first.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from nascore.errors import SettingsError
from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.data import Digits
from nascore_blocks.nasbench201 import NAMES
from nascore_blocks.recipe import Recipe
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.data import OPS
from nascore_nasbench_digits.space import DigitsCells
from nascore_nasbench_digits.trainer import Batch, train_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nascore.contracts import Splits
    from nascore_blocks.graphcells import GraphNetwork
    from nascore_nasbench_digits.trainer import Curves

log = logging.getLogger(__name__)

RECIPE = Recipe(
    epochs=10, batch_size=64, optimizer="adamw", learning_rate=0.01, weight_decay=3e-4, schedule="cosine", clip=0.0
)
"""How every network was trained."""

SEEDS = 3
TOGETHER = 32
"""Networks in a batch."""


class Piece(NamedTuple):
    """Some networks to be trained at once.

    Attributes:
        seed: of the training.
        number: of the batch.
        networks: their numbers.
    """

    seed: int
    number: int
    networks: tuple[int, ...]

    def file(self, folder: Path) -> Path:
        """Where its result is kept."""
        return folder / f"seed{self.seed}-batch{self.number:03d}.npz"


def pieces() -> Iterator[Piece]:
    """All of them, seed by seed. Neighbours in order share the ops of their first edges, which makes batches fast."""
    cells = all_cells().representatives
    order = sorted(range(len(cells)), key=lambda number: [OPS.index(op) for op in cells[number]])
    batches = [tuple(order[start : start + TOGETHER]) for start in range(0, len(order), TOGETHER)]
    for seed in range(SEEDS):
        for number, networks in enumerate(batches):
            yield Piece(seed, number, networks)


def load_data() -> Splits:
    """Digits, split by seed 0."""
    return Digits().load(0)


def initial_network(cell: Sequence[str], seed: int, data: Splits) -> GraphNetwork:
    """A network with the weights that it starts from with this seed.

    Args:
        cell: the ops of its edges, in the order of :data:`nascore_blocks.nasbench201.EDGES`.
        seed: of the training.
        data: of :func:`load_data`.
    """
    space = DigitsCells()
    with isolated_random(derive_seed(seed, "weights", *cell)):
        return space.build(space.architecture(dict(zip(NAMES, cell, strict=True))), data.task)


def train_cells(cells: Sequence[tuple[str, ...]], seed: int, data: Splits) -> Curves:
    """Train cells together, as those of the table were trained."""
    batch = Batch(cells, [initial_network(cell, seed, data) for cell in cells])
    return train_batch(batch, RECIPE, data.train, data.valid, data.test, seed)


def produce(folder: Path, part: int = 0, parts: int = 1, most: int | None = None) -> int:
    """Make the pieces that are missing.

    Args:
        folder: of the pieces.
        part: which share of the pieces: those whose place in the order leaves this remainder.
        parts: number of shares.
        most: how many pieces to make at most.

    Returns:
        How many were made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = load_data()
    cells = all_cells().representatives
    todo = [piece for index, piece in enumerate(pieces()) if index % parts == part and not piece.file(folder).exists()]
    for done, piece in enumerate(todo[:most], start=1):
        started = time.process_time(), time.perf_counter()
        curves = train_cells([cells[number] for number in piece.networks], piece.seed, data)
        seconds, wall = time.process_time() - started[0], time.perf_counter() - started[1]
        _write(
            piece.file(folder),
            networks=np.array(piece.networks, np.uint16),
            valid=curves.valid.numpy().astype(np.uint16),
            test=curves.test.numpy().astype(np.uint16),
            seconds=np.float32(seconds),
        )
        rate = len(piece.networks) / wall
        log.info("%s: %d of %d, %.2f networks a second", piece.file(folder).name, done, len(todo), rate)
    return len(todo[:most])


def _write(path: Path, **arrays: Any) -> None:
    """All or nothing: a killed run leaves no half a file under this name."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)
    unfinished.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m nascore_nasbench_digits.produce", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("nasbench-digits-raw"), help="folder of the pieces")
    parser.add_argument("--part", default="0/1", help="K/N: make every N-th piece from the K-th on (K from 0)")
    parser.add_argument("--collect", action="store_true", help="write the table of the package, and train nothing")
    options = parser.parse_args(arguments)
    part, _, parts = options.part.partition("/")
    if not (part.isdigit() and parts.isdigit() and int(part) < int(parts)):
        raise SettingsError(f"--part is {options.part!r}; write K/N with K < N, such as 0/2.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if options.collect:
        from nascore_nasbench_digits.collect import collect

        collect(options.out)
        return
    produce(options.out, int(part), int(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
