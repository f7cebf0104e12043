"""Tasks for programs: many small ones of one kind, as arrays; and the data sets that make them."""

from __future__ import annotations

import hashlib
import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from nascore.contracts import Dataset, Splits, Task
from nascore.errors import DataError, SettingsError
from nascore.seeding import derive_seed

if TYPE_CHECKING:
    import numpy.typing as npt

    from nascore_automlzero.bytecode import Floats

REGRESSION, BINARY = "regression-tasks", "binary-tasks"
"""Kinds of :class:`~nascore.contracts.Task`: labels are numbers, or 0 and 1."""


class Tasks(NamedTuple):
    """Several tasks of one size.

    Attributes:
        x, y: (tasks, examples, F) and (tasks, examples), float64: to learn from, in this order.
        x_valid, y_valid: (tasks, others, F) and (tasks, others): to be tested on.
    """

    x: Floats
    y: Floats
    x_valid: Floats
    y_valid: Floats


def check_tasks(tasks: Any, task: Task) -> Tasks:
    """The same tasks, as contiguous float64.

    Args:
        tasks: what a split holds.
        task: says what the labels are, and F.

    Raises:
        DataError: sizes do not match, a number is not finite, or a label is neither 0 nor 1 where it must be.
    """
    if not isinstance(tasks, tuple) or len(tasks) != 4:
        raise DataError("Tasks are four arrays: nascore_automlzero.tasks.Tasks(x, y, x_valid, y_valid).")
    made = Tasks(*(np.ascontiguousarray(array, np.float64) for array in tasks))
    shapes = [array.shape for array in made]
    if made.x.ndim != 3 or made.x_valid.ndim != 3 or 0 in made.x.shape + made.x_valid.shape:
        raise DataError(f"x and x_valid are (tasks, examples, features), none of them 0; got {shapes[0]}, {shapes[2]}.")
    if made.y.shape != shapes[0][:2] or made.y_valid.shape != shapes[2][:2]:
        raise DataError(f"y and y_valid have one label for each example; x, y, x_valid, y_valid have {shapes}.")
    if shapes[0][0] != shapes[2][0] or shapes[0][2] != shapes[2][2]:
        raise DataError(f"x and x_valid have other numbers of tasks or features: {shapes[0]}, {shapes[2]}.")
    if shapes[0][2] != math.prod(task.shape):
        raise DataError(f"{task.name} has {math.prod(task.shape)} features, and the arrays have {shapes[0][2]}.")
    for name, array in made._asdict().items():
        if not np.isfinite(array).all():
            raise DataError(f"{name} holds NaN or infinity, first at {np.argwhere(~np.isfinite(array))[0].tolist()}.")
        if task.kind == BINARY and name.startswith("y") and not np.isin(array, (0, 1)).all():
            raise DataError(f"{name} holds a label that is neither 0 nor 1.")
    return made


def _splits(name: str, kind: str, features: int, parts: list[Tasks]) -> Splits:
    state = hashlib.blake2b(f"{name} {kind}".encode(), digest_size=16)
    for array in (array for part in parts for array in part):
        state.update(f"{array.shape}".encode() + array.tobytes())
    return Splits(Task(name, (features,), 1, kind=kind, fingerprint=state.hexdigest()), *parts)


class Regression(Dataset):
    """Synthetic regression: x ~ N(0, 1), and a hidden rule for each task. Which rules test a program is kept apart.

    ``train`` holds the tasks of the search; ``valid`` and ``test`` as many others of the same kind.

    Args:
        rule: ``linear`` (y = w.x), ``affine`` (y = w.x + b), or ``nonlinear`` (a ReLU network of one hidden
            layer, F units wide); all weights ~ N(0, 1).
        tasks: in each split, >= 1.
        features: F, >= 1.
        examples: to learn from, in each task, >= 1.
        others: to be tested on, in each task, >= 1.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"program_tasks"})

    def __init__(
        self,
        rule: Literal["linear", "affine", "nonlinear"] = "linear",
        tasks: int = 10,
        features: int = 4,
        examples: int = 100,
        others: int = 100,
    ) -> None:
        if rule not in ("linear", "affine", "nonlinear"):
            raise SettingsError(f"rule is {rule!r}; allowed: linear, affine, nonlinear.")
        _at_least_one(tasks=tasks, features=features, examples=examples, others=others)
        self.rule, self.tasks, self.features, self.examples, self.others = rule, tasks, features, examples, others

    def load(self, seed: int) -> Splits:
        """Three sets of tasks; see :meth:`Dataset.load`."""
        parts = [self._tasks(derive_seed(seed, "regression", name)) for name in ("train", "valid", "test")]
        return _splits(f"regression-{self.rule}", REGRESSION, self.features, parts)

    def _tasks(self, seed: int) -> Tasks:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.tasks, self.examples + self.others, self.features))
        w = rng.standard_normal((self.tasks, self.features))
        y: Floats = np.einsum("tnf,tf->tn", x, w)
        if self.rule == "affine":
            y = y + rng.standard_normal((self.tasks, 1))
        if self.rule == "nonlinear":
            hidden = rng.standard_normal((self.tasks, self.features, self.features))
            y = np.einsum("tnf,tf->tn", np.maximum(0, np.einsum("tnf,tfg->tng", x, hidden)), w)
        n = self.examples
        return Tasks(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


class ClassPairs(Dataset):
    """Two classes of images, to be told apart; projected at random to few features (section 4.1).

    The 45 pairs of ten classes are dealt to the splits, so that a program is tested on pairs that the search never
    saw. Programs learn on the training images, and are tested on the validation images; those of the test
    split on the test images. Features have mean 0 and deviation 1 on what is learnt from.

    Args:
        tasks: pairs in each split; in [1, 15].
        features: F, >= 1.
        projections: of each pair, >= 1; each makes a task of its own (the paper has 100).
        images: ``digits``, or ``cifar10`` as the paper has it.
        examples: to learn from, in each task, at most; 0: all.
        others: to be tested on, in each task, at most; 0: all.
        root: the folder where ``cifar10`` lies; by default ``NASCORE_DATA``, or ``~/.cache/nascore``.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"program_tasks"})

    def __init__(
        self,
        tasks: int = 10,
        features: int = 8,
        projections: int = 1,
        images: Literal["digits", "cifar10"] = "digits",
        examples: int = 0,
        others: int = 0,
        root: str = "",
    ) -> None:
        _at_least_one(tasks=tasks, features=features, projections=projections)
        if tasks > 15:
            raise SettingsError(f"tasks is {tasks}; there are 45 pairs for three splits, so at most 15.")
        if images not in ("digits", "cifar10"):
            raise SettingsError(f"images is {images!r}; allowed: digits, cifar10.")
        if examples < 0 or others < 0:
            raise SettingsError(f"examples is {examples} and others {others}; at least 1 each, or 0 for all there are.")
        self.tasks, self.features, self.projections = tasks, features, projections
        self.images, self.root = images, root
        self.most = (examples or None, others or None)

    def load(self, seed: int) -> Splits:
        """Three sets of pairs; see :meth:`Dataset.load`."""
        images = self._images(seed)
        rng = np.random.default_rng(derive_seed(seed, "projections"))
        parts = []
        for dealt, tested in zip(self.pairs(seed), (1, 1, 2), strict=True):
            made = [self._pair(pair, images[0], images[tested], rng) for pair in dealt for _ in range(self.projections)]
            sizes = [min(len(one[slot]) for one in made) for slot in range(4)]
            parts.append(Tasks(*(np.stack([one[slot][: sizes[slot]] for one in made]) for slot in range(4))))
        return _splits(f"{self.images}-pairs", BINARY, self.features, parts)

    def outline(self) -> tuple[Task, int]:
        """What is known without the images: a task's examples are those of two of the ten classes, at most."""
        published = {"digits": 216, "cifar10": 9000}[self.images]
        task = Task(f"{self.images}-pairs", (self.features,), 1, kind=BINARY)
        return task, min(published, self.most[0] or published)

    def _images(self, seed: int) -> list[tuple[Any, Any]]:
        """Pixels (images, numbers) and labels (images,) of train, valid and test."""
        from nascore_blocks.data import CIFAR10, Digits

        source: Dataset = Digits() if self.images == "digits" else CIFAR10(self.root)
        splits = source.load(seed)
        return [
            (split.inputs.flatten(1).numpy(), split.labels.numpy())
            for split in (splits.train, splits.valid, splits.test)
        ]

    def pairs(self, seed: int) -> npt.NDArray[np.int64]:
        """The classes of each pair, (3, tasks, 2): those of train, valid and test. No pair is there twice."""
        rng = np.random.default_rng(derive_seed(seed, "pairs"))
        every = rng.permutation(np.array(list(combinations(range(10), 2))))
        return every[: 3 * self.tasks].reshape(3, self.tasks, 2)

    def _pair(self, pair: Any, learnt: Any, tested: Any, rng: np.random.Generator) -> list[Floats]:
        numbers = learnt[0].shape[1]
        projection = rng.standard_normal((numbers, self.features)) / np.sqrt(numbers)
        out: list[Floats] = []
        for (inputs, labels), most in zip((learnt, tested), self.most, strict=True):
            members = rng.permutation(np.flatnonzero(np.isin(labels, pair)))[:most]
            out += [inputs[members].astype(np.float64) @ projection, (labels[members] == pair[1]).astype(np.float64)]
        mean, std = out[0].mean(axis=0), out[0].std(axis=0)
        return [(out[0] - mean) / std, out[1], (out[2] - mean) / std, out[3]]


def _at_least_one(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise SettingsError(f"{name} is {value}; it must be at least 1.")
