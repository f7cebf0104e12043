"""The picture of alphas over the rounds: what it shows, and that a search writes it."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch

import nascore
from nascore.contracts import Round
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.supernet.picture import FILE, HEIGHT, AlphaHistory, svg, write_picture
from nascore_blocks.supernet.wiring import CellWiring, Row
from nascore_blocks.weight_sharing import SharedWeights

SVG = "{http://www.w3.org/2000/svg}"


def parsed(alphas, wirings):
    return ElementTree.fromstring(svg(alphas, wirings))


def lines(picture):
    """Points of each line: a list of (x, y)."""
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in picture.iter(f"{SVG}polyline")
    ]


def test_a_line_an_op_rises_as_its_share_does():
    alphas = torch.zeros(3, 1, 2, dtype=torch.float64)
    alphas[:, 0, 1] = torch.tensor([0.0, 1.0, 3.0])
    picture = parsed({"layers": alphas}, {"layers": Row(1, ("a", "b"))})
    first, second = lines(picture)
    shares = torch.softmax(alphas[:, 0], -1)
    top = min(1.0, 1.05 * float(shares.max()))
    bottom = first[0][1] + HEIGHT * float(shares[0, 0]) / top
    for line, share in ((first, shares[:, 0]), (second, shares[:, 1])):
        assert [y for _, y in line] == pytest.approx([bottom - HEIGHT * float(v) / top for v in share], abs=0.11)
    assert [x for x, _ in first] == [x for x, _ in second] == sorted(x for x, _ in first)


def test_every_edge_is_named_with_its_strongest_op_and_none_never_is_it():
    wiring = CellWiring(2, 1, ("skip_connect", "sep_conv_3x3", "none"))
    alphas = torch.zeros(2, 5, 3)
    alphas[-1, :, 1], alphas[-1, :, 2] = 1.0, 5.0
    texts = [text.text for text in parsed({"normal": alphas}, {"normal": wiring}).iter(f"{SVG}text")]
    for name in ("0 → 2", "1 → 2", "0 → 3", "1 → 3", "2 → 3"):
        assert f"{name}: sep_conv_3x3" in texts
    assert {"skip_connect", "sep_conv_3x3", "none", "normal: 2 rounds"} <= set(texts)


def test_an_op_that_an_edge_may_not_have_has_no_line():
    wiring = Row(2, ("a", "b", "c"), options=(("a", "b"), ("a", "b", "c")))
    assert len(lines(parsed({"layers": torch.zeros(2, 2, 3)}, {"layers": wiring}))) == 5


def test_the_history_keeps_copies_and_goes_back():
    history, alpha = AlphaHistory(), torch.zeros(2, 3)
    for step in range(3):
        history.add({"normal": alpha})
        alpha += 1
        if step == 1:
            saved = history.state_dict()
    assert history.alphas["normal"][:, 0, 0].tolist() == [0, 1, 2]
    history.load_state_dict(saved)
    assert history.alphas["normal"].shape == (2, 2, 3)
    assert AlphaHistory().state_dict() == {}


class Painter:
    """Writes the picture after each round, as the hooks of the plugin do."""

    def __init__(self):
        self.rounds = []

    @nascore.hookimpl
    def nascore_round_finished(self, search: object, round: Round) -> None:
        path = write_picture(search)
        text = path.read_text() if path else ""
        self.rounds.append(text.partition("normal: ")[2].partition(" ")[0])


@pytest.mark.parametrize(("sampler", "expected"), [("darts:darts", ["1", "2"]), ("snas:snas", ["1", "2"])])
def test_a_search_writes_it_each_round(tmp_path, sampler, expected):
    pytest.importorskip(f"nascore_{sampler.partition(':')[0]}")
    painter = Painter()
    space = DARTSSpace(blocks=1, channels=2, cells=1, reductions=0, ops=("skip_connect", "avg_pool_3x3"))
    nascore.search(
        space=space, sampler=sampler, evaluator=SharedWeights(rounds=2, steps=1, batch_size=8, calibration=1),
        data="blocks:digits", trials=2, out=tmp_path / "run", tracking="off", observers=[painter],
    )  # fmt: skip
    assert painter.rounds == expected
    assert ElementTree.fromstring((tmp_path / "run" / FILE).read_text()).tag == f"{SVG}svg"


def test_a_sampler_without_alphas_has_no_picture(tmp_path):
    painter = Painter()
    space = DARTSSpace(blocks=1, channels=2, cells=1, reductions=0, ops=("skip_connect", "avg_pool_3x3"))
    nascore.search(
        space=space, sampler="random:random", evaluator=SharedWeights(rounds=1, steps=1, batch_size=8, calibration=1),
        data="blocks:digits", trials=1, out=tmp_path / "run", tracking="off", observers=[painter],
    )  # fmt: skip
    assert painter.rounds == [""]
    assert not (tmp_path / "run" / FILE).exists()
