"""A search that is stopped, goes on, and ends in one Python file that needs torch alone."""

import sys
import tempfile
from pathlib import Path

import nascore
from nascore.export import export_python

run = Path(tempfile.mkdtemp()) / "run"
nascore.search("random", trials=3, out=run)
result = nascore.resume(run, trials=5)
print(result.counts, result.best)

files = export_python(
    result.model(), run / "best" / "network.py",
    task=result.search.data.task, architecture=result.best.architecture,
)  # fmt: skip
print("written:", *files, sep="\n  ", file=sys.stderr)
