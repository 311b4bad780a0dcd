"""The results of the functions: named tuples of tensors, or of NumPy arrays if arrays were given.

B is the batch, H x W the grid of blocks (h x w the mask's and h' x w' the permutations', if they
differ), C channels, Y x X pixels.
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
    """An assignment in gather form: target j gets source[j]."""

    source: Tensor
    """[B, M], or [B, H, W] if the things assigned are blocks of a grid; int64."""
    total: Tensor
    """[B] float64, the cost of the assignment in the caller's own units."""


class PuzzleMixResult(NamedTuple):
    """Mixed images, and the mask, permutations and objective that made them."""

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
    """How pairs of images are to be mixed, without the mix itself."""

    mask: Tensor
    """[B, h, w], z in [0, 1]: the share of the first image in each block; float64 for images of
    float64, else float32."""
    ratio: Tensor
    """[B], the share of the first image: the mean of the mask, in the mask's type."""
    source1: Tensor | None
    """[B, h', w'] int64, the permutation of the first image's blocks; None without transport."""
    source2: Tensor | None
    """[B, h', w'] int64, the permutation of the second image's blocks; None without transport."""
    objective: Tensor
    """[B] float64, the value of the full objective."""
