"""Runs every example of this folder, each in a process and a scratch folder of its own."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

for example in sorted(HERE.glob("*.py")):
    if example.name == Path(__file__).name:
        continue
    print(f"=== {example.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(example)], cwd=folder, check=True, timeout=600)
