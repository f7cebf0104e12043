"""The layer-wise space of Zoph and Le 2017 (arXiv:1611.01578, section 3): convolutions in a row, with skips."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError
from nascore_blocks.canonical import canonical_nodes
from nascore_blocks.cellspace import MOST_PARTS, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Json

Size = tuple[int, int]
"""Height and width of a map, in pixels."""


class Layer(NamedTuple):
    """One convolution.

    Attributes:
        height, width: of its filter, odd.
        filters: channels that go out.
        stride: in both directions.
        inputs: the earlier layers it reads, ascending; none: it reads the image.
    """

    height: int
    width: int
    filters: int
    stride: int
    inputs: tuple[int, ...]


class LayerwiseSpace(DecisionSpace):
    """L layers, each a convolution with BN and ReLU, and a bit for every pair of layers.

    Layer i is made by ``layer.i.height``, ``layer.i.width``, ``layer.i.filters``, ``layer.i.stride`` (where there
    is more than one stride) and, for each earlier layer j, ``skip.i.j`` (true or false): does it read layer j?
    The paper's rules make every set of bits a network:

    1. a layer that reads no layer reads the image;
    2. layers that no layer reads are concatenated before the classifier;
    3. several inputs are concatenated along the channels;
    4. of unequal height or width, they are padded with zeros to the largest (below and to the right).

    Padding keeps every pixel, so a stride leaves ``ceil(size / stride)`` pixels, never less than one; a stride
    on a map that is smaller than it acts as one of the map's own size, and the key of an architecture knows that.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})

    def __init__(
        self,
        layers: int = 6,
        heights: Sequence[int] = (1, 3, 5, 7),
        widths: Sequence[int] = (1, 3, 5, 7),
        filters: Sequence[int] = (24, 36, 48, 64),
        strides: Sequence[int] = (1,),
    ) -> None:
        """
        Args:
            layers: L.
            heights: of a filter, to choose from, odd.
            widths: of a filter, to choose from, odd.
            filters: numbers of them to choose from.
            strides: to choose from; (1, 2, 3) in the paper's search with strides.

        Raises:
            SettingsError: a value that is not allowed.
        """
        within("layers", layers, 1, MOST_PARTS)
        given = {"heights": heights, "widths": widths, "filters": filters, "strides": strides}
        for name, values in given.items():
            if not values or min(values) < 1 or len(set(values)) < len(values):
                raise SettingsError(f"{name} is {list(values)}; it needs distinct whole numbers >= 1.")
        for name in ("heights", "widths"):
            if any(value % 2 == 0 for value in given[name]):
                raise SettingsError(f"{name} is {list(given[name])}; a filter is odd, so that it has a middle.")
        self.layers = layers
        self.heights, self.widths = tuple(heights), tuple(widths)
        self.filters, self.strides = tuple(filters), tuple(strides)
        self.size: Size | None = None

    # ---------------------------------------------------------------------- the program

    def setup(self, task: Task) -> None:
        """Remember the size of the images: which strides are the same depends on it."""
        self.size = _size(task)

    def decide(self, choose: Choose) -> tuple[Layer, ...]:
        """Layer by layer: filter, stride, then which earlier layers it reads."""
        made = []
        for i in range(self.layers):
            height, width = choose(f"layer.{i}.height", self.heights), choose(f"layer.{i}.width", self.widths)
            filters = choose(f"layer.{i}.filters", self.filters)
            stride = choose(f"layer.{i}.stride", self.strides) if len(self.strides) > 1 else self.strides[0]
            # Every bit is asked, whatever the others are: their order is the controller's.
            bits = [choose(f"skip.{i}.{j}", (False, True)) for j in range(i)]
            made.append(Layer(height, width, filters, stride, tuple(j for j, bit in enumerate(bits) if bit)))
        return tuple(made)

    def group(self, name: str) -> str:
        """``height``, ``width``, ``filters``, ``stride`` or ``skip``."""
        return "skip" if name.startswith("skip.") else name.rpartition(".")[2]

    def canonical(self, genome: Json) -> Json:
        """The layers in an order that all numberings of one network share, with the strides that act."""
        layers = self._layers(genome)
        if self.size is not None:
            before = maps_before(layers, self.size)
            layers = tuple(
                layer._replace(stride=min(layer.stride, max(size))) for layer, size in zip(layers, before, strict=True)
            )
        nodes = [
            [(0, f"{layer.height}x{layer.width}_{layer.filters}_{layer.stride}"), *((j + 2, "") for j in layer.inputs)]
            for layer in layers
        ]
        return [[[given, what] for given, what in node] for node in canonical_nodes(nodes)]

    # ---------------------------------------------------------------------- the network

    def build(self, architecture: Architecture, task: Task) -> LayerwiseNetwork:
        """The network for this task."""
        return LayerwiseNetwork(self.structure(architecture), task.shape, task.classes)

    def _layers(self, genome: Json) -> tuple[Layer, ...]:
        answers: dict[str, Json] = genome  # type: ignore[assignment]  # a checked genome
        return self.decide(lambda name, _: answers[name])


# ------------------------------------------------------------------------------------ the network


def loose_layers(layers: Sequence[Layer]) -> tuple[int, ...]:
    """The layers that no layer reads, ascending; the last one is among them."""
    read = {j for layer in layers for j in layer.inputs}
    return tuple(i for i in range(len(layers)) if i not in read)


def maps_before(layers: Sequence[Layer], image: Size) -> list[Size]:
    """Size of what each layer reads: the largest of its inputs."""
    before: list[Size] = []
    after: list[Size] = []
    for layer in layers:
        height, width = _largest([after[j] for j in layer.inputs] or [image])
        before.append((height, width))
        after.append((-(-height // layer.stride), -(-width // layer.stride)))
    return before


class LayerwiseNetwork(nn.Module):
    """The layers, then the loose ends together, global average pooling, and a linear classifier.

    A layer with ``c`` channels coming in has height x width x c x filters + 2 x filters parameters.
    ``forward`` is symbolically traceable: sizes are known when it is built.
    """

    def __init__(self, layers: Sequence[Layer], shape: Sequence[int], classes: int) -> None:
        """
        Args:
            layers: the architecture.
            shape: of one input: (channels, height, width).
            classes: number of logits.

        Raises:
            SpaceError: the inputs are no images.
        """
        super().__init__()
        if len(shape) != 3:
            raise SpaceError(f"A layer-wise network reads images of shape (channels, height, width); got {shape}.")
        image = (shape[1], shape[2])
        self.inputs = tuple(layer.inputs for layer in layers)
        self.loose = loose_layers(layers)
        self.before = maps_before(layers, image)
        self.after = [
            (-(-size[0] // layer.stride), -(-size[1] // layer.stride))
            for layer, size in zip(layers, self.before, strict=True)
        ]
        self.layers = nn.ModuleList()
        for layer in layers:
            channels = sum(layers[j].filters for j in layer.inputs) or shape[0]
            self.layers.append(_conv_bn_relu(channels, layer))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(sum(layers[i].filters for i in self.loose), classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        outputs: list[Tensor] = []
        for module, inputs in zip(self.layers, self.inputs, strict=True):
            outputs.append(module(self._joined(outputs, inputs) if inputs else x))
        logits: Tensor = self.classifier(self.flatten(self.pool(self._joined(outputs, self.loose))))
        return logits

    def _joined(self, outputs: Sequence[Tensor], which: Sequence[int]) -> Tensor:
        """Some outputs side by side, each padded to the largest."""
        height, width = _largest([self.after[i] for i in which])
        padded = [
            outputs[i] if self.after[i] == (height, width)
            else F.pad(outputs[i], (0, width - self.after[i][1], 0, height - self.after[i][0]))
            for i in which
        ]  # fmt: skip
        return padded[0] if len(padded) == 1 else torch.cat(padded, dim=1)


def _conv_bn_relu(channels: int, layer: Layer) -> nn.Sequential:
    kernel, padding = (layer.height, layer.width), (layer.height // 2, layer.width // 2)
    convolution = nn.Conv2d(channels, layer.filters, kernel, layer.stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(layer.filters), nn.ReLU())


def _largest(sizes: Sequence[Size]) -> Size:
    """The least size that holds all of them."""
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def _size(task: Task) -> Size:
    if len(task.shape) != 3:
        raise SpaceError(
            f"A layer-wise network reads images of shape (channels, height, width); {task.name!r} has {task.shape}."
        )
    return task.shape[1], task.shape[2]
