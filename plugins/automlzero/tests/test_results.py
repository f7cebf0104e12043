"""What a search leaves: a NumPy file, and its progress with the code at each improvement."""

import numpy as np
import pytest

import nascore
from nascore.errors import SpaceError
from nascore.export import ExportError, export_source
from nascore.records import Candidate, Direction, Objective, Status, Trial
from nascore_automlzero.progress import PICTURE, TEXT, improvements
from nascore_automlzero.running import listing
from nascore_automlzero.space import ProgramSpace
from nascore_automlzero.tasks import ClassPairs, Regression

REGRESSOR = {
    "setup": [["s_constant", 2, 0.2], ["v_add", 2, 2, 0]],
    "predict": [["s_dot", 1, 0, 1], ["no_op"]],
    "learn": [["s_subtract", 3, 0, 1], ["s_multiply", 3, 3, 2], ["v_scale", 2, 3, 0], ["v_add", 1, 1, 2]],
}


@pytest.fixture
def space():
    made = ProgramSpace()
    made.name = "automlzero:programs"
    return made


def test_the_listing_reads_as_in_the_paper():
    assert listing(REGRESSOR).splitlines() == [
        "def setup():",
        "  s2 = np.float64(0.2)",
        "def predict():",
        "  prediction = np.sum(features * v1)",
        "def learn():",
        "  s3 = label - prediction",
        "  s3 = s3 * s2",
        "  v2 = s3 * features",
        "  v1 = v1 + v2",
    ]


def test_a_program_is_exported_as_a_file_that_learns(tmp_path, space):
    splits = Regression(tasks=1).load(0)
    architecture = space.architecture(REGRESSOR)
    [file] = export_source(space, architecture, tmp_path / "network.py", "py", task=splits.task)
    assert file == tmp_path / "network.py"
    found = {}
    exec(file.read_text(), found)
    assert architecture.key in found["__doc__"]
    program, tasks = found["Program"](), splits.train
    for x, y in zip(tasks.x[0], tasks.y[0], strict=True):
        program.learn(x, y)
    assert np.std([program.predict(x) for x in tasks.x_valid[0]] - tasks.y_valid[0]) < 0.01


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_code_is_no_network(tmp_path, space, form):
    with pytest.raises(ExportError, match=r"code, not a network|no export format"):
        export_source(space, space.trivial(), tmp_path / "network", form, task=Regression().load(0).task)
    assert not list(tmp_path.iterdir())


def test_what_is_exported_is_checked(tmp_path, space):
    broken = space.architecture({"setup": [["s_constant", 0, 0.2]], "predict": [], "learn": []})
    with pytest.raises(SpaceError, match="s_constant"):
        export_source(space, broken, tmp_path / "p", "py", task=Regression().load(0).task)


def test_improvements_are_the_trials_better_than_all_before(space):
    values = [0.2, 0.1, float("nan"), 0.2, 0.5, 0.9, 0.4]
    trials = [
        Trial(n, Candidate(space.trivial()), Status.FAIL if value == 0.9 else Status.COMPLETE, {"fitness": value},
              metrics={"candidates": 10.0 * (n + 1)} if n else {})
        for n, value in enumerate(values)
    ]  # fmt: skip
    steps = improvements(trials, Objective("fitness", Direction.MAXIMIZE))
    assert [(step.candidates, step.value, step.trial.number) for step in steps] == [(1, 0.2, 0), (50, 0.5, 4)]


def test_a_search_writes_its_progress(tmp_path):
    result = nascore.search(
        "automl-zero", trials=5, seed=1, out=tmp_path / "run", tracking="off",
        options={"data.tasks": 2, "sampler.candidates_per_trial": 600, "sampler.population_size": 10},
    )  # fmt: skip
    text, best = (result.folder / TEXT).read_text(), result.history.best
    assert f"fitness {best.objectives['fitness']:.6f} after" in text
    assert listing(best.architecture.genome) in text
    assert b"<svg" in (result.folder / PICTURE).read_bytes()


def test_pairs_of_photographs(monkeypatch):
    import torch

    from nascore.contracts import Splits, Task
    from nascore_blocks.data import CIFAR10, TensorSplit

    def load(self, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(10).repeat_interleave(30)
        inputs = torch.rand(300, 3, 32, 32, generator=generator) + 0.1 * labels[:, None, None, None]
        split = TensorSplit(inputs, labels)
        return Splits(Task("cifar10", (3, 32, 32), 10), split, split, split)

    monkeypatch.setattr(CIFAR10, "load", load)
    data = ClassPairs(tasks=2, features=6, images="cifar10", examples=40, others=25)
    splits = data.load(0)
    assert splits.train.x.shape == (2, 40, 6)
    assert splits.test.x_valid.shape == (2, 25, 6)
    assert splits.task.name == "cifar10-pairs"
    assert data.outline()[0].shape == (6,)
    weights, *_ = np.linalg.lstsq(splits.train.x[0], 2 * splits.train.y[0] - 1, rcond=None)
    assert ((splits.train.x_valid[0] @ weights > 0) == splits.train.y_valid[0]).mean() > 0.9
