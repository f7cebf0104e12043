"""Spaces made of decisions, over random programs with conditional decisions."""

from __future__ import annotations

import functools
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nascore
from nascore.decisions import Decision, FunctionSpace, _Traces
from nascore.errors import SpaceError

option = st.integers(-3, 3) | st.sampled_from(["a", "b", "c"]) | st.booleans() | st.none() | st.sampled_from([0.5, 1.0])


def unique(options):
    return [o for i, o in enumerate(options) if not any(type(o) is type(p) and o == p for p in options[:i])]


options = st.lists(option, min_size=1, max_size=4).map(unique)


class Program(nascore.DecisionSpace):
    """A random program: decisions, some of which are made only after an answer to another one."""

    name = "program"

    def __init__(self, nodes):
        self.nodes = nodes  # [(options, index of the answer that asks more, nodes)]

    def decide(self, choose):
        return self.walk(choose, self.nodes, "d")

    def walk(self, choose, nodes, prefix):
        made = []
        for i, (allowed, trigger, inner) in enumerate(nodes):
            value = choose(f"{prefix}{i}", allowed)
            made.append(value)
            if inner and value is allowed[trigger % len(allowed)]:
                made += self.walk(choose, inner, f"{prefix}{i}.")
        return made

    def build(self, architecture, task):
        raise NotImplementedError


def nodes_of(inner):
    return st.lists(st.tuples(options, st.integers(0, 3), inner), max_size=3)


programs = nodes_of(nodes_of(nodes_of(st.just([])))).map(Program)
flat = st.lists(st.tuples(options, st.just(0), st.just([])), min_size=1, max_size=5).map(Program)


def draw(space, rng):
    return space.sample(lambda name, allowed: rng.choice(allowed))


def same(a, b):
    """Equal as JSON text: 1, 1.0 and true are three things."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def assert_is_of(space, architecture):
    """The architecture is what the program would make of its own genome, seen by a fresh space without memory."""
    fresh = Program(space.nodes)
    again = fresh.load(json.loads(json.dumps(architecture.to_json())))
    assert again == architecture
    assert list(architecture.genome) == [d.name for d in fresh.decisions(architecture)]
    assert same(architecture.genome, {d.name: d.value for d in fresh.decisions(architecture)})


@given(programs, st.randoms(use_true_random=False))
def test_what_is_sampled_mutated_crossed_and_replayed_is_in_the_space(space, rng):
    first, second = draw(space, rng), draw(space, rng)
    assert_is_of(space, first)
    child = space.crossover(first, second, rng)
    assert_is_of(space, child)
    for name in first.genome.keys() & second.genome.keys() & child.genome.keys():
        assert any(same(child.genome[name], parent.genome[name]) for parent in (first, second))
    assert same(space.replay(first.genome, rng).genome, first.genome)
    assert_is_of(space, space.replay(second.genome | {"unknown": 3, "d0": "not an option"}, rng))
    assert space.structure(first) == list(first.genome.values())
    if any(len(d.options) > 1 for d in space.decisions(first)):
        before = json.dumps(first.to_json())
        mutant = space.mutate(first, rng)
        assert_is_of(space, mutant)
        assert not same(mutant.genome, first.genome)
        assert json.dumps(first.to_json()) == before


@given(flat, st.randoms(use_true_random=False))
def test_a_mutation_changes_exactly_one_decision_when_nothing_is_conditional(space, rng):
    parent = draw(space, rng)
    if all(len(d.options) == 1 for d in space.decisions(parent)):
        with pytest.raises(SpaceError, match="no decision of 'program' has a second option"):
            space.mutate(parent, rng)
        return
    child = space.mutate(parent, rng)
    assert list(child.genome) == list(parent.genome)
    assert sum(not same(child.genome[name], parent.genome[name]) for name in parent.genome) == 1


def test_a_mutation_keeps_what_is_still_asked_and_draws_only_what_is_new():
    space = Program([(["x", "y"], 1, [([0, 1], 9, [])]), (list(range(50)), 9, [])])
    parent = space.load({"space": "program", "genome": {"d0": "x", "d1": 33}})
    grown = [c for seed in range(40) if "d0.0" in (c := space.mutate(parent, random.Random(seed))).genome]
    assert grown
    assert {child.genome["d1"] for child in grown} == {33}
    assert {child.genome["d0.0"] for child in grown} == {0, 1}


def test_mutations_reach_every_neighbour_and_pick_the_kind_first():
    class Kinds(Program):
        def group(self, name):
            return "rare" if name == "d0" else "often"

    space = Kinds([([0, 1], 9, [])] + [([0, 1, 2], 9, [])] * 9)
    parent = space.load({"space": "program", "genome": {f"d{i}": 0 for i in range(10)}})
    rng = random.Random(0)
    children = [space.mutate(parent, rng).genome for _ in range(2000)]
    changed = [next((name, value) for name, value in child.items() if value != 0) for child in children]
    assert len(set(changed)) == 1 + 9 * 2
    assert 900 < sum(name == "d0" for name, _ in changed) < 1100  # half of them; 4.5 standard deviations


def test_crossover_takes_either_parent_as_likely():
    space = Program([([0, 1], 9, [])] * 10)
    first, second = (space.load({"space": "program", "genome": {f"d{i}": v for i in range(10)}}) for v in (0, 1))
    rng = random.Random(0)
    total = sum(sum(space.crossover(first, second, rng).genome.values()) for _ in range(500))
    assert 2300 < total < 2700


SPACE = [([1, 2], 0, [(["a", "b"], 9, [])]), ([True, None], 9, [])]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "a JSON object with the keys 'space' and 'genome'"),
        ({"space": "program"}, "a JSON object with the keys"),
        ({"space": "other", "genome": {}}, "of the space 'other', not of 'program'"),
        ({"space": "program", "genome": []}, "is an object of decisions; got list"),
        ({"space": "program", "genome": None}, "got NoneType"),
        ({"space": "program", "genome": {}}, r"'d0' is missing; allowed: \[1, 2\]"),
        ({"space": "program", "genome": {"d0": 1, "d1": True}}, r"'d0\.0' is missing; allowed: \['a', 'b'\]"),
        ({"space": "program", "genome": {"d0": 3, "d1": True}}, r"'d0' is 3; allowed: \[1, 2\]"),
        ({"space": "program", "genome": {"d0": True, "d1": True}}, "'d0' is True"),
        ({"space": "program", "genome": {"d0": 2.0, "d1": True}}, r"'d0' is 2\.0"),
        ({"space": "program", "genome": {"d0": 2, "d1": 1}}, "'d1' is 1"),
        ({"space": "program", "genome": {"d0": 2, "d1": [None]}}, r"'d1' is \[None\]"),
        ({"space": "program", "genome": {"d0": 2, "d1": None, "d0.0": "a"}}, r"makes no decision 'd0\.0' here"),
    ],
)
def test_a_strangers_architecture_is_refused_with_the_decision_and_the_reason(data, said):
    with pytest.raises(SpaceError, match=said):
        Program(SPACE).load(data)


def test_a_stored_key_is_not_trusted():
    good = Program(SPACE).load({"space": "program", "genome": {"d0": 2, "d1": None}})
    assert Program(SPACE).load({"space": "program", "genome": {"d0": 2, "d1": None}, "key": "forged"}) == good
    assert good.key != Program(SPACE).load({"space": "program", "genome": {"d0": 2, "d1": True}}).key


@pytest.mark.parametrize("answer", [3, "1", True, 1.0, None, [1]])
def test_an_answer_that_is_no_option_is_an_error_and_is_not_remembered(answer):
    space = Program([([1, 2], 9, [])])
    with pytest.raises(SpaceError, match="'d0' was answered by"):
        space.sample(lambda name, allowed: answer)
    with pytest.raises(SpaceError, match="'d0' is"):
        space.check(space.architecture({"d0": answer}))


def test_the_program_gets_its_own_option_back():
    space = Program([(["".join("ab"), "cd"], 9, [])])
    architecture = space.load(json.loads('{"space": "program", "genome": {"d0": "ab"}}'))
    assert space.structure(architecture)[0] is space.nodes[0][0][0]


@pytest.mark.parametrize("bad", [[(1, 3)], [[1]], [object()], [1, {"a": 2}]])
def test_options_must_be_json_scalars(bad):
    with pytest.raises(SpaceError, match=r"'d0' has options .*an option is None, a bool, an int, a float or a text"):
        draw(Program([(bad, 9, [])]), random.Random(0))


def test_numpy_numbers_are_no_options():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(SpaceError, match="of Python's own types"):
        draw(Program([(list(numpy.arange(3)), 9, [])]), random.Random(0))


def test_options_that_are_given_twice_only_weigh_more():
    space = Program([([1, 1], 9, []), ([1, 1, 2], 9, [])])
    parent = space.load({"space": "program", "genome": {"d0": 1, "d1": 1}})
    assert {space.mutate(parent, random.Random(s)).genome["d1"] for s in range(9)} == {2}


def function_space(function, **answers):
    space = FunctionSpace(function)
    return space, space.sample(lambda name, allowed: answers.get(name, allowed[0]))


def test_one_name_with_other_options_is_an_error_and_the_same_again_is_one_decision():
    _, architecture = function_space(lambda choose: [choose("a", [1, 2]), choose("a", (1, 2))], a=2)
    assert architecture.genome == {"a": 2}
    with pytest.raises(SpaceError, match=r"'a' came with other options before: \[1, 2\], now \[3\]"):
        function_space(lambda choose: [choose("a", [1, 2]), choose("a", [3])])
    with pytest.raises(SpaceError, match="'a' has no options"):
        function_space(lambda choose: choose("a", []))


def test_decisions_are_listed_in_the_order_of_the_program():
    space, architecture = function_space(lambda choose: (choose("b", [1, 2]), choose("a", ["x"])), b=2)
    assert space.decisions(architecture) == (Decision("b", (1, 2), 2), Decision("a", ("x",), "x"))


def test_no_more_decisions_are_remembered_than_said_and_forgetting_changes_nothing(monkeypatch):
    def searched(limit):
        monkeypatch.setattr(_Traces, "LIMIT", limit)
        space, rng = Program([(list(range(10)), 9, [])] * 3), random.Random(0)
        made = [draw(space, rng) for _ in range(100)]
        for _ in range(300):
            made.append(space.mutate(rng.choice(made), rng))
            assert space._traces._decisions == 3 * len(space._traces._traces) <= limit
        assert all(space.decisions(one)[1].value == one.genome["d1"] for one in made)
        return made

    assert searched(48) == searched(2) == searched(10**6)


def test_what_is_remembered_of_a_genome_is_not_said_of_one_that_only_equals_it_in_python():
    space = Program([([1, True, 1.0], 9, []), ([0, 1], 9, [])])
    made = [draw(space, random.Random(seed)) for seed in range(40)]
    genomes = {json.dumps(one.genome): one for one in made}
    assert len(genomes) == len({one.key for one in made}) == 6
    for text, one in genomes.items():
        assert json.dumps(space.replay(json.loads(text), random.Random(0)).genome) == text
        assert same([d.value for d in space.decisions(one)], list(one.genome.values()))


def test_a_known_genome_is_neither_run_nor_hashed_again():
    space = Program([([0, 1, 2], 9, [])] * 2)
    runs, rng = [], random.Random(0)
    decide = space.decide
    space.decide = lambda choose: runs.append(1) or decide(choose)
    parent = draw(space, rng)
    children = {id(child): child for child in [space.mutate(parent, rng) for _ in range(200)]}
    assert len(children) == 4  # its neighbours, one object each
    assert len(runs) == 1 + 4


def test_a_space_that_sampled_before_it_had_its_name_forgets_the_old_one():
    space = Program([([0, 1], 9, [])])
    space.name = ""
    draw(space, random.Random(0))
    space.name = "program"
    assert draw(space, random.Random(0)) == Program(space.nodes).load({"space": "program", "genome": {"d0": 1}})


# ------------------------------------------------------------------------------------ functions


def test_a_function_with_a_task_gets_it_and_one_without_does_not():
    torch = pytest.importorskip("torch")
    task = nascore.Task("t", (3, 8, 8), 10)

    @nascore.search_space
    def mine(choose, task):
        return torch.nn.Linear(1, task.channels * choose("width", [2, 4]))

    mine.setup(task)
    architecture = mine.sample(lambda name, allowed: 4)
    assert (mine.name, architecture.space, mine.build(architecture, task).out_features) == ("mine", "mine", 12)
    plain, chosen = function_space(lambda choose: torch.nn.Linear(1, choose("width", [2, 4])), width=4)
    assert plain.build(chosen, task).out_features == 4


def test_looking_at_decisions_draws_nothing_from_the_global_generators():
    torch = pytest.importorskip("torch")
    space, architecture = function_space(lambda choose: torch.nn.Linear(choose("n", [3, 5]), 2))
    before = torch.get_rng_state()
    FunctionSpace(space.function).decisions(architecture)
    assert torch.equal(torch.get_rng_state(), before)
    space.build(architecture, None)
    assert not torch.equal(torch.get_rng_state(), before)  # building is initialised from it, as the contract says


@pytest.mark.parametrize("function", [lambda: 1, lambda a, b, c: 1, dict, functools.partial(lambda a, b, c, d: 1, 1)])
def test_other_functions_are_refused(function):
    with pytest.raises(SpaceError, match=r"a function of \(choose\) or \(choose, task\); .* takes \["):
        FunctionSpace(function)


def test_a_partial_and_a_callable_object_are_functions_too():
    class Callable:
        def __call__(self, choose):
            return choose("a", [1])

    assert function_space(functools.partial(lambda n, choose: choose("a", [n]), 7))[1].genome == {"a": 7}
    assert function_space(Callable())[0].name == "Callable"
