"""Parts that misbehave, each in one way, for tests of bad input and hostile days."""

from __future__ import annotations

import errno
import math
import time

import torch
from toy_parts import Table

from nascore.records import Measurement

# ------------------------------------------------------------------------------ functions as spaces


def raises_at_two(choose, task):
    """A network that cannot be built when the decision is 2."""
    width = choose("width", [1, 2])
    if width == 2:
        raise KeyError("no such layer")
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(task.shape[1] * task.shape[2], task.classes))


def raises_always(choose, task):
    choose("width", [1, 2])
    raise KeyError("no such layer")


def returns_nothing(choose, task):
    choose("width", [1, 2])


def changes_options(choose, task):
    choose("width", [8, 16])
    choose("width", [8, 16, 32])
    return torch.nn.Flatten()


def offers_classes(choose, task):
    return choose("op", [torch.nn.ReLU, torch.nn.GELU])()


def wants_three(choose, task, more):
    return torch.nn.Flatten()


not_a_space = 3

# ------------------------------------------------------------------------------ evaluators


class Builds(Table):
    """Builds the network and nothing else."""

    def evaluate(self, candidate, context):
        self.space.build(candidate.architecture, context.task)
        return Measurement.complete(accuracy=0.5, loss=0.5)


class Sick(Table):
    """Goes wrong in another way in every trial, and is well from trial 7 on."""

    def evaluate(self, candidate, context):
        if context.number == 0:
            return Measurement.complete(accuracy=math.nan, loss=1.0)
        if context.number == 1:
            raise MemoryError("cannot allocate 9 TiB")
        if context.number == 2:
            raise ValueError("shapes differ\nin the second line")
        if context.number == 3:
            return None
        if context.number == 4:
            return Measurement.complete(loss=1.0)
        if context.number == 5:
            raise SystemExit(3)
        if context.number == 6:
            return self.evaluate(candidate, context)
        return super().evaluate(candidate, context)


class AllNaN(Table):
    """Diverges, always."""

    def evaluate(self, candidate, context):
        return Measurement.complete(accuracy=math.nan, loss=math.nan)


class DiskFull(Table):
    """The disk is full when trial 2 writes its weights, the first time."""

    left = 1

    def evaluate(self, candidate, context):
        if context.number == 2 and DiskFull.left:
            DiskFull.left -= 1
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise RuntimeError("while serializing") from error
        return super().evaluate(candidate, context)


class Keeps(Table):
    """Keeps the weights of a network of one layer."""

    def evaluate(self, candidate, context):
        from safetensors.torch import save_file

        network = self.space.build(candidate.architecture, context.task)
        save_file(network.state_dict(), context.folder() / "weights.safetensors")
        measurement = super().evaluate(candidate, context)
        return Measurement(measurement.status, measurement.objectives, artifacts={"weights": "weights.safetensors"})


class Endless(Table):
    """A trial that lasts until it is interrupted; the first two are done at once."""

    def evaluate(self, candidate, context):
        if context.number >= 2:
            time.sleep(60)
        return super().evaluate(candidate, context)
