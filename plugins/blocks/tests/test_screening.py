"""Two-step search: the best of a pool by a score that costs nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nascore.contracts import View
from nascore.errors import CapabilityError, SettingsError
from nascore.history import TrialHistory
from nascore.records import Direction, Objective, Status, Trial
from nascore.testing import ResumeConformance, SamplerConformance, ToyData, ToyEvaluator, ToySpace
from nascore.testing.toys import TASK
from nascore_blocks.nasbench201 import NASBench201
from nascore_blocks.screening import Screened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Choose
    from nascore.records import Candidate
    from nascore.result import SearchResult

ACCURACY = Objective("accuracy", Direction.MAXIMIZE)


class Kept(ToySpace):
    """The kit's space, which keeps its task as the spaces of blocks do."""

    def setup(self, task: Any) -> None:
        self.task = task


class Few(NASBench201):
    """One decision, three networks."""

    def decide(self, choose: Choose) -> Any:
        return choose("edge.1.0", ["none", "nor_conv_1x1", "nor_conv_3x3"])

    def canonical(self, genome: Any) -> Any:
        return genome

    def build(self, architecture: Any, task: Any) -> Any:
        op = architecture.genome["edge.1.0"]
        full = dict.fromkeys(["edge.1.0", "edge.2.0", "edge.2.1", "edge.3.0", "edge.3.1", "edge.3.2"], "skip_connect")
        return super().build(NASBench201().architecture({**full, "edge.1.0": op, "edge.2.0": op}), task)


def started(space: Any = None, **options: Any) -> Screened:
    space = space or Kept()
    space.setup(TASK)
    sampler = Screened(**{"pool": 4, "batch_size": 4, **options})
    sampler.setup(space, [ACCURACY], 0)
    return sampler


def ask(sampler: Screened, number: int) -> Candidate | None:
    return sampler.ask(View(number, random.Random(number), TrialHistory([ACCURACY])))


class TestScreened(SamplerConformance):
    trials = 12
    restarts = (1, 5, 9)

    def make(self) -> Screened:
        return Screened(pool=3, score="params", batch_size=4)

    def space(self) -> Kept:
        return Kept()

    of_evaluator = frozenset({"images"})


def test_the_best_of_the_pool_is_proposed() -> None:
    sampler = started(pool=10, score="params")
    candidate = ask(sampler, 0)
    assert candidate is not None
    scored = sampler._scores
    assert len(scored) == 10
    assert scored[candidate.architecture.key] == max(scored.values()) == candidate.metrics["params"]
    network = Kept().build(candidate.architecture, TASK)
    assert candidate.metrics["params"] == sum(p.numel() for p in network.parameters())


def test_a_larger_pool_has_better_scores() -> None:
    means = []
    for pool in (1, 20):
        sampler = started(pool=pool, score="params")
        found = [ask(sampler, number) for number in range(15)]
        means.append(sum(c.metrics["params"] for c in found if c is not None) / 15)
    assert means[1] > 1.5 * means[0]


def test_nothing_is_proposed_twice_and_the_end_of_the_space_is_found() -> None:
    sampler = started(Few(channels=4), score="synflow", pool=2, tries=60)
    proposed: list[Any] = []
    while (candidate := ask(sampler, len(proposed))) is not None:
        proposed.append(candidate.architecture.genome["edge.1.0"])  # type: ignore[index,call-overload]  # an object
        sampler.tell(Trial(len(proposed) - 1, candidate, Status.COMPLETE, {"accuracy": 0.5}))
    assert sorted(proposed) == ["none", "nor_conv_1x1", "nor_conv_3x3"]


def test_what_is_under_way_is_not_proposed_again_after_a_restart_either() -> None:
    sampler = started(Few(channels=4), pool=3, tries=60)
    first = ask(sampler, 0)
    restored = started(Few(channels=4), pool=3, tries=60)
    restored.load_state_dict(sampler.state_dict(), TrialHistory([ACCURACY]))
    second, again = ask(restored, 1), ask(restored, 0)
    assert first is not None
    assert second is not None
    assert second.architecture.key != first.architecture.key
    assert again == first


def test_a_score_depends_on_seed_and_architecture_alone() -> None:
    architecture = Kept().sample(lambda _, options: options[0])
    torch.manual_seed(5)
    first = started(score="naswot").score_of(architecture)
    torch.manual_seed(6)
    torch.rand(3)
    assert started(score="naswot").score_of(architecture) == first


def test_a_network_that_cannot_be_built_comes_last() -> None:
    class Broken(Kept):
        def build(self, architecture: Any, task: Any) -> Any:
            if architecture.genome["width"] > 4:
                raise ValueError("too wide")
            return super().build(architecture, task)

    sampler = started(Broken(), score="params", pool=12)
    candidate = ask(sampler, 0)
    assert candidate is not None
    assert candidate.architecture.genome["width"] == 4  # type: ignore[index,call-overload]  # an object


def test_a_space_that_keeps_no_task_is_refused() -> None:
    with pytest.raises(CapabilityError, match="does not keep its task"):
        Screened().setup(ToySpace(), [ACCURACY], 0)


@pytest.mark.parametrize("options", [{"pool": 0}, {"score": "x"}, {"batch_size": 1}, {"tries": 0}])
def test_bad_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        Screened(**options)


class TestResume(ResumeConformance):
    trials = 8
    stops = (5,)

    def make(self) -> dict[str, Any]:
        sampler = Screened(pool=4, batch_size=4)
        return {"space": Kept(), "sampler": sampler, "evaluator": ToyEvaluator(), "data": ToyData()}

    def check(self, result: SearchResult, parts: Mapping[str, Any]) -> None:
        assert all(trial.candidate.metrics for trial in result.history)


del ResumeConformance, SamplerConformance  # pytest would collect them
