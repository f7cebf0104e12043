from nascore.testing import SamplerConformance
from nascore_blocks.layerwise import LayerwiseSpace
from nascore_nas.sampler import NAS


class TestRecurrent(SamplerConformance):
    """On the kit's space, where some decisions come only after others."""

    def make(self):
        return NAS(hidden=8, batch=4, learning_rate=0.05)


class TestFactorised(SamplerConformance):
    def make(self):
        return NAS(controller="factorised", batch=4, entropy_weight=0.01, redraws=3)


class TestRecurrentOnSkips(SamplerConformance):
    trials = 20
    restarts = (1, 5, 13)

    def make(self):
        return NAS(hidden=8, layers=1, batch=3, learning_rate=0.05)

    def space(self):
        return LayerwiseSpace(layers=3, filters=(2, 4))
