"""Tasks of gymnasium: a network sees the observation and chooses the action."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import DataError, SettingsError
from nascore.records import Direction, Measurement, Metric, digest
from nascore.seeding import derive_seed
from nascore_neat.generations import GenerationEvaluator
from nascore_neat.genome import from_json
from nascore_neat.keeping import kept
from nascore_neat.network import run, wire
from nascore_neat.space import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nascore.contracts import Context, SearchSpace
    from nascore.records import Candidate, Json
    from nascore_neat.genome import Floats, Genomes


class GymTask(Dataset):
    """An environment of gymnasium as a task; the splits hold its name.

    Args:
        environment: its name, such as ``CartPole-v1``; ``--data gym:CartPole-v1`` says the same.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"environment"})

    def __init__(self, environment: str = "CartPole-v1") -> None:
        self.environment = environment

    def load(self, seed: int) -> Splits:
        """Inputs are the flattened observation, outputs the actions.

        Raises:
            DataError: there is no such environment, or it is of a kind that networks cannot act in.
        """
        with open_environment(self.environment) as environment:
            seen, actions = environment.observation_space, environment.action_space
            count = int(actions.n) if hasattr(actions, "n") else int(np.prod(actions.shape or (0,)))
            if not _is_box(seen) or not (hasattr(actions, "n") or _is_box(actions)):
                raise DataError(
                    f"{self.environment} has observations {seen} and actions {actions}; "
                    "a network can act where observations are a Box and actions a Discrete or a Box."
                )
            shape = tuple(map(int, seen.shape))
        task = Task(self.environment, shape, count, kind="control", fingerprint=digest(self.environment))
        return Splits(task, self.environment, self.environment, self.environment)


def _is_box(space: Any) -> bool:
    return hasattr(space, "low") and np.issubdtype(space.dtype, np.number) and bool(space.shape)


class open_environment:  # noqa: N801 - used like a function: with open_environment(name) as environment
    """An environment of gymnasium, closed at the end.

    Raises:
        DataError: gymnasium, the environment or what it needs is not installed.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Any:
        """Make it."""
        try:
            import gymnasium
        except ImportError as error:
            raise DataError("gymnasium is not installed: pip install 'nascore-neat[gym]'") from error
        try:
            self.environment = gymnasium.make(self.name)
        except (gymnasium.error.Error, ImportError) as error:
            raise DataError(
                f"gymnasium cannot make the environment {self.name!r}: {error} "
                "Names look like CartPole-v1; some need more: pip install 'gymnasium[box2d]'."
            ) from error
        return self.environment

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.environment.close()


class Play(GenerationEvaluator):
    """Play episodes in an environment; the fitness is the mean return.

    Each episode's start is drawn from the trial's seed; where a trial stands for generations, all genomes of these
    play from the same starts, and their champion is judged again from others. A discrete action is the output with
    the largest value; of continuous ones, each output in [0, 1] is scaled to the action's range.

    Args:
        episodes: of each candidate, >= 1.
        longest: steps of an episode, at most; 0: the environment's own limit.
        save_weights: keep the weights of the torch module in the trial's folder.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"neurons", "environment"})
    objectives: ClassVar[Mapping[str, Metric]] = {"mean_return": Metric("", Direction.MAXIMIZE)}

    def __init__(self, episodes: int = 3, longest: int = 0, save_weights: bool = True) -> None:
        if episodes < 1 or longest < 0:
            raise SettingsError(f"episodes is {episodes} and longest {longest}; they must be at least 1 and 0.")
        self.episodes, self.longest, self.save_weights = episodes, longest, save_weights

    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Play; see :meth:`Evaluator.evaluate`."""
        returns = play(
            candidate.architecture.genome, self.space, context.task.name, self.episodes, context.seed, self.longest
        )
        measured = {"mean_return": statistics.fmean(returns)}
        spread = {"worst_return": min(returns)}
        return kept(measured, self.space, candidate, context, self.save_weights, spread)

    def values(self, genomes: Genomes, objective: str, context: Context) -> Floats:
        """See :meth:`GenerationEvaluator.values`."""
        with open_environment(context.task.name) as environment:
            rows = range(len(genomes.genes))
            returns = [
                episodes_of(environment, genomes, k, self.space, self.episodes, context.seed, self.longest)
                for k in rows
            ]
        means: Floats = np.array(returns).mean(axis=1)
        return means


def play(genome: Json, space: SearchSpace, name: str, episodes: int, seed: int, longest: int = 0) -> list[float]:
    """The returns of some episodes of one network.

    Args:
        genome: of the space.
        space: provides ``neurons``.
        name: of the environment.
        episodes: how many.
        seed: of their starts.
        longest: steps of an episode, at most; 0: the environment's own limit.
    """
    with open_environment(name) as environment:
        return episodes_of(environment, from_json([genome]), 0, space, episodes, seed, longest)


def episodes_of(
    environment: Any, genomes: Genomes, k: int, space: SearchSpace, episodes: int, seed: int, longest: int
) -> list[float]:
    """The returns of some episodes of genome ``k``; see :func:`play`."""
    shape, activation, steps = running(space)
    wiring = wire(genomes, k, shape)
    first = shape.inputs + 1
    returns = []
    for episode in range(episodes):
        values, spare = np.zeros(wiring.nodes), np.zeros(wiring.nodes)
        values[shape.inputs] = 1.0
        seen, _ = environment.reset(seed=derive_seed(seed, "episode", episode))
        total, step, over = 0.0, 0, False
        while not over:
            values[: shape.inputs] = np.ravel(seen)
            run(wiring, values, spare, shape, activation, steps)
            seen, reward, ended, cut, _ = environment.step(
                action_of(environment.action_space, values[first : first + shape.outputs])
            )
            total += float(reward)
            step += 1
            over = ended or cut or step == longest
        returns.append(total)
    return returns


def action_of(actions: Any, values: Any) -> Any:
    """What outputs, (outputs,), mean in a space of actions: the largest, or each scaled from [0, 1] to its range."""
    if hasattr(actions, "n"):
        return int(np.argmax(values)) + int(getattr(actions, "start", 0))
    share = np.clip(values, 0, 1).reshape(actions.shape)
    return (actions.low + share * (actions.high - actions.low)).astype(actions.dtype)
