"""What nascore-enas offers; records only."""

from __future__ import annotations

from nascore.hooks import Component, Method, hookimpl
from nascore_enas.presets import MACRO, PAPER_MACRO, PAPER_RECURRENT, PAPER_SETTINGS, QUICK, RECURRENT

PAPER = "arXiv:1802.03268"


@hookimpl
def nascore_samplers() -> list[Component]:
    """ENAS."""
    return [
        Component(
            "enas",
            "an LSTM controller that learns by REINFORCE from the accuracy on shared weights",
            "nascore_enas.sampler:ENAS",
            paper=PAPER,
        )
    ]


@hookimpl
def nascore_methods() -> list[Method]:
    """ENAS, micro search; the macro search by preset."""
    return [
        Method(
            "enas",
            "a controller over shared weights, on NASNet cells or layers with skips",
            space="blocks:nasnet",
            sampler="enas:enas",
            evaluator="blocks:supernet",
            data="blocks:digits",
            costs=("blocks:params", "blocks:macs"),
            presets={
                "quick": QUICK,
                "macro": MACRO,
                "recurrent": RECURRENT,
                "paper": PAPER_SETTINGS,
                "paper-macro": PAPER_MACRO,
                "paper-recurrent": PAPER_RECURRENT,
            },
            paper=PAPER,
            note="The quick preset is not shown to beat a random draw on digits: +0.0015 +- 0.0039 test accuracy, "
            "five seeds.",
        )
    ]
