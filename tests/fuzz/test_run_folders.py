"""Run folders from strangers: whatever is damaged in them, they are shown, resumed, exported and reported, or refused.

Nothing beside the run folder is read or written.
"""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import tomli_w
import tomllib
from fuzzing import HOSTILE_TEXTS, JSON, VALUES, check_message, corrupted, damaged, fuzz, quickly, refused_or
from hypothesis import given
from hypothesis import strategies as st

import nascore
from nascore.cli.main import main
from nascore.errors import NascoreError, RunError
from nascore.report import write_report
from nascore.retrain import measured
from nascore.tracking.outbox import Outbox, Sent, outbox_path, pending, read_events
from nascore.tracking.place import Place

TRIALS = 6
PARTS = {"space": "cli_parts:Pixels", "sampler": "random:random", "evaluator": "hostile_parts:Keeps",
         "data": "toy_parts:NoData", "costs": ["toy_parts:Vowels"]}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A finished run with weights, a checkpoint, a retraining and events that wait for MLflow."""
    run = tmp_path_factory.mktemp("base") / "run"
    result = nascore.search(**PARTS, trials=TRIALS, seed=1, tracking="off", out=run)
    number = result.best.number
    shutil.copytree(run / "artifacts" / f"{number:06d}", run / "retrain" / f"{number:06d}" / "seed-0")
    told = {"test_accuracy": {"mean": 0.5, "std": 0.1, "seeds": 2}}
    (run / "retrain" / f"{number:06d}" / "result.json").write_text(json.dumps(told))
    outbox = Outbox(outbox_path(run))
    for event in ({"event": "started", "time": 1.0}, {"event": "trial", "number": 0, "values": {"accuracy": 0.5}}):
        outbox.append(event)
    outbox.close()
    Sent("sqlite:///x.db", "nascore").save(run)
    Place.save(run, "auto", "nascore")
    return run


@pytest.fixture(scope="module")
def arena(base, tmp_path_factory):
    """A folder with a run to spoil, and beside it what nobody may touch."""
    folder = tmp_path_factory.mktemp("arena")
    outside = folder / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "secret").write_text("the secret")
    (outside / "inner" / "weights.safetensors").write_bytes(b"others' weights")
    before = Path.cwd()  # a name in a damaged file may be taken from here
    os.chdir(folder)
    yield folder
    os.chdir(before)


watched: list[str] = []
touched: list[str] = []


def note(event, arguments):
    """Of every file that Python opens, moves or removes: is it one of those beside the run?"""
    if watched and event in (
        "open",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "sqlite3.connect",
    ):
        names = [os.fsdecode(name) for name in arguments[:2] if isinstance(name, (str, bytes))]
        touched.extend(f"{event} {name}" for name in names if os.path.realpath(name).startswith(watched[0]))


sys.addaudithook(note)


@contextlib.contextmanager
def nothing_touched(arena):
    """What runs inside leaves everything beside the run alone."""
    before = snapshot(arena)
    touched.clear()
    watched.append(str(arena / "outside"))
    try:
        yield
    finally:
        watched.clear()
    assert not touched
    assert snapshot(arena) == before


def snapshot(folder):
    """Every file beside the run, with its content."""
    found = {}
    for place, _, files in os.walk(folder):
        if not Path(place).is_relative_to(folder / "run"):
            found[place] = {name: (Path(place) / name).read_bytes() for name in files}
    return found


# ------------------------------------------------------------------------------------ damage


@st.composite
def spoiled(draw, run):
    """Spoil one or two files of the run; what was done, in words."""
    done = []
    for _ in range(draw(st.integers(1, 2))):
        files = sorted(file for file in run.rglob("*") if file.is_file() and not file.is_symlink())
        if not files:
            return done
        file = draw(st.sampled_from(files))
        what = draw(st.sampled_from(["content", "content", "content", "bytes", "swap", "remove", "replace"]))
        done.append(f"{what} {file.relative_to(run)}")
        if what == "content":
            file.write_bytes(draw(other_content(file)))
        elif what == "bytes":
            file.write_bytes(draw(corrupted(file.read_bytes())))
        elif what == "swap":
            other = draw(st.sampled_from(files))
            content = file.read_bytes()
            file.write_bytes(other.read_bytes())
            other.write_bytes(content)
        elif what == "remove":
            file.unlink()
        else:
            file.unlink()
            target = draw(st.sampled_from([file.name, "nowhere", ""]))
            file.symlink_to(target) if target else file.mkdir()
    return done


@st.composite
def other_content(draw, file):
    """The same format, with other contents."""
    content = file.read_bytes()
    if file.suffix == ".toml":
        try:
            return tomli_w.dumps(draw(damaged(tomllib.loads(content.decode()), TEXTS | VALUES))).encode()
        except (ValueError, TypeError, AttributeError):
            return draw(corrupted(content))
    lines = content.splitlines() if file.suffix == ".jsonl" or file.name == "trials" else [content]
    try:
        index = draw(st.integers(0, max(0, len(lines) - 1)))
        value = draw(damaged(json.loads(lines[index]), TEXTS | VALUES, times=3))
        lines[index] = json.dumps(value).encode()
    except (ValueError, IndexError, RecursionError):
        return draw(corrupted(content))
    return b"\n".join(lines) + b"\n"


TEXTS = st.sampled_from([
    *HOSTILE_TEXTS, "../../outside/secret", "../outside/inner", "journal:outside/secret", "journal:outside/new",
    "sqlite:///outside/new.db", "sqlite:///trials.db", "memory",
])  # fmt: skip


# ------------------------------------------------------------------------------------ use


def command(*words):
    """A command line on a terminal of UTF-8; any exception but those that it tells in words passes through."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = main([*map(str, words)])
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    assert "Traceback" not in err
    assert status in (0, 1, 2)
    if status:
        check_message(err)
    return status, out


def only_here(run):
    """Will this search do no more than the one it was: no other storage, no tracking, no budget without end?"""
    settings = nascore.run.RunFolder.open(run).settings()
    free = settings.storage == "journal" and settings.tracking == "off" and settings.executor == {"use": "serial"}
    return free and settings.trials is not None and settings.trials <= 2 * TRIALS


def opened(run):
    result = nascore.open_run(run)
    for face in (repr(result), result.summary(history=True), result.trials, result.reference_point, result.counts):
        assert face is not None


def json_of(*words):
    status, out = command(*words)
    assert status or json.loads(out) is not None
    return status


def listed(run):
    command("runs", "--dir", run.parent)
    assert json_of("runs", "--dir", run.parent, "--json") == 0


def waiting(run):
    """What the sender reads."""
    result = nascore.open_run(run)
    assert pending(run) >= 0
    list(read_events(outbox_path(run)))
    Place.load(run)
    measured(result, result.trial().number)


READERS = {
    "open": opened,
    "show": lambda run: command("show", run, "--history", "--front"),
    "trial": lambda run: command("show", run, "--trial", 1),
    "json": lambda run: json_of("show", run, "--history", "--json"),
    "runs": listed,
    "tracking": waiting,
}
WRITERS = {
    "resume": lambda run: only_here(run) and command("resume", run, "--quiet", "--trials", TRIALS + 1),
    "export": lambda run: command("export", run, "--format", "py"),
    "report": lambda run: command("report", run),
}


def fresh(base, arena):
    run = arena / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(base, run)
    return run


def tried(base, arena, data, operations):
    run = fresh(base, arena)
    data.draw(spoiled(run))
    what = data.draw(st.sampled_from(list(operations)))
    with warnings.catch_warnings(), nothing_touched(arena):
        warnings.simplefilter("ignore")  # of matplotlib: glyphs that no font has, plots that no screen holds
        refused_or(f"run folders: {what}", operations[what], run)


@fuzz(0.08, 25)
@given(data=st.data())
def test_a_damaged_run_folder_is_shown_or_refused(base, arena, data):
    tried(base, arena, data, READERS)


@fuzz(0.012, 8)
@given(data=st.data())
def test_a_damaged_run_folder_is_resumed_exported_reported_or_refused(base, arena, data):
    tried(base, arena, data, WRITERS)


# ------------------------------------------------------------------------------------ ways out


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_ways_out_of_the_folder_are_refused_everywhere(base, arena, what):
    """A link at any place, a name that does not exist yet included: nothing follows it. A pipe would never end."""
    outside = arena / "outside"
    names = {str(file.relative_to(base)) for file in base.rglob("*")} | {
        "trials.lock", "report.html", "report.html.partial", "pictures", "pictures/best-so-far.png", "best/network.py",
        "state/status.json.partial", "search.toml.partial", "export",
    }  # fmt: skip
    for name in sorted(names):
        run = fresh(base, arena)
        place = run / name
        place.parent.mkdir(exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        if what == "pipe":
            os.mkfifo(place)
        else:
            place.symlink_to(outside / ("secret" if what == "link" else "inner"))
        harmless = what != "pipe" and name == "trials.lock"  # Optuna's lock is such a link
        for use in (READERS if harmless else READERS | WRITERS).values():
            with contextlib.suppress(NascoreError), quickly(), nothing_touched(arena):
                use(run)
        if not harmless:
            with pytest.raises(RunError):
                nascore.open_run(run)


def test_an_artifact_whose_name_climbs_is_refused(base, arena):
    run = fresh(base, arena)
    lines = (
        (run / "trials").read_text().replace('"weights.safetensors"', '"../../../outside/inner/weights.safetensors"')
    )
    (run / "trials").write_text(lines)
    with pytest.raises(RunError, match="names the artifact"), nothing_touched(arena):
        nascore.open_run(run).model()


# ------------------------------------------------------------------------------------ the page


class Reader(html.parser.HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        for _, value in attributes:
            assert not (value or "").strip().lower().startswith("javascript:")


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


MARKUP = [
    "<script>alert(1)</script>", "</title><script>", "</style><script>", "</svg><script>", "\"><img src=x onerror=a>",
    "' onmouseover='a", "<!--", "-->", "]]>", "&lt;b&gt;", "</pre><b>", "$x^", "a\x00b", "\ud800", "<b>\x1b[1m",
]  # fmt: skip
WORDS = st.builds("".join, st.lists(st.sampled_from(MARKUP) | st.text(max_size=5), min_size=1, max_size=4))


@fuzz(0.003, 3)
@given(data=st.data())
def test_hostile_words_in_every_field_are_words_on_the_page(base, arena, data):
    """The page has the tags and attributes of the harmless one, and no others."""
    clean = read(report_of(fresh(base, arena)))
    run = fresh(base, arena)
    word = data.draw(WORDS)
    (run / "search.toml").write_text(in_toml(run, word.encode("utf-8", "replace").decode()))
    facts = json.loads((run / "run.json").read_text())
    facts["task"] |= {"name": word, "fingerprint": word}
    (run / "run.json").write_text(json.dumps(facts))
    status = json.loads((run / "state" / "status.json").read_text())
    (run / "state" / "status.json").write_text(json.dumps(status | {"reason": word}))
    lines = [json.loads(line) for line in (run / "trials").read_text().splitlines()]
    for index, line in enumerate(lines):
        record = line.get("user_attrs", {}).get("nascore")
        if record:
            cost = {"value": 1.5, "unit": word, "std": 0.5, "repeats": 2}
            record |= {"origin": word, "reason": word, "costs": {word: cost}, "metrics": {word: 1.0}}
            record["status"] = ("complete", "fail", "infeasible")[index % 3] if index % 2 else record["status"]
    (run / "trials").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "pictures").mkdir(exist_ok=True)
    with contextlib.suppress(OSError, ValueError):
        (run / "pictures" / f"{word.replace('/', '')}.svg").write_text(f"<svg>{word}</svg>", errors="replace")
    page = refused_or("report.html", report_of, run)
    if page is not None:
        found = read(page)
        assert found.tags <= clean.tags | {"img", "g", "ul", "li"}
        assert found.attributes <= clean.attributes | {"alt", "src", "style", "class"}
        assert "<script" not in page.lower()


def in_toml(run, word):
    settings = tomllib.loads((run / "search.toml").read_text())
    settings |= {"plugin": word, "preset": word, "experiment": word}
    for table in ("sampler", "evaluator"):
        settings[table]["note"] = word
    return tomli_w.dumps(settings)


def report_of(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (page, *_) = write_report(nascore.open_run(run))
    return page.read_text(encoding="utf-8")


@fuzz(0.01, 10)
@given(value=JSON)
def test_any_run_json_is_read_or_refused(base, arena, value):
    run = fresh(base, arena)
    (run / "run.json").write_text(json.dumps(value))
    assert refused_or("run folders: run.json", nascore.open_run, run) is None
