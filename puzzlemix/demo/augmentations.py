"""The classic augmentations of the lecture, by kornia."""

from __future__ import annotations

import torch
from kornia import augmentation, filters
from torch import Tensor, nn

__all__ = ["NAMES", "augmented"]

NAMES = (
    "Original",
    "Crop and resize",
    "Crop, resize\n(and flip)",
    "Color distort.\n(drop)",
    "Color distort.\n(jitter)",
    "Rotate\n{90°, 180°, 270°}",
    "Cutout",
    "Gaussian noise",
    "Gaussian blur",
    "Sobel filtering",
)
"""The lecture's a to j."""


def augmented(image: Tensor, seed: int) -> dict[str, Tensor]:
    """A square picture [3, Y, X] in [0, 1] after each augmentation, by name.

    kornia draws from the global random state, which is as before afterwards.
    """
    changes = dict(zip(NAMES, _changes(image.shape[-1]), strict=True))
    done = {}
    with torch.random.fork_rng(devices=[]):
        for number, (name, change) in enumerate(changes.items()):
            torch.manual_seed(seed + number)
            done[name] = change(image[None])[0].clamp(0, 1)
    return done


def _changes(side: int) -> list[nn.Module]:
    size, radius = (side, side), round(side / 30)
    crop = augmentation.RandomResizedCrop(size, scale=(0.2, 0.7))
    return [
        nn.Identity(),
        crop,
        nn.Sequential(crop, augmentation.RandomHorizontalFlip(p=1)),
        augmentation.RandomGrayscale(p=1),
        augmentation.ColorJitter(0.8, 0.8, 0.8, 0.2, p=1),  # as in SimCLR
        augmentation.RandomRotation90((1, 3), p=1),
        augmentation.RandomErasing((0.25, 0.25), ratio=(1, 1), p=1),
        augmentation.RandomGaussianNoise(std=0.15, p=1),
        filters.GaussianBlur2d((2 * radius + 1,) * 2, (side / 90,) * 2),
        # An edge of 1/4 or more becomes 1.
        filters.Sobel(normalized=False),
    ]
