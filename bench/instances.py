"""The problems that are timed: as Puzzle Mix poses them, and such as are hard on a solver.

Letters: B batch, H x W grid, L labels, N rows and columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

import puzzlemix

Grid = int | tuple[int, int]
"""A side, or rows and columns."""


class LabelingProblem(NamedTuple):
    """The arguments of the labelling functions."""

    unary: Tensor
    vertical: Tensor
    horizontal: Tensor
    label_cost: Tensor


class CutProblem(NamedTuple):
    """The arguments of ``grid_min_cut``."""

    source_caps: Tensor
    sink_caps: Tensor
    vertical: Tensor
    horizontal: Tensor


class TransportProblem(NamedTuple):
    """The first arguments of ``masked_transport``."""

    saliency: Tensor
    mask: Tensor


def _rand(generator: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def _sides(grid: Grid) -> tuple[int, int]:
    return (grid, grid) if isinstance(grid, int) else grid


def _shares(maps: Tensor) -> Tensor:
    return maps / maps.sum((1, 2), keepdim=True)


# ---- Saliency ----


def smooth_saliency(batch: int, grid: Grid, seed: int) -> Tensor:
    """[B, H, W] double, each sample summing to 1: a few broad peaks over little."""
    height, width = _sides(grid)
    coarse = _rand(_seeded(seed), batch, 1, max(2, height // 4), max(2, width // 4)) ** 4
    return _shares(F.interpolate(coarse, (height, width), mode="bilinear")[:, 0])


def peaky_saliency(batch: int, grid: Grid, seed: int) -> Tensor:
    """[B, H, W] double, each sample summing to 1: nearly all of it in a few cells anywhere."""
    return _shares(_rand(_seeded(seed), batch, *_sides(grid)) ** 32)


def random_saliency(batch: int, grid: Grid, seed: int) -> Tensor:
    """[B, H, W] double, each sample summing to 1: independent uniform draws."""
    return _shares(_rand(_seeded(seed), batch, *_sides(grid)))


def real_saliency(batch: int, grid: Grid, seed: int) -> Tensor:
    """[B, H, W] double, each sample summing to 1: gradients of a trained network on photographs,
    turned and cut at random.

    Raises:
        ImportError: the extra ``puzzlemix[demo]`` is not installed.
    """
    maps, generator = photograph_saliency(), _seeded(seed)
    parts = []
    for _ in range(batch):
        which, turns, top, left = torch.randint(64, (4,), generator=generator).tolist()
        turned = torch.rot90(maps[which % len(maps)], turns % 4)
        parts.append(turned[top // 2 :, left // 2 :][None])
    pooled = [F.adaptive_avg_pool2d(part, _sides(grid)) for part in parts]
    return _shares(torch.cat(pooled).double())


@cache
def photograph_saliency() -> Tensor:
    """EfficientNet-Lite0's gradient saliency on five photographs, [5, 224, 224]."""
    from puzzlemix.demo.network import Network
    from puzzlemix.demo.photographs import PHOTOGRAPHS, read_square

    squares = []
    for name in PHOTOGRAPHS.values():
        with (files("skimage") / "data" / name).open("rb") as file:
            squares.append(torch.from_numpy(read_square(file, 224).copy()))
    images = torch.stack(squares).permute(0, 3, 1, 2).float() / 255
    network = Network()
    labels = F.one_hot(network.probabilities(images).argmax(1), 1000).float()
    return puzzlemix.gradient_saliency(network, images, labels)


SALIENCY: dict[str, Callable[[int, Grid, int], Tensor]] = {
    "smooth": smooth_saliency,
    "peaky": peaky_saliency,
    "random": random_saliency,
    "real": real_saliency,
}
"""By kind: a batch, a grid and a seed, to [B, H, W]."""


# ---- Cuts and labellings ----


def labeling_problem(
    batch: int, grid: Grid, labels: int, seed: int = 0, kind: str = "smooth"
) -> LabelingProblem:
    """The cut of the default settings (beta 1.2, eta 0.2), without data smoothness."""
    height, width = _sides(grid)
    s1, s2 = (SALIENCY[kind](batch, grid, each) for each in (seed, seed + 1))
    lam = _rand(_seeded(seed + 2), batch, 1, 1, 1).clamp(0.02, 0.98)
    last = labels - 1
    k = torch.arange(labels, dtype=torch.float64)
    z = k / last
    choose = torch.lgamma(k.new_tensor(labels)) - torch.lgamma(k + 1) - torch.lgamma(last - k + 1)
    log_prior = choose + k * lam.log() + (last - k) * (1 - lam).log()
    cells = height * width
    unary = -z * s1[..., None] - (1 - z) * s2[..., None] - 0.2 / cells * log_prior
    vertical, horizontal = _edges(batch, height, width, 1.2 / (16 * cells**0.5))
    return LabelingProblem(unary, vertical, horizontal, _quadratic(labels))


def bent(problem: LabelingProblem, share: float, seed: int = 0) -> LabelingProblem:
    """With unary costs up to that share higher or lower: no longer convex in the label."""
    noise = 2 * _rand(_seeded(seed + 4), *problem.unary.shape) - 1
    return problem._replace(unary=problem.unary * (1 + share * noise))


def cut_problem(batch: int, grid: Grid, seed: int = 0, kind: str = "smooth") -> CutProblem:
    """A labelling problem with two labels, as a minimum cut between source and sink."""
    unary, vertical, horizontal, _ = labeling_problem(batch, grid, 2, seed, kind)
    above = unary - unary.amin(3, keepdim=True)
    return CutProblem(above[..., 1].contiguous(), above[..., 0].contiguous(), vertical, horizontal)


def _edges(batch: int, height: int, width: int, weight: float) -> tuple[Tensor, Tensor]:
    return (
        torch.full((batch, height - 1, width), weight, dtype=torch.float64),
        torch.full((batch, height, width - 1), weight, dtype=torch.float64),
    )


def _quadratic(labels: int) -> Tensor:
    z = torch.arange(labels, dtype=torch.float64) / (labels - 1)
    return (z[:, None] - z) ** 2


# ---- Images ----


class ImagePairs(NamedTuple):
    """The first arguments of ``puzzle_mix``, in single precision."""

    x1: Tensor
    x2: Tensor
    saliency1: Tensor
    saliency2: Tensor
    lam: Tensor


def image_pairs(batch: int, side: int) -> ImagePairs:
    """Noise, with smooth saliency at each pixel."""
    generator = _seeded(0)
    x1, x2 = (torch.rand((batch, 3, side, side), generator=generator) for _ in range(2))
    s1, s2 = (smooth_saliency(batch, side, seed).float() for seed in (0, 1))
    return ImagePairs(x1, x2, s1, s2, torch.rand(batch, generator=generator))


# ---- Transports and assignments ----


def transport_problem(
    batch: int, grid: Grid, seed: int = 0, kind: str = "smooth", mask: str = "cut"
) -> TransportProblem:
    """Saliency, and a mask as the cut of it makes it or (``"random"``) each cell by itself."""
    saliency = SALIENCY[kind](batch, grid, seed)
    if mask == "cut":
        labels = puzzlemix.alpha_beta_swap(*labeling_problem(batch, grid, 3, seed, kind)).labels
    else:
        labels = torch.randint(3, saliency.shape, generator=_seeded(seed + 3))
    return TransportProblem(saliency, labels.double() / 2)


def uniform_matrix(batch: int, count: int, seed: int) -> Tensor:
    """[B, N, N] double."""
    return _rand(_seeded(seed), batch, count, count)


def distance_matrix(batch: int, count: int, seed: int) -> Tensor:
    """[B, N, N] double: distances between two clouds of points in a square."""
    generator = _seeded(seed)
    return torch.cdist(_rand(generator, batch, count, 2), _rand(generator, batch, count, 2))


def tied_matrix(batch: int, count: int, seed: int) -> Tensor:
    """[B, N, N] double: integers from 0 to 9, so many costs tie."""
    return (10 * uniform_matrix(batch, count, seed)).floor()


def agreed_matrix(batch: int, count: int, seed: int) -> Tensor:
    """[B, N, N] double: all rows rank the columns alike, and all columns the rows."""
    generator = _seeded(seed)
    return -_rand(generator, batch, count, 1) * _rand(generator, batch, 1, count)


MATRICES: dict[str, Callable[[int, int, int], Tensor]] = {
    "uniform": uniform_matrix,
    "distances": distance_matrix,
    "ties": tied_matrix,
    "agreed": agreed_matrix,
}
"""By kind: a batch, a size and a seed, to [B, N, N]."""


# ---- Such as are hard on a solver ----
#
# One sample each, on a grid of any shape, by a seed.

_LEAK = 1e-3
"""The capacity of edges that leave a path, where those along it have 1 to 2."""


def _path_cut(path: Tensor) -> CutProblem:
    """A cut whose flow has to follow one path through all cells, along which capacities shrink.

    ``path`` [H, W] numbers the cells in the order of the path. No augmenting path is shorter than
    the whole, and each saturates another edge.
    """
    cells = path.numel()
    width_at = 2 - path.double() / cells

    def weights(a: Tensor, b: Tensor, wide: Tensor) -> Tensor:
        return torch.where((a - b).abs() == 1, wide, _LEAK)[None]

    ends = max(1, cells // 16)
    return CutProblem(
        2.0 * (path < ends).double()[None],
        2.0 * (path >= cells - ends).double()[None],
        weights(path[:-1], path[1:], width_at[1:]),
        weights(path[:, :-1], path[:, 1:], width_at[:, 1:]),
    )


def snake_cut(grid: Grid, seed: int) -> CutProblem:
    """A path to and fro."""
    height, width = _sides(grid)
    path = torch.arange(height * width).view(height, width)
    path[1::2] = path[1::2].flip(1)
    return _path_cut(path)


def spiral_cut(grid: Grid, seed: int) -> CutProblem:
    """A path around and inwards."""
    height, width = _sides(grid)
    left = torch.arange(height * width).view(height, width)
    path = torch.empty_like(left)
    flat, step = path.view(-1), 0
    while left.numel():
        flat[left[0]] = torch.arange(step, step + left.shape[1])
        step += left.shape[1]
        left = left[1:].rot90()
    return _path_cut(path)


def checkerboard_cut(grid: Grid, seed: int) -> CutProblem:
    """Sources and sinks in turns, each with another amount."""
    height, width = _sides(grid)
    generator = _seeded(seed)
    black = (torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0
    amount = _rand(generator, 1, height, width)
    edges = _random_edges(generator, height, width)
    return CutProblem(amount * black, amount * ~black, *edges)


def plateau_cut(grid: Grid, seed: int) -> CutProblem:
    """From the left border to the right one, the same capacity everywhere: any cut will do."""
    height, width = _sides(grid)
    source, sink = torch.zeros(2, 1, height, width, dtype=torch.float64)
    source[..., 0] = sink[..., -1] = 1
    return CutProblem(source, sink, *_edges(1, height, width, 1.0))


def corner_cut(grid: Grid, seed: int) -> CutProblem:
    """From one corner to the other, through edges of any capacity."""
    height, width = _sides(grid)
    source, sink = torch.zeros(2, 1, height, width, dtype=torch.float64)
    source[0, 0, 0] = sink[0, -1, -1] = 4
    return CutProblem(source, sink, *_random_edges(_seeded(seed), height, width))


def contrast_cut(grid: Grid, seed: int) -> CutProblem:
    """All capacities at random, from 1 to 1000."""
    height, width = _sides(grid)
    generator = _seeded(seed)
    shapes = (height, width), (height, width), (height - 1, width), (height, width - 1)
    return CutProblem(*(1000 ** _rand(generator, 1, *shape) for shape in shapes))


def tied_cut(grid: Grid, seed: int) -> CutProblem:
    """All capacities 0, 1 or 2."""
    height, width = _sides(grid)
    generator = _seeded(seed)
    shapes = (height, width), (height, width), (height - 1, width), (height, width - 1)
    return CutProblem(*((3 * _rand(generator, 1, *shape)).floor() for shape in shapes))


def smooth_cut(grid: Grid, seed: int) -> CutProblem:
    """The typical one, to compare with."""
    return cut_problem(1, grid, 3 * seed)


def _random_edges(generator: Generator, height: int, width: int) -> tuple[Tensor, Tensor]:
    return _rand(generator, 1, height - 1, width), _rand(generator, 1, height, width - 1)


CUTS: dict[str, Callable[[Grid, int], CutProblem]] = {
    "smooth": smooth_cut,
    "snake": snake_cut,
    "spiral": spiral_cut,
    "checkerboard": checkerboard_cut,
    "plateau": plateau_cut,
    "corners": corner_cut,
    "contrasts": contrast_cut,
    "ties": tied_cut,
}
"""By kind: a grid and a seed, to a cut of one sample; the first is the typical one."""


def hard_labeling(kind: str, grid: Grid, labels: int, seed: int, bend: float) -> LabelingProblem:
    """A cut of a kind in CUTS as a labelling: each label costs its share of the two terminals.

    ``bend``: as of ``bent``.
    """
    source, sink, vertical, horizontal = CUTS[kind](grid, seed)
    z = torch.arange(labels, dtype=torch.float64) / (labels - 1)
    unary = z * source[..., None] + (1 - z) * sink[..., None]
    return bent(LabelingProblem(unary, vertical, horizontal, _quadratic(labels)), bend, seed)


def hard_transport(kind: str, grid: Grid, seed: int) -> TransportProblem:
    """One sample of a kind in TRANSPORTS."""
    height, width = _sides(grid)
    generator = _seeded(seed)
    saliency = _rand(generator, 1, height, width)
    x = torch.arange(width).expand(1, height, width)
    y = torch.arange(height)[:, None].expand(1, height, width)
    mask = _rand(generator, 1, height, width) < 0.5
    if kind == "smooth":
        return transport_problem(1, grid, 3 * seed)
    if kind == "far":  # what is salient is at one side, what shows at the other
        saliency, mask = saliency * (x < width / 2), x >= width / 2
    elif kind == "ramp":  # the more salient, the farther from where it shows
        saliency, mask = (width - x).double(), x >= width / 2
    elif kind == "checkerboard":
        mask = (x + y) % 2 == 0
    elif kind == "checkerboard on a ramp":
        saliency, mask = (height * x + y).double(), (x + y) % 2 == 0
    elif kind == "equal":
        saliency = torch.ones_like(saliency)
    elif kind == "three values":
        saliency = (3 * saliency).floor() + 1e-9
    elif kind == "few shown":
        mask = _rand(generator, 1, height, width) < 0.05
    elif kind == "few hidden":
        mask = _rand(generator, 1, height, width) < 0.95
    return TransportProblem(_shares(saliency), mask.double())


TRANSPORTS = (
    "smooth", "random", "far", "ramp", "checkerboard", "checkerboard on a ramp", "equal",
    "three values", "few shown", "few hidden",
)  # fmt: skip
"""Kinds of transport; the first is the typical one."""
