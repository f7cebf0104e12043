"""Plugins: found by metadata, imported one by one, broken ones told and passed over."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from fake_plugins import Workbench, offers

from nascore.errors import PluginError
from nascore.plugins import KINDS, Plugins, resolve


@pytest.fixture
def bench(tmp_path, monkeypatch):
    yield Workbench(tmp_path, monkeypatch)
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]


NO_PARTS = {kind: [] for kind in KINDS}
GOOD = offers("samplers", "good", "plain") + offers("search_spaces", "good")


def test_listing_imports_nothing_and_loading_imports_one(bench):
    bench.plugin("a", GOOD)
    bench.plugin("b", GOOD)
    plugins = bench.plugins()
    assert plugins.names == ["a", "b"]
    assert not {"fake_a", "fake_b"} & set(sys.modules)
    plugin = plugins.load("a")
    assert ({"fake_a", "fake_b"} & set(sys.modules)) == {"fake_a"}
    assert plugins.load("a") is plugin
    assert plugin.summary() == {
        "name": "a", "distribution": "dist-a", "version": "1.2", "status": "ok", "error": None,
        "parts": NO_PARTS | {"samplers": ["good", "plain"], "search_spaces": ["good"]},
    }  # fmt: skip


BROKEN = {
    "an import that fails": ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
    "a syntax error": ("def", "SyntaxError"),
    "an exit at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "a hook that raises": ("@hookimpl\ndef nascore_samplers():\n    raise KeyError('x')", "KeyError: 'x'"),
    "a misspelt hook": (
        GOOD.replace("samplers", "sampelrs"), "no hook 'nascore_sampelrs'; did you mean 'nascore_samplers'?",
    ),
    "a misspelt hook without its mark": ("def nascore_sampelrs(): ...", "did you mean 'nascore_samplers'?"),
    "a hook without its mark": (
        GOOD.replace("@hookimpl", "", 1), "'nascore_samplers' is not marked: write @nascore.hookimpl",
    ),
    "a misspelt life-cycle hook": ("@hookimpl\ndef nascore_trial_ended(): ...", "no hook 'nascore_trial_ended'"),
    "an argument that the hook has not": ("@hookimpl\ndef nascore_samplers(config): return []", "config"),
    "a life-cycle argument that the hook has not": ("@hookimpl\ndef nascore_trial_finished(trail): ...", "trail"),
    "what is no record": ("@hookimpl\ndef nascore_samplers(): return ['x']", "must return Component records; got 'x'"),
    "a text instead of records": (
        "@hookimpl\ndef nascore_samplers(): return 'xy'", "must return a list of records; got 'xy'",
    ),
    "one record instead of a list": (
        "@hookimpl\ndef nascore_samplers(): return Component('a', 'b', 'c:d')",
        "must return a list of records; got Component(",
    ),
    "the wrong kind of record": (offers("methods", "m"), "nascore_methods must return Method records; got Component("),
    "one name twice": (offers("samplers", "x", "y", "x"), "nascore_samplers gives the name 'x' twice"),
    "a name that no address can hold": (
        offers("samplers", "a:b"), "gives the name 'a:b'; a name is not empty and has no ':'",
    ),
    "an empty name": (offers("samplers", ""), "gives the name ''"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_told_and_harms_no_other(bench, source, said):
    bench.plugin("bad", source)
    bench.plugin("fine", GOOD)
    plugins = bench.plugins()
    bad, fine = plugins.load_all()
    assert said in bad.error
    assert "pip install --force-reinstall dist-bad" in bad.error
    assert (bad.summary()["status"], bad.summary()["parts"]) == ("broken", NO_PARTS)
    assert (fine.name, fine.error) == ("fine", "")
    assert plugins.find("samplers", "good")[0] == "fine:good"
    with pytest.raises(PluginError, match=r"The plugin 'bad' \(dist-bad\) is broken: "):
        plugins.find("samplers", "bad:good")
    with pytest.raises(PluginError, match=r"no sampler 'nothing'.* \(broken, see `nascore plugins list`: bad\)"):
        plugins.find("samplers", "nothing")


def test_ctrl_c_while_a_plugin_is_imported_is_no_fault_of_the_plugin(bench):
    bench.plugin("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        bench.plugins().load("slow")


def test_an_announced_module_that_is_not_there(bench):
    bench.announce("gone", "fake_gone")
    assert "No module named 'fake_gone'" in bench.plugins().load("gone").error


def test_helpers_and_optional_hooks_are_no_misspelt_hooks(bench):
    optional = "@hookimpl(optionalhook=True)\ndef nascore_hook_of_a_later_version(): return []\n"
    bench.plugin("a", GOOD + optional + "import nascore as nascore_itself\nnascore_constant = 3\ndef helper(): ...\n")
    assert bench.plugins().load("a").error == ""


def test_two_distributions_that_claim_one_name_are_both_named_and_neither_is_imported(bench):
    bench.plugin("a", GOOD, "first-dist")
    bench.announce("a", "fake_a", "second-dist")
    plugins = bench.plugins()
    assert "first-dist and second-dist both claim the name 'a'" in plugins.load("a").error
    assert "pip uninstall" in plugins.load("a").error
    assert "fake_a" not in sys.modules
    with pytest.raises(PluginError, match="both claim the name 'a'"):
        plugins.find("samplers", "a:good")


def test_one_distribution_that_is_found_twice_is_one(bench):
    bench.plugin("a", GOOD)
    bench.points *= 2
    assert bench.plugins().load("a").error == ""


def test_an_entry_point_without_a_distribution(bench):
    bench.module("fake_a", GOOD)
    plugins = Plugins([importlib.metadata.EntryPoint("a", "fake_a", "nascore")])
    assert (plugins.load("a").distribution, plugins.load("a").error) == ("(no distribution)", "")


# ------------------------------------------------------------------------------------ looking up


@pytest.fixture
def three(bench):
    bench.plugin("amoebanet", offers("samplers", "amoebanet", "shared"))
    bench.plugin("blocks", offers("samplers", "shared", "alone") + offers("datasets", "digits"))
    bench.plugin("other", offers("samplers", "amoebanet"))
    return bench.plugins()


@pytest.mark.parametrize(
    ("address", "full"),
    [
        ("amoebanet:shared", "amoebanet:shared"),
        ("alone", "blocks:alone"),
        ("amoebanet", "amoebanet:amoebanet"),  # the plugin of the same name goes first
        ("other:amoebanet", "other:amoebanet"),
    ],
)
def test_a_part_is_found_by_its_address_or_its_own_name(three, address, full):
    found, record = three.find("samplers", address)
    assert (found, record.name) == (full, full.split(":")[1])


@pytest.mark.parametrize(
    ("kind", "address", "said"),
    [
        (
            "samplers",
            "shared",
            "More than one plugin has a sampler 'shared': say which: amoebanet:shared, blocks:shared",
        ),
        ("samplers", "alon", r"no sampler 'alon'; did you mean 'alone'\? Allowed: alone, amoebanet:amoebanet, "),
        ("samplers", "blocks:alon", r"The plugin 'blocks' has no sampler 'alon'; did you mean 'alone'\?"),
        ("samplers", "blokcs:alone", r"no plugin 'blokcs'; did you mean 'blocks'\? .*plugins install nascore-blokcs"),
        ("datasets", "alone", "no data set 'alone'; Allowed: digits"),
        ("executors", "x", "no executor 'x'; none is available"),
        ("samplers", "", "no sampler ''"),
        ("samplers", ":", "no sampler ''"),
        ("samplers", "a:b:c", "no plugin 'a:b'"),
    ],
)
def test_a_part_that_is_not_found_names_the_nearest(three, kind, address, said):
    with pytest.raises(PluginError, match=said):
        three.find(kind, address)


def test_an_unknown_plugin_names_the_nearest(three):
    with pytest.raises(
        PluginError, match=r"no plugin 'amoebanets'; did you mean 'amoebanet'\? Allowed: amoebanet, blocks"
    ):
        three.load("amoebanets")


def test_the_installed_plugins_are_found():
    assert {"amoebanet", "blocks", "optuna", "random"} <= set(Plugins().names)
    assert not [plugin.error for plugin in Plugins().load_all() if plugin.error]


# ------------------------------------------------------------------------------------ references


def test_a_reference_to_a_module_and_to_a_file_and_into_a_class(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("from dataclasses import dataclass\n@dataclass\nclass A:\n    class B: c = 7\n    x: int = 1\n")
    assert resolve("nascore.errors:PluginError") is PluginError
    assert resolve(f"{path}:A.B.c") == 7
    assert resolve(f"{path}:A") is resolve(f"{path}:A")  # loaded once
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.py:A")() == resolve(f"{path}:A")()


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"x = {folder!r}")
    assert [resolve(f"{tmp_path}/{folder}/mine.py:x") for folder in "aba"] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("name", "'name' is no reference; write package.module:name or file.py:name"),
        ("no_such_module:x", "Cannot import 'no_such_module' for 'no_such_module:x': ModuleNotFoundError"),
        ("nascore.errors:PluginErorr", r"nascore\.errors has no 'PluginErorr'; did you mean 'PluginError'\?"),
        ("{folder}/none.py:x", r"There is no file .*none\.py"),
        ("{folder}/bad.py:x", r"Cannot import .*bad\.py.*: NameError: name 'oops' is not defined"),
        ("{folder}/syntax.py:x", "SyntaxError"),
        ("{folder}/good.py:y", r"good\.py has no 'y'; Allowed: x"),
        ("{folder}/good.py:x.y", "has no 'y'"),
        ("{folder}/good.py:", "has no ''"),
    ],
)
def test_a_reference_that_leads_nowhere(tmp_path, reference, said):
    (tmp_path / "bad.py").write_text("oops")
    (tmp_path / "syntax.py").write_text("def")
    (tmp_path / "good.py").write_text("x = 1")
    with pytest.raises(PluginError, match=said):
        resolve(reference.format(folder=tmp_path))


def test_a_file_that_fails_leaves_no_half_module_and_can_be_mended(tmp_path):
    path = tmp_path / "mended.py"
    path.write_text("x = 1\nraise ValueError")
    with pytest.raises(PluginError, match="ValueError") as caught:
        resolve(f"{path}:x")
    assert isinstance(caught.value.__cause__, ValueError)
    assert "nascore_user_mended" not in sys.modules
    path.write_text("x = 2")
    assert resolve(f"{path}:x") == 2
