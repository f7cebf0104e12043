from nascore.testing import SamplerConformance
from nascore_blocks.hierarchical import HierarchicalSpace
from nascore_hnas.sampler import TournamentEvolution


class TestOnAnySpace(SamplerConformance):
    def make(self):
        return TournamentEvolution(population_size=8, tournament_share=0.3)


class TestOnMotifs(SamplerConformance):
    def make(self):
        return TournamentEvolution(population_size=5, mutations=20)

    def space(self):
        space = HierarchicalSpace()
        space.name = "blocks:hierarchical"
        return space


class TestTheRandomVariant(SamplerConformance):
    def make(self):
        return TournamentEvolution(variant="random")
