"""Runs what the docs say: every command and every Python block, so that no page can rot.

    python docs/check.py              all pages
    python docs/check.py tutorial.md  pages whose path ends so, and no other check

In README.md, docs/**/*.md and plugins/*/README.md, in order, each page in a scratch folder of its own:

- a ```console block: each line that starts with ``$ `` is run by a shell (a trailing backslash goes on
  in the next line) and must end with exit status 0; the other lines are output, which is not compared;
- a ```python block is run, and shares its names with the page's other blocks;
- a ```python or ```toml block whose first line is a comment with a file name is written to that file;
- a block right below ``<!-- not run: reason -->`` is skipped, and counted.

The plugins' pages share one process and one folder, which has the files that how-to.md writes. There ``nascore``
is called in that process, and a search only prepared (``--dry-run``): settings, parts and networks are made, nothing is
trained.

Besides: links inside the project lead somewhere, lists are apart from the text above them (or the site would not
show them as such), docs/hooks.md is up to date, every command of ``nascore`` stands on some page, every option of a
sampler on the page of its plugin.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
SET_UP = 2
"""The first commands of README.md, which install everything and which `.ci/run` runs."""
TIMEOUT = 300
"""Seconds that one command may take."""
PAGES_AT_A_TIME = min(2, os.cpu_count() or 1)

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>\w*) *\n(?P<body>.*?)^ *(?P=ticks) *$", re.M | re.S)
_NOT_RUN = re.compile(r"<!-- not run: +(?!--)\S(?:(?!-->).)*-->\s*\Z", re.S)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*)$", re.M)
_TIGHT_LIST = re.compile(r"^(?!\s|[-*|>#]|\d+\.)(.*\S)\n(?:[-*]|\d+\.) ", re.M)


@dataclass(frozen=True)
class Step:
    """One thing to do for a page: ``kind`` is ``shell``, ``python``, ``file`` or ``skip``."""

    line: int
    kind: str
    text: str
    file: str = ""


def steps(text: str) -> Iterator[Step]:
    """What a page says to do, in order."""
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 2
        body = textwrap.dedent(fence["body"])
        named = _FILE.match(body)
        if fence["language"] not in ("console", "python", "toml"):
            continue
        if _NOT_RUN.search(text, 0, fence.start()):
            yield Step(line, "skip", body)
        elif fence["language"] == "console":
            yield from _commands(body, line)
        elif named:
            yield Step(line, "file", body, named[1])
        elif fence["language"] == "python":
            yield Step(line, "python", body)


def _commands(body: str, first: int) -> Iterator[Step]:
    lines = iter(enumerate(body.splitlines(), first))
    for number, line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines, (0, ""))[1]
            yield Step(number, "shell", command)


# ------------------------------------------------------------------------------------ pages, run


def run_page(page: Path) -> None:
    """Do all steps of a page, in this process and in its working directory.

    Raises:
        SystemExit: a step failed; the message says which.
    """
    name = page.relative_to(ROOT).as_posix()
    module = types.ModuleType("page")
    sys.modules["page"] = module
    todo = list(steps(page.read_text(encoding="utf-8")))
    left_out = [step for step in todo if step.kind == "shell"][:SET_UP] if name == "README.md" else []
    for step in todo:
        where = f"{name}:{step.line}"
        if step.kind == "skip" or step in left_out:
            continue
        begun = time.monotonic()
        if step.kind == "file":
            write(step)
        elif step.kind == "python":
            exec(compile("\n" * (step.line - 1) + step.text, name, "exec", dont_inherit=True), vars(module))
        else:
            status = prepare(step.text) if _of_plugin(page) else _shell(step.text)
            if status:
                sys.exit(f"{where}: exit status {status}: {step.text}")
        _say(f"{where}: {time.monotonic() - begun:.1f} s: {step.text.splitlines()[0]}")
    unexplained = unmentioned_options(page) if _of_plugin(page) else []
    if unexplained:
        sys.exit("\n".join(unexplained))


def write(step: Step) -> None:
    """Write the file that a block shows."""
    Path(step.file).parent.mkdir(parents=True, exist_ok=True)
    Path(step.file).write_text(step.text, encoding="utf-8")


def _of_plugin(page: Path) -> bool:
    return page.parent.parent == ROOT / "plugins"


def _shell(command: str) -> int:
    return subprocess.run(["bash", "-c", command], check=False, timeout=TIMEOUT).returncode


def prepare(command: str) -> int:
    """Call ``nascore`` in this process, a search with ``--dry-run``; another command goes to a shell."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    if words[0] != "nascore":
        return _shell(command)
    status, output = call(words[1:] + ["--dry-run"] * (words[1] == "search"))
    if status:
        _say(output)
    return status


def call(words: list[str]) -> tuple[int, str]:
    """Call ``nascore`` in this process: its exit status, and what it printed, or why it failed."""
    from click.testing import CliRunner

    from nascore.cli import preview
    from nascore.cli.main import cli

    preview.SAMPLES = 1  # one network shows that the settings can be built
    done = CliRunner().invoke(cli, words)
    return done.exit_code, f"{done.output}{done.exception}" if done.exit_code else done.stdout


def try_pages(pages: list[Path], scratch: Path) -> str:
    """Run pages in a process and a folder of their own.

    Returns:
        What went wrong; empty when nothing did.
    """
    name = pages[0].relative_to(ROOT).as_posix() if len(pages) == 1 else "the pages of plugins"
    folder = scratch / re.sub(r"\W", "-", name)
    folder.mkdir(parents=True)
    begun = time.monotonic()
    environment = _environment(scratch / f"{folder.name}-site")
    done = subprocess.run(
        [sys.executable, __file__, "--run", *map(str, pages)],
        cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    kinds = [step.kind for page in pages for step in steps(page.read_text(encoding="utf-8"))]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("shell", "python", "file", "skip") if kind in kinds)
    _say(f"{'FAILED' if done.returncode else 'ok':6} {name}: {counts or 'nothing to run'}, "
         f"{time.monotonic() - begun:.0f} s")  # fmt: skip
    return f"{name}:\n{textwrap.indent(done.stdout[-6000:], '    ')}" if done.returncode else ""


def run_pages(pages: list[Path]) -> None:
    """Do all steps of pages in this process; those of plugins find the files that how-to.md writes."""
    sys.path.insert(0, str(Path.cwd()))  # a page's Python finds the files that the page writes
    if _of_plugin(pages[0]):
        for step in steps((DOCS / "how-to.md").read_text(encoding="utf-8")):
            if step.kind == "file":
                write(step)
    for page in pages:
        run_page(page)


def _environment(site: Path) -> dict[str, str]:
    """The commands of this Python first; what a page installs goes to ``site``, and is found there."""
    site.mkdir()
    (site / "sitecustomize.py").write_text("import site, pathlib\nsite.addsitedir(pathlib.Path(__file__).parent)\n")
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",  # the plugins that a page makes need only what is here already
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the other way round: no isolation, so no download
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(site / "cache"),
        "MPLBACKEND": "Agg",
        "NO_COLOR": "1",
    }


# ------------------------------------------------------------------------------------ other checks


def broken_links(page: Path) -> list[str]:
    """The links of a page to files or headings that are not there."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    wrong = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (heading and heading not in _anchors(file)):
            wrong.append(target)
    return [f"{page.relative_to(ROOT).as_posix()}: the link {target} leads nowhere" for target in wrong]


def _anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def unmentioned_commands(text: str) -> list[str]:
    """The commands of ``nascore`` that ``text`` does not show."""
    from nascore.cli.main import cli

    def names(group: Any, before: str) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from names(command, f"{before} {name}")
            else:
                yield f"{before} {name}"

    return [f"no page shows `{name}`" for name in names(cli, "nascore") if not re.search(rf"{name}\b", text)]


def unmentioned_options(page: Path) -> list[str]:
    """The options of a plugin's samplers that its page does not explain."""
    name, text = page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")
    status, output = call(["plugins", "show", page.parent.name, "--json"])
    if status:
        return [f"{name}: {output.strip()}"]
    return [
        f"{name} does not explain {part['name']}'s option `{option['name']}`"
        for part in json.loads(output)["parts"]["samplers"]
        for option in part["options"]
        if not re.search(rf"`(sampler\.)?{option['name']}`", text)
    ]


def tight_lists(page: Path) -> list[str]:
    """The lists of a page that begin right below a line of text: a list on GitHub, running text on the site."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT).as_posix()
    return [f"{name}: an empty line is missing below: {line}" for line in _TIGHT_LIST.findall(text)]


def other_checks(pages: list[Path]) -> list[str]:
    """All checks but running the pages."""
    problems = [wrong for page in pages for wrong in [*broken_links(page), *tight_lists(page)]]
    problems += unmentioned_commands("\n".join(page.read_text(encoding="utf-8") for page in pages))
    if subprocess.run([sys.executable, str(DOCS / "generate.py"), "--check"], check=False).returncode:
        problems.append("docs/hooks.md is stale")
    return problems


def main(wanted: list[str]) -> int:
    """Check everything, or only the pages whose paths end with one of ``wanted``."""
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
    problems = [] if wanted else other_checks(pages)
    if wanted:
        pages = [page for page in pages if page.as_posix().endswith(tuple(wanted))]
    of_plugins = [page for page in pages if _of_plugin(page)]
    jobs = [of_plugins] * bool(of_plugins) + [[page] for page in pages if not _of_plugin(page)]
    scratch = Path(tempfile.mkdtemp(prefix="nascore-docs-"))
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(PAGES_AT_A_TIME) as pool:
            problems += filter(None, pool.map(try_pages, jobs, repeat(scratch)))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for problem in problems:
        _say(problem)
    _say(f"{len(pages)} pages, {time.monotonic() - begun:.0f} s, {len(problems)} problem(s)")
    return 1 if problems else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_pages([Path(page) for page in sys.argv[2:]])
    else:
        sys.exit(main(sys.argv[1:]))
