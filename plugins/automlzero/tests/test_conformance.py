from nascore.testing import EvaluatorConformance, SamplerConformance, SearchSpaceConformance
from nascore_automlzero.evaluator import ProgramTasks
from nascore_automlzero.islands import ProgramIslands
from nascore_automlzero.rounds import ProgramRounds
from nascore_automlzero.sampler import ProgramEvolution
from nascore_automlzero.space import ProgramSpace
from nascore_automlzero.tasks import ClassPairs, Regression


def named(**options):
    space = ProgramSpace(**options)
    space.name = "automlzero:programs"
    return space


class TestSpace(SearchSpaceConformance):
    def make(self):
        return ProgramSpace()


class TestSpaceOfFewOps(SearchSpaceConformance):
    def make(self):
        return ProgramSpace(setup=2, predict=1, learn=4, ops="linear", start="full")


class TestSampler(SamplerConformance):
    def make(self):
        return ProgramEvolution(population_size=8, tournament_size=3)

    def space(self):
        return named()


class TestFromEmptyPrograms(SamplerConformance):
    def make(self):
        return ProgramEvolution(population_size=5, tournament_size=2, start="empty")

    def space(self):
        return named()


class TestIslands(SamplerConformance):
    of_evaluator = frozenset({"rounds"})
    seed_matters = False  # the evaluator evolves its programs, and it is not here

    def make(self):
        return ProgramIslands(population_size=8, tournament_size=3)

    def space(self):
        return named()


class TestTasks(EvaluatorConformance):
    def make(self):
        return ProgramTasks()

    def space(self):
        return named()

    def data(self):
        return Regression(tasks=2, examples=20, others=20).load(0)


class TestTasksWithACache(TestTasks):
    def make(self):
        return ProgramTasks(cache_size=10)

    def data(self):
        return ClassPairs(tasks=2).load(0)


class TestRounds(TestTasks):
    def make(self):
        return ProgramRounds()
