"""When activations live: the peak of their memory in one run of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable


def activation_peak(network: nn.Module, inputs: Tensor) -> int:
    """The most bytes of activations that are needed at once while ``network(inputs)`` runs.

    A tensor's memory is needed from the op that makes it to the last op that reads or writes it;
    views share memory, work in place takes none, and parameters and buffers are no activations. What
    the network returns is needed to the end.
    """
    recorder = _Recorder(weights=[*network.parameters(), *network.buffers()])
    recorder.touch([inputs])
    with recorder:
        result = network(inputs)
    recorder.touch(_tensors(result))
    return recorder.peak()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """Notes for every storage its size, and the first and the last op that touched it."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.ops = 0
        self.lives: dict[int, list[int]] = {}  # storage -> [bytes, first op, last op]
        self.held = [tensor.untyped_storage() for tensor in weights]
        self.weights = {storage._cdata for storage in self.held}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.touch(_tensors((args, kwargs, result)))
        self.ops += 1
        return result

    def touch(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata in self.weights:
                continue
            if storage._cdata not in self.lives:
                self.held.append(storage)  # so that its address is not given to another one
                self.lives[storage._cdata] = [storage.nbytes(), self.ops, self.ops]
            self.lives[storage._cdata][2] = self.ops

    def peak(self) -> int:
        changes = [0] * (self.ops + 2)
        for size, first, last in self.lives.values():
            changes[first] += size
            changes[last + 1] -= size
        most = now = 0
        for change in changes:
            now += change
            most = max(most, now)
        return most


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
