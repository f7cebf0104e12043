"""The meta-controller of Cai et al. 2018a, section 3: an encoder of the layer string, and two actors that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nascore_blocks.morphs.episodes import Policy
from nascore_eas.chain import tokens_of

if TYPE_CHECKING:
    from nascore.records import Architecture
    from nascore_blocks.morphs.episodes import Episode
    from nascore_eas.chain import Chain, ChainSpace


class Controller(Policy):
    """A bidirectional LSTM reads the string; the wider and the deeper actor transform it.

    Wider: each layer, by a sigmoid that all share, goes to the next width of the list; layers of the largest width
    are not asked. Deeper: an LSTM that begins at the encoder's last state says the block, the layer of it behind which
    the new one comes (of those that are there), and, of a convolution, its kernel.
    """

    def __init__(self, space: ChainSpace, hidden: int, embedding: int, wider: int, deeper: int) -> None:
        """
        Args:
            space: whose strings it reads.
            hidden: units of the encoder in each direction, and of the decoder.
            embedding: units of a token.
            wider: widening decisions of an episode, each of all layers.
            deeper: deepening decisions of an episode, after them.
        """
        super().__init__()
        self.space, self.wider, self.deeper = space, wider, deeper
        words = [f"conv-{width}-{kernel}" for width in space.widths for kernel in space.kernels]
        words += ["pool", *(f"fc-{units}" for units in space.units)]
        self.words = {word: number for number, word in enumerate(words)}
        self.embed = nn.Embedding(len(words), embedding)
        self.encoder = nn.LSTM(embedding, hidden, bidirectional=True)
        self.widen = nn.Linear(2 * hidden, 1)
        self.begin = nn.ModuleList([nn.Linear(2 * hidden, hidden), nn.Linear(2 * hidden, hidden)])
        self.decoder = nn.LSTMCell(embedding, hidden)
        blocks = space.blocks + 1
        most = max(space.max_depth, space.max_fc)
        self.sizes = (blocks, most, len(space.kernels))
        self.heads = nn.ModuleList([nn.Linear(hidden, size) for size in self.sizes])
        self.first = nn.Parameter(torch.zeros(embedding))
        self.answers = nn.ModuleList([nn.Embedding(size, embedding) for size in self.sizes[:2]])

    def transform(self, architecture: Architecture, episode: Episode) -> Architecture:
        """Widen, then deepen, as the episode answers."""
        chain: Chain = self.space.structure(architecture)
        for _ in range(self.wider):
            chain = self._widened(chain, episode)
        for _ in range(self.deeper):
            chain = self._deepened(chain, episode)
        return self.space.of_chain(chain)

    def encode(self, tokens: tuple[str, ...]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read a string.

        Returns:
            The states, (tokens, 2 hidden), and the last h and c of both directions, (2 hidden,) each.
        """
        numbers = torch.tensor([self.words[token] for token in tokens])
        states, (h, c) = self.encoder(self.embed(numbers))
        return states, (h.reshape(-1), c.reshape(-1))

    def _widened(self, chain: Chain, episode: Episode) -> Chain:
        states, _ = self.encode(tokens_of(chain))
        logits = self.widen(states).squeeze(1)
        blocks, place = [], 0
        for block in chain:
            layers = []
            for layer in block:
                wider = self.space.next_width(layer)
                if wider is not None and episode.bit(logits[place]):
                    layer = layer._replace(width=wider)
                layers.append(layer)
                place += 1
            place += 1  # the pool
            blocks.append(tuple(layers))
        return tuple(blocks)

    def _deepened(self, chain: Chain, episode: Episode) -> Chain:
        rooms = [block for block in range(len(chain)) if self.space.room(chain, block)]
        if not rooms:
            return chain
        _, last = self.encode(tokens_of(chain))
        state = (torch.tanh(self.begin[0](last[0])), self.begin[1](last[1]))
        state = self.decoder(self.first, state)
        block = rooms[episode.choose(self.heads[0](state[0])[rooms])]
        state = self.decoder(self.answers[0].weight[block], state)  # type: ignore[index]  # of an embedding
        index = episode.choose(self.heads[1](state[0])[: len(chain[block])])
        if block == self.space.blocks:
            return self.space.deepened(chain, block, index, 0)
        state = self.decoder(self.answers[1].weight[index], state)  # type: ignore[index]  # of an embedding
        kernel = self.space.kernels[episode.choose(self.heads[2](state[0]))]
        return self.space.deepened(chain, block, index, kernel)
