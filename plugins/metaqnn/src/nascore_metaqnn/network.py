"""The network of a chain of layers (Baker et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from nascore_metaqnn.space import GAP, pooled

if TYPE_CHECKING:
    from collections.abc import Sequence


class ChainNetwork(nn.Module):
    """Convolutions (stride 1, same size) and fully connected layers with ReLU, max-poolings, classifier.

    With c channels coming in, ``conv_F_K`` has K K c F + F parameters (with BN: K K c F + 2 F), and ``fc_N``
    has (inputs + 1) N.
    """

    def __init__(
        self,
        chain: Sequence[str],
        shape: Sequence[int],
        classes: int,
        *,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """
        Args:
            chain: the layers, an end last.
            shape: of one input: (channels, height, width).
            classes: number of logits.
            batch_norm: BN between a convolution and its ReLU.
            dropout: the i-th of n dropouts, which come after every second layer, has probability i / n times this.
        """
        super().__init__()
        channels, height, width = shape
        flat = 0  # units of the last fully connected layer; 0: none yet
        layers: list[nn.Module] = []
        body, end = chain[:-1], chain[-1]
        for number, layer in enumerate(body, start=1):
            kind, *numbers = layer.split("_")
            if kind == "conv":
                filters, kernel = map(int, numbers)
                layers.append(nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=not batch_norm))
                layers += [nn.BatchNorm2d(filters)] if batch_norm else []
                layers.append(nn.ReLU())
                channels = filters
            elif kind == "pool":
                window, stride = map(int, numbers)
                layers.append(nn.MaxPool2d(window, stride))
                height, width = pooled(height, window, stride), pooled(width, window, stride)
            else:
                layers += [] if flat else [nn.Flatten()]
                layers += [nn.Linear(flat or channels * height * width, int(numbers[0])), nn.ReLU()]
                flat = int(numbers[0])
            if dropout and number % 2 == 0:
                layers.append(nn.Dropout(dropout * (number // 2) / (len(body) // 2)))
        if end == GAP:
            layers.append(nn.AdaptiveAvgPool2d(1))
            height = width = 1
        if not flat:
            layers.append(nn.Flatten())
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(flat or channels * height * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> logits (batch, classes)."""
        logits: Tensor = self.classifier(self.layers(x))
        return logits
