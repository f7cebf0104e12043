from nascore.testing import SamplerConformance
from nascore_blocks.spaces import DARTSSpace
from nascore_snas.sampler import SNAS


class TestSNAS(SamplerConformance):
    trials = 6
    of_evaluator = frozenset({"shared_weights"})
    restarts = (1, 4)

    def make(self):
        return SNAS()

    def space(self):
        return DARTSSpace(blocks=2)
