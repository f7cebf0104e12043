"""The method's record fits its parts, and what the pruner sees of an architecture."""

import math

import pytest

import nascore
from nascore.errors import CapabilityError, SettingsError
from nascore.parts import Workshop
from nascore.pruning import make_pruner
from nascore.records import Candidate, Measurement, Metric, Status
from nascore.testing import MethodConformance, ToySpace
from nascore.testing.toys import TASK
from nascore_curves.architecture import Describer, as_matrix
from nascore_curves.pruner import Predict


class TestCurves(MethodConformance):
    name = "curves"

    def test_trials_are_left_when_the_pruner_begins(self):
        for preset in self.method.presets.values():
            assert preset["trials"] > preset.get("pruner.burn_in", 15)


def test_the_pruner_is_found_by_its_address_and_by_its_name():
    for use in ("curves:predict", "predict"):
        pruner = make_pruner({"use": use, "delta": 0.5})
        assert isinstance(pruner, Predict)
        assert pruner.delta == 0.5
    assert Workshop().settings("random", "", [{"pruner": "predict"}]).pruner == {"use": "curves:predict"}


def test_it_needs_an_evaluator_with_curves(tmp_path):
    class NoCurve(nascore.Evaluator):
        objectives = {"accuracy": Metric("", nascore.Direction.MAXIMIZE)}

        def evaluate(self, candidate, context):
            return Measurement.complete(accuracy=0.5)

    options = {"pruner.use": "curves:predict"}
    with pytest.raises(CapabilityError, match="the pruner 'curves:predict' requires 'curve'"):
        nascore.search("random", space=ToySpace(), evaluator=NoCurve(), options=options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_wrong_option_is_told_before_there_is_a_run(tmp_path):
    options = {"pruner.use": "curves:predict", "pruner.delt": 0.9}
    with pytest.raises(SettingsError, match=r"pruner\.delt is no option of Predict; did you mean 'delta'"):
        nascore.search("random", options=options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def candidate(space, fidelity=(), **answers):
    defaults = {"depth": 2, "width": 8, "op.0": "conv", "op.1": "identity", "kernel.0": 3}
    return Candidate(space.sample(lambda name, _: {**defaults, **answers}[name]), dict(fidelity))


def test_what_is_known_of_an_architecture():
    space = ToySpace()
    space.setup(TASK)
    found = Describer(space, TASK)(candidate(space, {"data_fraction": 0.5}))
    params = 3 * 8 + 8 + 8 * 8 * 9 + 8 + 8 * 4 + 4  # the 1x1 in front, one 3x3 convolution, the linear end
    assert found["params"] == pytest.approx(math.log1p(params))
    assert found["macs"] == pytest.approx(math.log1p(64 * (3 * 8 + 8 * 8 * 9) + 8 * 4))
    assert (found["depth"], found["width"], found["kernel.0"]) == (2.0, 8.0, 3.0)
    assert found["op.1 = identity"] == 1.0
    assert "op.0 = identity" not in found
    assert found["share of  = conv"] == pytest.approx(1 / 5)
    assert found["fidelity data_fraction"] == 0.5


def test_without_a_task_the_decisions_are_left_and_without_a_space_nothing():
    space = ToySpace()
    one = candidate(space)
    assert "params" not in Describer(space, None)(one)
    assert "depth" in Describer(space, None)(one)
    assert Describer(None, TASK)(one) == {}
    assert Describer(space, TASK)(None) == {}


def test_an_unknown_name_is_left_out_and_a_missing_one_is_zero():
    assert as_matrix([{"a": 1.0, "new": 5.0}, {}], ("a", "b")).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert as_matrix([{}], ()).shape == (1, 0)


@pytest.mark.slow
def test_the_quick_preset_stops_trials_on_digits(tmp_path):
    options = {"pruner.burn_in": 6, "pruner.delta": 0.05, "pruner.settings": 2, "evaluator.epochs": 4}
    options["evaluator.data_fraction"] = 0.3
    result = nascore.search("curves", trials=8, options=options, tracking="off", out=tmp_path / "run")
    pruned = [trial for trial in result.history if trial.status is Status.PRUNED]
    assert pruned
    assert all(len(trial.reports) < 4 for trial in pruned)
    assert all(0 < trial.metrics["predicted"] < 1.1 for trial in pruned)
