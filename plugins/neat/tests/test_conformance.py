from nascore.testing import EvaluatorConformance, SamplerConformance, SearchSpaceConformance
from nascore_neat.sampler import NEAT
from nascore_neat.space import NEATSpace
from nascore_neat.xor import TruthTable, XORTable


def named(**options):
    space = NEATSpace(**options)
    space.name = "neat:neurons"
    return space


class TestSpace(SearchSpaceConformance):
    def make(self):
        return NEATSpace()


class TestRecurrentSpace(SearchSpaceConformance):
    def make(self):
        return NEATSpace(recurrent=True, steps=3)


class TestSampler(SamplerConformance):
    def make(self):
        return NEAT(population_size=8, add_node=0.3, add_connection=0.5, elite_size=2)

    def space(self):
        return named()


class TestTruthTable(EvaluatorConformance):
    def make(self):
        return TruthTable()

    def space(self):
        return named()

    def data(self):
        return XORTable().load(0)
