"""Architectures from strangers: every installed search space accepts its own, and refuses the rest in words."""

from __future__ import annotations

import json
import random

import pytest
from fuzzing import JSON, VALUES, damaged, fuzz, refused_or
from hypothesis import given
from hypothesis import strategies as st

from nascore.contracts import Task
from nascore.options import make
from nascore.plugins import Plugins, resolve

SPACES = sorted(Plugins().parts("search_spaces"))
OPTIONS = {
    "blocks:listed": {"decisions": {"depth": [1, 2, 3], "op": ["conv", "pool"], "rate": [0.1, 1.0], "on": [True]}}
}
PICTURES, TOKENS, NUMBERS = Task("t", (1, 8, 8), 10), Task("t", (16,), 30, "language-modelling"), Task("t", (4,), 2)


def made(address):
    factory = resolve(Plugins().parts("search_spaces")[address].factory)
    space = make(factory, OPTIONS.get(address, {}), "space")
    space.name = address
    task = PICTURES if "images" in space.requires else TOKENS if "tokens" in space.requires else NUMBERS
    space.setup(task)
    return space, task


@pytest.fixture(scope="module", params=SPACES)
def space_and_task(request):
    space, task = made(request.param)
    first = space.sample(lambda _, options: options[0])
    if "mutate" in space.provides:
        space.mutate(first, random.Random(0))  # what is compiled is compiled here, and takes no input's time
    return space, task


@fuzz(0.5 / len(SPACES), 25)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_damaged_architecture_is_refused_or_is_one(space_and_task, seed, data):
    space, task = space_and_task
    rng = random.Random(seed)
    own, other = (space.sample(lambda _, options: rng.choice(options)).to_json() for _ in range(2))
    values = VALUES | st.sampled_from(leaves(other["genome"]))
    if data.draw(st.integers(0, 9)):
        given_ = {"space": space.name, "genome": data.draw(damaged(own["genome"], values))}
    else:
        given_ = data.draw(damaged(own, values))
    use(space, task, given_, rng)


@fuzz(0.1 / len(SPACES), 5)
@given(genome=VALUES, seed=st.integers(0, 2**32))
def test_any_json_is_refused_or_is_an_architecture(space_and_task, genome, seed):
    space, task = space_and_task
    use(space, task, {"space": space.name, "genome": genome}, random.Random(seed))


@fuzz(0.02, 10)
@given(data=JSON)
def test_what_is_no_architecture_at_all_is_refused(data):
    space, _ = made("blocks:nasnet")
    assert refused_or("architectures: any JSON", space.load, data) is None


def leaves(genome):
    """What stands in a genome: values that may be right elsewhere."""
    inner = genome.values() if isinstance(genome, dict) else genome if isinstance(genome, list) else None
    return [genome] if inner is None else [leaf for value in inner for leaf in leaves(value)] or [genome]


def use(space, task, given_, rng):
    """Load; what is accepted has a key and comes back from a file, and can be mutated and built, or says why not."""
    target = f"architectures: {space.name}"
    architecture = refused_or(target, space.load, given_)
    if architecture is None:
        return
    assert space.load(json.loads(json.dumps(architecture.to_json()))) == architecture
    dice = rng.randrange(8)
    if dice == 0:
        refused_or(f"{target}, built", space.build, architecture, task)
    elif dice < 3 and "mutate" in space.provides:
        child = refused_or(f"{target}, mutated", space.mutate, architecture, rng)
        if child is not None:
            space.check(child)
