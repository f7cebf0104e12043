"""What retraining costs over plain PyTorch, and what an exported ONNX file gains over the module.

Training: the network that `nascore retrain` trains, the same data, batch size, optimiser, schedule and
number of epochs, by our loop with its checkpoints and by a loop as one writes it by hand (tensors in
memory, indexed batches, fused AdamW, cosine), in turn. Of each the fastest of the repeats counts, since what else
the machine does only adds; beside it the processor's time, which other processes hardly change.

Latency: the trained network at batch 1, eager torch in inference mode against onnxruntime on the exported file, one
thread each, runs in turn; medians. Networks are of the quick preset's space, drawn at random.

    python benchmarks/retrain.py --networks 5 --repeats 5
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime
import torch
import torch.nn.functional as F
from common import save
from torch import Tensor, nn

from nascore.checkpoint import TrainingCheckpoint
from nascore.export import export_onnx
from nascore_blocks.data import Digits
from nascore_blocks.data.splits import Joined
from nascore_blocks.recipe import Recipe
from nascore_blocks.spaces import NASNetSpace
from nascore_blocks.training import train

if TYPE_CHECKING:
    from nascore.contracts import Splits

    Pair = tuple[float, float]

RECIPE = Recipe(epochs=6, batch_size=96, learning_rate=0.02, clip=5.0)
"""The training of the quick presets, a little longer."""


class Stopwatch:
    """Wall and processor time of what runs inside."""

    def __enter__(self) -> Stopwatch:
        """Start."""
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._started[0]
        self.cpu_seconds = time.process_time() - self._started[1]


def ours(network: nn.Module, splits: Splits, folder: Path) -> Pair:
    """Seconds, and of the processor, of our loop, as retraining calls it."""
    data = Joined(splits.train, splits.valid)
    checkpoint = TrainingCheckpoint(folder, {"key": "benchmark"})
    with Stopwatch() as watch:
        train(network, data, RECIPE, seed=0, checkpoint=checkpoint)
    return watch.seconds, watch.cpu_seconds


def by_hand(network: nn.Module, splits: Splits) -> Pair:
    """Seconds, and of the processor, of a plain loop on the same examples."""
    with Stopwatch() as watch:
        _plain_loop(network, splits)
    return watch.seconds, watch.cpu_seconds


def _plain_loop(network: nn.Module, splits: Splits) -> None:
    inputs = torch.cat([splits.train.inputs, splits.valid.inputs])
    labels = torch.cat([splits.train.labels, splits.valid.labels])
    network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=RECIPE.learning_rate, weight_decay=RECIPE.weight_decay, fused=True
    )
    steps = RECIPE.epochs * -(-len(labels) // RECIPE.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(RECIPE.epochs):
        for indices in torch.split(torch.randperm(len(labels)), RECIPE.batch_size):
            loss = F.cross_entropy(network(inputs[indices]), labels[indices])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(network.parameters(), RECIPE.clip)
            optimizer.step()
            schedule.step()


def latencies(network: nn.Module, splits: Splits, folder: Path, runs: int) -> tuple[float, float]:
    """Median milliseconds of one image: the eager module, and onnxruntime on its file."""
    [file] = export_onnx(network, folder / "network.onnx", task=splits.task, example=splits.valid.inputs[:8])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    image = splits.valid.inputs[:1]
    array = image.numpy()
    network.eval()

    def eager() -> Tensor:
        out: Tensor = network(image)
        return out

    with torch.inference_mode():
        pairs = [(_ms(eager), _ms(lambda: session.run(None, {"input": array}))) for _ in range(runs + 20)][20:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _ms(call: Any) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def drawn(count: int, splits: Splits) -> list[nn.Module]:
    """Random networks of the quick preset's space, with fresh weights; the same each time."""
    space = NASNetSpace(blocks=2, channels=4, cells=1, reductions=1)
    space.setup(splits.task)
    rng = random.Random(0)
    torch.manual_seed(0)
    return [space.build(space.sample(lambda _, options: rng.choice(options)), splits.task) for _ in range(count)]


def main() -> None:
    """Measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    splits = Digits().load(0)
    rows = []
    for network in drawn(arguments.networks, splits):
        pairs = []
        with tempfile.TemporaryDirectory() as folder:
            for repeat in range(arguments.repeats + 1):
                torch.manual_seed(repeat)
                first, second = copy.deepcopy(network), copy.deepcopy(network)
                if repeat % 2:
                    pair = ours(first, splits, Path(folder) / str(repeat)), by_hand(second, splits)
                else:
                    hand = by_hand(second, splits)
                    pair = ours(first, splits, Path(folder) / str(repeat)), hand
                pairs.append(pair)
            eager, onnx = latencies(first, splits, Path(folder), arguments.runs)
        pairs = pairs[1:]  # the first one warms up
        rows.append(
            {
                "params": sum(p.numel() for p in network.parameters()),
                "retrain_seconds": round(min(a[0] for a, _ in pairs), 3),
                "by_hand_seconds": round(min(b[0] for _, b in pairs), 3),
                "retrain_ratio": round(min(a[0] for a, _ in pairs) / min(b[0] for _, b in pairs), 3),
                "retrain_cpu_ratio": round(min(a[1] for a, _ in pairs) / min(b[1] for _, b in pairs), 3),
                "eager_ms": round(eager, 4),
                "onnx_ms": round(onnx, 4),
                "onnx_ratio": round(onnx / eager, 3),
            }
        )
    save(
        "retrain",
        {
            "epochs": RECIPE.epochs,
            "repeats": arguments.repeats,
            "networks": rows,
            "retrain_ratio": round(statistics.median(row["retrain_ratio"] for row in rows), 3),
            "retrain_cpu_ratio": round(statistics.median(row["retrain_cpu_ratio"] for row in rows), 3),
            "worst_retrain_ratio": max(row["retrain_ratio"] for row in rows),
            "target_retrain_ratio": 1.05,
            "worst_onnx_ratio": max(row["onnx_ratio"] for row in rows),
            "target_onnx_ratio": 1.0,
        },
    )


if __name__ == "__main__":
    main()
