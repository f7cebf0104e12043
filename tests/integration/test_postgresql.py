"""A real PostgreSQL server as the storage, restarted in the middle of a search: every trial is there once."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from toy_parts import parts

import nascore
import nascore.store
from nascore.errors import RunError

pytestmark = pytest.mark.slow
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]


class Server:
    """A private cluster in a folder of its own, run by somebody who is not root."""

    def __init__(self, folder):
        self.folder = folder
        self.user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        folder.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "data").mkdir()
        if os.getuid() == 0:
            shutil.chown(folder, self.user)
            shutil.chown(folder / "data", self.user)
        self.call("initdb", "-A", "trust", "-U", "searcher", "--no-sync", "-D", str(folder / "data"))

    @property
    def url(self):
        return f"postgresql+psycopg://searcher@127.0.0.1:{self.port}/postgres"

    def call(self, name, *arguments):
        who = {"user": self.user} if os.getuid() == 0 else {}
        done = subprocess.run(
            [str(BINARIES[0] / name), *arguments], cwd=self.folder, capture_output=True, text=True, check=False, **who
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
        self.call("pg_ctl", "-w", "-D", "data", "-l", "log", "-o", options, "start")

    def stop(self, how="fast"):
        self.call("pg_ctl", "-w", "-D", "data", "-m", how, "stop")


@pytest.fixture
def server():
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"nascore-postgresql-{os.getpid()}"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    if (folder / "data" / "postmaster.pid").exists():
        server.stop("immediate")
    shutil.rmtree(folder)


class Restarting:
    """Does something to the server when a trial is told."""

    def __init__(self, acts):
        self.acts = acts

    @nascore.hookimpl
    def nascore_trial_finished(self, trial):
        if trial.number in self.acts:
            self.acts.pop(trial.number)()


def test_a_restarted_server_loses_nothing(server, tmp_path):
    def restart():
        server.stop("immediate")
        server.start()

    acts = {2: restart, 5: lambda: (server.stop("immediate"), later(server))}
    given = parts(trials=10, out=tmp_path / "run", storage=server.url, observers=[Restarting(acts)])
    result = nascore.search(**given)
    assert not acts
    assert Counter(t.number for t in result.history) == Counter(range(10))
    stored = [t.number for t in nascore.open_run(tmp_path / "run").history]
    assert stored == list(range(10))
    other = nascore.search(**parts(trials=10, out=tmp_path / "other"))
    assert [t.architecture.key for t in other.history] == [t.architecture.key for t in result.history]


def later(server):
    """Start the server again in two seconds, from another process."""
    if os.fork() == 0:
        signal.alarm(60)
        time.sleep(2)
        server.start()
        os._exit(0)


def test_a_server_that_stays_away_ends_the_search_which_can_be_resumed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(nascore.store, "PATIENCE_SECONDS", 1.0)
    given = parts(trials=8, out=tmp_path / "run", storage=server.url, observers=[Restarting({3: server.stop})])
    with pytest.raises(RunError, match=r"Cannot store trial 4.*resume"):
        nascore.search(**given)
    server.start()
    result = nascore.resume(tmp_path / "run", space=given["space"], evaluator=given["evaluator"], data=given["data"])
    assert [t.number for t in result.history] == list(range(8))
