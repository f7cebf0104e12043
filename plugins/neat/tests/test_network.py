"""Networks: by hand, compiled and as a torch module, the same; and the space's forms and checks."""

import copy
import math
import random

import numpy as np
import pytest
import torch

from nascore.contracts import Task
from nascore.errors import SettingsError, SpaceError
from nascore.records import Architecture
from nascore_neat.genome import from_json
from nascore_neat.network import ACTIVATIONS, outputs
from nascore_neat.space import NEATSpace, running

TASK = Task("two", (2,), 1)
XOR = {  # nodes: 0, 1 inputs, 2 bias, 3 output, 4 hidden (both on)
    "hidden": [4],
    "connections": [
        [0, 0, 3, 2.0, True],
        [1, 1, 3, 2.0, True],
        [2, 2, 3, -1.0, True],
        [3, 0, 4, 4.0, True],
        [4, 4, 3, -6.0, True],
        [5, 1, 4, 4.0, True],
        [6, 2, 4, -6.0, True],
    ],
}


def space_for(task=TASK, **options):
    space = NEATSpace(**options)
    space.name = "neat:neurons"
    space.setup(task)
    return space


def evolved(space, mutations, seed):
    rng = random.Random(seed)
    architecture = space.sample(lambda _, options: rng.choice(options))
    for _ in range(mutations):
        architecture = space.mutate(architecture, rng)
    return architecture


def sigmoid(x):
    return 1 / (1 + math.exp(-4.9 * x))


def test_a_network_computes_what_is_computed_by_hand():
    def by_hand(a, b):
        return sigmoid(2 * a + 2 * b - 1 - 6 * sigmoid(4 * a + 4 * b - 6))

    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.3, -0.7]])
    values = outputs(from_json([XOR]), inputs, *running(space_for()))[0, :, 0]
    assert values == pytest.approx([by_hand(*row) for row in inputs], abs=1e-12)
    assert (values[:4] > 0.5).tolist() == [False, True, True, False]


def test_a_recurrent_network_needs_a_step_for_each_connection():
    def after(steps):
        space = space_for(recurrent=True, steps=steps, activation="linear")
        return outputs(from_json([XOR]), np.array([[1.0, 2.0]]), *running(space))[0, 0, 0]

    assert after(1) == 2 + 4 - 1
    assert after(2) == after(3) == 5 - 6 * (4 + 8 - 6)


def test_a_loop_remembers():
    counter = {"hidden": [], "connections": [[0, 0, 3, 1.0, True], [1, 3, 3, 1.0, True]]}
    space = space_for(recurrent=True, steps=7, activation="linear")
    space.check(space.architecture(counter))
    assert outputs(from_json([counter]), np.array([[2.0, 0.0]]), *running(space))[0, 0, 0] == 14
    assert space.build(space.architecture(counter), TASK)(torch.tensor([[2.0, 0.0]])).item() == 14


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_torch_module_gives_the_same(activation, recurrent):
    task = Task("images", (1, 2, 2), 3)
    space = space_for(task, activation=activation, recurrent=recurrent, steps=3)
    for seed in range(6):
        architecture = evolved(space, 60, seed)
        inputs = np.random.default_rng(seed).normal(size=(5, 1, 2, 2)) / 10
        ours = outputs(from_json([architecture.genome]), inputs.reshape(5, 4), *running(space))[0]
        with torch.no_grad():
            theirs = space.build(architecture, task).double()(torch.from_numpy(inputs)).numpy()
        assert theirs.shape == (5, 3)
        assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-5)  # the module's weights are float32


def test_each_parameter_of_the_module_is_a_live_gene():
    dead = copy.deepcopy(XOR)
    dead["connections"] += [[7, 0, 5, 1.0, True], [8, 5, 3, 1.0, False]]  # its way to the output is disabled
    dead["hidden"] = [4, 5]
    space = space_for()
    for genome in (XOR, dead):
        module = space.build(space.architecture(genome), TASK)
        assert sum(parameter.numel() for parameter in module.parameters()) == 7


def renamed(genome, shift, rng):
    hidden = genome["hidden"]
    names = dict(zip(hidden, rng.sample(range(100, 100 + 3 * len(hidden) + 1), len(hidden)), strict=True))
    genes = [[names.get(s, s), names.get(t, t), w, on] for _, s, t, w, on in genome["connections"]]
    rng.shuffle(genes)
    return {"hidden": sorted(names.values()), "connections": [[i + shift, *gene] for i, gene in enumerate(genes)]}


@pytest.mark.parametrize("recurrent", [False, True])
def test_isomorphic_genomes_have_one_key(recurrent):
    space = space_for(recurrent=recurrent)
    for seed in range(20):
        genome = evolved(space, 80, seed).genome
        assert len(genome["hidden"]) > 0 or seed
        other = renamed(genome, 7, random.Random(seed))
        space.check(space.architecture(other))
        assert space.architecture(other).key == space.architecture(genome).key


def test_twins_can_be_swapped():
    genes = [[0, 0, 4, 1.0, True], [1, 0, 5, 1.0, True], [2, 4, 3, 2.0, True], [3, 5, 3, 2.0, True]]
    space = space_for()
    one = space.architecture({"hidden": [4, 5], "connections": genes})
    longer = [*genes, [4, 1, 4, 1.0, True]]
    other = [*genes, [4, 1, 5, 1.0, True]]
    keys = [space.architecture({"hidden": [4, 5], "connections": more}).key for more in (longer, other)]
    assert keys[0] == keys[1] != one.key


def test_what_computes_something_else_has_another_key():
    space = space_for()
    key = space.architecture(XOR).key
    for place in range(7):
        for column, value in ((3, 0.5), (4, False)):
            other = copy.deepcopy(XOR)
            other["connections"][place][column] = value
            assert space.architecture(other).key != key
    off = copy.deepcopy(XOR)
    off["connections"].append([9, 1, 5, 3.0, False])
    off["hidden"] = [4, 5]
    assert space.architecture(off).key == key  # a disabled gene computes nothing


@pytest.mark.parametrize(
    ("place", "gene", "said"),
    [
        (0, [0, 0, 3, float("nan"), True], "weight"),
        (0, [0, 0, 3, 31.0, True], "weight"),
        (0, [0, 0, 3, "1", True], "weight"),
        (0, [0, 0, 3, 1.0, 1], "enabled"),
        (0, [0, 0, 3, 1.0], "innovation, source"),
        (1, [0, 1, 3, 2.0, True], "rise"),
        (1, [1, 0, 3, 2.0, True], "already"),
        (0, [0, 0, 1, 2.0, True], "input"),
        (0, [0, 0, 2, 2.0, True], "bias"),
        (0, [0, 3, 4, 2.0, True], "output"),
        (0, [0, -1, 3, 2.0, True], "whole numbers"),
        (0, [True, 0, 3, 2.0, True], "whole numbers"),
        (0, [0, 0, 1 << 60, 2.0, True], "whole numbers"),
    ],
)
def test_a_bad_gene_is_named(place, gene, said):
    bad = copy.deepcopy(XOR)
    bad["connections"][place] = gene
    with pytest.raises(SpaceError, match=f"Connection {place}.*{said}"):
        space_for().check(Architecture("neat:neurons", bad, ""))


def test_a_cycle_is_refused_in_a_feed_forward_space_only():
    cyclic = {"hidden": [4, 5], "connections": [[0, 4, 5, 1.0, True], [1, 5, 4, 1.0, False], [2, 5, 3, 1.0, True]]}
    with pytest.raises(SpaceError, match="recurrent=true"):
        space_for().check(Architecture("neat:neurons", cyclic, ""))
    space_for(recurrent=True).check(Architecture("neat:neurons", cyclic, ""))


def test_the_hidden_nodes_must_be_those_of_the_genes():
    with pytest.raises(SpaceError, match="hidden"):
        space_for().check(Architecture("neat:neurons", {**XOR, "hidden": [4, 5]}, ""))


@pytest.mark.parametrize(
    ("options", "said"), [({"activation": "sigmoyd"}, "sigmoid"), ({"steps": 0}, "steps"), ({"reach": 50.0}, "reach")]
)
def test_impossible_options_are_named(options, said):
    with pytest.raises(SettingsError, match=said):
        NEATSpace(**options)


def test_networks_whose_nodes_all_look_alike_are_told_apart():
    """One ring of six nodes and two rings of three: each node has the same neighbours, but they are no one network."""

    def rings(following):
        ends = [(0, node) for node in following] + list(following.items()) + [(node, 3) for node in following]
        genes = [[number, source, target, 1.0, True] for number, (source, target) in enumerate(ends)]
        return {"hidden": sorted(following), "connections": genes}

    space = space_for(recurrent=True)
    six = rings({4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 4})
    again = rings({4: 8, 8: 5, 5: 9, 9: 6, 6: 7, 7: 4})
    twice_three = rings({4: 5, 5: 6, 6: 4, 7: 8, 8: 9, 9: 7})
    keys = [space.architecture(genome).key for genome in (six, again, twice_three)]
    assert keys[0] == keys[1] != keys[2]
