"""Cuts and labellings of grids in plain PyTorch.

Letters: B batch, H x W grid of cells, L labels.
Edges: ``vertical`` [B, H-1, W] joins a cell to the one below, ``horizontal`` [B, H, W-1] to the
one on its right.
"""

from __future__ import annotations

from itertools import combinations, count

import torch
from torch import Tensor

from .. import integers
from ..arrays import accepts_numpy
from ..results import GridMinCut, Labeling
from ..validate import contracts
from ..validate.values import expect_values

__all__ = ["alpha_beta_swap", "exact_labeling", "grid_min_cut", "labeling_energy"]


@accepts_numpy
def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> GridMinCut:
    """Cut each grid in two at the least cost; of the minimum cuts, the smallest sink side.

    ``source_caps`` [B, H, W] is what a cell on the sink side pays, ``sink_caps`` [B, H, W] what one
    on the source side pays, and an edge between the sides pays its own capacity. All are >= 0, of
    any float type, or integers of 32 bits.

    Returns ``segment`` [B, H, W], True on the sink side, and ``flow`` [B], what is paid.
    """
    capacities = (source_caps, sink_caps, vertical, horizontal)
    contracts.grid_min_cut(*capacities)
    expect_values("grid_min_cut", *capacities)
    source, sink, down, right = integers.cut_integers(*capacities)
    first, second, weight = _edges(down, right)
    side = _sink_side(source.flatten(), sink.flatten(), first, second, weight, weight)
    segment = side.view(source.shape)

    flow = _sum(
        torch.where(segment, source_caps.double(), sink_caps.double()),
        vertical.double() * (segment[:, :-1] != segment[:, 1:]),
        horizontal.double() * (segment[:, :, :-1] != segment[:, :, 1:]),
    )
    return GridMinCut(segment, flow)


@accepts_numpy
def alpha_beta_swap(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    *,
    max_cycles: int | None = None,
) -> Labeling:
    """Label each grid by alpha-beta swaps (Boykov, Veksler and Zabih, PAMI 2001, section 4).

    ``unary`` [B, H, W, L], edge weights >= 0, and ``label_cost`` [L, L], a semimetric: an edge
    between labels a and b costs weight * label_cost[a, b]. From each cell's cheapest label (the
    lowest on a tie), sweep over the pairs of labels in lexicographic order; a swap is taken if the
    energy falls. Stop after a sweep without one, or after ``max_cycles`` sweeps.

    Returns ``labels`` [B, H, W] and ``energy`` [B].
    """
    costs = (unary, vertical, horizontal, label_cost)
    contracts.labeling(*costs, max_cycles)
    expect_values("alpha_beta_swap", *costs)
    whole = integers.labeling_integers(*costs)
    labels = whole.unary.argmin(3)
    energy = _energy(labels, *whole)
    for _ in count() if max_cycles is None else range(max_cycles):
        moved = False
        # Samples whose last sweep made no move are swept again with the others: no move is found.
        for alpha, beta in combinations(range(unary.shape[3]), 2):
            swapped = _swap(labels, *whole, alpha, beta)
            swapped_energy = _energy(swapped, *whole)
            falls = swapped_energy < energy
            labels = torch.where(falls[:, None, None], swapped, labels)
            energy = torch.where(falls, swapped_energy, energy)
            moved |= bool(falls.any())
        if not moved:
            break
    return Labeling(labels, _caller_energy(labels, *costs))


@accepts_numpy
def exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Labeling:
    """Label each grid at the least energy of all; of the optima, the lowest in every cell.

    Arguments as for ``alpha_beta_swap``, with a label cost that is convex in the label order. One
    minimum cut solves it (Ishikawa, PAMI 2003): a node for each cell and each threshold k < L - 1,
    on the sink side if the cell's label is above k.
    """
    costs = (unary, vertical, horizontal, label_cost)
    contracts.labeling(*costs)
    expect_values("exact_labeling", *costs)
    whole = integers.labeling_integers(*costs)
    pair = integers.convex_label_cost(whole.label_cost)
    first, second, weight = _edges(whole.vertical, whole.horizontal)

    # For labels x and y, and [x > k, y <= l] being 1 if both comparisons hold and else 0,
    #   pair[x, y] = pair[x, L-1] + pair[0, y] - pair[0, L-1] + sum over k, l of
    #                bend[k, l] * [x > k, y <= l],
    # so an edge becomes a unary cost at each end and arcs from (y, l) to (x, k).
    bend = pair[:-1, 1:] + pair[1:, :-1] - pair[:-1, :-1] - pair[1:, 1:]
    own = whole.unary.flatten(0, 2)
    own = own.index_add(0, first, weight[:, None] * pair[:, -1])
    own = own.index_add(0, second, weight[:, None] * pair[0])
    rise = own.diff(dim=1)
    source, sink = rise.clamp(min=0), (-rise).clamp(min=0)

    node = torch.arange(rise.numel(), device=unary.device).view(rise.shape)
    tail, head = torch.broadcast_tensors(node[second][:, None, :], node[first][:, :, None])
    capacity = weight[:, None, None] * bend
    joined = capacity > 0
    # A label above threshold k + 1 is above k: an arc too expensive to cut forbids anything else.
    below, above = node[:, :-1].flatten(), node[:, 1:].flatten()
    forbidding = (source.sum() + 1).expand(below.shape)
    capacity = torch.cat([capacity[joined], forbidding])
    side = _sink_side(
        source.flatten(),
        sink.flatten(),
        torch.cat([tail[joined], below]),
        torch.cat([head[joined], above]),
        capacity,
        torch.zeros_like(capacity),
    )
    labels = side.view(rise.shape).sum(1).view(unary.shape[:3])
    return Labeling(labels, _caller_energy(labels, *costs))


@accepts_numpy
def labeling_energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    """Energy [B], double, of ``labels`` [B, H, W]; costs as for ``alpha_beta_swap``."""
    costs = (unary, vertical, horizontal, label_cost)
    contracts.labeling(*costs)
    contracts.labels(labels, unary)
    expect_values("labeling_energy", labels, *costs)
    return _caller_energy(labels.long(), *costs)


def _caller_energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    """The energy in double, in the caller's own costs."""
    pair = label_cost.to(unary.device).double()
    return _energy(labels, unary.double(), vertical.double(), horizontal.double(), pair)


def _energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    """Unary costs of the labels and, on each edge, weight * label cost: [B]."""
    return _sum(
        unary.gather(3, labels[..., None]),
        vertical * label_cost[labels[:, :-1], labels[:, 1:]],
        horizontal * label_cost[labels[:, :, :-1], labels[:, :, 1:]],
    )


def _sum(*parts: Tensor) -> Tensor:
    """The sum over all dimensions but the first, [B]."""
    return torch.stack([part.flatten(1).sum(1) for part in parts]).sum(0)


def _edges(vertical: Tensor, horizontal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both ends and the weight of every edge in the batch; cells are numbered [B, H, W]."""
    batch, height, _ = horizontal.shape
    width = vertical.shape[2]
    cell = torch.arange(batch * height * width, device=vertical.device).view(batch, height, width)
    first = torch.cat([cell[:, :-1].flatten(), cell[:, :, :-1].flatten()])
    second = torch.cat([cell[:, 1:].flatten(), cell[:, :, 1:].flatten()])
    return first, second, torch.cat([vertical.flatten(), horizontal.flatten()])


def _swap(
    labels: Tensor,
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    alpha: int,
    beta: int,
) -> Tensor:
    """The best redistribution of alpha and beta among the cells that have either."""
    first, second, weight = _edges(vertical, horizontal)
    label = labels.flatten()
    free = (label == alpha) | (label == beta)
    # The price of either label: the unary cost, and the edges to cells with other labels.
    price = unary.flatten(0, 2)
    for cell, neighbour in ((first, second), (second, first)):
        staying = torch.where(free[neighbour], 0, weight)
        price = price.index_add(0, cell, staying[:, None] * label_cost[label[neighbour]])
    free_edge = free[first] & free[second]
    capacity = torch.where(free_edge, weight * label_cost[alpha, beta], 0)
    side = _sink_side(
        torch.where(free, price[:, beta], 0),
        torch.where(free, price[:, alpha], 0),
        first,
        second,
        capacity,
        capacity,
    )
    return torch.where(free, torch.where(side, beta, alpha), label).view(labels.shape)


def _sink_side(
    source: Tensor, sink: Tensor, tail: Tensor, head: Tensor, forward: Tensor, backward: Tensor
) -> Tensor:
    """The smallest sink side among the minimum cuts of a graph of n nodes: [n] bool.

    Nodes are joined to the terminals by ``source`` and ``sink`` [n], and among themselves by arcs
    tail -> head of capacity ``forward`` with their opposites of capacity ``backward``, all int64.

    Push-relabel (Goldberg and Tarjan, J. ACM 1988): excess is pushed from the farthest nodes to
    the nearest along exact distances to the sink, and then all distances are computed again. A node
    that keeps excess has saturated its arcs to nearer nodes, so its distance grows. This ends when
    no excess can reach the sink: the preflow is maximum, and the nodes that can reach the sink are
    the smallest sink side.
    """
    head, opposite, room = _arc_table(len(source), tail, head, forward, backward)
    through = torch.minimum(source, sink)
    excess, drain = source - through, sink - through
    while True:
        layers, distance = _layers(drain, head, opposite, room)
        reaches = distance > 0
        if not bool(excess[reaches].any()):
            return reaches
        for depth, layer in reversed(list(enumerate(layers, 1))):
            nodes = layer[excess[layer] > 0]
            amount = excess[nodes]
            drained = torch.minimum(amount, drain[nodes])
            drain[nodes] -= drained
            amount -= drained
            nearer = distance[head[nodes]] == depth - 1
            wanted = torch.where(nearer, room[nodes], 0)
            # Each node's arcs are filled in their order, until nothing of its excess is left.
            left = amount[:, None] - (wanted.cumsum(1) - wanted)
            pushed = wanted.minimum(left.clamp(min=0))
            excess[nodes] = amount - pushed.sum(1)
            room[nodes] -= pushed
            room.view(-1).index_add_(0, opposite[nodes].flatten(), pushed.flatten())
            excess.index_add_(0, head[nodes].flatten(), pushed.flatten())


def _arc_table(
    count: int, tail: Tensor, head: Tensor, forward: Tensor, backward: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Arcs and their opposites, by the node they leave: three tables [count, widest degree].

    They hold the node at the head of each arc, the flat index of its opposite in the tables, and
    its capacity. An unused entry is an arc of capacity 0 that is its own opposite.
    """
    leaves = torch.cat([tail, head])
    order = leaves.argsort(stable=True)
    degree = leaves.bincount(minlength=count)
    start = degree.cumsum(0) - degree
    width = int(degree.max()) if len(leaves) else 1
    place = torch.empty_like(leaves)
    place[order] = torch.arange(len(leaves), device=leaves.device) - start[leaves[order]]
    place += leaves * width
    opposite = torch.arange(count * width, device=leaves.device)
    heads = opposite // width
    room = torch.zeros_like(opposite)
    heads[place] = torch.cat([head, tail])
    opposite[place] = place.roll(len(tail))
    room[place] = torch.cat([forward, backward])
    return heads.view(count, width), opposite.view(count, width), room.view(count, width)


def _layers(
    drain: Tensor, head: Tensor, opposite: Tensor, room: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Nodes by their distance to the sink, from 1 on, and the distances [n]; 0: can't reach it."""
    distance = torch.zeros_like(drain)
    layers = []
    nodes = (drain > 0).nonzero().flatten()
    while len(nodes):
        layers.append(nodes)
        distance[nodes] = len(layers)
        behind = head[nodes]
        reaches = (room.view(-1)[opposite[nodes]] > 0) & (distance[behind] == 0)
        nodes = behind[reaches].unique()
    return layers, distance
