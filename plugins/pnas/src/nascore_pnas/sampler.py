"""PNAS: Liu, Zoph, Neumann, Shlens, Hua, Li, Fei-Fei, Yuille, Huang and Murphy 2018, arXiv:1712.00559, algorithm 1."""

from __future__ import annotations

import logging
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import torch

from nascore.contracts import Sampler
from nascore.errors import CapabilityError, SettingsError, nearest
from nascore.history import eligible
from nascore.records import Candidate, Direction
from nascore.seeding import derive_seed
from nascore_pnas.beam import Proposal, extended
from nascore_pnas.surrogate import PREDICTORS, Ensemble, spearman

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from nascore.contracts import History, SearchSpace, View
    from nascore.records import Architecture, Objective, Trial
    from nascore_pnas.beam import Blocks
    from nascore_pnas.space import Block

log = logging.getLogger("nascore.pnas")


class _Grows(Protocol):
    """What the capability ``grow`` of a search space means."""

    blocks: int
    ops: Sequence[str]

    def options(self, block: int) -> list[Block]: ...

    def of_blocks(self, blocks: Sequence[Block]) -> Architecture: ...

    def blocks_of(self, architecture: Architecture) -> Blocks: ...


@dataclass(frozen=True)
class Measured:
    """A judged cell: its trial, its proposal, its value (larger is better; None where it has none)."""

    number: int
    proposal: Proposal
    value: float | None


class Progressive(Sampler):
    """All cells of one block are judged; then the beam grows by a block at a time, as a surrogate ranks.

    At size b every cell of the last beam is extended by every possible block, an ensemble that was
    fitted to all that was measured predicts, and the K best are judged. When the cells of B blocks are
    judged, nothing is left to propose. A trial that failed, was pruned or is infeasible teaches the
    surrogate nothing, and its cell is not extended as long as another one of its size has a value.

    Attributes:
        report: one entry for each finished size: ``blocks``; ``judged``, how many cells were;
            ``values``, how many of them have one; from size 2 on ``candidates``, among how many the surrogate
            chose, and ``spearman``, the rank correlation of its prediction with what was then measured.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"grow"})

    def __init__(
        self,
        beam: int = 256,
        surrogate: str = "mlp",
        hidden: int = 100,
        embedding: int = 100,
        learning_rate: float = 0.01,
        epochs: int = 200,
        largest_only: bool = False,
    ) -> None:
        """Set the beam and the surrogate.

        Args:
            beam: K, how many cells of each size from 2 on are judged, >= 1.
            surrogate: ``mlp`` or ``lstm``; an ensemble of five either way.
            hidden: units of the LSTM, or of each layer of the MLP, >= 1.
            embedding: length of the embedding of an input or an op, >= 1.
            learning_rate: of the surrogate's Adam, > 0.
            epochs: passes over all that was measured, at each fit, >= 1.
            largest_only: the answer is the best cell of B blocks, as in the paper, even where a smaller
                one was measured to be better.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value in (("beam", beam), ("hidden", hidden), ("embedding", embedding), ("epochs", epochs)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= 1.")
        if surrogate not in PREDICTORS:
            raise SettingsError(f"surrogate is {surrogate!r}; {nearest(surrogate, PREDICTORS)}.")
        if not 0 < learning_rate < math.inf:
            raise SettingsError(f"learning_rate is {learning_rate}; it must be a number > 0.")
        self.beam, self.surrogate, self.largest_only = beam, surrogate, largest_only
        self.hidden, self.embedding, self.learning_rate, self.epochs = hidden, embedding, learning_rate, epochs
        self.size = 0
        self.candidates = 0
        self.waiting: list[Proposal] = []  # the best last
        self.flying: dict[int, Proposal] = {}
        self.measured: list[Measured] = []
        self.report: list[dict[str, float]] = []

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """See :meth:`nascore.contracts.Sampler.setup`.

        Raises:
            CapabilityError: there are several objectives; the surrogate ranks by one.
        """
        super().setup(space, objectives, seed)
        if len(self.objectives) != 1:
            given = ", ".join(objective.name for objective in self.objectives)
            raise CapabilityError(f"PNAS has one objective; got {given}. Make the others constraints.")
        self.cells = cast("_Grows", space)
        self.sign = 1.0 if self.objectives[0].direction is Direction.MAXIMIZE else -1.0

    # ------------------------------------------------------------------ ask and tell

    def ask(self, view: View) -> Candidate | None:
        """The next cell of the beam; None while its last ones are judged, and after the cells of B blocks."""
        if not self.waiting and not self.flying:
            self._grow(view)
        if not self.waiting:
            return None
        proposal = self.waiting.pop()
        self.flying[view.number] = proposal
        cell = self.cells.of_blocks(proposal.blocks)
        return Candidate(cell, parent=proposal.parent, origin=self._origin(proposal), metrics=self._metrics(proposal))

    def tell(self, trial: Trial) -> None:
        """Keep the value; the surrogate learns when all cells of this size are judged."""
        proposal = self.flying.pop(trial.number, None)
        if proposal is not None:
            self.measured.append(self._measured(trial, proposal))
            if not self.waiting and not self.flying:
                self._close()

    def recommend(self, history: History) -> Trial | None:
        """The best trial, or with ``largest_only`` the best one of B blocks, where there is one."""
        if self.largest_only:
            largest = [one for one in self._of_size(self.cells.blocks) if one.value is not None]
            if largest:
                return history[max(largest, key=lambda one: (cast("float", one.value), -one.number)).number]
        return history.best

    # ------------------------------------------------------------------ the next size

    def _grow(self, view: View) -> None:
        """Lines 5 to 12 of algorithm 1: from the cells of ``size`` blocks to those of one more."""
        if self.size == self.cells.blocks:
            return
        if self.size == 0:
            self.waiting = [Proposal((block,)) for block in self.cells.options(0)]
            random.Random(derive_seed(self.seed, "first")).shuffle(self.waiting)
            self._warn(view)
        else:
            self.waiting = self._best(view)[::-1]
        self.size += 1

    def _best(self, view: View) -> list[Proposal]:
        """The K best extensions of the last beam, no two of them isomorphic, the best first."""
        beam = self._of_size(self.size)
        parents = [one for one in beam if one.value is not None] or beam
        options = self.cells.options(self.size)
        cells = extended([one.proposal.blocks for one in parents], options)
        predicted, known = self._predicted(cells)
        self.candidates = len(cells)
        found: dict[str, Proposal] = {}
        over: list[tuple[float, str, Proposal]] = []
        for index in torch.argsort(predicted, descending=True, stable=True).tolist():
            parent, option = divmod(index, len(options))
            blocks = (*parents[parent].proposal.blocks, options[option])
            proposal = Proposal(blocks, float(predicted[index]) if known else None, parents[parent].number)
            architecture = self.cells.of_blocks(blocks)
            if architecture.key in found or any(architecture.key == key for _, key, _ in over):
                continue
            excess = view.excess(architecture)
            if excess > 0:
                over.append((excess, architecture.key, proposal))
            else:
                found[architecture.key] = proposal
            if len(found) == self.beam or len(over) >= 4 * self.beam:
                break
        nearest_over = sorted(over, key=lambda one: one[0]) if not found else []
        return [*found.values(), *(proposal for _, _, proposal in nearest_over[: self.beam])]

    def _predicted(self, cells: Tensor) -> tuple[Tensor, bool]:
        """What the surrogate says of (count, blocks, 4) cells; without any value to learn from, noise."""
        known = sorted((one for one in self.measured if one.value is not None), key=lambda one: one.number)
        seed = derive_seed(self.seed, "surrogate", self.size)
        if not known:
            return torch.rand(len(cells), generator=torch.Generator().manual_seed(seed)), False
        ensemble = Ensemble(
            self.surrogate,
            self.cells.blocks + 1,
            len(self.cells.ops),
            embedding=self.embedding,
            hidden=self.hidden,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
        )
        ensemble.fit([one.proposal.blocks for one in known], [cast("float", one.value) for one in known], seed)
        return ensemble.predict(cells), True

    def _close(self) -> None:
        """Report on the size that is finished."""
        beam = self._of_size(self.size)
        pairs = [(p, one.value) for one in beam if (p := one.proposal.predicted) is not None and one.value is not None]
        entry: dict[str, float] = {
            "blocks": self.size,
            "judged": len(beam),
            "values": sum(one.value is not None for one in beam),
        }
        if self.size > 1:
            entry["candidates"] = self.candidates
        if len(pairs) > 1:
            correlation = spearman([p for p, _ in pairs], [value for _, value in pairs])
            if not math.isnan(correlation):
                entry["spearman"] = correlation
        self.report.append(entry)
        log.info("%s", ", ".join(f"{name} {number:.3g}" for name, number in entry.items()))

    def _of_size(self, size: int) -> list[Measured]:
        of_size = [one for one in self.measured if len(one.proposal.blocks) == size]
        return sorted(of_size, key=lambda one: one.number)

    def _measured(self, trial: Trial, proposal: Proposal) -> Measured:
        value = trial.value(self.objectives[0].name)
        usable = eligible(trial) and math.isfinite(value)
        return Measured(trial.number, proposal, self.sign * value if usable else None)

    def _origin(self, proposal: Proposal) -> str:
        extends = "one block" if proposal.parent is None else f"extends {proposal.parent}"
        if proposal.predicted is None:
            return extends
        return f"{extends}, predicted {self.sign * proposal.predicted:.4g}"

    def _metrics(self, proposal: Proposal) -> dict[str, float]:
        """What is kept with the trial: its prediction, and how well the surrogate ranked the size before."""
        found = {} if proposal.predicted is None else {"predicted": self.sign * proposal.predicted}
        if self.report and "spearman" in self.report[-1]:
            found["surrogate_spearman"] = self.report[-1]["spearman"]
        return found

    def _warn(self, view: View) -> None:
        needed = len(self.waiting) + self.beam * (self.cells.blocks - 1)
        if view.trials is not None and view.trials < needed:
            log.warning(
                "PNAS takes %d trials here (%d cells of one block, then %d of each size up to %d); the budget is %d. "
                "Fewer ops, a smaller beam or fewer blocks take fewer.",
                needed, len(self.waiting), self.beam, self.cells.blocks, view.trials,
            )  # fmt: skip

    # ------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The beam, the position in it, the predictions and the report. Surrogates are refitted, values are told."""
        return {
            "size": self.size,
            "candidates": self.candidates,
            "waiting": [proposal.packed() for proposal in self.waiting],
            "flying": [[number, *proposal.packed()] for number, proposal in self.flying.items()],
            "measured": [[one.number, one.proposal.predicted] for one in self.measured],
            "report": [dict(entry) for entry in self.report],
        }

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state; what was under way then, and is lost, is proposed once more."""
        self.size, self.candidates = state["size"], state["candidates"]
        self.report = [dict(entry) for entry in state["report"]]
        self.flying = {}
        lost = [Proposal.unpacked(*packed) for _, *packed in reversed(state["flying"])]
        self.waiting = [*(Proposal.unpacked(*packed) for packed in state["waiting"]), *lost]
        self.measured = list(self._told(state["measured"], history))

    def _told(self, numbers: Sequence[tuple[int, float | None]], history: History) -> Iterator[Measured]:
        for number, predicted in numbers:
            trial = history[number]
            blocks = self.cells.blocks_of(trial.architecture)
            yield self._measured(trial, Proposal(blocks, predicted, trial.candidate.parent))
