"""Random search: independent draws from the space's own program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.records import Candidate

if TYPE_CHECKING:
    from nascore.contracts import History, View
    from nascore.records import Trial


class RandomSearch(Sampler):
    """Draws architectures independently: each ``choose`` of the space takes one of its options, each as likely.

    This is uniform over decisions, not over distinct networks: an architecture that many answers
    lead to is drawn more often. A proposal depends on its trial's number and the seed alone, so
    the sequence is the same for any number of workers.

    With ``deduplicate`` no key is proposed twice, and the search ends when nothing new turns up:
    that is, after ``tries`` draws in a row that were all seen before. In a space of N equally
    likely architectures the last one is then missed with probability ``(1 - 1/N) ** tries``.
    """

    def __init__(self, deduplicate: bool = False, tries: int = 1000) -> None:
        """Set how duplicates are treated.

        Args:
            deduplicate: never propose an architecture whose key was proposed before.
            tries: with ``deduplicate``, how many draws in a row may be known before the space
                counts as exhausted; at least 1.

        Raises:
            SettingsError: ``tries`` is below 1.
        """
        if tries < 1:
            raise SettingsError(f"tries is {tries}; it must be at least 1.")
        self.deduplicate = deduplicate
        self.tries = tries
        self._told: set[str] = set()
        self._pending: dict[int, str] = {}  # number -> key of what was asked and not told yet

    def ask(self, view: View) -> Candidate | None:
        """A random architecture that breaks no constraint; None when it must be new and no new one was found."""
        # A resumed search may ask again for a number that was under way: it gets the same answer.
        known = {key for number, key in self._pending.items() if number != view.number}
        for _ in range(self.tries):
            architecture = view.within(lambda: self.space.sample(lambda _, options: view.rng.choice(options)))
            if not self.deduplicate:
                return Candidate(architecture, origin="random")
            if architecture.key not in self._told and architecture.key not in known:
                self._pending[view.number] = architecture.key
                return Candidate(architecture, origin="random")
        return None

    def tell(self, trial: Trial) -> None:
        """Remember the key, whatever became of the trial."""
        if self.deduplicate:
            self._pending.pop(trial.number, None)
            self._told.add(trial.architecture.key)

    def state_dict(self) -> dict[str, Any]:
        """Keys of what was asked and not told yet; all else stands in the history."""
        return {"pending": [[number, key] for number, key in self._pending.items()]}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Take the told keys from the history."""
        self._pending = dict(state["pending"])
        self._told = {trial.architecture.key for trial in history} if self.deduplicate else set()
