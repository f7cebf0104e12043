from nascore.testing import ResumeConformance, ToyData, ToyEvaluator, ToySpace
from nascore_nasnet.sampler import NASNet


class TestResume(ResumeConformance):
    trials = 18
    stops = (6, 13)

    def make(self):
        sampler = NASNet(hidden=8, batch=4, epochs=2, learning_rate=0.05)
        return {"space": ToySpace(), "sampler": sampler, "evaluator": ToyEvaluator(), "data": ToyData()}
