"""The trial loop: one for every method.

::

    prepare -> ask -> known? reuse : judge -> store -> tell -> checkpoint -> hooks

A resumed search asks and tells again in the recorded order (:mod:`nascore.order`): a trial that is stored
is told without being judged again, after the sampler has proposed it once more. So whatever is newer than
the last checkpoint is replayed, and a search with no usable checkpoint at all replays everything. What was
asked for and never told goes to the executor first.

Checkpoints are for one trial at a time. A search with several in flight is replayed from its beginning: a
sampler need not be able to save what it has proposed and not been told, and nothing else changes there.
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nascore.contracts import Evaluator, Job, View
from nascore.errors import PluginError, RunError
from nascore.judge import WorkContext
from nascore.limits import Limits
from nascore.order import Budgets, InFlight, events
from nascore.seeding import derive_seed, isolated_random

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import Executor
    from nascore.driver import Search
    from nascore.lifecycle import Lifecycle
    from nascore.pruning import Pruning
    from nascore.records import Candidate, Trial
    from nascore.store import TrialStore

CHECKPOINT_SECONDS = 2.0
"""A checkpoint of cheap state at most this often; what lies between is replayed from the storage."""


class TrialLoop:
    """Runs a search to the end of its budget."""

    def __init__(
        self,
        search: Search,
        store: TrialStore,
        executor: Executor,
        lifecycle: Lifecycle,
        pruning: Pruning | None,
    ) -> None:
        """
        Args:
            search: settings, parts, run folder, history.
            store: where trials are stored.
            executor: where they are judged.
            lifecycle: who is told.
            pruning: the pruner, if one is set.
        """
        self.search = search
        self.parts = search.parts
        self.history = search.history
        self.store = store
        self.executor = executor
        self.lifecycle = lifecycle
        self.pruning = pruning
        self.asked = 0
        self._rounds = 0
        self._prepared = -1
        self._elapsed: float = search.run.status()["wall_seconds"]
        self._started = time.monotonic()
        self._saved = self._started
        self._known: dict[Any, int] = {}
        self._has_rounds = type(search.parts.evaluator).prepare is not Evaluator.prepare
        self._open = InFlight()
        self._backlog: deque[int] = deque()  # asked for in an earlier session, and not told
        self._submitted = 0
        self._budgets = Budgets(search.run.checkpoints.folder)
        settings = search.settings
        self._limits = Limits(search.parts, settings.device, search.run, settings.seed)

    @property
    def wall_seconds(self) -> float:
        """Seconds of this search, earlier sessions included."""
        return self._elapsed + time.monotonic() - self._started

    # ------------------------------------------------------------------ the loop

    def run(self, stored: Sequence[Trial]) -> str:
        """Ask, judge and tell until the budget ends or nothing is left to propose.

        Args:
            stored: the trials in the storage that have not been told in this process.

        Returns:
            Why it ended.
        """
        self._replay(stored)
        while True:
            ended = self._submit_what_fits()
            if self._submitted:
                trial = self.executor.wait()
                self._submitted -= 1
                self._finish(self.pruning.noted(trial) if self.pruning else trial)
            elif ended:
                return ended

    def _submit_what_fits(self) -> str:
        """Keep the executor busy; why nothing more is submitted, or an empty string."""
        while self._submitted < self.executor.capacity:
            ended = self._time_is_up() or ("" if self._backlog else self._trials_are_done())
            if ended:
                return ended
            if self._backlog:
                self._submit(self._backlog.popleft())
                continue
            number = self.asked
            candidate = self._ask(self.search.settings.trials)
            if candidate is None:
                return "the sampler has nothing more to propose" if not self._submitted else ""
            reused = self._reuse(number, candidate)
            if reused is not None:
                self._finish(reused)
            else:
                self._submit(number)
        return ""

    def _trials_are_done(self) -> str:
        trials = self.search.settings.trials
        return f"all {trials} trials are done" if trials is not None and self.asked >= trials else ""

    def _time_is_up(self) -> str:
        limit = self.search.settings.time
        return f"the {limit:g} seconds are used up" if limit is not None and self.wall_seconds >= limit else ""

    def _replay(self, stored: Sequence[Trial]) -> None:
        """Ask and tell as it was done before; trials that never ended wait for the executor.

        Raises:
            RunError: the sampler proposes something else than it did.
        """
        trials = self.search.settings.trials
        for event in events(stored, self.store.orders, len(self.history), self.asked):
            if not isinstance(event, int):
                self._finish(event)
            elif self._ask(self._budgets.at(event, trials)) is None:
                raise RunError(_not_the_same(event))
        self._open.all_named()  # by what is stored, or they would not have been asked for
        self._backlog.extend(self._open)
        self._budgets.change(self.asked, trials)

    def _ask(self, trials: int | None) -> Candidate | None:
        number = self.asked
        self._prepare(number)
        rng = random.Random(derive_seed(self.search.settings.seed, "ask", number))
        candidate = self.parts.sampler.ask(View(number, rng, self.history, trials, self._limits))
        if candidate is None:
            self._prepared = -1  # the next ask, perhaps after a resume, lets the evaluator say again that it is done
        else:
            self.asked += 1
            self._open.add(number, candidate, len(self.history))
        return candidate

    def _prepare(self, number: int) -> None:
        """Rounds of shared training until this candidate may be asked for."""
        while self._has_rounds and self._prepared != number:
            seed = derive_seed(self.search.settings.seed, "prepare", self._rounds)
            context = WorkContext(
                number, seed, self.search.settings.device, self.parts.data.for_search(), self.search.run
            )
            with isolated_random(seed):
                done = self.parts.evaluator.prepare(self.parts.sampler, context)
            if done.ready:
                self._prepared = number
            if done.changed:
                self._rounds += 1
                self.lifecycle.emit("round_finished", search=self.search, number=number, round=done)
                self.save()

    def _reuse(self, number: int, candidate: Candidate) -> Trial | None:
        """The measurement of an equal architecture, where the evaluator is deterministic."""
        if not self.parts.evaluator.deterministic:
            return None
        known = self._known.get(_identity(candidate))
        if known is None:
            return None
        earlier = self.history[known]
        return replace(
            earlier, number=number, candidate=candidate, reused=known, started=time.time(), wall_seconds=0.0,
            metrics={**earlier.metrics, **candidate.metrics},
        )  # fmt: skip

    def _submit(self, number: int) -> None:
        candidate = self._open[number]
        if self.pruning is not None:
            self.pruning.begin(number, candidate)
        self.lifecycle.emit("trial_started", search=self.search, number=number, candidate=candidate)
        self.executor.submit(Job(number, candidate, derive_seed(self.search.settings.seed, "trial", number)))
        self._submitted += 1

    def _finish(self, trial: Trial) -> None:
        """Store the trial unless it comes from the storage, and tell everyone."""
        asked = self._open.end(trial.number)
        stored = trial.number in self.search.stored
        if asked is None or (stored and trial.architecture.key != asked.candidate.architecture.key):
            raise RunError(_not_the_same(trial.number))
        if not stored:
            self.store.record(trial, self._open.order_of(asked))
        self.tell(trial)
        self.search.drop_artifacts(trial, needed=self._open.inherits)
        if not stored:
            self.lifecycle.emit("trial_finished", search=self.search, trial=trial)
        if time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self.save()

    def tell(self, trial: Trial, sampler: bool = True) -> None:
        """Take a trial into the history; ``sampler=False`` when its state comes from a checkpoint."""
        self.history.add(trial)
        if self.parts.evaluator.deterministic:
            self._known.setdefault(_identity(trial.candidate), trial.number)
        if self.pruning is not None and trial.number in self.search.stored:
            self.pruning.replay(trial)
        elif self.pruning is not None:
            self.pruning.finish(trial)
        if sampler:
            self.parts.sampler.tell(trial)

    def reported(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """A running trial reported; False stops it."""
        self.lifecycle.emit("trial_reported", search=self.search, number=number, step=step, metrics=metrics)
        go_on = self.parts.sampler.on_report(number, step, metrics)
        if self.pruning is not None:
            go_on = self.pruning.go_on(number, step, metrics) and go_on
        return go_on

    # ------------------------------------------------------------------ checkpoints

    def save(self) -> None:
        """Write a checkpoint of everything that changes beside the trials."""
        if self.executor.capacity == 1 and not self._open and not self.store.orders:
            self._save_state()
        self.search.run.write_status(wall_seconds=self.wall_seconds)
        self._saved = time.monotonic()

    def _save_state(self) -> None:
        state = {
            "asked": self.asked,
            "rounds": self._rounds,
            "prepared": self._prepared,
            "sampler": self.parts.sampler.state_dict(),
            "evaluator": self.parts.evaluator.state_dict(),
        }
        try:
            self.search.run.checkpoints.save(len(self.history), state)
        except TypeError as error:
            raise PluginError(f"The state of the sampler or the evaluator cannot be saved. {error}") from error

    def restore(self, stored: list[Trial], warn: Any) -> list[Trial]:
        """Go back to the newest usable checkpoint.

        Args:
            stored: all trials in the storage, in the order they were told.
            warn: called with a sentence for each checkpoint that cannot be used.

        Returns:
            The stored trials that are newer than the checkpoint, to be replayed.
        """
        if self.store.orders:  # trials were parallel: the state of the sampler is replayed from the beginning
            return stored
        for told, state, problem in self.search.run.checkpoints.load():
            if state is None or told > len(stored):
                warn(problem or f"the checkpoint after trial {told} is newer than the storage")
                continue
            for trial in stored[:told]:
                self.tell(trial, sampler=False)
            self.asked, self._rounds, self._prepared = state["asked"], state["rounds"], state["prepared"]
            self.parts.sampler.load_state_dict(state["sampler"], self.history)
            self.parts.evaluator.load_state_dict(state["evaluator"])
            return stored[told:]
        return stored


def _identity(candidate: Candidate) -> Any:
    return candidate.architecture.key, tuple(sorted(candidate.fidelity.items()))


def _not_the_same(number: int) -> str:
    return (
        f"Trial {number} in the storage is not what the sampler proposes now: a plugin, an option or "
        "the data changed since. Go on with the versions that began the search, or start a new one."
    )
