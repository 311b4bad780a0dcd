"""Which images are mixed with which: partners whose saliency overlaps most."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from experiments.partners import PARTNERS, Partnered, distances, most_overlap
from puzzlemix import PuzzleMix, spectral_saliency


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def places(count: int, side: int = 16, seed: int = 0) -> Tensor:
    """Saliency of one bright block each, on little everywhere."""
    rng = seeded(seed)
    maps = 0.01 * torch.rand(count, side, side, generator=rng)
    corners = torch.randint(side - 4, (count, 2), generator=rng)
    for one, (row, column) in zip(maps, corners, strict=True):
        one[row : row + 4, column : column + 4] += 1
    return maps


def overlaps(saliency: Tensor) -> np.ndarray[Any, Any]:
    """By the definition, in float64: the sum over blocks of the smaller of two shares."""
    blocks = saliency.double().numpy()
    count, height, width = blocks.shape
    blocks = blocks.reshape(count, 8, height // 8, 8, width // 8).mean((2, 4)).reshape(count, 64)
    shares = blocks / blocks.sum(1, keepdims=True)
    return np.minimum(shares[:, None], shares[None]).sum(2)


@given(st.integers(2, 24), st.sampled_from([8, 16, 32]), st.integers(0, 99))
def test_no_permutation_without_fixed_points_overlaps_more(
    count: int, side: int, seed: int
) -> None:
    saliency = places(count, side, seed) if side > 8 else torch.rand(count, 8, 8)
    partner = most_overlap(saliency)
    assert sorted(partner.tolist()) == list(range(count))
    assert not (partner == torch.arange(count)).any()
    overlap = overlaps(saliency)
    cost = 2 * count * np.eye(count) - overlap
    best = -cost[linear_sum_assignment(cost)].sum()
    # Each of 64 shares was rounded by up to 2^-15 in both images.
    assert overlap[np.arange(count), partner].sum() >= best - 2 * count * 64 * 2.0**-15


def test_all_permutations_of_few() -> None:
    saliency = places(5)
    overlap = overlaps(saliency)
    best = max(
        sum(overlap[i, p] for i, p in enumerate(order))
        for order in itertools.permutations(range(5))
        if all(i != p for i, p in enumerate(order))
    )
    found = sum(overlap[i, p] for i, p in enumerate(most_overlap(saliency).tolist()))
    assert found == pytest.approx(best, abs=1e-2)


def test_twins_find_each_other() -> None:
    maps = places(8)
    partner = most_overlap(torch.cat((maps, maps)))
    assert partner.tolist() == [*range(8, 16), *range(8)]


def test_distances_do_not_depend_on_the_order_of_sums() -> None:
    saliency = torch.rand(9, 32, 32, generator=seeded(0))
    order = torch.randperm(9, generator=seeded(1))
    assert torch.equal(distances(saliency)[order][:, order], distances(saliency[order]))
    mirrored = saliency.flip(1)
    assert torch.equal(distances(mirrored), distances(saliency))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_and_scale(dtype: torch.dtype) -> None:
    saliency = (places(6) * 256).round()
    assert torch.equal(most_overlap(saliency.to(dtype)), most_overlap(saliency / 1024))


def test_empty_maps_count_as_uniform() -> None:
    assert most_overlap(torch.ones(2, 28, 28)).tolist() == [1, 0]
    empty = torch.zeros(3, 16, 16)
    empty[0, :4, :4] = 1
    assert distances(empty)[1, 2] == 0


def test_the_least_and_other_labels() -> None:
    corners = torch.zeros(4, 16, 16)
    for one, row in zip(corners, (0, 0, 8, 8), strict=True):
        one[row : row + 8] = 1
    labels = torch.tensor([0, 0, 1, 1])
    assert set(PARTNERS["least"](corners, labels)[:2].tolist()) == {2, 3}
    assert set(PARTNERS["most, other labels"](corners, labels)[:2].tolist()) == {2, 3}
    others = PARTNERS["most, other labels"](corners, torch.tensor([0, 1, 0, 1]))
    assert others.tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("given", [False, True])
def test_all_else_is_drawn_alike(given: bool) -> None:
    images = torch.rand(12, 3, 16, 16, generator=seeded(0))
    saliency = spectral_saliency(images)
    options: dict[str, Any] = {} if given else {"saliency": lambda x, _: spectral_saliency(x)}
    random = PuzzleMix(generator=seeded(3), **options)
    overlap = Partnered(generator=seeded(3), partners="most", **options)
    for _ in range(4):
        one, other = (mixer.plan(images, None, saliency if given else None)
                      for mixer in (random, overlap))  # fmt: skip
        assert one.mask.shape == other.mask.shape
        assert torch.equal(other.index, most_overlap(saliency))
        assert not torch.equal(one.index, other.index)
    assert torch.equal(random.generator.get_state(), overlap.generator.get_state())
    assert "partners='most'" in repr(overlap)
