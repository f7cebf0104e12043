from nascore.testing import SamplerConformance, SearchSpaceConformance
from nascore_nasnet.sampler import NASNet
from nascore_nasnet.space import NASNetCells


class TestNASNetCells(SearchSpaceConformance):
    def make(self):
        return NASNetCells(blocks=3, channels=2, combine=("add", "concat"))


class TestAddOnly(SearchSpaceConformance):
    samples = 10

    def make(self):
        return NASNetCells(blocks=2, channels=2)


class TestController(SamplerConformance):
    """On the kit's space, where some decisions come only after others."""

    def make(self):
        return NASNet(hidden=8, batch=4, epochs=2, learning_rate=0.05)


class TestControllerOnCells(SamplerConformance):
    trials = 20
    restarts = (1, 5, 13)

    def make(self):
        return NASNet(hidden=8, batch=3, epochs=2, learning_rate=0.05)

    def space(self):
        return NASNetCells(blocks=2, channels=2)
