"""A network trained among others is what it is alone, by nascore's own training loop."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from nascore_blocks.data import TensorSplit
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import train
from nascore_nasbench_digits.cells import all_cells
from nascore_nasbench_digits.produce import initial_network, load_data
from nascore_nasbench_digits.trainer import Batch, _Convolve, kernel_rows, stem_patches, train_batch

SKIP, ONE, THREE, POOL = "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"
MIXED = [
    ("none",) * 6,  # nothing leads to the output
    (THREE, ONE, THREE, POOL, SKIP, THREE),
    (THREE, "none", POOL, POOL, SKIP, ONE),
    (SKIP, ONE, "none", "none", THREE, POOL),
    (ONE, "none", "none", THREE, "none", ONE),  # a dead edge at the end
]


@pytest.fixture(scope="module")
def data():
    return load_data()


def few(split, count):
    """Some examples, in float64."""
    return TensorSplit(split.stored[:count].double(), split.labels[:count])


def alone(network, recipe, learn, valid, seed):
    seen = []
    train(network, learn, recipe, seed=seed, valid=valid, report=lambda _, m: seen.append(m["accuracy"]) is None)
    return [round(accuracy * len(valid)) for accuracy in seen]


def test_batched_training_is_training_alone(data):
    """In float64: the curve is equal, and so are weights and running statistics, to 1e-9, after ten steps."""
    recipe = Recipe(epochs=2, batch_size=64, clip=0.0)
    learn, valid, test = few(data.train, 300), few(data.valid, 100), few(data.test, 50)
    batch = Batch(MIXED, [initial_network(cell, 1, data).double() for cell in MIXED])
    curves = train_batch(batch, recipe, learn, valid, test, seed=1)
    for index, cell in enumerate(MIXED):
        network = initial_network(cell, 1, data).double()
        assert alone(network, recipe, learn, valid, 1) == curves.valid[index].tolist()
        with torch.no_grad():
            logits = network.eval()(test.stored)
        assert (logits.argmax(1) == test.labels).sum() == curves.test[index]
        theirs = torch.stack([batch.forward(stem_patches(test.stored), learning=False)[index].T.detach(), logits])
        assert (theirs[0] - theirs[1]).abs().max() < 1e-9
        if index:  # alone, the stem of a cell that leads nowhere has no gradient, so its weights do not even decay
            assert (batch.stem[index] - network.stem[0].weight).abs().max() < 1e-9


def test_company_does_not_matter(data):
    """The same network with the same seed among others, elsewhere in the batch: equal in float64."""
    recipe = Recipe(epochs=1, batch_size=64, clip=0.0)
    learn, valid, test = few(data.train, 200), few(data.valid, 100), few(data.test, 50)
    logits = []
    for cells in (MIXED[1:3], [*MIXED[3:], MIXED[1]]):
        batch = Batch(cells, [initial_network(cell, 0, data).double() for cell in cells])
        train_batch(batch, recipe, learn, valid, test, seed=0)
        logits.append(batch.forward(stem_patches(test.stored), learning=False)[cells.index(MIXED[1])])
    assert (logits[0] - logits[1]).abs().max() < 1e-10


def test_the_convolution_is_torchs():
    generator = torch.Generator().manual_seed(0)
    m, c, width, height, examples = 3, 2, 4, 5, 6
    x = torch.randn(m, c, width, height, examples, dtype=torch.float64, generator=generator, requires_grad=True)
    kernels = torch.randn(m, c, c, 3, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    ours = _Convolve.apply(x, kernel_rows(kernels, width))
    theirs = torch.stack(
        [F.conv2d(x[i].permute(3, 0, 2, 1), kernels[i], padding=1).permute(1, 3, 2, 0) for i in range(m)]
    )
    assert torch.allclose(ours, theirs, atol=1e-12, rtol=0)
    weights = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
    for mine, right in zip(
        torch.autograd.grad((ours * weights).sum(), (x, kernels)),
        torch.autograd.grad((theirs * weights).sum(), (x, kernels)),
        strict=True,
    ):
        assert torch.allclose(mine, right, atol=1e-12, rtol=0)


@pytest.mark.slow
def test_random_cells_agree_with_training_alone(data):
    cells = random.Random(0).sample(all_cells().representatives, 6)
    recipe = Recipe(epochs=1, batch_size=64, clip=0.0)
    learn, valid, test = few(data.train, 400), few(data.valid, 359), few(data.test, 10)
    batch = Batch(cells, [initial_network(cell, 2, data).double() for cell in cells])
    curves = train_batch(batch, recipe, learn, valid, test, seed=2)
    for index, cell in enumerate(cells):
        assert alone(initial_network(cell, 2, data).double(), recipe, learn, valid, 2) == curves.valid[index].tolist()
