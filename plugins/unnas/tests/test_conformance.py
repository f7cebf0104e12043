"""The kit's checks, on small images in colour."""

import torch

from nascore.contracts import Splits
from nascore.testing import EvaluatorConformance
from nascore_blocks.data.splits import tensor_splits
from nascore_unnas.colour import Colorization
from nascore_unnas.jigsaw import Jigsaw
from nascore_unnas.rotation import Rotation


def coloured(examples=48):
    generator = torch.Generator().manual_seed(0)

    def pair():
        images = torch.randint(0, 256, (examples, 3, 2, 2), generator=generator, dtype=torch.uint8)
        return images.repeat_interleave(4, 2).repeat_interleave(4, 3), torch.arange(examples) % 4

    return tensor_splits("colours", pair(), pair(), pair(), classes=4)


class Small(EvaluatorConformance):
    kind: type

    def make(self):
        return self.kind(epochs=2, batch_size=16)

    def data(self) -> Splits:
        return coloured()


class TestRotation(Small):
    kind = Rotation


class TestJigsaw(Small):
    kind = Jigsaw


class TestColorization(Small):
    kind = Colorization


class TestRotationOnTheKitsOwnData(Small):
    """Plain torch data sets of (input, label)."""

    kind = Rotation

    data = EvaluatorConformance.data


del Small, EvaluatorConformance  # pytest would collect them
