"""The bidirectional tree-LSTM and the three actors of Cai et al. 2018b, section 3.3 (tree-LSTM: arXiv:1503.00075)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.morphs.episodes import Policy
from nascore_pathlevel.space import BRANCHES
from nascore_pathlevel.tree import KERNELS, MERGES, MIXING, Edge, channels_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nascore.records import Architecture
    from nascore_blocks.morphs.episodes import Episode
    from nascore_pathlevel.space import TreeSpace

KINDS = (*KERNELS, *MERGES, "seq")
Path = tuple[int, ...]
State = tuple[Tensor, Tensor]


class TreeLSTM(nn.Module):
    """Reads a tree from its leaves up, and from its root down.

    Up, a node reads its kind and the summed h of the edges below, with a forget gate for each of them (child-sum).
    Down, it reads its kind, its own h of the way up and the state of the edge above.
    """

    def __init__(self, hidden: int, embedding: int) -> None:
        """
        Args:
            hidden: units in each direction.
            embedding: units of a kind of edge.
        """
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Embedding(len(KINDS), embedding)
        self.gates = nn.Linear(embedding + hidden, 3 * hidden)
        self.forget = nn.Linear(embedding + hidden, hidden)
        self.down = nn.LSTMCell(embedding + hidden, hidden)

    def forward(self, tree: Edge) -> dict[Path, Tensor]:
        """Path -> state of the edge, (2 hidden,): up, then down."""
        up: dict[Path, State] = {}
        self._up(tree, (), up)
        states: dict[Path, Tensor] = {}
        zero = torch.zeros(self.hidden)
        self._down(tree, (), up, (zero, zero), states)
        return states

    def _word(self, edge: Edge) -> Tensor:
        word: Tensor = self.embed(torch.tensor(KINDS.index(edge.kind)))
        return word

    def _up(self, edge: Edge, path: Path, found: dict[Path, State]) -> State:
        word = self._word(edge)
        below = [self._up(one, (*path, number), found) for number, one in enumerate(edge.below)]
        total = torch.stack([h for h, _ in below]).sum(0) if below else torch.zeros(self.hidden)
        i, o, u = self.gates(torch.cat([word, total])).chunk(3)
        c = torch.sigmoid(i) * torch.tanh(u)
        for h, memory in below:
            c = c + torch.sigmoid(self.forget(torch.cat([word, h]))) * memory
        found[path] = (torch.sigmoid(o) * torch.tanh(c), c)
        return found[path]

    def _down(self, edge: Edge, path: Path, up: dict[Path, State], above: State, found: dict[Path, Tensor]) -> None:
        own = up[path][0]
        state: State = self.down(torch.cat([self._word(edge), own]), above)
        found[path] = torch.cat([own, state[0]])
        for number, one in enumerate(edge.below):
            self._down(one, (*path, number), up, state, found)


class Controller(Policy):
    """Transforms each cell, depth first.

    At an identity the third actor says which op takes its place. At an op, or an identity that stays, the first one
    says whether it becomes branches, how many and how merged. At an op that stays the second one says whether an
    identity comes behind it. Only what keeps the function and the limits of the space is offered.
    """

    def __init__(self, space: TreeSpace, hidden: int, embedding: int, cells: int) -> None:
        """
        Args:
            space: whose trees are transformed.
            hidden: units of the tree-LSTM in each direction.
            embedding: units of a kind of edge.
            cells: how many cells an episode transforms, drawn uniformly; 0: all.
        """
        super().__init__()
        self.space, self.count = space, cells
        self.ops = ("identity", *(op for op in space.ops if op in MIXING))
        self.read = TreeLSTM(hidden, embedding)
        self.branch = nn.Linear(2 * hidden, 1 + len(BRANCHES))
        self.insert = nn.Linear(2 * hidden, 1)
        self.replace = nn.Linear(2 * hidden, len(self.ops))
        self._known: dict[Edge, dict[Path, Tensor]] = {}  # what was read in this episode

    def transform(self, architecture: Architecture, episode: Episode) -> Architecture:
        """Transform the cells, as the episode answers."""
        self._known = {}
        trees = list(self.space.structure(architecture))
        cells = list(range(len(trees)))
        if self.count:
            open_cells = cells
            cells = []
            for _ in range(min(self.count, len(trees))):
                cells.append(open_cells[episode.choose(torch.zeros(len(open_cells)))])
                open_cells = [cell for cell in open_cells if cell not in cells]
        for cell in sorted(cells):
            width = self.space.widths()[cell]
            trees[cell] = self._expanded(trees[cell], (), width, width, episode)
        return self.space.of_trees(trees)

    def _expanded(self, tree: Edge, path: Path, inputs: int, outputs: int, episode: Episode) -> Edge:
        """The tree, with the edge at ``path`` and all below transformed."""
        edge = tree.at(path)
        if edge.leaf:
            tree = self._at_leaf(tree, path, inputs, outputs, episode)
            edge = tree.at(path)
        if not edge.leaf:
            for number, (a, b) in enumerate(channels_below(edge, inputs, outputs)):
                tree = self._expanded(tree, (*path, number), a, b, episode)
        return tree

    def _at_leaf(self, tree: Edge, path: Path, inputs: int, outputs: int, episode: Episode) -> Edge:
        op = tree.at(path).kind
        options = self.space.options(inputs, outputs, self.space.max_depth - len(path))
        if op == "identity":
            allowed = [number for number, name in enumerate(self.ops) if name in options]
            chosen = self.ops[allowed[episode.choose(self._ask(self.replace, tree, path)[allowed])]]
            if chosen != op:
                return tree.put(path, Edge(chosen))
        allowed = [number for number, name in enumerate(("", *BRANCHES)) if _fits(name, op, options)]
        if len(allowed) > 1:
            chosen = ("", *BRANCHES)[allowed[episode.choose(self._ask(self.branch, tree, path)[allowed])]]
            if chosen:
                return tree.put(path, Edge(chosen[:-1], (Edge(op),) * int(chosen[-1])))
        insertable = op != "identity" and "seq" in options and "identity" in self.space.every
        if insertable and episode.bit(self._ask(self.insert, tree, path)[0]):
            return tree.put(path, Edge("seq", (Edge(op), Edge("identity"))))
        return tree

    def _ask(self, actor: nn.Module, tree: Edge, path: Path) -> Tensor:
        if tree not in self._known:
            self._known[tree] = self.read(tree)
        logits: Tensor = actor(self._known[tree][path])
        return logits


def _fits(name: str, op: str, options: Sequence[str]) -> bool:
    """Do branches of this kind keep the function of ``op``?"""
    if not name:
        return True
    cut = name.startswith("concat") if op in MIXING else name.startswith("split")
    return name in options and (name.startswith("add") or cut)
