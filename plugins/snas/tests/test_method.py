from nascore.testing import MethodConformance


class TestSNAS(MethodConformance):
    name = "snas"

    def test_each_round_is_a_trial(self):
        for settings in self.method.presets.values():
            assert settings["trials"] == settings["evaluator.rounds"]
