"""Every adapter passes the kit, and restarts at many points, with one and two objectives."""

import pytest

from nascore.testing import SamplerConformance, ToySpace, drive
from nascore.testing.driver import described, troubled
from nascore.testing.samplers import ACCURACY, LATENCY
from nascore.testing.toys import TASK
from nascore_optuna.samplers import GP, NSGAII, NSGAIII, QMC, TPE, BruteForce, Random


class TestTPE(SamplerConformance):
    def make(self):
        return TPE(n_startup_trials=5)


class TestIndependentTPE(SamplerConformance):
    def make(self):
        return TPE(n_startup_trials=5, multivariate=False, constant_liar=True)


class TestRandom(SamplerConformance):
    def make(self):
        return Random()


class TestNSGAII(SamplerConformance):
    def make(self):
        return NSGAII(population_size=6)


class TestNSGAIII(SamplerConformance):
    def make(self):
        return NSGAIII(population_size=6)


class TestSobol(SamplerConformance):
    def make(self):
        return QMC()


class TestHalton(SamplerConformance):
    def make(self):
        return QMC(sequence="halton")


class TestBruteForce(SamplerConformance):
    def make(self):
        return BruteForce()


@pytest.mark.slow
class TestGP(SamplerConformance):
    trials = 10
    trials = 10
    restarts = (1, 8)

    def make(self):
        return GP(n_startup_trials=6)


MAKERS = {
    "tpe": TestTPE().make,
    "nsgaii": TestNSGAII().make,
    "nsgaiii": TestNSGAIII().make,
    "sobol": TestSobol().make,
    "bruteforce": TestBruteForce().make,
    "random": TestRandom().make,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_restored_runs_with_two_objectives_go_on_exactly(name, seed):
    space = ToySpace()
    space.setup(TASK)
    settings = {"trials": 45, "seed": seed, "judge": troubled}
    whole = drive(MAKERS[name], space, [ACCURACY, LATENCY], **settings)
    broken = drive(MAKERS[name], space, [ACCURACY, LATENCY], restarts=range(1, 45, 4), **settings)
    assert [described(trial) for trial in whole] == [described(trial) for trial in broken]
