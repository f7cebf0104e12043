"""What nascore-nas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl
from nascore_nas.presets import PAPER_RECURRENT, PAPER_SETTINGS, QUICK, RECURRENT

PAPER = "arXiv:1611.01578"


@hookimpl
def nascore_search_spaces() -> list[Component]:
    """The paper's recurrent cells; its convolutional layers are ``blocks:layerwise``."""
    return [
        Component(
            "tree",
            "recurrent cells for language modelling: a full tree of combinations and activations, and a memory",
            "nascore_nas.tree:TreeCellSpace",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_samplers() -> list[Component]:
    """The controller."""
    return [
        Component(
            "nas",
            "a recurrent controller draws the decisions one by one and learns by REINFORCE",
            "nascore_nas.sampler:NAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """NAS."""
    return [
        Method(
            "nas",
            "a controller trained by REINFORCE, on convolutions in a row with skips, or recurrent cells",
            space="blocks:layerwise",
            sampler="nas:nas",
            evaluator="blocks:train",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={
                "quick": QUICK,
                "recurrent": RECURRENT,
                "paper": PAPER_SETTINGS,
                "paper-recurrent": PAPER_RECURRENT,
            },
            paper=PAPER,
            note=(
                "On digits, five seeds, the trials of `quick` were better than random ones (+0.096 +- 0.047), "
                "its best was not shown to be (+0.017 +- 0.022)."
            ),
        )
    ]
