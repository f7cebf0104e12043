"""What our evaluators keep of a trial: the weights of its torch module, so that it exports like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.records import Measurement, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Candidate

WEIGHTS = "weights.safetensors"


def kept(
    objectives: Mapping[str, float],
    space: SearchSpace,
    candidate: Candidate,
    context: Context,
    save_weights: bool,
    metrics: Mapping[str, float] | None = None,
) -> Measurement:
    """A complete measurement, with the weights saved where that is wanted."""
    artifacts = {}
    if save_weights:
        from safetensors.torch import save_file

        network = space.build(candidate.architecture, context.task)
        save_file(network.state_dict(), context.folder() / WEIGHTS)
        artifacts["weights"] = WEIGHTS
    return Measurement(Status.COMPLETE, objectives, metrics=metrics or {}, artifacts=artifacts)
