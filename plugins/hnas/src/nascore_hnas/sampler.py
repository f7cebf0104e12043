"""Tournament evolution without removal: Liu, Simonyan, Vinyals, Fernando and Kavukcuoglu 2018, arXiv:1711.00436."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, cast

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.records import Candidate
from nascore_blocks.evolution import Individual, individual, winner

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from typing import Any

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial


class _Evolves(Protocol):
    """What the capabilities ``mutate`` and ``diversify`` of a search space mean."""

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture: ...

    def diversify(self, architecture: Architecture, count: int, rng: random.Random) -> Architecture: ...

    def trivial(self) -> Architecture: ...


class TournamentEvolution(Sampler):
    """A diverse first population; then each child is a mutation of a tournament's winner, and joins. Nobody leaves.

    The population is every complete trial that breaks no constraint, so it is the history and no state of its
    own. A tournament is a share of the population as it is now, the children included. Until
    ``population_size`` trials are complete, candidates are of the first population: in a space that can
    ``diversify`` (``blocks:hierarchical``) they are many mutations of its trivial architecture, in any other
    they are sampled. The answer is the best trial.

    With several objectives the winner is drawn from the tournament's members that no other member dominates
    (the paper has one objective; this is our extension).
    """

    requires: ClassVar[frozenset[str]] = frozenset({"mutate"})

    def __init__(
        self,
        population_size: int = 200,
        tournament_share: float = 0.05,
        mutations: int = 1000,
        variant: Literal["evolution", "random"] = "evolution",
    ) -> None:
        """Set the sizes; the defaults are the paper's.

        Args:
            population_size: of the first population, in complete trials; at least 1.
            tournament_share: how much of the population competes to be the parent, in (0, 1]; the tournament
                has at least 2 members, where there are 2.
            mutations: how many in a row make a member of the first population; at least 0. Spaces that cannot
                ``diversify`` are sampled instead.
            variant: ``evolution``; or ``random``, the paper's random search: the first population, without end.

        Raises:
            SettingsError: a value is out of its range.
        """
        if population_size < 1:
            raise SettingsError(f"population_size is {population_size}; it must be at least 1.")
        if not 0 < tournament_share <= 1:
            raise SettingsError(f"tournament_share is {tournament_share}; it must be above 0 and at most 1.")
        if mutations < 0:
            raise SettingsError(f"mutations is {mutations}; it must be at least 0.")
        if variant not in ("evolution", "random"):
            raise SettingsError(f"variant is {variant!r}; allowed: evolution, random.")
        self.population_size = population_size
        self.tournament_share = tournament_share
        self.mutations = mutations
        self.variant = variant
        self.population: list[Individual] = []  # by number, so that parallel trials may come back in any order

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`; any number of objectives will do."""
        super().setup(space, objectives, seed)
        self._directions = [objective.direction for objective in self.objectives]

    def ask(self, view: View) -> Candidate:
        """A member of the first population, then children of tournament winners; within the constraints."""
        rng = view.rng
        if self.variant == "random" or len(self.population) < self.population_size:
            return Candidate(view.within(lambda: self._first(rng)), origin="first population")
        parent = self._winner(rng)
        space = cast("_Evolves", self.space)
        child = view.within(lambda: space.mutate(parent.architecture, rng))
        return Candidate(child, parent=parent.number, origin=f"mutation of {parent.number}")

    def tell(self, trial: Trial) -> None:
        """A complete trial joins the population."""
        member = individual(trial, self.objectives)
        if member is not None:
            insort(self.population, member, key=lambda one: one.number)

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """The population is the history."""
        self.population = []
        for trial in history:
            self.tell(trial)

    @property
    def tournament_size(self) -> int:
        """Members of the next tournament: the share of today's population, rounded, at least 2 where there are 2."""
        size = max(2, round(self.tournament_share * len(self.population)))
        return min(size, len(self.population))

    def _first(self, rng: random.Random) -> Architecture:
        """A diverse architecture: many mutations of the trivial one, or a sample."""
        if "diversify" in self.space.provides:
            space = cast("_Evolves", self.space)
            return space.diversify(space.trivial(), self.mutations, rng)
        return self.space.sample(lambda _, options: rng.choice(options))

    def _winner(self, rng: random.Random) -> Individual:
        """The winner of one tournament; ties are broken at random, by the order of the draw."""
        return winner(rng.sample(self.population, k=self.tournament_size), self._directions)
