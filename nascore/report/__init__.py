"""``nascore report``: one HTML file that tells a search, and its pictures.

::

    graphs    a small directed graph, laid out in layers and drawn
    networks  what a network computes, as such graphs: the whole, and each kind of cell
    figures   the plots: best so far, Pareto front, importances, costs, timeline
    page      all of it as one page that needs no network

Importing this package imports neither torch nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nascore.result import SearchResult


def write_report(result: SearchResult, path: Path | None = None, against: Sequence[SearchResult] = ()) -> list[Path]:
    """Write ``report.html``, and the main plots as PNG in ``pictures/`` beside it.

    Args:
        result: of the search.
        path: the HTML file; None: ``report.html`` in the run folder.
        against: further searches whose curves are drawn beside, such as one of random search.

    Returns:
        The files that were written, the page first.

    Raises:
        RunError: the folder cannot be written.
    """
    from nascore.report import page

    return page.write(result, path or result.folder / "report.html", against)
