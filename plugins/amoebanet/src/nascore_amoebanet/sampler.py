"""Aging ("regularised") evolution: Real, Aggarwal, Huang and Le 2018, arXiv:1802.01548, algorithm 1."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.records import Candidate
from nascore_blocks.evolution import Individual, individual, winner

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial


class _Mutates(Protocol):
    """What the capability ``mutate`` of a search space means."""

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture: ...


class AgingEvolution(Sampler):
    """P random architectures; then each child is a mutation of a tournament's winner, and the oldest dies.

    The population is the P complete trials with the largest numbers, so age is the order of
    submission, whatever the order in which parallel trials come back. A trial that failed, was
    pruned or is infeasible never enters: its value is missing, or not comparable. Until P trials
    are complete, candidates are random, so a search in which every trial fails is a random search.
    With several objectives the winner is drawn from the tournament's members that no other member
    dominates (the paper has one objective; this is our extension).
    """

    requires: ClassVar[frozenset[str]] = frozenset({"mutate"})

    def __init__(
        self,
        population_size: int = 100,
        tournament_size: int = 25,
        replacement: bool = False,
        identity_probability: float = 0.05,
    ) -> None:
        """Set the sizes; the defaults are the paper's.

        Args:
            population_size: P, how many of the latest complete trials live; at least 1.
            tournament_size: S, how many members compete to be the parent; 1 is a parent at random,
                P (without replacement) always takes the best. In [1, P].
            replacement: one member may enter a tournament more than once.
            identity_probability: how often a child is its parent unchanged, trained anew; in [0, 1].

        Raises:
            SettingsError: a value is out of its range.
        """
        if population_size < 1:
            raise SettingsError(f"population_size is {population_size}; it must be at least 1.")
        if not 1 <= tournament_size <= population_size:
            raise SettingsError(
                f"tournament_size is {tournament_size}; it must be from 1 to population_size ({population_size})."
            )
        if not 0 <= identity_probability <= 1:
            raise SettingsError(f"identity_probability is {identity_probability}; it must be from 0 to 1.")
        self.population_size = population_size
        self.tournament_size = tournament_size
        self.replacement = replacement
        self.identity_probability = identity_probability
        self.population: list[Individual] = []  # oldest first

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`; any number of objectives will do."""
        super().setup(space, objectives, seed)
        self._directions = [objective.direction for objective in self.objectives]

    def ask(self, view: View) -> Candidate:
        """A random architecture while the population fills, then a child; each within the constraints."""
        rng = view.rng
        if len(self.population) < self.population_size:
            drawn = view.within(lambda: self.space.sample(lambda _, options: rng.choice(options)))
            return Candidate(drawn, origin="random")
        parent = self._select(rng)
        if rng.random() < self.identity_probability:
            return Candidate(parent.architecture, parent=parent.number, origin=f"copy of {parent.number}")
        child = view.within(lambda: cast("_Mutates", self.space).mutate(parent.architecture, rng))
        return Candidate(child, parent=parent.number, origin=f"mutation of {parent.number}")

    def tell(self, trial: Trial) -> None:
        """A complete trial joins the population, and the oldest member leaves when it is too large."""
        member = individual(trial, self.objectives)
        if member is not None:
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

    def _select(self, rng: random.Random) -> Individual:
        """The winner of one tournament; ties are broken at random, by the order of the draw."""
        draw = rng.choices if self.replacement else rng.sample
        return winner(draw(self.population, k=self.tournament_size), self._directions)
