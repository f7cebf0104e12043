"""What the core relies on in a sampler."""

from __future__ import annotations

import copy
import json
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from nascore.contracts import Sampler, SearchSpace, View
from nascore.errors import CapabilityError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.seeding import derive_seed
from nascore.testing import driver
from nascore.testing.toys import TASK, ToySpace

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)
LATENCY = Objective("latency_ms", Direction.MINIMIZE)


class SamplerConformance(ABC):
    """Checks of a sampler.

    Example::

        class TestAgingEvolution(SamplerConformance):
            def make(self):
                return AgingEvolution(population_size=8, tournament_size=3)

    Attributes:
        trials: of each run; take so many that everything the sampler does happens.
        of_evaluator: words that the sampler requires and its evaluator provides, which is not here.
        restarts: before which trials the state goes through a checkpoint.
        seed_matters: two seeds give different proposals.
    """

    trials: ClassVar[int] = 40
    of_evaluator: ClassVar[frozenset[str]] = frozenset()
    restarts: ClassVar[Sequence[int]] = (1, 2, 9, 20, 33)
    seed_matters: ClassVar[bool] = True

    @abstractmethod
    def make(self) -> Sampler:
        """A fresh sampler, always with the same options."""

    def space(self) -> SearchSpace:
        """A fresh space that provides what the sampler requires; by default one of decisions."""
        return ToySpace()

    def _objectives(self, count: int) -> list[Objective]:
        return [ACCURACY, LATENCY][:count]

    def _space(self) -> SearchSpace:
        space = self.space()
        space.setup(TASK)
        return space

    def _run(self, objectives: int = 1, **changes: object) -> list[Trial]:
        settings = {"trials": self.trials, **changes}
        return driver.drive(self.make, self._space(), self._objectives(objectives), **settings)  # type: ignore[arg-type]  # passed on

    # ------------------------------------------------------------------ the checks

    def test_it_fits_the_space(self) -> None:
        """Everything it requires is provided by the space that it is checked on."""
        missing = sorted(self.make().requires - self.space().provides - self.of_evaluator)
        assert not missing, f"it requires {missing}, which the space does not provide: override space()"

    def test_same_seed_same_proposals(self) -> None:
        """Proposals depend on the seed, the view and the state: not on global generators or the process."""
        with driver.scrambled(1):
            first = self._run()
        with driver.scrambled(2):
            second = self._run()
        _assert_equal(first, second, "two runs with one seed")

    def test_other_seed_other_proposals(self) -> None:
        """The seed reaches the sampler."""
        if self.seed_matters:
            first, second = self._run(seed=0), self._run(seed=1)
            assert [t.architecture.key for t in first] != [t.architecture.key for t in second], (
                "seeds 0 and 1 give the same proposals; if that is meant, set seed_matters = False"
            )

    def test_proposals_are_in_the_space(self) -> None:
        """Every proposal passes the space's check and carries its own key."""
        space = self._space()
        trials = self._run()
        assert trials, "it proposed nothing at all"
        for trial in trials:
            proposed = trial.architecture
            space.check(proposed)
            assert proposed == space.architecture(proposed.genome), (
                f"proposal {trial.number} has another name or key than the space gives its genome"
            )

    def test_failed_pruned_and_infeasible_trials_are_tolerated(self) -> None:
        """Trials without a value come back too; the search goes on."""
        for judge in (driver.troubled, driver.failing):
            trials = self._run(judge=judge)
            assert trials, f"it proposed nothing when trials were judged by {judge.__name__}"

    def test_several_objectives_work_or_are_refused(self) -> None:
        """``setup`` raises CapabilityError, or two objectives work, troubles included."""
        try:
            self.make().setup(self._space(), self._objectives(2), 0)
        except CapabilityError:
            return
        assert self._run(2, judge=driver.troubled)

    def test_a_restored_sampler_goes_on_exactly(self) -> None:
        """A search that was killed and resumed ends like one that was not, also when trials fail."""
        for judge in (driver.judge, driver.troubled):
            whole = self._run(judge=judge)
            broken = self._run(judge=judge, restarts=self.restarts)
            _assert_equal(whole, broken, f"a run, and one restored before the trials {list(self.restarts)},")

    def test_parallel_trials_are_tolerated(self) -> None:
        """Several are asked for before any is told, and they come back in another order."""
        trials = self._run(parallel=4, judge=driver.troubled)
        assert trials, "it proposed nothing"

    def test_inputs_are_not_changed(self) -> None:
        """What it is given belongs to others: the told trial, the history, the architectures in it."""
        space, objectives = self._space(), self._objectives(1)
        sampler, history = self.make(), TrialHistory(objectives)
        sampler.setup(space, objectives, 0)
        kept: list[tuple[Trial, Trial]] = []
        for number in range(self.trials):
            rng = random.Random(derive_seed(0, "ask", number))
            candidate = sampler.ask(View(number, rng, history, self.trials))
            if candidate is None:
                break
            trial = driver.troubled(number, candidate, objectives)
            kept.append((trial, copy.deepcopy(trial)))
            history.add(trial)
            sampler.tell(trial)
            for now, before in kept:
                assert now == before, f"after trial {number} was told, trial {now.number} is not what it was"
            assert len(history) == number + 1, "the history's length changed"

    def test_global_random_state_is_untouched(self) -> None:
        """It draws from the view's generator, or its own; the user's stream goes on as if nothing was."""
        before = driver.global_states()
        self._run()
        touched = driver.touched(before)
        assert not touched, f"it drew from (or seeded) the global generator of: {', '.join(touched)}"

    def test_reports_are_answered(self) -> None:
        """``on_report`` says True or False, for any trial and any step."""
        sampler = self.make()
        sampler.setup(self._space(), self._objectives(1), 0)
        answer = sampler.on_report(0, 1, {"accuracy": 0.5})
        assert isinstance(answer, bool), f"on_report gave {answer!r}"

    def test_it_recommends_a_complete_trial(self) -> None:
        """The recommendation is a complete trial of the history; None when there is none."""
        objectives = self._objectives(1)
        for judge in (driver.troubled, driver.failing):
            sampler, history = self.make(), TrialHistory(objectives)
            sampler.setup(self._space(), objectives, 0)
            for number in range(self.trials):
                candidate = sampler.ask(View(number, random.Random(number), history, self.trials))
                if candidate is None:
                    break
                trial = judge(number, candidate, objectives)
                history.add(trial)
                sampler.tell(trial)
            best = sampler.recommend(history)
            if best is None:
                assert history.best is None, "it recommends nothing, though there are complete trials"
            else:
                assert best.status is Status.COMPLETE, f"it recommends a trial that is {best.status.value}"
                assert best == history[best.number], "it recommends a trial that the history does not have"


def _assert_equal(first: list[Trial], second: list[Trial], what: str) -> None:
    for one, other in zip(first, second, strict=False):
        assert driver.described(one) == driver.described(other), (
            f"{what} differ from trial {one.number} on: "
            f"{json.dumps(one.architecture.genome)} and {json.dumps(other.architecture.genome)}"
        )
    assert len(first) == len(second), f"{what} have {len(first)} and {len(second)} trials"
