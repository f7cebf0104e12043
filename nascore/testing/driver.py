"""A loop in memory, small enough to check a part without the real one."""

from __future__ import annotations

import copy
import json
import random
import shutil
import sys
import tempfile
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import decode, encode
from nascore.contracts import Context, View
from nascore.history import TrialHistory
from nascore.records import Status, Trial, digest
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from nascore.contracts import Sampler, SearchSpace, Splits
    from nascore.records import Candidate, Objective

    Judge = Callable[[int, Candidate, Sequence[Objective]], Trial]


def judge(number: int, candidate: Candidate, objectives: Sequence[Objective]) -> Trial:
    """A complete trial; its values, in [0, 1), depend on the architecture alone."""
    key = candidate.architecture.key
    values = {o.name: random.Random(derive_seed(0, o.name, key)).random() for o in objectives}
    return Trial(number, candidate, Status.COMPLETE, values, reports=tuple((step, values) for step in (1, 2)))


def troubled(number: int, candidate: Candidate, objectives: Sequence[Objective]) -> Trial:
    """Like :func:`judge`, but of five trials one fails, one is pruned and one is infeasible."""
    good = judge(number, candidate, objectives)
    if number % 5 == 1:
        return Trial(number, candidate, Status.FAIL, reason="RuntimeError: out of memory")
    if number % 5 == 2:
        return Trial(number, candidate, Status.PRUNED, good.objectives, reports=good.reports[:1])
    if number % 5 == 3:
        return Trial(number, candidate, Status.INFEASIBLE, violations={"params": 1.0 + number})
    return Trial(number, candidate, Status.COMPLETE, good.objectives, reports=good.reports, violations={"params": -1.0})


def failing(number: int, candidate: Candidate, objectives: Sequence[Objective]) -> Trial:
    """Every trial fails."""
    return Trial(number, candidate, Status.FAIL, reason="RuntimeError: always")


def drive(
    make: Callable[[], Sampler],
    space: SearchSpace,
    objectives: Sequence[Objective],
    *,
    trials: int,
    seed: int = 0,
    judge: Judge = judge,
    parallel: int = 1,
    restarts: Collection[int] = (),
) -> list[Trial]:
    """Ask, judge, tell; give the trials in the order of telling.

    Args:
        make: makes the sampler, also after each restart.
        space: to be searched.
        objectives: handed to the sampler.
        trials: how many at most; fewer when the sampler has nothing left to propose.
        seed: of the search.
        judge: turns a candidate into a trial.
        parallel: how many are asked for before they are told, the last one first.
        restarts: before these trials the sampler's state goes through a checkpoint to a new one.
    """
    sampler = make()
    sampler.setup(space, objectives, seed)
    history = TrialHistory(objectives)
    number = 0
    while number < trials:
        if number in restarts:
            state = through_checkpoint(sampler.state_dict())
            sampler = make()
            sampler.setup(space, objectives, seed)
            sampler.load_state_dict(state, history)
        batch: list[Trial] = []
        while len(batch) < parallel and number < trials:
            rng = random.Random(derive_seed(seed, "ask", number))
            candidate = sampler.ask(View(number, rng, history, trials))
            if candidate is None:
                break
            batch.append(judge(number, candidate, objectives))
            number += 1
        if not batch:
            break
        for trial in reversed(batch):
            history.add(trial)
            sampler.tell(trial)
    return list(history)


def through_checkpoint(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint makes of a state: JSON, and copies of the tensors.

    Raises:
        TypeError: the state holds something else.
    """
    tensors: dict[str, Any] = {}
    text = json.dumps(encode(state, tensors))
    restored: dict[str, Any] = decode(json.loads(text), copy.deepcopy(tensors))
    return restored


def described(trial: Trial) -> str:
    """Everything in a trial that its judging made, as text to compare."""
    return digest(json.loads(json.dumps(trial.summary()))) + trial.candidate.origin


def global_states() -> dict[str, Any]:
    """The states of the global random generators, of those modules that are imported."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        kind, keys, *rest = numpy.random.get_state()
        states["numpy"] = (kind, keys.tolist(), rest)
    if torch is not None:
        states["torch"] = torch.get_rng_state().tolist()
    return states


def touched(before: dict[str, Any]) -> list[str]:
    """Names of the global generators that were drawn from since ``before``."""
    return [name for name, state in global_states().items() if name in before and before[name] != state]


@contextmanager
def scrambled(salt: int) -> Iterator[None]:
    """Global generators in some other state inside, and as before after: nothing may depend on them."""
    from nascore.seeding import isolated_random

    with isolated_random(salt):
        yield


class MemoryContext(Context):
    """A context for one piece of work, with a temporary folder, which remembers the reports."""

    def __init__(self, data: Splits, *, number: int = 0, seed: int = 0, device: str = "cpu", steps: int | None = None):
        """Set up.

        Args:
            data: the splits; the test split is sealed.
            number: of the trial.
            seed: of the work.
            device: a torch device.
            steps: how many reports are answered by True; None: all.
        """
        self.number = number
        self.seed = seed
        self.device = device
        self.data = data.for_search()
        self.reports: list[tuple[int, dict[str, float]]] = []
        self._steps = steps
        self._folder = Path(tempfile.mkdtemp(prefix="nascore-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def report(self, step: int, **metrics: float) -> bool:
        """Remember; False once ``steps`` reports came before."""
        self.reports.append((step, metrics))
        return self._steps is None or len(self.reports) <= self._steps

    def folder(self, number: int | None = None) -> Path:
        """A folder for each trial."""
        path = self._folder / str(self.number if number is None else number)
        path.mkdir(exist_ok=True)
        return path
