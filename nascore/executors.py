"""The executor that needs nothing: one job at a time, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nascore.contracts import Executor

if TYPE_CHECKING:
    from nascore.contracts import Job
    from nascore.records import Trial


class Serial(Executor):
    """Runs a job when its result is waited for."""

    capacity = 1

    def submit(self, job: Job) -> None:
        """Remember the job."""
        self._job = job

    def wait(self) -> Trial:
        """Run it."""
        return self.run(self._job)
