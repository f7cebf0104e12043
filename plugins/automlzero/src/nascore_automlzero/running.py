"""Programs as NumPy: run one, instruction by instruction, and write one as a Python file.

Both read the meanings in :mod:`nascore_automlzero.ops`. This is slow and plain; the compiled interpreter is
checked against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nascore.errors import DataError
from nascore_automlzero.ops import OPS
from nascore_automlzero.program import live, read, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from nascore_automlzero.bytecode import Floats
    from nascore_automlzero.program import Genome, Instruction, Limits

_SLOTS = {name: name for name in "abcdeo"}


def _function(meaning: str) -> Callable[..., Any]:
    # The text is our own table's, never a genome's.
    return eval(f"lambda a, b, c, d, e, o, F, uniform, normal: {meaning.format(**_SLOTS)}", {"np": np})  # type: ignore[no-any-return]  # it is a lambda


_FUNCTIONS = {op.name: _function(op.meaning) for op in OPS.values() if op.meaning}


class Noise:
    """The numbers that random instructions read, one after the other and round again.

    Args:
        table: (2, draws): uniform in [0, 1), and normal.
    """

    def __init__(self, table: Floats) -> None:
        self.table, self.drawn = table, 0

    def uniform(self, shape: Any) -> Any:
        """The next uniform numbers."""
        return self._next(0, shape)

    def normal(self, shape: Any) -> Any:
        """The next normal numbers."""
        return self._next(1, shape)

    def _next(self, row: int, shape: Any) -> Any:
        count = int(np.prod(shape))
        places = (self.drawn + np.arange(count)) % self.table.shape[1]
        self.drawn += count
        return self.table[row, places].reshape(shape)


def noise_table(seed: int, draws: int = 4096) -> Floats:
    """(2, draws) uniform and normal numbers."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(draws), rng.standard_normal(draws)])


class Program:
    """A program with its memory: ``fit(x, y)`` learns, and calling it with ``x`` predicts.

    Args:
        genome: a checked program.
        limits: of its space.
        features: F.
        classify: predictions go through a sigmoid.
        noise: (2, draws) for the random instructions.
        prune: leave out what no prediction depends on.
    """

    def __init__(
        self, genome: Genome, limits: Limits, features: int, classify: bool = False,
        noise: Floats | None = None, prune: bool = True,
    ) -> None:  # fmt: skip
        self.parts = live(genome) if prune else genome
        self.features, self.classify = features, classify
        self.noise = Noise(noise_table(0) if noise is None else noise)
        self.memory: dict[tuple[str, int], Any] = {}
        for kind, shape in (("s", ()), ("v", (features,)), ("m", (features, features))):
            for number in range(limits.of(kind)):
                self.memory[kind, number] = np.zeros(shape)
        self._run("setup")

    def step(self, one: Instruction) -> None:
        """Run one instruction; NumPy's warnings are the caller's."""
        op = OPS[one[0]]
        if not op.output:
            return
        a, b = [*(self.memory[place] for place in read(one)), None, None][:2]
        c, d, e = [*one[2 + len(op.inputs) :], None, None, None][:3]
        old = self.memory[written(one)]
        value = _FUNCTIONS[op.name](a, b, c, d, e, old, self.features, self.noise.uniform, self.noise.normal)
        self.memory[written(one)] = np.asarray(value, np.float64)

    def _run(self, part: str) -> None:
        with np.errstate(all="ignore"):  # NaN and infinity may occur; they are judged, not told
            for one in self.parts[part]:
                self.step(one)

    def predict(self, x: Floats) -> float:
        """The prediction for one example, (F,).

        Raises:
            DataError: the example has another size.
        """
        if np.shape(x) != (self.features,):
            raise DataError(f"An example has the shape {np.shape(x)}; this program takes ({self.features},).")
        self.memory["v", 0], self.memory["s", 0] = np.asarray(x, np.float64), np.zeros(())
        self._run("predict")
        if self.classify:
            with np.errstate(over="ignore"):
                self.memory["s", 1] = 1 / (1 + np.exp(-self.memory["s", 1]))
        return float(self.memory["s", 1])

    def learn(self, x: Floats, y: float) -> float:
        """Predict, then learn from one example (F,) and its label. Returns label - prediction."""
        error = y - self.predict(x)
        self.memory["s", 0] = np.asarray(y, np.float64)
        self._run("learn")
        return error

    def fit(self, x: Floats, y: Floats) -> Program:
        """Learn from examples (examples, F) and labels (examples,), in order; itself.

        Raises:
            DataError: the sizes do not match.
        """
        if len(x) != len(y):
            raise DataError(f"There are {len(x)} examples and {len(y)} labels.")
        for example, label in zip(x, y, strict=True):
            self.learn(example, float(label))
        return self

    def __call__(self, x: Floats) -> Floats:
        """Predictions (examples,) for examples (examples, F)."""
        return np.array([self.predict(example) for example in x])


# ------------------------------------------------------------------------------------- as a file

_FILE = '''"""A program that evolution found. It needs NumPy and nothing else.

    program = Program()
    for x, y in examples: program.learn(x, y)
    program.predict(x)

{note}"""

import numpy as np

F = {features}  # numbers in one example
rng = np.random.default_rng(0)
uniform, normal = rng.random, rng.standard_normal


class Program:
    """s, v and m are a scalar, a vector of F numbers and a matrix of F x F."""

    def __init__(self):
{setup}

    def predict(self, features, label=0.0):
{predict}

    def learn(self, features, label):
{learn}
'''


def source(genome: Genome, features: int, classify: bool = False, note: str = "") -> str:
    """A program as a short NumPy file; what no prediction depends on is left out.

    Args:
        genome: a checked program.
        features: F.
        classify: predictions go through a sigmoid.
        note: a line for the head of the file, such as where the program comes from.
    """
    parts = live(genome)
    used = {place for body in parts.values() for one in body for place in (written(one), *read(one))}
    shapes = {"s": "np.float64(0)", "v": "np.zeros(F)", "m": "np.zeros((F, F))"}
    zeros = [f"{_kept(place)} = {shapes[place[0]]}" for place in sorted(used | {("s", 1)}) if place not in _GIVEN]
    lines = {part: [_line(one, _kept) for one in body] for part, body in parts.items()}
    if any(place in _GIVEN for one in parts["setup"] for place in read(one)):
        zeros.append("label, features = np.float64(0), np.zeros(F)")
    lines["setup"] = zeros + lines["setup"]
    if classify:
        lines["predict"].append("self.prediction = 1 / (1 + np.exp(-self.prediction))")
    lines["predict"].append("return self.prediction")
    lines["learn"].insert(0, "self.predict(features)")
    bodies = {part: "\n".join(f"        {line}" for line in body) for part, body in lines.items()}
    return _FILE.format(features=features, note=f"{note}\n" if note else "", **bodies)


def listing(genome: Genome) -> str:
    """A program as the paper prints it: three short functions, what no prediction depends on left out."""
    lines = []
    for part, body in live(genome).items():
        lines += [f"def {part}():", *(f"  {_line(one, _bare)}" for one in body)] if body else [f"def {part}(): pass"]
    return "\n".join(lines)


_GIVEN = {("s", 0): "label", ("v", 0): "features"}
"""Arguments of the functions; the rest is kept."""


def _bare(place: tuple[str, int]) -> str:
    return _GIVEN.get(place) or ("prediction" if place == ("s", 1) else f"{place[0]}{place[1]}")


def _kept(place: tuple[str, int]) -> str:
    return _bare(place) if place in _GIVEN else f"self.{_bare(place)}"


def _line(one: Instruction, name: Callable[[tuple[str, int]], str]) -> str:
    op = OPS[one[0]]
    names = dict(zip("ab", map(name, read(one)), strict=False))
    numbers = (f"({value!r})" if value < 0 else repr(value) for value in one[2 + len(op.inputs) :])
    constants = dict(zip("cde", numbers, strict=False))
    return f"{name(written(one))} = {op.meaning.format(**names, **constants, o=name(written(one)))}"
