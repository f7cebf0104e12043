from nascore.testing import ResumeConformance, ToyData, ToyEvaluator
from nascore_pnas.sampler import Progressive
from nascore_pnas.space import PNASSpace


class TestResume(ResumeConformance):
    trials = 18
    stops = (3, 12, 15)

    def make(self):
        return {
            "space": PNASSpace(blocks=3, ops=("skip_connect", "conv_3x3"), channels=2),
            "sampler": Progressive(beam=4, hidden=8, embedding=4, epochs=8),
            "evaluator": ToyEvaluator(),
            "data": ToyData(),
        }
