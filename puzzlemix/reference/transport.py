"""Assignments and transports of blocks in plain PyTorch.

Letters: B batch, H x W grid of blocks, N things to assign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import integers, validate
from ..arrays import accepts_numpy
from ..results import Assignment

__all__ = ["assignment", "masked_transport"]


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Give each column of ``cost`` [B, N, N] one row.

    ``"approx"``: the proposer-optimal stable matching, rows proposing, where rows and columns both
    prefer the cheaper entry, the lower index on a tie (Gale and Shapley 1962). ``"exact"``: the
    least total; exact for int32, for floats to N * (range of the costs) * 2**-29.

    Returns ``source`` [B, N], the row given to each column, and ``total`` [B], the sum of the
    entries chosen.
    """
    validate.assignment(cost, method)
    validate.expect_values("assignment", cost)
    real = cost.double()
    if method == "approx":
        source = _stable_matching(real)
    else:
        source = _cheapest(integers.assignment_integers(cost))
    return Assignment(source, real.gather(1, source[:, None]).sum((1, 2)))


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
    validate.masked_transport(saliency, mask, xi, weight, method)
    validate.expect_values("masked_transport", saliency, mask, xi=xi)
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
    source = _stable_matching(cost) if method == "approx" else _cheapest(cost)
    total = (unit * squared.double() - worth).gather(1, source[:, None]).sum((1, 2))
    return Assignment(source.view(saliency.shape), total)


def _stable_matching(cost: Tensor) -> Tensor:
    """The row of each column [B, N] in the proposer-optimal stable matching, rows proposing.

    In rounds: each row names its cheapest column among those that haven't turned it down, each
    column keeps its cheapest namer and turns the others down, until no two name the same.
    """
    batch, count, _ = cost.shape
    wishes = (cost + 0).argsort(dim=2, stable=True)  # -0.0 + 0 is 0.0: they tie
    row = torch.arange(count, device=cost.device).expand(batch, count)
    refusals = torch.zeros_like(row)
    while True:
        column = wishes.gather(2, refusals[:, :, None]).squeeze(2)
        price = cost.gather(2, column[:, :, None]).squeeze(2)
        lowest = price.scatter_reduce(1, column, price, "amin", include_self=False)
        cheapest = price == lowest.gather(1, column)
        named = torch.where(cheapest, row, count)
        kept = torch.full_like(row, count).scatter_reduce(1, column, named, "amin")
        refused = kept.gather(1, column) != row
        if not bool(refused.any()):
            return kept
        refusals = refusals + refused


def _cheapest(cost: Tensor) -> Tensor:
    """The row of each column [B, N] in an assignment of least total, for integer costs."""
    return torch.stack([_shortest_paths(matrix) for matrix in cost]) if len(cost) else cost[:, 0]


def _shortest_paths(cost: Tensor) -> Tensor:
    """The row of each column [N] in a cheapest assignment of an integer matrix [N, N].

    Each row in turn takes the cheapest alternating path to a free column, found as Dijkstra would
    on costs that the columns' prices keep from being negative (Jonker and Volgenant 1987).
    """
    price = torch.zeros_like(cost[0])
    row_of = torch.full_like(cost[0], -1)
    for root in range(len(cost)):
        # The cheapest way from the root to each column, and the column before it on that way.
        reach = cost[root] - price
        before = torch.full_like(row_of, -1)
        known = torch.zeros_like(row_of, dtype=torch.bool)
        while True:
            ahead = reach.masked_fill(known, torch.iinfo(torch.int64).max)
            length = ahead.min()
            nearest = (ahead == length).nonzero().flatten()
            free = nearest[row_of[nearest] < 0]
            if len(free):
                break
            # Go on from the rows that have these columns: there a row's reduced cost is 0.
            known[nearest] = True
            rows = row_of[nearest]
            spent = length - (cost[rows, nearest] - price[nearest])
            through, last = (cost[rows] + spent[:, None]).min(0)
            through -= price
            shorter = ~known & (through < reach)
            reach = torch.where(shorter, through, reach)
            before = torch.where(shorter, nearest[last], before)
        # The columns passed become dearer, so that all of the path is as cheap as it gets.
        price -= torch.where(known, length - reach, 0)
        column = int(free[0])
        while column >= 0:
            previous = int(before[column])
            row_of[column] = row_of[previous] if previous >= 0 else root
            column = previous
    return row_of
