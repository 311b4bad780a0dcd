"""The low-level functions in plain PyTorch: what they mean, written to be read.

Same signatures, results and errors as in ``puzzlemix.ops``, on any device. Labels and permutations
are the very same; energies and totals agree to rounding. Nothing here is a fallback: it is what the
compiled functions are held against, and it always looks at the values it is given.

Letters: B batch, H x W grid of cells, L labels, N things to assign, C channels, Y x X pixels.
Edges: ``vertical`` [B, H-1, W] joins a cell to the one below, ``horizontal`` [B, H, W-1] to the
one on its right.
"""

from __future__ import annotations

from itertools import combinations, count

import torch
from torch import Tensor

from . import check, integers
from .arrays import accepts_numpy
from .results import Assignment, GridMinCut, Labeling

__all__ = [
    "alpha_beta_swap",
    "assignment",
    "exact_labeling",
    "grid_min_cut",
    "labeling_energy",
    "masked_transport",
    "mix",
]


# Graph cuts


@accepts_numpy
def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> GridMinCut:
    """Cut each grid in two at the least cost; of the minimum cuts, the smallest sink side.

    ``source_caps`` [B, H, W] is what a cell on the sink side pays, ``sink_caps`` [B, H, W] what one
    on the source side pays, and an edge between the sides pays its own capacity. All are >= 0, of
    any float type or all int32.

    Returns ``segment`` [B, H, W], True on the sink side, and ``flow`` [B], what is paid.
    """
    capacities = (source_caps, sink_caps, vertical, horizontal)
    check.grid_min_cut(*capacities)
    check.grid_min_cut_values(*capacities)
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
    check.labeling(*costs, max_cycles)
    check.labeling_values(*costs, convex=False)
    whole = integers.labeling_integers(*costs)
    labels = whole.unary.argmin(3)
    energy = _energy(labels, *whole)
    for _ in count() if max_cycles is None else range(max_cycles):
        moved = False
        # A sample that has stopped stays as it is: the sweep that found no move finds none again.
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
    minimum cut decides it (Ishikawa, PAMI 2003): a node for each cell and each threshold k < L - 1,
    on the sink side if the cell's label is above k.
    """
    costs = (unary, vertical, horizontal, label_cost)
    check.labeling(*costs)
    check.labeling_values(*costs, convex=True)
    whole = integers.labeling_integers(*costs)
    pair = integers.convex_label_cost(whole.label_cost)
    first, second, weight = _edges(whole.vertical, whole.horizontal)

    # With x above threshold k and y at most threshold l counted by [x > k, y <= l],
    #   pair[x, y] = pair[x, L-1] + pair[0, y] - pair[0, L-1] + sum over k, l of
    #                bend[k, l] * [x > k, y <= l],
    # so that an edge leaves a unary cost at each end and arcs from (y, l) to (x, k).
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
    # Above threshold k + 1 but not above k: forbidden by an arc that no cut can pay.
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
    check.labeling(*costs)
    check.labels(labels, unary)
    check.labeling_values(*costs, convex=False, bounded=False)
    check.labels_values(labels, unary.shape[3])
    return _caller_energy(labels.long(), *costs)


# Transport


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Give each column of ``cost`` [B, N, N] one row.

    ``"approx"``: the stable matching best for the rows, where rows and columns both prefer the
    cheaper entry, the lower index on a tie (Gale and Shapley 1962). ``"exact"``: the least total;
    exact for int32, for floats to N * (range of the costs) * 2**-29.

    Returns ``source`` [B, N], the row given to each column, and ``total`` [B], the sum of the
    entries chosen.
    """
    check.assignment(cost, method)
    check.assignment_values(cost)
    real = cost.double()
    if method == "approx":
        source = _stable_matching(real)
    else:
        source = _cheapest(integers.assignment_integers(cost))
    return Assignment(source, _sum(real.gather(1, source[:, None])))


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
    check.masked_transport(saliency, mask, xi, weight, method)
    check.masked_transport_values(saliency, mask, xi)
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
    total = _sum((unit * squared.double() - worth).gather(1, source[:, None]))
    return Assignment(source.view(saliency.shape), total)


# Images


@accepts_numpy
def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None = None,
    source2: Tensor | None = None,
    *,
    partner: Tensor | None = None,
) -> Tensor:
    """z * a + (1 - z) * b, with a and b the images x1 and x2 [B, C, Y, X], their blocks moved.

    ``mask`` z is [B, h, w] and the permutations [B, h', w'] say which block comes to each place;
    each of the three grids divides the image, and None leaves the blocks where they are. With
    ``partner`` [B] x2 may hold any number of images, and sample b is mixed with number partner[b];
    x2 = None is an empty partner, zeros. Computed in float32 (float64 for float64 images), each
    operation rounded, and returned in the images' type and in x1's memory format. Where z is 1, b
    isn't read, nor a where z is 0: what is no number there doesn't come through. Differentiable in
    the images and the mask.
    """
    check.mix(x1, x2, mask, source1, source2, partner)
    precision = torch.float64 if x1.dtype == torch.float64 else torch.float32
    mask = mask.to(precision)
    check.mix_values(mask, source1, source2, partner, 0 if x2 is None else len(x2))
    if x2 is None:
        x2 = torch.zeros_like(x1)
    elif partner is not None:
        x2 = x2[partner.long()]
    z = _to_pixels(mask, *x1.shape[2:])[:, None]
    a = _moved(x1, source1).to(precision)
    b = _moved(x2, source2).to(precision)
    a = torch.where(z == 0, a.nan_to_num(0, 0, 0), a)
    b = torch.where(z == 1, b.nan_to_num(0, 0, 0), b)
    mixed = (z * a + (1 - z) * b).to(x1.dtype)
    last = not x1.is_contiguous() and x1.is_contiguous(memory_format=torch.channels_last)
    return mixed.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


# Parts of the graph cuts


def _caller_energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    """The energy in double, of the costs as the caller gave them."""
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
    """The sum over all parts of each sample, [B]."""
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
    # What each cell would pay for either label: its own cost and the edges to cells that stay.
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

    A preflow is pushed from the far nodes to the near ones along exact distances to the sink; then
    the distances are taken anew. What a node couldn't push makes it farther by at least one, so
    this ends, with excess only where the sink can't be reached: the preflow is a maximum one, and
    the nodes that still reach the sink are the side sought (Goldberg and Tarjan, J. ACM 1988).
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
            # Fill the arcs one after the other, until nothing is left.
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

    The node at the head of each arc, the flat index of its opposite in the table, and its capacity.
    An unused entry is an arc without capacity that is its own opposite.
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
    """Nodes by their distance to the sink, nearest (1) first, and that distance [n]; else 0."""
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


# Parts of the transport


def _stable_matching(cost: Tensor) -> Tensor:
    """The row of each column [B, N] in the stable matching that is best for the rows.

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


# Parts of the mix


def _moved(image: Tensor, source: Tensor | None) -> Tensor:
    """The image [B, C, Y, X] with block source[j] of the grid at each place j."""
    if source is None:
        return image
    rows, columns = image.shape[2:]
    height, width = rows // source.shape[1], columns // source.shape[2]
    block = _to_pixels(source.long(), rows, columns)
    y = torch.arange(rows, device=image.device)[:, None]
    x = torch.arange(columns, device=image.device)
    from_y = block // source.shape[2] * height + y % height
    from_x = block % source.shape[2] * width + x % width
    pixel = (from_y * columns + from_x).flatten(1)[:, None].expand(image.flatten(2).shape)
    return image.flatten(2).gather(2, pixel).view(image.shape)


def _to_pixels(grid: Tensor, rows: int, columns: int) -> Tensor:
    """A value for each block [B, h, w] repeated over its pixels: [B, Y, X]."""
    grid = grid.repeat_interleave(rows // grid.shape[1], 1)
    return grid.repeat_interleave(columns // grid.shape[2], 2)
