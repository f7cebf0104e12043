from nascore.testing import MethodConformance


class TestProxylessNAS(MethodConformance):
    name = "proxylessnas"

    def test_each_round_after_the_warm_up_is_a_trial(self):
        for settings in self.method.presets.values():
            assert settings["trials"] == settings["evaluator.rounds"] - settings["sampler.warm_up"]
