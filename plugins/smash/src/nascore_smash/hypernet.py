"""The hypernetwork that predicts weights from an architecture: Brock et al. 2017, section 3.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nascore.errors import SettingsError
from nascore_blocks.supernet.base import Supernet, without_running_statistics
from nascore_blocks.supernet.mix import Paths
from nascore_smash.table import BankOp, Table, filled_banks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nascore.contracts import Task
    from nascore_blocks.supernet.base import PricedOp
    from nascore_blocks.supernet.mix import Mixture
    from nascore_smash.network import BankNetwork
    from nascore_smash.space import BankSpace

SLOPE = 0.02
"""Of the leaky ReLUs of the hypernetwork, below zero."""


@dataclass(frozen=True)
class Drawn(Paths):
    """One architecture, as the mixture that runs it.

    Attributes:
        table: its blocks.
    """

    table: Table = ()


class HyperNetwork(nn.Module):
    """A dense net of 1-D convolutions along the ops: each layer reads all before it, its neighbours' too."""

    def __init__(self, features: int, outputs: int, growth: int, layers: Sequence[int], rank: int) -> None:
        """
        Args:
            features: numbers that describe an op.
            outputs: weights of an op's 1x1 convolution, at its largest.
            growth: channels that a layer adds, >= 1.
            layers: of each dense block, >= 1; a 1x1 layer that halves the channels stands between two blocks.
            rank: channels before the output, >= 1: the weights of all architectures lie in a space of so many
                dimensions; 0 for no such bottleneck.

        Raises:
            SettingsError: out of range.
        """
        super().__init__()
        check_size(growth, layers, rank)
        blocks: list[nn.Module] = []
        width = features
        for number, count in enumerate(layers):
            if number:
                blocks.append(nn.Sequential(nn.Conv1d(width, width // 2, 1), nn.LeakyReLU(SLOPE)))
                width //= 2
            for _ in range(count):
                blocks.append(_DenseLayer(width, growth))
                width += growth
        if rank:
            blocks.append(nn.Conv1d(width, rank, 1))
            width = rank
        self.layers = nn.Sequential(*blocks)
        self.output = nn.Conv1d(width, outputs, 1, bias=False)

    def forward(self, code: Tensor) -> Tensor:
        """Descriptions (features, ops) -> weights (ops, outputs), not normalised."""
        weights: Tensor = self.output(self.layers(code[None]))[0].T
        return weights


class _DenseLayer(nn.Module):
    """(1, width, ops) -> (1, width + growth, ops): the input, and what a convolution of size 3 makes of it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, growth, 3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, F.leaky_relu(self.conv(x), SLOPE)], 1)


class BankSupernet(Supernet):
    """All networks of a memory-bank space in one: 1x1 weights of the ops are generated, all others shared.

    The shared weights are those of the largest network: each op has all banks and the largest width and kernel.
    An architecture takes the slices that belong to its banks, width, groups, and the middle of the kernel.
    """

    def __init__(self, space: BankSpace, task: Task, growth: int, layers: Sequence[int], rank: int) -> None:
        """
        Args:
            space: whose networks.
            task: whose shape counts.
            growth, layers, rank: the size of the hypernetwork; see :class:`HyperNetwork`.
        """
        super().__init__()
        self.wirings = {}
        self.fast = False
        self._space, self._task = space, task
        every = tuple(range(space.banks))
        largest = BankOp(every, every, max(space.widths), max(space.kernels))
        self.shared = space.network(((largest,) * space.ops,) * space.blocks, task)
        for block in self.shared.blocks:
            for op in block.ops:  # type: ignore[union-attr]  # ModuleList forgets the class
                op.mix = nn.Identity()  # generated
        without_running_statistics(self.shared)
        self._units, self._inputs = max(space.widths) * space.channels, space.banks * space.channels
        features = self.encode(((largest._replace(dilation=space.dilations[0], groups=space.groups[0]),),)).shape[0]
        self.hyper = HyperNetwork(features, self._units * self._inputs, growth, layers, rank)

    # ------------------------------------------------------------------ an architecture's weights

    def encode(self, table: Table) -> Tensor:
        """The architecture as numbers, (features, ops of all blocks).

        Of an op: +1 or -1 for each bank that it may read, and that it may write; then one-hot its width, kernel,
        dilation, groups and block.
        """
        space, options = (
            self._space,
            (self._space.widths, self._space.kernels, self._space.dilations, self._space.groups),
        )
        rows = []
        for number, block in enumerate(table):
            for op in block:
                row = [1.0 if bank in banks else -1.0 for banks in op[:2] for bank in range(space.banks)]
                # A 1x1 kernel has dilation 1, which may be no option: then no bit is set.
                row += [
                    float(option == value) for among, value in zip(options, op[2:], strict=True) for option in among
                ]
                rows.append(row + [float(number == other) for other in range(space.blocks)])
        return torch.tensor(rows, dtype=torch.float32).T

    def generate(self, table: Table) -> list[Tensor]:
        """The 1x1 weights (width, reads, 1, 1), in channels, of each op of all blocks, in order.

        Each is divided by its norm, and has the mean square of 1 / reads: variances are kept.
        """
        ops = [op for block in table for op in block]
        if not ops:
            return []
        device = self.hyper.output.weight.device
        raw = self.hyper(self.encode(table).to(device)).view(len(ops), self._units, self._inputs)
        generated = []
        for op, whole in zip(ops, raw, strict=True):
            units = op.width * self._space.channels
            part = whole[:units, self._channels(op.reads, device)]
            generated.append((part * (units**0.5 / part.norm().clamp_min(1e-12)))[:, :, None, None])
        return generated

    def weights(self, table: Table) -> dict[str, Tensor]:
        """All weights of the network of ``table``, by the names that they have in it; differentiable."""
        generated = iter(self.generate(table))
        device = self.hyper.output.weight.device
        found: dict[str, Tensor] = {"stem.weight": self.shared.stem.weight}
        shared = dict(self.shared.named_parameters())
        last = len(table) - 1
        for b, block in enumerate(table):
            for i, op in enumerate(block):
                name = f"blocks.{b}.ops.{i}"
                found[f"{name}.mix.weight"] = next(generated)
                found |= self._of_op(name, op, shared, device)
            filled = self._channels(filled_banks(block, self._space.inputs), device)
            name = f"transitions.{b}.0" if b < last else "norm"
            found |= {f"{name}.{part}": shared[f"{name}.{part}"][filled] for part in ("weight", "bias")}
            name = f"transitions.{b}.2.weight" if b < last else "classifier.weight"
            found[name] = shared[name][:, filled]
        return found | {"classifier.bias": self.shared.classifier.bias}

    def _of_op(self, name: str, op: BankOp, shared: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        units = op.width * self._space.channels
        reads, writes = self._channels(op.reads, device), self._channels(op.writes, device)
        kernel = shared[f"{name}.conv.weight"]
        edge = (kernel.shape[-1] - op.kernel) // 2
        middle = slice(edge, edge + op.kernel)
        found = {f"{name}.conv.weight": kernel[writes, : units // op.groups, middle, middle]}
        for part in ("weight", "bias"):
            found[f"{name}.read_norm.{part}"] = shared[f"{name}.read_norm.{part}"][reads]
            found[f"{name}.norm.{part}"] = shared[f"{name}.norm.{part}"][:units]
        return found

    def _channels(self, banks: Sequence[int], device: torch.device) -> Tensor:
        """Numbers of the channels of these banks, in order."""
        each = self._space.channels
        return torch.tensor([bank * each + c for bank in banks for c in range(each)], device=device)

    # ------------------------------------------------------------------ what a supernet is

    def forward(self, x: Tensor, mixture: Mixture) -> Tensor:
        """Images (batch, channels, height, width) -> logits (batch, classes) of the architecture in ``mixture``."""
        drawn = mixture["banks"]
        assert isinstance(drawn, Drawn)  # what paths gives
        logits: Tensor = functional_call(self._bare(drawn.table), self.weights(drawn.table), (x,))
        return logits

    def paths(self, structure: Any) -> dict[str, Paths]:
        """The mixture of one architecture; ``structure`` is its table."""
        return {"banks": Drawn((), table=structure)}

    def extract(self, structure: Any) -> BankNetwork:
        """A network with copies of the weights; its BNs use the statistics of the batch, also in evaluation mode."""
        network = self._bare(structure)
        weights = {name: weight.detach().clone() for name, weight in self.weights(structure).items()}
        network.load_state_dict(weights, assign=True)
        return network

    def priced_ops(self) -> Iterator[tuple[str, int, int, PricedOp]]:
        """None: an op's price depends on the banks that it reads."""
        return iter(())

    def _bare(self, table: Table) -> BankNetwork:
        """The network without memory for its weights, and without running statistics."""
        with torch.device("meta"):
            network = self._space.network(table, self._task)
        without_running_statistics(network)
        return network


def check_size(growth: int, layers: Sequence[int], rank: int) -> None:
    """Check the size of a hypernetwork.

    Raises:
        SettingsError: out of range.
    """
    if growth < 1:
        raise SettingsError(f"growth is {growth}; it must be a whole number >= 1.")
    if not layers or min(layers) < 1:
        raise SettingsError(f"layers is {list(layers)}; it must have a whole number >= 1 for each dense block.")
    if rank < 0:
        raise SettingsError(f"rank is {rank}; it must be a whole number >= 0 (0: no bottleneck).")
