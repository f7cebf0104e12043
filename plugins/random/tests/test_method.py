import pytest

from nascore.plugins import Plugins
from nascore.testing import MethodConformance


class TestRandom(MethodConformance):
    name = "random"

    def test_it_costs_what_amoebanet_costs(self):
        if "amoebanet" not in Plugins().names:
            pytest.skip("nascore-amoebanet is not installed")
        other = Plugins().find("methods", "amoebanet")[1]
        for preset in ("quick", "paper"):
            mine, theirs = self.method.presets[preset], other.presets[preset]
            assert mine == {key: value for key, value in theirs.items() if not key.startswith("sampler.")}
