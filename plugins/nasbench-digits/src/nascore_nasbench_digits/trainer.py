"""Many small networks trained at once, each as if it were alone.

Batch norm, the loss and AdamW are the networks' own, and all see the same examples in the same order, so
what a network learns does not depend on which others it is trained with, but for the order of float sums.

Where the speed comes from: maps of 4x4 pixels are too small for a convolution to be worth its call. Here the
examples lie innermost, (networks, channels, width, height, examples), and everything is a matrix product of many
networks at once: a 3x3 convolution is three of them, one for each row of its kernel, a network's columns being
folded into its weights; nothing is copied for them but a border of zeros. Batch norm in training is group norm
with one group for each channel of each network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nascore.seeding import derive_seed
from nascore_blocks.nasbench201 import EDGES, NODES, live_edges
from nascore_blocks.training import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore_blocks.data.splits import Split
    from nascore_blocks.graphcells import GraphNetwork
    from nascore_blocks.recipe import Recipe

EPSILON, MOMENTUM = 1e-5, 0.1
"""Of ``nn.BatchNorm2d``."""


class _Convolve(torch.autograd.Function):
    """A 3x3 convolution of maps (m, channels, width, height, examples), border 1, a kernel for each m."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        """
        Args:
            ctx: of autograd.
            x: (m, channels, width, height, examples).
            rows: see :func:`kernel_rows`.
        """
        padded, step, length = _bordered(x)
        y = torch.bmm(rows[0], padded[:, :, :length])
        y.baddbmm_(rows[1], padded[:, :, step : step + length])
        y.baddbmm_(rows[2], padded[:, :, 2 * step :])
        ctx.save_for_backward(padded, rows)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor]:
        padded, rows = ctx.saved_tensors
        grad = grads[0]
        back, step, length = _bordered(grad)
        outer = back[:, :, step : step + length]
        of_rows = torch.stack(
            [torch.bmm(outer, padded[:, :, k * step : k * step + length].transpose(1, 2)) for k in range(3)]
        )
        if not ctx.needs_input_grad[0]:
            return None, of_rows
        of_x = torch.bmm(rows[2].transpose(1, 2), back[:, :, :length])
        of_x.baddbmm_(rows[1].transpose(1, 2), outer)
        of_x.baddbmm_(rows[0].transpose(1, 2), back[:, :, 2 * step :])
        return of_x.view(grad.shape), of_rows


def _bordered(x: Tensor) -> tuple[Tensor, int, int]:
    """``x`` with a row of zeros above and below, as (m, channels * width, (height + 2) * examples).

    Also the length of one row of pixels, and of all without the border.
    """
    m, channels, width, height, examples = x.shape
    padded = x.new_empty(m, channels * width, height + 2, examples)
    padded[:, :, 0] = 0
    padded[:, :, -1] = 0
    padded[:, :, 1:-1] = x.reshape(m, channels * width, height, examples)
    return padded.view(m, channels * width, -1), examples, height * examples


def kernel_rows(kernels: Tensor, width: int) -> Tensor:
    """Each row of a 3x3 kernel as a matrix from all columns of all input channels to those of the output.

    Args:
        kernels: (m, outputs, inputs, 3, 3).
        width: of the maps.

    Returns:
        (3, m, outputs * width, inputs * width).
    """
    m, outputs, inputs = kernels.shape[:3]
    columns = torch.arange(width)
    reach = columns.reshape(1, -1, 1) == columns.reshape(-1, 1, 1) + torch.arange(3) - 1
    rows = torch.einsum("moiyx,pqx->ymopiq", kernels, reach.to(kernels))
    return rows.reshape(3, m, outputs * width, inputs * width)


@dataclass
class _Norm:
    """Batch norm of the channels of several networks; all tensors are (m * channels,)."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor

    def __call__(self, x: Tensor, learning: bool) -> Tensor:
        """(m, channels, ...) -> the same shape."""
        rows = len(self.weight)
        flat = x.reshape(1, rows, -1)
        count = flat.shape[2]
        if not learning:
            scale = self.weight / torch.sqrt(self.variance + EPSILON)
            return torch.addcmul((self.bias - self.mean * scale)[:, None], flat, scale[:, None]).view(x.shape)
        y, mean, deviation = torch.native_group_norm(flat, self.weight, self.bias, 1, rows, count, rows, EPSILON)
        with torch.no_grad():
            variance = (deviation.flatten() ** -2 - EPSILON).clamp_min(0)
            self.mean.lerp_(mean.flatten(), MOMENTUM)
            self.variance.lerp_(variance * (count / (count - 1)), MOMENTUM)
        return y.view(x.shape)


class _Use(NamedTuple):
    """One op on one edge, in those networks that have it there.

    Attributes:
        edge: number of the edge.
        op: its name.
        who: (m,) numbers of the networks; None: all.
        kernel: (m, outputs, inputs, k, k) of a convolution.
        norm: of a convolution.
    """

    edge: int
    op: str
    who: Tensor | None
    kernel: Tensor | None = None
    norm: _Norm | None = None


class Batch:
    """Several networks of :class:`~nascore_nasbench_digits.space.DigitsCells`, run at once."""

    def __init__(self, cells: Sequence[tuple[str, ...]], networks: Sequence[GraphNetwork]) -> None:
        """
        Args:
            cells: the ops of each.
            networks: the same, built; their weights are copied.
        """
        self.count = len(networks)
        self._states = [network.state_dict() for network in networks]
        self.parameters: list[Tensor] = []
        everyone = range(self.count)
        self.stem = self._learnt("stem.0.weight", everyone)
        self.stem_norm = self._norm("stem.1", everyone)
        live = [[op if lives else "none" for op, lives in zip(c, live_edges(c), strict=True)] for c in cells]
        self.uses = [self._use(e, op, live) for e in range(len(EDGES)) for op in sorted({ops[e] for ops in live})]
        self.head_norm = self._norm("head.0", everyone)
        self.matrix, self.bias = self._learnt("classifier.weight", everyone), self._learnt("classifier.bias", everyone)
        self.pool: Tensor | None = None
        del self._states

    def forward(self, patches: Tensor, learning: bool) -> Tensor:
        """Logits (networks, classes, examples).

        Args:
            patches: see :func:`stem_patches`, some examples of it.
            learning: normalise by the batch, as in training.
        """
        taps, width, height, examples = patches.shape
        channels = self.stem.shape[1]
        x = self.stem.reshape(-1, taps) @ patches.reshape(taps, -1)
        nodes = [self.stem_norm(x.view(self.count, channels, width, height, examples), learning)]
        for node in range(1, NODES):
            nodes.append(self._node(node, nodes, learning))
        y = F.relu(self.head_norm(nodes[-1], learning)).flatten(2, 3).mean(2)
        return torch.baddbmm(self.bias.unsqueeze(2), self.matrix, y)

    def _node(self, node: int, nodes: list[Tensor], learning: bool) -> Tensor:
        """The sum of the edges into ``node``."""
        total: Tensor | None = None
        parts = []
        for use in self.uses:
            if EDGES[use.edge].node != node or use.op == "none":
                continue
            x = nodes[EDGES[use.edge].input]
            y = self._applied(use, x if use.who is None else x.index_select(0, use.who), learning)
            if use.who is not None:
                parts.append((use.who, y))
            else:
                total = y if total is None else total + y
        if parts:  # in place, in a tensor that nobody else reads
            total = torch.zeros_like(nodes[0]) if total is None else total.clone()
            for who, y in parts:
                total.index_add_(0, who, y)
        return torch.zeros_like(nodes[0]) if total is None else total

    def _applied(self, use: _Use, x: Tensor, learning: bool) -> Tensor:
        m, channels, width, height, examples = x.shape
        if use.kernel is None or use.norm is None:
            if use.op == "skip_connect":
                return x
            return torch.matmul(self._pooling(width, height, x), x.reshape(m * channels, -1, examples)).view(x.shape)
        x = F.relu(x)
        if use.kernel.shape[-1] == 1:
            y = torch.bmm(use.kernel.flatten(2), x.reshape(m, channels, -1)).view(x.shape)
        else:
            y = _Convolve.apply(x, kernel_rows(use.kernel, width))
        return use.norm(y, learning)

    def _pooling(self, width: int, height: int, like: Tensor) -> Tensor:
        """3x3 average pooling as a matrix of pixels, (pixels, pixels)."""
        if self.pool is None:
            single = torch.eye(width * height, dtype=torch.float64).reshape(-1, 1, width, height)
            self.pool = F.avg_pool2d(single, 3, 1, 1, count_include_pad=False).flatten(1).T.contiguous().to(like)
        return self.pool

    # ---------------------------------------------------------------------- the weights

    def _stacked(self, name: str, who: Sequence[int]) -> Tensor:
        return torch.stack([self._states[index][name] for index in who])

    def _learnt(self, name: str, who: Sequence[int], flat: bool = False) -> Tensor:
        stacked = self._stacked(name, who)
        parameter = (stacked.flatten() if flat else stacked).requires_grad_()
        self.parameters.append(parameter)
        return parameter

    def _norm(self, name: str, who: Sequence[int]) -> _Norm:
        weight, bias = (self._learnt(f"{name}.{part}", who, flat=True) for part in ("weight", "bias"))
        mean, variance = (self._stacked(f"{name}.running_{part}", who).flatten() for part in ("mean", "var"))
        return _Norm(weight, bias, mean, variance)

    def _use(self, edge: int, op: str, live: list[list[str]]) -> _Use:
        who = [index for index, ops in enumerate(live) if ops[edge] == op]
        index = None if len(who) == self.count else torch.tensor(who)
        if "conv" not in op:
            return _Use(edge, op, index)
        name = f"body.0.edges.{EDGES[edge].node}_{EDGES[edge].input}"
        return _Use(edge, op, index, self._learnt(f"{name}.1.weight", who), self._norm(f"{name}.2", who))


def stem_patches(images: Tensor) -> Tensor:
    """What the kernel of the stem sees at each place: stride 2, border 1.

    Args:
        images: (examples, channels, height, width).

    Returns:
        (channels * 9, width, height, examples), height and width halved.
    """
    size = [(side + 1) // 2 for side in images.shape[2:]]
    taps = F.unfold(images, 3, padding=1, stride=2)
    return taps.reshape(*taps.shape[:2], *size).permute(1, 3, 2, 0).contiguous()


class Curves(NamedTuple):
    """What a training gives: numbers of examples put in the right class.

    Attributes:
        valid: (networks, epochs) after each epoch.
        test: (networks,) after the last.
    """

    valid: Tensor
    test: Tensor


def train_batch(batch: Batch, recipe: Recipe, train: Split, valid: Split, test: Split, seed: int) -> Curves:
    """Train all networks of a batch, as :func:`nascore_blocks.training.train` trains each.

    Args:
        batch: changed in place.
        recipe: AdamW without clipping, smoothing, augmentation or patience; what else it says is done.
        train: to learn from.
        valid: to validate on after every epoch.
        test: to test on after the last epoch.
        seed: of the order of the examples, the same for all networks.
    """
    patches, labels = (part.contiguous() for part in _all(train))
    held = [_all(split) for split in (valid, test)]
    optimizer = torch.optim.AdamW(
        batch.parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    order = torch.Generator().manual_seed(derive_seed(seed, "order"))
    bounds = batches(len(labels), recipe.batch_size)
    curve = []
    for epoch in range(recipe.epochs):
        shuffled = torch.randperm(len(labels), generator=order)
        for number, (start, stop) in enumerate(bounds):
            chosen = shuffled[start:stop]
            logits = batch.forward(patches.index_select(3, chosen), learning=True)
            truth = labels[chosen].expand(batch.count, -1)
            # The sum of the networks' own mean losses: each gradient is what it would be alone.
            loss = F.cross_entropy(logits, truth, reduction="sum") / len(chosen)
            optimizer.param_groups[0]["lr"] = recipe.rate(epoch * len(bounds) + number, recipe.epochs * len(bounds))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        curve.append(correct(batch, *held[0]))
    return Curves(torch.stack(curve, 1), correct(batch, *held[1]))


@torch.no_grad()
def correct(batch: Batch, patches: Tensor, labels: Tensor) -> Tensor:
    """How many examples each network puts in the right class: (networks,) int64."""
    return (batch.forward(patches, learning=False).argmax(1) == labels).sum(1)


def _all(split: Split) -> tuple[Tensor, Tensor]:
    images, labels = split.batch(torch.arange(len(split)))
    return stem_patches(images), labels
