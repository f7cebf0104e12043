"""At the end: how many inputs each target was tried with."""

from __future__ import annotations

from fuzzing import TRIED


def pytest_terminal_summary(terminalreporter):
    if TRIED:
        terminalreporter.section("inputs tried")
        for target, count in sorted(TRIED.items()):
            terminalreporter.write_line(f"{count:>8,}  {target}")
        terminalreporter.write_line(f"{TRIED.total():>8,}  in all")
