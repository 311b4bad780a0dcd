"""Which images of a batch are mixed with which: an assignment of the batch to itself.

Letters: N batch, Y x X pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .ops.transport import assignment

__all__ = ["overlapping"]

SIDE = 8
"""Rows and columns of the blocks on which saliency is compared."""
UNIT = 2.0**-14
"""Shares are rounded to multiples of this: their sums are exact then, whatever their order."""


def overlapping(saliency: Tensor, labels: Tensor | None = None) -> Tensor:
    """Partners [N] whose saliency overlaps most, summed over the batch; no image is its own.

    The overlap of two images is the sum over blocks of the smaller of their shares of saliency,
    1 - d / 2 where d is the sum of the differences. So the largest sum of overlaps is the least sum
    of distances, which one exact assignment finds, the diagonal being forbidden.

    Args:
        saliency: [N, Y', X'] of a floating dtype, N up to 4096.
        labels: not read; a callable ``partners`` of ``PuzzleMix`` has them too.
    """
    count = len(saliency)
    if count < 2:
        return torch.zeros(count, dtype=torch.int64, device=saliency.device)
    cost = distances(saliency).fill_diagonal_(torch.inf)
    return assignment(cost[None], method="exact").source[0]


def distances(saliency: Tensor) -> Tensor:
    """Sums of differences between shares of saliency, [N, N] float32, from 0 to 2."""
    blocks = F.adaptive_avg_pool2d(saliency[:, None].float(), SIDE).flatten(1)
    # What isn't finite is refused where a plan is made of it, by its name.
    blocks = blocks.nan_to_num(0, 0, 0)
    total = blocks.sum(1, keepdim=True)
    # Saliency that is zero everywhere counts as uniform.
    shares = torch.where(total > 0, blocks / total, 1 / blocks.shape[1])
    shares = (shares / UNIT).round() * UNIT
    return torch.cdist(shares, shares, p=1)
