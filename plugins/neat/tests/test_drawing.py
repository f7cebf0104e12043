"""Pictures of networks and species."""

import pytest

from nascore.contracts import Task
from nascore.errors import RunError
from nascore.records import Candidate, Status, Trial
from nascore_neat.drawing import draw_network, draw_species, layout, species_sizes
from nascore_neat.genome import Shape, live_genes
from nascore_neat.lineage import Birth, describe, read
from nascore_neat.space import NEATSpace

CHAIN = {
    "hidden": [4, 5],
    "connections": [
        [0, 0, 4, 1.0, True],
        [1, 4, 5, -2.0, True],
        [2, 5, 3, 1.0, True],
        [3, 5, 4, 1.0, True],
        [4, 5, 5, 1.0, True],
    ],
}


def space():
    made = NEATSpace(recurrent=True)
    made.setup(Task("two", (2,), 1))
    return made


def trial(number, origin):
    return Trial(number, Candidate(space().architecture(CHAIN), origin=origin), Status.COMPLETE, {"fitness": 1.0})


def test_nodes_stand_by_their_distance_from_the_inputs():
    shape = Shape(2, 1, True, 30.0)
    places = layout(live_genes(CHAIN, shape), shape)
    assert {node: y for node, (_, y) in places.items()} == {0: 0, 1: 0, 2: 0, 4: 1 / 3, 5: 2 / 3, 3: 1}
    assert len(set(places.values())) == 6


def test_an_origin_is_read_back():
    assert read(describe(Birth(12, 3), "child of 4 and 5")) == Birth(12, 3)
    assert read("mutation of 12") is None
    assert read("generation 0: minimal") is None


def test_species_are_counted_by_generation():
    origins = [describe(Birth(g, s), "") for g, s in [(1, 0), (1, 0), (1, 2), (2, 2), (3, 0), (3, 2)]]
    trials = [trial(n, origin) for n, origin in enumerate(["generation 0: minimal", *origins])]
    assert species_sizes(trials) == ([1, 2, 3], {0: [2, 0, 1], 2: [1, 1, 1]})


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_written(tmp_path, ending):
    draw_network(space().architecture(CHAIN), space(), tmp_path / f"network.{ending}")
    draw_species([trial(0, describe(Birth(1, 0), "")), trial(1, describe(Birth(2, 1), ""))], tmp_path / f"s.{ending}")
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[ending]
    assert (tmp_path / f"network.{ending}").read_bytes().startswith(start)
    assert (tmp_path / f"s.{ending}").read_bytes().startswith(start)


def test_no_species_no_picture(tmp_path):
    with pytest.raises(RunError, match="Search longer"):
        draw_species([trial(0, "random")], tmp_path / "species.png")
