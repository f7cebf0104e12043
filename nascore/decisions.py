"""Search spaces made of decisions: a program that calls ``choose`` and gets one of its options.

Most spaces of the literature are of this kind. Its genome is ``{decision name: chosen option}``,
so any Optuna sampler can search it, and mutation is a replay with one answer changed.
"""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

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

    @cached_property
    def others(self) -> tuple[Option, ...]:
        """The options that a mutation can change it to."""
        return tuple(option for option in self.options if not _same(option, self.value))


class _Question(NamedTuple):
    """A decision that the program asked for, and what each option makes of it."""

    options: tuple[Option, ...]
    types: tuple[type, ...]
    decisions: tuple[Decision, ...]


@dataclass(slots=True)
class _Trace:
    """One run of the program. What follows from its decisions is made when it is first wanted."""

    decisions: tuple[Decision, ...]
    architecture: Architecture | None = None
    kinds: list[list[Decision]] | None = None


class _Traces:
    """Traces by the genome that they answer; the oldest are forgotten."""

    LIMIT = 2**17
    """How many decisions are remembered, those of all traces together: some 30 MB."""

    def __init__(self) -> None:
        self._traces: dict[tuple[Any, ...], _Trace] = {}
        self._decisions = 0

    def find(self, genome: Mapping[str, Json]) -> _Trace | None:
        """The trace of this very genome, if it is remembered."""
        try:
            return self._traces.get(_exactly(genome))
        except TypeError:  # a stranger's genome can hold lists and objects; no trace has any
            return None

    def add(self, genome: Mapping[str, Json], trace: _Trace) -> _Trace:
        """Remember a trace."""
        self._traces[_exactly(genome)] = trace
        self._decisions += len(trace.decisions)
        while self._decisions > self.LIMIT:
            self._decisions -= len(self._traces.pop(next(iter(self._traces))).decisions)
        return trace


def _exactly(genome: Mapping[str, Json]) -> tuple[Any, ...]:
    """What parts two genomes: to Python 1, 1.0 and True are equal, to JSON they are not."""
    return (*genome, *genome.values(), *map(type, genome.values()))


class DecisionSpace(SearchSpace):
    """Base of the spaces made of decisions: write :meth:`decide` and :meth:`build`."""

    provides: ClassVar[frozenset[str]] = frozenset({"decisions", "mutate", "crossover", "module"})

    @abstractmethod
    def decide(self, choose: Choose) -> Any:
        """Make all decisions; returns whatever :meth:`build` finds handy (a cell specification, say)."""

    def group(self, name: str) -> str:
        """The kind of a decision. Mutation picks a kind first, each as likely, then a decision of it."""
        return ""

    # ------------------------------------------------------------------ the program, run

    def sample(self, choose: Choose) -> Architecture:
        """Run the program; see :meth:`SearchSpace.sample`."""
        decisions, _ = self._run(choose)
        genome: dict[str, Json] = {decision.name: decision.value for decision in decisions}
        return self._made(self._traces.find(genome) or self._traces.add(genome, _Trace(decisions)))

    def structure(self, architecture: Architecture) -> Any:
        """What :meth:`decide` returns for this architecture."""
        return self._run(self._answers(architecture.genome))[1]

    def decisions(self, architecture: Architecture) -> tuple[Decision, ...]:
        """The decisions that made this architecture, in the order of the program.

        Raises:
            SpaceError: a decision is missing, superfluous, or has a value that is not allowed.
        """
        return self._trace(architecture.genome).decisions

    def check(self, architecture: Architecture) -> None:
        """Accept only what the program itself could have made; see :meth:`SearchSpace.check`."""
        self.decisions(architecture)

    # ------------------------------------------------------------------ neighbours

    def replay(self, values: Mapping[str, Option], rng: random.Random) -> Architecture:
        """Run the program, answering from ``values`` where they fit and from ``rng`` where not."""
        known = self._traces.find(values)
        if known is not None:  # every answer fits, and nothing would be drawn
            return self._made(known)

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
        trace = self._trace(architecture.genome)
        if trace.kinds is None:
            trace.kinds = _by_kind(trace.decisions, self.group)
        if not trace.kinds:
            raise SpaceError(f"Nothing can be mutated: no decision of {self.name!r} has a second option.")
        decision = rng.choice(rng.choice(trace.kinds))
        return self.replay({**architecture.genome, decision.name: rng.choice(decision.others)}, rng)  # type: ignore[dict-item]

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Each decision from either parent, as likely (uniform crossover)."""
        offers: dict[str, list[Option]] = {}
        for parent in (first, second):
            for decision in self.decisions(parent):
                offers.setdefault(decision.name, []).append(decision.value)
        return self.replay({name: rng.choice(values) for name, values in offers.items()}, rng)

    # ------------------------------------------------------------------ inside

    # A replay of a user's program builds a network each time, and a search on a table asks for the same few
    # thousand genomes again and again. What is remembered follows from the genome, so it changes no result.

    @cached_property
    def _traces(self) -> _Traces:
        return _Traces()

    @cached_property
    def _questions(self) -> dict[str, _Question]:
        return {}

    def _run(self, choose: Choose) -> tuple[tuple[Decision, ...], Any]:
        made: dict[str, Decision] = {}

        def recording(name: str, options: Sequence[Option]) -> Any:
            question = self._question(name, options)
            decision = made.get(name)
            if decision is None:
                decision = made[name] = _taken(name, question, choose(name, question.options))
            elif decision.options != question.options:
                raise SpaceError(
                    f"The decision {name!r} came with other options before: "
                    f"{list(decision.options)}, now {list(question.options)}. Give each its own name."
                )
            return decision.value

        structure = self.decide(recording)
        return tuple(made.values()), structure

    def _question(self, name: str, options: Sequence[Option]) -> _Question:
        options = tuple(options)
        known = self._questions.get(name)
        if known is not None and known.options is options:
            return known
        types = tuple(map(type, options))
        if known is not None and known.options == options and known.types == types:
            return known
        if not options:
            raise SpaceError(f"The decision {name!r} has no options.")
        if not _SCALARS.issuperset(types):
            raise SpaceError(f"The decision {name!r} has options {list(options)}; {_ALLOWED}.")
        asked = _Question(options, types, tuple(Decision(name, options, option) for option in options))
        self._questions[name] = asked
        return asked

    def _trace(self, genome: Json) -> _Trace:
        """The run that this genome answers, all of it."""
        answers = self._answers(genome)
        known = self._traces.find(genome)  # type: ignore[arg-type]  # it is an object, or it has no answers
        if known is not None:
            return known
        decisions, _ = self._run(answers)
        names = {decision.name for decision in decisions}
        superfluous = [name for name in genome if name not in names]  # type: ignore[union-attr]
        if superfluous:
            raise SpaceError(f"The space {self.name!r} makes no decision {superfluous[0]!r} here.")
        return self._traces.add(genome, _Trace(decisions))  # type: ignore[arg-type]

    def _made(self, trace: _Trace) -> Architecture:
        if trace.architecture is None or trace.architecture.space != self.name:  # a space is named after it is made
            trace.architecture = self.architecture({decision.name: decision.value for decision in trace.decisions})
        return trace.architecture

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


def _by_kind(decisions: tuple[Decision, ...], group: Callable[[str], str]) -> list[list[Decision]]:
    """Those that a mutation can change, by kind."""
    kinds: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.others:
            kinds.setdefault(group(decision.name), []).append(decision)
    return list(kinds.values())


def _taken(name: str, question: _Question, answer: Any) -> Decision:
    """The decision with this answer; the program gets its own option back, whoever answered."""
    kind = type(answer)
    for decision in question.decisions:
        if type(decision.value) is kind and decision.value == answer:
            return decision
    raise SpaceError(f"The decision {name!r} was answered by {answer!r}; allowed: {list(question.options)}.")


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
