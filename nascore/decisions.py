"""Search spaces made of decisions: a program that calls ``choose`` and gets one of its options.

Most spaces of the literature are of this kind. Its genome is ``{decision name: chosen option}``,
so any Optuna sampler can search it, and mutation is a replay with one answer changed.
"""

from __future__ import annotations

import inspect
import json
import sys
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nascore.contracts import SearchSpace
from nascore.errors import SpaceError
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json, Option


_SCALARS = frozenset({type(None), bool, int, float, str})
_ALLOWED = "an option is None, a bool, an int, a float or a text (of Python's own types, for JSON and Optuna)"


@dataclass(frozen=True)
class Decision:
    """One answered call of ``choose``."""

    name: str
    options: tuple[Option, ...]
    value: Option


class DecisionSpace(SearchSpace):
    """Base of the spaces made of decisions: write :meth:`decide` and :meth:`build`."""

    provides: ClassVar[frozenset[str]] = frozenset({"decisions", "mutate", "crossover", "module"})

    _TRACES = 1024
    """How many traces are remembered; a replay of a user's program builds a network each time."""

    @abstractmethod
    def decide(self, choose: Choose) -> Any:
        """Make all decisions; returns whatever :meth:`build` finds handy (a cell specification, say)."""

    def group(self, name: str) -> str:
        """The kind of a decision. Mutation picks a kind first, each as likely, then a decision of it."""
        return ""

    # ------------------------------------------------------------------ the program, run

    def sample(self, choose: Choose) -> Architecture:
        """Run the program; see :meth:`SearchSpace.sample`."""
        return self._wrap(self._run(choose)[0])

    def structure(self, architecture: Architecture) -> Any:
        """What :meth:`decide` returns for this architecture."""
        return self._run(self._answers(architecture.genome))[1]

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """The decisions that made this architecture, in the order of the program.

        Raises:
            SpaceError: a decision is missing, superfluous, or has a value that is not allowed.
        """
        traces = self.__dict__.setdefault("_traces", {})
        key = json.dumps(architecture.genome)
        trace = traces.get(key)
        if trace is None:
            trace, _ = self._run(self._answers(architecture.genome))
            names = {decision.name for decision in trace}
            superfluous = [name for name in architecture.genome if name not in names]  # type: ignore[union-attr]
            if superfluous:
                raise SpaceError(f"The space {self.name!r} makes no decision {superfluous[0]!r} here.")
            self._remember(key, trace)
        return trace  # type: ignore[no-any-return]

    def check(self, architecture: Architecture) -> None:
        """Accept only what the program itself could have made; see :meth:`SearchSpace.check`."""
        self.decisions(architecture)

    # ------------------------------------------------------------------ neighbours

    def replay(self, values: Mapping[str, Option], rng: random.Random) -> Architecture:
        """Run the program, answering from ``values`` where they fit and from ``rng`` where not."""

        def choose(name: str, options: Sequence[Option]) -> Option:
            if name in values and _among(values[name], options):
                return values[name]
            return rng.choice(options)

        return self.sample(choose)

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Change one decision to another of its options; the rest stays, as far as it is still asked.

        Raises:
            SpaceError: no decision of this architecture has a second option.
        """
        groups: dict[str, list[Decision]] = {}
        for decision in self.decisions(architecture):
            if not all(_same(option, decision.value) for option in decision.options):
                groups.setdefault(self.group(decision.name), []).append(decision)
        if not groups:
            raise SpaceError(f"Nothing can be mutated: no decision of {self.name!r} has a second option.")
        decision = rng.choice(groups[rng.choice(list(groups))])
        other = rng.choice([option for option in decision.options if not _same(option, decision.value)])
        return self.replay({**architecture.genome, decision.name: other}, rng)  # type: ignore[dict-item]

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Each decision from either parent, as likely (uniform crossover)."""
        offers: dict[str, list[Option]] = {}
        for parent in (first, second):
            for decision in self.decisions(parent):
                offers.setdefault(decision.name, []).append(decision.value)
        return self.replay({name: rng.choice(values) for name, values in offers.items()}, rng)

    # ------------------------------------------------------------------ inside

    def _run(self, choose: Choose) -> tuple[tuple[Decision, ...], Any]:
        made: dict[str, Decision] = {}

        def recording(name: str, options: Sequence[Option]) -> Any:
            options = tuple(options)
            if not options:
                raise SpaceError(f"The decision {name!r} has no options.")
            if not _SCALARS.issuperset(map(type, options)):
                raise SpaceError(f"The decision {name!r} has options {list(options)}; {_ALLOWED}.")
            if name in made:
                if made[name].options != options:
                    raise SpaceError(
                        f"The decision {name!r} came with other options before: "
                        f"{list(made[name].options)}, now {list(options)}. Give each its own name."
                    )
                return made[name].value
            answer = choose(name, options)
            for option in options:  # the program gets its own object back, whoever answered
                if _same(answer, option):
                    made[name] = Decision(name, options, option)
                    return option
            raise SpaceError(f"The decision {name!r} was answered by {answer!r}; allowed: {list(options)}.")

        structure = self.decide(recording)
        return tuple(made.values()), structure

    def _wrap(self, trace: tuple[Decision, ...]) -> Architecture:
        genome: dict[str, Json] = {decision.name: decision.value for decision in trace}
        self._remember(json.dumps(genome), trace)
        return self.architecture(genome)

    def _remember(self, key: str, trace: tuple[Decision, ...]) -> None:
        traces = self.__dict__.setdefault("_traces", {})
        traces[key] = trace
        if len(traces) > self._TRACES:
            del traces[next(iter(traces))]

    def _answers(self, genome: Json) -> Choose:
        if not isinstance(genome, dict):
            raise SpaceError(f"A genome of {self.name!r} is an object of decisions; got {type(genome).__name__}.")

        def choose(name: str, options: Sequence[Option]) -> Any:
            if name not in genome:
                raise SpaceError(f"The decision {name!r} is missing; allowed: {list(options)}.")
            if not _among(genome[name], options):
                raise SpaceError(f"The decision {name!r} is {genome[name]!r}; allowed: {list(options)}.")
            return genome[name]

        return choose


def _same(first: Any, second: Any) -> bool:
    """Equal as JSON: 1 and True are different, 1 and 1.0 too."""
    return type(first) is type(second) and first == second


def _among(value: Any, options: Sequence[Option]) -> bool:
    return value in options and any(_same(value, option) for option in options)


class FunctionSpace(DecisionSpace):
    """A user's own space: one function that decides and builds; made by :func:`search_space`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """
        Args:
            function: ``function(choose, task)`` or ``function(choose)``; returns a ``torch.nn.Module``.

        Raises:
            SpaceError: it takes other arguments.
        """
        name = getattr(function, "__name__", type(function).__name__)
        try:
            parameters = list(inspect.signature(function).parameters)
        except ValueError:  # some built-in functions have no signature
            parameters = []
        if not 1 <= len(parameters) <= 2:
            raise SpaceError(f"A search space is a function of (choose) or (choose, task); {name} takes {parameters}.")
        self.function = function
        self.wants_task = len(parameters) == 2
        self.name = name
        self._task: Task | None = None

    def setup(self, task: Task) -> None:
        """Remember the task: the function may decide by it."""
        self._task = task

    def decide(self, choose: Choose) -> Any:
        """Run the function; the network it builds on the way is thrown away.

        A combination for which the function raises is an architecture all the same, of the decisions
        made until then: :meth:`build` raises again, so its trial fails with the traceback and the
        search goes on.
        """
        refused: list[BaseException] = []

        def asking(name: str, options: Sequence[Option]) -> Any:
            try:
                return choose(name, options)
            except BaseException as error:
                refused.append(error)
                raise

        with isolated_random(0):
            try:
                return self._call(asking, self._task)
            except Exception:  # the user's function can fail in any way
                if refused:  # a wrong decision, and no fault of the network
                    raise
                return None

    def build(self, architecture: Architecture, task: Task) -> Any:
        """Run the function with the architecture's answers.

        Raises:
            SpaceError: it returns no network.
        """
        network = self._call(self._answers(architecture.genome), task)
        torch = sys.modules.get("torch")  # where a module was made, torch is imported
        if torch is None or not isinstance(network, torch.nn.Module):
            raise SpaceError(
                f"The space {self.name!r} must return a torch.nn.Module; it returned {type(network).__name__}."
            )
        return network

    def _call(self, choose: Choose, task: Task | None) -> Any:
        return self.function(choose, task) if self.wants_task else self.function(choose)


def search_space(function: Callable[..., Any]) -> FunctionSpace:
    """Decorator: make a search space of a function that decides and builds.

    Example:
        >>> @search_space
        ... def my_space(choose, task):
        ...     return make_network(task.channels, choose("width", [8, 16]), task.classes)
    """
    return FunctionSpace(function)
