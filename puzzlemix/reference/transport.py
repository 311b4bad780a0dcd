"""Assignments and transports of blocks in plain PyTorch.

Letters: B batch, H x W grid of blocks, N rows and M columns to assign.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .. import integers
from ..arrays import accepts_numpy
from ..results import Assignment
from ..validate import contracts
from ..validate.values import expect_allowed, expect_values

__all__ = ["assignment", "masked_transport"]


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Make min(N, M) pairs of the rows and columns of ``cost`` [B, N, M]; infinity forbids one.

    ``"approx"``: the proposer-optimal stable matching, rows proposing, where rows and columns both
    prefer the cheaper entry, the lower index on a tie (Gale and Shapley 1962). ``"exact"``: the
    least total; exact for integers, for floats within min(N, M) * U * 2**-28 of the optimum, U
    being the optimum's total above the minima of the rows (of the columns if there are fewer).

    Returns ``source`` [B, M], the row given to each column, -1 to one left over, and ``total`` [B],
    the sum of the entries chosen. Raises ValueError if a forbidden pair can't be avoided.
    """
    contracts.assignment(cost, method)
    expect_values("assignment", cost)
    real = cost.double()
    if method == "approx":
        source = _stable_matching(real)
    else:
        whole = not cost.is_floating_point()
        source = _per_sample(lambda matrix: _cheapest(matrix, whole), real)
    expect_allowed(cost, source)
    if real.numel() == 0:
        return Assignment(source, real.new_zeros(len(real)))
    chosen = real.gather(1, source.clamp(min=0)[:, None])[:, 0]
    return Assignment(source, torch.where(source < 0, 0, chosen).sum(1))


@accepts_numpy
def masked_transport(
    saliency: Tensor,
    mask: Tensor,
    *,
    xi: float = 0.8,
    weight: str = "indicator",
    method: str = "approx",
) -> Assignment:
    """Move the blocks of a grid to where the mask shows them (Kim, Choo and Song, ICML 2020).

    Moving block i to place j costs xi * C_ij - s_i * [z_j > 0] (``weight="indicator"``) or
    xi * C_ij - s_i * z_j (``weight="mask"``), with ``saliency`` s >= 0 and ``mask`` z in [0, 1],
    both [B, H, W], and C_ij the squared distance over (max(H, W) - 1)**2. ``method`` as in
    ``assignment``, on integers of those costs.

    Returns ``source`` [B, H, W], the index (row * W + column) of the block that comes to each
    place, and ``total`` [B].
    """
    contracts.masked_transport(saliency, mask, xi, weight, method)
    expect_values("masked_transport", saliency, mask, xi=xi)
    _, height, width = saliency.shape
    place = torch.arange(height * width, device=saliency.device)
    row, column = place // width, place % width
    squared = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
    unit = xi / (max(height, width) - 1) ** 2 if height * width > 1 else 0.0
    s = saliency.double().flatten(1)
    z = mask.double().flatten(1)
    worth = s[:, :, None] * (z if weight == "mask" else (z > 0).double())[:, None, :]

    scale = integers.power_of_two(unit * squared.max().item() + integers.largest(s))
    move = integers.to_integers(torch.full_like(scale, unit), scale)
    cost = move[:, None, None] * squared - integers.to_integers(worth, scale)
    whole = cost.double()
    source = _stable_matching(whole)
    if method == "exact":
        source = _per_sample(_shortest_paths, whole)
    total = (unit * squared.double() - worth).gather(1, source[:, None]).sum((1, 2))
    return Assignment(source.view(saliency.shape), total)


def _stable_matching(cost: Tensor) -> Tensor:
    """The row of each column [B, M] in the proposer-optimal stable matching, rows proposing.

    Deferred acceptance in rounds: each row proposes to its cheapest column among those that haven't
    rejected it; each column keeps its cheapest proposer and rejects the others; until no row is
    rejected. A row that all columns have rejected proposes no more.
    """
    batch, count, columns = cost.shape
    row = torch.arange(count, device=cost.device).expand(batch, count)
    kept = torch.full((batch, columns), count, device=cost.device)
    if cost.numel() == 0:
        return kept - count - 1
    preferences = (cost + 0).argsort(dim=2, stable=True)  # -0.0 + 0 is 0.0, so that both tie
    rejections = torch.zeros_like(row)
    while True:
        proposes = rejections < columns
        column = preferences.gather(2, rejections.clamp(max=columns - 1)[:, :, None]).squeeze(2)
        price = torch.where(proposes, cost.gather(2, column[:, :, None]).squeeze(2), math.inf)
        lowest = cost.new_full((batch, columns), math.inf).scatter_reduce(1, column, price, "amin")
        cheapest = proposes & (price == lowest.gather(1, column))
        proposer = kept.scatter_reduce(1, column, torch.where(cheapest, row, count), "amin")
        rejected = proposes & (proposer.gather(1, column) != row)
        if not bool(rejected.any()):
            return torch.where(proposer < count, proposer, -1)
        rejections = rejections + rejected


def _per_sample(solve: Callable[[Tensor], Tensor], cost: Tensor) -> Tensor:
    """The results of ``solve`` for each matrix, stacked to [B, M]."""
    found = [solve(matrix) for matrix in cost]
    return torch.stack(found) if found else cost.new_zeros(0, cost.shape[2]).long()


def _cheapest(cost: Tensor, whole: bool) -> Tensor:
    """The row of each column [M] in an assignment of least total of [N, M]; -1: none.

    Fractions are scaled to integers. The total of any answer, above the least cost of each row, is
    an upper bound of the optimum's: costs above it are in no optimum and become forbidden, which
    leaves room for a finer scale, until the answer is exact enough.
    """
    rows, columns = cost.shape
    if rows > columns:
        return _inverse(_cheapest(cost.T, whole), columns)
    if rows == 0:
        return torch.full((columns,), -1, device=cost.device)
    if whole:
        return _shortest_paths(cost)
    above = (cost - cost.amin(1, keepdim=True)).nan_to_num(nan=math.inf, posinf=math.inf)
    limit = above.masked_fill(above == math.inf, 0).max()
    scale = _scale_of(limit)
    while True:
        source = _shortest_paths((above * scale).round().masked_fill(above > limit, math.inf))
        used = source >= 0
        limit = above[source[used], used.nonzero().flatten()].sum()
        # Rounding changes each of two totals that are compared by at most half a unit a pair.
        exact = limit == 0 or limit == math.inf or limit * scale - rows >= 2.0**29
        if exact or _scale_of(limit) <= scale:
            return source
        scale = _scale_of(limit)


def _scale_of(limit: Tensor) -> float:
    """A scale to integers up to 2**40, of which 4096 still add up exactly in double."""
    return integers.power_of_two(limit[None]).item() * 2.0**10


def _inverse(source: Tensor, columns: int) -> Tensor:
    """For each index below ``columns``, where in ``source`` it is; -1: nowhere."""
    places = torch.full((columns,), -1, device=source.device)
    places[source[source >= 0]] = (source >= 0).nonzero().flatten()
    return places


def _shortest_paths(cost: Tensor) -> Tensor:
    """The row of each column [M] in a cheapest assignment of whole numbers [N, M], N <= M.

    Shortest augmenting paths (Jonker and Volgenant 1987): for one row after the other, Dijkstra's
    algorithm finds the cheapest alternating path to a free column, on reduced costs, which the
    columns' prices keep from being negative. A row without a path takes the first free column.
    """
    price = torch.zeros_like(cost[0])
    row_of = torch.full_like(cost[0], -1, dtype=torch.int64)
    for root in range(len(cost)):
        # The length of the shortest path from the root to each column, and the column before it.
        reach = cost[root] - price
        before = torch.full_like(row_of, -1)
        known = torch.zeros_like(row_of, dtype=torch.bool)
        while True:
            ahead = reach.masked_fill(known, math.inf)
            length = ahead.min()
            if length == math.inf:
                return _filled(row_of, len(cost))
            nearest = (ahead == length).nonzero().flatten()
            free = nearest[row_of[nearest] < 0]
            if len(free):
                break
            # Extend paths by the rows of these columns, whose reduced cost there is 0.
            known[nearest] = True
            rows = row_of[nearest]
            spent = length - (cost[rows, nearest] - price[nearest])
            through, last = (cost[rows] + spent[:, None]).min(0)
            through -= price
            shorter = ~known & (through < reach)
            reach = torch.where(shorter, through, reach)
            before = torch.where(shorter, nearest[last], before)
        # Raising the prices of scanned columns keeps all reduced costs from being negative.
        price -= torch.where(known, length - reach, 0)
        column = int(free[0])
        while column >= 0:
            previous = int(before[column])
            row_of[column] = row_of[previous] if previous >= 0 else root
            column = previous
    return row_of


def _filled(row_of: Tensor, rows: int) -> Tensor:
    """An assignment in which rows left without a column get the first free ones."""
    left = sorted(set(range(rows)) - set(row_of.tolist()))
    row_of[(row_of < 0).nonzero().flatten()[: len(left)]] = torch.tensor(left, device=row_of.device)
    return row_of
