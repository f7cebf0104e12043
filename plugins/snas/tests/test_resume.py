from nascore.testing import ResumeConformance
from nascore_blocks.spaces import DARTSSpace
from nascore_blocks.weight_sharing import SharedWeights
from nascore_snas.sampler import SNAS

OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3")


class TestResume(ResumeConformance):
    trials = 4
    stops = (0, 1, 4, 7)
    settings = {"costs": ["blocks:params"]}

    def make(self):
        return {
            "space": DARTSSpace(blocks=2, ops=OPS, channels=4, cells=1, reductions=1),
            "sampler": SNAS(learning_rate=0.2, last_temperature=0.1, eta=0.1),
            "evaluator": SharedWeights(rounds=4, steps=2, batch_size=16, calibration=1),
            "data": "blocks:digits",
        }

    def check(self, result, parts):
        assert len({trial.value("loss") for trial in result.history}) == 4
