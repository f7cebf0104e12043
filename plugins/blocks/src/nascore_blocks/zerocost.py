"""Scores of an untrained network: what a batch or two tell of it before any training.

Each score is a function of (network, inputs, labels), larger is better. They are compared in Abdelfattah et al. 2021
(arXiv:2101.08134), whose settings are followed: one batch, one initialisation, no augmentation.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.contracts import Evaluator
from nascore.errors import NascoreError, SettingsError, nearest
from nascore.records import Direction, Measurement, Metric, Status
from nascore.seeding import derive_seed
from nascore_blocks.data.splits import as_split
from nascore_blocks.training import materialised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nascore.contracts import Context, SearchSpace, Splits
    from nascore.records import Candidate

    Score = Callable[[nn.Module, Tensor, Tensor], float]

_LITTLE = 1e-5
"""Keeps logarithms of 0 finite: k in the code of Mellor et al."""


class ScoreError(NascoreError):
    """A score that a network has not, such as that of its ReLUs where it has none."""


def params(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The number of trainable parameters: the baseline that each score has to beat."""
    return float(sum(p.numel() for p in _trainable(network)))


def grad_norm(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The sum, over parameters, of the Euclidean norm of the loss's gradient (Abdelfattah et al. 2021, section 3.1)."""
    return float(sum(gradient.norm() for _, gradient in _gradients(network, inputs, labels)))


def snip(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The sum of ``|w dL/dw|``: what the loss would change if weights were cut (Lee et al. 2019, arXiv:1810.02340)."""
    return float(sum((weight * gradient).abs().sum() for weight, gradient in _gradients(network, inputs, labels)))


def synflow(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """``log(1 + sum of w dR/dw)``, R the sum of the outputs at inputs of ones, all weights made positive.

    Tanaka et al. 2020 (arXiv:2006.05467), equation 2; it needs no data. Batch norm is in evaluation mode: freshly
    initialised it then is the identity. The logarithm, because R grows as the product of all layers; no rank changes.
    """
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = _trainable(network)
    flow = network(torch.ones_like(inputs[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return math.log1p(
        float(sum((weight.detach() * gradient).sum() for weight, gradient in pairs if gradient is not None))
    )


def jacob_cov(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """How little the output's gradients at different inputs are correlated (Mellor et al., arXiv:2006.04647v1).

    With v the eigenvalues of the correlation matrix of the rows ``d(sum of outputs)/d(input)``, and k = 1e-5:
    ``-sum(log(v + k) + 1 / (v + k))``. A row that is constant counts as correlated with all others.
    """
    network.train()
    inputs = inputs.clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(network(inputs).sum(), inputs, allow_unused=True)
    if jacobian is None:  # a cell that lets nothing through
        jacobian = torch.zeros_like(inputs)
    rows = jacobian.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1)
    flat = norms <= 1e-12 * norms.max().clamp_min(1e-300)
    rows = rows / norms.clamp_min(1e-300).unsqueeze(1)
    correlations = rows @ rows.T
    correlations[flat] = 1.0
    correlations[:, flat] = 1.0
    values = torch.linalg.eigvalsh(correlations).clamp_min(0)
    return -float((torch.log(values + _LITTLE) + 1 / (values + _LITTLE)).sum())


def naswot(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """``log |K|``, K counting the ReLU units in which two inputs agree to be on or off (Mellor et al. 2021).

    arXiv:2006.04647, section 3. A little is added to the diagonal, so that inputs with one code give a finite number.

    Raises:
        ScoreError: the network has no ``nn.ReLU`` (or ``nn.ReLU6``).
    """
    network.train()
    codes: list[Tensor] = []

    def remember(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        codes.append((output > 0).flatten(1).double())

    hooks = [m.register_forward_hook(remember) for m in network.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not codes:
        raise ScoreError("naswot looks at ReLUs, and the network has no nn.ReLU; take another score, such as synflow.")
    code = torch.cat(codes, 1)
    kernel = code @ code.T + (1 - code) @ (1 - code).T
    return float(torch.linalg.slogdet(kernel + _LITTLE * torch.eye(len(kernel), dtype=torch.float64)).logabsdet)


SCORES: dict[str, Score] = {
    "synflow": synflow,
    "naswot": naswot,
    "jacob_cov": jacob_cov,
    "snip": snip,
    "grad_norm": grad_norm,
    "params": params,
}


def check_score(name: str) -> None:
    """Refuse an unknown score.

    Raises:
        SettingsError: names the nearest.
    """
    if name not in SCORES:
        raise SettingsError(f"score is {name!r}; {nearest(name, SCORES)}.")


class ZeroCost(Evaluator):
    """Judges an untrained network by one of :data:`SCORES`, on one batch of training images.

    Only ``snip`` and ``grad_norm`` read labels. The weights are those of the trial's seed; ``repeats`` takes the
    mean over several. Batch norm uses the statistics of the batch, but in ``synflow``.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module", "images", "labels"})
    objectives: ClassVar[Mapping[str, Metric]] = {"score": Metric("", Direction.MAXIMIZE)}

    def __init__(self, score: str = "synflow", batch_size: int = 64, repeats: int = 1) -> None:
        """
        Args:
            score: ``synflow``, ``naswot``, ``jacob_cov``, ``snip``, ``grad_norm`` or ``params``.
            batch_size: images that are looked at, >= 2; all where there are fewer.
            repeats: initialisations, each with a batch of its own, >= 1.

        Raises:
            SettingsError: a value that is not allowed.
        """
        check_score(score)
        for name, value, least in (("batch_size", batch_size, 2), ("repeats", repeats, 1)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        self.score, self.batch_size, self.repeats = score, batch_size, repeats

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Evaluator.setup`."""
        super().setup(space, data)
        self._train = as_split(data.train)

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Build, score; see :meth:`Evaluator.evaluate`.

        Raises:
            ScoreError: the score is no finite number, or the network has none.
        """
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "batch"))
        found = []
        for _ in range(self.repeats):
            network = materialised(self.space.build(candidate.architecture, context.task), self._train)
            chosen = torch.randperm(len(self._train), generator=generator)[: self.batch_size]
            inputs, labels = self._train.batch(chosen.to(self._train.labels.device))
            found.append(
                SCORES[self.score](network.to(context.device), inputs.to(context.device), labels.to(context.device))
            )
        value = statistics.fmean(found)
        if not math.isfinite(value):
            raise ScoreError(f"{self.score} is {value}: the network's outputs or gradients are not finite.")
        return Measurement(Status.COMPLETE, {"score": value})


def _trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _gradients(network: nn.Module, inputs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each weight and the gradient of the batch's cross entropy; those that are not used are left out."""
    network.train()
    weights = _trainable(network)
    gradients = torch.autograd.grad(F.cross_entropy(network(inputs), labels), weights, allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            yield weight.detach(), gradient
