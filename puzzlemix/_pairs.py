"""One batch of pairs to the compiled costs and terms (csrc/objective/objective.h).

Given the permutations, the objective is a labelling problem on the grid; ``Pairs`` has its costs,
and the objective of a labelling, from compiled code. The sums of a sample are added in an order
that is fixed by its shape (see sums.py), so that its costs don't depend, bit for bit, on the rest
of its batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import ops
from ._interim import OPERATORS
from .validate import Grid, Model, constants, expect_range, reads_values
from .sums import sum_last, sum_pixels

__all__ = ["Blocks", "Costs", "Pairs", "blocks_of"]

CLOSEST_LAM = 1e-6
"""The prior takes lambda as no closer to 0 and 1 than this."""


class Costs(NamedTuple):
    """A labelling problem, in the order in which the solvers take it; float64."""

    unary: Tensor
    """[B, h, w, L]; a constant of each block is left out."""
    vertical: Tensor
    """[B, h-1, w], not negative."""
    horizontal: Tensor
    """[B, h, w-1], not negative."""
    label_cost: Tensor
    """[L, L]: ((a - b)/m)^2; on the CPU."""


class Blocks(NamedTuple):
    """What the objective sees of the images of one side of the pairs, computed once per image."""

    cells: Tensor
    """[B, C, Y', X'], float32 or float64: averages over windows that divide the blocks."""
    saliency: Tensor
    """[B, h', w'] float64, sums over blocks."""
    images: Tensor | None
    """The images, where a block that moves is no whole number of windows; else None."""


def blocks_of(
    name: str, images: Tensor, saliency: Tensor, grid: Grid, fine: Grid, model: Model
) -> Blocks:
    """Pool images and saliency to blocks; ``name`` is that of the images, for the message."""
    cells = _cells(images, grid, model)
    if reads_values(cells) and not math.isfinite(float(cells.sum())):
        expect_range(name, images)
        expect_range(name, cells)  # finite pixels whose averages are not
    whole = cells.shape[2] % fine[0] == 0 and cells.shape[3] % fine[1] == 0
    rows, columns = saliency.shape[1] // fine[0], saliency.shape[2] // fine[1]
    sums = sum_pixels(saliency, rows, columns, precise=True)
    return Blocks(cells, sums, None if whole else images)


class Pairs:
    """One batch of pairs to the compiled costs and terms (csrc/objective/objective.h).

    The second image of sample b is number ``partner[b]`` of the second blocks, or b for None.
    """

    def __init__(
        self,
        first: Blocks,
        second: Blocks,
        partner: Tensor | None,
        lam: Tensor,
        grid: Grid,
        fine: Grid,
        model: Model,
    ) -> None:
        self.first, self.second, self.partner = first, second, partner
        self.grid, self.fine, self.model = grid, fine, model
        others = second.saliency if partner is None else second.saliency.index_select(0, partner)
        self.shares = _shares(first.saliency, others)
        """[B, 2, h', w']."""
        self.log_prior = _log_prior(lam, self.shares, model)
        """[B, L]."""

    def costs(self, sources: Tensor | None) -> Costs:
        """The labelling problem that remains when the permutations are fixed."""
        unary, vertical, horizontal = OPERATORS.pair_costs.default(*self._seen_through(sources))
        return Costs(unary, vertical, horizontal, _squares(self.model.labels))

    def objective(self, labels: Tensor, sources: Tensor | None) -> Tensor:
        """The sum of the terms, [B]."""
        terms: Tensor = OPERATORS.pair_terms.default(labels, *self._seen_through(sources))
        return terms[:, 5]

    def _seen_through(self, sources: Tensor | None) -> tuple[object, ...]:
        model = self.model
        cells1, cells2, partner = self.first.cells, self.second.cells, self.partner
        x1, x2 = self.first.images, self.second.images
        moved = False
        if sources is not None and x1 is not None and x2 is not None:
            # Windows that lie across blocks: of those that move, nothing can be averaged before.
            x2 = x2 if partner is None else x2.index_select(0, partner)
            partner, moved = None, True
            source1, source2 = sources.unbind(1)
            cells1 = _cells(_move(x1, source1), self.grid, model)
            cells2 = _cells(_move(x2, source2), self.grid, model)
        bilinear = float(model.smoothness == "bilinear")
        weights = [_smoothness(model, self.grid), model.gamma, model.eta, model.xi, bilinear]
        pairs = cells1, cells2, partner, self.shares, self.log_prior
        return (*pairs, sources, moved, list(self.grid), weights)


def _smoothness(model: Model, grid: Grid) -> float:
    """The factor of (z_i - z_j)^2."""
    return model.beta / (16 * math.sqrt(grid[0] * grid[1]))


def _squares(labels: int) -> Tensor:
    """((a - b)/m)^2, [L, L]; on the CPU, from where the solvers take it by value."""
    steps = torch.arange(labels, dtype=torch.float64, device="cpu")
    return ((steps[:, None] - steps) / (labels - 1)).square_()


def _log_prior(lam: Tensor, shares: Tensor, model: Model) -> Tensor:
    """log of Binomial(m, lam) at each label, [B, L], beside the shares [B, ...].

    lambda is [B], or [] on the CPU: then it is a number to the kernels.
    """
    last = model.labels - 1
    lam = lam.clamp(CLOSEST_LAM, 1 - CLOSEST_LAM)
    if lam.dim() == 1:
        lam = lam[:, None]
    steps = torch.arange(model.labels, dtype=torch.float64, device=shares.device)
    ways = constants([math.log(math.comb(last, k)) for k in range(last + 1)], shares.device)
    log_prior = ways + steps * lam.log() + (last - steps) * torch.log1p(-lam)
    return log_prior.expand(len(shares), model.labels)


def _shares(first: Tensor, second: Tensor) -> Tensor:
    """The share of each block in its image's saliency, [B, 2, h, w]; uniform where that is 0."""
    blocks = torch.stack((first, second), 1)
    if not reads_values(blocks):
        blocks = blocks.nan_to_num_(0.0, 0.0, 0.0).clamp_(min=0)
    total = sum_last(blocks.flatten(2))[..., None, None]
    return torch.where(total > 0, blocks / total, 1 / (blocks.shape[2] * blocks.shape[3]))


def _cells(images: Tensor, grid: Grid, model: Model) -> Tensor:
    """Average the images over windows of at most ``neighborhood`` that divide the blocks.

    In double; ``std`` is undone (``mean`` cancels in every difference).
    """
    rows, columns = (
        _largest_divisor(size // blocks, model.neighborhood)
        for size, blocks in zip(images.shape[2:], grid, strict=True)
    )
    cells = sum_pixels(images, rows, columns, precise=True) / (rows * columns)
    if isinstance(model.std, Tensor):
        return cells * model.std.to(cells.dtype)
    return cells if model.std is None else cells * model.std


def _move(images: Tensor, source: Tensor) -> Tensor:
    """The images [B, C, Y, X] with their blocks permuted."""
    return ops.mix(images, images, images.new_ones(len(images), 1, 1), source, None)


def _largest_divisor(size: int, limit: int) -> int:
    return next(d for d in range(min(size, limit), 0, -1) if size % d == 0)
