"""The mix of two images in plain PyTorch.

Letters: B batch, C channels, Y x X pixels, h x w and h' x w' grids of blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..arrays import accepts_numpy
from ..validate import contracts
from ..validate.values import expect_values

__all__ = ["mix", "moved"]


@accepts_numpy
def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None = None,
    source2: Tensor | None = None,
    *,
    partner: Tensor | None = None,
) -> Tensor:
    """z * a + (1 - z) * b, with a and b the images x1 and x2 [B, C, Y, X], their blocks moved.

    ``mask`` z is [B, h, w]; ``source1`` and ``source2`` [B, h', w'] say which block comes to each
    place, or None leaves the blocks where they are. Each of the three grids divides the image. With
    ``partner`` [B] x2 may hold any number of images, and sample b is mixed with number partner[b];
    x2 = None is an empty partner, zeros. Computed in float32 (float64 for float64 images), each
    operation rounded, and returned in the images' type and in x1's memory format. Where z is 1, b
    isn't read, nor a where z is 0, so a NaN there has no effect. Differentiable in the images and
    the mask.
    """
    contracts.mix(x1, x2, mask, source1, source2, partner)
    precision = torch.float64 if x1.dtype == torch.float64 else torch.float32
    mask = mask.to(precision)
    expect_values("mix", x1, x2, mask, source1, source2, partner)
    if x2 is None:
        x2 = torch.zeros_like(x1)
    elif partner is not None:
        x2 = x2[partner.long()]
    z = _to_pixels(mask, *x1.shape[2:])[:, None]
    a = moved(x1, source1).to(precision)
    b = moved(x2, source2).to(precision)
    a = torch.where(z == 0, a.nan_to_num(0, 0, 0), a)
    b = torch.where(z == 1, b.nan_to_num(0, 0, 0), b)
    mixed = (z * a + (1 - z) * b).to(x1.dtype)
    last = not x1.is_contiguous() and x1.is_contiguous(memory_format=torch.channels_last)
    return mixed.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def moved(image: Tensor, source: Tensor | None) -> Tensor:
    """The image [B, C, Y, X] with block source[j] of the grid at each place j."""
    if source is None:
        return image
    rows, columns = image.shape[2:]
    height, width = rows // source.shape[1], columns // source.shape[2]
    block = _to_pixels(source.long(), rows, columns)
    y = torch.arange(rows, device=image.device)[:, None]
    x = torch.arange(columns, device=image.device)
    from_y = block // source.shape[2] * height + y % height
    from_x = block % source.shape[2] * width + x % width
    pixel = (from_y * columns + from_x).flatten(1)[:, None].expand(image.flatten(2).shape)
    return image.flatten(2).gather(2, pixel).view(image.shape)


def _to_pixels(grid: Tensor, rows: int, columns: int) -> Tensor:
    """A value for each block [B, h, w] repeated over its pixels: [B, Y, X]."""
    grid = grid.repeat_interleave(rows // grid.shape[1], 1)
    return grid.repeat_interleave(columns // grid.shape[2], 2)
