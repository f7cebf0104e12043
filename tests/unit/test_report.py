"""The report: layout of graphs, drawing of any network, plots, and a page that is data and never code."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nascore
from nascore.cli.main import cli
from nascore.contracts import Task
from nascore.errors import UsageError
from nascore.report import figures, write_report
from nascore.report.graphs import Graph, Node, draw, layers_of
from nascore.report.networks import graphs
from nascore.report.page import svg

if TYPE_CHECKING:
    from pathlib import Path

    from nascore.result import SearchResult

pytest.importorskip("nascore_random")

TASK = Task("photos", (3, 8, 8), 5)
TOYS = {
    "space": "toy_parts:Letters", "sampler": "random:random", "evaluator": "toy_parts:Table",
    "data": "toy_parts:NoData", "costs": ["toy_parts:Vowels"],
}  # fmt: skip


class Cell(nn.Module):
    label = "a cell"

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(3, 1, 1)
        self.left.label = "wide <b>"  # type: ignore[assignment]  # what pictures name it by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cells = nn.Conv2d(3, 4, 3, 2, 1), nn.Sequential(Cell(), nn.Conv2d(8, 4, 1), Cell())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(self.stem(x)))  # type: ignore[no-any-return]  # a module's call is untyped


@st.composite
def acyclic(drawer: st.DrawFn) -> Graph:
    count = drawer(st.integers(1, 12))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = drawer(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph("g", tuple(Node(str(i)) for i in range(count)), tuple(edges))


@given(acyclic())
def test_every_edge_leads_down_one_layer_at_a_time(graph: Graph) -> None:
    layers, ways = layers_of(graph)
    level = {node: depth for depth, layer in enumerate(layers) for node in layer}
    assert sorted(n for layer in layers for n in layer) == list(range(len(level)))  # each point once
    for (source, target), way in zip(graph.edges, ways, strict=True):
        assert (way[0], way[-1]) == (source, target)
        assert [level[n] for n in way] == list(range(level[source], level[target] + 1))


def test_crossings_are_taken_out() -> None:
    graph = Graph("g", tuple(map(Node, "abcd")), ((0, 3), (1, 2)))
    (upper, lower), _ = layers_of(graph)
    assert (upper.index(0) < upper.index(1)) == (lower.index(3) < lower.index(2))


def test_a_network_is_drawn_with_its_cells_sizes_and_labels() -> None:
    network = Network()
    whole, cell = graphs(network, TASK)
    assert [node.label for node in cell.nodes] == ["x", "wide <b>", "MaxPool", "concat"]
    assert set(cell.edges) == {(0, 1), (0, 2), (1, 3), (2, 3)}
    assert cell.title == "a cell"
    assert cell.nodes[1].size == "4 x 4 x 4"
    assert whole.nodes[0].size == "3 x 8 x 8"
    assert "conv 3x3, stride 2" in [node.label for node in whole.nodes]
    assert network.training  # left as it was
    assert "wide &lt;b&gt;" in svg(draw(cell))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    return nascore.search(**TOYS, trials=40, out=folder, tracking="off")


def test_best_so_far_never_falls_and_ends_at_the_best(result: SearchResult) -> None:
    curve = figures._incumbents(result, result.history.objectives[0])
    values = [value for _, value in curve]
    assert values == sorted(values)
    assert result.best is not None
    assert values[-1] == result.best.value(result.history.objectives[0].name)
    assert curve[-1][0] == 40


def test_the_page_needs_nothing_and_runs_nothing(result: SearchResult, tmp_path: Path) -> None:
    (page, *pictures) = write_report(result, tmp_path / "report.html", [result])
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "url(http" not in text
    assert {p.name for p in pictures} >= {"best-so-far.png", "timeline.png"}
    assert all(p.stat().st_size > 1000 for p in pictures)


def test_what_a_stranger_wrote_is_escaped(result: SearchResult, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(result.folder, copy)
    settings = copy / "search.toml"
    settings.write_text(settings.read_text().replace('plugin = "random"', 'plugin = "<script>alert(1)</script>"'))
    assert "<script>" in settings.read_text()
    (copy / "pictures").mkdir(exist_ok=True)
    (copy / "pictures" / "x<img src=y>.svg").write_text("<svg><script>alert(1)</script></svg>")
    (copy / "pictures" / "x<img src=y>.txt").write_text("s1 = dot(v0, v1) <script>alert(2)</script>")
    (page, *_) = write_report(nascore.open_run(copy))
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=y>" not in text
    assert "&lt;script&gt;" in text
    assert "s1 = dot(v0, v1) &lt;script&gt;alert(2)" in text


def test_the_command_writes_beside_the_run_or_where_it_is_told(result: SearchResult, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["report", str(result.folder), "--output", str(tmp_path / "a" / "b.html")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a" / "b.html").is_file()
    assert (tmp_path / "a" / "pictures" / "best-so-far.png").is_file()


def test_show_draws_the_network(tmp_path: Path) -> None:
    pytest.importorskip("nascore_blocks")
    run = tmp_path / "run"
    nascore.search("random", trials=1, out=run, tracking="off", options={"evaluator.epochs": 1})
    done = CliRunner().invoke(cli, ["show", str(run), "--plot", str(tmp_path / "net.png")])
    assert done.exit_code == 0, done.output
    drawn = sorted(tmp_path.glob("net*.png"))
    assert [file.name for file in drawn[:2]] == ["net-1.png", "net-2.png"]  # the two kinds of cells
    assert all(file.stat().st_size > 1000 for file in drawn)
    with pytest.raises(UsageError, match="ends with one of"):
        cli(["show", str(run), "--plot", "net.gif"], standalone_mode=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_a_browser_shows_it(result: SearchResult, tmp_path: Path) -> None:
    (page, *_) = write_report(result, tmp_path / "report.html")
    picture = tmp_path / "page.png"
    base = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    base += ["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1000,1500"]
    subprocess.run([*base, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True, timeout=120)
    from matplotlib.image import imread

    pixels = imread(picture)
    assert pixels.shape[:2] == (1500, 1000)
    colours = {tuple(pixel) for pixel in pixels[::5, ::5, :3].reshape(-1, 3).round(2)}
    assert len(colours) > 20  # text, axes and points, no blank page
