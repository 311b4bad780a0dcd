"""The networks of the examples. All take images in [0, 1] and normalise them themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Normalize(nn.Module):
    """Each channel less its mean, over its standard deviation.

    A part of the network, so that mixers and adversarial noise see pixels in [0, 1].
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class PreActBlock(nn.Module):
    """Two convolutions, each after its normalisation (He et al., ECCV 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        straight = stride == 1 and before == after
        self.shortcut = None if straight else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        return kept + self.conv2(F.relu(self.norm2(self.conv1(active))))


class PreActResNet18(nn.Module):
    """The network of the published CIFAR experiments: 11 million parameters.

    With ``stride`` 2 its first convolution halves the image, as published for Tiny-ImageNet.
    ``dropout`` comes before the last layer.
    """

    mix_layers = ("input", "layer1", "layer2")

    def __init__(
        self, num_classes: int, width: int = 64, *, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.normalize = Normalize(CIFAR_MEAN, CIFAR_STD)
        self.stem = nn.Conv2d(3, width, 3, stride, padding=1, bias=False)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(PreActBlock(widths[i], widths[i + 1], 1 + (i > 0)), PreActBlock(w, w, 1))
            for i, w in enumerate(widths[1:])
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees the mean of, [N, C, Y', X']."""
        x = self.stem(self.normalize(images))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return F.relu(self.norm(x))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images).mean((2, 3))))


class SmallNet(nn.Module):
    """Three convolutions: learns something within a minute on a CPU.

    ``stride`` is that of the first, ``dropout`` comes before the last layer.
    """

    mix_layers = ("input", "block1", "block2")

    def __init__(
        self, num_classes: int, width: int = 16, *, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.normalize = Normalize(CIFAR_MEAN, CIFAR_STD)
        self.block1 = _block(3, width, stride)
        self.block2 = _block(width, 2 * width, 2)
        self.block3 = _block(2 * width, 4 * width, 2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees the mean of, [N, C, Y', X']."""
        return self.block3(self.block2(self.block1(self.normalize(images))))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images).mean((2, 3))))


class LeNet(nn.Module):
    """After LeCun et al., 1998, for spectrograms [N, 1, 64, 64] in [0, 1]."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Normalize([0.5], [0.25]),
            nn.Conv2d(1, 8, 5, padding=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Conv2d(8, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(256, 84), nn.ReLU(), nn.Linear(84, num_classes))

    def forward(self, spectrograms: Tensor) -> Tensor:
        return self.head(self.features(spectrograms))


NETS = {"preactresnet18": PreActResNet18, "small": SmallNet}


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
