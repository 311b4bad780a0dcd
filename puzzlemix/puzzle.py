"""Puzzle Mix as a function: ``ops.puzzle_plan`` decides, ``ops.mix`` applies the decision.

Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, ICML
2020, section 4. The objective and its letters are those of ``objective``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .keywords import suggests_keywords
from .ops.mix import mixed
from .ops.puzzle import planned
from .results import PuzzleMixResult
from .validate.puzzle import (
    PerChannel,
    PuzzleOptions,
    expect_options,
    expect_pairs,
    grids_of,
)

__all__ = ["puzzle_mix"]


@suggests_keywords
def puzzle_mix(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    *,
    grid: int | Sequence[int],
    labels: int = 3,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    xi: float = 0.8,
    neighborhood: int = 4,
    cut: str = "swap",
    transport: str | None = "approx",
    transport_grid: int | Sequence[int] | None = None,
    cycles: int = 1,
    smoothness: str = "quadratic",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> PuzzleMixResult:
    """Mix pairs of images so that what is salient in each stays visible.

    Decides a mask z and permutations of blocks by the objective of section 3 of the paper (see
    ``objective``), and returns z * moved x1 + (1 - z) * moved x2. Each cycle solves for the mask,
    then for the permutations, reading saliency and boundary distances through those of the cycle
    before. The first is always taken, a later one where it lowers a sample's objective.

    Args:
        x1, x2: images [B, C, Y, X], float16, bfloat16, float32 or float64. Gradients flow to them
            through the mix; mask and permutations count as constants.
        saliency1, saliency2: [B, Y', X'], not negative, any floating dtype, at any resolution that
            the grids divide. It is summed over blocks and normalised; a map of zeros counts as
            uniform.
        lam: lambda in [0, 1], the expected share of x1; a number or [B]. For images on the GPU, [B]
            may be on the CPU: it is then copied, which a CUDA graph can't capture. Under
            ``torch.compile`` each new number compiles again, so give [B].
        grid: blocks of the cut, a side or (rows, columns), each up to 64.
        labels: number of values of z, 2 to 16: multiples of 1/(labels - 1).
        beta: weight of label smoothness.
        gamma: weight of data smoothness, relative to beta.
        eta: weight of the prior that pulls z towards lambda.
        xi: price of moving blocks.
        neighborhood: strips along the boundaries of blocks are averaged over windows of at most
            this many pixels a side.
        cut: "swap" for alpha-beta swap, "exact" for the optimal mask given the permutations.
        transport: "approx" for the stable matching, "exact" for the cheapest permutation, None
            to leave the blocks where they are.
        transport_grid: the grid of the blocks that move, a multiple of ``grid``; None for ``grid``.
        cycles: how often mask and permutations are solved at most; a sample stops once its
            objective does not fall.
        smoothness: "quadratic" as in the published code, "bilinear" for data smoothness as in the
            paper; they are the same for two labels.
        mean, std: what the images were normalised with, a number, one a channel, or a tensor of
            either, so that distances between pixels count in [0, 1]. None: images are in [0, 1].

    Returns:
        ``images`` like x1; ``ratio`` [B], the mean of the mask; ``mask`` [B, h, w]; ``source1`` and
        ``source2`` [B, h', w'] int64, in gather form (None without transport); ``objective`` [B]
        float64. Ratio and mask are float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came. Values of
            tensors are read on the CPU only.
    """
    options = PuzzleOptions(
        labels, beta, gamma, eta, xi, neighborhood, smoothness, mean, std, cut, transport, cycles
    )
    expect_pairs(x1, x2, saliency1, saliency2)
    expect_options(options)
    coarse, fine = grids_of(grid, transport_grid, x1, saliency1, saliency2)
    plan = planned(x1, x2, saliency1, saliency2, lam, None, coarse, fine, options)
    images = mixed(x1, x2, plan.mask, plan.source1, plan.source2, None, True)
    return PuzzleMixResult(
        images, plan.ratio, plan.mask, plan.source1, plan.source2, plan.objective
    )
