"""Data sets: real images, split in train, valid and test by seed.

Importing this package imports torch and PIL, but neither torchvision nor scikit-learn, which take
seconds.
"""

from nascore_blocks.data.arrays import UserData, from_arrays
from nascore_blocks.data.digits import Digits
from nascore_blocks.data.folder import ImageFolder
from nascore_blocks.data.splits import (
    Joined,
    Mapped,
    Split,
    Subset,
    TensorSplit,
    as_split,
    nested_subset,
    stratified_split,
)
from nascore_blocks.data.vision import CIFAR10, CIFAR100, MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "Joined",
    "Mapped",
    "Split",
    "Subset",
    "TensorSplit",
    "UserData",
    "as_split",
    "from_arrays",
    "nested_subset",
    "stratified_split",
]
