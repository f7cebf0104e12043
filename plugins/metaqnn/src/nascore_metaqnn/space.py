"""The space of MetaQNN: layers in a chain, and the rules of what may follow what (Baker et al. 2017, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json
    from nascore_metaqnn.network import ChainNetwork

GAP, SOFTMAX = "gap", "softmax"
"""The two ends: global average pooling and the classifier, or the classifier alone."""

_UNKNOWN = 32
"""Until the images are known: as many pixels as those of CIFAR."""


class State(NamedTuple):
    """Where a chain is: all that the table of MetaQNN knows of it.

    Attributes:
        kind: of the last layer: ``start``, ``conv``, ``pool``, ``fc``, ``gap`` or ``softmax``.
        depth: layers until now.
        filters: of the last convolution; of fully connected layers, how many there are in a row.
        size: of the last filter, in pixels.
        stride: of the last layer.
        representation: height or width of its output, the smaller, in pixels.
        units: of the last fully connected layer.
        terminate: the chain has ended.
    """

    kind: str = "start"
    depth: int = 0
    filters: int = 0
    size: int = 0
    stride: int = 0
    representation: int = 0
    units: int = 0
    terminate: bool = False

    def after(self, layer: str) -> State:
        """The state when ``layer`` (such as ``conv_64_3``) has been added."""
        kind, *numbers = layer.split("_")
        depth, size = self.depth + 1, self.representation
        if kind == "conv":
            return State(kind, depth, int(numbers[0]), int(numbers[1]), 1, size)
        if kind == "pool":
            window, stride = map(int, numbers)
            return State(kind, depth, 0, window, stride, pooled(size, window, stride))
        if kind == "fc":
            return State(kind, depth, self.filters + 1 if self.kind == "fc" else 1, 0, 0, 1, int(numbers[0]))
        return State(kind, depth, representation=1, terminate=True)

    def bucketed(self) -> State:
        """With the representation size as the table has it: 8 for more than 7 pixels, 4 for 4 to 7, else 1."""
        return self._replace(representation=8 if self.representation > 7 else 4 if self.representation >= 4 else 1)


def pooled(size: int, window: int, stride: int) -> int:
    """Pixels that pooling leaves: ceil((size - window + 1) / stride)."""
    return -(-(size - window + 1) // stride)


class ChainSpace(DecisionSpace):
    """Chains of convolutions, max-poolings and fully connected layers.

    Each layer is one decision: ``conv_F_K`` (F filters of K x K, stride 1, same size), ``pool_K_S`` (window K,
    stride S), ``fc_N``, or an end: ``gap`` (global average pooling, then the classifier) or ``softmax`` (the
    classifier). What may follow:

    * a convolution follows the start, a convolution or a pooling; a pooling follows a convolution;
    * filters and windows are smaller than the map;
    * a fully connected layer comes when the map has at most ``fc_size`` pixels a side; there are at most
      ``fc_layers``, none wider than the one before;
    * ``softmax`` may always come, ``gap`` after a convolution or a pooling; one of them must, after ``depth`` layers.

    A decision's options depend on where the chain is, so its name says that: ``layer.0``, then ``layer.2.conv.8``
    (layer 2, after a convolution, the map has 8 pixels a side), ``layer.3.fc1.32`` (after one fully connected
    layer, of 32 units).
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"states"}

    def __init__(
        self,
        depth: int = 18,
        filters: Sequence[int] = (64, 128, 256, 512),
        kernels: Sequence[int] = (1, 3, 5),
        pools: Sequence[str] = ("5_3", "3_2", "2_2"),
        units: Sequence[int] = (512, 256, 128),
        fc_size: int = 4,
        fc_layers: int = 2,
        gap: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        """Set the layers; the defaults are the paper's for CIFAR-10.

        Args:
            depth: most layers before the end, >= 1.
            filters: numbers of filters to choose from.
            kernels: sizes of filters to choose from, odd.
            pools: window and stride of poolings to choose from, such as ``"3_2"``.
            units: of fully connected layers to choose from.
            fc_size: largest map that a fully connected layer may read: its height or width, the smaller, in pixels.
            fc_layers: most fully connected layers.
            gap: a chain may end with global average pooling.
            batch_norm: BN after each convolution; the paper has none.
            dropout: after every second layer, growing linearly with depth to this, in [0, 1).

        Raises:
            SettingsError: a value that is not allowed.
        """
        for name, value, least in (("depth", depth, 1), ("fc_size", fc_size, 1), ("fc_layers", fc_layers, 0)):
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be a whole number >= {least}.")
        for name, values in (("filters", filters), ("kernels", kernels), ("units", units)):
            if len(set(values)) < len(values) or any(value < 1 for value in values):
                raise SettingsError(f"{name} is {list(values)}; it needs distinct whole numbers >= 1.")
        if not filters or not kernels:
            raise SettingsError("filters and kernels need at least one number each, or there is nothing to search.")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise SettingsError(f"kernels is {list(kernels)}; a kernel is odd, so that it has a middle.")
        if not 0 <= dropout < 1:
            raise SettingsError(f"dropout is {dropout}; it must be in [0, 1).")
        self.depth, self.fc_size, self.fc_layers, self.gap = depth, fc_size, fc_layers, gap
        self.filters, self.kernels, self.units = tuple(filters), tuple(kernels), tuple(units)
        self.pools = tuple(_pool(text) for text in pools)
        self.batch_norm, self.dropout = batch_norm, dropout
        self.size, self.square = _UNKNOWN, True
        self._options: dict[State, tuple[str, ...]] = {}

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Remember the size of the images: what may follow what depends on it.

        Raises:
            SpaceError: the inputs are no images.
        """
        self.size, self.square = _side(task), task.shape[1] == task.shape[2]
        self._options = {}

    def decide(self, choose: Choose) -> tuple[str, ...]:
        """Decide layer by layer, until the chain ends."""
        state, layers = self.start(), []
        while not state.terminate:
            layers.append(choose(decision_name(state), self.options(state)))
            state = state.after(layers[-1])
        return tuple(layers)

    def start(self) -> State:
        """Before the first layer."""
        return State(representation=self.size)

    def options(self, state: State) -> tuple[str, ...]:
        """What may follow."""
        if state not in self._options:
            self._options[state] = tuple(self._allowed(state))
        return self._options[state]

    def state(self, answers: Sequence[str]) -> str:
        """The state of the table after these layers: the capability ``states``.

        Returns:
            The numbers of :class:`State`, representation size bucketed, as text.
        """
        state = self.start()
        for answer in answers:
            state = state.after(answer)
        return " ".join(map(str, state.bucketed()))

    def canonical(self, genome: Json) -> Json:
        """The layers; the mean of one pixel is that pixel, so ``gap`` is ``softmax`` there."""
        layers: list[Json] = list(genome.values())  # type: ignore[union-attr]  # a checked genome
        state = self.start()
        for layer in layers[:-1]:
            state = state.after(str(layer))
        if layers[-1] == GAP and state.representation == 1 and self.square:
            layers[-1] = SOFTMAX
        return layers

    def _allowed(self, state: State) -> list[str]:
        found: list[str] = []
        size = state.representation
        if state.depth < self.depth:
            if state.kind in ("start", "conv", "pool"):
                found += [f"conv_{f}_{k}" for f in self.filters for k in self.kernels if k < size]
            if state.kind == "conv":
                found += [f"pool_{window}_{stride}" for window, stride in self.pools if window < size]
            number = state.filters if state.kind == "fc" else 0
            if size <= self.fc_size and number < self.fc_layers:
                found += [f"fc_{n}" for n in self.units if state.kind != "fc" or n <= state.units]
        if self.gap and state.kind in ("conv", "pool"):
            found.append(GAP)
        return [*found, SOFTMAX]

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> ChainNetwork:
        """The network for this task."""
        from nascore_metaqnn.network import ChainNetwork

        _side(task)
        return ChainNetwork(
            self.structure(architecture), task.shape, task.classes, batch_norm=self.batch_norm, dropout=self.dropout
        )


def decision_name(state: State) -> str:
    """Name of the decision that is made here; states with one name have the same options."""
    if state.kind == "start":
        return "layer.0"
    if state.kind == "fc":
        return f"layer.{state.depth}.fc{state.filters}.{state.units}"
    return f"layer.{state.depth}.{state.kind}.{state.representation}"


def _pool(text: str) -> tuple[int, int]:
    window, _, stride = str(text).partition("_")
    if not (window.isdigit() and stride.isdigit() and int(window) >= 2 and int(stride) >= 1):
        raise SettingsError(f"pools has {text!r}; write window and stride, such as '3_2'; window >= 2, stride >= 1.")
    return int(window), int(stride)


def _side(task: Task) -> int:
    if len(task.shape) != 3:
        raise SpaceError(f"A chain reads images of shape (channels, height, width); {task.name!r} has {task.shape}.")
    return min(task.shape[1:])
