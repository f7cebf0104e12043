"""Regularised evolution of programs: Real, Liang, So and Le 2020, arXiv:2003.03384, section 3.2."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError
from nascore.records import Candidate
from nascore_blocks.evolution import Individual, individual, winner

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial


def check_evolution(population_size: int, tournament_size: int, mutate_probability: float, start: str) -> None:
    """Refuse settings of an evolution that are out of their range.

    Raises:
        SettingsError: names the setting.
    """
    for name, value in (("population_size", population_size), ("tournament_size", tournament_size)):
        if value < 1:
            raise SettingsError(f"{name} is {value}; it must be at least 1.")
    if not 0 < mutate_probability <= 1:
        raise SettingsError(f"mutate_probability is {mutate_probability}; it must be in (0, 1].")
    if start not in ("random", "empty"):
        raise SettingsError(f"start is {start!r}; allowed: random, empty.")


def one_objective(objectives: Sequence[Objective]) -> None:
    """Refuse several objectives.

    Raises:
        CapabilityError: names them.
    """
    if len(objectives) != 1:
        names = ", ".join(objective.name for objective in objectives)
        raise CapabilityError(f"This evolution has one objective; got {names}. `amoebanet` takes several.")


def reached(history: History, goal: float | None, objective: Objective) -> bool:
    """Is the best trial as good as the goal?"""
    best = history.best if goal is not None else None
    if best is None or goal is None:
        return False
    return not objective.direction.better(goal, best.value(objective.name))


class ProgramEvolution(Sampler):
    """P programs; then each child is the mutated winner of a tournament, and the oldest dies.

    The population is the P complete trials with the largest numbers. A trial that failed, was pruned or is
    infeasible never enters it. A child that nothing happened to costs nothing, as its measurement is known.

    Args:
        population_size: P, >= 1.
        tournament_size: T, drawn with replacement, >= 1.
        mutate_probability: how often a child differs from its parent; in (0, 1].
        start: the first P programs are ``random``, or all ``empty`` (the space must have ``trivial``).
        goal: a value of the objective at which the search ends; None: it uses its budget.

    Raises:
        SettingsError: a value is out of its range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"mutate"})

    def __init__(
        self,
        population_size: int = 100,
        tournament_size: int = 10,
        mutate_probability: float = 0.9,
        start: Literal["random", "empty"] = "random",
        goal: float | None = None,
    ) -> None:
        check_evolution(population_size, tournament_size, mutate_probability, start)
        self.population_size, self.tournament_size = population_size, tournament_size
        self.mutate_probability, self.start, self.goal = mutate_probability, start, goal
        self.population: list[Individual] = []  # oldest first

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: several objectives, or a space without an empty program.
        """
        super().setup(space, objectives, seed)
        one_objective(self.objectives)
        if self.start == "empty" and not hasattr(space, "trivial"):
            raise CapabilityError("sampler.start=empty needs a space with an empty program; set sampler.start=random.")
        self._direction = self.objectives[0].direction

    def ask(self, view: View) -> Candidate | None:
        """A first program while the population fills, then a child."""
        rng = view.rng
        if reached(view.history, self.goal, self.objectives[0]):
            return None
        if len(self.population) < self.population_size:
            return Candidate(view.within(lambda: self._first(rng)), origin=self.start)
        parent = self._select(rng)
        if rng.random() >= self.mutate_probability:
            return Candidate(parent.architecture, parent=parent.number, origin=f"copy of {parent.number}")
        space: Any = self.space  # `mutate` is a capability, not in the contract
        child = view.within(lambda: space.mutate(parent.architecture, rng))
        return Candidate(child, parent=parent.number, origin=f"mutation of {parent.number}")

    def _first(self, rng: random.Random) -> Architecture:
        space: Any = self.space
        architecture: Architecture = (
            space.trivial() if self.start == "empty" else space.sample(lambda _, options: rng.choice(options))
        )
        return architecture

    def _select(self, rng: random.Random) -> Individual:
        """The winner of a tournament; among equals the one drawn first."""
        return winner(rng.choices(self.population, k=self.tournament_size), [self._direction])

    def tell(self, trial: Trial) -> None:
        """A complete trial joins the population, and the oldest member leaves when it is too large."""
        member = individual(trial, self.objectives)
        if member is None:
            return
        insort(self.population, member, key=attrgetter("number"))
        if len(self.population) > self.population_size:
            del self.population[0]

    def state_dict(self) -> dict[str, Any]:
        """The numbers of the living, oldest first; all else stands in the history."""
        return {"population": [member.number for member in self.population]}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Find the living in the history again."""
        members = (individual(history[number], self.objectives) for number in state["population"])
        self.population = [member for member in members if member is not None]
