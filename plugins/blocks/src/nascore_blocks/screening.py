"""Two-step search: rank many untrained networks by a score that costs nothing, train the best of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError
from nascore.records import Candidate
from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.data.splits import TensorSplit
from nascore_blocks.training import materialised
from nascore_blocks.zerocost import SCORES, check_score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, Task, View
    from nascore.records import Architecture, Objective, Trial


class Screened(Sampler):
    """Draws ``pool`` random architectures, scores each without training, and proposes the best.

    The scores are those of :mod:`nascore_blocks.zerocost`, on a batch of noise (mean 0, deviation 1, as images are
    normalised) with random labels: no example of any split is looked at. Weights and noise depend on the seed of
    the search and the architecture's key alone. No key is proposed twice; when ``tries`` draws in a row bring none
    that is new, the search ends. With ``pool=1`` this is random search.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"module", "images"})

    def __init__(self, pool: int = 32, score: str = "synflow", batch_size: int = 32, tries: int = 1000) -> None:
        """
        Args:
            pool: how many different, new architectures are scored for each that is proposed, >= 1.
            score: see :class:`nascore_blocks.zerocost.ZeroCost`.
            batch_size: inputs that a network is scored on, >= 2.
            tries: draws in a row without a new architecture after which a pool counts as full, >= 1.

        Raises:
            SettingsError: a value that is not allowed.
        """
        check_score(score)
        for name, value, least in (("pool", pool, 1), ("batch_size", batch_size, 2), ("tries", tries, 1)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        self.pool, self.score, self.batch_size, self.tries = pool, score, batch_size, tries
        self._scores: dict[str, float] = {}
        self._told: set[str] = set()
        self._pending: dict[int, str] = {}  # number -> key of what was asked and not told yet

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: the space does not say for which task it was set up.
        """
        super().setup(space, objectives, seed)
        self._task = task_of(space)

    def ask(self, view: View) -> Candidate | None:
        """The best of a fresh pool; None when nothing new turned up."""
        # A resumed search may ask again for a number that was under way: it gets the same answer.
        known = self._told | {key for number, key in self._pending.items() if number < view.number}
        pool: dict[str, Architecture] = {}
        failures = 0
        while len(pool) < self.pool and failures < self.tries:
            drawn = view.within(lambda: self.space.sample(lambda _, options: view.rng.choice(options)))
            failures = failures + 1 if drawn.key in known or drawn.key in pool else 0
            if not failures:
                pool[drawn.key] = drawn
        if not pool:
            return None
        best = max(pool.values(), key=self.score_of)
        self._pending[view.number] = best.key
        value = self.score_of(best)
        metrics = {self.score: value} if math.isfinite(value) else {}
        return Candidate(best, origin=f"best of {len(pool)} by {self.score}", metrics=metrics)

    def score_of(self, architecture: Architecture) -> float:
        """The score; minus infinity where the network cannot be built or has none, so that it comes last."""
        if architecture.key not in self._scores:
            self._scores[architecture.key] = self._scored(architecture)
        return self._scores[architecture.key]

    def tell(self, trial: Trial) -> None:
        """Remember the key, whatever became of the trial."""
        self._pending.pop(trial.number, None)
        self._told.add(trial.architecture.key)

    def state_dict(self) -> dict[str, Any]:
        """Keys of what was asked and not told yet; scores are computed again."""
        return {"pending": [[number, key] for number, key in self._pending.items()]}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Take the told keys from the history."""
        self._pending = dict(state["pending"])
        self._told = {trial.architecture.key for trial in history}

    def _scored(self, architecture: Architecture) -> float:
        with isolated_random(derive_seed(self.seed, "score", architecture.key)):
            inputs = torch.randn(self.batch_size, *self._task.shape)
            labels = torch.randint(self._task.classes, (self.batch_size,))
            try:
                network = materialised(self.space.build(architecture, self._task), TensorSplit(inputs, labels))
                value = SCORES[self.score](network, inputs, labels)
            except Exception:  # noqa: BLE001 - a user's network can fail in any way; its trial would say how
                return -math.inf
        return value if math.isfinite(value) else -math.inf


def task_of(space: SearchSpace) -> Task:
    """The task that a space was set up for.

    Raises:
        CapabilityError: it does not keep it.
    """
    task: Task | None = getattr(space, "task", None) or getattr(space, "_task", None)
    if task is None:
        raise CapabilityError(
            f"The space {space.name!r} does not keep its task, so networks cannot be built before a trial. "
            "Let its setup(task) set self.task."
        )
    return task
