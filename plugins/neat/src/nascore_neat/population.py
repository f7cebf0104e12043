"""A population and its species, from one generation to the next; the sampler and the fast loop share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nascore.errors import SettingsError
from nascore_neat.breeding import Rates, assign, breed, rank
from nascore_neat.genetics import open_book
from nascore_neat.genome import Genomes, empty, take, trimmed

if TYPE_CHECKING:
    import random

    from nascore_neat.genome import Floats, Ints, Shape
    from nascore_neat.mating import Metric

COPY = -2
"""Stands for the second parent of a child that is a copy."""


@dataclass(frozen=True)
class Settings:
    """How a population evolves; see :class:`nascore_neat.sampler.NEAT` for each.

    Raises:
        SettingsError: a value is out of its range.
    """

    metric: Metric
    rates: Rates
    threshold: float
    survival: float
    elite_size: int
    stagnation: int
    refocus: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        lengths = {"power", "reach"}
        for name, value in self.rates._asdict().items():
            top = np.inf if name in lengths else 1.0
            if not 0 <= value <= top:
                raise SettingsError(f"{name} is {value}; it must be from 0 to {'infinity' if name in lengths else 1}.")
        for name, value in {**self.metric._asdict(), "threshold": self.threshold}.items():
            if not 0 <= value < np.inf:
                raise SettingsError(f"The {name} of the distance is {value}; it must be at least 0, and finite.")
        if not 0 < self.survival <= 1:
            raise SettingsError(f"survival is {self.survival}; it must be in (0, 1].")
        for name in ("elite_size", "stagnation", "refocus"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass
class Population:
    """One generation.

    Attributes:
        settings, shape: see there.
        genomes: (population,) of this generation.
        species: (population,) the index of each one's species.
        names: (species,) a number for each that it keeps while it lives.
        best: (species,) the best fitness that it ever had.
        idle: (species,) for how many generations that did not get better.
        parents: (population, 2) indices in the generation before; see :func:`~nascore_neat.breeding.breed`.
        generation: from 0 on.
        counters: (4,) the next innovation, node and species number; generations since the best fitness
            of all got better.
        top: the best fitness of all.
    """

    settings: Settings
    shape: Shape
    genomes: Genomes
    species: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    names: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    best: Floats = field(default_factory=lambda: np.zeros(0))
    idle: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    parents: Ints = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    generation: int = 0
    counters: Ints = field(default_factory=lambda: np.zeros(4, np.int64))
    top: float = -np.inf

    @classmethod
    def first(cls, settings: Settings, shape: Shape, genomes: Genomes) -> Population:
        """The first generation, sorted into species."""
        made = cls(settings, shape, genomes)
        used = np.arange(genomes.source.shape[1]) < genomes.genes[:, None]
        highest = max(int(array.max(where=used, initial=0)) for array in (genomes.source, genomes.target))
        made.counters[0] = genomes.innovation.max(where=used, initial=-1) + 1
        made.counters[1] = max(shape.inputs + shape.outputs, highest) + 1
        made.parents = np.full((len(genomes.genes), 2), -1, np.int64)
        made._sort(empty(0, 1), np.zeros(0, np.int64))
        return made

    def advance(self, fitness: Floats, rng: random.Random) -> None:
        """Breed the next generation.

        Args:
            fitness: (population,) larger is better; NaN is the worst of the others.
            rng: all that happens is drawn from it.
        """
        fitness = usable(fitness)
        size = len(self.genomes.genes)
        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        order, starts = rank(fitness, self.species, len(self.names))
        leaders = fitness[order[starts[:-1]]]
        quotas = self._quotas(fitness, leaders, size)

        grown = 2 * int(self.genomes.genes.max()) + 3  # two whole parents, a connection, and a split
        new = empty(size, grown)
        book = open_book(int(self.counters[0]), int(self.counters[1]), size)
        settings = self.settings
        self.parents = breed(
            self.genomes, fitness, order, starts, quotas, settings.survival, settings.elite_size,
            new, book, generator, self.shape, settings.rates,
        )  # fmt: skip
        alive = np.flatnonzero(quotas)
        chosen = starts[alive] + (generator.random(len(alive)) * np.diff(starts)[alive]).astype(np.int64)
        models = take(self.genomes, order[chosen])
        self.genomes = trimmed(new)
        self.counters[:2] = book.next
        self.generation += 1
        self._sort(models, alive)

    def _quotas(self, fitness: Floats, leaders: Floats, size: int) -> Ints:
        """Offspring of each species: its share of the mean fitness of all (section 3.3), whole numbers.

        The shared fitness of a genome is its fitness over the size of its species, so the sum in a
        species is its mean fitness. A species that got no better for ``stagnation`` generations has no
        offspring; when all the population got no better for more than ``refocus``, only the best two have.
        """
        better = leaders > self.best
        self.idle = np.where(better, 0, self.idle + 1)
        self.best = np.maximum(leaders, self.best)
        self.counters[3] = 0 if leaders.max() > self.top else self.counters[3] + 1
        self.top = max(self.top, float(leaders.max()))
        by_leader = np.argsort(-leaders, kind="stable")
        allowed = self.idle < self.settings.stagnation
        if self.counters[3] > self.settings.refocus:
            allowed[:] = False
            allowed[by_leader[:2]] = True
            self.counters[3] = 0
            self.idle[:] = 0
        if not allowed.any():
            allowed[by_leader[0]] = True
        counts = np.bincount(self.species, minlength=len(leaders))
        # Shares need values that are not negative; the paper's fitness is so.
        means = np.bincount(self.species, fitness - min(0.0, float(fitness.min())), len(leaders)) / counts
        means = np.where(allowed, means, 0.0)
        if not 0 < means.sum() < np.inf:
            means = allowed.astype(float)
        exact = means / means.sum() * size
        quotas: Ints = np.floor(exact).astype(np.int64)
        missing = np.argsort(quotas - exact, kind="stable")[: size - quotas.sum()]  # the largest remainders
        quotas[missing] += 1
        return quotas

    def _sort(self, models: Genomes, alive: Ints) -> None:
        """Sort the generation into species: those of ``models`` (indices ``alive`` of the last), and new ones."""
        species, founders = assign(self.genomes, models, self.settings.metric, self.settings.threshold)
        fresh = len(founders)
        names = np.concatenate([self.names[alive], self.counters[2] + np.arange(fresh)])
        best = np.concatenate([self.best[alive], np.full(fresh, -np.inf)])
        idle = np.concatenate([self.idle[alive], np.zeros(fresh, np.int64)])
        self.counters[2] += fresh
        living, self.species = np.unique(species, return_inverse=True)
        self.names, self.best, self.idle = names[living], best[living], idle[living]

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as arrays and numbers."""
        names = ("species", "names", "best", "idle", "parents", "counters")
        state: dict[str, Any] = {name: getattr(self, name).copy() for name in names}
        genes = {name: array.copy() for name, array in self.genomes._asdict().items()}
        return {**state, "genomes": genes, "generation": self.generation, "top": self.top}

    @classmethod
    def from_state(cls, state: dict[str, Any], settings: Settings, shape: Shape) -> Population:
        """The inverse of :meth:`state_dict`."""
        values = {**state, "genomes": Genomes(**state["genomes"])}
        return cls(settings, shape, **values)


def usable(fitness: Floats) -> Floats:
    """The fitness with what has none, or is not finite, at the worst value there is."""
    finite = np.isfinite(fitness)
    worst = float(fitness[finite].min()) if finite.any() else 0.0
    return np.where(finite, fitness, min(worst, 0.0) if worst >= 0 else worst)
