"""What the three tasks promise: no label is read, and what does not fit is refused before any training."""

import random

import pytest
import torch
from torch import nn

from nascore.contracts import Splits, Task
from nascore.decisions import FunctionSpace
from nascore.errors import DataError, SettingsError
from nascore.records import Candidate, Status
from nascore.seeding import isolated_random
from nascore.testing import MemoryContext
from nascore_blocks.data import Digits
from nascore_blocks.data.splits import Subset, TensorSplit, tensor_splits
from nascore_blocks.spaces import DARTSSpace
from nascore_unnas.colour import Colorization
from nascore_unnas.jigsaw import Jigsaw
from nascore_unnas.patches import Patches
from nascore_unnas.rotation import Rotation

KINDS = [Rotation, Jigsaw, Colorization]


def small(choose, task):
    width = choose("width", [12, 24])
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, task.classes),
    )


def judged(kind, splits, space=None, fidelity=None, **options):
    space = space or FunctionSpace(small)
    data = splits.for_search()
    space.setup(data.task)
    evaluator = kind(**{"epochs": 1, "batch_size": 32, "save_weights": False, **options})
    evaluator.setup(space, data)
    rng = random.Random(0)
    candidate = Candidate(space.sample(lambda _, given: rng.choice(given)), fidelity or {})
    with isolated_random(0):
        return evaluator.evaluate(candidate, MemoryContext(data, seed=0))


class TouchedError(Exception):
    pass


class Secret:
    """Labels that raise, whatever is done with them."""

    def __getattribute__(self, name):
        raise TouchedError(name)

    def __getitem__(self, index):
        raise TouchedError

    def __len__(self):
        raise TouchedError

    def __int__(self):
        raise TouchedError


class HiddenTensors(TensorSplit):
    """Tensors whose labels raise when they are so much as looked at."""

    @property
    def labels(self):
        raise TouchedError

    @labels.setter
    def labels(self, given):
        pass


class HiddenItems(torch.utils.data.Dataset):
    """A plain data set whose items come with a label that raises."""

    def __init__(self, inputs):
        self.inputs = inputs

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], Secret()


@pytest.fixture(scope="module")
def patches():
    whole = Patches().load(0)
    few = [Subset(split, torch.arange(0, len(split), 3)) for split in (whole.train, whole.valid)]
    made = [TensorSplit(f.base.stored[f.indices], f.labels, f.base.scale, f.base.shift) for f in few]
    return Splits(whole.task, *made)


def hidden(split):
    return HiddenTensors(split.stored, None, split.scale, split.shift)


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_read(kind, patches):
    seen = judged(kind, patches)
    unseen = judged(kind, Splits(patches.task, hidden(patches.train), hidden(patches.valid)))
    assert unseen.status is Status.COMPLETE
    assert unseen.objectives == seen.objectives
    with pytest.raises(TouchedError):  # the data set does hide them
        _ = hidden(patches.train).labels


@pytest.mark.parametrize("kind", [Rotation, Jigsaw])
def test_no_label_of_a_plain_data_set_is_read(kind):
    inputs = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Splits(Task("plain", (3, 8, 8), 2), HiddenItems(inputs), HiddenItems(inputs[:20]))
    assert judged(kind, data).status is Status.COMPLETE


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_images_than_a_batch_are_refused(kind, patches):
    with pytest.raises(DataError, match=r"fewer than a batch of 4096.*batch_size="):
        judged(kind, patches, batch_size=4096)
    with pytest.raises(DataError, match="fewer than a batch"):
        judged(kind, patches, data_fraction=0.01)


@pytest.mark.parametrize("kind", [Jigsaw, Colorization])
@pytest.mark.parametrize("setting", [{"flip": True}, {"crop": 1}, {"cutout": 2}])
def test_what_would_change_the_answer_is_refused(kind, setting, patches):
    with pytest.raises(SettingsError, match="would change the answer"):
        judged(kind, patches, **setting)


def test_rotation_may_mirror_images(patches):
    assert judged(Rotation, patches, flip=True).objectives != judged(Rotation, patches).objectives


def test_colour_needs_colour():
    with pytest.raises(DataError, match="3 channels"):
        judged(Colorization, Digits().load(0))


def test_colour_needs_bytes(patches):
    floats = [TensorSplit(s.inputs, s.labels) for s in (patches.train, patches.valid)]
    with pytest.raises(DataError, match="bytes"):
        judged(Colorization, Splits(patches.task, *floats))


def test_grey_images_in_three_channels_are_refused():
    pair = (torch.arange(64, dtype=torch.uint8).repeat_interleave(192).reshape(64, 3, 8, 8), torch.arange(64) % 2)
    with pytest.raises(DataError, match="Are they grey"):
        judged(Colorization, tensor_splits("grey", pair, pair, pair, 2))


@pytest.mark.parametrize("kind", [Rotation, Jigsaw])
def test_images_that_are_not_square_are_refused(kind):
    pair = (torch.rand(64, 1, 8, 12), torch.arange(64) % 2)
    with pytest.raises(DataError, match="square"):
        judged(kind, tensor_splits("wide", pair, pair, pair, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_darts_are_judged_too_and_a_proxy_makes_images_smaller(kind, patches):
    space = DARTSSpace(blocks=2, channels=4, cells=1)
    whole = judged(kind, patches, space, data_fraction=0.3)
    smaller = judged(kind, patches, space, fidelity={"resolution": 8, "data_fraction": 0.3})
    assert whole.status is smaller.status is Status.COMPLETE
    assert whole.objectives != smaller.objectives


def test_drop_path_reaches_the_network(patches):
    space = DARTSSpace(blocks=2, channels=4, cells=2)
    first = judged(Rotation, patches, space, epochs=2, data_fraction=0.2)
    assert judged(Rotation, patches, space, epochs=2, data_fraction=0.2, drop_path=0.5).objectives != first.objectives


def majority(split):
    labels = torch.cat([split.batch(part)[1].flatten() for part in torch.arange(len(split)).split(64)])
    return labels.bincount().max().item() / len(labels), len(labels)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "epochs"), [(Rotation, 4), (Jigsaw, 10), (Colorization, 4)])
def test_a_small_network_beats_chance(kind, epochs):
    splits = Patches().load(0) if kind is Colorization else Digits().load(0)
    space, evaluator = FunctionSpace(small), kind()
    evaluator.setup(space, splits.for_search())
    valid = evaluator.lesson(splits.task, evaluator.read(splits.train), evaluator.read(splits.valid), 0).valid
    chance, answers = majority(valid)
    images = answers if kind is Jigsaw else len(valid)  # answers of one image are not independent of each other
    found = judged(kind, splits, epochs=epochs, learning_rate=0.01).objectives["accuracy"]
    assert found > chance + 3 * (chance * (1 - chance) / images) ** 0.5
