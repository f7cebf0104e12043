from nascore.testing import ResumeConformance, ToyData, ToyEvaluator, ToySpace
from nascore_nas.sampler import NAS


class TestResume(ResumeConformance):
    trials = 18
    stops = (6, 13)

    def make(self):
        sampler = NAS(hidden=8, batch=4, learning_rate=0.05)
        return {"space": ToySpace(), "sampler": sampler, "evaluator": ToyEvaluator(), "data": ToyData()}
