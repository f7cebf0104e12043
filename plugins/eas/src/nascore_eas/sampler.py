"""EAS: Cai et al. 2018a, *Efficient Architecture Search by Network Transformation*, arXiv:1707.04873."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from nascore.errors import SettingsError
from nascore_blocks.morphs.episodes import TransformSampler
from nascore_eas.controller import Controller

if TYPE_CHECKING:
    from nascore.records import Architecture
    from nascore_eas.chain import ChainSpace


class EAS(TransformSampler):
    """A meta-controller widens and deepens the start network, and learns by REINFORCE which children are good.

    The first trial is the start network, trained from scratch; each other one is a child that names it as its parent.
    A trial that failed, was pruned or is infeasible teaches nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"morphs", "layer_string"})

    def __init__(
        self,
        hidden: int = 50,
        embedding: int = 16,
        wider: int = 4,
        deeper: int = 5,
        learning_rate: float = 2e-3,
        batch: int = 10,
        entropy_weight: float = 1e-5,
        baseline_decay: float = 0.95,
        stage_trials: int = 150,
        reward: str = "tan",
    ) -> None:
        """Set the controller; the defaults are those of the authors' code, but for ``baseline_decay``.

        Args:
            hidden: units of the LSTMs, >= 1.
            embedding: units of a token, >= 1.
            wider: widening decisions of an episode, >= 0.
            deeper: deepening decisions of an episode, >= 0.
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
        for name, value, least in (("hidden", hidden, 1), ("embedding", embedding, 1), ("wider", wider, 0),
                                   ("deeper", deeper, 0)):  # fmt: skip
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if wider + deeper < 1:
            raise SettingsError("wider and deeper are 0: an episode would change nothing. Set one of them.")
        self.hidden, self.embedding, self.wider, self.deeper = hidden, embedding, wider, deeper

    def start(self) -> Architecture:
        """The space's start network."""
        return cast("ChainSpace", self.space).start()

    def policy(self) -> Controller:
        """The meta-controller."""
        space = cast("ChainSpace", self.space)
        return Controller(space, self.hidden, self.embedding, self.wider, self.deeper)
