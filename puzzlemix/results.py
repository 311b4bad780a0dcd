"""What the functions return: named tuples of tensors (of NumPy arrays when NumPy came in).

B is the batch, H x W the grid of blocks (h x w and h' x w' where the mask has one and the
permutations another), C channels, Y x X pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Assignment", "GridMinCut", "Labeling", "PuzzleMixResult", "PuzzlePlan"]


class GridMinCut(NamedTuple):
    """A minimum cut: the one with the smallest sink side."""

    segment: Tensor
    """[B, H, W] bool, True on the sink side."""
    flow: Tensor
    """[B] float64, the capacity of the cut in the caller's own units."""


class Labeling(NamedTuple):
    """One label per cell."""

    labels: Tensor
    """[B, H, W] int64."""
    energy: Tensor
    """[B] float64, unary and pair costs in the caller's own units."""


class Assignment(NamedTuple):
    """A permutation in gather form: target j takes what stands at source[j]."""

    source: Tensor
    """[B, N], or [B, H, W] where the things assigned are blocks of a grid; int64."""
    total: Tensor
    """[B] float64, the cost of the permutation in the caller's own units."""


class PuzzleMixResult(NamedTuple):
    """Mixed images and everything that was decided on the way."""

    images: Tensor
    """[B, C, Y, X], of the images' own type."""
    ratio: Tensor
    """[B], the share of the first image: the mean of the mask."""
    mask: Tensor
    """[B, H, W], z in [0, 1]: the share of the first image in each block."""
    source1: Tensor | None
    """[B, H', W'] int64, the permutation of the first image's blocks; None without transport."""
    source2: Tensor | None
    """[B, H', W'] int64, the permutation of the second image's blocks; None without transport."""
    objective: Tensor
    """[B] float64, the value of the full objective."""


class PuzzlePlan(NamedTuple):
    """What is decided for pairs of images: how they are mixed, not the mix."""

    mask: Tensor
    """[B, h, w], z in [0, 1]: the share of the first image in each block; float64 for images of
    float64, else float32."""
    ratio: Tensor
    """[B], the share of the first image: the mean of the mask, of its type."""
    source1: Tensor | None
    """[B, h', w'] int64, the permutation of the first image's blocks; None without transport."""
    source2: Tensor | None
    """[B, h', w'] int64, the permutation of the second image's blocks; None without transport."""
    objective: Tensor
    """[B] float64, the value of the full objective."""
