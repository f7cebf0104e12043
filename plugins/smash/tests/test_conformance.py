"""The kit, on each part."""

from nascore.seeding import isolated_random
from nascore.testing import EvaluatorConformance, MemoryContext, SamplerConformance, SearchSpaceConformance
from nascore_smash.evaluator import HyperWeights
from nascore_smash.sampler import Perturb
from nascore_smash.space import BankSpace


def small():
    space = BankSpace(2, 3, 4, 4, widths=(1, 2), kernels=(1, 3), dilations=(1, 2), groups=(1, 2))
    space.name = "smash:banks"
    return space


class TestSpace(SearchSpaceConformance):
    def make(self):
        return small()


class TestSampler(SamplerConformance):
    def make(self):
        return Perturb(random=5, perturbations=5)


class TestSamplerOnBanks(SamplerConformance):
    def make(self):
        return Perturb(random=5, perturbations=5)

    def space(self):
        return small()


class TestEvaluator(EvaluatorConformance):
    def make(self):
        return HyperWeights(rounds=1, steps=2, batch_size=8, growth=4, layers=(1,))

    def space(self):
        return small()

    def _evaluator(self):
        evaluator = super()._evaluator()
        with isolated_random(0):
            evaluator.prepare(Perturb(), MemoryContext(self.data(), seed=0))
        return evaluator
