from nascore.testing import SamplerConformance
from nascore_blocks.macro import MacroSpace
from nascore_blocks.spaces import NASNetSpace
from nascore_enas.sampler import ENAS


class TestENAS(SamplerConformance):
    """Without rounds of training, each proposal is a draw of the controller as it began."""

    trials = 12
    of_evaluator = frozenset({"shared_weights"})
    restarts = (1, 5)

    def make(self):
        return ENAS(hidden=8)

    def space(self):
        return NASNetSpace(blocks=2, channels=2)


class TestENASMacro(TestENAS):
    def space(self):
        return MacroSpace(layers=4, channels=2)
