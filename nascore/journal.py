"""Writing into Optuna's journal without keeping in memory what was written.

Optuna reads each record back after it wrote it, and holds the trials of the whole search.
A search holds its trials itself and never asks the storage for them, so the storage that it writes through
sees the studies in the journal, and no trials.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nascore.storage import where_is

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.trial import FrozenTrial

_STUDY_OPERATIONS = range(4)
"""Codes of what is done to studies: made, deleted, and given attributes (``JournalOperation`` in Optuna)."""

_NEW_TRIAL = b'{"op_code":4,'
"""How the record of a new trial begins, as Optuna writes it; another one is read to see what it is."""

SYNC_SECONDS = 0.1
"""What is written is forced onto the disk at most this often: a force can take longer than all else of a trial."""


class StudiesOnly(JournalFileBackend):
    """Appends to the journal like any other backend; of what it reads, it gives out what is done to studies.

    What is written outlives this process at once. It outlives a power cut once it is on the disk: at once,
    where the last time is :data:`SYNC_SECONDS` ago, else with a later record or by :meth:`sync`, at the latest when
    the operating system gets to it (30 s on Linux). A resumed search runs again what was lost, and finds the same.
    """

    def __init__(self, file_path: str) -> None:
        """
        Args:
            file_path: of the journal.
        """
        super().__init__(file_path)
        self._position = 0
        self._synced = float("-inf")

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the records behind the others, a line each."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            with Path(self._file_path).open("ab") as file:
                file.write(text.encode())
                file.flush()
                if time.monotonic() - self._synced >= SYNC_SECONDS:
                    os.fsync(file)
                    self._synced = time.monotonic()
        finally:
            self._lock.release()

    def sync(self) -> None:
        """Force what is written onto the disk."""
        with Path(self._file_path).open("ab") as file:
            os.fsync(file)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # Optuna says Generator
        """What was done to studies since the last call.

        Args:
            log_number_from: how many records were given out before; here it is the place in the file that is kept.
        """
        with Path(self._file_path).open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):  # another process is writing it
                    return
                self._position += len(line)
                if not line.startswith(_NEW_TRIAL):
                    log = json.loads(line)
                    if log["op_code"] in _STUDY_OPERATIONS:
                        yield log


class WritingStorage(JournalStorage):
    """The journal as a storage to write new trials into; it holds none."""

    def __init__(self, file_path: str) -> None:
        """
        Args:
            file_path: of the journal.
        """
        super().__init__(StudiesOnly(file_path))
        # Optuna makes this attribute when it reads its first trial back, and returns it for each new one.
        self._replay_result._last_created_trial_id_by_this_process = -1

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Write a trial; see Optuna.

        Raises:
            KeyError: the study was deleted by another process.
        """
        trial_id = super().create_new_trial(study_id, template_trial)
        self.get_study_directions(study_id)
        return trial_id


def without_trials(storage: Any) -> Any:
    """The same storage for writing alone, where it is a journal: it holds no trials. Any other one as it is."""
    return WritingStorage(str(where_is(storage))) if isinstance(storage, JournalStorage) else storage


def with_trials(storage: Any) -> Any:
    """The inverse of :func:`without_trials`: a journal is read again from its beginning."""
    if not isinstance(storage, WritingStorage):
        return storage
    return JournalStorage(JournalFileBackend(str(where_is(storage))))
