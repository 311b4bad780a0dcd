"""Independent solvers of the same problems. A peer that isn't installed is left out with a word.

What a peer needs in its own form is made before the clock runs: integers for gco, dense matrices
for the assignments. Where making its graph is a large part of a call there are two peers, the whole
call and the solve alone, on graphs that were made before.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from .instances import CutProblem, LabelingProblem

Array = np.ndarray


@cache
def load(name: str) -> Any:
    """A module, or why there is none: wheels for another PyTorch fail in ways of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            return f"{name} can't be imported: {error}"


def need(name: str) -> Any:
    """A peer's module; the benchmark is skipped where there is none."""
    module = load(name)
    if isinstance(module, str):
        pytest.skip(module)
    return module


# ---- Labellings ----


class Costs(NamedTuple):
    """A sample's labelling problem as int32 arrays."""

    unary: Array
    vertical: Array
    horizontal: Array
    label_cost: Array


def integer_costs(problem: LabelingProblem) -> list[Costs]:
    """Each sample's costs as integers up to 5e6, as gco takes them (it multiplies floats by 1e5).

    The label cost is that of z = k/m squared, so m**2 times it is whole.
    """
    squared = (problem.label_cost.shape[0] - 1) ** 2
    pair = (problem.label_cost * squared).round()
    samples = []
    for unary, *weights in zip(*problem[:3], strict=True):
        above = unary - unary.amin(2, keepdim=True)
        scale = 5e6 / max(float(above.max()), *(float(weight.max()) for weight in weights))
        whole = (above * scale, *(weight * scale / squared for weight in weights), pair)
        samples.append(Costs(*(part.round().int().numpy() for part in whole)))
    return samples


def labels_of(found: Any) -> Tensor:
    """What a solver of ours or of a peer returned, as labels [B, H, W]."""
    if hasattr(found, "labels"):
        return found.labels.cpu()
    return torch.from_numpy(np.stack([np.asarray(each) for each in found]).astype(np.int64))


def pymaxflow_swap(problem: LabelingProblem) -> list[Array]:
    """PyMaxflow's alpha-beta swap, which takes one weight for all edges."""
    pair = float(problem.vertical[0, 0, 0]) * problem.label_cost.numpy()
    swap = need("maxflow").fastmin.abswap_grid
    return [swap(unary, pair) for unary in problem.unary.numpy()]


def gco_swap(samples: list[Costs]) -> list[Array]:
    """gco's alpha-beta swap, the whole call."""
    cut = need("gco").cut_grid_graph
    return [
        cut(unary, pair, vertical, horizontal, algorithm="swap").reshape(unary.shape[:2])
        for unary, vertical, horizontal, pair in samples
    ]


class GcoGraphs:
    """Graphs of gco's, ready to be solved, once.

    They start from each cell's cheapest label, as we do: it is up to twice as fast as from label 0.
    """

    def __init__(self, samples: list[Costs]) -> None:
        gco = need("gco")
        self.shape = samples[0].unary.shape[:2]
        self.graphs = []
        for unary, vertical, horizontal, pair in samples:
            graph = gco.GCO()
            graph.create_general_graph(self.shape[0] * self.shape[1], len(pair))
            graph.set_data_cost(unary.reshape(-1, len(pair)))
            above, left, below, right = gco.get_images_edges_vh(*self.shape)
            graph.set_all_neighbors(
                np.r_[above, left], np.r_[below, right], np.r_[vertical.flat, horizontal.flat]
            )
            graph.set_smooth_cost(pair)
            for site, label in enumerate(unary.argmin(2).flat):
                graph.init_label_at_site(site, label)
            graph.compute_energy()  # it makes lists of neighbours when they are first asked for
            self.graphs.append(graph)

    def __del__(self) -> None:
        for graph in self.graphs:
            graph.destroy_graph()

    def swap(self) -> GcoGraphs:
        for graph in self.graphs:
            graph.swap()
        return self

    def __iter__(self) -> Any:
        return (graph.get_labels().reshape(self.shape) for graph in self.graphs)


class IshikawaGraphs:
    """Ishikawa's graphs (PAMI 2003) in PyMaxflow, ready to be solved, once.

    Node k of a cell, k = 1..L-1, is on the sink's side where the cell's label is at least k. With
    B[k,l] = D[k-1,l] + D[k,l-1] - D[k,l] - D[k-1,l-1] >= 0 an edge of the grid costs
    weight * B/2 between any node k of one end and l of the other, and at each end half of
    weight * (D[a,0] + D[a,L-1]). All costs are doubled, so that they stay whole.
    """

    def __init__(self, samples: list[Costs]) -> None:
        self.graph_type = need("maxflow").GraphInt
        self.graphs = [self._graph(*sample) for sample in samples]

    def _graph(
        self, unary: Array, vertical: Array, horizontal: Array, pair: Array
    ) -> tuple[Any, Array]:
        height, width, labels = unary.shape
        levels = labels - 1
        bends = (pair[:-1, 1:] + pair[1:, :-1] - pair[1:, 1:] - pair[:-1, :-1]).astype(np.int64)
        weight_sum = np.zeros((height, width), np.int64)
        for ends, weights in (
            ((np.s_[:-1], np.s_[1:]), vertical),
            ((np.s_[:, :-1], np.s_[:, 1:]), horizontal),
        ):
            for end in ends:
                weight_sum[end] += weights
        cost = 2 * unary.astype(np.int64) + weight_sum[..., None] * (pair[:, 0] + pair[:, -1])
        step = np.diff(cost, axis=2)

        cells = height * width
        edges = vertical.size + horizontal.size
        graph = self.graph_type(cells * levels, edges * levels**2 + cells * (levels - 1))
        node = graph.add_grid_nodes((height, width, levels))
        graph.add_grid_tedges(node, np.maximum(step, 0), np.maximum(-step, 0))
        lower, upper = node[..., :-1].ravel(), node[..., 1:].ravel()
        never = np.full(lower.shape, 2**40)
        graph.add_edges(lower, upper, never, np.zeros_like(never))
        k, other = np.nonzero(bends)
        for (a, b), weights in (
            ((node[:-1], node[1:]), vertical),
            ((node[:, :-1], node[:, 1:]), horizontal),
        ):
            capacity = (weights[..., None] * bends[k, other]).ravel()
            graph.add_edges(a[..., k].ravel(), b[..., other].ravel(), capacity, capacity)
        return graph, node

    def solve(self) -> IshikawaGraphs:
        for graph, _ in self.graphs:
            graph.maxflow()
        return self

    def __iter__(self) -> Any:
        return (graph.get_grid_segments(node).sum(2) for graph, node in self.graphs)


class CutGraphs:
    """Grids in PyMaxflow, ready to be solved, once."""

    def __init__(self, problem: CutProblem) -> None:
        self.graph_type = need("maxflow").GraphFloat
        samples = zip(*(part.numpy() for part in problem), strict=True)
        self.graphs = [self._graph(*sample) for sample in samples]

    def _graph(self, source: Array, sink: Array, vertical: Array, horizontal: Array) -> Any:
        graph = self.graph_type(source.size, vertical.size + horizontal.size)
        node = graph.add_grid_nodes(source.shape)
        graph.add_grid_tedges(node, source, sink)
        for a, b, weights in (
            (node[:-1], node[1:], vertical),
            (node[:, :-1], node[:, 1:], horizontal),
        ):
            graph.add_edges(a.ravel(), b.ravel(), weights.ravel(), weights.ravel())
        return graph

    def flows(self) -> Tensor:
        return torch.tensor([graph.maxflow() for graph in self.graphs], dtype=torch.float64)


# ---- Assignments ----


def dense_solver(name: str) -> Callable[[Array], Array]:
    """The column of each row of least total, by SciPy or lapx."""
    if name == "SciPy":
        solve = need("scipy.optimize").linear_sum_assignment
        return lambda cost: solve(cost)[1]
    lapjv = need("lap").lapjv
    return lambda cost: lapjv(cost)[1]


# ---- The whole of Puzzle Mix ----

PUBLISHED_CODE = "PUZZLEMIX_PUBLISHED_CODE"
"""The environment's variable that names a clone of github.com/snu-mllab/PuzzleMix."""


def published_code(
    x1: Tensor, saliency: Tensor, partner: Tensor, *, grid: int
) -> tuple[Tensor, Tensor]:
    """Images and ratios by the code that the authors published, its cut by gco.

    It takes one lambda a batch. Boundary strips are averaged over windows as ours are: the largest
    divisor of a block's side up to 4, as the code expects one that divides.
    """
    need("gco")
    block = x1.shape[2] // grid
    window = max(size for size in range(1, 5) if block % size == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors that it makes of lists of arrays
        mixed: tuple[Tensor, Tensor] = _published_module().mixup_graph(
            x1, saliency, partner, block_num=grid, alpha=0.4, beta=1.2, gamma=0.5, eta=0.2,
            neigh_size=window, n_labels=3, mean=0.0, std=1.0, transport=True, t_eps=0.8, t_size=-1,
            device="cpu",
        )  # fmt: skip
    return mixed


def _published_module() -> Any:
    folder = os.environ.get(PUBLISHED_CODE)
    if not folder:
        pytest.skip(f"the published code: {PUBLISHED_CODE} names no clone of it")
    return _module_at(Path(folder, "mixup.py"))


@cache
def _module_at(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("published_code", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- Mixing ----


def gathered_mix(x1: Tensor, x2: Tensor, mask: Tensor, source1: Tensor, source2: Tensor) -> Tensor:
    """z * P1 x1 + (1 - z) * P2 x2 by PyTorch's gather, all grids the same."""
    batch, channels, rows, columns = x1.shape
    height, width = mask.shape[1:]
    blocks = (batch, channels, height, rows // height, width, columns // width)

    def moved(images: Tensor, source: Tensor) -> Tensor:
        parts = images.view(blocks).permute(0, 2, 4, 1, 3, 5).reshape(batch, height * width, -1)
        index = source.view(batch, -1, 1).expand(-1, -1, parts.shape[2])
        return parts.gather(1, index)

    z = mask.view(batch, -1, 1).to(x1.dtype)
    mixed = z * moved(x1, source1) + (1 - z) * moved(x2, source2)
    parts = mixed.view(batch, height, width, channels, rows // height, columns // width)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(x1.shape)


Mixing = tuple[Callable[[Tensor, Tensor], Any], Callable[[Any], Tensor]]
"""A mixer of images and labels, and how its labels become weights [N, K]."""


def _kornia(name: str, classes: int) -> Mixing:
    module, keys = need("kornia.augmentation"), ["input", "class"]
    if name == "MixUp":
        augment = module.RandomMixUpV2(data_keys=keys)
    else:
        augment = module.RandomCutMixV2(data_keys=keys, use_correct_lambda=True)

    def weights(told: Tensor) -> Tensor:
        first, second, share = told.view(-1, 3).unbind(1)  # of CutMix there may be several
        own = 1 - share if name == "MixUp" else share
        one_hot = torch.eye(classes)
        return own[:, None] * one_hot[first.long()] + (1 - own[:, None]) * one_hot[second.long()]

    return augment, weights


def _torchvision(name: str, classes: int) -> Mixing:
    return getattr(need("torchvision.transforms.v2"), name)(num_classes=classes), Tensor.float


def _written_out(name: str, classes: int) -> Mixing:
    """What torchvision's transforms compute, without the classes around it."""
    beta = torch.distributions.Beta(torch.tensor([1.0]), torch.tensor([1.0]))

    def blend(x: Tensor, share: float) -> Tensor:
        return x.roll(1, 0).mul_(1.0 - share).add_(x.mul(share))

    def weights(labels: Tensor, share: float) -> Tensor:
        return blend(torch.nn.functional.one_hot(labels, num_classes=classes).float(), share)

    def mixup(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        share = float(beta.sample(()))
        return blend(images, share), weights(labels, share)

    def cutmix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        share = float(beta.sample(()))
        height, width = images.shape[-2:]
        x, y = torch.randint(width, size=(1,)), torch.randint(height, size=(1,))
        reach = 0.5 * math.sqrt(1.0 - share)
        across, down = int(reach * width), int(reach * height)
        left, top = int(torch.clamp(x - across, min=0)), int(torch.clamp(y - down, min=0))
        right = int(torch.clamp(x + across, max=width))
        bottom = int(torch.clamp(y + down, max=height))
        mixed = images.clone()
        box = (..., slice(top, bottom), slice(left, right))
        mixed[box] = images.roll(1, 0)[box]
        share = 1.0 - (right - left) * (bottom - top) / (width * height)
        return mixed, weights(labels, share)

    return (mixup if name == "MixUp" else cutmix), Tensor.float


def _timm(name: str, classes: int) -> Mixing:
    alphas = (1.0, 0.0) if name == "MixUp" else (0.0, 1.0)
    mixup = need("timm.data.mixup").Mixup(*alphas, num_classes=classes, label_smoothing=0.0)
    # It mixes in place: the copy makes it do what the others do.
    return lambda images, labels: mixup(images.clone(), labels), Tensor.float


WRITTEN_OUT = "torchvision's, written out"
MIXERS: dict[str, Callable[[str, int], Mixing]] = {
    "kornia": _kornia,
    "torchvision": _torchvision,
    WRITTEN_OUT: _written_out,
    "timm": _timm,
}
"""By library: "MixUp" or "CutMix" and a number of classes, to its mixer."""
