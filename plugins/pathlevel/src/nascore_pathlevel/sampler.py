"""Cai et al. 2018b, *Path-Level Network Transformation for Efficient Architecture Search*, arXiv:1806.02639."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from nascore.errors import SettingsError
from nascore_blocks.morphs.episodes import TransformSampler
from nascore_pathlevel.controller import Controller

if TYPE_CHECKING:
    from nascore.records import Architecture
    from nascore_pathlevel.space import TreeSpace


class PathLevel(TransformSampler):
    """A tree-LSTM turns the layers of the start network into trees of branches, and learns by REINFORCE.

    The first trial is the start network, trained from scratch; each other one is a child that names it as its parent.
    A trial that failed, was pruned or is infeasible teaches nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"morphs", "tree_cells"})

    def __init__(
        self,
        hidden: int = 100,
        embedding: int = 16,
        cells: int = 0,
        learning_rate: float = 6e-3,
        batch: int = 10,
        entropy_weight: float = 1e-2,
        baseline_decay: float = 0.95,
        stage_trials: int = 0,
        reward: str = "tan",
    ) -> None:
        """Set the controller; the defaults are those of the authors' code, but for ``baseline_decay``.

        Args:
            hidden: units of the tree-LSTM in each direction, >= 1.
            embedding: units of a kind of edge, >= 1.
            cells: how many cells an episode transforms, >= 1; 0: all.
            learning_rate: of Adam, > 0.
            batch: children that one step learns from, >= 1.
            entropy_weight: worth of a nat of entropy, in units of the reward, >= 0.
            baseline_decay: beta of b <- beta b + (1 - beta) R, in [0, 1).
            stage_trials: children after which the best network so far becomes the start, >= 1; 0: never.
            reward: ``tan`` of the accuracy (at most 0.999) times pi / 2, or ``value``.

        Raises:
            SettingsError: a value that is not allowed.
        """
        super().__init__(
            learning_rate=learning_rate,
            batch=batch,
            entropy_weight=entropy_weight,
            baseline_decay=baseline_decay,
            stage_trials=stage_trials,
            reward=reward,
        )
        for name, value, least in (("hidden", hidden, 1), ("embedding", embedding, 1), ("cells", cells, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        self.hidden, self.embedding, self.cells = hidden, embedding, cells

    def start(self) -> Architecture:
        """The space's start network."""
        return cast("TreeSpace", self.space).start()

    def policy(self) -> Controller:
        """The tree-LSTM and its actors."""
        return Controller(cast("TreeSpace", self.space), self.hidden, self.embedding, self.cells)
