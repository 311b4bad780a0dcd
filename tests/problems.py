"""Seeded problems for the solvers, and independent solvers to compare answers with.

A builder takes a seed and sizes and returns a named tuple of tensors in the order in which the
functions take them: ``alpha_beta_swap(*labeling("ties", seed=1, height=3, width=4))``.

Letters: B batch, H x W grid, L labels, N things to assign, C channels, Y x X pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor

GRIDS = ((1, 1), (1, 6), (7, 1), (2, 2), (3, 3), (2, 9), (6, 5))
"""One cell, one row, one column, small, thin, and not square."""


class Cut(NamedTuple):
    source_caps: Tensor
    sink_caps: Tensor
    vertical: Tensor
    horizontal: Tensor


class Labeling(NamedTuple):
    unary: Tensor
    vertical: Tensor
    horizontal: Tensor
    label_cost: Tensor


class Transport(NamedTuple):
    saliency: Tensor
    mask: Tensor


class Mix(NamedTuple):
    x1: Tensor
    x2: Tensor
    mask: Tensor
    source1: Tensor
    source2: Tensor


def generator(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def sample(problem: Labeling, index: int) -> Labeling:
    """One sample, as a batch of one."""
    return Labeling(*(part[index : index + 1] for part in problem[:3]), problem.label_cost)


# ---- Cuts and labellings ----


def _uniform(g: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=g, dtype=torch.float64)


def _whole(g: Generator, most: int, *shape: int) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=g).double()


def _odd(g: Generator, *shape: int) -> Tensor:
    """Odd numbers of 25 to 28 bits: on many grids one bit too many, so that rounding has ties."""
    bits = int(torch.randint(24, 28, (), generator=g))
    return 2 * _whole(g, 2**bits - 1, *shape) + 1


def _checkers(g: Generator, *shape: int) -> Tensor:
    """A checkerboard of 0 and 3, and a little noise."""
    squares = torch.randint(2, (), generator=g).double()
    for size in shape[1:]:
        squares = squares[..., None] + torch.arange(size)
    return 3 * (squares % 2) + 0.1 * _whole(g, 2, *shape)


def _sparse(g: Generator, share: float, most: int, *shape: int) -> Tensor:
    return torch.where(_uniform(g, *shape) < share, _whole(g, most, *shape), 0)


def _near_ties(g: Generator, *shape: int) -> Tensor:
    return 1 + 2.0**-52 * _whole(g, 2, *shape)


def _wide(g: Generator, *shape: int) -> Tensor:
    return torch.exp(60 * (_uniform(g, *shape) - 0.5))


def _least(g: Generator, *shape: int) -> Tensor:
    """Numbers so small that even the largest scale, 2**1000, leaves them below 2**30."""
    return 2.0**-980 * _whole(g, 1000, *shape)


# kind -> (cost of a label or terminal, weight of an edge)
_Entries = Callable[..., Tensor]
COSTS: dict[str, tuple[_Entries, _Entries]] = {
    "uniform": (lambda g, *s: 3 * _uniform(g, *s), _uniform),
    "tiny": (lambda g, *s: 3e-20 * _uniform(g, *s), lambda g, *s: 1e-20 * _uniform(g, *s)),
    "huge": (lambda g, *s: 3e20 * _uniform(g, *s), lambda g, *s: 1e20 * _uniform(g, *s)),
    "stiff": (_uniform, lambda g, *s: 100 * _uniform(g, *s)),
    "loose": (_uniform, lambda g, *s: 0 * _uniform(g, *s)),
    "flat": (lambda g, *s: 0 * _uniform(g, *s), _uniform),
    "zeros": (lambda g, *s: 0 * _uniform(g, *s), lambda g, *s: 0 * _uniform(g, *s)),
    "ties": (lambda g, *s: _whole(g, 3, *s) / 4, lambda g, *s: _whole(g, 2, *s) / 4),
    "forbidding": (
        lambda g, *s: torch.where(_uniform(g, *s) < 0.25, 1e9, 3 * _uniform(g, *s)),
        _uniform,
    ),
    "near ties": (_near_ties, _near_ties),
    "halves": (_odd, _odd),
    "wide": (_wide, _wide),
    "least": (_least, _least),
    "checkers": (_checkers, lambda g, *s: _whole(g, 2, *s)),
    "sparse": (
        lambda g, *s: _sparse(g, 0.15, 20, *s),
        lambda g, *s: _sparse(g, 0.6, 5, *s),
    ),
    "integers": (lambda g, *s: _whole(g, 12, *s), lambda g, *s: _whole(g, 3, *s)),
    "bound": (_uniform, _uniform),
}
INTEGERS = ("integers", "bound")
"""Kinds of COSTS that come in int32; "bound" adds up to all that the contract allows."""


def _distance(count: int) -> Tensor:
    label = torch.arange(count, dtype=torch.float64)
    return (label[:, None] - label).abs()


def _table(count: int) -> Tensor:
    cost = 0.5 + _uniform(generator(count), count, count).triu(1)
    return (cost + cost.T).fill_diagonal_(0)


LABEL_COSTS: dict[str, Callable[[int], Tensor]] = {
    "quadratic": lambda count: (_distance(count) / (count - 1)) ** 2,
    "linear": lambda count: 0.3 * _distance(count),
    "power": lambda count: _distance(count) ** 1.5,
    "potts": lambda count: (_distance(count) > 0).double(),
    "truncated": lambda count: _distance(count).clamp(max=2) ** 2,
    "table": _table,
    "free": lambda count: 0 * _distance(count),
}
CONVEX = ("quadratic", "linear", "power", "free")


def cut(kind: str, *, seed: int = 0, batch: int = 2, height: int = 3, width: int = 3) -> Cut:
    """A cut problem of a kind in COSTS: float64, or int32 for INTEGERS."""
    g = generator(seed)
    terminal, edge = COSTS[kind]
    problem = Cut(
        terminal(g, batch, height, width),
        terminal(g, batch, height, width),
        edge(g, batch, height - 1, width),
        edge(g, batch, height, width - 1),
    )
    if kind == "bound":
        cells, edges = _to_the_bound(g, problem[:2], problem[2:])
        problem = Cut(*cells, *edges)
    return Cut(*map(_int32, problem)) if kind in INTEGERS else problem


def labeling(
    kind: str,
    label_cost: str = "quadratic",
    *,
    seed: int = 0,
    batch: int = 2,
    height: int = 3,
    width: int = 3,
    labels: int = 3,
) -> Labeling:
    """A labelling problem of a kind in COSTS, "puzzle" or "convex"; int32 for INTEGERS."""
    g = generator(seed)
    pair = LABEL_COSTS[label_cost](labels)
    if kind == "puzzle":
        return Labeling(*_puzzle(g, batch, height, width, labels), pair)
    unary, edge = COSTS["integers" if kind == "convex" else kind]
    problem = Labeling(
        unary(g, batch, height, width, labels),
        edge(g, batch, height - 1, width),
        edge(g, batch, height, width - 1),
        pair,
    )
    if kind == "convex":
        steepness, wish = problem.unary[..., :1], problem.unary[..., 1:2] % labels
        convex = steepness * (torch.arange(labels) - wish) ** 2
        return problem._replace(unary=convex, label_cost=4 * pair)
    if kind not in INTEGERS:
        return problem
    least = pair[pair > 0].min() if bool((pair > 0).any()) else 1
    pair = (pair / least).round()
    if kind == "bound":
        most = max(1, int(pair.max()))
        cells, edges = _to_the_bound(g, problem[:1], problem[1:3], most)
        # A cost that all labels of a cell share changes nothing and doesn't count for the bound.
        offset = _whole(g, 2**30, batch, height, width, 1) - 2**29
        problem = problem._replace(unary=cells[0] + offset, vertical=edges[0], horizontal=edges[1])
    return Labeling(*map(_int32, (*problem[:3], pair)))


def _to_the_bound(
    g: Generator, cells: tuple[Tensor, ...], edges: tuple[Tensor, ...], most: int = 1
) -> tuple[list[Tensor], list[Tensor]]:
    """Shares as integers whose sum, edges counted ``most`` times, is just below 2**30."""
    count = math.prod(cells[0].shape[1:3])
    joined = sum(math.prod(edge.shape[1:]) for edge in edges) * most
    left = 2**30 - 1
    cell = int(left * float(_uniform(g))) // count
    edge = (left - count * cell) // joined if joined else 0
    return (
        [(share * (cell + 1)).floor().clamp(max=cell) for share in cells],
        [(share * (edge + 1)).floor().clamp(max=edge) for share in edges],
    )


def _int32(values: Tensor) -> Tensor:
    return values.round().int()


def _puzzle(
    g: Generator, batch: int, height: int, width: int, labels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Costs such as those of Puzzle Mix: smooth saliency, weak edges, a binomial prior."""
    first, second = saliency(g, batch, height, width), saliency(g, batch, height, width)
    m = labels - 1
    z = torch.arange(labels, dtype=torch.float64) / m
    lam = 0.1 + 0.8 * _uniform(g, batch, 1, 1, 1)
    ways = torch.tensor([math.log(math.comb(m, k)) for k in range(labels)], dtype=torch.float64)
    log_prior = ways + m * (z * lam.log() + (1 - z) * (1 - lam).log())
    unary = -z * first[..., None] - (1 - z) * second[..., None]
    unary = unary - 0.2 / (height * width) * log_prior
    unit = 1.2 / (16 * math.sqrt(height * width))
    vertical = unit * (1 + 0.5 * 0.3 * _uniform(g, batch, height - 1, width))
    horizontal = unit * (1 + 0.5 * 0.3 * _uniform(g, batch, height, width - 1))
    return unary, vertical, horizontal


def saliency(g: Generator, batch: int, height: int, width: int) -> Tensor:
    """A bright spot over noise, [B, H, W], that sums to 1."""
    y = torch.arange(height, dtype=torch.float64)[:, None] / height
    x = torch.arange(width, dtype=torch.float64) / width
    centre = _uniform(g, batch, 2, 1, 1)
    squared = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2
    spot = torch.exp(-8 * squared) + 0.3 * _uniform(g, batch, height, width)
    return spot / spot.sum((1, 2), keepdim=True)


# ---- Assignments and transport ----

MATRICES: dict[str, Callable[..., Tensor]] = {
    "uniform": _uniform,
    "tiny": lambda g, *s: 1e-20 * _uniform(g, *s),
    "huge": lambda g, *s: 1e20 * (_uniform(g, *s) - 0.5),
    "wide": lambda g, *s: torch.exp(20 * (_uniform(g, *s) - 0.5)),
    "ties": lambda g, *s: _whole(g, 3, *s),
    "equal": lambda g, *s: torch.full(s, 0.25, dtype=torch.float64),
    "binary": lambda g, *s: _whole(g, 1, *s),
    "near ties": _near_ties,
    "least": _least,
    "signed zeros": lambda g, *s: _whole(g, 1, *s) * (1 - 2 * _whole(g, 1, *s)),
    # Every row has the same preferences, and so has every column.
    "agreed": lambda g, b, n, m: -_uniform(g, b, n, 1) * _uniform(g, b, 1, m),
    "integers": lambda g, *s: torch.randint(-(2**31), 2**31, s, generator=g).int(),
    "few integers": lambda g, *s: torch.randint(-2, 3, s, generator=g).int(),
    "extreme integers": lambda g, *s: torch.tensor([-(2**31), -1, 0, 2**31 - 1])[
        torch.randint(4, s, generator=g)
    ].int(),
    # Each row's shortest path passes all rows before it.
    "products": lambda g, b, n, m: (
        (torch.arange(n)[:, None] + torch.randint(1, 3, (b, 1, 1), generator=g))
        * torch.arange(1, m + 1)
    ).int(),
}


def matrix(
    kind: str, *, seed: int = 0, batch: int = 2, count: int = 5, columns: int | None = None
) -> Tensor:
    """Costs [B, N, M] of a kind in MATRICES; M is N unless it is given."""
    columns = count if columns is None else columns
    return MATRICES[kind](generator(seed), batch, count, columns)


FILLERS = (1e3, 1e6, 1e10, 1e30, 1e100, 1e300, float("inf"))
"""Large costs by which users exclude pairs."""


def filled(cost: Tensor, filler: float, share: float, seed: int) -> Tensor:
    """Floats with a share of the entries replaced."""
    replaced = torch.rand(cost.shape, generator=generator(seed)) < share
    return torch.where(replaced, torch.tensor(filler, dtype=cost.dtype), cost)


TRANSPORTS = (
    "puzzle",
    "noise",
    "no saliency",
    "shown",
    "hidden",
    "smooth mask",
    "huge",
    "tiny",
    "one place",
    "ties",
    "near ties",
    "least",
)


CONTESTED = ("ranks", "against ranks", "nearly equal", "equal", "noise", "one side")


def contested(kind, side):
    """One transport [1, side, side] whose blocks prefer much the same places, by weight="mask"."""
    generator = torch.Generator().manual_seed(side)
    ranks = torch.arange(1.0, side * side + 1, dtype=torch.float64).view(1, side, side)
    ranks = ranks / ranks.max()
    noise = torch.rand((2, 1, side, side), generator=generator, dtype=torch.float64)
    left = (torch.arange(side) < side // 2).double().expand(1, side, side)
    saliency, mask = {
        "ranks": (ranks, ranks),
        "against ranks": (ranks, ranks.flip(1, 2)),
        "nearly equal": (1 + 1e-6 * noise[0], ranks),
        "equal": (torch.ones_like(ranks), noise[0]),
        "noise": (noise[0], noise[1]),
        "one side": (noise[0] * left, 1 - left),
    }[kind]
    return Transport(saliency, mask)


def transport(
    kind: str, *, seed: int = 0, batch: int = 2, height: int = 3, width: int = 3
) -> Transport:
    """Saliency and mask of a kind in TRANSPORTS; masks but "smooth mask" have three levels."""
    g = generator(seed)
    worth = saliency(g, batch, height, width)
    mask = _whole(g, 2, batch, height, width) / 2
    if kind == "noise":
        worth = _uniform(g, batch, height, width)
    if kind == "ties":
        worth = _whole(g, 2, batch, height, width) / 4
    if kind in ("near ties", "least"):
        worth = (_near_ties if kind == "near ties" else _least)(g, batch, height, width)
    if kind == "one place":
        only = torch.randint(height * width, (batch, 1), generator=g)
        mask = torch.zeros(batch, height * width).double().scatter(1, only, 1).view(mask.shape)
    if kind in ("no saliency", "huge", "tiny"):
        worth = worth * {"no saliency": 0, "huge": 1e30, "tiny": 1e-30}[kind]
    if kind in ("shown", "hidden"):
        mask = torch.full_like(mask, float(kind == "shown"))
    if kind == "smooth mask":
        mask = _uniform(g, batch, height, width)
    return Transport(worth, mask)


def transport_cost(problem: Transport, xi: float, weight: str) -> Tensor:
    """The matrix [B, N, N] that masked_transport describes, entry by entry."""
    batch, height, width = problem.mask.shape
    cost = torch.zeros(batch, height * width, height * width, dtype=torch.float64)
    unit = (max(height, width) - 1) ** 2 or 1
    cells = list(itertools.product(range(height), range(width)))
    for b, (i, (y, x)), (j, (v, u)) in itertools.product(
        range(batch), enumerate(cells), enumerate(cells)
    ):
        z = problem.mask[b, v, u].item()
        share = z if weight == "mask" else float(z > 0)
        distance = ((y - v) ** 2 + (x - u) ** 2) / unit
        cost[b, i, j] = xi * distance - problem.saliency[b, y, x].item() * share
    return cost


# ---- Images ----


def permutations(g: Generator, batch: int, height: int, width: int) -> Tensor:
    """A random permutation of the blocks for each sample, [B, H, W]."""
    return torch.rand((batch, height * width), generator=g).argsort(1).view(batch, height, width)


MIXES = ("uniform", "extreme")


def mix(
    kind: str = "uniform",
    *,
    seed: int = 0,
    batch: int = 2,
    channels: int = 3,
    size: tuple[int, int] = (8, 12),
    grids: tuple[tuple[int, int], ...] = ((2, 3), (4, 4), (8, 6)),
    levels: int = 3,
    dtype: torch.dtype = torch.float32,
) -> Mix:
    """Images, a mask of that many levels from 0 to 1, and permutations, each on its own grid.

    "extreme" images hold infinities, NaNs, and the largest and smallest numbers of their type.
    """
    g = generator(seed)
    x1, x2 = (_uniform(g, batch, channels, *size).to(dtype) for _ in range(2))
    if kind == "extreme":
        limits = torch.finfo(dtype)
        odd = [math.nan, math.inf, -math.inf, -0.0, limits.max, limits.min, limits.smallest_normal]
        odd.append(limits.smallest_normal * limits.eps)
        choice = torch.tensor(odd, dtype=torch.float64).to(dtype)
        x1, x2 = (
            torch.where(_uniform(g, *x.shape) < 0.3, choice[_whole(g, 7, *x.shape).long()], x)
            for x in (x1, x2)
        )
    mask = _whole(g, levels - 1, batch, *grids[0]) / (levels - 1)
    source1, source2 = (permutations(g, batch, *grid) for grid in grids[1:])
    return Mix(x1, x2, mask.float(), source1, source2)


# ---- Independent solvers ----


def every_labeling(height: int, width: int, labels: int) -> Tensor:
    """All labels**cells labellings, [labels**cells, H, W]."""
    every = torch.cartesian_prod(*[torch.arange(labels)] * (height * width))
    return every.view(-1, height, width)


def naive_energy(labels: Tensor, problem: Labeling) -> list[float]:
    """The energy of one labelling for each sample, cell by cell, in Python's floats."""
    unary, vertical, horizontal, pair = (part.tolist() for part in problem)
    energies = []
    for b, label in enumerate(labels.tolist()):
        energy = 0.0
        for y, row in enumerate(label):
            for x, a in enumerate(row):
                energy += unary[b][y][x][a]
                if y + 1 < len(label):
                    energy += vertical[b][y][x] * pair[a][label[y + 1][x]]
                if x + 1 < len(row):
                    energy += horizontal[b][y][x] * pair[a][row[x + 1]]
        energies.append(energy)
    return energies


def best_labeling(problem: Labeling, index: int = 0) -> tuple[float, Tensor]:
    """The least energy of a sample, and in each cell the lowest label of any optimum [H, W].

    Dynamic programming from row to row over all labellings of a row: for narrow grids.
    """
    unary, vertical, horizontal = (part[index].double().numpy() for part in problem[:3])
    pair = problem.label_cost.double().numpy()
    height, width, labels = unary.shape
    states = np.array(list(itertools.product(range(labels), repeat=width)))
    columns = np.arange(width)
    across = pair[states[:, :-1], states[:, 1:]]
    own = [unary[y][columns, states].sum(1) + across @ horizontal[y] for y in range(height)]
    down = [
        sum(vertical[y][x] * pair[states[:, None, x], states[None, :, x]] for x in range(width))
        for y in range(height - 1)
    ]
    above, below = [own[0]], [own[-1]]
    for y in range(1, height):
        above.append(own[y] + (above[-1][:, None] + down[y - 1]).min(0))
        below.append(own[-1 - y] + (below[-1] + down[-y]).min(1))
    through = np.array(above) + np.array(below[::-1]) - np.array(own)
    least = through.min()
    optimal = through <= least + 1e-9 * abs(least)
    lowest = [states[row].min(0) for row in optimal]
    return float(least), torch.tensor(np.array(lowest))


def maxflow_cut(
    source: np.ndarray, sink: np.ndarray, vertical: np.ndarray, horizontal: np.ndarray
) -> tuple[int, np.ndarray]:
    """PyMaxflow's flow and sink side of one grid of integers.

    Its search trees end up maximal, and a node in neither counts as source side. So the sink side
    that it reports is the sink's tree, the cells that can reach the sink: the smallest one.
    """
    import maxflow  # imported here, so that tests without it run where it is missing

    height, width = source.shape
    graph = maxflow.Graph[int]()
    node = graph.add_grid_nodes((height, width))
    graph.add_grid_tedges(node, source.astype(int), sink.astype(int))
    for weights, ends in (
        (vertical, (node[:-1], node[1:])),
        (horizontal, (node[:, :-1], node[:, 1:])),
    ):
        capacity = weights.astype(int).ravel()
        graph.add_edges(ends[0].ravel(), ends[1].ravel(), capacity, capacity)
    flow = graph.maxflow()
    return flow, graph.get_grid_segments(node)


def maxflow_swap(problem: Labeling, index: int = 0) -> Tensor:
    """Alpha-beta swap of one sample with integer costs, by PyMaxflow: labels [H, W]."""
    one = sample(problem, index)
    unary, vertical, horizontal = (part[0].long().numpy() for part in one[:3])
    pair = problem.label_cost.long().numpy()
    labels = unary.argmin(2)
    energy = naive_energy(torch.as_tensor(labels)[None], one)[0]
    moved = True
    while moved:
        moved = False
        for alpha, beta in itertools.combinations(range(len(pair)), 2):
            swapped = _maxflow_move(labels, unary, vertical, horizontal, pair, alpha, beta)
            new = naive_energy(torch.as_tensor(swapped)[None], one)[0]
            if new < energy:
                labels, energy, moved = swapped, new, True
    return torch.as_tensor(labels)


def _maxflow_move(
    labels: np.ndarray,
    unary: np.ndarray,
    vertical: np.ndarray,
    horizontal: np.ndarray,
    pair: np.ndarray,
    alpha: int,
    beta: int,
) -> np.ndarray:
    free = (labels == alpha) | (labels == beta)
    price = unary.copy()
    height, width = labels.shape
    caps = np.zeros_like(vertical), np.zeros_like(horizontal)
    for y, x in itertools.product(range(height), range(width)):
        for weights, cap, (v, u) in (
            (vertical, caps[0], (y + 1, x)),
            (horizontal, caps[1], (y, x + 1)),
        ):
            if v == height or u == width:
                continue
            if free[y, x] and free[v, u]:
                cap[y, x] = weights[y, x] * pair[alpha, beta]
            price[y, x] += weights[y, x] * pair[:, labels[v, u]] * (not free[v, u])
            price[v, u] += weights[y, x] * pair[:, labels[y, x]] * (not free[y, x])
    _, sink = maxflow_cut(price[..., beta] * free, price[..., alpha] * free, *caps)
    return np.where(free, np.where(sink, beta, alpha), labels)


def infeasible(cost: Tensor) -> list[bool]:
    """For each matrix, whether SciPy finds no assignment without an infinite cost."""
    found = []
    for each in cost.double().numpy():
        try:
            linear_sum_assignment(each)
            found.append(False)
        except ValueError:
            found.append(True)
    return found


def least_total(cost: Tensor) -> list[float]:
    """SciPy's least total for each matrix."""
    totals = []
    for each in cost.double().numpy():
        rows, columns = linear_sum_assignment(each)
        totals.append(float(each[rows, columns].sum()))
    return totals


def blocking_pairs(cost: Tensor, source: Tensor) -> int:
    """The number of blocking pairs: rows and columns that prefer each other, by index on a tie."""
    blocking = 0
    for each, rows in zip(cost.tolist(), source.tolist(), strict=True):
        column_of = {row: column for column, row in enumerate(rows)}
        for i, row in enumerate(each):
            for j, price in enumerate(row):
                wants = (price, j) < (row[column_of[i]], column_of[i])
                wanted = (price, i) < (each[rows[j]][j], rows[j])
                blocking += wants and wanted
    return blocking


def proposer_optimal_matching(cost: Tensor) -> list[int]:
    """The row of each column of a matrix [N, M] in the proposer-optimal stable matching, rows
    proposing; -1 for a column left over.

    Deferred acceptance (Gale and Shapley 1962), one proposal at a time.
    """
    entries = cost.tolist()
    columns = cost.shape[1]
    wishes = [iter(sorted(range(columns), key=lambda j, row=row: (row[j], j))) for row in entries]
    holds: dict[int, int] = {}
    waiting = list(range(len(entries)))
    while waiting:
        i = waiting.pop()
        j = next(wishes[i], None)
        if j is None:
            continue  # left over
        if j in holds and (entries[holds[j]][j], holds[j]) < (entries[i][j], i):
            waiting.append(i)
            continue
        if j in holds:
            waiting.append(holds[j])
        holds[j] = i
    return [holds.get(j, -1) for j in range(columns)]


def naive_mix(problem: Mix) -> Tensor:
    """The mix pixel by pixel, in double."""
    x1, x2, mask, source1, source2 = problem
    mixed = torch.zeros(x1.shape, dtype=torch.float64)
    rows, columns = x1.shape[2:]
    for b, y, x in itertools.product(range(len(x1)), range(rows), range(columns)):
        z = mask[b, y * mask.shape[1] // rows, x * mask.shape[2] // columns].item()
        for image, source, share in ((x1, source1, z), (x2, source2, 1 - z)):
            if share == 0:
                continue
            height, width = rows // source.shape[1], columns // source.shape[2]
            block = source[b, y // height, x // width].item()
            v = block // source.shape[2] * height + y % height
            u = block % source.shape[2] * width + x % width
            mixed[b, :, y, x] += share * image[b, :, v, u].double()
    return mixed
