"""Real training with inherited weights, stopped after a trial's weights are written and before it is told."""

from nascore.testing import ResumeConformance, ToyData
from nascore_blocks.inherit import Inherit
from nascore_eas.chain import ChainSpace
from nascore_eas.sampler import EAS


class TestResume(ResumeConformance):
    trials = 11
    stops = (3, 7)
    settings = {"options": {"keep": "all"}}

    def make(self):
        return {
            "space": ChainSpace(),
            "sampler": EAS(hidden=5, embedding=4, wider=1, deeper=1, batch=3, stage_trials=4, learning_rate=0.05),
            "evaluator": Inherit(epochs=1, batch_size=16),
            "data": ToyData(),
        }

    def check(self, result, parts):
        assert {trial.status.value for trial in result.history} == {"complete"}, [t.reason for t in result.history]
        assert len({trial.candidate.parent for trial in result.history}) >= 3  # none, the start, the best
