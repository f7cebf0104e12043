from nascore.testing import SamplerConformance
from nascore_amoebanet.sampler import AgingEvolution


class TestAgingEvolution(SamplerConformance):
    def make(self):
        return AgingEvolution(population_size=8, tournament_size=3)


class TestWithReplacement(SamplerConformance):
    def make(self):
        return AgingEvolution(population_size=5, tournament_size=5, replacement=True, identity_probability=0.3)
