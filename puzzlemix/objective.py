"""The objective of Puzzle Mix, every term by name.

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
strips on which two blocks touch. With omega = (d12 + d21 - d11 - d22)/2 the published code leaves
out omega*(z_i(1 - z_i) + z_j(1 - z_j)), which is 0 for two labels: ``smoothness="quadratic"``.
``"bilinear"`` is exact.

All of it is plain PyTorch, in double, and follows the formula. It calls nothing compiled and shares
no code with the solvers, so that tests can check them against it.

Letters: B batch, C channels, Y x X pixels, h x w the cut's grid, h' x w' the transport's, Y' x X'
windows of pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .validate.elementary import Grid, reads_values
from .validate.puzzle import (
    PerChannel,
    PuzzleOptions,
    expect_grids,
    expect_mask,
    expect_pairs,
    expect_sources,
    mixing_ratio,
    with_std,
)
from .validate.values import expect_values

__all__ = ["Objective", "objective"]

CLOSEST_LAM = 1e-6
"""The prior clamps lambda to [CLOSEST_LAM, 1 - CLOSEST_LAM]."""


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
    options = PuzzleOptions(
        labels, beta, gamma, eta, xi, neighborhood, smoothness, mean, std, transport=None
    )
    options = with_std(options, x1)
    expect_mask(mask, x1)
    expect_sources(source1, source2, x1)
    moved = source1 if source1 is not None else source2
    grid = (mask.shape[1], mask.shape[2])
    fine = grid if moved is None else (moved.shape[1], moved.shape[2])
    given = {"x1": x1, "saliency1": saliency1, "saliency2": saliency2}
    expect_grids(grid, fine, given, ("mask", "source1" if source1 is not None else "source2"))
    ratio = mixing_ratio(lam, x1)
    if reads_values(x1):
        held = ratio if isinstance(ratio, Tensor) else None
        expect_values("puzzle_plan", x1, x2, saliency1, saliency2, held, None)
    with torch.no_grad():
        steps = _steps(mask, labels - 1)
        z = steps / (labels - 1)
        shares1, shares2 = _shares(saliency1, fine, source1), _shares(saliency2, fine, source2)
        windows1 = _windows(_moved(x1, source1), grid, options)
        windows2 = _windows(_moved(x2, source2), grid, options)
        log_p = _log_binomial(steps, ratio, labels - 1)
        edge = options.beta / (16 * math.sqrt(grid[0] * grid[1]))
        terms = (
            -_overlap(z, shares1) - _overlap(1 - z, shares2),
            _label_smoothness(z) * edge,
            _data_smoothness(z, windows1, windows2, options.smoothness) * (edge * options.gamma),
            log_p.sum((1, 2)) * (-options.eta / (grid[0] * grid[1])),
            (_distance_moved(source1, z) + _distance_moved(source2, z)) * options.xi,
        )
        return Objective(*terms, sum(terms[1:], terms[0]))


def _overlap(shown: Tensor, shares: Tensor) -> Tensor:
    """<shown, shares> [B]: ``shown`` is [B, h, w], the shares are on that grid or a finer one."""
    of_blocks = _in_blocks(shares, (shown.shape[1], shown.shape[2])).sum((2, 4))
    return (shown * of_blocks).sum((1, 2))


def _shares(saliency: Tensor, fine: Grid, source: Tensor | None) -> Tensor:
    """The share of each block in its image's saliency, as the blocks stand after the move.

    [B, h', w']. Uniform if the sum of saliency is 0 or not finite. If values are unchecked, a
    negative or non-finite one counts as 0.
    """
    blocks = _in_blocks(saliency.double(), fine).sum((2, 4))
    if not reads_values(blocks):
        blocks = blocks.nan_to_num(0.0, 0.0, 0.0).clamp(min=0)
    total = blocks.sum((1, 2), keepdim=True)
    known = (total > 0) & total.isfinite()
    shares = torch.where(known, blocks / total, 1 / (fine[0] * fine[1]))
    return _moved(shares[:, None], source).squeeze(1)


def _label_smoothness(z: Tensor) -> Tensor:
    """The sum over edges of (z_i - z_j)^2."""
    return z.diff(dim=1).square().sum((1, 2)) + z.diff(dim=2).square().sum((1, 2))


def _data_smoothness(z: Tensor, first: Tensor, second: Tensor, smoothness: str) -> Tensor:
    """The sum over edges of phi, from the windows [B, C, Y', X'] of both images."""
    grid = (z.shape[1], z.shape[2])
    images = _in_blocks(first, grid), _in_blocks(second, grid)
    down = [[_apart(a[:, :, :-1, -1], b[:, :, 1:, 0], (1, 4)) for b in images] for a in images]
    right = [[_apart(a[..., :-1, -1], b[..., 1:, 0], (1, 3)) for b in images] for a in images]
    of_down = _phi(z[:, :-1], z[:, 1:], down, smoothness)
    of_right = _phi(z[:, :, :-1], z[:, :, 1:], right, smoothness)
    return of_down.sum((1, 2)) + of_right.sum((1, 2))


def _phi(z_i: Tensor, z_j: Tensor, apart: list[list[Tensor]], smoothness: str) -> Tensor:
    """phi of edges from i to j; ``apart[a][b]`` is the distance of image a at i to image b at j."""
    (d11, d12), (d21, d22) = apart
    phi = (
        z_i * z_j * d11
        + z_i * (1 - z_j) * d12
        + (1 - z_i) * z_j * d21
        + (1 - z_i) * (1 - z_j) * d22
    )
    if smoothness == "quadratic":
        omega = (d12 + d21 - d11 - d22) / 2
        phi = phi - omega * (z_i * (1 - z_i) + z_j * (1 - z_j))
    return phi


def _apart(strip: Tensor, other: Tensor, over: tuple[int, int]) -> Tensor:
    """Mean absolute difference over channels and windows; what is not finite counts as 0."""
    return (strip - other).abs().mean(over).nan_to_num(0.0, 0.0, 0.0)


def _windows(images: Tensor, grid: Grid, options: PuzzleOptions) -> Tensor:
    """Averages in double over windows of at most ``neighborhood`` that divide the blocks.

    ``std`` is undone; ``mean`` cancels in every difference.
    """
    counts = [
        size // _largest_divisor(size // blocks, options.neighborhood)
        for size, blocks in zip(images.shape[2:], grid, strict=True)
    ]
    windows = _in_blocks(images.double(), (counts[0], counts[1])).mean((3, 5))
    if options.std is None:
        return windows
    assert isinstance(options.std, float | Tensor)
    return windows * options.std


def _largest_divisor(size: int, limit: int) -> int:
    return next(d for d in range(min(size, limit), 0, -1) if size % d == 0)


def _steps(mask: Tensor, last: int) -> Tensor:
    """m*z [B, h, w] in double; exactly a label k if z is k/m up to the rounding of its dtype."""
    steps = mask.double() * last
    nearest = steps.round()
    return torch.where(
        (steps - nearest).abs() <= last * torch.finfo(mask.dtype).eps, nearest, steps
    )


def _log_binomial(steps: Tensor, lam: float | Tensor, trials: int) -> Tensor:
    """log of Binomial(trials, lam) at ``steps`` [B, h, w], which may lie between the integers."""
    if isinstance(lam, Tensor):
        lam = lam.double()[:, None, None]
    else:
        lam = torch.full((), lam, dtype=torch.float64, device="cpu")  # a scalar to kernels
    lam = lam.clamp(CLOSEST_LAM, 1 - CLOSEST_LAM)
    ways = math.lgamma(trials + 1) - torch.lgamma(steps + 1) - torch.lgamma(trials + 1 - steps)
    return ways + steps * lam.log() + (trials - steps) * torch.log1p(-lam)


def _distance_moved(source: Tensor | None, z: Tensor) -> Tensor:
    """<P, C> [B]: how far the blocks of one image move; on the device of z."""
    if source is None or source.shape[1] * source.shape[2] == 1:
        return z.new_zeros(len(z))
    _, height, width = source.shape
    block = _indices(source)
    place = torch.arange(height * width, device=source.device)
    down, right = block // width - place // width, block % width - place % width
    squared = (down * down + right * right).sum(1)
    return squared.double() / (max(height, width) - 1) ** 2


def _moved(planes: Tensor, source: Tensor | None) -> Tensor:
    """The planes [B, C, Y, X] with block ``source[j]`` of the source's grid at each place j."""
    if source is None:
        return planes
    grid = (source.shape[1], source.shape[2])
    blocks = _in_blocks(planes, grid).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    index = _indices(source)[:, :, None, None, None].expand(blocks.shape)
    moved: Tensor = blocks.gather(1, index).unflatten(1, grid)
    return moved.permute(0, 3, 1, 4, 2, 5).reshape(planes.shape)


def _indices(source: Tensor) -> Tensor:
    """A permutation as [B, h'*w'] int64, clamped to valid indices in case it is unchecked."""
    return source.flatten(1).long().clamp(0, source.shape[1] * source.shape[2] - 1)


def _in_blocks(values: Tensor, grid: Grid) -> Tensor:
    """[..., Y, X] as [..., h, Y/h, w, X/w]."""
    rows, columns = values.shape[-2] // grid[0], values.shape[-1] // grid[1]
    return values.view(*values.shape[:-2], grid[0], rows, grid[1], columns)
