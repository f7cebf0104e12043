"""From settings to parts: references, arguments, presets, objectives, and the messages on the way."""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest
import toy_parts
from fake_plugins import Workbench, offers
from hypothesis import given
from hypothesis import strategies as st

import nascore
from nascore.decisions import FunctionSpace
from nascore.errors import CapabilityError, DataError, NascoreError, PluginError, SettingsError, UsageError
from nascore.parts import Workshop
from nascore.records import Constraint, Direction, Metric, Objective
from nascore.settings import merge

METHOD = """
@hookimpl
def nascore_methods():
    return [Method({name!r}, "a method", "toys:letters", {sampler!r}, "toys:table", "toys:nodata", ("toys:vowels",),
                   presets={presets!r}, default={default!r})]
"""
PRESETS = {
    "quick": {"trials": 7, "space.length": 4, "sampler.size": 3},
    "paper": {"trials": 700, "space.length": 40, "data": "toys:folder:./big", "seed": 5},
}
MINE = """
from fake_toyparts import Sized, Folder
from toy_parts import Letters, Vowels
def space(choose): return choose("a", [1, 2])
def data(seed=3): return [1, 2, 3]
made = Letters(3)
number = 5
"""
TOYPARTS = """
import nascore
from nascore.records import Metric, Direction
class Sized(nascore.Sampler):
    def __init__(self, size: int = 1): self.size = size
    def ask(self, view): return None
class Other(Sized):
    def __init__(self, depth: int = 1): self.depth = depth
class Picky(Other):
    requires = frozenset({"policy"})
class Folder(nascore.Dataset):
    def __init__(self, path: str, root: str = "."): self.path, self.root = path, root
    def load(self, seed):
        return nascore.Splits(nascore.Task(f"{self.root}:{self.path}", (1, 2, 2), 3), [], [], "secret")
class User(nascore.Dataset):
    def __init__(self, source, share: float = 0.5): self.source, self.share = source, share
    def load(self, seed): return nascore.Splits(nascore.Task("user", (1, 2, 2), 3), self.source, [], [])
class Latency(nascore.CostModel):
    metrics = {"latency_ms": Metric("ms", Direction.MINIMIZE), "waits": Metric("", Direction.MAXIMIZE)}
    def __init__(self, repeats: int = 3): self.repeats = repeats
    def estimate(self, space, architecture, context): return {}
class Policy(nascore.DecisionSpace):
    provides = nascore.DecisionSpace.provides | {"policy"}
    def decide(self, choose): return choose("a", [1])
    def build(self, architecture, task): return None
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        bench = Workbench(tmp_path_factory.mktemp("plugins"), patch)
        bench.module("fake_toyparts", TOYPARTS)
        bench.module("fake_mine", MINE)
        toys = (
            offers("evaluators", "table", factory="toy_parts:Table")
            + """
@hookimpl
def nascore_search_spaces():
    return [Component("letters", "", "toy_parts:Letters"), Component("policy", "", "fake_toyparts:Policy")]
@hookimpl
def nascore_datasets():
    return [Component("nodata", "", "toy_parts:NoData"), Component("folder", "", "fake_toyparts:Folder"),
            Component("user", "", "fake_toyparts:User")]
@hookimpl
def nascore_cost_models():
    return [Component("vowels", "", "toy_parts:Vowels"), Component("latency", "", "fake_toyparts:Latency"),
            Component("latency_again", "", "fake_toyparts:Latency"),
            Component("broken", "", "not_there:Cost"), Component("function", "", "fake_mine:space")]
"""
        )
        bench.plugin("toys", toys)
        samplers = offers("samplers", "sized", factory="fake_toyparts:Sized")
        bench.plugin(
            "alpha", samplers + METHOD.format(name="alpha", sampler="alpha:sized", presets=PRESETS, default=False)
        )
        more = """
@hookimpl
def nascore_samplers():
    return [Component("other", "", "fake_toyparts:Other"), Component("picky", "", "fake_toyparts:Picky")]
"""
        presets = {"paper": {"trials": 9}}
        bench.plugin("beta", more + METHOD.format(name="beta", sampler="beta:other", presets=presets, default=True))
        yield bench
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


@pytest.fixture
def shop(bench):
    return Workshop(bench.plugins())


def resolve(shop, *layers, plugin="alpha", preset=""):
    return shop.settings(plugin, preset, layers)


# ------------------------------------------------------------------------------------ settings


def test_quick_is_the_default_preset_and_the_method_names_the_parts(shop):
    settings = resolve(shop)
    assert (settings.plugin, settings.preset, settings.trials) == ("alpha", "quick", 7)
    assert settings.space == {"use": "toys:letters", "length": 4}
    assert settings.sampler == {"use": "alpha:sized", "size": 3}
    assert (settings.evaluator, settings.data, settings.costs) == (
        {"use": "toys:table"},
        {"use": "toys:nodata"},
        ["toys:vowels"],
    )


def test_another_preset_and_a_method_without_quick(shop):
    paper = resolve(shop, preset="paper")
    assert (paper.trials, paper.space["length"], paper.seed) == (700, 40, 5)
    assert resolve(shop, {"trials": 2}, plugin="beta").preset == ""


def test_layers_win_over_the_preset_and_the_last_over_the_first(shop):
    settings = resolve(shop, {"space": {"length": 9}, "trials": 8}, {"trials": 9, "costs": []})
    assert (settings.trials, settings.space, settings.costs) == (9, {"use": "toys:letters", "length": 9}, [])


@pytest.mark.parametrize("use", ["sized", "alpha:sized"])
def test_naming_the_same_part_in_another_way_keeps_its_options(shop, use):
    assert resolve(shop, {"sampler": use}).sampler == {"use": "alpha:sized", "size": 3}


def test_another_part_drops_the_options_of_the_layers_below_only(shop):
    assert resolve(shop, {"sampler": {"size": 8}}, {"sampler": "other"}).sampler == {"use": "beta:other"}
    assert resolve(shop, {"sampler": "other"}, {"sampler": {"depth": 8}}).sampler == {"use": "beta:other", "depth": 8}
    assert resolve(shop, {"data": "nodata"}, preset="paper").data == {"use": "toys:nodata"}


def test_the_strongest_layer_names_the_method_and_the_argument_wins_over_all(shop):
    layers = [{"plugin": "beta", "preset": "paper"}, {"plugin": "alpha", "preset": "quick"}]
    assert resolve(shop, *layers, plugin="").plugin == "alpha"
    assert resolve(shop, *reversed(layers), plugin="").trials == 9
    assert resolve(shop, *layers, plugin="beta", preset="paper").plugin == "beta"
    assert layers[0] == {"plugin": "beta", "preset": "paper"}


def test_without_a_method_that_of_the_samplers_plugin_serves_else_the_default_one(shop):
    assert resolve(shop, {"sampler": {"use": "alpha:sized"}}, plugin="").plugin == "alpha"
    assert resolve(shop, {"sampler": "alpha:sized"}, {"sampler": {"size": 2}}, plugin="").sampler["size"] == 2
    assert resolve(shop, {"trials": 3}, plugin="").plugin == "beta"


def test_without_any_method_installed(bench):
    shop = Workshop(nascore.plugins.Plugins([p for p in bench.points if p.name == "toys"]))
    with pytest.raises(PluginError, match="No method is installed; try: pip install nascore-"):
        resolve(shop, {"trials": 3}, plugin="")


@pytest.mark.parametrize(
    ("layer", "arguments", "said"),
    [
        ({}, {"plugin": "alhpa"}, r"no method 'alhpa'; did you mean 'alpha'\? Allowed: alpha, beta"),
        ({}, {"preset": "papre"}, r"'alpha' has no preset 'papre'; did you mean 'paper'\? Allowed: paper, quick"),
        ({"spcae": "x"}, {}, r"no setting 'spcae'; did you mean 'space'\?"),
        ({"space": "lettres"}, {}, r"no search space 'lettres'; did you mean 'letters'\?"),
        ({"sampler": "toys:sized"}, {}, "The plugin 'toys' has no sampler 'sized'"),
        (
            {"data": "foldr:./x"},
            {},
            r"no plugin, data set or module 'foldr'; did you mean 'folder'\? Allowed: alpha, beta, folder",
        ),
        ({"space": "mine.py"}, {}, r"space = 'mine\.py': say which object of the file: mine\.py:NAME"),
        ({"space": 5}, {}, r"space = 5: write a name, or a table"),
        ({"sampler": {"use": ["x"]}}, {}, r"sampler = .*: write a name, or a table"),
        ({"plugin": 5}, {"plugin": ""}, r"plugin = 5: write the name of one"),
        ({"preset": ["quick"]}, {}, r"preset = \['quick'\]: write the name of one"),
    ],
)
def test_a_mistake_names_the_nearest(shop, layer, arguments, said):
    with pytest.raises(UsageError, match=said):
        resolve(shop, layer, **arguments)


junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=3), x, max_size=2),
)
tables = st.sampled_from(
    ["plugin", "preset", "space", "sampler", "evaluator", "data", "executor", "pruner", "cost", "costs"]
)


@given(st.dictionaries(tables, junk, max_size=3))
def test_any_layer_is_settings_or_refused(bench, layer):
    try:
        resolve(Workshop(bench.plugins()), layer, plugin="")
    except NascoreError as error:
        assert str(error)  # noqa: PT017 - both ends are allowed


# ------------------------------------------------------------------------------------ parts


def assemble(shop, *layers, **arguments):
    return shop.assemble(resolve(shop, *layers, **arguments))


def test_the_parts_are_made_with_their_options_and_set_up(shop):
    parts = assemble(shop, {"seed": 4})
    assert (parts.space.name, parts.space.length) == ("toys:letters", 4)
    assert (parts.sampler.size, parts.sampler.seed, parts.sampler.space) == (3, 4, parts.space)
    assert parts.evaluator.space is parts.space
    assert list(parts.costs) == ["toys:vowels"]
    assert parts.objectives == (Objective("accuracy", Direction.MAXIMIZE),) == parts.sampler.objectives


def test_an_evaluator_never_gets_the_test_split(shop):
    parts = assemble(shop, {"data": "folder:x"})
    assert parts.data.test == "secret"
    with pytest.raises(DataError, match="never sees the test split"):
        len(parts.evaluator.data.test)


@pytest.mark.parametrize("use", ["folder:./photos/a:b", "toys:folder:./photos/a:b"])
def test_a_part_with_an_argument(shop, use):
    settings = resolve(shop, {"data": use}, {"data": {"root": "R"}})
    assert settings.data == {"use": "toys:folder:./photos/a:b", "root": "R"}
    assert shop.assemble(settings).data.task.name == "R:./photos/a:b"


def test_arguments_that_are_missing_or_too_many(shop):
    with pytest.raises(SettingsError, match=r"data\.path is required"):
        assemble(shop, {"data": "folder"})
    with pytest.raises(SettingsError, match=r"space\.length = '5:6'"):
        assemble(shop, {"space": "toys:letters:5:6"})
    with pytest.raises(SettingsError, match=r"data: .*takes (no|1 positional) argument"):
        assemble(shop, {"data": "toys:nodata:x"})


@pytest.mark.parametrize(
    ("table", "name", "kind"),
    [("space", "space", FunctionSpace), ("space", "Letters", toy_parts.Letters), ("space", "made", toy_parts.Letters),
     ("sampler", "Sized", nascore.Sampler), ("data", "data", nascore.Splits)],
)  # fmt: skip
@pytest.mark.parametrize("by", ["file", "module"])
def test_a_users_own_part_by_file_or_module(bench, shop, table, name, kind, by):
    where = f"{bench.folder}/fake_mine.py" if by == "file" else "fake_mine"
    settings = resolve(shop, {table: f"{where}:{name}", "costs": []})
    assert getattr(settings, table) == {"use": f"{where}:{name}"}  # and no option of the method's own part
    part = getattr(shop.assemble(settings), table)
    assert isinstance(part, kind)
    if table == "space":
        assert part.name in ("space", f"{where}:{name}")


def test_a_users_class_takes_options_and_an_instance_takes_none(bench, shop):
    where = f"{bench.folder}/fake_mine.py"
    assert assemble(shop, {"space": {"use": f"{where}:Letters", "length": 2}}).space.length == 2
    with pytest.raises(SettingsError, match=r"space\.lengths is no option of Letters; did you mean 'length'"):
        assemble(shop, {"space": {"use": f"{where}:Letters", "lengths": 2}})
    with pytest.raises(SettingsError, match=r"space\.length: the object .*made' takes no options any more"):
        assemble(shop, {"space": {"use": f"{where}:made", "length": 2}})
    with pytest.raises(SettingsError, match=r"sampler = .*number' is int, not a Sampler"):
        assemble(shop, {"sampler": f"{where}:number"})
    with pytest.raises(SettingsError, match="is function, not a Evaluator"):
        assemble(shop, {"evaluator": f"{where}:space"})
    with pytest.raises(PluginError, match=r"has no 'spice'; did you mean 'space'\?"):
        assemble(shop, {"space": f"{where}:spice"})


def test_a_users_data_are_wrapped_with_options(bench, shop):
    use = f"{bench.folder}/fake_mine.py:data"
    parts = assemble(shop, {"data": {"use": use, "share": 0.1}})
    assert parts.data.train(seed=1) == [1, 2, 3]


def test_objects_from_python_need_no_address(bench):
    sampler = toy_parts.Letters(2)
    shop = Workshop(bench.plugins(), {"space": sampler, "data": ([1], [2])})
    parts = assemble(shop, {"space": {"use": "<Letters>"}, "data": {"use": "<tuple>"}})
    assert parts.space is sampler
    assert parts.space.name == "<Letters>"
    assert parts.data.train == ([1], [2])


def test_options_are_checked_against_the_part(shop):
    with pytest.raises(SettingsError, match=r"sampler\.siez is no option of Sized; did you mean 'size'"):
        assemble(shop, {"sampler": {"siez": 2}})
    with pytest.raises(SettingsError, match=r"sampler\.size = 'big'"):
        assemble(shop, {"sampler": {"size": "big"}})


def test_without_a_part(shop):
    with pytest.raises(SettingsError, match="No space is chosen: give --space NAME"):
        shop.assemble(merge([{"trials": 1}]))


def test_parts_that_do_not_fit_name_what_would(shop):
    with pytest.raises(CapabilityError, match=r"'beta:picky' requires 'policy'.*these do: search space toys:policy"):
        assemble(shop, {"sampler": "picky"})
    assemble(shop, {"sampler": "picky", "space": "policy", "costs": []})


# ------------------------------------------------------------------------------------ objectives and costs


def test_objectives_bring_the_cost_models_that_price_them(shop):
    parts = assemble(
        shop, {"objectives": ["loss", "latency_ms", "vowels"], "costs": [], "cost": {"latency": {"repeats": 8}}}
    )
    assert parts.objectives == (
        Objective("loss", Direction.MINIMIZE),
        Objective("latency_ms", Direction.MINIMIZE),
        Objective("vowels", Direction.MINIMIZE),
    )
    assert list(parts.costs) == ["toys:latency", "toys:vowels"]
    assert parts.costs["toys:latency"].repeats == 8


def test_constraints_bring_them_too_and_one_model_once(shop):
    parts = assemble(shop, {"constraints": ["latency_ms<=2", "waits>=1", "accuracy>=0.5"], "costs": []})
    assert parts.constraints == (
        Constraint("latency_ms", 2.0),
        Constraint("waits", 1.0, False),
        Constraint("accuracy", 0.5, False),
    )
    assert list(parts.costs) == ["toys:latency"]


def test_named_cost_models_come_first_by_any_address(shop):
    parts = assemble(shop, {"costs": ["latency", "toys:vowels"], "cost": {"toys:latency": {"repeats": 9}}})
    assert list(parts.costs) == ["toys:latency", "toys:vowels"]
    assert parts.costs["toys:latency"].repeats == 9


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (
            {"objectives": ["acuracy"]},
            r"no objective 'acuracy'; did you mean 'accuracy'\? Allowed: accuracy, loss, vowels",
        ),
        ({"objectives": ["energy_mj"]}, "no objective 'energy_mj'"),
        ({"constraints": ["vowel<=2"]}, r"nothing to constrain called 'vowel'; did you mean 'vowels'\?"),
        ({"constraints": ["vowels<=-1"]}, "'vowels<=-1' can never hold: a cost is not negative"),
        ({"costs": ["vowles"]}, r"no cost model 'vowles'; did you mean 'vowels'\?"),
        ({"cost": {"latency": {"repeat": 1}}, "costs": ["latency"]}, r"cost\.repeat is no option of Latency"),
        ({"cost": {"latncy": {"repeats": 1}}}, r"cost\.latncy: no cost model has this name; did you mean 'latency'\?"),
    ],
)
def test_a_bad_objective_constraint_or_cost_names_the_nearest(shop, layer, said):
    with pytest.raises(SettingsError if "costs" not in layer else UsageError, match=said):
        assemble(shop, layer)


def test_a_negative_limit_can_hold_for_an_objective(shop):
    assert assemble(shop, {"constraints": ["accuracy<=-1"]}).constraints == (Constraint("accuracy", -1.0),)


def test_an_evaluator_without_objectives(bench):
    class Mute(toy_parts.Table):
        objectives: ClassVar = {}

    shop = Workshop(bench.plugins(), {"evaluator": Mute()})
    with pytest.raises(SettingsError, match="declares no objective"):
        assemble(shop)


def test_the_direction_is_the_metrics_own(bench):
    class Textual(toy_parts.Table):
        objectives: ClassVar = {"error": Metric("", "minimize")}

    assert assemble(Workshop(bench.plugins(), {"evaluator": Textual()})).objectives == (
        Objective("error", Direction.MINIMIZE),
    )


def test_the_executor(shop):
    from nascore.executors import Serial

    assert isinstance(shop.executor(resolve(shop)), Serial)
    with pytest.raises(SettingsError, match="no executor 'parallel'"):
        resolve(shop, {"executor": "parallel"})
