"""From the caller's costs to the integers that decide, in double and by maxima only.

Every backend decides by these integers, so that all decide the same. Maxima don't depend on the
order of evaluation, and multiplying by a power of two doesn't round. int32 and int64 costs are
integers already and pass through unchanged.

Letters: B batch, H x W grid, L labels. ``vertical`` [B, H-1, W] joins a cell to the one below it,
``horizontal`` [B, H, W-1] to the one on its right.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BITS = 30
"""A scaled problem sums to less than 2**BITS."""


class LabelCost(NamedTuple):
    """A label cost as integers: ``cost * unit`` is the caller's label cost, up to rounding."""

    cost: Tensor
    """[L, L] int64."""
    unit: float
    """d, the value of one unit of ``cost``; edge weights are multiplied by it."""
    integral: bool
    """Whether the caller's costs are these integers, up to a common factor."""


class LabelingIntegers(NamedTuple):
    """A labelling problem in int64."""

    unary: Tensor
    vertical: Tensor
    horizontal: Tensor
    label_cost: Tensor


def power_of_two(sums: Tensor) -> Tensor:
    """2**k, double, with the largest k <= 1000 for which sum * 2**k < 2**30; 1 if the sum is 0."""
    scales = [
        math.ldexp(1.0, min(1000, BITS - math.frexp(value)[1])) if value > 0 else 1.0
        for value in sums.tolist()
    ]
    return torch.tensor(scales, dtype=torch.float64, device=sums.device)


def to_integers(values: Tensor, scale: Tensor) -> Tensor:
    """Round ``values * scale``, half to even, to int64; one scale a sample."""
    shape = (-1,) + (1,) * (values.dim() - 1)
    return (values * scale.view(shape)).round().long()


def largest(*values: Tensor) -> Tensor:
    """The largest entry of each sample [B], double; 0 if none is positive."""
    parts = [value.double().flatten(1) for value in values]
    return torch.cat([parts[0].new_zeros(len(parts[0]), 1), *parts], 1).amax(1)


def label_integers(label_cost: Tensor) -> LabelCost:
    """Make integers D of a label cost [L, L], so that D times the unit d is the cost.

    Costs that are small integers up to a factor (Potts, linear, quadratic, truncated) become those
    integers; others fill the range up to 1024.
    """
    if not label_cost.is_floating_point():
        return LabelCost(label_cost.long(), 1.0, True)
    costs = label_cost.double().tolist()
    unit = min((entry for row in costs for entry in row if entry > 0), default=1.0)
    quotients = [[entry / unit for entry in row] for row in costs]
    most = max(map(max, quotients))
    integral = round(most) <= 4096 and all(
        abs(entry - round(entry)) <= 1e-5 * entry for row in quotients for entry in row
    )
    shift = 0
    if not integral:
        # most = f * 2**e with f in [1/2, 1): scaled, a power of two becomes 1024, others less.
        fraction, exponent = math.frexp(most)
        shift = (11 if fraction == 0.5 else 10) - exponent
    scale = math.ldexp(1.0, shift)
    cost = torch.tensor([[round(entry * scale) for entry in row] for row in quotients])
    return LabelCost(cost.to(label_cost.device), math.ldexp(unit, -shift), integral)


def is_convex(label_cost: Tensor) -> bool:
    """Whether D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b] for all labels a, b.

    If the caller's costs are integers up to a factor, the integers decide; otherwise the caller's
    costs do, with a slack of 1e-6 of the largest.
    """
    cost, _, integral = label_integers(label_cost)
    judged = (cost if integral else label_cost.double()).tolist()
    slack = 0.0 if integral else 1e-6 * max(map(max, judged))
    return all(bend >= -slack for row in _bends(judged) for bend in row)


def convex_label_cost(cost: Tensor) -> Tensor:
    """D': the integers D [L, L] made convex in the label order, where rounding alone broke that.

    Second differences that are negative become 0. If D is convex, D' is D.
    """
    convex = cost.tolist()
    bends = _bends(convex)
    for step in range(2, len(convex)):
        for a in range(len(convex) - step):
            b = a + step
            straight = convex[a][b - 1] + convex[a + 1][b] - convex[a + 1][b - 1]
            convex[a][b] = convex[b][a] = straight + max(0, bends[a][b - 1])
    return torch.tensor(convex, device=cost.device)


def labeling_integers(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> LabelingIntegers:
    """The integers of a labelling problem: unary [B, H, W, L], label_cost [L, L]."""
    cost, unit, _ = label_integers(label_cost)
    cost = cost.to(unary.device)
    lowered, cells, edges = _lowered(unary, vertical, horizontal, label_cost)
    scale = _scale(unary, cells + edges)
    return LabelingIntegers(
        to_integers(lowered, scale),
        to_integers(vertical.double() * unit, scale),
        to_integers(horizontal.double() * unit, scale),
        cost,
    )


def cut_integers(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The integers of a cut problem, in the order of the arguments."""
    excess, sums = _excess(source_caps, sink_caps, vertical, horizontal)
    scale = _scale(source_caps, sums)
    terminals = to_integers(excess, scale)
    down, right = (to_integers(each.double(), scale) for each in (vertical, horizontal))
    return terminals.clamp(min=0), (-terminals).clamp(min=0), down, right


def labeling_magnitude(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> tuple[Tensor, Tensor]:
    """cells*u and edges*p, [B] double each: bounds on the sums of unary and of pair costs."""
    return _lowered(unary, vertical, horizontal, label_cost)[1:]


def cut_magnitude(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> Tensor:
    """cells*(largest terminal left) + edges*(largest edge) [B], double, of a cut problem."""
    return _excess(source_caps, sink_caps, vertical, horizontal)[1]


def _scale(costs: Tensor, sums: Tensor) -> Tensor:
    return power_of_two(sums) if costs.is_floating_point() else torch.ones_like(sums)


def _excess(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> tuple[Tensor, Tensor]:
    """Source minus sink capacity, clamped where it decides the cell anyway; bounds on costs."""
    _, height, width = source_caps.shape
    edge = largest(vertical, horizontal)
    # Every cut pays the smaller terminal. A cell's four edges cost at most 4 * edge.
    limit = torch.where(edge > 0, 8 * edge, math.inf)[:, None, None]
    excess = (source_caps.double() - sink_caps.double()).clamp(-limit, limit)
    return excess, height * width * largest(excess.abs()) + _edges(height, width) * edge


def _lowered(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Unary costs above each cell's cheapest label, clamped beyond all ever paid; both bounds."""
    _, height, width, labels = unary.shape
    cost, unit, _ = label_integers(label_cost)
    pair = (largest(vertical, horizontal) * unit) * cost.max().item()
    # A cell's four edges cost at most 4p: no optimum and no sequence of swaps pays this limit.
    limit = torch.where(pair > 0, 4 * (labels + 1) * pair, math.inf)
    lowered = unary.double()
    lowered = lowered - lowered.amin(3, keepdim=True)
    lowered = lowered.minimum(limit[:, None, None, None])
    return lowered, height * width * largest(lowered), _edges(height, width) * pair


def _bends(cost: list[list[float]]) -> list[list[float]]:
    """D[a,b+1] + D[a+1,b] - D[a,b] - D[a+1,b+1] for all a, b: not negative if D is convex."""
    steps = range(len(cost) - 1)
    return [
        [cost[a][b + 1] + cost[a + 1][b] - cost[a][b] - cost[a + 1][b + 1] for b in steps]
        for a in steps
    ]


def _edges(height: int, width: int) -> int:
    return (height - 1) * width + height * (width - 1)
