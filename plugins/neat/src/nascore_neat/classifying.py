"""NEAT as a classifier: a whole data set at once, no gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nascore.errors import DataError, SettingsError
from nascore.records import Direction, Measurement, Metric, Status
from nascore_neat.generations import GenerationEvaluator
from nascore_neat.genome import from_json, take
from nascore_neat.keeping import kept
from nascore_neat.network import outputs
from nascore_neat.space import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from nascore.contracts import Context, SearchSpace, Splits
    from nascore.records import Architecture, Candidate
    from nascore_blocks.training import Report
    from nascore_neat.genome import Floats, Genomes, Ints


AT_ONCE = 50
"""So many networks are run on all examples at once; more would only need more memory."""


class Classify(GenerationEvaluator):
    """Judge a network as a classifier: its largest output is the class.

    The fitness, on the training split, is exp(-cross entropy) of the softmax of the outputs: the geometric
    mean of the probability that the right class gets, in (0, 1]. It grows with every little improvement,
    which the accuracy does not. ``accuracy`` is measured on the validation split.

    With many inputs, the weights that suit XOR saturate every node: make them small, by ``space.reach=0.2``,
    ``sampler.power=0.2`` and ``sampler.reach=0.5``.

    Args:
        sharpness: what outputs are multiplied by before the softmax, > 0; the sigmoid's lie in [0, 1].
        save_weights: keep the weights of the torch module in the trial's folder.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"neurons", "labels", "images"})
    provides: ClassVar[frozenset[str]] = frozenset({"retrain"})
    deterministic: ClassVar[bool] = True
    objectives: ClassVar[Mapping[str, Metric]] = {
        "fitness": Metric("", Direction.MAXIMIZE),
        "accuracy": Metric("", Direction.MAXIMIZE),
    }

    def __init__(self, sharpness: float = 5.0, save_weights: bool = True) -> None:
        if not 0 < sharpness < np.inf:
            raise SettingsError(f"sharpness is {sharpness}; it must be larger than 0, and finite.")
        self.sharpness, self.save_weights = sharpness, save_weights
        self._read: dict[str, tuple[Floats, Ints]] = {}

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """See :meth:`Evaluator.setup`."""
        super().setup(space, data)
        self._read = {}

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Run it on both splits; see :meth:`Evaluator.evaluate`."""
        genomes = from_json([candidate.architecture.genome])
        fitness, _ = self._score(genomes, *self._split("train", context.data))
        _, accuracy = self._score(genomes, *self._split("valid", context.data))
        measured = {"fitness": float(fitness[0]), "accuracy": float(accuracy[0])}
        return kept(measured, self.space, candidate, context, self.save_weights)

    def values(self, genomes: Genomes, objective: str, context: Context) -> Floats:
        """See :meth:`GenerationEvaluator.values`."""
        which = ("train", "valid")[objective == "accuracy"]
        inputs, labels = self._split(which, context.data)
        rows = np.arange(len(genomes.genes))
        parts = [
            self._score(take(genomes, rows[start : start + AT_ONCE]), inputs, labels)[objective == "accuracy"]
            for start in range(0, len(rows), AT_ONCE)
        ]
        return np.concatenate(parts)

    def retrain(
        self,
        architecture: Architecture,
        splits: Splits,
        *,
        seed: int,
        device: str = "cpu",
        report: Report | None = None,
    ) -> tuple[Measurement, dict[str, torch.Tensor]]:
        """Test the network as evolution left it: its weights are part of the genome, and nothing is trained.

        Args:
            architecture: of the space that :meth:`setup` was given.
            splits: with ``test`` unsealed.
            seed, device, report: of a training; there is none.

        Returns:
            A measurement with the objective ``test_accuracy``, in [0, 1], and the weights by name.
        """
        _, (accuracy,) = self._score(from_json([architecture.genome]), *_arrays(splits.test))
        network = self.space.build(architecture, splits.task)
        return Measurement(Status.COMPLETE, {"test_accuracy": float(accuracy)}), dict(network.state_dict())

    def _split(self, name: str, data: Splits) -> tuple[Floats, Ints]:
        if name not in self._read:
            self._read[name] = _arrays(getattr(data, name))
        return self._read[name]

    def _score(self, genomes: Genomes, inputs: Floats, labels: Ints) -> tuple[Floats, Floats]:
        """Fitness and accuracy, (genomes,), in the torch module's precision: in it, saturated outputs are equal."""
        values = self.sharpness * outputs(genomes, inputs, *running(self.space)).astype(np.float32)
        peaks = values.max(axis=2, keepdims=True)
        logs = values - peaks - np.log(np.exp(values - peaks).sum(axis=2, keepdims=True))
        # In one order for one genome and for many, so that both have the same sum to the last bit.
        right = np.ascontiguousarray(logs[:, np.arange(len(labels)), labels])
        return np.exp(right.mean(axis=1)).astype(float), (values.argmax(axis=2) == labels).mean(axis=1)


def _arrays(split: Any) -> tuple[Floats, Ints]:
    """Inputs (examples, features) and labels (examples,) of a split.

    Raises:
        DataError: the inputs hold NaN or infinity.
    """
    import torch

    from nascore_blocks.data.splits import as_split

    whole = as_split(split)
    inputs, labels = whole.batch(torch.arange(len(whole)))
    flat = inputs.reshape(len(whole), -1).double().numpy()
    if not np.isfinite(flat).all():
        raise DataError("The inputs hold NaN or infinity; every value must be finite.")
    return flat, labels.numpy().astype(np.int64)
