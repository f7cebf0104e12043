"""Transformations that change a network and keep the function that it computes.

Net2Wider and Net2Deeper (Chen et al. 2016, arXiv:1511.05641) and the path-level transformations of Cai et al. 2018
(arXiv:1806.02639), on networks that are given as a :class:`~nascore_blocks.morphs.graph.Graph` and its weights.
Each takes a :class:`~nascore_blocks.morphs.graph.Net` and gives a new one; the old one is never written to, and what
cannot be done is refused with :class:`~nascore_blocks.morphs.graph.MorphError` before anything is made.
"""

from nascore_blocks.morphs.deeper import net2deeper, replace_identity
from nascore_blocks.morphs.graph import Graph, GraphNetwork, MorphError, Net, Node
from nascore_blocks.morphs.paths import insert_identity, replicate_add, replicate_concat, split_concat
from nascore_blocks.morphs.wider import net2wider

__all__ = [
    "Graph",
    "GraphNetwork",
    "MorphError",
    "Net",
    "Node",
    "insert_identity",
    "net2deeper",
    "net2wider",
    "replace_identity",
    "replicate_add",
    "replicate_concat",
    "split_concat",
]
