"""The whole decision of Puzzle Mix in plain PyTorch, one addition at a time.

Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, ICML
2020. Decisions compare sums, and the bits of a sum of doubles depend on its order.
docs/mathematics/order.md fixes that order, and each function here follows a paragraph of it. So
there is no ``torch.sum``, and no operation that a backend may fuse.

Letters: B batch, N images to choose the second from, C channels, Y x X pixels, h x w the cut's
grid, n = h*w, h' x w' the transport's grid, L labels, m = L - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import accepts_numpy
from ..results import PuzzlePlan
from ..validate.elementary import Grid
from ..validate.puzzle import (
    PerChannel,
    PuzzleOptions,
    expect_pairs,
    grids_of,
    mixing_ratio,
    with_std,
)
from ..validate.values import expect_finite_costs, expect_values
from .graphcut import alpha_beta_swap, exact_labeling
from .logarithm import log
from .mix import moved
from .transport import masked_transport

__all__ = ["puzzle_plan"]

Sources = tuple[Tensor, Tensor]
"""The permutations of the first and of the second image, [B, h', w'] each."""


@accepts_numpy
def puzzle_plan(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    *,
    partner: Tensor | None = None,
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
) -> PuzzlePlan:
    """Decide a mask and permutations of blocks, by the objective of Puzzle Mix.

    Each cycle solves for the mask, for images as the permutations of the last cycle move them, and
    then for the permutations by that mask. The first cycle is always taken, a later one
    for the samples whose objective falls. Arguments as for ``puzzle_mix``, and ``partner`` [B],
    integers: the second image of sample b is number ``partner[b]`` of ``x2`` and ``saliency2``,
    which may hold any number N of images; None pairs sample b with image b.

    Returns ``mask`` [B, h, w], ``ratio`` [B], ``source1`` and ``source2`` [B, h', w'] (None without
    transport), and ``objective`` [B].
    """
    given = (x1, x2, saliency1, saliency2)
    options = PuzzleOptions(
        labels, beta, gamma, eta, xi, neighborhood, smoothness, mean, std, cut, transport, cycles
    )
    expect_pairs(*given, partner)
    options = with_std(options, x1)
    ratio = mixing_ratio(lam, x1)
    expect_values("puzzle_plan", *given, ratio if isinstance(ratio, Tensor) else None, partner)
    coarse, fine = grids_of(grid, transport_grid, x1, saliency1, saliency2)
    if transport is None:
        fine = coarse
    with torch.no_grad():
        problem = _problem(*given, ratio, partner, coarse, fine, options)
        decision = _decide(problem, cut, transport, cycles)
    source1, source2 = decision.sources or (None, None)
    # Rounding a quotient of small integers to double and then to float32 rounds as if done once.
    real = torch.float64 if x1.dtype == torch.float64 else torch.float32
    mask = _values(decision.labels, options).to(real)
    total = decision.labels.flatten(1).sum(1).double()
    ratio = _over(total, (labels - 1) * coarse[0] * coarse[1]).to(real)
    return PuzzlePlan(mask, ratio, source1, source2, decision.objective)


class _Problem(NamedTuple):
    """A batch of pairs."""

    images: tuple[Tensor, Tensor]
    """[B, C, Y, X] each."""
    shares: tuple[Tensor, Tensor]
    """[B, h', w'] each: the share of a block in the saliency of its image."""
    log_p: Tensor
    """[B, L]: log of Binomial(m, lam)."""
    grid: Grid
    fine: Grid
    options: PuzzleOptions


class _Edges(NamedTuple):
    """The data smoothness of the edges of one direction, from i (above or left) to j.

    phi = (d22 + (first*z_i + second*z_j + weight*(z_i + z_j - 2 z_i z_j))/2) / pixels.
    """

    d22: Tensor
    first: Tensor
    second: Tensor
    weight: Tensor
    pixels: int
    """P, the number of pixels, of all channels, in the strip on either side of an edge."""


class _View(NamedTuple):
    """Shares of saliency and edges of a batch as the permutations leave them."""

    shares: tuple[Tensor, Tensor]
    """[B, h, w] each."""
    down: _Edges
    """[B, h-1, w]."""
    right: _Edges
    """[B, h, w-1]."""


class _Decision(NamedTuple):
    labels: Tensor
    """[B, h, w] int64."""
    sources: Sources | None
    objective: Tensor
    """[B]."""


def _decide(problem: _Problem, cut: str, transport: str | None, cycles: int) -> _Decision:
    """Solve for mask and permutations alternately."""
    decision = _cycle(problem, None, cut, transport)
    if transport is None:
        return decision  # without transport a later cycle would solve the same problem
    for _ in range(cycles - 1):
        candidate = _cycle(problem, decision.sources, cut, transport)
        falls = candidate.objective < decision.objective
        if not bool(falls.any()):
            break
        decision = _where(falls, candidate, decision)
    return decision


def _cycle(
    problem: _Problem, sources: Sources | None, cut: str, transport: str | None
) -> _Decision:
    """Solve for a mask, for images moved by ``sources``, then for permutations by that mask."""
    costs = _costs(problem, _view(problem, sources))
    expect_finite_costs(*costs)
    labels = (alpha_beta_swap if cut == "swap" else exact_labeling)(*costs).labels
    sources = None if transport is None else _transport(problem, labels, transport)
    return _Decision(labels, sources, _objective(problem, labels, sources))


def _where(falls: Tensor, one: _Decision, other: _Decision) -> _Decision:
    """The decisions of ``one`` for the samples where ``falls`` is true, of ``other`` elsewhere."""
    assert one.sources is not None
    assert other.sources is not None
    blocks = falls[:, None, None]
    return _Decision(
        torch.where(blocks, one.labels, other.labels),
        (
            torch.where(blocks, one.sources[0], other.sources[0]),
            torch.where(blocks, one.sources[1], other.sources[1]),
        ),
        torch.where(falls, one.objective, other.objective),
    )


# From pixels to shares


def _problem(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    partner: Tensor | None,
    grid: Grid,
    fine: Grid,
    options: PuzzleOptions,
) -> _Problem:
    """Compute what doesn't depend on the permutations."""
    if partner is not None:
        x2, saliency2 = x2[partner.long()], saliency2[partner.long()]
    shares = (_shares(saliency1, fine), _shares(saliency2, fine))
    if not isinstance(lam, Tensor):
        lam = torch.full((len(x1),), lam, dtype=torch.float64, device=x1.device)
    return _Problem((x1, x2), shares, _log_prior(lam.double(), options.labels), grid, fine, options)


def _shares(saliency: Tensor, fine: Grid) -> Tensor:
    """The share of each block in the saliency of its image, [B, h', w']."""
    rows, columns = saliency.shape[1] // fine[0], saliency.shape[2] // fine[1]
    blocks = _sums(saliency.double(), rows, columns)
    total = _sums(blocks, *fine)
    uniform = (total == 0) | ~total.isfinite()
    return torch.where(uniform, 1 / (fine[0] * fine[1]), blocks / total)


def _log_prior(lam: Tensor, labels: int) -> Tensor:
    """log p of each label, [B, L]."""
    last = labels - 1
    k = torch.arange(labels, dtype=torch.float64, device=lam.device)
    ways = [math.comb(last, label) for label in range(labels)]
    lam = lam.clamp(1e-6, 1 - 1e-6)[:, None]
    log_ways = log(torch.tensor(ways, dtype=k.dtype, device=k.device))
    return (log_ways + k * log(lam)) + (last - k) * log(1 - lam)


def _view(problem: _Problem, sources: Sources | None) -> _View:
    """Shares and edges after the permutations have moved the blocks."""
    (x1, x2), (shares1, shares2) = problem.images, problem.shares
    if sources is not None:
        # Pixels move before windows are pooled, so a window may have pixels of several moved
        # blocks.
        x1, x2 = moved(x1, sources[0]), moved(x2, sources[1])
        shares1, shares2 = _through(sources[0], shares1), _through(sources[1], shares2)
    rows, columns = (fine // cut for fine, cut in zip(problem.fine, problem.grid, strict=True))
    shares = _sums(shares1, rows, columns), _sums(shares2, rows, columns)
    return _View(shares, *_edges(x1, x2, problem.grid, problem.options))


def _through(source: Tensor, shares: Tensor) -> Tensor:
    """Shares [B, h', w'] in the places to which a permutation moves the blocks."""
    return shares.flatten(1).gather(1, source.flatten(1)).view(shares.shape)


def _edges(x1: Tensor, x2: Tensor, grid: Grid, options: PuzzleOptions) -> tuple[_Edges, _Edges]:
    """The data smoothness of all edges, down and to the right."""
    sides = x1.shape[2] // grid[0], x1.shape[3] // grid[1]
    height, width = (_largest_divisor(side, options.neighborhood) for side in sides)
    rows, columns = sides[0] // height, sides[1] // width  # the number of windows in a block
    windows = [_sums(x.double(), height, width) for x in (x1, x2)]
    if options.std is not None:
        assert isinstance(options.std, float | Tensor)
        windows = [values * options.std for values in windows]

    pixels = x1.shape[1] * height * width
    bottom = [values[:, :, rows - 1 : -1 : rows] for values in windows]
    top = [values[:, :, rows::rows] for values in windows]
    rightmost = [values[:, :, :, columns - 1 : -1 : columns] for values in windows]
    leftmost = [values[:, :, :, columns::columns] for values in windows]
    return (
        _split([[_apart(a, b, 1, columns) for b in top] for a in bottom], columns * pixels),
        _split([[_apart(a, b, rows, 1) for b in leftmost] for a in rightmost], rows * pixels),
    )


def _apart(strips: Tensor, others: Tensor, rows: int, columns: int) -> Tensor:
    """Sums of absolute differences of touching strips of rows x columns windows, one of which is 1.

    From two tensors [B, C, R*rows, S*columns] to [B, R, S].
    """
    gap = (strips - others).abs()
    over_channels = gap[:, 0]
    for channel in range(1, gap.shape[1]):
        over_channels = over_channels + gap[:, channel]
    total = over_channels[:, ::rows, ::columns]
    for place in range(1, rows * columns):
        at = over_channels[:, place::rows] if columns == 1 else over_channels[:, :, place::columns]
        total = total + at
    return torch.where(total.isfinite(), total, 0)


def _largest_divisor(size: int, limit: int) -> int:
    return next(d for d in range(min(size, limit), 0, -1) if size % d == 0)


# From shares to costs


def _split(distances: list[list[Tensor]], pixels: int) -> _Edges:
    """The parts of phi, from the distances d11 to d22 of edges."""
    (d11, d12), (d21, d22) = distances
    along, across = d11 - d22, d12 - d21
    weight = ((d12 + d21) - d11) - d22
    return _Edges(d22, along + across, along - across, weight, pixels)


def _costs(problem: _Problem, view: _View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The costs of the labelling problem: unary costs, edge weights, label cost."""
    options = problem.options
    smoothness = _smoothness(problem)
    weigh = smoothness * options.gamma / 2
    down, right = view.down, view.right
    s1, s2 = view.shares

    weigh_down, weigh_right = weigh / down.pixels, weigh / right.pixels
    vertical = _below(down.first) + _above(down.second)
    horizontal = _beside(right.first) + _before(right.second)
    slope = (vertical * weigh_down + horizontal * weigh_right) + (s2 - s1)

    bend = torch.zeros_like(s1)
    if options.smoothness == "bilinear":
        vertical = _below(down.weight) + _above(down.weight)
        horizontal = _beside(right.weight) + _before(right.weight)
        bend = vertical * weigh_down + horizontal * weigh_right

    z = _levels(options, s1.device)
    prior = problem.log_p * (-options.eta / (problem.grid[0] * problem.grid[1]))
    unary = (slope[..., None] * z + prior[:, None, None]) + bend[..., None] * (z * (1 - z))
    last = options.labels - 1
    every = range(options.labels)
    squares = [[((a - b) / last) * ((a - b) / last) for b in every] for a in every]
    return (
        unary,
        (down.weight * weigh_down + smoothness).clamp(min=0),
        (right.weight * weigh_right + smoothness).clamp(min=0),
        torch.tensor(squares, dtype=torch.float64),
    )


def _transport(problem: _Problem, labels: Tensor, method: str) -> Sources:
    """Solve both transports: each image's salient blocks go to places where the mask shows it."""
    rows, columns = (fine // cut for fine, cut in zip(problem.fine, problem.grid, strict=True))
    labels = labels.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    seen1, seen2 = labels > 0, labels < problem.options.labels - 1
    shares1, shares2 = problem.shares
    xi = problem.options.xi
    return (
        masked_transport(shares1, seen1.double(), xi=xi, method=method).source,
        masked_transport(shares2, seen2.double(), xi=xi, method=method).source,
    )


# The objective


def _objective(problem: _Problem, labels: Tensor, sources: Sources | None) -> Tensor:
    """The objective, the sum of its terms, [B]."""
    options = problem.options
    view = _view(problem, sources)
    s1, s2 = view.shares
    smoothness = _smoothness(problem)
    z = _values(labels, options)
    ends_down = z[:, :-1], z[:, 1:]
    ends_right = z[:, :, :-1], z[:, :, 1:]

    saliency = -_sum(s2 + z * (s1 - s2))
    label = _sum(_below(_square(*ends_down)) + _beside(_square(*ends_right))) * smoothness
    down = _phi(view.down, *ends_down, options) * (smoothness * options.gamma / view.down.pixels)
    right = _phi(view.right, *ends_right, options) * (
        smoothness * options.gamma / view.right.pixels
    )
    phi = _below(down) + _beside(right)
    data = _sum(phi)
    log_p = problem.log_p.gather(1, labels.flatten(1)).view(labels.shape)
    prior = _sum(log_p) * (-options.eta / (problem.grid[0] * problem.grid[1]))
    return (((saliency + label) + data) + prior) + _cost_of_moves(problem, sources)


def _phi(edges: _Edges, z_i: Tensor, z_j: Tensor, options: PuzzleOptions) -> Tensor:
    """phi of edges, times the number of pixels of a strip."""
    mixed = _square(z_i, z_j)
    if options.smoothness == "bilinear":
        mixed = (z_i + z_j) - (2 * z_i) * z_j
    return edges.d22 + ((edges.first * z_i + edges.second * z_j) + edges.weight * mixed) / 2


def _square(z_i: Tensor, z_j: Tensor) -> Tensor:
    return (z_i - z_j) * (z_i - z_j)


def _below(edges: Tensor) -> Tensor:
    """For each block [B, h, w] the value of its edge down [B, h-1, w]; 0 over the border."""
    return F.pad(edges, (0, 0, 0, 1))


def _above(edges: Tensor) -> Tensor:
    """For each block [B, h, w] the value of its edge up [B, h-1, w]; 0 over the border."""
    return F.pad(edges, (0, 0, 1, 0))


def _before(edges: Tensor) -> Tensor:
    """For each block [B, h, w] the value of its edge left [B, h, w-1]; 0 over the border."""
    return F.pad(edges, (1, 0))


def _beside(edges: Tensor) -> Tensor:
    """For each block [B, h, w] the value of its edge right [B, h, w-1]; 0 over the border."""
    return F.pad(edges, (0, 1))


def _cost_of_moves(problem: _Problem, sources: Sources | None) -> Tensor:
    """xi times the sum of squared distances that blocks move, the longest side being 1."""
    height, width = problem.fine
    longest = max(height, width) - 1
    if sources is None or longest == 0:
        return problem.log_p.new_zeros(len(problem.log_p))
    place = torch.arange(height * width, device=problem.log_p.device)
    squared = torch.zeros_like(sources[0].flatten(1))
    for source in sources:
        block = source.flatten(1)
        down, right = block // width - place // width, block % width - place % width
        squared += down * down + right * right
    # These are integers, whose sum is exact in any order.
    return squared.sum(1).double() * (problem.options.xi / (longest * longest))


# Numbers


def _smoothness(problem: _Problem) -> float:
    """beta / (16 sqrt(n)), the factor of (z_i - z_j)^2."""
    return problem.options.beta / (16 * math.sqrt(problem.grid[0] * problem.grid[1]))


def _levels(options: PuzzleOptions, device: torch.device) -> Tensor:
    """z of each label, k/m."""
    last = options.labels - 1
    levels = [k / last for k in range(options.labels)]
    return torch.tensor(levels, dtype=torch.float64, device=device)


def _values(labels: Tensor, options: PuzzleOptions) -> Tensor:
    """z of the labels that blocks have."""
    return _levels(options, labels.device)[labels]


def _over(values: Tensor, number: int) -> Tensor:
    """A quotient by a tensor: by a Python number CUDA would multiply with the reciprocal."""
    return values / torch.full((), number, dtype=values.dtype, device=values.device)


def _sum(values: Tensor) -> Tensor:
    """The sum over the last two dimensions, in the order of a rectangle."""
    return _sums(values, values.shape[-2], values.shape[-1])[..., 0, 0]


def _sums(values: Tensor, rows: int, columns: int) -> Tensor:
    """Sums over rectangles of rows x columns: columns from the top, then even and odd columns."""
    down = values[..., ::rows, :]
    for row in range(1, rows):
        down = down + values[..., row::rows, :]
    even = down[..., ::columns]
    for column in range(2, columns, 2):
        even = even + down[..., column::columns]
    if columns == 1:
        return even
    odd = down[..., 1::columns]
    for column in range(3, columns, 2):
        odd = odd + down[..., column::columns]
    return even + odd
