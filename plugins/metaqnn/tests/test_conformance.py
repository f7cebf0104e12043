from nascore.testing import SamplerConformance, SearchSpaceConformance
from nascore_metaqnn.sampler import MetaQNN
from nascore_metaqnn.space import ChainSpace


def small():
    return ChainSpace(depth=5, filters=(2, 4), pools=("2_2", "3_2"), units=(16, 8), batch_norm=True)


class TestChains(SearchSpaceConformance):
    def make(self):
        return small()


class TestWithoutBatchNorm(SearchSpaceConformance):
    samples = 10

    def make(self):
        return ChainSpace(depth=8, filters=(2,))


class TestAgent(SamplerConformance):
    """On the kit's space, which has no states of its own."""

    def make(self):
        return MetaQNN(learning_rate=0.2, replays=8)


class TestAgentOnChains(SamplerConformance):
    def make(self):
        return MetaQNN(learning_rate=0.2, replays=8, shaping=True)

    def space(self):
        return small()


class TestPrefixes(SamplerConformance):
    trials = 20

    def make(self):
        return MetaQNN(learning_rate=0.2, replays=8, state="prefix", epsilons=(1.0, 0.3), models=(5, 15))
