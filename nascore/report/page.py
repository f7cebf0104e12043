"""The page: text and pictures of a search in one HTML file without scripts, which needs no network."""

from __future__ import annotations

import html
import io
import re
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nascore import __version__
from nascore.checkpoint import write_atomically
from nascore.display import duration, headline, number
from nascore.errors import NascoreError, RunError
from nascore.records import Status
from nascore.report import figures
from nascore.report.graphs import draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from nascore.records import Trial
    from nascore.result import SearchResult

MOST_FAILURES = 20
MOST_ROWS = 200
_LARGEST_PICTURE = 2_000_000

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d8dee6 }
table { border-collapse: collapse; font-size: .9rem } td, th { text-align: left; padding: .15rem .9rem .15rem 0 }
th { font-weight: 600 } td.n { font-variant-numeric: tabular-nums } svg { max-width: 100%; height: auto }
pre { background: #f4f6f8; padding: .6rem; overflow-x: auto; font-size: .85rem } .graphs svg { margin-right: 1.5rem }
.best { font-size: 1.1rem } g[id^=trial-]:hover { opacity: .5 } details summary { cursor: pointer }
"""


def write(result: SearchResult, path: Path, against: Sequence[SearchResult]) -> list[Path]:
    """See :func:`nascore.report.write_report`."""
    plots = {
        "best-so-far": figures.best_so_far(result, against),
        "front": figures.front(result),
        "importances": figures.importances(result),
        "timeline": figures.timeline(result) if len(result.history) else None,
    }
    drawings, problem = network_figures(result)
    plots |= drawings
    made = {name: figure for name, figure in plots.items() if figure is not None}
    text = _page(result, made, list(drawings), problem)
    files = [path]
    try:
        write_atomically(path, text.encode(errors="replace"))  # half a character may stand in a trial
        folder = path.parent / "pictures"
        folder.mkdir(exist_ok=True)
        for name, figure in made.items():
            files.append(folder / f"{name}.png")
            figure.savefig(files[-1], dpi=110)
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}.") from error
    return files


def for_notebook(result: SearchResult) -> str:
    """The best network, drawn, above the table of trials."""
    drawn, _ = network_figures(result)
    pictures = "".join(svg(figure) for figure in drawn.values())
    return f"<div>{pictures}</div>{result.trials.to_html(max_rows=20)}"


def network_figures(result: SearchResult, number: int | None = None) -> tuple[dict[str, Figure], str]:
    """A trial's network drawn (the best one's), and each kind of cell in it; and why not, where it cannot be drawn."""
    best = result.best if number is None else result.trial(number)
    if best is None:
        return {}, ""
    try:
        network = result.search.build(best)
        from torch import nn

        if not isinstance(network, nn.Module):
            return {}, "It is no network of torch."
        from nascore.report.networks import graphs

        found = graphs(network, result.search.task)
    except NascoreError as error:  # no plugin, no data, or steps that depend on the data
        return {}, str(error)
    return {f"network-{index}": draw(graph) for index, graph in enumerate(found)}, ""


def svg(figure: Figure, hover: Mapping[str, str] | None = None) -> str:
    """A figure as an SVG element; ``hover`` puts text on groups, by their id."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nascore"}):  # text stays text
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for name, words in (hover or {}).items():
        text = text.replace(f'<g id="{name}">', f'<g id="{name}"><title>{html.escape(words)}</title>', 1)
    return text


# ---------------------------------------------------------------------------------------- sections


def _page(result: SearchResult, plots: Mapping[str, Figure], drawn: Sequence[str], problem: str) -> str:
    settings, best = result.search.settings, result.best
    title = f"{settings.plugin or settings.sampler.get('use', 'search')} on {result.search.task.name}"
    sections = [f"<h1>{html.escape(title)}</h1>", _summary(result)]
    if best is not None:
        sections += ["<h2>The network</h2>", _trial(best)]
        sections.append(_graphs(plots, drawn, problem))
    sections += ["<h2>Best so far</h2>", svg(plots["best-so-far"])]
    if "front" in plots:
        sections += ["<h2>What is not dominated</h2>", svg(plots["front"], _hover(result)), _front_table(result)]
    if "importances" in plots:
        sections += ["<h2>Which decisions mattered</h2>", svg(plots["importances"])]
    if "timeline" in plots:
        sections += ["<h2>Timeline</h2>", svg(plots["timeline"])]
    sections += _own_pictures(result)
    sections += [_failures(result), _reproduce(result)]
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _summary(result: SearchResult) -> str:
    settings = result.search.settings
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items() if count) or "none"
    rows = [
        ("state", f"{result.state}{f': {result.reason}' if result.reason else ''}"),
        (
            "parts",
            ", ".join(str(part.get("use", "?")) for part in (settings.space, settings.sampler, settings.evaluator)),
        ),
        ("data", f"{result.search.task.name}, fingerprint {result.search.task.fingerprint[:12]}"),
        ("objectives", ", ".join(f"{o.name} ({o.direction.value})" for o in result.history.objectives)),
        ("constraints", ", ".join(settings.constraints) or "none"),
        ("trials", counts),
        ("time", duration(result.wall_seconds)),
        ("seed", str(settings.seed)),
        ("device", settings.device),
    ]
    return _table(rows)


def _trial(trial: Trial) -> str:
    rows = [("trial", str(trial.number))]
    rows += [(name, number(value)) for name, value in trial.objectives.items()]
    rows += [
        (name, f"{number(cost.value)} {cost.unit}".strip() + (f" (std {cost.std:.3g})" if cost.std else ""))
        for name, cost in trial.costs.items()
    ]
    return f'<div class="best">{_table(rows)}</div>'


def _graphs(plots: Mapping[str, Figure], drawn: Sequence[str], problem: str) -> str:
    if problem:
        return f"<p>It is not drawn: {html.escape(problem)}</p>"
    return '<div class="graphs">' + "\n".join(svg(plots[name]) for name in drawn) + "</div>"


def _hover(result: SearchResult) -> dict[str, str]:
    words = {}
    for trial in figures.front_trials(result):
        values = {**trial.objectives, **{name: cost.value for name, cost in trial.costs.items()}}
        words[f"trial-{trial.number}"] = f"trial {trial.number}\n" + "\n".join(
            f"{name} {number(value)}" for name, value in values.items()
        )
    return words


def _front_table(result: SearchResult) -> str:
    trials = figures.front_trials(result)[:MOST_ROWS]
    names = list(dict.fromkeys(name for t in trials for name in (*t.objectives, *t.costs)))
    rows = [[str(t.number), *("" if (v := t.value(n)) != v else number(v) for n in names)] for t in trials]
    return _table(rows, head=["trial", *names])


def _own_pictures(result: SearchResult) -> list[str]:
    """What a plugin drew: the SVG files in ``pictures/``, as images, so that no script in them runs.

    A text of the same name stands below its picture.
    """
    import base64

    out = []
    for file in sorted((result.folder / "pictures").glob("*.svg")):
        if file.is_symlink() or file.stat().st_size > _LARGEST_PICTURE:
            continue
        data = base64.b64encode(file.read_bytes()).decode()
        name = html.escape(re.sub(r"[-_]", " ", file.stem))
        out.append(f'<h2>{name}</h2>\n<img alt="{name}" style="max-width:100%" src="data:image/svg+xml;base64,{data}">')
        text = file.with_suffix(".txt")
        if text.is_file() and text.stat().st_size <= _LARGEST_PICTURE:
            words = html.escape(text.read_text(encoding="utf-8", errors="replace"))
            out.append(f"<details><summary>{name} in words</summary><pre>{words}</pre></details>")
    return out


def _failures(result: SearchResult) -> str:
    failed = [t for t in result.history if t.status is Status.FAIL]
    broken = [t for t in result.history if t.status is Status.INFEASIBLE]
    if not failed and not broken:
        return ""
    out = ["<h2>What failed</h2>"]
    causes: dict[str, list[int]] = {}
    for trial in failed:
        causes.setdefault(headline(trial.reason), []).append(trial.number)
    rows = [
        (
            f"{len(numbers)} failed",
            f"{cause} (trial {', '.join(map(str, numbers[:5]))}{' ...' if len(numbers) > 5 else ''})",
        )
        for cause, numbers in sorted(causes.items(), key=lambda item: -len(item[1]))[:MOST_FAILURES]
    ]
    if broken:
        rows.append((f"{len(broken)} infeasible", f"a constraint was broken before training, as in {broken[0].reason}"))
    out.append(_table(rows))
    return "\n".join(out)


def _reproduce(result: SearchResult) -> str:
    file = result.folder / "search.toml"
    try:
        settings = file.read_text(encoding="utf-8")
    except OSError:
        settings = ""
    made = time.strftime("%Y-%m-%d %H:%M:%S")
    return (
        "<h2>Again</h2>\n<p>The same search, with the settings below in <code>search.toml</code>:</p>"
        "<pre>nascore search --config search.toml</pre>\n"
        f"<details><summary>search.toml</summary><pre>{html.escape(settings)}</pre></details>\n"
        f"<p>{_versions()}; written {made}.</p>"
    )


def _versions() -> str:
    import importlib.metadata
    import platform

    out = [f"nascore {__version__}", f"Python {platform.python_version()}"]
    out += [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "optuna", "numpy") if find_spec(name)]
    return html.escape(", ".join(out))


def _table(rows: Iterable[Sequence[Any]], head: Sequence[str] = ()) -> str:
    lines = ["<table>"]
    if head:
        lines.append("<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>")
    for first, *rest in rows:
        lines.append(
            f"<tr><th>{html.escape(str(first))}</th>"
            + "".join(f'<td class="n">{html.escape(str(cell))}</td>' for cell in rest)
            + "</tr>"
        )
    return "\n".join([*lines, "</table>"])
