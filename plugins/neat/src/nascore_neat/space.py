"""The search space of NEAT: graphs of single neurons, with their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from nascore.contracts import SearchSpace
from nascore.errors import SettingsError, nearest
from nascore_neat.breeding import PAPER_RATES, mutate
from nascore_neat.canonical import canonical_form
from nascore_neat.checking import check_genome
from nascore_neat.genetics import open_book
from nascore_neat.genome import Shape, empty, from_json, live_genes, minimal, to_json
from nascore_neat.mating import cross
from nascore_neat.network import ACTIVATIONS

if TYPE_CHECKING:
    import random

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json


class NEATSpace(SearchSpace):
    """Networks of single neurons; a genome holds the graph and the weights (section 3.1).

    ``sample`` gives minimal networks: all inputs and the bias wired to all outputs, with random weights.

    Args:
        recurrent: connections may close cycles.
        activation: of hidden and output nodes: ``sigmoid`` (the paper's, 1 / (1 + exp(-4.9 x))), ``tanh``,
            ``relu`` or ``linear``.
        steps: how often the nodes of a recurrent network compute for one input, >= 1; a value needs as many
            steps as its path has connections. Feed-forward networks are run whole.
        reach: first weights lie in [-reach, reach].
        weight_limit: all weights lie in [-weight_limit, weight_limit].
    """

    provides: ClassVar[frozenset[str]] = frozenset({"mutate", "crossover", "module", "neurons"})

    def __init__(
        self,
        recurrent: bool = False,
        activation: str = "sigmoid",
        steps: int = 1,
        reach: float = 1.0,
        weight_limit: float = 30.0,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise SettingsError(f"There is no activation {activation!r}; {nearest(activation, ACTIVATIONS)}.")
        if steps < 1:
            raise SettingsError(f"steps is {steps}; it must be at least 1.")
        if not 0 <= reach <= weight_limit < np.inf:
            raise SettingsError(f"reach is {reach} and weight_limit {weight_limit}; 0 <= reach <= weight_limit.")
        self.recurrent, self.activation, self.steps = recurrent, activation, steps
        self.reach, self.weight_limit = reach, weight_limit
        self._shape: Shape | None = None

    def setup(self, task: Task) -> None:
        """Inputs and outputs are the task's; inputs of several dimensions are flattened."""
        self._shape = self._fitting(task)

    def _fitting(self, task: Task) -> Shape:
        return Shape(int(np.prod(task.shape)), task.classes, self.recurrent, self.weight_limit)

    @property
    def shape(self) -> Shape:
        """Inputs, outputs and limits of every genome."""
        if self._shape is None:
            raise SettingsError("The space has no task yet: call setup(task) first.")
        return self._shape

    # ------------------------------------------------------------------ the contract

    def sample(self, choose: Choose) -> Architecture:
        """A minimal network; its weights are drawn from a seed of 16 bits, chosen as two decisions."""
        seed = 256 * choose("seed.high", range(256)) + choose("seed.low", range(256))
        count = (self.shape.inputs + 1) * self.shape.outputs
        weights = np.random.Generator(np.random.PCG64(seed)).uniform(-self.reach, self.reach, count)
        return self.architecture(minimal(self.shape, np.round(weights, 6).tolist()))

    def check(self, architecture: Architecture) -> None:
        """See :meth:`SearchSpace.check`; the message says which gene is wrong."""
        check_genome(architecture.genome, self.shape)

    def canonical(self, genome: Json) -> Json:
        """What computes, with the hidden nodes renamed: without innovations, disabled genes and dead ends."""
        return canonical_form(genome, self.shape)

    def build(self, architecture: Architecture, task: Task) -> Any:
        """The torch module, (batch, *task.shape) -> (batch, task.classes), with the genome's weights."""
        from nascore_neat.module import FeedForward, Recurrent

        shape = self._fitting(task)
        genes = live_genes(architecture.genome, shape)
        if self.recurrent:
            return Recurrent(genes, shape, self.activation, self.steps)
        return FeedForward(genes, shape, self.activation)

    # ------------------------------------------------------------------ capabilities

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """One child with the paper's mutations, drawn again until something changed.

        There is no generation here, so a new gene gets a number of its own: larger than the parent's,
        and at a random distance, so that it matches no other genome's by accident.
        """
        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        genome = cast("dict[str, Any]", architecture.genome)
        last = max((gene[0] for gene in genome["connections"]), default=-1)
        node = max([self.shape.inputs + self.shape.outputs, *genome["hidden"]])
        while True:
            child = from_json([genome], room=3)
            book = open_book(last + 1 + rng.randrange(1 << 16), node + 1 + rng.randrange(1 << 16), 1)
            mutate(child, 0, book, generator, self.shape, PAPER_RATES)
            mutated = to_json(child, 0, self.shape)
            if mutated != genome:
                return self.architecture(mutated)

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """One child of two parents that count as equally fit."""
        generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        parents = from_json([first.genome, second.genome])
        child = empty(1, int(parents.genes.sum()))
        cross(parents, 0, parents, 1, True, child, 0, generator, PAPER_RATES.disabled, self.recurrent)
        return self.architecture(to_json(child, 0, self.shape))


def running(space: SearchSpace) -> tuple[Shape, int, int]:
    """How the networks of a space that provides ``neurons`` run: shape, number of the activation, steps."""
    neurons = cast("NEATSpace", space)
    return neurons.shape, ACTIVATIONS.index(neurons.activation), neurons.steps
