"""The objective of Puzzle Mix, every term by name, and the costs that are built from its terms.

Images x1, x2 are cut into h x w blocks, n = h*w, side = sqrt(n); z_i = k_i/m in each block, with
labels k_i from 0 to m = labels - 1; permutations P1, P2 move blocks (of the same grid or of a finer
one). Minimised (Kim, Choo and Song, Puzzle Mix, ICML 2020, sections 3 and 4) is

    - <z, P1's1> - <1 - z, P2's2>                            saliency
    + beta/(16 side) * sum over edges of (z_i - z_j)^2       label smoothness
    + beta*gamma/(16 side) * sum over edges of phi_ij        data smoothness
    - eta/n * sum of log p(z_i), m*z_i ~ Binomial(m, lam)    prior
    + xi * (<P1, C> + <P2, C>)                               transport

Edges join blocks that touch. phi_ij is the sum over images a, b in {1, 2} of q_a(z_i) q_b(z_j)
d(a at i, b at j), where q_1(z) = z, q_2(z) = 1 - z and d is the mean absolute difference of the
strips on which two blocks touch. It is bilinear, and so splits exactly into

    phi_ij = d22 + first*z_i + second*z_j + weight*(z_i + z_j - 2 z_i z_j)

whose last factor is (z_i - z_j)^2 + z_i(1 - z_i) + z_j(1 - z_j). The published code keeps only the
square, which is the same for two labels: ``smoothness="quadratic"``. ``"bilinear"`` is exact.

``objective`` is plain PyTorch, for any mask. Given the permutations, this is a labelling problem on
the grid; ``Pairs`` has its costs, and the objective of a labelling, from compiled code. The sums of
a sample are added in an order that is fixed by its shape (see sums.py), so that its costs don't
depend, bit for bit, on the rest of its batch.

Letters: B batch, C channels, Y x X pixels, h x w the cut's grid, h' x w' the transport's, L labels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import ops
from ._interim import OPERATORS
from .sums import sum_blocks, sum_last, sum_pixels
from .validate import (
    Grid,
    Model,
    PerChannel,
    constants,
    expect_grids,
    expect_mask,
    expect_pairs,
    expect_range,
    expect_sources,
    mixing_ratio,
    model_of,
    reads_values,
)

__all__ = ["Blocks", "Costs", "Objective", "Pairs", "Problem", "View", "blocks_of", "objective"]

CLOSEST_LAM = 1e-6
"""The prior takes lambda as no closer to 0 and 1 than this."""


class Objective(NamedTuple):
    """The terms as they enter the sum, signs and weights included; each [B] float64."""

    saliency: Tensor
    """- <z, P1's1> - <1 - z, P2's2>: from -2 to 0."""
    label_smoothness: Tensor
    """beta/(16 side) * sum of (z_i - z_j)^2."""
    data_smoothness: Tensor
    """beta*gamma/(16 side) * sum of phi_ij."""
    prior: Tensor
    """- eta/n * sum of log p(z_i)."""
    transport: Tensor
    """xi * (<P1, C> + <P2, C>)."""
    total: Tensor
    """The sum of the five."""


def objective(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    mask: Tensor,
    source1: Tensor | None = None,
    source2: Tensor | None = None,
    *,
    labels: int = 3,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    xi: float = 0.8,
    neighborhood: int = 4,
    smoothness: str = "quadratic",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> Objective:
    """Every term of the objective for any mask and any permutations.

    The first arguments and the options are those of ``puzzle_mix``, the others are found in its
    result: ``objective(x1, x2, saliency1, saliency2, lam, r.mask, r.source1, r.source2)`` is
    ``r.objective``, if the options are the same. An edge whose two smoothness terms together have
    a negative weight counts with that weight.

    Args:
        x1, x2: images [B, C, Y, X].
        saliency1, saliency2: [B, Y', X'], not negative, at any resolution that the grids divide.
        lam: the mixing ratio in [0, 1], a number or [B].
        mask: z [B, h, w] in [0, 1]. Values k/m, rounded to the mask's dtype, count as exactly k/m;
            between two of them log p continues by the gamma function.
        source1, source2: permutations [B, h', w'], in gather form (``source[j]`` is the block that
            moves to j), on the mask's grid or a multiple of it; None is the identity.
        labels, beta, gamma, eta, xi, neighborhood, smoothness, mean, std: as in ``puzzle_mix``.

    Returns:
        The terms by name, each [B] in float64. Nothing here is differentiable.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    expect_pairs(x1, x2, saliency1, saliency2)
    model = model_of(
        x1,
        labels=labels,
        beta=beta,
        gamma=gamma,
        eta=eta,
        xi=xi,
        neighborhood=neighborhood,
        smoothness=smoothness,
        mean=mean,
        std=std,
    )
    expect_mask(mask, "x1", x1)
    expect_sources(source1, source2, "x1", x1)
    moved = source1 if source1 is not None else source2
    grid = (mask.shape[1], mask.shape[2])
    fine = grid if moved is None else (moved.shape[1], moved.shape[2])
    given = {"x1": x1, "saliency1": saliency1, "saliency2": saliency2}
    expect_grids(grid, fine, given, ("mask", "source1" if source1 is not None else "source2"))
    last = labels - 1
    with torch.no_grad():
        problem = Problem(
            blocks_of("x1", x1, saliency1, grid, fine, model),
            blocks_of("x2", x2, saliency2, grid, fine, model),
            mixing_ratio(lam, "x1", x1),
            grid,
            fine,
            model,
        )
        steps = mask.double() * last
        nearest = steps.round()
        rounding = last * torch.finfo(mask.dtype).eps
        steps = torch.where((steps - nearest).abs() <= rounding, nearest, steps)
        labelled = problem.log_p(nearest.long().clamp_(0, last))
        log_p = torch.where(steps == nearest, labelled, _log_binomial(steps, problem.lam, last))
        sources = None if moved is None else _pair(source1, source2, moved)
        return problem.terms(problem.view(sources), steps / last, log_p, sources)


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


class View(NamedTuple):
    """What depends on the permutations, as it stands in the blocks of the cut; float64."""

    saliency: Tensor
    """[B, 2, h, w], of the first and the second image."""
    distances: Tensor
    """[B, 2, 2, E]: d(a, b) at the edges, a above or left and b below or right.

    The (h-1)*w vertical edges come first, row by row, then the h*(w-1) horizontal ones.
    """


class Problem:
    """One batch of pairs in plain PyTorch: the terms of its objective.

    Permutations are given as ``sources`` [B, 2, h', w'] or None for the identity.
    """

    def __init__(
        self, first: Blocks, second: Blocks, lam: Tensor, grid: Grid, fine: Grid, model: Model
    ) -> None:
        self.cells = torch.stack((first.cells, second.cells), 1)
        self.saliency = _shares(first.saliency, second.saliency)
        self.images = (first.images, second.images)
        self.lam = lam
        self.grid = grid
        self.fine = fine
        self.model = model
        self.log_prior = _log_prior(lam, self.saliency, model)
        """log p of each label, [B, L]."""

    def view(self, sources: Tensor | None) -> View:
        """Read saliency and boundary distances through the permutations."""
        saliency, cells = self.saliency, self.cells
        if sources is not None:
            saliency = saliency.flatten(2).gather(2, sources.flatten(2)).view(saliency.shape)
            cells = self._moved_cells(sources)
        return View(
            sum_blocks(saliency, self.fine[0] // self.grid[0], self.fine[1] // self.grid[1]),
            _distances(cells, self.grid),
        )

    def log_p(self, labels: Tensor) -> Tensor:
        """log p of labels [B, h, w]."""
        return self.log_prior.gather(1, labels.flatten(1)).view(labels.shape)

    def terms(self, view: View, z: Tensor, log_p: Tensor, sources: Tensor | None) -> Objective:
        """Every term, for z [B, h, w] in float64 and log p(z_i) beside it."""
        model = self.model
        first, second = view.saliency.unbind(1)
        z_i, z_j = _ends(z)
        rises = (z_i - z_j).square_()
        phi = _split(view.distances)
        mixed = z_i + z_j - 2 * z_i * z_j if model.smoothness == "bilinear" else rises
        twice = phi.first.mul_(z_i).add_(phi.second.mul_(z_j)).add_(phi.weight.mul_(mixed))
        terms = (
            -sum_last((second + z * (first - second)).flatten(1)),
            sum_last(rises) * self._smoothness,
            (sum_last(phi.base) + sum_last(twice) / 2) * (self._smoothness * model.gamma),
            sum_last(log_p.flatten(1)) * (-model.eta / (self.grid[0] * self.grid[1])),
            self._transport_cost(sources),
        )
        return Objective(*terms, sum(terms[1:], terms[0]))

    @property
    def _smoothness(self) -> float:
        return _smoothness(self.model, self.grid)

    def _moved_cells(self, sources: Tensor) -> Tensor:
        """The windows of the images after the permutations, [B, 2, C, Y', X']."""
        x1, x2 = self.images
        if x1 is None or x2 is None:
            # A block is a whole number of windows, and these are fewer than the pixels.
            cells = self.cells.flatten(0, 1)
            return _move(cells, sources.flatten(0, 1)).view(self.cells.shape)
        source1, source2 = sources.unbind(1)
        moved = (_move(x1, source1), _move(x2, source2))
        return torch.stack([_cells(x, self.grid, self.model) for x in moved], 1)

    def _transport_cost(self, sources: Tensor | None) -> Tensor:
        height, width = self.fine
        if sources is None or height * width == 1:
            return self.saliency.new_zeros(len(self.saliency))
        places = torch.arange(height * width, device=sources.device)
        rows = places.div(width, rounding_mode="floor")
        down, right = (
            # From where a block comes to where it goes, [B, 2, h'*w'].
            axis.index_select(0, sources.flatten()).view(len(sources), 2, len(axis)) - axis
            for axis in (rows.double(), (places - rows * width).double())
        )
        # Small integers: their sum is exact in any order.
        squared = down.square_().add_(right.square_()).flatten(1).sum(1)
        return squared * (self.model.xi / (max(height, width) - 1) ** 2)


class _Split(NamedTuple):
    """phi = base + (first*z_i + second*z_j + weight*(z_i + z_j - 2 z_i z_j))/2, edge by edge."""

    base: Tensor
    """A view of the distances; the others are new."""
    first: Tensor
    second: Tensor
    weight: Tensor


def _split(distances: Tensor) -> _Split:
    (d11, d12), (d21, d22) = (row.unbind(1) for row in distances.unbind(1))
    along, across = d11 - d22, d12 - d21
    weight = (d12 + d21).sub_(d11).sub_(d22)
    return _Split(d22, along + across, along.sub_(across), weight)


def _ends(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The values [B, h, w] at the ends of the edges, [B, E] each: above or left, below or right."""
    return (
        torch.cat((blocks[:, :-1].flatten(1), blocks[:, :, :-1].flatten(1)), 1),
        torch.cat((blocks[:, 1:].flatten(1), blocks[:, :, 1:].flatten(1)), 1),
    )


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


def _log_binomial(steps: Tensor, lam: Tensor, trials: int) -> Tensor:
    """log of Binomial(trials, lam) at ``steps`` [B, h, w], which may lie between the integers."""
    lam = lam.clamp(CLOSEST_LAM, 1 - CLOSEST_LAM)
    if lam.dim() == 1:
        lam = lam[:, None, None]
    ways = math.lgamma(trials + 1) - torch.lgamma(steps + 1) - torch.lgamma(trials + 1 - steps)
    return ways + steps * lam.log() + (trials - steps) * torch.log1p(-lam)


def _shares(first: Tensor, second: Tensor) -> Tensor:
    """The share of each block in its image's saliency, [B, 2, h, w]; uniform where that is 0."""
    blocks = torch.stack((first, second), 1)
    if not reads_values(blocks):
        blocks = blocks.nan_to_num_(0.0, 0.0, 0.0).clamp_(min=0)
    total = sum_last(blocks.flatten(2))[..., None, None]
    return torch.where(total > 0, blocks / total, 1 / (blocks.shape[2] * blocks.shape[3]))


def _cells(images: Tensor, grid: Grid, model: Model) -> Tensor:
    """Average the images over windows of at most ``neighborhood`` that divide the blocks.

    In the images' own precision, float32 at least; ``std`` is undone (``mean`` cancels in every
    difference).
    """
    rows, columns = (
        _largest_divisor(size // blocks, model.neighborhood)
        for size, blocks in zip(images.shape[2:], grid, strict=True)
    )
    cells = sum_pixels(images, rows, columns, precise=False) / (rows * columns)
    if isinstance(model.std, Tensor):
        return cells * model.std.to(cells.dtype)
    return cells if model.std is None else cells * model.std


def _distances(cells: Tensor, grid: Grid) -> Tensor:
    """d(a, b) at the edges, [B, 2, 2, E] float64, from cells [B, 2, C, Y', X']."""
    rows, columns = cells.shape[3] // grid[0], cells.shape[4] // grid[1]
    lowest, top = cells[..., rows - 1 : -rows : rows, :], cells[..., rows::rows, :]
    rightmost, left = cells[..., columns - 1 : -columns : columns], cells[..., columns::columns]
    vertical, horizontal = _apart(lowest, top, 1, columns), _apart(rightmost, left, rows, 1)
    return torch.cat((vertical.flatten(3), horizontal.flatten(3)), 3)


def _apart(strips: Tensor, others: Tensor, rows: int, columns: int) -> Tensor:
    """Mean absolute difference of strips that touch, each strip rows x columns cells.

    [B, 2, C, R*rows, S*columns] twice, to [B, 2, 2, R, S]: any of one side, any of the other.
    """
    gaps = (strips.double()[:, :, None] - others.double()[:, None]).abs_()
    batch, _, _, channels, height, width = gaps.shape
    sums = sum_blocks(gaps.flatten(4), channels, 1).view(batch, 2, 2, height, width)
    return sum_blocks(sums, rows, columns) / (channels * rows * columns)


def _move(images: Tensor, source: Tensor) -> Tensor:
    """The images [B, C, Y, X] with their blocks permuted."""
    return ops.mix(images, images, images.new_ones(len(images), 1, 1), source, None)


def _pair(source1: Tensor | None, source2: Tensor | None, like: Tensor) -> Tensor:
    """Two permutations as [B, 2, h', w'] int64; None is the identity."""
    blocks = like.shape[1] * like.shape[2]
    still = torch.arange(blocks, device=like.device).view(like.shape[1:]).expand(like.shape)
    sources = torch.stack(
        [still if source is None else source.long() for source in (source1, source2)], 1
    )
    # Where values can't be checked, an index out of range must still not be read.
    return sources if reads_values(sources) else sources.clamp_(0, blocks - 1)


def _largest_divisor(size: int, limit: int) -> int:
    return next(d for d in range(min(size, limit), 0, -1) if size % d == 0)
