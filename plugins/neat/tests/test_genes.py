"""Genes: properties P1 to P5, with the numbers of the paper."""

import random

import numpy as np
import pytest

from nascore_neat.breeding import PAPER_RATES, mutate
from nascore_neat.checking import check_genome
from nascore_neat.genetics import add_connection, add_node, mutate_weights, open_book, reaches
from nascore_neat.genome import Shape, empty, from_json, minimal, to_json
from nascore_neat.mating import Metric, compare, cross, distance
from nascore_neat.network import ACTIVATIONS, outputs

SHAPE = Shape(3, 1, False, 30.0)
METRIC = Metric(1.0, 1.0, 0.4, 20)
FIGURE_4 = ([1, 2, 3, 4, 5, 8], [1, 2, 3, 4, 5, 6, 7, 9, 10])  # innovations of the two parents in the paper
ENDS = {1: (0, 4), 2: (1, 4), 3: (2, 4), 4: (1, 5), 5: (5, 4), 6: (5, 6), 7: (6, 4), 8: (0, 5), 9: (2, 5), 10: (0, 6)}


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def genome(innovations, weight=1.0, disabled=()):
    genes = [[i, *ENDS[i], float(weight), i not in disabled] for i in innovations]
    return {"hidden": sorted({n for g in genes for n in g[1:3] if n > 4}), "connections": genes}


def innovations(genomes, row=0):
    return genomes.innovation[row, : genomes.genes[row]].tolist()


def start(rows, shape=SHAPE, room=9):
    return from_json([minimal(shape, [0.5] * (shape.inputs + 1) * shape.outputs)] * rows, room=room)


def test_the_same_new_connection_has_one_innovation_number_in_a_generation():
    split = {"hidden": [5], "connections": [[0, 0, 4, 1.0, True], [1, 0, 5, 1.0, True]]}  # 5 -> 4 among others is free
    genomes, book, rng = from_json([split] * 60, room=1), open_book(2, 6, 60), generator()
    assert all(add_connection(genomes, k, book, rng, SHAPE, 1.0) for k in range(60))
    numbers = {}
    for k in range(60):
        added = (genomes.source[k, 2], genomes.target[k, 2])
        assert numbers.setdefault(added, genomes.innovation[k, 2]) == genomes.innovation[k, 2]
    assert 1 < len(numbers) < 60
    assert sorted(numbers.values()) == list(range(2, 2 + len(numbers)))
    assert book.next[0] == 2 + len(numbers)


def test_two_splits_of_one_gene_share_the_node_and_the_numbers():
    genomes, book, rng = start(40), open_book(4, 5, 40), generator()
    assert all(add_node(genomes, k, book, rng, SHAPE.inputs) for k in range(40))
    made = {}
    for k in range(40):
        (gene,) = np.flatnonzero(~genomes.enabled[k, :4])
        new = (genomes.target[k, 4], *innovations(genomes, k)[4:])
        assert made.setdefault(gene, new) == new
    assert sorted(made) == [0, 1, 2]  # the bias, gene 3, is not split
    assert len({node for node, *_ in made.values()}) == 3


def test_a_later_generation_gives_new_numbers():
    genomes, rng = start(2), generator()
    genomes.enabled[:, 1:] = False  # only gene 0 can be split
    add_node(genomes, 0, open_book(4, 5, 1), rng, 3)
    add_node(genomes, 1, open_book(6, 6, 1), rng, 3)
    assert (innovations(genomes, 0)[4:], innovations(genomes, 1)[4:]) == ([4, 5], [6, 7])


def test_a_new_node_leaves_a_linear_network_as_it_was():
    shape = Shape(3, 2, False, 30.0)
    genomes, rng = start(50, shape), generator(1)
    for k in range(50):
        mutate_weights(genomes, k, rng, 0.0, 0.0, 5.0, 30.0)
    inputs = generator(2).normal(size=(20, 3))
    linear = ACTIVATIONS.index("linear")
    before = outputs(genomes, inputs, shape, linear, 1)
    for k in range(50):
        assert add_node(genomes, k, open_book(8, 6, 1), rng, 3)
    assert np.abs(before).max() > 1
    assert np.abs(outputs(genomes, inputs, shape, linear, 1) - before).max() < 1e-9


def test_the_parents_of_figure_4_line_up():
    pair = from_json([genome(FIGURE_4[0], 1.0), genome(FIGURE_4[1], 1.5)])
    assert compare(pair, 0, pair, 1) == (5, 3, 2, 0.5)
    assert distance(pair, 0, pair, 1, METRIC) == pytest.approx(3 + 2 + 0.4 * 0.5)
    assert distance(pair, 0, pair, 1, Metric(3.0, 1.0, 0.0, 20)) == pytest.approx(3 * 2 + 3)


def test_the_distance_of_large_genomes_is_divided_by_their_size():
    genes = [[i, i % 3, 4 + i, 0.0, True] for i in range(25)]
    pair = from_json([{"connections": genes}, {"connections": genes[:15]}])
    assert distance(pair, 0, pair, 1, METRIC) == pytest.approx(10 / 25)
    assert distance(pair, 0, pair, 1, METRIC._replace(small=26)) == pytest.approx(10)


@pytest.mark.parametrize("fitter", [0, 1])
def test_a_child_has_just_the_genes_of_the_fitter_parent(fitter):
    pair = from_json([genome(FIGURE_4[0], 1.0), genome(FIGURE_4[1], 2.0)])
    rng, child, seen = generator(), empty(1, 20), set()
    for _ in range(50):
        cross(pair, fitter, pair, 1 - fitter, False, child, 0, rng, 0.75, False)
        assert innovations(child) == FIGURE_4[fitter]
        assert set(child.weight[0, 5 : child.genes[0]]) == {fitter + 1.0}
        seen |= set(child.weight[0, :5].tolist())
    assert seen == {1.0, 2.0}


def test_equal_parents_pass_their_unmatched_genes_on_at_random():
    pair = from_json([genome(FIGURE_4[0]), genome(FIGURE_4[1])])
    rng, child, counts = generator(), empty(1, 20), dict.fromkeys(range(1, 11), 0)
    for _ in range(4000):
        cross(pair, 0, pair, 1, True, child, 0, rng, 0.75, False)
        for number in innovations(child):
            counts[number] += 1
    assert [counts[i] for i in range(1, 6)] == [4000] * 5
    assert all(counts[i] / 4000 == pytest.approx(0.5, abs=0.04) for i in range(6, 11))


def test_equal_parents_never_make_a_cycle_or_a_double_gene():
    one = {"connections": [[0, 0, 5, 1.0, True], [1, 5, 6, 1.0, True], [4, 0, 6, 1.0, True]]}
    other = {"connections": [[0, 0, 5, 1.0, True], [2, 6, 5, 1.0, True], [5, 0, 6, 1.0, True]]}
    pair, rng, child = from_json([one, other]), generator(), empty(1, 10)
    for _ in range(200):
        cross(pair, 0, pair, 1, True, child, 0, rng, 0.75, False)
        check_genome(to_json(child, 0, SHAPE), SHAPE)


def test_three_of_four_inherited_genes_stay_disabled():
    pair = from_json([genome(FIGURE_4[0], disabled=[1, 2, 8]), genome(FIGURE_4[0], disabled=[2, 3])])
    rng, child, off = generator(), empty(1, 10), np.zeros(6)
    for _ in range(10_000):
        cross(pair, 0, pair, 1, False, child, 0, rng, 0.75, False)
        off += ~child.enabled[0, :6]
    assert off[[0, 1, 2, 5]] / 10_000 == pytest.approx(0.75, abs=0.02)
    assert off[[3, 4]].tolist() == [0, 0]


def test_the_distance_is_a_distance():
    rng = generator(3)
    genomes, book = start(12, room=60), open_book(4, 5, 400)
    for _ in range(20):
        for k in range(12):
            mutate(genomes, k, book, rng, SHAPE, PAPER_RATES._replace(add_node=0.5, add_connection=0.5))
    for i in range(12):
        assert distance(genomes, i, genomes, i, METRIC) == 0
        for j in range(i):
            between = distance(genomes, i, genomes, j, METRIC)
            assert between == distance(genomes, j, genomes, i, METRIC) > 0


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_thousand_mutations_keep_a_genome_sound(recurrent):
    shape = Shape(3, 2, recurrent, 5.0)
    rng, genomes = generator(4), start(1, shape, room=2000)
    rates = PAPER_RATES._replace(add_node=0.3, add_connection=0.6)
    innovation, node = 8, 6
    for turn in range(1000):
        book = open_book(innovation, node, 1)
        mutate(genomes, 0, book, rng, shape, rates)
        innovation, node = book.next.tolist()
        if turn % 100 == 99:
            check_genome(to_json(genomes, 0, shape), shape)
    ends = list(zip(genomes.source[0, : genomes.genes[0]], genomes.target[0, : genomes.genes[0]], strict=True))
    cyclic = any(reaches(genomes, 0, target, source) for source, target in ends)
    assert cyclic == recurrent
    assert len(ends) > 500
    assert np.abs(genomes.weight).max() == 5.0


def test_weights_are_perturbed_or_drawn_anew():
    genomes = from_json([genome(range(1, 11), 4.0)] * 2000)
    rng = generator(5)
    for k in range(2000):
        mutate_weights(genomes, k, rng, 0.9, 0.5, 1.0, 30.0)
    weights = genomes.weight.ravel()
    near, anew = np.abs(weights - 4) <= 0.5, np.abs(weights) <= 1
    assert (near | anew).all()
    assert near.mean() == pytest.approx(0.9, abs=0.01)
    assert weights[near].std() == pytest.approx(0.5 / np.sqrt(3), rel=0.03)
    assert weights[anew].mean() == pytest.approx(0, abs=0.06)


def test_a_genome_survives_the_arrays():
    rng = random.Random(0)
    made = [genome(sorted(rng.sample(range(1, 11), 6)), rng.random(), disabled=[rng.randint(1, 10)]) for _ in range(20)]
    packed = from_json(made)
    assert [to_json(packed, k, SHAPE) for k in range(20)] == made
