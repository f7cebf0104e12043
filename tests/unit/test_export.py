"""The exported file is run where nascore cannot be imported, and must compute what the network computes."""

from __future__ import annotations

import ast
import copy
import importlib.util
import random
import subprocess
import sys
import tempfile
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional as F

from nascore.contracts import Task
from nascore.export import ExportError, export_network, export_python, export_torch
from nascore.records import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

fx.wrap("sqrt")  # so that torch.fx records it, as some libraries do with their functions

TASK = Task("digits", (3, 9, 9), 5)
ARCHITECTURE = Architecture("blocks:toy", {"width": 8}, "0123abcd")


# ------------------------------------------------------------------------------- networks to export


class SepConv(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)  # type: ignore[no-any-return]  # a module's call is untyped


class ConvBlock(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class FactorisedReduction(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(before, after - after // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        if x.shape[2] % 2:  # control flow on a size, which is the same for every batch
            x = F.pad(x, (0, 1, 0, 1))
        return self.bn(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], dim=1))  # type: ignore[no-any-return]  # a module's call is untyped


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(len(x), 1, 1, 1) if self.training else x


class Cell(nn.Module):
    def __init__(self, before: int, previous: int, channels: int) -> None:
        super().__init__()
        self.before, self.previous = ConvBlock(before, channels), ConvBlock(previous, channels)
        self.ops = nn.ModuleList([SepConv(channels, 3), nn.Identity(), SepConv(channels, 5), nn.MaxPool2d(3, 1, 1)])
        self.drop = DropPath()

    def forward(self, before: Tensor, previous: Tensor) -> Tensor:
        states = [self.before(before), self.previous(previous)]
        for i in (0, 1):
            states.append(self.drop(self.ops[2 * i](states[i])) + self.ops[2 * i + 1](states[i + 1]))
        return torch.cat(states[2:], 1)


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBlock(3, 6)
        self.cells = nn.ModuleList([Cell(6, 6, 4), Cell(6, 8, 4), Cell(8, 8, 5)])
        self.reduce = FactorisedReduction(10, 7)
        self.auxiliary = nn.Linear(7, 5)
        self.head = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        before = previous = self.stem(x)
        for cell in self.cells:
            before, previous = previous, cell(before, previous)
        return self.head(self.reduce(previous).mean(dim=(2, 3)))  # type: ignore[no-any-return]  # a module's call is untyped


class Residual(nn.Module):
    """One block that is used twice, in-place activations, and a module that is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1))
        self.again = self.block
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.block(x)
        x = F.relu_(x - self.again(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]  # a module's call is untyped


class Raw(nn.Module):
    """Parameters and buffers of its own, functional pooling, arithmetic with brackets."""

    table: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(3, 1, 1))
        self.weight = nn.Parameter(torch.rand(5, 48), requires_grad=False)
        self.register_buffer("table", torch.rand(3, 9, 9))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 2.0]).view(3, 1, 1), persistent=False)
        self.wrong = nn.Parameter(torch.rand(2))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, _ = x.size()
        x = (x - self.table) * (self.scale + 1) / -(2.0 - self.mask**2)
        x = F.max_pool2d(F.avg_pool2d(x, 2), 1, stride=1) @ torch.eye(4)
        pieces = [piece * (place + height) for place, piece in enumerate(x.chunk(3, dim=1))]
        x = torch.cat(pieces[::-1], 1).view(batch, -1)
        return F.linear(F.dropout(x, 0.5, self.training), self.weight) % 7


class Tied(nn.Module):
    """Tied weights, an embedding, a recurrent layer, several outputs; token inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.rnn = nn.GRU(6, 6, batch_first=True)
        self.decoder = nn.Linear(6, 11, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor, start: Tensor | None = None) -> dict[str, Any]:
        outputs, state = self.rnn(self.embedding(tokens), start)
        return {"logits": self.decoder(outputs), "rest": (state, [outputs[:, -1]])}


class TwoWays(nn.Module):
    """A child that is called in two ways, and one whose inside is used from outside."""

    class Child(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor, twice: bool = False) -> Tensor:
            return self.two(self.one(x)) if twice else self.one(x)  # type: ignore[no-any-return]  # a module's call is untyped

    def __init__(self) -> None:
        super().__init__()
        self.child, self.other = self.Child(), self.Child()
        self.pairs = nn.ModuleDict({"a.b"[:1] + "'\n": nn.ReLU(), "plain": nn.Conv2d(3, 5, 9)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.child(x) + self.child(x, twice=True)
        x = self.other.two(x) * self.other.one.weight.sum()
        for module in self.pairs.values():
            x = module(x)
        return x.flatten(1)


class Ordered(nn.Module):
    """A value that must be read before a step that changes its source, though it stands after it in the formula."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        before = self.conv(x)
        return (x.mul_(0.5) - before).flatten(1)  # type: ignore[no-any-return]  # a module's call is untyped


class Named(nn.Sequential):
    """Names that are no Python names."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("a-b c", nn.Conv2d(3, 4, 3))
        self.add_module("class", nn.ReLU())
        self.add_module('"""\nimport os\n\'', nn.Conv2d(4, 5, 7))
        self.add_module("flat", nn.Flatten())


def make_double() -> nn.Module:
    return Residual().double()


def make_plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same", padding_mode="reflect"),
        nn.PReLU(8),
        nn.Dropout(0.3),
        nn.Sequential(nn.GroupNorm(2, 8), nn.GELU("tanh"), nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)),
        nn.ConvTranspose2d(8, 4, (2, 3), stride=2, bias=False),
        nn.AdaptiveAvgPool2d((1, None)),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


ZOO: dict[str, Callable[[], nn.Module]] = {
    "plain": make_plain,
    "cells": Cells,
    "residual": Residual,
    "raw": Raw,
    "tied": Tied,
    "two_ways": TwoWays,
    "named": Named,
    "ordered": Ordered,
    "double": make_double,
}
TASKS = {"tied": Task("text", (7,), 11, "language-modelling")}


def zoo_network(name: str) -> tuple[nn.Module, Tensor]:
    """A network with statistics that evaluation notices, and a batch of inputs."""
    torch.manual_seed(sum(map(ord, name)))
    network = ZOO[name]()
    task = TASKS.get(name, TASK)
    inputs = torch.randint(11, (4, 7)) if name == "tied" else torch.randn(4, *task.shape)
    if name == "double":
        inputs = inputs.double()
    network(inputs)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
    return network.eval(), inputs


RUN = """
import sys
for name in ("nascore", "nascore_blocks", "safetensors", "numpy"):
    sys.modules[name] = None
import importlib.util, pathlib, torch
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        outputs = module.load()(torch.load(path.with_suffix(".in"), weights_only=True))
    torch.save(outputs, path.with_suffix(".out"))
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every network of the zoo, exported, and run in one process that has torch and nothing else."""
    folder = tmp_path_factory.mktemp("zoo")
    for name in ZOO:
        network, inputs = zoo_network(name)
        export_python(network, folder / f"{name}.py", task=TASKS.get(name, TASK), architecture=ARCHITECTURE)
        torch.save(inputs, folder / f"{name}.in")
    command = [sys.executable, "-I", "-W", "ignore", "-c", RUN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("exported", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def export(network: nn.Module, folder: Path, **more: Any) -> str:
    path = folder / "net.py"
    export_python(
        network, path, task=more.pop("task", TASK), architecture=more.pop("architecture", ARCHITECTURE), **more
    )
    return path.read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------- the file


@pytest.mark.parametrize("name", ZOO)
def test_the_file_alone_computes_what_the_network_computes(alone: Path, name: str) -> None:
    network, inputs = zoo_network(name)
    with torch.no_grad():
        expected = network(inputs)
    actual = torch.load(alone / f"{name}.out", weights_only=True)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["cells", "residual", "plain", "tied", "double"])
def test_the_written_network_has_the_same_parameters_and_keys(alone: Path, name: str) -> None:
    network, _ = zoo_network(name)
    written = load_file(alone / f"{name}.py").load()
    left_out = {"auxiliary.weight", "auxiliary.bias"} if name == "cells" else set()
    assert set(written.state_dict()) == set(network.state_dict()) - left_out
    counted = sum(p.numel() for name, p in network.named_parameters() if name not in left_out)
    assert sum(p.numel() for p in written.parameters()) == counted
    assert f"Parameters:   {counted:,}\n" in (alone / f"{name}.py").read_text(encoding="utf-8")


def test_a_step_of_training_is_the_same_as_in_the_original(alone: Path) -> None:
    network, inputs = zoo_network("residual")
    written = load_file(alone / "residual.py").load()
    for one in (network, written):
        one.train()
        optimiser = torch.optim.SGD(one.parameters(), lr=0.1)
        one(inputs).square().mean().backward()
        optimiser.step()
    before = zoo_network("residual")[0].state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(written.state_dict()[name], tensor)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {"stem.weight", "block.0.running_mean", "block.2.weight"} <= changed


def test_dropout_drops_in_training_and_only_there(alone: Path) -> None:
    _, inputs = zoo_network("raw")
    written = load_file(alone / "raw.py").load()
    assert torch.equal(written(inputs), written(inputs))
    written.train()
    assert not torch.equal(written(inputs), written(inputs))


def test_a_structure_is_written_once_with_arguments(alone: Path) -> None:
    text = (alone / "cells.py").read_text(encoding="utf-8")
    classes = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert classes == ["ConvBlock", "SepConv", "FactorisedReduction", "Cell", "Network"]
    assert "SepConv(channels=out_channels, kernel_size=5, padding=2)" in text
    assert "cells_0 = self.cells[0](x, x)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_header_says_what_was_left_out(alone: Path) -> None:
    header = ast.get_docstring(ast.parse((alone / "cells.py").read_text(encoding="utf-8"))) or ""
    assert "Left out, because evaluation does not use it: DropPath (3), Linear (1) (40 parameters)." in header
    assert "blocks:toy" in header
    assert "0123abcd" in header


def test_the_file_runs_as_a_script(alone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", str(alone / "cells.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(1, 5)"


def test_without_weights_there_is_one_file_and_an_untrained_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    files = export_python(Residual(), tmp_path / "net.py", task=TASK, architecture=ARCHITECTURE, weights=False)
    assert files == [tmp_path / "net.py"] == list(tmp_path.iterdir())
    assert load_file(files[0]).Network()(torch.randn(2, 3, 9, 9)).shape == (2, 5)


def test_values_that_only_the_weights_hold_need_the_weights(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"buffer 'table'.*export it with weights"):
        export(Raw(), tmp_path, weights=False)


def test_the_network_and_the_random_state_stay_as_they_were(tmp_path: Path) -> None:
    network = Cells().train()
    network.head.eval()
    before, modes = copy.deepcopy(network.state_dict()), [m.training for m in network.modules()]
    attributes = {name: set(vars(module)) for name, module in network.named_modules()}
    torch.manual_seed(7)
    random.seed(7)
    states = torch.get_rng_state(), random.getstate()
    export(network, tmp_path)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert [m.training for m in network.modules()] == modes
    assert {name: set(vars(module)) for name, module in network.named_modules()} == attributes
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


# --------------------------------------------------------------------------------------- strangers

EVIL = "x\"\"\"'''\n\\import os; os.system('touch /tmp/owned') #"


def test_nothing_that_a_stranger_names_becomes_code(tmp_path: Path) -> None:
    network = nn.Sequential(Named(), type("class', os.system(", (nn.Module,), {"forward": lambda self, x: x.relu()})())
    architecture = Architecture(EVIL, {EVIL: [EVIL, 1.5, None, True]}, EVIL)
    text = export(network, tmp_path, task=Task(EVIL, (3, 9, 9), 5), architecture=architecture)
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"json", "torch"}
    assert "os" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    (stored,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and "ARCH" in ast.dump(node.targets[0])
    )
    assert ast.literal_eval(stored) == architecture.to_json()


def test_a_genome_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not plain JSON"):
        export(Cells(), tmp_path, architecture=Architecture("s", {"a": float("nan")}, "k"))


def _forward(function: Any) -> nn.Module:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return function(x)

    network = nn.Sequential(nn.ReLU())
    network.add_module("odd", Odd())
    return network


def _assign(x: Tensor) -> Tensor:
    x[:, 0] = 0
    return x


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x if x.sum() > 0 else -x, "depends on data"),
        (lambda x: x if len(x) > 2 else -x, "one by one|number of inputs"),
        (lambda x: torch.stack([one.relu() for one in x]), "one by one"),
        (lambda x: x + torch.rand(9), "not compute|random"),
        (lambda x: x + torch.arange(243.0).view(3, 9, 9), "register_buffer"),
        (lambda x: torch.tensor(x.tolist()), "plain code"),
        (_assign, "assigns to a part"),
        (lambda x: x.undefined(), "undefined"),
    ],
)
def test_what_cannot_be_plain_code_is_refused_and_leaves_nothing(tmp_path: Path, function: Any, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        export(_forward(function), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_refusal_names_the_module(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"the module 'odd' \(Odd\)"):
        export(_forward(lambda x: x if x.sum() > 0 else -x), tmp_path)


def test_a_function_that_torch_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"math\.sqrt is not part of torch"):
        export(_forward(lambda x: x * sqrt(x.shape[2])), tmp_path)


def test_a_network_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"The network fails on inputs of shape \(2, 3, 9, 9\).*give an example"):
        export(nn.Linear(7, 2), tmp_path)


def test_a_place_that_cannot_be_written_is_an_export_error(tmp_path: Path) -> None:
    (tmp_path / "net.py").mkdir()
    with pytest.raises(ExportError, match="Cannot write"):
        export(Residual(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="Cannot write"):
        export(Residual(), tmp_path / "file")


# ------------------------------------------------------------------------------- random networks

OPS = ["conv", "relu_", "relu", "add", "sub", "cat", "slice", "scale", "module", "clone", "mul_", "act_"]


class RandomNetwork(nn.Module):
    """Random steps on a growing list of states, in-place ones among them: their order must be kept."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
        self.blocks = nn.ModuleList(nn.Sequential(nn.ReLU(inplace=place == 1), SepConv(3, 3)) for place in range(2))

    def forward(self, x: Tensor) -> Tensor:
        states = [x.clone()]
        for op, i, j in self.steps:
            a, b = states[i % len(states)], states[j % len(states)]
            states.append(self._apply_op(op, a, b, i))
        return torch.cat(states[-2:], 1)

    def _apply_op(self, op: str, a: Tensor, b: Tensor, i: int) -> Tensor:
        table = {
            "conv": lambda: self.convs[i % 3](a),
            "module": lambda: self.blocks[i % 2](a),
            "relu_": lambda: F.relu_(a),
            "relu": lambda: F.relu(a),
            "add": lambda: a + b,
            "sub": lambda: a - (b - a),
            "cat": lambda: torch.cat([b, a], dim=2)[:, :, ::2][:, :, : a.shape[2]],
            "slice": lambda: F.pad(a[:, :, 1:, 1:], (0, 1, 1, 0)),
            "scale": lambda: -a * 0.5**2,
            "clone": lambda: a.clone(),
            "mul_": lambda: a.mul_(0.9),
            "act_": lambda: F.leaky_relu(a, 0.1, inplace=True),
        }
        result: Tensor = table[op]()  # type: ignore[no-untyped-call]  # mypy sees no types in lambdas
        return result


steps = st.lists(st.tuples(st.sampled_from(OPS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_random_networks_survive(tmp_path: Path, steps: list[tuple[str, int, int]]) -> None:
    torch.manual_seed(len(steps))
    network = RandomNetwork(steps).eval()
    folder = Path(tempfile.mkdtemp(dir=tmp_path))  # one each: Python takes bytecode of the same second for fresh
    export(network, folder)
    inputs = torch.randn(3, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(load_file(folder / "net.py").load()(inputs), network(inputs))


# ------------------------------------------------------------------------------- the torch program


@pytest.mark.parametrize("name", ["cells", "residual", "tied"])
def test_the_program_takes_batches_of_any_size(tmp_path: Path, name: str) -> None:
    network, inputs = zoo_network(name)
    (path,) = export_torch(network, tmp_path / "net.pt2", task=TASKS.get(name, TASK))
    program = torch.export.load(path).module()
    for batch in (inputs, inputs[:1], inputs.repeat(5, *[1] * (inputs.dim() - 1))):
        torch.testing.assert_close(program(batch), network(batch))


def test_a_program_that_depends_on_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"torch\.export cannot convert Sequential"):
        export_torch(_forward(lambda x: x if x.sum() > 0 else -x), tmp_path / "net.pt2", task=TASK)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------- the door


def test_the_format_is_chosen_by_name_and_sets_the_ending(tmp_path: Path) -> None:
    network, _ = zoo_network("residual")
    files = export_network(network, tmp_path / "best", "py", task=TASK, architecture=ARCHITECTURE)
    assert [file.name for file in files] == ["best.py", "best.safetensors"]
    files = export_network(network, tmp_path / "best", "torch", task=TASK, architecture=ARCHITECTURE)
    assert [file.name for file in files] == ["best.pt2"]
    files = export_network(network, tmp_path / "net-1.v2", "py", task=TASK, architecture=ARCHITECTURE)
    assert [file.name for file in files] == ["net-1.v2.py", "net-1.v2.safetensors"]
    assert "from network import load\n" in files[0].read_text(encoding="utf-8")
    with pytest.raises(ExportError, match="did you mean 'torch'"):
        export_network(network, tmp_path / "best", "torhc", task=TASK, architecture=ARCHITECTURE)


def test_an_example_stands_in_for_the_task(tmp_path: Path) -> None:
    text = export(nn.Linear(6, 2), tmp_path, task=Task("odd", (1,), 2), example=torch.randn(1, 6))
    assert "inputs = torch.randn(1, 6)" in text


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, nascore.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
