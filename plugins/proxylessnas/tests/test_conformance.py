from nascore.testing import SamplerConformance
from nascore_blocks.spaces import DARTSSpace
from nascore_proxylessnas.sampler import ProxylessNAS


class TestTwoPaths(SamplerConformance):
    trials = 6
    of_evaluator = frozenset({"shared_weights"})
    restarts = (1, 4)

    def make(self):
        return ProxylessNAS()

    def space(self):
        return DARTSSpace(blocks=2)


class TestReinforce(TestTwoPaths):
    def make(self):
        return ProxylessNAS(variant="reinforce")
