"""Partners by assignment: which images of a batch are mixed with which, in place of chance.

Letters: N batch, Y x X pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from puzzlemix import PuzzleMix, assignment
from puzzlemix.plan import Plan

SIDE = 8
"""Saliency is compared on so many rows and columns."""
UNIT = 2.0**-14
"""Shares are rounded to multiples of this: their sums are exact then, whatever their order."""


class Partnered(PuzzleMix):
    """Puzzle Mix whose partners follow from the saliency of the batch.

    All else is drawn as by ``PuzzleMix`` with the same generator.

    Args:
        partners: one of ``PARTNERS``.
        **options: those of ``PuzzleMix``.
    """

    def __init__(self, *, partners: str, **options: Any) -> None:
        super().__init__(**options)
        self.partners = partners
        self._index: Tensor | None = None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, partners={self.partners!r}"

    def _decide(self, images: Tensor, rng: Any, labels: Any, saliency: Any, found: Any) -> Plan:
        if saliency is None:
            assert self.saliency is not None
            with torch.no_grad():
                saliency = self.saliency(images, labels)
            found = self._dividing(images, saliency)
        self._index = PARTNERS[self.partners](saliency, labels)
        return super()._decide(images, rng, labels, saliency, found)

    def _drawn(self, images: Tensor, rng: Any, choices: int = 0) -> Any:
        _random, *others = super()._drawn(images, rng, choices)
        return self._index, *others


def most_overlap(saliency: Tensor, labels: Tensor | None = None) -> Tensor:
    """Partners [N] whose saliency overlaps most, summed over the batch; no image is its own.

    The overlap of two images is the sum over blocks of the smaller of their shares of saliency,
    1 - d / 2 where d is the sum of the differences. So the largest sum of overlaps is the least sum
    of distances, which one exact assignment finds, the diagonal being forbidden.

    Args:
        saliency: [N, Y', X'] of a floating dtype, N from 2 to 4096.
        labels: not read.
    """
    return _assigned(distances(saliency))


def other_labels(saliency: Tensor, labels: Tensor | None) -> Tensor:
    """Partners with the most overlap, of another class wherever that can be."""
    assert labels is not None
    # No sum of distances can make up for a pair of one class.
    alike = (labels[:, None] == labels) * (2.0 * len(labels))
    return _assigned(distances(saliency) + alike)


def least_overlap(saliency: Tensor, labels: Tensor | None = None) -> Tensor:
    """Partners with the least overlap."""
    return _assigned(-distances(saliency))


PARTNERS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "most": most_overlap,
    "most, other labels": other_labels,
    "least": least_overlap,
}


def distances(saliency: Tensor) -> Tensor:
    """Sums of differences between shares of saliency, [N, N] float32, from 0 to 2."""
    blocks = F.adaptive_avg_pool2d(saliency[:, None].float(), SIDE).flatten(1)
    total = blocks.sum(1, keepdim=True)
    # Saliency that is zero everywhere counts as uniform.
    shares = torch.where(total > 0, blocks / total, 1 / blocks.shape[1])
    shares = (shares / UNIT).round() * UNIT
    return torch.cdist(shares, shares, p=1)


def _assigned(cost: Tensor) -> Tensor:
    return assignment(cost.fill_diagonal_(torch.inf)[None], method="exact").source[0]
