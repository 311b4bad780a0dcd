"""Puzzle Mix as published, on dense matrices and rewritten for batches: a peer on CPU and GPU.

Written from the paper (Kim, Choo and Song, ICML 2020, section 4.2) and from what its authors'
code does, with batched PyTorch calls on whatever device the images are on. It is a batched
rewrite of that code, and faster: in one run (one thread of a busy machine) 1.0 to 2.0 times at
32x32 and 64x64 pixels, 19 times at 224x224; beside what the code took on other machines up to five
times at 32x32 and grid 4. So a ratio to this peer is no ratio to the published code, which
`peers.published_code` runs, and of which `goals.CODE_MS` has times.

- the cut is solved on the CPU, a sample at a time, by PyMaxflow's alpha-beta swap. It takes one
  weight for all edges, so the data smoothness is left out, which is in this peer's favour;
- a transport is as many rounds as the grid has blocks a side on a matrix of n x n costs: each row
  names its cheapest column, each column keeps its cheapest namer, and the entries that lost are
  raised. The rounds may end before every row is alone, and leave columns empty: black blocks;
- blocks move by the product of the n x n plan with the blocks' pixels.

Letters: B batch, h x w blocks, n = h*w, C channels, Y x X pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

RAISE = 1000.0
"""What is added to an entry that lost: more than any cost, whose range is about 1 + 2 xi."""


class Published(NamedTuple):
    """The mix and what was decided."""

    images: Tensor
    """[B, C, Y, X]."""
    mask: Tensor
    """[B, h, w]."""
    plan1: Tensor
    """[B, n, n], 1 where source block i (row) goes to place j (column), of the first image."""
    plan2: Tensor
    """[B, n, n], 1 where source block i (row) goes to place j (column), of the second image."""


def puzzle_mix(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: Tensor,
    *,
    grid: int,
    labels: int = 3,
    beta: float = 1.2,
    eta: float = 0.2,
    xi: float = 0.8,
) -> Published:
    """Mix images [B, C, Y, X] by saliency [B, Y, X] and lam [B], on grid x grid blocks."""
    s1, s2 = block_shares(saliency1, grid), block_shares(saliency2, grid)
    mask = cut(s1, s2, lam, labels=labels, beta=beta, eta=eta)
    plan1 = transport(transport_costs(s1, mask, xi), rounds=grid)
    plan2 = transport(transport_costs(s2, 1 - mask, xi), rounds=grid)
    z = spread(mask, x1)
    return Published(
        z * move(x1, plan1, grid) + (1 - z) * move(x2, plan2, grid), mask, plan1, plan2
    )


def block_shares(saliency: Tensor, grid: int) -> Tensor:
    """The share of each block in a sample's saliency, [B, h, w]."""
    batch, rows, columns = saliency.shape
    blocks = saliency.view(batch, grid, rows // grid, grid, columns // grid).sum((2, 4))
    return blocks / blocks.sum((1, 2), keepdim=True)


def cut(s1: Tensor, s2: Tensor, lam: Tensor, *, labels: int, beta: float, eta: float) -> Tensor:
    """The mask [B, h, w] by alpha-beta swap, on the CPU and back."""
    import maxflow  # here, so that the rest runs where it is not installed

    last, side = labels - 1, s1.shape[1]
    z = torch.arange(labels, device=s1.device, dtype=torch.float64) / last
    ways = torch.tensor([math.log(math.comb(last, k)) for k in range(labels)]).to(z)
    p = lam.double().clamp(1e-6, 1 - 1e-6)[:, None]
    prior = ways + last * (z * p.log() + (1 - z) * (1 - p).log())
    unary = -z * s1[..., None] - (1 - z) * s2[..., None] - eta / side**2 * prior[:, None, None]
    pair = (beta / (16 * side) * (z[:, None] - z) ** 2).cpu().numpy()
    found = [maxflow.fastmin.abswap_grid(sample, pair) for sample in unary.cpu().numpy()]
    steps = torch.stack([torch.from_numpy(each) for each in found])
    return (steps.double() / last).to(s1)


def transport_costs(saliency: Tensor, mask: Tensor, xi: float) -> Tensor:
    """xi * C_ij - s_i * [z_j > 0], [B, n, n]."""
    height, width = saliency.shape[1:]
    places = torch.arange(height * width, device=saliency.device)
    y, x = places.div(width, rounding_mode="floor"), places % width
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    move_cost = (xi / max(1, (max(height, width) - 1) ** 2)) * squared.to(saliency)
    shown = (mask.flatten(1) > 0).to(saliency)
    return move_cost - saliency.flatten(1)[:, :, None] * shown[:, None, :]


def transport(cost: Tensor, *, rounds: int) -> Tensor:
    """The plan [B, n, n] after ``rounds``: a permutation if no column has two rows by then."""
    for _ in range(rounds):
        named = _one_hot(cost.argmin(2, keepdim=True), cost, 2)
        cheapest = cost.masked_fill(~named, math.inf).argmin(1, keepdim=True)
        # A column that nobody names has no cheapest namer.
        kept = _one_hot(cheapest, cost, 1) & named
        cost = cost + RAISE * (named & ~kept)
    return kept.to(cost)


def _one_hot(index: Tensor, like: Tensor, dim: int) -> Tensor:
    return torch.zeros_like(like, dtype=torch.bool).scatter_(dim, index, True)


def move(images: Tensor, plan: Tensor, grid: int) -> Tensor:
    """The images [B, C, Y, X] with block i at every place j where plan[i, j] is 1."""
    batch, channels, rows, columns = images.shape
    height, width = rows // grid, columns // grid
    blocks = images.view(batch, channels, grid, height, grid, width).permute(0, 2, 4, 1, 3, 5)
    moved = plan.mT.to(images) @ blocks.reshape(batch, grid * grid, -1)
    moved = moved.view(batch, grid, grid, channels, height, width).permute(0, 3, 1, 4, 2, 5)
    return moved.reshape(images.shape)


def spread(mask: Tensor, images: Tensor) -> Tensor:
    """The mask [B, h, w] at every pixel, [B, 1, Y, X]."""
    rows, columns = images.shape[2] // mask.shape[1], images.shape[3] // mask.shape[2]
    pixels = mask.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    return pixels[:, None].to(images)
