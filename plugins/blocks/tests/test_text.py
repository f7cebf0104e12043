"""Text as windows of tokens: what is in them, what is in which split, and what is refused."""

import pytest
import torch

from nascore.errors import DataError, SettingsError
from nascore_blocks.data.splits import Joined, Subset, nested_subset
from nascore_blocks.data.text import Text, reference, windows

STORY = "".join(f"{number} men went to mow, went to mow a meadow; " for number in range(100))


@pytest.fixture
def story(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(STORY, encoding="utf-8")
    return path


def all_of(split):
    return split.batch(torch.arange(len(split)))


def test_the_splits_are_the_text_cut_in_three_and_labels_are_the_next_characters(story):
    data = Text(str(story), length=7, valid=0.2, test=0.1)
    splits = data.load(0)
    cuts = [0, *(round(len(STORY) * (1 - share)) for share in (0.3, 0.1)), len(STORY)]
    for split, start, stop in zip((splits.train, splits.valid, splits.test), cuts, cuts[1:], strict=False):
        inputs, labels = all_of(split)
        used = (stop - start - 1) // 7 * 7
        assert inputs.shape == labels.shape == (used // 7, 7)
        assert inputs.dtype == labels.dtype == torch.int64
        assert data.decode(inputs.flatten()) == STORY[start : start + used]
        assert data.decode(labels.flatten()) == STORY[start + 1 : start + 1 + used]
    assert (splits.task.kind, splits.task.shape) == ("language-modelling", (7,))
    assert splits.task.classes == len(data.alphabet) == len(set(STORY)) + 1
    assert splits.task.name == "text:story.txt"


def test_the_vocabulary_is_that_of_the_training_text(tmp_path):
    path = tmp_path / "text"
    path.write_text("aaab" * 20 + "aaa?" + "c" * 20, encoding="utf-8")  # "?" once, "c" only after the training part
    data = Text(str(path), length=2, valid=0.1, test=0.1)
    splits = data.load(0)
    assert data.alphabet == ("", "a", "b")
    assert set(all_of(splits.test)[0].flatten().tolist()) == {0}
    assert data.decode(torch.tensor([1, 0, 2])) == "a\ufffdb"
    few = Text(str(path), length=2, vocabulary=2, valid=0.1, test=0.1)
    assert few.load(0).task.classes == 2
    assert few.alphabet == ("", "a")


def test_less_text_to_learn_from_leaves_the_other_splits(story):
    whole, less = Text(str(story)), Text(str(story), characters=1000)
    large, small = whole.load(0), less.load(0)
    assert len(small.train) == 999 // 32
    assert whole.decode(all_of(large.train)[0][: len(small.train)].flatten()) == STORY[: len(small.train) * 32]
    assert whole.decode(all_of(large.valid)[0].flatten()) == less.decode(all_of(small.valid)[0].flatten())


def test_it_is_the_same_for_every_seed_and_the_fingerprint_tells_what_is_not(story):
    first, second = Text(str(story)).load(0), Text(str(story)).load(1)
    assert first.task == second.task
    assert all(torch.equal(a, b) for a, b in zip(all_of(first.train), all_of(second.train), strict=True))
    assert Text(str(story), length=16).load(0).task.fingerprint != first.task.fingerprint
    story.write_text(STORY.replace("99 men", "98 men"), encoding="utf-8")
    assert Text(str(story)).load(0).task.fingerprint != first.task.fingerprint


def test_the_reference_of_python_is_long_and_says_nothing_twice():
    paragraphs = [" ".join(paragraph.split()) for paragraph in reference().split("\n\n")]
    assert len(set(paragraphs)) == len(paragraphs) > 2000
    splits = Text().load(0)
    assert len(splits.train) > 8000
    assert 80 < splits.task.classes <= 96
    letters = all_of(splits.valid)[0]
    assert (letters == 0).float().mean() < 0.01


def test_windows_share_the_memory_of_the_tokens():
    tokens = torch.arange(11)
    split = windows(tokens, 3)
    assert all_of(split)[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert split.stored.data_ptr() == tokens.data_ptr()
    assert split.labels[0, 0] == 1
    assert len(windows(torch.arange(4), 3)) == 1
    assert split[1][1].tolist() == [4, 5, 6]


def test_shares_and_unions_count_windows():
    first, second = windows(torch.arange(31), 3), windows(torch.arange(100, 107), 3)
    half, tenth = nested_subset(first.labels, 0.5), nested_subset(first.labels, 0.1)
    assert (len(half), len(tenth)) == (5, 1)
    assert set(tenth.tolist()) <= set(half.tolist()) <= set(range(10))
    part = Subset(first, half)
    assert torch.equal(all_of(part)[0], all_of(first)[0][half])
    both = Joined(first, second)
    assert len(both) == 12
    assert both[11][0].tolist() == [103, 104, 105]


def test_a_file_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"Cannot read the text .*nowhere"):
        Text(str(tmp_path / "nowhere")).load(0)
    latin = tmp_path / "latin"
    latin.write_bytes("für".encode("latin-1") * 100)
    with pytest.raises(DataError, match="byte 1 is 0xfc"):
        Text(str(latin)).load(0)
    short = tmp_path / "short"
    short.write_text("a" * 300)
    with pytest.raises(DataError, match="The valid part of text:short has 30 characters; it needs 65"):
        Text(str(short)).load(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"length": 0}, "length is 0"), ({"vocabulary": 1}, "vocabulary is 1"), ({"characters": -1}, "characters is -1"),
     ({"valid": 0.9, "test": 0.2}, "together below 1")],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        Text(**options)
