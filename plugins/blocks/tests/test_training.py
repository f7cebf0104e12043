"""The training loop."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nascore.checkpoint import decode, encode
from nascore.errors import SettingsError
from nascore.seeding import isolated_random
from nascore_blocks.average import Average
from nascore_blocks.data import Digits, Split, TensorSplit
from nascore_blocks.data.augment import augment
from nascore_blocks.layout import arranged, layout
from nascore_blocks.recipe import Recipe
from nascore_blocks.training import TrainingError, batches, evaluate, train


@pytest.fixture(scope="module")
def digits() -> tuple[Split, Split]:
    splits = Digits().load(0)
    return splits.train, splits.valid


def _network(width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * width, 10),
    )


def _small(examples: int = 20, classes: int = 2) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    return TensorSplit(torch.randn(examples, 1, 4, 4, generator=generator), torch.arange(examples) % classes)


class _Spy(nn.Module):
    """A linear network that notes what the loop does to it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(16, 2)
        self.sizes: list[int] = []
        self.seen: list[Tensor] = []
        self.drop_paths: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.sizes.append(len(x))
            self.seen.append(x.detach().clone())
        out: Tensor = self.linear(x.flatten(1))
        return out

    def set_drop_path(self, probability: float) -> None:
        self.drop_paths.append(probability)


def test_digits_are_learnt(digits: tuple[Split, Split]) -> None:
    outcome = train(_network(), digits[0], Recipe(epochs=4), seed=0, valid=digits[1])
    assert outcome.metrics["accuracy"] > 0.95
    assert outcome.samples == 4 * 1079


def test_the_seed_decides_every_bit(digits: tuple[Split, Split]) -> None:
    recipe = Recipe(epochs=2, crop=1, cutout=2)

    def run(seed: int) -> tuple[list[Tensor], list[tuple[int, dict[str, float]]]]:
        curve: list[tuple[int, dict[str, float]]] = []

        def report(epoch: int, metrics: dict[str, float]) -> bool:
            torch.rand(3)  # the caller draws from the global generator between epochs
            curve.append((epoch, metrics))
            return True

        network = _network()
        train(network, digits[0], recipe, seed=seed, valid=digits[1], report=report)
        return [p.detach() for p in network.parameters()], curve

    first, again, other = run(5), run(5), run(6)
    assert all(p.equal(q) for p, q in zip(first[0], again[0], strict=True))
    assert first[1] == again[1]
    assert first[1] != other[1]


def test_one_step_is_that_of_plain_torch() -> None:
    data = _small()
    for recipe in (
        Recipe(epochs=1, batch_size=20, clip=0),
        Recipe(epochs=1, batch_size=20, optimizer="sgd", clip=0.1, label_smoothing=0.1),
        Recipe(epochs=1, batch_size=20, optimizer="sgd", clip=0, weight_decay=0.1),
    ):
        network, twin = _Spy(), _Spy()
        outcome = train(network, data, recipe, seed=0)
        options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(twin.parameters(), momentum=recipe.momentum, nesterov=True, **options)
        else:
            optimizer = torch.optim.AdamW(twin.parameters(), **options)
        loss = nn.functional.cross_entropy(twin(data.inputs), data.labels, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if recipe.clip:
            nn.utils.clip_grad_norm_(twin.parameters(), recipe.clip)
        optimizer.step()
        torch.testing.assert_close(network.linear.weight, twin.linear.weight)
        assert outcome.metrics["train_loss"] == pytest.approx(loss.item(), abs=1e-6)


def test_train_loss_weighs_every_example_alike() -> None:
    data, network, twin = _small(11), _Spy(), _Spy()
    outcome = train(network, data, Recipe(epochs=1, batch_size=4, learning_rate=1e-12), seed=0)
    assert network.sizes == [4, 4, 3]
    assert outcome.metrics["train_loss"] == pytest.approx(
        nn.functional.cross_entropy(twin(data.inputs), data.labels).item(), abs=1e-5
    )


def test_every_example_comes_once_an_epoch_in_a_new_order() -> None:
    data, network = _small(10), _Spy()
    train(network, data, Recipe(epochs=2, batch_size=5), seed=0)
    first, second = torch.cat(network.seen[:2]), torch.cat(network.seen[2:])
    assert not first.equal(second)
    for epoch in (first, second):
        assert sorted(map(tuple, epoch.flatten(1).tolist())) == sorted(map(tuple, data.inputs.flatten(1).tolist()))


@given(st.integers(2, 300), st.integers(2, 64))
def test_batches_cover_everything_and_none_is_single(examples: int, size: int) -> None:
    bounds = batches(examples, size)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(examples))
    assert all(2 <= stop - start <= size + 1 for start, stop in bounds)


def test_batch_norm_survives_a_left_over_example() -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2))
    assert train(network, _small(9), Recipe(epochs=1, batch_size=4), seed=0).epochs == 1


def test_drop_path_grows_linearly_from_zero() -> None:
    network = _Spy()
    train(network, _small(), Recipe(epochs=4, drop_path=0.2), seed=0)
    assert network.drop_paths == pytest.approx([0.0, 0.05, 0.1, 0.15])


def test_the_auxiliary_loss_is_weighed_in() -> None:
    class TwoHeads(_Spy):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Linear(16, 2)

        def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
            return self(x), self.second(x.flatten(1))

    data = _small()
    losses = {}
    for weight in (0.0, 0.4):
        network = TwoHeads()
        start = network.second.weight.detach().clone()
        recipe = Recipe(epochs=1, batch_size=20, auxiliary_weight=weight, weight_decay=0)
        losses[weight] = train(network, data, recipe, seed=0).metrics["train_loss"]
        assert network.second.weight.equal(start) == (weight == 0)
    twin = TwoHeads()
    auxiliary = nn.functional.cross_entropy(twin.second(data.inputs.flatten(1)), data.labels)
    assert losses[0.4] - losses[0.0] == pytest.approx(0.4 * auxiliary.item(), abs=1e-5)


def test_a_report_can_stop_it() -> None:
    outcome = train(_Spy(), _small(), Recipe(epochs=9), seed=0, valid=_small(), report=lambda epoch, _: epoch < 3)
    assert (outcome.epochs, outcome.pruned) == (3, True)


def test_patience_stops_and_goes_back_to_the_best_epoch() -> None:
    network, data = _Spy(), _small()
    valid = TensorSplit(data.inputs, 1 - data.labels)  # the better it learns, the worse it validates
    curve = []

    def report(epoch: int, metrics: dict[str, float]) -> bool:
        curve.append(metrics["accuracy"])
        return True

    recipe = Recipe(epochs=50, patience=3, schedule="constant")
    outcome = train(network, data, recipe, seed=0, valid=valid, report=report)
    best = curve.index(max(curve)) + 1
    assert max(curve) > curve[-1]
    assert outcome.epochs == best + 3 < 50
    assert outcome.metrics["accuracy"] == max(curve) == evaluate(network, valid)[0]


def test_a_loss_that_is_not_finite_names_epoch_and_step() -> None:
    data = _small(600)
    order = []

    class Bomb(_Spy):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            if self.training:
                order.append(len(x))
            return out * math.nan if len(order) == 300 + 73 else out

    with pytest.raises(TrainingError, match="became nan in epoch 2, step 73"):
        train(Bomb(), data, Recipe(epochs=3, batch_size=2), seed=0)
    assert len(order) == 400  # found at the next look, not at the end


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        (nn.Flatten(), _small(), "no trainable parameter"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), _small(20, classes=5), r"classes >= 5\); it gave \(20, 2\)"),
        (nn.Conv2d(1, 2, 1), _small(), r"it gave \(20, 2, 4, 4\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), _small(1), "at least 2 examples"),
    ],
)
def test_what_does_not_fit_is_told(network: nn.Module, data: Split, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        train(network, data, Recipe(epochs=1), seed=0)


def test_lazy_modules_learn_too() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.LazyConv2d(4, 3, stride=2), nn.Flatten(), nn.LazyLinear(2))
    data = _small(200)
    data = TensorSplit(data.inputs + data.labels[:, None, None, None] * 2, data.labels)
    assert train(network, data, Recipe(epochs=30), seed=0, valid=data).metrics["accuracy"] > 0.9


def test_cosine_starts_at_the_rate_and_ends_at_zero() -> None:
    recipe = Recipe(learning_rate=0.4)
    assert [recipe.rate(step, 4) for step in range(5)] == pytest.approx([0.4, 0.34142, 0.2, 0.05858, 0.0], abs=1e-5)
    assert Recipe(learning_rate=0.4, schedule="constant").rate(3, 4) == 0.4


def test_evaluate_counts_by_hand() -> None:
    data = TensorSplit(torch.tensor([3.0, -1.0, 2.0]).reshape(3, 1, 1, 1), torch.tensor([1, 1, 0]))

    class Sign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return torch.cat([-x, x], 1)

    accuracy, loss = evaluate(Sign(), data, batch_size=2)
    assert accuracy == pytest.approx(1 / 3)
    assert loss == pytest.approx(sum(math.log1p(math.exp(z)) for z in (-6, 2, 4)) / 3, abs=1e-5)


def test_networks_that_onednn_would_crash_on_are_not_run_channels_last() -> None:
    strided = nn.Conv2d(4, 4, 1, stride=2)
    assert layout(nn.Sequential(nn.Conv2d(1, 4, 3), strided), "cpu") is torch.contiguous_format
    for safe in (nn.Conv2d(16, 4, 1, stride=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, stride=2)):
        assert layout(nn.Sequential(safe), "cpu") is torch.channels_last
        assert layout(nn.Sequential(safe), "cuda") is torch.contiguous_format
    eight = torch.channels_last if torch.backends.cpu.get_cpu_capability() == "AVX2" else torch.contiguous_format
    assert layout(nn.Conv2d(8, 4, 1, stride=2), "cpu") is eight
    functional = nn.Module()
    functional.weight = nn.Parameter(torch.zeros(4, 4, 1, 1))
    assert layout(functional, "cpu") is torch.contiguous_format


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be a whole number >= 1"),
        ({"epochs": 1.5}, "whole number"),
        ({"batch_size": 1}, ">= 2"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"schedule": "linear"}, "cosine"),
        ({"learning_rate": 0.0}, "> 0"),
        ({"learning_rate": math.nan}, "> 0"),
        ({"learning_rate": math.inf}, "> 0"),
        ({"weight_decay": -1.0}, ">= 0"),
        ({"momentum": 1.0}, r"\[0, 1\)"),
        ({"clip": -1.0}, "clips nothing"),
        ({"label_smoothing": 1.0}, r"\[0, 1\)"),
        ({"drop_path": 1.0}, r"\[0, 1\)"),
        ({"data_fraction": 0.0}, r"\(0, 1\]"),
        ({"patience": -1}, ">= 0"),
        ({"ema": 1.0}, r"\[0, 1\)"),
        ({"autoaugment": "trivia"}, "did you mean 'trivial'"),
    ],
)
def test_bad_recipes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe(**settings)


def test_fidelity_overrides_and_says_what_it_does_not_know() -> None:
    assert Recipe().at({"epochs": 3.0, "data_fraction": 0.25}) == Recipe(epochs=3, data_fraction=0.25)
    with pytest.raises(SettingsError, match="no fidelity 'epoch' here; did you mean 'epochs'"):
        Recipe().at({"epoch": 3})
    with pytest.raises(SettingsError, match="whole number"):
        Recipe().at({"epochs": 2.5})


@pytest.mark.parametrize("changes", [{"flip": True}, {"crop": 1}, {"flip": True, "crop": 1, "cutout": 2}])
def test_grey_images_that_were_changed_do_not_bring_channels_last_back(changes: dict[str, Any]) -> None:
    # Images of one channel lie in both layouts; a convolution goes by their strides, and where the network is kept
    # from channels-last, running so writes past oneDNN's work space.
    images = augment(torch.randn(4, 1, 8, 8), torch.Generator().manual_seed(0), **changes)
    arranged_images = arranged(images, torch.contiguous_format)
    assert torch.equal(arranged_images, images)
    assert arranged_images.stride() == (64, 64, 8, 1)
    assert nn.Conv2d(1, 4, 3)(arranged_images).is_contiguous()


def test_settings_that_a_user_types_are_checked() -> None:
    assert Recipe().changed({"epochs": 3, "flip": True, "ema": 0}) == Recipe(epochs=3, flip=True, ema=0.0)
    with pytest.raises(SettingsError, match=r"retrain\.crops is no option .*did you mean 'crop'"):
        Recipe().changed({"crops": 1})
    with pytest.raises(SettingsError, match=r"retrain\.crop = 'wide'"):
        Recipe().changed({"crop": "wide"})
    with pytest.raises(SettingsError, match=r"drop_path is 2\.0"):
        Recipe().changed({"drop_path": 2})


def test_the_average_of_a_sequence_made_by_hand() -> None:
    network = nn.BatchNorm1d(1, affine=True)
    average = Average(network, 0.5)
    weights = [10.0, 4.0, -2.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    expected, mean = 1.0, 0.0
    for n, weight in enumerate(weights, 1):
        with torch.no_grad():
            network.weight.fill_(weight)
            network.running_mean.fill_(-weight)  # type: ignore[union-attr]  # batch norm has statistics here
            network.num_batches_tracked.fill_(n)  # type: ignore[union-attr]  # and counts
        average.update()
        decay = [2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5, 0.5][n - 1]
        expected = decay * expected + (1 - decay) * weight
        mean = decay * mean - (1 - decay) * weight
    with average.applied():
        assert network.weight.item() == pytest.approx(expected, abs=1e-5)
        assert network.running_mean.item() == pytest.approx(mean, abs=1e-5)  # type: ignore[union-attr]  # as above
        assert network.num_batches_tracked == 9
    assert (network.weight.item(), network.running_mean.item()) == (8.0, -8.0)  # type: ignore[union-attr]  # as above
    average.settle()
    assert network.weight.item() == pytest.approx(expected, abs=1e-5)


def test_the_average_is_what_is_validated_and_kept() -> None:
    data = _small(200)
    data = TensorSplit(data.inputs + data.labels[:, None, None, None], data.labels)
    plain, averaged, hand = _network_for_small(), _network_for_small(), _network_for_small()
    train(plain, data, Recipe(epochs=3, schedule="constant"), seed=0)
    outcome = train(averaged, data, Recipe(epochs=3, schedule="constant", ema=0.9), seed=0, valid=data)
    assert (outcome.metrics["accuracy"], outcome.metrics["loss"]) == evaluate(averaged, data, batch_size=256)
    average = Average(hand, 0.9)

    class Watched(nn.Module):
        """Takes the average before each step but the first: after the one before."""

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.steps = hand, 0

        def forward(self, x: Tensor) -> Tensor:
            if self.training and self.steps:
                average.update()
            self.steps += self.training
            out: Tensor = self.inner(x)
            return out

    train(Watched(), data, Recipe(epochs=3, schedule="constant"), seed=0)
    for name, value in plain.state_dict().items():
        assert value.equal(hand.state_dict()[name]), name  # to take the average changes no bit of the training
    average.update()
    average.settle()
    for name, value in averaged.state_dict().items():
        assert value.equal(hand.state_dict()[name]), name
    assert not averaged.state_dict()["1.weight"].equal(plain.state_dict()["1.weight"])


def test_an_average_goes_back_to_the_best_epoch_too() -> None:
    data = _small(40)
    valid = TensorSplit(data.inputs, 1 - data.labels)
    network = _Spy()
    outcome = train(network, data, Recipe(epochs=30, patience=2, ema=0.8), seed=0, valid=valid)
    assert outcome.epochs < 30
    assert evaluate(network, valid)[0] == outcome.metrics["accuracy"]


def _network_for_small() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class _Memory:
    """Keeps every state as a file would: copied."""

    def __init__(self) -> None:
        self.kept: dict[int, dict[str, Any]] = {}

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.kept[max(self.kept)]) if self.kept else None

    def save(self, epoch: int, state: dict[str, Any]) -> None:
        # As safetensors would: whatever the layout was, it is contiguous.
        tensors: dict[str, Any] = {}
        body = json.loads(json.dumps(encode(state, tensors)))
        self.kept[epoch] = decode(body, {name: value.clone().contiguous() for name, value in tensors.items()})


class _StoppedError(Exception):
    pass


@pytest.mark.parametrize(
    "settings",
    [
        {"flip": True, "crop": 1, "cutout": 2, "ema": 0.9},
        {"optimizer": "sgd", "learning_rate": 0.1, "label_smoothing": 0.1, "drop_path": 0.2},
        {"patience": 3, "ema": 0.5, "schedule": "constant"},
    ],
)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(settings: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    data = TensorSplit(torch.randn(70, 3, 6, 6, generator=generator), torch.arange(70) % 3)
    recipe = Recipe(epochs=4, batch_size=16, **settings)
    # The better it learns, the worse it validates, so that the best epoch lies before the stop.
    valid = TensorSplit(data.inputs, (data.labels + 1) % 3)

    def run(stop: int, memory: _Memory | None) -> tuple[dict[str, Tensor], list[int], dict[str, float]]:
        with isolated_random(3):
            network = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3),
                nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 3),
            )  # fmt: skip
            seen = []

            def report(epoch: int, metrics: dict[str, float]) -> bool:
                seen.append(epoch)
                if epoch == stop:
                    raise _StoppedError
                return True

            with contextlib.suppress(_StoppedError):
                outcome = train(network, data, recipe, seed=5, valid=valid, report=report, checkpoint=memory)
                return network.state_dict(), seen, outcome.metrics
            return {}, seen, {}

    whole, epochs, metrics = run(0, None)
    memory = _Memory()
    assert run(2, memory)[1] == [1, 2]
    resumed, rest, again = run(0, memory)
    assert epochs == [1, 2, 3, 4]
    assert rest == [3, 4]
    assert again == metrics
    for name, value in whole.items():
        assert value.equal(resumed[name]), name


def test_a_training_that_had_ended_is_not_trained_again() -> None:
    memory, first, second = _Memory(), _Spy(), _Spy()
    outcome = train(first, _small(), Recipe(epochs=2), seed=0, checkpoint=memory)
    again = train(second, _small(), Recipe(epochs=2), seed=0, checkpoint=memory)
    assert second.sizes == []
    assert second.linear.weight.equal(first.linear.weight)
    assert (again.epochs, again.metrics, again.samples) == (2, outcome.metrics, outcome.samples)
