"""Alphas over the rounds: kept by a policy, and drawn as an SVG.

A policy that learns alphas has an attribute ``history``, an :class:`AlphaHistory`: it adds its alphas
at the end of each round and keeps the history in its state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import torch
from torch import Tensor

from nascore.checkpoint import write_atomically
from nascore_blocks.supernet.mix import masked
from nascore_blocks.supernet.wiring import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nascore.driver import Search
    from nascore_blocks.supernet.wiring import Wiring

FILE = "pictures/alphas.svg"
"""In the run folder."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f4fc9", "#8c564b")
GREY = "#999999"
"""Of ``none``."""

COLUMNS, WIDTH, HEIGHT, GAP, LEFT, TITLE = 7, 130, 84, 16, 34, 15
"""Panels in a row, and sizes in pixels: of a panel, between panels, of the scale, of a panel's title."""


class AlphaHistory:
    """Alphas at the end of each round.

    Attributes:
        alphas: kind of place -> (rounds, edges, ops), on the CPU; empty before the first round.
    """

    def __init__(self) -> None:
        self.alphas: dict[str, Tensor] = {}

    def add(self, alphas: Mapping[str, Tensor]) -> None:
        """Keep a copy of the alphas, kind of place -> (edges, ops)."""
        for kind, alpha in alphas.items():
            now = alpha.detach().cpu()[None].clone()
            self.alphas[kind] = torch.cat([self.alphas[kind], now]) if kind in self.alphas else now

    def state_dict(self) -> dict[str, Any]:
        """The alphas of all rounds."""
        return dict(self.alphas)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.alphas = dict(state)


def write_picture(search: Search) -> Path | None:
    """Draw the alphas of a search so far into its run folder; None where its sampler keeps none."""
    policy = getattr(search.parts.sampler, "policy", None)
    history = getattr(policy, "history", None)
    if policy is None or not isinstance(history, AlphaHistory) or not history.alphas:
        return None
    path = search.folder / FILE
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, svg(history.alphas, policy.wirings).encode())
    return path


def svg(alphas: Mapping[str, Tensor], wirings: Mapping[str, Wiring]) -> str:
    """One panel an edge: softmax(alpha) of each of its ops (upwards, one scale for all) over the rounds.

    Args:
        alphas: kind of place -> (rounds, edges, ops).
        wirings: kind of place -> its edges and ops.
    """
    shares = {
        kind: torch.stack([torch.softmax(masked(one, wirings[kind]).double(), -1) for one in alpha])
        for kind, alpha in alphas.items()
    }
    top = min(1.0, 1.05 * max(float(share.max()) for share in shares.values()))
    ops = list(dict.fromkeys(op for kind in shares for op in wirings[kind].ops))
    width = LEFT + COLUMNS * (WIDTH + GAP)
    body, y = _legend(ops, width)
    for kind, share in shares.items():
        wiring = wirings[kind]
        body.append(_text(8, y + 14, f"{kind}: {len(share)} rounds", size=13, weight="bold"))
        y += 24
        for edge in range(share.shape[1]):
            column, row = edge % COLUMNS, edge // COLUMNS
            x, above = LEFT + column * (WIDTH + GAP), y + row * (HEIGHT + TITLE + GAP)
            body += _panel((x, above), share[:, edge], wiring, edge, top, ops, scale=column == 0)
        y += -(-share.shape[1] // COLUMNS) * (HEIGHT + TITLE + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
    head += 'font-family="sans-serif" role="img"><title>softmax(alpha) of each edge over the rounds</title>'
    return "\n".join([head, f'<rect width="{width}" height="{y}" fill="white"/>', *body, "</svg>\n"])


def _panel(
    corner: tuple[float, float], share: Tensor, wiring: Wiring, edge: int, top: float, ops: Sequence[str], scale: bool
) -> list[str]:
    """One edge: (rounds, ops)."""
    x, y = corner[0], corner[1] + TITLE
    rounds = len(share)
    across = [x + (WIDTH * step / (rounds - 1) if rounds > 1 else WIDTH) for step in range(rounds)]
    allowed = wiring.everything[edge]
    best = max(allowed, key=lambda op: float(share[-1, op])) if allowed else None
    title = _name(wiring.edges[edge], edge) + (f": {wiring.ops[best]}" if best is not None else "")
    out = [
        _text(x, y - 4, title, size=10),
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#dddddd"/>',
    ]
    if scale:
        out += [_text(x - 4, y + 9, f"{top:.2f}", 9, "end"), _text(x - 4, y + HEIGHT, "0", 9, "end")]
    for op in wiring.allowed[edge]:
        heights = [y + HEIGHT * (1 - value / top) for value in share[:, op].tolist()]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, heights, strict=True))
        look = _look(wiring.ops[op], ops)
        thick = 2.2 if op == best else 1.1
        out.append(f'<polyline points="{points}" fill="none" {look} stroke-width="{thick}"/>')
        out.append(f'<circle cx="{across[-1]:.1f}" cy="{heights[-1]:.1f}" r="{thick}" fill="white" {look}/>')
    return out


def _legend(ops: Sequence[str], width: float) -> tuple[list[str], float]:
    """What colour is which op; and where it ends."""
    out, x, y = [], 8.0, 8.0
    for op in ops:
        wide = 34 + 6.6 * len(op)
        if x + wide > width:
            x, y = 8.0, y + 18
        out.append(f'<path d="M{x} {y + 7}h18" {_look(op, ops)} stroke-width="2.5"/>')
        out.append(_text(x + 22, y + 11, op, size=11))
        x += wide
    return out, y + 22


def _look(op: str, ops: Sequence[str]) -> str:
    """Colour, and dashes where the colours do not reach."""
    if op == "none":
        return f'stroke="{GREY}" stroke-dasharray="2 2"'
    number = [name for name in ops if name != "none"].index(op)
    dashes = ' stroke-dasharray="5 3"' if number >= len(COLOURS) else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}"{dashes}'


def _name(edge: Any, number: int) -> str:
    """What an edge is called; the two inputs of a cell are the states 0 and 1."""
    if isinstance(edge, Place):
        return f"{edge.input} → {edge.node}" + ("'" * edge.slot)
    return str(edge if isinstance(edge, (int, str)) else number)


def _text(x: float, y: float, text: str, size: int, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
    )
