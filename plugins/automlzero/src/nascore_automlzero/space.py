"""The space of programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np

from nascore.contracts import SearchSpace
from nascore.errors import SettingsError, nearest
from nascore_automlzero.mutation import mutated
from nascore_automlzero.ops import OPS, SETS
from nascore_automlzero.program import FIRST_WRITABLE, PARTS, Limits, canonical_program, check_program

if TYPE_CHECKING:
    import random

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_automlzero.program import Genome, Instruction
    from nascore_automlzero.running import Program

_STEPS = 1000
"""Constants of sampled programs are multiples of 1 / _STEPS; mutation makes them any number."""


class ProgramSpace(SearchSpace):
    """Programs of three parts, Setup, Predict and Learn, over a small typed memory (section 3).

    Args:
        setup, predict, learn: instructions of each part, at most.
        scalars: addresses s0, s1, ...; s0 is the label, s1 the prediction; >= 2.
        vectors: addresses v0, v1, ...; v0 is the features; >= 2.
        matrices: addresses m0, m1, ...; >= 0.
        ops: ``all`` (65), ``linear`` (7), or names with commas between.
        start: a sampled program is ``random`` (each part of a random length), or ``full`` (of the largest).
    """

    provides: ClassVar[frozenset[str]] = frozenset({"mutate", "programs", "source"})

    def __init__(
        self,
        setup: int = 10,
        predict: int = 2,
        learn: int = 8,
        scalars: int = 4,
        vectors: int = 3,
        matrices: int = 1,
        ops: str = "all",
        start: Literal["random", "full"] = "random",
    ) -> None:
        for name, value, least in (
            ("setup", setup, 0), ("predict", predict, 0), ("learn", learn, 0),
            ("scalars", scalars, 2), ("vectors", vectors, 2), ("matrices", matrices, 0),
        ):  # fmt: skip
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be at least {least}.")
        if not setup + predict + learn:
            raise SettingsError("setup, predict and learn are all 0; one of them must allow an instruction.")
        if start not in ("random", "full"):
            raise SettingsError(f"start is {start!r}; allowed: random, full.")
        names = SETS.get(ops) or tuple(dict.fromkeys(name.strip() for name in ops.split(",")))
        for name in names:
            if name not in OPS:
                raise SettingsError(f"There is no op {name!r}; {nearest(name, [*OPS, *SETS])}.")
        if not matrices:
            names = tuple(name for name in names if "m" not in OPS[name].inputs + OPS[name].output)
        if names in ((), ("no_op",)):
            raise SettingsError(f"ops is {ops!r}, which leaves nothing to do in a space of {matrices} matrices.")
        self.limits = Limits(setup, predict, learn, scalars, vectors, matrices, names)
        self.start = start
        self._features = 0

    def setup(self, task: Task) -> None:
        """F is the number of features of the task's inputs."""
        self._features = int(np.prod(task.shape))

    @property
    def features(self) -> int:
        """F."""
        if not self._features:
            raise SettingsError("The space has no task yet: call setup(task) first.")
        return self._features

    def sample(self, choose: Choose) -> Architecture:
        """A random program; see :meth:`SearchSpace.sample`."""
        genome: Genome = {}
        for part in PARTS:
            most = self.limits.of(part)
            size = most if self.start == "full" else choose(f"{part}.size", range(most + 1))
            genome[part] = [self._instruction(choose, f"{part}.{index}") for index in range(size)]
        return self.architecture(cast("Json", genome))

    def _instruction(self, choose: Choose, where: str) -> Instruction:
        op = OPS[choose(f"{where}.op", self.limits.ops)]
        one: Instruction = [op.name]
        for kind, slot in zip(op.output + op.inputs, ("output", "first", "second"), strict=False):
            low = FIRST_WRITABLE[kind] if slot == "output" else 0
            one.append(choose(f"{where}.{slot}.{kind}", range(low, self.limits.of(kind))))
        for index, kind in enumerate(op.constants):
            options = range(_STEPS) if kind == "u" else range(-_STEPS, _STEPS + 1)
            one.append(choose(f"{where}.constant.{index}.{kind}", options) / _STEPS)
        return one

    def trivial(self) -> Architecture:
        """The empty program, which predicts 0."""
        return self.architecture({part: [] for part in PARTS})

    def check(self, architecture: Architecture) -> None:
        """See :meth:`SearchSpace.check`; the message says which instruction is wrong."""
        check_program(architecture.genome, self.limits)

    def canonical(self, genome: Json) -> Json:
        """What computes, with the addresses renamed by first use."""
        return cast("Json", canonical_program(cast("Genome", genome)))

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """One of the three mutations: an instruction comes or goes, a part is drawn anew, an argument changes."""
        return self.architecture(cast("Json", mutated(cast("Genome", architecture.genome), self.limits, rng)))

    def build(self, architecture: Architecture, task: Task) -> Program:
        """The program, untrained: ``build(...).fit(x, y)`` learns, and calling it predicts."""
        from nascore_automlzero.running import Program

        return Program(
            cast("Any", architecture.genome), self.limits, int(np.prod(task.shape)), task.kind == "binary-tasks"
        )

    def source(self, architecture: Architecture, task: Task) -> str:
        """The program as a short NumPy file, dead instructions left out."""
        from nascore_automlzero.running import source

        note = f"Found on {task.name}; key {architecture.key}."
        return source(cast("Any", architecture.genome), int(np.prod(task.shape)), task.kind == "binary-tasks", note)

    def listing(self, architecture: Architecture) -> str:
        """The program as the paper prints it, dead instructions left out."""
        from nascore_automlzero.running import listing

        return listing(cast("Any", architecture.genome))
