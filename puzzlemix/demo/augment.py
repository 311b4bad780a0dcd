"""The classic augmentations of the lecture, for one picture each call.

Every function takes a picture [3, Y, X] in [0, 1] and returns a new one like it. Those that draw
take a generator on the CPU; None is the global random state. They are here to be read and drawn;
torchvision and kornia have them for batches, on the GPU, and many more.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = [
    "blur",
    "crop_and_resize",
    "cutout",
    "drop_color",
    "flip",
    "jitter_color",
    "noise",
    "rotate",
    "sobel",
]

GREY = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


def crop_and_resize(
    image: Tensor, generator: Generator | None = None, scale: tuple[float, float] = (0.2, 0.7)
) -> Tensor:
    """A box somewhere in the picture, with a share of its area in ``scale``, enlarged to it."""
    height, width = image.shape[-2:]
    area = _between(*scale, generator)
    stretch = math.exp(_between(math.log(3 / 4), math.log(4 / 3), generator))
    rows = min(max(round(height * (area / stretch) ** 0.5), 1), height)
    columns = min(max(round(width * (area * stretch) ** 0.5), 1), width)
    top = int(torch.randint(height - rows + 1, (), generator=generator))
    left = int(torch.randint(width - columns + 1, (), generator=generator))
    box = image[None, :, top : top + rows, left : left + columns]
    resized = F.interpolate(box, (height, width), mode="bilinear", antialias=True)
    return resized[0].clamp(0, 1)


def flip(image: Tensor) -> Tensor:
    """Left and right swapped."""
    return image.flip(-1)


def drop_color(image: Tensor) -> Tensor:
    """Grey, of the same brightness."""
    return _brightness(image).expand_as(image).clone()


def jitter_color(image: Tensor, generator: Generator | None = None, strength: float = 1) -> Tensor:
    """Brightness, contrast, saturation and hue changed at random.

    At strength 1 the first three are multiplied by 0.2 to 1.8 and hue turns by at most 72 degrees,
    as in SimCLR.
    """
    limit = 0.8 * strength
    bright, contrast, saturation = (_between(1 - limit, 1 + limit, generator) for _ in range(3))
    angle = 2 * math.pi * 0.2 * _between(-strength, strength, generator)
    image = (image * bright).clamp(0, 1)
    middle = _brightness(image).mean()
    image = ((image - middle) * contrast + middle).clamp(0, 1)
    # Saturation is the length, and hue the angle, of what differs from grey. The matrices take red,
    # green and blue to brightness and two differences, and back.
    to = torch.tensor([GREY, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=torch.float64)
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = torch.tensor([(1, 0, 0), (0, cos, -sin), (0, sin, cos)], dtype=torch.float64)
    change = (torch.linalg.inv(to) @ turn @ to).to(image)
    return torch.einsum("ij,jyx->iyx", change, image).clamp(0, 1)


def rotate(image: Tensor, generator: Generator | None = None) -> Tensor:
    """Turned by 90, 180 or 270 degrees, by 180 if the picture is not square."""
    quarters = int(torch.randint(1, 4, (), generator=generator))
    square = image.shape[-2] == image.shape[-1]
    return image.rot90(quarters if square else 2, (-2, -1))


def cutout(image: Tensor, generator: Generator | None = None, side: float = 0.5) -> Tensor:
    """A box of zeros, ``side`` of each side, with its centre anywhere (DeVries and Taylor, 2017).

    The box ends where the picture does.
    """
    inside = torch.ones(1, 1, dtype=torch.bool, device=image.device)
    for axis, length in enumerate(image.shape[-2:]):
        places = torch.arange(length, device=image.device)
        reach = round(side * length)
        start = int(torch.randint(length, (), generator=generator)) - reach // 2
        inside = inside & ((places >= start) & (places < start + reach)).unsqueeze(1 - axis)
    return image.masked_fill(inside, 0)


def noise(image: Tensor, generator: Generator | None = None, std: float = 0.15) -> Tensor:
    """Gaussian noise on every value."""
    drawn = torch.randn(image.shape, generator=generator, device="cpu")
    return (image + std * drawn.to(image)).clamp(0, 1)


def blur(image: Tensor, sigma: float = 2.5) -> Tensor:
    """Averaged with Gaussian weights; ``sigma`` counts in pixels."""
    reach = min(math.ceil(3 * sigma), min(image.shape[-2:]) - 1)
    weights = torch.arange(-reach, reach + 1).div(max(sigma, 1e-6)).square().div(-2).exp()
    weights = (weights / weights.sum()).to(image)
    padded = F.pad(image[:, None], (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0].clamp(0, 1)


def sobel(image: Tensor) -> Tensor:
    """How steep each channel is, from Sobel's two filters; an edge of 1/4 or more becomes 1."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(image)
    filters = torch.stack((across, across.T))[:, None]
    padded = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")
    steepness: Tensor = torch.linalg.vector_norm(F.conv2d(padded, filters), dim=1)
    return steepness.clamp(0, 1)


def _brightness(image: Tensor) -> Tensor:
    return torch.einsum("c,cyx->yx", torch.tensor(GREY).to(image), image)[None]


def _between(low: float, high: float, generator: Generator | None) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
