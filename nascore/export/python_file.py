"""A network as one Python file that needs torch alone, with its weights beside it."""

from __future__ import annotations

import importlib.machinery
import json
import re
import tempfile
import types
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nascore.export import ExportError
from nascore.export.checking import difference, evaluating, example_batch, publish, run
from nascore.export.classes import ClassWriter
from nascore.export.layers import is_layer
from nascore.export.layout import literal, wrap
from nascore.export.plan import Plan, identifier, own_tensors
from nascore.export.trace import trace
from nascore.seeding import isolated_random

if TYPE_CHECKING:
    from torch import Tensor

    from nascore.contracts import Task
    from nascore.records import Architecture

_LOADER = '''
WEIGHTS = Path(__file__).with_suffix(".safetensors")


def load(path=WEIGHTS):
    """The network with its trained weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(read_safetensors(path))
    return network.eval()


def read_safetensors(path):
    """Read tensors by name: 8 bytes with the length of a JSON header, the header, the numbers."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    types = {TYPES}
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            numbers = bytearray(data[start + begin : start + end])
            tensor = torch.frombuffer(numbers, dtype=types[entry["dtype"]])
            tensors[name] = tensor.reshape(entry["shape"])
    return tensors
'''

_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""Types of tensors under their names in a safetensors file."""


def write(
    network: nn.Module,
    path: Path,
    *,
    task: Task,
    architecture: Architecture,
    weights: bool = True,
    example: Tensor | None = None,
) -> list[Path]:
    """Write the file and, with ``weights``, the weights; see :func:`nascore.export.export_python`."""
    if is_layer(network):
        network = nn.Sequential(network)  # a class can be written around a layer, not instead of it
    batches = (example_batch(network, task, example, 2), example_batch(network, task, example, 3))
    with evaluating(network), isolated_random(0), tempfile.TemporaryDirectory() as folder:
        expected = [run(network, batch, "The network") for batch in batches]
        plan = Plan(trace(network, batches))
        state = _state(plan)
        classes = ClassWriter(plan, weights).write([*_shared(plan), *_precision(state)])
        header = _header(plan, path, task, architecture, weights)
        draft = Path(folder) / "network.py"
        draft.write_text(_file(header, classes, state, architecture, batches[0], weights), encoding="utf-8")
        _save(state, draft.with_suffix(".safetensors"))
        copy = _import(draft, state)
        for batch, outputs in zip(batches, expected, strict=True):
            found = difference(outputs, run(copy, batch.cpu(), "The written network"))
            if found:
                raise ExportError(
                    f"The written network does not compute what {type(network).__name__} computes: {found}. "
                    "A Python file cannot hold a forward pass that draws random numbers, keeps a state, or runs hooks."
                )
        return _publish(draft, path, weights)


# ---------------------------------------------------------------------------------------- weights


def _state(plan: Plan) -> dict[str, Tensor]:
    """The state dictionary of the written network: new name -> value."""
    state: dict[str, Tensor] = {}
    for place in plan.places():
        if is_layer(place.module):
            tensors = dict(place.module.state_dict())
        else:
            own = own_tensors(place.module)
            tensors = {identifier(name): tensor for name, tensor in own if (id(place.module), name) in plan.own}
        for name, tensor in tensors.items():
            state[place.path + name] = tensor.detach().cpu().contiguous().clone()
    return state


def _shared(plan: Plan) -> list[str]:
    """Lines that make modules and tensors with several places one again."""
    lines: list[str] = []
    homes: dict[int, str] = {}
    again: list[str] = []
    for place in plan.places():
        if any(place.path.startswith(path) for path in again) or not any(True for _ in place.module.state_dict()):
            continue
        if id(place.module) in homes:
            lines.append(f"{place.reference} = {homes[id(place.module)]}")
            again.append(place.path)
            continue
        homes[id(place.module)] = place.reference
        for name, tensor in own_tensors(place.module):
            reference = f"{place.reference}.{identifier(name)}"
            written = is_layer(place.module) or (id(place.module), name) in plan.own
            if written and homes.setdefault(id(tensor), reference) != reference:
                lines.append(f"{reference} = {homes[id(tensor)]}")
    return lines


def _precision(state: dict[str, Tensor]) -> list[str]:
    types = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(types) > 1:
        raise ExportError(f"The network mixes {', '.join(sorted(map(str, types)))}; bring it to one precision first.")
    return [f"self.to({dtype})" for dtype in types if dtype is not torch.float32]


def _save(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    unknown = {str(tensor.dtype) for tensor in state.values()} - {str(dtype) for dtype in _TYPES}
    if unknown:
        raise ExportError(f"Weights of the type {', '.join(sorted(unknown))} cannot be written.")
    save_file(state, path)


# ---------------------------------------------------------------------------------------- text


def _file(
    header: str, classes: str, state: dict[str, Tensor], architecture: Architecture, batch: Tensor, weights: bool
) -> str:
    imports = ["import json", "from pathlib import Path", ""] if weights else []
    imports += [
        "import torch",
        *(["import torch.nn.functional as F"] if "F." in classes else []),
        "from torch import nn",
    ]
    sections = ["\n".join(imports), classes]
    if weights:
        types = sorted({tensor.dtype for tensor in state.values()} | {torch.float32}, key=str)
        table = ", ".join(f'"{_TYPES[dtype]}": {dtype}' for dtype in types)
        sections.append(_LOADER.strip("\n").replace("{TYPES}", f"{{{table}}}"))
    sections.append("\n".join(wrap(f"ARCHITECTURE = {literal(json.loads(_json(architecture)))}", 0)))
    size = ", ".join(map(str, (1, *batch.shape[1:])))
    floating = batch.is_floating_point()
    dtype = "" if batch.dtype == torch.float32 else f", dtype={batch.dtype}"
    sections.append(
        'if __name__ == "__main__":\n'
        f"    network = {'load()' if weights else 'Network().eval()'}\n"
        f"    inputs = torch.{'randn' if floating else 'zeros'}({size}{dtype})\n"
        "    with torch.no_grad():\n"
        "        outputs = network(inputs)\n"
        "    print(tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else outputs)"
    )
    return header + "\n\n" + "\n\n\n".join(sections) + "\n"


def _header(plan: Plan, path: Path, task: Task, architecture: Architecture, weights: bool) -> str:
    """The docstring of the file. Whatever a stranger may have named goes through :func:`_plain`."""
    parameters = {id(p): p.numel() for place in plan.places() for p in _parameters(plan, place.module)}
    left = Counter(type(module).__name__ for module in plan.left_out())
    missing = sum(p.numel() for p in plan.network.parameters()) - sum(parameters.values())
    inputs = ", ".join(map(str, task.shape))
    fits = path.stem == identifier(path.stem)
    stem = path.stem if fits else "network"
    files = ["network.py", "network.safetensors"] if weights else ["network.py"]
    lines = [
        f"A network that nascore found in the search space {_plain(architecture.space)}.",
        "",
        f"Architecture: {_plain(architecture.key)} (all of it at the end of this file)",
        f"Task:         {_plain(task.name)}: inputs (batch, {inputs}), {task.classes} outputs",
        f"Parameters:   {sum(parameters.values()):,}",
        "",
        "It needs torch and nothing else:",
        *([] if fits else [f"(Python can import it under another name: {' and '.join(files)})"]),
        "",
        f"    from {stem} import {'load' if weights else 'Network'}",
        f"    network = {'load()' if weights else 'Network()'}",
        "    outputs = network(inputs)",
        "",
        "Written down as it works in evaluation; it can be trained further.",
    ]
    if left or missing:
        names = ", ".join(f"{_plain(name)} ({count})" for name, count in sorted(left.items()))
        count = f" ({missing:,} parameters)" if missing else ""
        lines.append(f"Left out, because evaluation does not use it: {names or 'unused parameters'}{count}.")
    return '"""' + "\n".join(lines) + '\n"""'


def _parameters(plan: Plan, module: nn.Module) -> list[nn.Parameter]:
    if is_layer(module):
        return list(module.parameters())
    return [p for name, p in module._parameters.items() if p is not None and (id(module), name) in plan.own]


def _plain(text: str) -> str:
    """Text that is safe in a docstring and a comment, whoever wrote it."""
    return re.sub(r"[^A-Za-z0-9 _.:,;()/+=<>@-]", "?", text)[:100]


def _json(architecture: Architecture) -> str:
    try:
        return json.dumps(architecture.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"The genome of the architecture is not plain JSON: {error}") from error


# ---------------------------------------------------------------------------------------- proof


def _import(file: Path, state: dict[str, Tensor]) -> nn.Module:
    """The network of a file that this module has just written, in evaluation mode."""
    loader = importlib.machinery.SourceFileLoader("nascore_exported_network", str(file))
    module: Any = types.ModuleType(loader.name)
    module.__file__ = str(file)
    loader.exec_module(module)
    network: nn.Module = module.load() if hasattr(module, "load") else module.Network()
    network.load_state_dict(state)
    return network.eval()


def _publish(draft: Path, path: Path, weights: bool) -> list[Path]:
    """Give the finished files their names, the weights first: a Python file is never without them."""
    files = [(draft, path)]
    if weights:
        files.append((draft.with_suffix(".safetensors"), path.with_suffix(".safetensors")))
    for source, target in reversed(files):
        publish(source, target)
    return [target for _, target in files]
