"""Pictures of networks and species."""

import random

import matplotlib
import numpy as np
import pytest

import nascore
from nascore.contracts import Task
from nascore.errors import RunError
from nascore.records import Candidate, Status, Trial
from nascore_neat.drawing import draw_network, draw_species, layout, species_sizes
from nascore_neat.fast import start
from nascore_neat.genome import Shape, live_genes, to_json
from nascore_neat.lineage import Birth, describe, read
from nascore_neat.sampler import NEAT
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


def test_every_connection_of_a_feed_forward_network_leads_upwards():
    shape = Shape(2, 2, False, 30.0)
    rng, chosen = random.Random(3), start(NEAT(add_node=0.3, add_connection=0.4).settings, shape, 40, random.Random(1))
    for _ in range(60):
        chosen.advance(np.array([rng.random() for _ in range(40)]) + chosen.genomes.genes, rng)
    for row in range(40):
        genes = live_genes(to_json(chosen.genomes, row, shape), shape)
        places = layout(genes, shape)
        assert all(places[source][1] < places[target][1] for source, target, _ in genes)
        assert len({y for _, y in places.values()}) > 4  # not minimal ones


@pytest.mark.parametrize("generations", [0, 2])
def test_a_search_leaves_both_pictures_and_a_resumed_one_those_of_a_whole_one(tmp_path, monkeypatch, generations):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # matplotlib writes a date
    first, whole = (2, 4) if generations else (30, 50)
    options = {"sampler.population_size": 10, "sampler.generations_per_trial": generations, "sampler.goal": None}
    with matplotlib.rc_context({"svg.hashsalt": "the same ids"}):
        for folder, trials in ("whole", whole), ("run", first):
            nascore.search("neat", trials=trials, out=tmp_path / folder, tracking="off", seed=1, options=options)
        pictures = [{file.name: file.read_bytes() for file in tmp_path.glob("run/pictures/*.svg")}]
        draw_species(nascore.resume(tmp_path / "run", trials=whole).history, tmp_path / "all.svg")
    pictures += [{f.name: f.read_bytes() for f in tmp_path.glob(f"{name}/pictures/*.svg")} for name in ("run", "whole")]
    assert pictures[1] == pictures[2]
    assert pictures[1]["species.svg"] == (tmp_path / "all.svg").read_bytes()
    assert [set(some) for some in pictures] == [{"network.svg", "species.svg"}] * 3
    assert pictures[0]["species.svg"] != pictures[1]["species.svg"]


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
