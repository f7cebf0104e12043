"""Plain convolutional networks as strings of layers (Cai et al. 2018a): ``conv-16-3 pool conv-32-3 pool fc-64``."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from nascore.decisions import DecisionSpace
from nascore.errors import SettingsError, SpaceError
from nascore_blocks.cellspace import MOST_PARTS, within
from nascore_blocks.morphs import Graph, GraphNetwork, MorphError, Net, Node, net2deeper, net2wider

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nascore.contracts import Choose, Task
    from nascore.records import Architecture, Option


class Layer(NamedTuple):
    """A convolution, or a fully connected layer (kernel 0)."""

    width: int
    kernel: int

    def __str__(self) -> str:
        return f"conv-{self.width}-{self.kernel}" if self.kernel else f"fc-{self.width}"


Chain = tuple[tuple[Layer, ...], ...]
"""Blocks of convolutions, a pool behind each; then the block of fully connected layers."""

_CONV, _FC = re.compile(r"conv-(\d+)-(\d+)"), re.compile(r"fc-(\d+)")


def tokens_of(chain: Chain) -> tuple[str, ...]:
    """The string of a chain."""
    found: list[str] = []
    for block in chain[:-1]:
        found += [*map(str, block), "pool"]
    return (*found, *map(str, chain[-1]))


def chain_of(tokens: Sequence[str]) -> Chain:
    """The chain of a string.

    Raises:
        SettingsError: an unknown token, an order that is no chain.
    """
    blocks: list[list[Layer]] = [[]]
    for token in tokens:
        conv, fc = _CONV.fullmatch(token), _FC.fullmatch(token)
        convolutions = all(layer.kernel for layer in blocks[-1])
        if token == "pool" and blocks[-1] and convolutions:
            blocks.append([])
        elif conv and convolutions:
            blocks[-1].append(Layer(int(conv[1]), int(conv[2])))
        elif fc and len(blocks) > 1 and not (blocks[-1] and convolutions):
            blocks[-1].append(Layer(int(fc[1]), 0))
        else:
            raise SettingsError(
                f"{' '.join(tokens)!r} is no chain at {token!r}: blocks of conv-FILTERS-KERNEL, a pool after each, "
                "then fc-UNITS, such as 'conv-4-3 pool conv-4-3 pool fc-8'."
            )
    if len(blocks) < 2 or not blocks[-1] or blocks[-1][0].kernel:
        raise SettingsError(f"{' '.join(tokens)!r} is no chain: it ends with a pool and at least one fc-UNITS.")
    return tuple(tuple(block) for block in blocks)


class ChainSpace(DecisionSpace):
    """Blocks of convolutions with a 2x2 max pool behind each, then fully connected layers and the classifier.

    Each convolution has batch norm and ReLU, each fully connected layer a ReLU. A search by transformation begins at
    ``start`` and widens a layer to the next width of the list, or puts a layer behind another. The decisions are
    ``block.I.depth`` and ``block.I.J.filters``, ``.kernel``; ``fc.depth`` and ``fc.J.units``.

    Args:
        start: the first network, as a string; it has as many blocks as all others.
        widths: of a convolution, in channels, ascending.
        kernels: of a convolution, odd.
        units: of a fully connected layer, ascending.
        max_depth: convolutions of a block at most, >= 1.
        max_fc: fully connected layers at most, >= 1.
        wider_noise: of copied channels, in standard deviations of their layer's weights; 0 keeps the function
            exactly, but two equal channels then get equal gradients.
        deeper_noise: of the weights of a new layer, in their standard deviations.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"images"})
    provides: ClassVar[frozenset[str]] = DecisionSpace.provides | {"morphs", "layer_string"}

    def __init__(
        self,
        start: str = "conv-4-3 pool conv-4-3 pool fc-8",
        widths: Sequence[int] = (4, 8, 12, 16),
        kernels: Sequence[int] = (1, 3, 5),
        units: Sequence[int] = (8, 16, 24, 32),
        max_depth: int = 4,
        max_fc: int = 2,
        wider_noise: float = 1e-2,
        deeper_noise: float = 1e-3,
    ) -> None:
        for name, values in (("widths", widths), ("kernels", kernels), ("units", units)):
            if not values or min(values) < 1 or list(values) != sorted(set(values)):
                raise SettingsError(f"{name} is {list(values)}; it needs whole numbers >= 1, ascending.")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise SettingsError(f"kernels is {list(kernels)}; a kernel is odd, so that it has a middle.")
        within("max_depth", max_depth, 1, MOST_PARTS)
        within("max_fc", max_fc, 1, MOST_PARTS)
        for name, noise in (("wider_noise", wider_noise), ("deeper_noise", deeper_noise)):
            if not 0 <= noise < 1:
                raise SettingsError(f"{name} is {noise}; it must be in [0, 1).")
        self.widths, self.kernels, self.units = tuple(widths), tuple(kernels), tuple(units)
        self.max_depth, self.max_fc = max_depth, max_fc
        self.wider_noise, self.deeper_noise = wider_noise, deeper_noise
        self.first = chain_of(start.split())
        self.blocks = len(self.first) - 1
        try:
            self.of_chain(self.first)
        except SpaceError as error:
            raise SettingsError(f"start is {start!r}, which is not in this space. {error}") from error

    def setup(self, task: Task) -> None:
        """Refuse images that the pools would leave nothing of.

        Raises:
            SpaceError: says how many pools they have room for.
        """
        if len(task.shape) != 3 or min(task.shape[1:]) < 2**self.blocks:
            raise SpaceError(
                f"{self.blocks} pools need images of (channels, height, width) with sides of {2**self.blocks} pixels "
                f"at least; {task.name!r} has {tuple(task.shape)}. Take a start with fewer blocks."
            )

    # ------------------------------------------------------------------ the program

    def decide(self, choose: Choose) -> Chain:
        """Block by block: how many layers, then each."""
        blocks = []
        for i in range(self.blocks):
            depth = choose(f"block.{i}.depth", tuple(range(1, self.max_depth + 1)))
            blocks.append(tuple([self._layer(choose, f"block.{i}.{j}") for j in range(depth)]))
        depth = choose("fc.depth", tuple(range(1, self.max_fc + 1)))
        return (*blocks, tuple([Layer(choose(f"fc.{j}.units", self.units), 0) for j in range(depth)]))

    def _layer(self, choose: Choose, name: str) -> Layer:
        return Layer(choose(f"{name}.filters", self.widths), choose(f"{name}.kernel", self.kernels))

    def group(self, name: str) -> str:
        """``depth``, ``filters``, ``kernel`` or ``units``."""
        return name.rpartition(".")[2]

    def of_chain(self, chain: Chain) -> Architecture:
        """The architecture of a chain.

        Raises:
            SpaceError: it is not in this space.
        """
        answers: dict[str, Option] = {"fc.depth": len(chain[-1])}
        answers |= {f"fc.{j}.units": layer.width for j, layer in enumerate(chain[-1])}
        for i, block in enumerate(chain[:-1]):
            answers[f"block.{i}.depth"] = len(block)
            for j, layer in enumerate(block):
                answers |= {f"block.{i}.{j}.filters": layer.width, f"block.{i}.{j}.kernel": layer.kernel}
        return self.sample(self._answers(dict(answers)))

    def tokens(self, architecture: Architecture) -> tuple[str, ...]:
        """The string of an architecture."""
        return tokens_of(self.structure(architecture))

    # ------------------------------------------------------------------ transformations of the string

    def start(self) -> Architecture:
        """The first network of a search by transformation."""
        return self.of_chain(self.first)

    def next_width(self, layer: Layer) -> int | None:
        """The next width of the list; None for the widest."""
        widths = self.widths if layer.kernel else self.units
        return next((width for width in widths if width > layer.width), None)

    def room(self, chain: Chain, block: int) -> bool:
        """May this block have one more layer?"""
        return len(chain[block]) < (self.max_fc if block == self.blocks else self.max_depth)

    @staticmethod
    def deepened(chain: Chain, block: int, index: int, kernel: int) -> Chain:
        """With a layer as wide as layer ``index`` of a block right behind it; ``kernel`` 0 in the last block."""
        old = chain[block]
        new = (*old[: index + 1], Layer(old[index].width, kernel), *old[index + 1 :])
        return (*chain[:block], new, *chain[block + 1 :])

    # ------------------------------------------------------------------ networks

    def build(self, architecture: Architecture, task: Task) -> GraphNetwork:
        """The network for this task."""
        self.setup(task)
        return GraphNetwork(chain_graph(self.structure(architecture), task.shape, task.classes))

    def morph(
        self, parent: Architecture, child: Architecture, weights: Mapping[str, Tensor], rng: random.Random
    ) -> dict[str, Tensor]:
        """The child's weights: the same function as the parent's, but for the noise.

        Args:
            parent: whose weights they are.
            child: each of the parent's layers is in it, in order, with its kernel and as wide or wider; each other one
                comes behind one of them and is as wide as that was or wider.
            weights: the state of the parent's network.
            rng: draws which channels are copied, and the noise.

        Raises:
            MorphError: the child cannot be made of the parent.
        """
        old, new = self.structure(parent), self.structure(child)
        inherited = [_inherited(a, b) for a, b in zip(old, new, strict=True)]
        if any(found is None for found in inherited):
            raise MorphError(
                f"{' '.join(tokens_of(new))!r} cannot be made of {' '.join(tokens_of(old))!r} by widening layers and "
                "by putting layers behind others."
            )
        shape = _shape_of(weights, old)
        classes = weights["layers.classifier.weight"].shape[0]
        net = Net(chain_graph(old, shape, classes), weights)
        for block, (found, layers) in enumerate(zip(inherited, new, strict=True)):
            net = self._grow(net, block, found or (), layers, rng)
        return {name: value.clone() for name, value in net.renamed(chain_graph(new, shape, classes)).items()}

    def _grow(self, net: Net, block: int, found: Sequence[int], layers: Sequence[Layer], rng: random.Random) -> Net:
        """One block: ``found[k]`` is the place in the child of layer k of the parent. New layers first, then widths."""
        old = {place: number for number, place in enumerate(found)}
        names: list[str] = []
        for place, layer in enumerate(layers):
            if place in old:
                names.append(_name(block, old[place], self.blocks))
            else:
                net = net2deeper(net, f"{names[-1]}_relu", rng, layer.kernel or 1, self.deeper_noise)
                names.append(_newest(net.graph, names[-1]))
        for name, layer in zip(names, layers, strict=True):
            net = net2wider(net, name, layer.width, rng, self.wider_noise)
        return net


def _newest(graph: Graph, before: str) -> str:
    """The layer that reads ``before``'s ReLU."""
    (user,) = graph.users(f"{before}_relu")
    return user.name


def _inherited(old: Sequence[Layer], new: Sequence[Layer]) -> tuple[int, ...] | None:
    """Places in ``new`` of the layers of ``old``; None where ``new`` cannot be made of it."""

    @cache
    def match(i: int, j: int) -> tuple[int, ...] | None:
        """For the layers from i of old and from j of new on."""
        if j == len(new):
            return () if i == len(old) else None
        if i < len(old) and old[i].kernel == new[j].kernel and old[i].width <= new[j].width:
            rest = match(i + 1, j + 1)
            if rest is not None:
                return (j, *rest)
        return match(i, j + 1) if i > 0 and new[j].width >= old[i - 1].width else None

    return match(0, 0)


def _name(block: int, place: int, blocks: int) -> str:
    return f"fc{place}" if block == blocks else f"conv{block}_{place}"


def _shape_of(weights: Mapping[str, Tensor], chain: Chain) -> tuple[int, int, int]:
    """A shape of images that fits the weights: of height times width only the pixels before the first fc are known."""
    channels = weights["layers.conv0_0.weight"].shape[1]
    pixels = weights["layers.fc0.weight"].shape[1] // chain[-2][-1].width
    return channels, pixels * 2 ** (len(chain) - 1), 2 ** (len(chain) - 1)


def chain_graph(chain: Chain, shape: Sequence[int], classes: int) -> Graph:
    """The network of a chain.

    A convolution has k^2 c f + 2 f parameters, a fully connected layer (c + 1) u.

    Args:
        chain: the layers.
        shape: of an image, (channels, height, width).
        classes: number of logits.
    """
    channels, height, width = shape
    nodes, last = [Node("image", "input", channels=channels)], "image"

    def add(name: str, kind: str, channels: int, kernel: int = 1, stride: int = 1) -> None:
        nonlocal last
        nodes.append(Node(name, kind, (last,), channels, kernel, stride, bias=kind == "fc"))
        last = name

    for i, block in enumerate(chain[:-1]):
        for j, layer in enumerate(block):
            name, channels = _name(i, j, len(chain) - 1), layer.width
            add(name, "conv", channels, layer.kernel)
            add(f"{name}_bn", "bn", channels)
            add(f"{name}_relu", "relu", channels)
        add(f"pool{i}", "max_pool", channels, 2, 2)
        height, width = height // 2, width // 2
    add("flatten", "flatten", channels * height * width)
    for j, layer in enumerate(chain[-1]):
        add(f"fc{j}", "fc", layer.width)
        add(f"fc{j}_relu", "relu", layer.width)
    add("classifier", "fc", classes)
    return Graph(tuple(nodes))
