"""ENAS: Pham, Guan, Zoph, Le and Dean 2018, arXiv:1802.03268, over any space with a supernet."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from nascore.contracts import Sampler
from nascore.errors import SettingsError
from nascore.records import Candidate
from nascore.seeding import derive_seed, isolated_random
from nascore_blocks.supernet.policy import Policy
from nascore_enas.controller import Shape, controller_for
from nascore_enas.reinforce import Reinforce

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective
    from nascore_blocks.supernet.mix import Mixture
    from nascore_blocks.supernet.policy import Batch, Shared


class Alternating(Policy):
    """Section 2.2: the shared weights learn for a round, then the controller does, in turn."""

    def __init__(self, space: Any, reinforce: Reinforce, steps: int, samples: int, derive: int) -> None:
        self.space, self.reinforce = space, reinforce
        self.steps, self.samples, self.derive = steps, samples, derive
        self.ranked: list[Architecture] = []
        self.ended = False

    def mix(self, shared: Shared) -> Mixture:
        """Phase 1: one architecture of the controller, drawn anew for each minibatch (M = 1)."""
        return shared.supernet.paths(self.space.structure(self.drawn(1, shared.generator)[0]))

    def end_round(self, shared: Shared) -> Mapping[str, float]:
        """Phase 2: the weights rest, the controller learns. Then an architecture is derived."""
        found = [
            self.reinforce.step(
                self.samples, shared.generator, lambda row: self._accuracy(row, shared, shared.valid_batch())
            )
            for _ in range(self.steps)
        ]
        batch = shared.valid_batch()  # one for all, so that they compete on equal terms
        candidates = self.drawn(self.derive, shared.generator)
        scores = [shared.accuracy(shared.supernet.paths(self.space.structure(one)), batch) for one in candidates]
        order = sorted(range(len(candidates)), key=lambda number: -scores[number])  # stable: the first of equals
        self.ranked = [candidates[number] for number in order]
        return {
            "reward": statistics.fmean(value for value, _ in found),
            "baseline": cast("float", self.reinforce.baseline),
            "controller_entropy": found[-1][1],
        }

    def drawn(self, count: int, generator: torch.Generator) -> list[Architecture]:
        """Architectures from the controller as it is."""
        with torch.no_grad():
            rows = self.reinforce.controller.draw(count, generator).tokens.tolist()
        return [self._architecture(row) for row in rows]

    def end(self) -> None:
        """The controller learns no more."""
        self.ended = True

    def _accuracy(self, row: Sequence[int], shared: Shared, batch: Batch) -> float:
        structure = self.space.structure(self._architecture(row))
        return shared.accuracy(shared.supernet.paths(structure), batch)

    def _architecture(self, row: Sequence[int]) -> Architecture:
        architecture: Architecture = self.space.architecture(self.reinforce.controller.genome(row))
        return architecture

    def state_dict(self) -> dict[str, Any]:
        """The controller with its optimiser and baseline, and what was drawn last, the best first."""
        genomes = [architecture.genome for architecture in self.ranked]
        return {**self.reinforce.state_dict(), "ranked": genomes, "ended": self.ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""
        self.reinforce.load_state_dict(state)
        self.ranked = [self.space.architecture(genome) for genome in state["ranked"]]
        self.ended = state["ended"]


class ENAS(Sampler):
    """A controller proposes sub-graphs of one supernet; it learns from their accuracy on shared weights.

    Each round of the evaluator ``blocks:supernet`` is followed by a trial: the best of some
    architectures that the controller draws, by one minibatch of validation data. When the rounds are
    over, further trials are draws of the controller.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"supernet", "shared_weights"})
    provides: ClassVar[frozenset[str]] = frozenset({"policy"})

    def __init__(
        self,
        hidden: int = 64,
        learning_rate: float = 3.5e-3,
        steps: int = 30,
        samples: int = 10,
        derive: int = 10,
        temperature: float = 1.0,
        tanh_constant: float = 1.1,
        op_reduce: float = 2.5,
        separable_bias: float = 0.0,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.99,
        skip_target: float = 0.4,
        skip_weight: float = 0.8,
    ) -> None:
        """Set the controller; the defaults are those of the micro search in the authors' code.

        Args:
            hidden: size of the LSTM, >= 1.
            learning_rate: of its Adam, > 0.
            steps: of the controller a round, >= 1.
            samples: architectures a step, each judged on its own minibatch, >= 1.
            derive: architectures that compete to be the trial of a round, >= 1.
            temperature: the logits are divided by it, > 0.
            tanh_constant: c in c tanh(logits), > 0.
            op_reduce: c of the ops is this many times smaller, > 0.
            separable_bias: fixed, for the separable convolutions and against the other ops; 0.25 in the
                authors' code.
            entropy_weight: reward for a nat of entropy, >= 0.
            baseline_decay: in [0, 1).
            skip_target: rate of skips that the macro controller is kept near, in (0, 1).
            skip_weight: of its penalty KL(q || skip_target), per nat, >= 0.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value in (("hidden", hidden), ("steps", steps), ("samples", samples), ("derive", derive)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= 1.")
        positive = {
            "learning_rate": learning_rate, "temperature": temperature,
            "tanh_constant": tanh_constant, "op_reduce": op_reduce,
        }  # fmt: skip
        for name, number in positive.items():
            if not number > 0:
                raise SettingsError(f"{name} is {number}; it must be > 0.")
        for name, number in (("entropy_weight", entropy_weight), ("skip_weight", skip_weight)):
            if not number >= 0:
                raise SettingsError(f"{name} is {number}; it must be >= 0.")
        if not 0 < skip_target < 1:
            raise SettingsError(f"skip_target is {skip_target}; it must be in (0, 1).")
        if not 0 <= baseline_decay < 1:
            raise SettingsError(f"baseline_decay is {baseline_decay}; it must be in [0, 1).")
        self.hidden, self.learning_rate, self.phase = hidden, learning_rate, (steps, samples, derive)
        self.shape = Shape(temperature, tanh_constant, op_reduce, separable_bias, skip_target)
        self.entropy_weight, self.baseline_decay, self.skip_weight = entropy_weight, baseline_decay, skip_weight

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Draw the controller's weights; see :meth:`nascore.contracts.Sampler.setup`."""
        super().setup(space, objectives, seed)
        with isolated_random(derive_seed(seed, "controller")):
            controller = controller_for(space, self.hidden, self.shape)
        reinforce = Reinforce(
            controller, self.learning_rate, self.entropy_weight, self.baseline_decay, self.skip_weight
        )
        self.policy = Alternating(space, reinforce, *self.phase)

    def ask(self, view: View) -> Candidate | None:
        """The best of the last round's draws that breaks no constraint; when all rounds are over, a new draw."""
        if self.policy.ranked and not self.policy.ended:
            for architecture in self.policy.ranked:
                if view.excess(architecture) <= 0:
                    return Candidate(architecture, origin="derived from the controller")
        generator = torch.Generator().manual_seed(view.rng.getrandbits(63))
        return Candidate(view.within(lambda: self.policy.drawn(1, generator)[0]), origin="drawn by the controller")

    def state_dict(self) -> dict[str, Any]:
        """The policy's."""
        return self.policy.state_dict()

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state."""
        self.policy.load_state_dict(state)
