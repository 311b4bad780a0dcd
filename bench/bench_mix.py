"""The mix beside the reference and a copy of the same images, and the whole Puzzle Mix."""

import pytest
import torch
from instances import smooth_saliency

import puzzlemix
from puzzlemix import reference

BATCH, SIDE = 100, 32


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((BATCH, 3, SIDE, SIDE), generator=generator)


def permutations(grid, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((BATCH, grid * grid), generator=generator).argsort(1).view(-1, grid, grid)


@pytest.mark.parametrize("grid", [4, 8, 16])
@pytest.mark.parametrize("by", ["puzzlemix", "reference", "a copy"])
def test_mix(timed, by, grid):
    x1, x2 = images(0), images(1)
    mask = (permutations(grid, 2) % 3 / 2).float()
    source1, source2 = permutations(grid, 3), permutations(grid, 4)
    work = f"mix {SIDE}x{SIDE}, grid {grid}"
    if by == "a copy":
        assert torch.equal(timed(work, by, BATCH, x1.clone), x1)
        return
    blend = (reference if by == "reference" else puzzlemix).mix
    result = timed(work, by, BATCH, lambda: blend(x1, x2, mask, source1, source2))
    assert torch.equal(result, reference.mix(x1, x2, mask, source1, source2))


@pytest.mark.parametrize("grid", [4, 8, 16])
def test_puzzle_mix(timed, grid):
    x1, x2 = images(0), images(1)
    s1, s2 = smooth_saliency(BATCH, SIDE, 0), smooth_saliency(BATCH, SIDE, 1)
    result = timed(
        f"puzzle_mix {SIDE}x{SIDE}, grid {grid}",
        "puzzlemix",
        BATCH,
        lambda: puzzlemix.puzzle_mix(x1, x2, s1, s2, 0.5, grid=grid),
    )
    again = puzzlemix.mix(x1, x2, result.mask, result.source1, result.source2)
    assert torch.equal(result.images, again)
