"""The surrogate: its folds, what it learns, and rank correlation."""

import random

import pytest
import torch

from nascore_pnas.space import PNASSpace
from nascore_pnas.surrogate import MEMBERS, Ensemble, learns_from, spearman

OPS = ("skip_connect", "sep_conv_3x3", "max_pool_3x3", "conv_3x3")


def test_each_fold_is_left_out_by_one_member_alone():
    """METHODS, section 9, P6."""
    left_out = [set(range(23)) - set(learns_from(member, 23)) for member in range(MEMBERS)]
    assert set.union(*left_out) == set(range(23))
    assert sum(map(len, left_out)) == 23
    assert learns_from(0, 1) == [0]


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_a_member_does_not_see_its_fold(kind):
    """A changed value in fold 2 changes all members but the third."""
    cells = [((i % 2, 1, i % 3, i % 4),) for i in range(20)]
    values = [0.1 * (i % 7) for i in range(20)]
    changed = [*values]
    changed[7] = 0.35  # inside the range, so that the scale stays
    members = []
    for given in (values, changed):
        ensemble = Ensemble(kind, 3, 4, embedding=4, hidden=8, learning_rate=0.01, epochs=5)
        ensemble.fit(cells, given, seed=0)
        members.append([torch.cat([p.detach().flatten() for p in m.parameters()]) for m in ensemble.members])
    same = [torch.equal(a, b) for a, b in zip(*members, strict=True)]
    assert same == [False, False, True, False, False]


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_it_learns_and_reads_cells_of_any_size(kind):
    """METHODS, section 9, P5 and P6: fitted to 1 and 2 blocks, it ranks cells of 3."""
    rng, space = random.Random(0), PNASSpace(blocks=3, ops=OPS)
    worth, place = [rng.gauss(0, 1) for _ in OPS], [rng.gauss(0, 0.3) for _ in range(5)]

    def value(cell):
        return sum(worth[o] + worth[p] + place[i] + place[j] for i, j, o, p in cell)

    def drawn(size):
        return tuple(rng.choice(space.options(b)) for b in range(size))

    known = [drawn(1 + i % 2) for i in range(60)]
    ensemble = Ensemble(kind, 4, len(OPS), embedding=16, hidden=32, learning_rate=0.01, epochs=100)
    ensemble.fit(known, [value(cell) for cell in known], seed=0)
    unseen = [drawn(3) for _ in range(200)]
    predicted = ensemble.predict(torch.tensor(unseen))
    assert predicted.shape == (200,)
    assert predicted.std() > 0
    assert spearman(predicted.tolist(), [value(cell) for cell in unseen]) > 0.5


def test_spearman_by_hand():
    assert spearman([1, 2, 3], [10, 20, 15]) == pytest.approx(0.5)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(0.8660254)
    assert str(spearman([1, 1], [1, 2])) == "nan"
