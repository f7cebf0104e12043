"""The search space of SMASH: which banks each op reads and writes (Brock et al. 2017, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError
from nascore_smash.table import BankOp, Table, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_smash.hypernet import BankSupernet
    from nascore_smash.network import BankNetwork


class BankSpace(DecisionSpace):
    """Blocks of ops on memory banks, the map halved between two blocks.

    Op ``i`` of block ``b`` is made by ``block{b}.op{i}.read{m}`` and ``.write{m}`` (bank ``m``: True or False),
    ``.width``, ``.kernel``, ``.dilation`` and ``.groups``. Any answers make an architecture: banks that hold nothing
    yet are not read, and an op that reads nothing or writes nothing is not built.

    Provides ``banks``: ``supernet(task, ...)`` gives a :class:`~nascore_smash.hypernet.BankSupernet`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"banks"}

    def __init__(
        self,
        blocks: int = 3,
        ops: int = 12,
        banks: int = 8,
        channels: int = 8,
        inputs: int = 2,
        widths: Sequence[int] = (1, 2, 4, 8),
        kernels: Sequence[int] = (3, 5, 7),
        dilations: Sequence[int] = (1, 2, 3),
        groups: Sequence[int] = (1, 2, 4, 8),
    ) -> None:
        """Set the sizes.

        Args:
            blocks: how many, >= 1.
            ops: of a block, >= 1.
            banks: of a block, >= 2.
            channels: of a bank, >= 1.
            inputs: banks that hold the input of a block, in [1, banks].
            widths: channels between the two convolutions of an op to choose from, in banks, each >= 1.
            kernels: sizes to choose from, odd.
            dilations: to choose from, each >= 1.
            groups: to choose from; each divides ``channels``.

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value, least in (
            ("blocks", blocks, 1),
            ("ops", ops, 1),
            ("banks", banks, 2),
            ("channels", channels, 1),
        ):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        if not 1 <= inputs <= banks:
            raise SettingsError(f"inputs is {inputs}; it must be from 1 to banks ({banks}).")
        _each("widths", widths, lambda n: n >= 1, "whole numbers >= 1")
        _each("kernels", kernels, lambda n: n >= 1 and n % 2 == 1, "odd whole numbers")
        _each("dilations", dilations, lambda n: n >= 1, "whole numbers >= 1")
        _each("groups", groups, lambda n: n >= 1 and channels % n == 0, f"divisors of channels ({channels})")
        self.blocks, self.ops, self.banks, self.channels, self.inputs = blocks, ops, banks, channels, inputs
        self.widths, self.kernels = tuple(widths), tuple(kernels)
        self.dilations, self.groups = tuple(dilations), tuple(groups)

    def setup(self, task: Task) -> None:
        """See :meth:`SearchSpace.setup`.

        Raises:
            SpaceError: the inputs are no images, or too small for so many blocks.
        """
        from nascore_smash.network import check_shape

        check_shape(task.shape, self.blocks)

    def decide(self, choose: Choose) -> Table:
        """The blocks, live and with their banks in canonical order."""
        return tuple(
            canonical((self._op(choose, f"block{b}.op{i}") for i in range(self.ops)), self.banks, self.inputs)
            for b in range(self.blocks)
        )

    def group(self, name: str) -> str:
        """``read``, ``write``, ``width``, ``kernel``, ``dilation`` or ``groups``."""
        return name.rpartition(".")[2].rstrip("0123456789")

    def canonical(self, genome: Json) -> Json:
        """The table of :meth:`decide`; see :func:`nascore_smash.table.canonical` for what it does not see."""
        _, table = self._run(self._answers(genome))
        return [[[*map(list, op[:2]), *op[2:]] for op in block] for block in table]

    def build(self, architecture: Architecture, task: Task) -> BankNetwork:
        """The network alone, with weights of its own."""
        return self.network(self.structure(architecture), task)

    def network(self, table: Table, task: Task) -> BankNetwork:
        """The network of a table, freshly initialised from torch's global generator."""
        from nascore_smash.network import BankNetwork

        return BankNetwork(table, task.shape, task.classes, self.channels, self.inputs)

    def supernet(
        self, task: Task, *, growth: int = 10, layers: Sequence[int] = (8, 10, 4), rank: int = 0
    ) -> BankSupernet:
        """Shared weights and a hypernetwork, from torch's global generator.

        Args:
            task: whose shape counts.
            growth, layers, rank: the hypernetwork's size; see :class:`nascore_smash.hypernet.HyperNetwork`.
        """
        from nascore_smash.hypernet import BankSupernet

        return BankSupernet(self, task, growth, layers, rank)

    def _op(self, choose: Choose, place: str) -> BankOp:
        def chosen(kind: str) -> tuple[int, ...]:
            return tuple(m for m in range(self.banks) if choose(f"{place}.{kind}{m}", [False, True]))

        return BankOp(
            chosen("read"),
            chosen("write"),
            choose(f"{place}.width", self.widths),
            choose(f"{place}.kernel", self.kernels),
            choose(f"{place}.dilation", self.dilations),
            choose(f"{place}.groups", self.groups),
        )


def _each(name: str, values: Sequence[int], allowed: Callable[[int], bool], words: str) -> None:
    if not values or len(set(values)) < len(values) or not all(allowed(value) for value in values):
        raise SettingsError(f"{name} is {list(values)}; it must have {words}, each once, and at least one.")
