"""The doctor finds what is broken, and only that."""

from __future__ import annotations

import http.server
import sys
import threading
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from nascore import Component, hookimpl
from nascore.cli.main import main
from nascore.doctor import BROKEN, OK, check_plugin, examine
from nascore.plugins import Plugins


def by_name(**arguments):
    return {check.name: check for check in examine(**arguments)}


@pytest.fixture
def no_data(monkeypatch):
    """No data set is loaded, so that the tests are quick."""
    monkeypatch.setattr("nascore.doctor._datasets", lambda plugins: ())


def test_a_sound_installation_has_nothing_broken(tmp_path):
    checks = by_name(folder=tmp_path / "runs")
    assert {check.name for check in checks.values() if check.status == BROKEN} == set()
    assert {"python", "torch", "optuna", "disk", "plugin random", "storage", "tracking"} <= set(checks)
    assert checks["data blocks:digits"].detail == "inputs (1, 8, 8), 10 classes"
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_broken(no_data, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nascore.doctor.tempfile.TemporaryDirectory", refuse)
    checks = {check.name: check for check in _until("run folder", tmp_path)}
    assert checks["run folder"].status == BROKEN
    assert "--out" in checks["run folder"].detail


def _until(name, folder):
    for check in examine(folder=folder):
        yield check
        if check.name == name:
            return


def test_a_storage_that_cannot_be_opened_is_broken(no_data, tmp_path):
    checks = by_name(storage=f"sqlite:///{tmp_path}/no/such/folder/x.db", folder=tmp_path)
    assert checks["storage"].status == BROKEN


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_tracking_server_is_asked(no_data, tmp_path):
    server = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    uri = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert by_name(tracking=uri, folder=tmp_path)["tracking"].status == OK
    server.shutdown()
    server.server_close()
    gone = by_name(tracking=uri, folder=tmp_path)["tracking"]
    assert gone.status == BROKEN
    assert "kept and sent later" in gone.detail


def test_the_command_ends_with_1_when_something_is_broken(no_data, capsys):
    assert main(["doctor", "--tracking-uri", "http://127.0.0.1:9"]) == 1
    assert "broken  tracking: http://127.0.0.1:9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("factory", "message"),
    [("toy_parts:Nothing", "has no 'Nothing'"), ("toy_parts:Table", "is no subclass of nascore.CostModel"),
     ("cli_parts:Twice", "does not define estimate"), ("toy_parts:Vowels", "")],
)  # fmt: skip
def test_check_plugin_holds_parts_against_their_contracts(monkeypatch, factory, message):
    module = ModuleType("doctor_parts")
    module.nascore_cost_models = hookimpl(lambda: [Component("cost", "", factory)])
    monkeypatch.setitem(sys.modules, "doctor_parts", module)
    (check,) = check_plugin(Plugins([EntryPoint("d", "doctor_parts", "nascore")]), "d")
    assert check.status == (BROKEN if message else OK)
    assert message in check.detail
