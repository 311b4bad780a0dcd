"""Instances of the whole problem: pairs of images with saliency, and permutations of blocks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """What ``puzzle_mix`` and ``objective`` take first."""

    x1: Tensor
    x2: Tensor
    saliency1: Tensor
    saliency2: Tensor
    lam: Tensor

    def sample(self, index: int) -> Pairs:
        """One pair, as a batch of one."""
        return Pairs(*(part[index : index + 1] for part in self))


def make_pairs(
    batch: int,
    rows: int = 16,
    columns: int = 16,
    *,
    channels: int = 3,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Pairs:
    """Smooth random images with a bright spot each, and saliency that favours the spot."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    y, x = torch.arange(rows)[:, None], torch.arange(columns)
    images, saliencies = [], []
    for _ in range(2):
        centre = rand(batch, 2, 1, 1)
        squared = (y - centre[:, 0] * rows) ** 2 + (x - centre[:, 1] * columns) ** 2
        spot = torch.exp(-squared / (rows * columns / 8))
        colour = rand(batch, channels, 1, 1)
        noise = rand(batch, channels, rows, columns)
        images.append(0.6 * colour * spot[:, None] + 0.4 * noise)
        saliencies.append(spot + 0.2 * rand(batch, rows, columns))
    x1, x2 = (image.to(dtype) for image in images)
    s1, s2 = (saliency.float() for saliency in saliencies)
    return Pairs(x1, x2, s1, s2, rand(batch))


def make_sources(batch: int, rows: int, columns: int, *, seed: int = 0) -> Tensor:
    """Random permutations [B, rows, columns]."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand((batch, rows * columns), generator=generator)
    return keys.argsort(1).view(batch, rows, columns)


def make_mask(batch: int, rows: int, columns: int, labels: int, *, seed: int = 0) -> Tensor:
    """Random masks z = k/m, [B, rows, columns] float64."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(labels, (batch, rows, columns), generator=generator)
    return steps.double() / (labels - 1)
