"""The contracts: search space, sampler, evaluator, hardware cost model; and data set, executor.

A plugin part is a subclass of one of these. Its constructor's keyword arguments are its options:
typed, with defaults, documented with units; ``--set`` and the TOML file set them.

Parts state what they can do (``provides``) and what they need of the other parts of the same
search (``requires``), as short words. The core compares them before any compute. The words in use:

=================  =============  ===================================================================
word               provided by    meaning
=================  =============  ===================================================================
``decisions``      search space   ``sample`` makes all its choices through ``choose``; it is a
                                  :class:`~nascore.decisions.DecisionSpace`
``mutate``         search space   has ``mutate(architecture, rng)``
``crossover``      search space   has ``crossover(first, second, rng)``
``module``         search space   ``build`` returns a ``torch.nn.Module``
``images``         data set       inputs of shape (channels, height, width)
``labels``         data set       integer class labels
``tokens``         data set       inputs are sequences of token numbers (time,), labels the next tokens
``curve``          evaluator      calls ``context.report`` as it goes, so that it can be pruned
``retrain``        evaluator      has ``retrain(architecture, splits, *, seed, device, report)``
``supernet``       search space   has a supernet: ``nascore_blocks.supernet.base.SupernetSpace``
``shared_weights`` evaluator      trains shared weights in ``prepare``, as the sampler's policy says
``grow``           search space   cells that grow: ``options(block)``, ``of_blocks``, ``blocks_of``
``diversify``      search space   has ``trivial()`` and ``diversify(architecture, count, rng)``
``states``         search space   has ``state(answers)``: what a table of values knows of a begun program
``programs``       search space   genomes are programs, within ``limits``
``program_tasks``  data set       splits are ``nascore_automlzero.tasks.Tasks``
``table``          evaluator      looks values up; draws from ``context.seed`` alone
``rows``           evaluator      has ``rows()``: a measurement of every architecture
``policy``         sampler        has ``policy``: a ``nascore_blocks.supernet.policy.Policy``
``generations``    sampler        has ``breed_generations(judge, rng)``: a trial may stand for whole generations
``islands``        sampler        has islands to evolve: ``nascore_automlzero.islands.ProgramIslands``
``rounds``         evaluator      runs rounds of evolution in ``prepare``, on the sampler's islands
``source``         search space   has ``source(architecture, task)``: the architecture as a Python file
``morphs``         search space   has ``morph(parent, child, weights, rng)``: the child's weights, same function
``layer_string``   search space   has ``of_chain``, ``tokens``, ``start()``: strings of layers
``banks``          search space   tables of memory banks: its supernet is ``nascore_smash.hypernet.BankSupernet``
``tree_cells``     search space   has ``of_trees``, ``start()``: cells that are trees of edges
``inherits``       evaluator      begins with the weights of the candidate's parent
=================  =============  ===================================================================

A plugin may invent further words; the core only compares them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from nascore.errors import DataError, SpaceError
from nascore.records import Architecture, Status, Trial, digest

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nascore.records import Candidate, Constraint, Cost, Json, Measurement, Metric, Objective, Option

    Choose = Callable[[str, Sequence[Option]], Any]


# ---------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Task:
    """What a network has to do, as far as its shape depends on it.

    Attributes:
        name: of the data set.
        shape: of one input, without the batch: (channels, height, width) for images.
        classes: number of outputs.
        kind: ``image-classification``, ``language-modelling``, ...
        fingerprint: digest of the data and the split; a resumed search checks it.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    kind: str = "image-classification"
    fingerprint: str = ""

    @property
    def channels(self) -> int:
        """Channels of one input."""
        return self.shape[0]


class _Sealed:
    """Stands where the test split is while a search runs."""

    def __getattr__(self, name: str) -> Any:
        raise DataError("A search never sees the test split. `nascore retrain RUN` reads it, once.")

    def __len__(self) -> int:
        return self.refuse  # type: ignore[no-any-return]  # __getattr__ raises

    def __getitem__(self, index: Any) -> Any:
        return self.refuse


@dataclass(frozen=True)
class Splits:
    """A task and its three splits. The core passes the splits on and never looks inside.

    Weights learn on ``train``, architectures are chosen on ``valid``, ``test`` is read once, by
    ``retrain``. Image data sets of ``nascore-blocks`` use ``torch.utils.data.Dataset``.

    Attributes:
        preprocessing: how what the user has becomes an input of a network, plain JSON, for those who use an
            exported network without nascore; empty where the data set does not tell.
    """

    task: Task
    train: Any
    valid: Any
    test: Any = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict, compare=False, kw_only=True)

    def for_search(self) -> Splits:
        """The same splits with ``test`` sealed: any use of it raises :class:`DataError`."""
        return replace(self, test=_Sealed())


class Dataset(ABC):
    """Where the splits come from."""

    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """Read the data and split it; the same seed gives the same split.

        Raises:
            DataError: the data is missing or unusable; says what was looked for, where, and what to do.
        """

    def outline(self) -> tuple[Task, int]:
        """The task, and the number of training examples, without reading the data where that can be known.

        `nascore search --dry-run` asks it when the data is not there.

        Raises:
            DataError: it cannot be known without the data (the default, which loads it).
        """
        splits = self.load(0)
        return splits.task, len(splits.train)


# ---------------------------------------------------------------------------------- search space


class SearchSpace(ABC):
    """A set of architectures, and how to build each.

    Attributes:
        name: set by the core to the address of the part (``blocks:nasnet``).
    """

    name: str = ""
    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()

    def setup(self, task: Task) -> None:
        """Called once, before anything else, with the task of the search."""

    @abstractmethod
    def sample(self, choose: Choose) -> Architecture:
        """Run the space as a program that makes decisions.

        Args:
            choose: ``choose(name, options)`` returns one of ``options``. The same name must always
                come with the same options, in every run of the program.
        """

    @abstractmethod
    def check(self, architecture: Architecture) -> None:
        """Accept an architecture that may come from anywhere, a stranger's file included.

        Raises:
            SpaceError: it is not in this space; says which decision is wrong and what is allowed.
        """

    @abstractmethod
    def build(self, architecture: Architecture, task: Task) -> Any:
        """The network, freshly initialised from torch's global generator; or a callable."""

    def canonical(self, genome: Json) -> Json:
        """A form that is equal for isomorphic genomes, and different for different networks."""
        return genome

    def architecture(self, genome: Json) -> Architecture:
        """Wrap a genome, unchecked, with its key."""
        return Architecture(self.name, genome, digest([self.name, self.canonical(genome)]))

    def load(self, data: Mapping[str, Any]) -> Architecture:
        """An architecture from its JSON, checked; the stored key is not trusted.

        Raises:
            SpaceError: of another space, malformed, or not in this space.
        """
        if not isinstance(data, dict) or "genome" not in data:
            raise SpaceError("An architecture is a JSON object with the keys 'space' and 'genome'.")
        if data.get("space") != self.name:
            raise SpaceError(f"The architecture is of the space {data.get('space')!r}, not of {self.name!r}.")
        try:
            self.check(Architecture(self.name, data["genome"], ""))
            return self.architecture(data["genome"])
        except RecursionError:
            raise SpaceError(f"The genome is nested deeper than any of {self.name!r}.") from None


# --------------------------------------------------------------------------------------- sampler


class History(ABC):
    """The trials that have been told, oldest first. Samplers read it; they need not."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Trial]: ...

    @abstractmethod
    def __getitem__(self, number: int) -> Trial:
        """The trial with this number. Raises KeyError when it has not been told."""

    @property
    @abstractmethod
    def best(self) -> Trial | None:
        """The complete trial at full fidelity with the best first objective."""

    @property
    @abstractmethod
    def pareto_front(self) -> tuple[Trial, ...]:
        """The complete trials at full fidelity that no other one dominates, by number."""


def _unlimited(architecture: Architecture) -> float:
    return 0.0


@dataclass(frozen=True)
class View:
    """What a sampler sees when it is asked.

    Attributes:
        number: of the trial to propose.
        rng: a generator derived from (search seed, number): a sampler that draws from it alone
            has no random state of its own to save.
        history: everything told so far.
        trials: the budget, in trials; None where only time ends the search.
        excess: how far an architecture breaks the constraints on costs: 0 where all hold, else the sum of
            what it is over each limit, as a share of it. Prices the architecture, without training.
    """

    number: int
    rng: random.Random
    history: History
    trials: int | None = None
    excess: Callable[[Architecture], float] = _unlimited

    def within(self, propose: Callable[[], Architecture], tries: int = 100) -> Architecture:
        """The first proposal that breaks no constraint; after ``tries`` of them the nearest.

        Args:
            propose: draws a candidate.
            tries: how often at most, >= 1.
        """
        nearest = propose()
        least = self.excess(nearest)
        for _ in range(tries - 1):
            if least <= 0:
                break
            proposed = propose()
            excess = self.excess(proposed)
            if excess < least:
                nearest, least = proposed, excess
        return nearest


class Sampler(ABC):
    """Chooses what to evaluate next.

    Attributes:
        constraints: of the search; set by the core before :meth:`setup`. :attr:`View.excess` says how far
            an architecture breaks them.
    """

    constraints: tuple[Constraint, ...] = ()

    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()

    def setup(self, space: SearchSpace, objectives: Sequence[Objective], seed: int) -> None:
        """Called once, before anything else.

        Raises:
            CapabilityError: it cannot handle these objectives (several, say).
        """
        self.space = space
        self.objectives = tuple(objectives)
        self.seed = seed

    @abstractmethod
    def ask(self, view: View) -> Candidate | None:
        """Propose a candidate; None when there is nothing (more) to propose until the next tell.

        The proposal may depend on the state, the view and nothing else.
        """

    def tell(self, trial: Trial) -> None:
        """Learn from a judged candidate, whatever its status."""

    def on_report(self, number: int, step: int, metrics: Mapping[str, float]) -> bool:
        """A trial reported ``metrics`` at ``step``; False stops it (it becomes PRUNED)."""
        return True

    def recommend(self, history: History) -> Trial | None:
        """The trial that answers the search: by default the best one recorded."""
        return history.best

    def state_dict(self) -> dict[str, Any]:
        """All that changes while searching, as plain JSON and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any], history: History) -> None:
        """Go back to a saved state; ``history`` holds just what had been told then."""


# ------------------------------------------------------------------------------------- evaluator


class Context(ABC):
    """What the core hands to an evaluator or a cost model for one piece of work.

    Attributes:
        number: of the trial (or of the trial about to be asked, in ``prepare``).
        seed: of this work. torch, numpy and random are seeded with it already.
        device: a torch device, such as ``cpu`` or ``cuda:0``.
        data: the splits, test sealed.
    """

    number: int
    seed: int
    device: str
    data: Splits

    @property
    def task(self) -> Task:
        """The task of the search."""
        return self.data.task

    @abstractmethod
    def report(self, step: int, **metrics: float) -> bool:
        """Report a point of the learning curve; False means: stop, and return a PRUNED measurement."""

    @abstractmethod
    def folder(self, number: int | None = None) -> Path:
        """The folder for artifacts of this trial (made when asked), or of an earlier one."""


@dataclass(frozen=True)
class Round:
    """What one call of :meth:`Evaluator.prepare` did.

    Attributes:
        changed: shared state changed, so the core saves a checkpoint.
        ready: candidates may be asked for; False: call again first (a warm-up in steps).
        metrics: numbers of the round, shown and tracked.
    """

    changed: bool = False
    ready: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)


class Evaluator(ABC):
    """Judges candidates.

    Attributes:
        objectives: what it measures, with unit and direction; the first is the default objective.
        deterministic: the measurement depends on the architecture and the fidelity alone, so the
            core may reuse the one of an equal architecture.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    objectives: ClassVar[Mapping[str, Metric]] = {}
    deterministic: ClassVar[bool] = False

    def setup(self, space: SearchSpace, data: Splits) -> None:
        """Called once, before anything else."""
        self.space = space
        self.data = data

    def prepare(self, sampler: Sampler, context: Context) -> Round:
        """One round of shared training before the next ask; black-box evaluators have none."""
        return Round()

    @abstractmethod
    def evaluate(self, candidate: Candidate, context: Context) -> Measurement:
        """Judge one candidate. An exception becomes a FAIL trial with its traceback."""

    def state_dict(self) -> dict[str, Any]:
        """Shared state (a supernet's weights, say), as plain JSON and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state."""


# ----------------------------------------------------------------------------------------- pruner


class Pruner(ABC):
    """Decides from a running trial's reports whether it should stop.

    What it knows is rebuilt by :meth:`replay` of the stored trials, in the order in which they were told, so
    that a resumed search decides as one that was never stopped: a decision may depend on the options, the seed,
    the told trials and the reports of the running trial, and on nothing else.

    Attributes:
        task: of the search; set by the core before :meth:`setup`.
    """

    task: Task | None = None
    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()

    def setup(self, space: SearchSpace | None, objectives: Sequence[Objective], seed: int) -> None:
        """Called once, before anything else.

        Args:
            space: of the search; None where it is not known.
            objectives: of the search; the first leads.
            seed: of the search.
        """
        self.space = space
        self.objectives = tuple(objectives)
        self.seed = seed

    @abstractmethod
    def go_on(self, number: int, step: int, metrics: Mapping[str, float], candidate: Candidate | None) -> bool:
        """Take a report of a running trial; False when it should stop.

        Args:
            number: of the trial.
            step: as reported, usually an epoch from 1 on.
            metrics: the values at this step.
            candidate: what is judged; None where it is not known.
        """

    def finish(self, trial: Trial) -> None:
        """Take a trial that is over, whatever its status, with all its reports."""

    def metrics(self, number: int) -> Mapping[str, float]:
        """Numbers to be kept among the metrics of a running trial, such as the end that was predicted."""
        return {}

    def replay(self, trial: Trial) -> None:
        """Take a stored trial again, after a resume: by default its reports, then its end.

        A pruner that learns from :meth:`finish` alone overrides this, and spares itself the decisions.
        """
        for step, metrics in trial.reports:
            self.go_on(trial.number, step, metrics, trial.candidate)
        self.finish(trial)


# ------------------------------------------------------------------------------------- cost model


class CostModel(ABC):
    """Prices an architecture on a device.

    Attributes:
        metrics: what it prices, with unit and direction.
        cheap: asked before any training; a broken constraint then costs nothing.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    provides: ClassVar[frozenset[str]] = frozenset()
    metrics: ClassVar[Mapping[str, Metric]] = {}
    cheap: ClassVar[bool] = True

    @abstractmethod
    def estimate(self, space: SearchSpace, architecture: Architecture, context: Context) -> Mapping[str, Cost]:
        """A cost for every name in ``metrics``."""


# --------------------------------------------------------------------------------------- executor


@dataclass(frozen=True)
class Job:
    """One evaluation to run: all that a worker needs beside the settings of the search."""

    number: int
    candidate: Candidate
    seed: int

    def failed(
        self,
        reason: str,
        *,
        started: float,
        wall_seconds: float,
        reports: Sequence[tuple[int, Mapping[str, float]]] = (),
    ) -> Trial:
        """The FAIL trial of a job that no judge could finish.

        Args:
            reason: why.
            started: when, in seconds since the epoch.
            wall_seconds: how long it took.
            reports: what it had reported.
        """
        return Trial(
            self.number, self.candidate, Status.FAIL, metrics=dict(self.candidate.metrics), reason=reason,
            seed=self.seed, reports=tuple(reports), started=started, wall_seconds=wall_seconds,
        )  # fmt: skip


class Executor(ABC):
    """Where evaluations run. The loop submits jobs while there is room, then waits for one."""

    capacity: int = 1

    def start(self, settings: Mapping[str, Any], run: Callable[[Job], Trial]) -> None:
        """Called once. ``run`` judges a job in this process; a remote worker rebuilds the parts
        from ``settings`` and judges there.
        """
        self.run = run

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job; returns at once, or after the job where capacity is 1."""

    @abstractmethod
    def wait(self) -> Trial:
        """The next finished job, as the trial it became."""

    def close(self) -> None:
        """Give back what it holds."""
