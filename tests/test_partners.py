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

from puzzlemix import PuzzleMix, spectral_saliency
from puzzlemix.partners import distances, overlapping


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
    partner = overlapping(saliency)
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
    found = sum(overlap[i, p] for i, p in enumerate(overlapping(saliency).tolist()))
    assert found == pytest.approx(best, abs=1e-2)


def test_twins_find_each_other() -> None:
    maps = places(8)
    partner = overlapping(torch.cat((maps, maps)))
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
    assert torch.equal(overlapping(saliency.to(dtype)), overlapping(saliency / 1024))


def test_few_images_and_empty_maps() -> None:
    assert overlapping(torch.ones(0, 8, 8)).tolist() == []
    assert overlapping(torch.ones(1, 8, 8)).tolist() == [0]
    assert overlapping(torch.ones(2, 28, 28)).tolist() == [1, 0]
    empty = torch.zeros(3, 16, 16)
    empty[0, :4, :4] = 1
    # Zero everywhere counts as uniform: those two are alike.
    assert distances(empty)[1, 2] == 0


def test_all_else_is_drawn_alike() -> None:
    images = torch.rand(12, 3, 16, 16, generator=seeded(0))
    plans = [
        PuzzleMix(saliency=lambda x, _: spectral_saliency(x), generator=seeded(3), partners=kind)
        for kind in ("random", "overlap")
    ]
    random, overlap = ([mixer.plan(images) for _ in range(4)] for mixer in plans)
    for one, other in zip(random, overlap, strict=True):
        assert one.mask.shape == other.mask.shape
        assert torch.equal(other.index, overlapping(spectral_saliency(images)))
        assert not torch.equal(one.index, other.index)
    assert torch.equal(plans[0].generator.get_state(), plans[1].generator.get_state())


def test_partners_of_one_s_own() -> None:
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6)
    seen: list[tuple[Tensor, Tensor | None]] = []

    def reversed_(saliency: Tensor, labels: Tensor | None) -> Tensor:
        seen.append((saliency, labels))
        return torch.arange(6).flip(0)

    mixer = PuzzleMix(num_classes=6, partners=reversed_)
    saliency = torch.rand(6, 16, 16)
    plan = mixer.plan(images, labels, saliency)
    assert plan.index.tolist() == [5, 4, 3, 2, 1, 0]
    assert seen[0][0] is saliency
    assert seen[0][1] is labels
    assert "partners='reversed_'" in repr(mixer)
    assert "partners='overlap'" in repr(PuzzleMix(partners="overlap"))
    assert "partners" not in repr(PuzzleMix())


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="partners: expected 'random' or 'overlap', got 'most'"):
        PuzzleMix(partners="most")
    mixer, images = PuzzleMix(partners="overlap"), torch.rand(4, 3, 16, 16)
    for wrong in (torch.nan, torch.inf, -1.0):
        saliency = torch.rand(4, 16, 16)
        saliency[2, 3, 3] = wrong
        with pytest.raises(ValueError, match=r"saliency: .* at \[2, 3, 3\]"):
            mixer.plan(images, None, saliency)
    far = PuzzleMix(partners=lambda saliency, labels: torch.arange(4) + 1)
    with pytest.raises(ValueError, match="partner: "):
        far.plan(images, None, torch.rand(4, 16, 16))


def test_compiles_as_one_graph() -> None:
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6)
    plain, traced = (
        PuzzleMix(
            num_classes=6, grids=(4,), saliency=lambda x, _: spectral_saliency(x),
            generator=seeded(1), partners="overlap",
        )
        for _ in range(2)
    )  # fmt: skip
    torch._dynamo.reset()
    compiled = torch.compile(traced, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        for ours, theirs in zip(compiled(images, labels), plain(images, labels), strict=True):
            torch.testing.assert_close(ours, theirs)
