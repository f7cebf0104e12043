"""What the core relies on in a search space."""

from __future__ import annotations

import copy
import itertools
import json
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from nascore.errors import SpaceError
from nascore.records import Architecture, digest
from nascore.seeding import isolated_random
from nascore.testing import driver
from nascore.testing.toys import TASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import SearchSpace, Task
    from nascore.records import Json, Option

NONSENSE: tuple[Any, ...] = (None, [], {}, "text", 7, {"nonsense": 1}, [[1, 2], "x"])


class SearchSpaceConformance(ABC):
    """Checks of a search space.

    Example::

        class TestMySpace(SearchSpaceConformance):
            def make(self):
                return MySpace(blocks=2)

    Attributes:
        task: what networks are built for.
        samples: how many architectures are drawn.
        builds: how many of them are built.
        batch: inputs that a built network is run on.
    """

    task: ClassVar[Task] = TASK
    samples: ClassVar[int] = 30
    builds: ClassVar[int] = 3
    batch: ClassVar[int] = 2

    @abstractmethod
    def make(self) -> SearchSpace:
        """A fresh space, always with the same options."""

    def _space(self) -> SearchSpace:
        space = self.make()
        space.name = space.name or "checked"
        space.setup(self.task)
        return space

    def _drawn(self, space: SearchSpace, count: int | None = None) -> list[Architecture]:
        rng = random.Random(0)
        return [
            space.sample(lambda _, options: rng.choice(options))
            for _ in range(self.samples if count is None else count)
        ]

    def _capable(self, *words: str) -> bool:
        return set(words) <= self.make().provides

    # ------------------------------------------------------------------ the checks

    def test_the_same_choices_make_the_same_architecture(self) -> None:
        """``sample`` decides nothing by itself: all comes from ``choose``."""
        with driver.scrambled(1):
            first = self._drawn(self._space())
        with driver.scrambled(2):
            second = self._drawn(self._space())
        assert first == second, "two runs with the same answers of choose gave different architectures"

    def test_names_are_stable(self) -> None:
        """A decision's name comes with the same options in every run; options are JSON scalars, each once."""
        seen: dict[str, tuple[Option, ...]] = {}
        rng = random.Random(0)

        def choose(name: str, options: Sequence[Option]) -> Option:
            assert isinstance(name, str), f"{name!r} is no name of a decision: it must be text"
            given = tuple(options)
            assert given, f"the decision {name!r} has no options"
            for option in given:
                assert option is None or isinstance(option, (bool, int, float, str)), (
                    f"the decision {name!r} has the option {option!r}; allowed: None, bool, int, float, str"
                )
            assert len(set(map(repr, given))) == len(given), f"the decision {name!r} has an option twice: {given}"
            assert seen.setdefault(name, given) == given, (
                f"the decision {name!r} came with {seen[name]} and then with {given}; give each its own name"
            )
            return rng.choice(given)

        space = self._space()
        for _ in range(self.samples):
            space.sample(choose)

    def test_it_accepts_its_own_architectures_and_keeps_them_through_json(self) -> None:
        """What it made passes its check, and comes back equal from a file."""
        space, other = self._space(), self._space()
        for architecture in self._drawn(space):
            other.check(architecture)
            stored = json.loads(json.dumps(architecture.to_json()))
            loaded = other.load(stored)
            assert loaded == architecture, f"{architecture} became {loaded} through JSON"

    def test_it_refuses_what_is_not_its_own(self) -> None:
        """Architectures come from strangers' files: nonsense raises SpaceError and nothing else."""
        space = self._space()
        damaged = [bad for one in self._drawn(space, 3) for bad in _damaged(one.genome)]
        for genome in [*NONSENSE, *damaged]:
            try:
                space.check(Architecture(space.name, genome, ""))
            except SpaceError:
                continue
            except Exception as error:
                raise AssertionError(f"check raises {error!r} on {genome!r}; it must raise SpaceError") from error
            raise AssertionError(f"check accepts {genome!r}, which this space cannot make")

    def test_keys_are_stable(self) -> None:
        """An architecture has one key, in every instance; it is the digest of the canonical genome."""
        space, other = self._space(), self._space()
        for architecture in self._drawn(space):
            key = digest([space.name, other.canonical(copy.deepcopy(architecture.genome))])
            assert architecture.key == key, f"the key of {architecture.genome} is not that of its canonical genome"

    def test_inputs_are_not_changed(self) -> None:
        """Architectures are shared; no method may write into a genome."""
        space = self._space()
        first, second = self._drawn(space, 2)
        before = copy.deepcopy((first, second))
        space.check(first)
        space.canonical(first.genome)
        if self._capable("mutate"):
            _any(space).mutate(first, random.Random(0))
        if self._capable("crossover"):
            _any(space).crossover(first, second, random.Random(0))
        if self._capable("module"):
            with isolated_random(0):
                space.build(first, self.task)
        assert (first, second) == before, "a method of the space changed the architecture that it was given"

    def test_children_are_in_the_space(self) -> None:
        """Mutation gives a different genome, crossover any; both pass the check and follow the generator."""
        space = self._space()
        drawn = self._drawn(space)
        for index, (first, second) in enumerate(itertools.pairwise(drawn)):
            if self._capable("mutate"):
                child, again = (_any(space).mutate(first, random.Random(index)) for _ in range(2))
                space.check(child)
                assert child == again, "two mutations with the same generator differ"
                assert child.genome != first.genome, f"mutation changed nothing in {first.genome}"
            if self._capable("crossover"):
                child, again = (_any(space).crossover(first, second, random.Random(index)) for _ in range(2))
                space.check(child)
                assert child == again, "two crossovers with the same generator differ"

    def test_global_random_state_is_untouched(self) -> None:
        """Sampling, checking and mutating draw from what they are given only."""
        space = self._space()
        before = driver.global_states()
        for architecture in self._drawn(space, 3):
            space.check(architecture)
            if self._capable("mutate"):
                _any(space).mutate(architecture, random.Random(0))
        touched = driver.touched(before)
        assert not touched, f"it drew from (or seeded) the global generator of: {', '.join(touched)}"

    def test_networks_work(self) -> None:
        """(batch, channels, height, width) -> finite (batch, classes), from a stored architecture as well."""
        if not self._capable("module"):
            return
        import torch

        space = self._space()
        for architecture in self._drawn(space, self.builds):
            outputs = []
            for one in (architecture, self._space().load(json.loads(json.dumps(architecture.to_json())))):
                with isolated_random(0), torch.no_grad():
                    network = space.build(one, self.task).eval()
                    outputs.append(network(torch.randn(self.batch, *self.task.shape)))
            shape = tuple(outputs[0].shape)
            wanted = (self.batch, self.task.classes)
            assert shape == wanted, f"the network of {architecture.genome} gives the shape {shape}, not {wanted}"
            assert torch.isfinite(outputs[0]).all(), f"the fresh network of {architecture.genome} gives NaN or infinity"
            assert torch.equal(*outputs), (
                "with torch's generator in one state, the architecture and its copy through JSON give different "
                "networks: build must draw from torch's global generator alone"
            )


def _any(space: SearchSpace) -> Any:
    return space  # mutate and crossover are capabilities, not in the contract's class


def _damaged(genome: Json) -> list[Json]:
    """A genome with something missing, superfluous or of the wrong kind."""
    if isinstance(genome, dict) and genome:
        first = next(iter(genome))
        return [
            {name: value for name, value in genome.items() if name != first},
            {**genome, "superfluous decision": 0},
            {**genome, first: ["no", "option"]},
        ]
    return []
