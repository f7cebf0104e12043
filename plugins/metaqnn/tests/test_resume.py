from nascore.testing import ResumeConformance, ToyData, ToyEvaluator, ToySpace
from nascore_metaqnn.sampler import MetaQNN


class TestResume(ResumeConformance):
    trials = 18
    stops = (6, 13)

    def make(self):
        sampler = MetaQNN(learning_rate=0.2, replays=16)
        return {"space": ToySpace(), "sampler": sampler, "evaluator": ToyEvaluator(), "data": ToyData()}
