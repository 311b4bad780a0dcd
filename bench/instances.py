"""Problems as Puzzle Mix poses them, made from smooth random saliency."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class LabelingProblem(NamedTuple):
    """The arguments of the labelling functions."""

    unary: Tensor
    vertical: Tensor
    horizontal: Tensor
    label_cost: Tensor


def smooth_saliency(batch: int, grid: int, seed: int) -> Tensor:
    """[B, H, W] double, each sample summing to 1: a few broad peaks over little."""
    generator = torch.Generator().manual_seed(seed)
    side = max(2, grid // 4)
    coarse = torch.rand((batch, 1, side, side), generator=generator, dtype=torch.float64) ** 4
    fine = F.interpolate(coarse, (grid, grid), mode="bilinear")[:, 0]
    return fine / fine.sum((1, 2), keepdim=True)


def labeling_problem(batch: int, grid: int, labels: int, seed: int = 0) -> LabelingProblem:
    """The cut of the default settings (beta 1.2, eta 0.2), without data smoothness."""
    s1, s2 = smooth_saliency(batch, grid, seed), smooth_saliency(batch, grid, seed + 1)
    generator = torch.Generator().manual_seed(seed + 2)
    lam = torch.rand((batch, 1, 1, 1), generator=generator, dtype=torch.float64).clamp(0.02, 0.98)
    last = labels - 1
    k = torch.arange(labels, dtype=torch.float64)
    z = k / last
    choose = torch.lgamma(k.new_tensor(labels)) - torch.lgamma(k + 1) - torch.lgamma(last - k + 1)
    log_prior = choose + k * lam.log() + (last - k) * (1 - lam).log()
    unary = -z * s1[..., None] - (1 - z) * s2[..., None] - 0.2 / grid**2 * log_prior
    weight = 1.2 / (16 * grid)
    vertical = torch.full((batch, grid - 1, grid), weight, dtype=torch.float64)
    horizontal = torch.full((batch, grid, grid - 1), weight, dtype=torch.float64)
    return LabelingProblem(unary, vertical, horizontal, (z[:, None] - z) ** 2)
