"""Handing a found network over: a readable Python file, a ``torch.export`` program, or an ONNX file.

Importing this package does not import torch; each writer is imported when it is called. A further
format is one module with one function, and one line in :data:`FORMATS`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nascore.checkpoint import write_atomically
from nascore.errors import NascoreError, nearest

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from nascore.contracts import SearchSpace, Task
    from nascore.records import Architecture


class ExportError(NascoreError):
    """A network that cannot be written in the wanted format; names the module or the op, and a way out."""


FORMATS = {"py": ".py", "torch": ".pt2", "onnx": ".onnx"}
"""Format, as ``nascore export --format`` takes it -> ending of its file."""


def export_network(
    network: nn.Module, path: Path, form: str, *, task: Task, architecture: Architecture, example: Tensor | None = None
) -> list[Path]:
    """Write a network in one of the :data:`FORMATS`.

    Args:
        network: the trained network; it is left as it was.
        path: the file to write, with the ending of a format or none; the right one is put on.
        form: a key of :data:`FORMATS`.
        task: what the network does; gives the shape of an input.
        architecture: where the network comes from, written into the file where the format allows it.
        example: a batch of inputs, where ``task`` does not tell what they look like.

    Returns:
        The files that were written, the main one first.

    Raises:
        ExportError: an unknown format, or a network that the format cannot hold.
    """
    path = _named(path, form)
    if form == "py":
        return export_python(network, path, task=task, architecture=architecture, example=example)
    if form == "onnx":
        return export_onnx(network, path, task=task, example=example)
    return export_torch(network, path, task=task, example=example)


def export_source(space: SearchSpace, architecture: Architecture, path: Path, form: str, *, task: Task) -> list[Path]:
    """Write an architecture that is code, not a network, as its space writes it.

    Args:
        space: provides ``source``.
        architecture: of the space; checked.
        path: as in :func:`export_network`.
        form: ``py``; nothing else holds code.
        task: what it does.

    Returns:
        The file that was written, in a list.

    Raises:
        ExportError: an unknown format, or one for networks.
        SpaceError: the architecture is not in the space.
    """
    path = _named(path, form)
    if form != "py":
        raise ExportError(
            f"What the space {space.name!r} finds is code, not a network, so there is no {form} file of it: "
            "write it with --format py."
        )
    space.check(architecture)
    writer: Any = space  # `source` is a capability, not in the contract
    text: str = writer.source(architecture, task)
    write_atomically(path, text.encode())
    return [path]


def _named(path: Path, form: str) -> Path:
    """The path with the ending of the format.

    Raises:
        ExportError: an unknown format.
    """
    if form not in FORMATS:
        raise ExportError(f"There is no export format {form!r}; {nearest(form, FORMATS)}.")
    stem = path.stem if path.suffix in FORMATS.values() else path.name  # `net.v2` keeps its `.v2`
    return path.with_name(stem + FORMATS[form])


def export_python(
    network: nn.Module,
    path: Path,
    *,
    task: Task,
    architecture: Architecture,
    weights: bool = True,
    example: Tensor | None = None,
) -> list[Path]:
    """Write a network as one readable Python file that needs torch and nothing else.

    The file is imported and compared with the network before it gets its name, so what is
    written computes what the network computes.

    Args:
        network: the network; it is left as it was.
        path: the ``.py`` file; the weights go beside it as ``.safetensors``.
        task: what the network does; gives the shape of an input.
        architecture: where the network comes from; it is written into the file, escaped.
        weights: write the weights too. Without, the file defines the untrained network.
        example: a batch of inputs, where ``task`` does not tell what they look like.

    Returns:
        The files that were written: the Python file and, with ``weights``, the weights.

    Raises:
        ExportError: the forward pass depends on data, or uses what torch alone does not have; names the module.
    """
    module = importlib.import_module("nascore.export.python_file")
    files: list[Path] = module.write(
        network, path, task=task, architecture=architecture, weights=weights, example=example
    )
    return files


def export_torch(network: nn.Module, path: Path, *, task: Task, example: Tensor | None = None) -> list[Path]:
    """Write a network as a ``torch.export`` program that takes batches of any size.

    The program is loaded again and compared with the network before it gets its name.

    Args:
        network: the network; it is left as it was. Exported as it is in evaluation.
        path: the ``.pt2`` file.
        task: what the network does; gives the shape of an input.
        example: a batch of at least two inputs, where ``task`` does not tell what they look like.

    Returns:
        The file that was written, in a list.

    Raises:
        ExportError: torch.export cannot convert the network; says what it stumbled over.
    """
    module = importlib.import_module("nascore.export.torch_program")
    files: list[Path] = module.write(network, path, task=task, example=example)
    return files


def export_onnx(network: nn.Module, path: Path, *, task: Task, example: Tensor | None = None) -> list[Path]:
    """Write a network as an ONNX file with one input ``input`` and one output ``output``, for batches of any size.

    The file passes ONNX's own checker, and onnxruntime's outputs are compared with the network's (to 1e-4)
    before it gets its name.

    Args:
        network: the network; it is left as it was. Exported as it is in evaluation.
        path: the ``.onnx`` file; the weights are inside.
        task: what the network does; gives the shape of an input.
        example: a batch of inputs to compare on, real ones where they are at hand.

    Returns:
        The file that was written, in a list.

    Raises:
        UsageError: a package that this needs is not installed; says what to type.
        ExportError: ONNX cannot hold the network; says what the exporter stumbled over.
    """
    module = importlib.import_module("nascore.export.onnx_file")
    files: list[Path] = module.write(network, path, task=task, example=example)
    return files
