"""Certificates: proofs that answers are the ones asked for, for many samples at a time.

None of them solves the problem as the solvers do. For small grids and matrices all answers are
listed; for others it is enough that none of certain changes of an answer improves it. All numbers
are integers below 2**53, so nothing is rounded.

A function returns a bool for each sample, [B]: True where the proof holds.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations, product

import numpy as np
import torch
from problems import Cut, Labeling, Transport, maxflow_cut
from torch import Tensor

from puzzlemix import integers

MOST_CELLS = 12
"""The most cells of which all sets are listed."""
MOST_LABELINGS = 20000
"""The most labellings that are listed."""
MOST_PERMUTED = 6
"""The most things of which all permutations are listed."""

_NEVER = 2.0**40


# ---- Cuts and labellings ----


def smallest_minimum_cut(problem: Cut, segment: Tensor) -> Tensor:
    """Whether a cut is, of all sets of cells listed by size, the first of least capacity."""
    source, sink, vertical, horizontal = (part.double() for part in _cut_integers(problem))
    first, second = _ends(source.shape[1], source.shape[2])
    weight = _per_edge(vertical, horizontal)
    # An edge costs w * (x + y - 2xy), with x, y in {0, 1} for the sides of its ends.
    linear = (source - sink).flatten(1)
    linear = linear.index_add(1, first, weight).index_add(1, second, weight)
    sets = _sets(source.shape[1], source.shape[2])
    cheapest = (torch.cat([linear, -2 * weight], 1) @ sets.T).argmin(1)
    cells = sets[cheapest, : linear.shape[1]] > 0
    return (cells == segment.flatten(1)).all(1)


def cut_of_a_flow(problem: Cut, segment: Tensor, index: int) -> bool:
    """Whether PyMaxflow's flow on one sample equals the cut, whose cells all reach the sink."""
    whole = [part[index] for part in _cut_integers(problem)]
    flow, side = maxflow_cut(*(part.numpy() for part in whole))
    source, sink, vertical, horizontal = whole
    mine = segment[index]
    capacity = (
        torch.where(mine, source, sink).sum()
        + (vertical * (mine[:-1] != mine[1:])).sum()
        + (horizontal * (mine[:, :-1] != mine[:, 1:])).sum()
    )
    return int(capacity) == flow and bool((torch.from_numpy(side) == mine).all())


def lowest_optimum(problem: Labeling, labels: Tensor) -> Tensor:
    """Whether labels are, of all labellings listed by their sum, the first of least energy.

    The optima of a convex label cost form a lattice: the lowest in every cell is an optimum, and
    it alone has the lowest sum.
    """
    whole = integers.labeling_integers(*problem)
    pair = integers.convex_label_cost(whole.label_cost)
    _, height, width, count = problem.unary.shape
    states, table = _labelings(height, width, count, tuple(map(tuple, pair.tolist())))
    weight = _per_edge(whole.vertical, whole.horizontal)
    costs = torch.cat([whole.unary.flatten(1), weight], 1).double()
    return (states[(costs @ table.T).argmin(1)] == labels.flatten(1)).all(1)


def lowest_of_a_convex_problem(problem: Labeling, labels: Tensor) -> Tensor:
    """Whether raising any set of cells by one label doesn't gain, and lowering any set costs.

    For unary costs that are convex in the label and a label cost that is convex in the distance of
    the labels: then the energy is L-natural-convex, and such a labelling is optimal (Murota 2003,
    Discrete Convex Analysis, theorem 7.14), the lowest at that.
    """
    pair = integers.labeling_integers(*problem).label_cost
    last = problem.unary.shape[3] - 1
    up = _gains(problem, labels, (labels + 1).clamp(max=last), labels < last, pair)
    down = _gains(problem, labels, (labels - 1).clamp(min=0), labels > 0, pair)
    return (up >= 0).all(1) & (down[:, 1:] > 0).all(1)


def no_swap_gains(problem: Labeling, labels: Tensor) -> Tensor:
    """Whether no swap of two labels in any set of cells lowers the energy."""
    pair = integers.labeling_integers(*problem).label_cost
    good = torch.ones(len(labels), dtype=torch.bool)
    for beta in range(problem.unary.shape[3]):
        for alpha in range(beta):
            free = (labels == alpha) | (labels == beta)
            other = torch.where(free, alpha + beta - labels, labels)
            good &= (_gains(problem, labels, other, free, pair) >= 0).all(1)
    return good


def lowest_by_ishikawa(problem: Labeling, labels: Tensor, index: int) -> bool:
    """Whether labels of one sample are PyMaxflow's smallest sink side in Ishikawa's graph."""
    from bench.peers import IshikawaGraphs

    whole = integers.labeling_integers(*problem)
    pair = integers.convex_label_cost(whole.label_cost).numpy()
    sample = (part[index].numpy() for part in whole[:3])
    (lowest,) = IshikawaGraphs([(*sample, pair)]).solve()
    return bool((torch.from_numpy(lowest) == labels[index]).all())


def is_convex_throughout(problem: Labeling) -> Tensor:
    """[B]: whether ``lowest_of_a_convex_problem`` applies."""
    whole = integers.labeling_integers(*problem)
    pair = whole.label_cost
    steps = pair[0].diff()
    by_distance = all(bool((pair.diagonal(k) == pair[0, k]).all()) for k in range(1, len(pair)))
    convex = by_distance and bool((steps.diff() >= 0).all())
    return convex & (whole.unary.diff(dim=3).diff(dim=3) >= 0).flatten(1).all(1)


def _cut_integers(problem: Cut) -> tuple[Tensor, ...]:
    return integers.cut_integers(*problem)


def _per_edge(vertical: Tensor, horizontal: Tensor) -> Tensor:
    return torch.cat([vertical.flatten(1), horizontal.flatten(1)], 1)


def _gains(problem: Labeling, labels: Tensor, other: Tensor, free: Tensor, pair: Tensor) -> Tensor:
    """The rise of the energy if a set of free cells takes its other labels, [B, sets].

    Sets with a cell that isn't free rise by more than anything.
    """
    unary, vertical, horizontal, _ = integers.labeling_integers(*problem)
    first, second = _ends(*labels.shape[1:])
    weight = _per_edge(vertical, horizontal)
    old, new = labels.flatten(1), other.flatten(1)
    cost = unary.flatten(1, 2)
    rise = (cost.gather(2, new[..., None]) - cost.gather(2, old[..., None]))[..., 0]
    stay = pair[old[:, first], old[:, second]]
    one, two, both = (
        weight * (pair[a[:, first], b[:, second]] - stay)
        for a, b in ((new, old), (old, new), (new, new))
    )
    rise = rise.index_add(1, first, one).index_add(1, second, two).double()
    rise = torch.where(free.flatten(1), rise, _NEVER)
    change = torch.cat([rise, (both - one - two).double()], 1)
    return change @ _sets(*labels.shape[1:]).T


def _ends(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The cells at both ends of each edge: first the vertical ones."""
    cell = torch.arange(height * width).view(height, width)
    first = torch.cat([cell[:-1].flatten(), cell[:, :-1].flatten()])
    return first, torch.cat([cell[1:].flatten(), cell[:, 1:].flatten()])


@lru_cache(maxsize=64)
def _sets(height: int, width: int) -> Tensor:
    """All sets of cells, the smallest first: x for each cell, then xy for each edge."""
    cells = height * width
    members = (torch.arange(2**cells)[:, None] >> torch.arange(cells)) & 1
    members = members[members.sum(1).argsort(stable=True)]
    first, second = _ends(height, width)
    return torch.cat([members, members[:, first] * members[:, second]], 1).double()


@lru_cache(maxsize=8)
def _labelings(
    height: int, width: int, labels: int, pair: tuple[tuple[int, ...], ...]
) -> tuple[Tensor, Tensor]:
    """All labellings [S, H*W], by rising sum, and their coefficients of unary costs and weights."""
    states = torch.from_numpy(np.array(list(product(range(labels), repeat=height * width))))
    states = states[states.sum(1).argsort(stable=True)]
    first, second = _ends(height, width)
    chosen = torch.nn.functional.one_hot(states, labels).flatten(1)
    cost = torch.tensor(pair)[states[:, first], states[:, second]]
    return states, torch.cat([chosen, cost], 1).double()


# ---- Assignments and transport ----


def is_permutation(source: Tensor) -> Tensor:
    """Whether each row occurs once."""
    flat = source.flatten(1)
    return (flat.sort(1).values == torch.arange(flat.shape[1])).all(1)


def best_of_all_permutations(cost: Tensor, source: Tensor) -> Tensor:
    """Whether no permutation is cheaper; costs [B, N, N] integers, N up to MOST_PERMUTED."""
    count = cost.shape[1]
    totals = cost.double().flatten(1) @ _permutations(count).T
    mine = cost.gather(1, source.flatten(1)[:, None])[:, 0].sum(1)
    return mine.double() == totals.amin(1)


def no_cycle_gains(cost: Tensor, source: Tensor, slack: Tensor | None = None) -> Tensor:
    """Whether no rows gain more than ``slack`` [B] each by exchanging columns in a cycle.

    Bellman-Ford distances from all nodes at once stop improving within N rounds exactly if no cycle
    is negative; they are then dual prices that prove the assignment optimal.
    """
    flat = source.flatten(1)
    count = flat.shape[1]
    # The cost for the row of column j of taking column k instead.
    theirs = cost.gather(1, flat[..., None].expand(-1, -1, count))
    change = theirs - theirs.diagonal(dim1=1, dim2=2)[..., None]
    if slack is not None:
        change = change + slack[:, None, None]
    distance = torch.zeros_like(change[:, 0])
    for _ in range(count + 1):
        nearer = torch.minimum(distance, (distance[..., None] + change).amin(1))
        unimproved = (nearer == distance).all(1)
        if bool(unimproved.all()):
            break
        distance = nearer
    return unimproved


def is_stable(cost: Tensor, source: Tensor) -> Tensor:
    """Whether there is no blocking pair: a row and a column that prefer each other.

    That proves the proposer-optimal matching, as no other matching is stable. Two stable matchings
    would differ by a cycle in which each row or column prefers the next entry to the last one. Both
    sides rank by the same entries, so these would all be equal, and indices, which break ties,
    can't rise all around a cycle.
    """
    flat = source.flatten(1)
    batch, count = flat.shape
    place = torch.arange(count)
    column_of = torch.empty_like(flat).scatter_(1, flat, place.expand(batch, count))
    has = cost.gather(2, column_of[..., None])  # what each row has
    kept = cost.gather(1, flat[:, None])  # what each column has
    row_wants = (cost < has) | ((cost == has) & (place < column_of[..., None]))
    column_wants = (cost < kept) | ((cost == kept) & (place[:, None] < flat[:, None]))
    return ~(row_wants & column_wants).flatten(1).any(1)


def transport_integers(problem: Transport, xi: float, weight: str) -> Tensor:
    """D d^2 - S as the contract rounds it, [B, N, N] int64."""
    _, height, width = problem.mask.shape
    side = max(height, width) - 1
    unit = xi / side**2 if side else 0.0
    y, x = np.divmod(np.arange(height * width), width)
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    s = problem.saliency.double().flatten(1).numpy()
    z = problem.mask.double().flatten(1).numpy()
    share = z if weight == "mask" else (z > 0).astype(float)
    magnitude = unit * squared.max() + s.max(1)
    exponent = np.where(magnitude > 0, np.minimum(30 - np.frexp(magnitude)[1], 1000), 0)
    scale = np.ldexp(1.0, exponent)[:, None, None]
    worth = np.rint(scale * (s[:, :, None] * share[:, None, :]))
    return torch.from_numpy((np.rint(scale * unit) * squared - worth).astype(np.int64))


@lru_cache(maxsize=MOST_PERMUTED + 1)
def _permutations(count: int) -> Tensor:
    """All permutations as 0/1 vectors over the entries of a matrix, [N!, N*N]."""
    rows = torch.tensor(list(permutations(range(count)))).view(-1, count)
    chosen = torch.zeros(len(rows), count * count, dtype=torch.float64)
    return chosen.scatter_(1, rows * count + torch.arange(count), 1)
