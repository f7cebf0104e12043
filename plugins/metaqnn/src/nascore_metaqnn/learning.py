"""Tabular Q-learning over trajectories of decisions (Baker et al. 2017, sections 3 and 4; eq. 3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from nascore.records import Option


class Step(NamedTuple):
    """One transition: in ``state``, of ``options``, ``action`` was taken; each is text."""

    state: str
    options: tuple[str, ...]
    action: str


def action_of(option: Option) -> str:
    """An option as the text that the table has: 1, 1.0 and True are different."""
    return json.dumps(option)


class QTable:
    """Q(s, a); a pair that no update reached has the value ``initial``.

    Attributes:
        values: state -> action -> Q.
    """

    def __init__(self, rate: float, discount: float, initial: float) -> None:
        """
        Args:
            rate: alpha, in (0, 1].
            discount: gamma, in [0, 1].
            initial: Q_0.
        """
        self.rate, self.discount, self.initial = rate, discount, initial
        self.values: dict[str, dict[str, float]] = {}

    def value(self, state: str, action: str) -> float:
        """Q(s, a)."""
        return self.values.get(state, {}).get(action, self.initial)

    def best(self, state: str, options: Sequence[str]) -> float:
        """The largest Q(s, a) over the options a."""
        return max(self.value(state, option) for option in options)

    def greedy(self, state: str, options: Sequence[str], rng: random.Random) -> int:
        """Index of a best option; of equals each as likely."""
        highest = self.best(state, options)
        return rng.choice([index for index, option in enumerate(options) if self.value(state, option) == highest])

    def replay(self, steps: Sequence[Step], rewards: Sequence[float]) -> None:
        """Update a trajectory, from its last transition to its first, so that one pass carries the reward through.

        Q(s, a) <- (1 - alpha) Q(s, a) + alpha (r + gamma max_a' Q(s', a')); after the last step the maximum is 0.

        Args:
            steps: from the first decision to the last.
            rewards: r of each step.
        """
        later = 0.0
        for step, reward in zip(reversed(steps), reversed(rewards), strict=True):
            old = self.value(step.state, step.action)
            new = (1 - self.rate) * old + self.rate * (reward + self.discount * later)
            self.values.setdefault(step.state, {})[step.action] = new
            later = self.best(step.state, step.options)


class Schedule:
    """How greedy the agent is: epsilon for so many unique models each.

    Example:
        >>> schedule = Schedule((1.0, 0.5), (2, 1), 0)
        >>> [schedule.epsilon(number) for number in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.5]
    """

    def __init__(self, epsilons: Sequence[float], models: Sequence[int], total: int) -> None:
        """
        Args:
            epsilons: probabilities of a random action.
            models: how many unique models each is for; after the last, it stays.
            total: stretch or shrink ``models`` so that they are so many in all; 0: as they are.
        """
        self.epsilons = tuple(epsilons)
        every, done = sum(models), 0
        self.until: list[int] = []
        for count in models:
            done += count
            # The borders are scaled, not the counts, so that rounding does not add up.
            self.until.append(round(done * total / every) if total else done)

    def epsilon(self, number: int) -> float:
        """For the unique model with this number, from 0 on."""
        for epsilon, until in zip(self.epsilons, self.until, strict=True):
            if number < until:
                return epsilon
        return self.epsilons[-1]
