"""The classic augmentations: what each must keep, and what it must change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from puzzlemix.demo import augment

DRAWN: list[Callable[[Tensor, Generator], Tensor]] = [
    augment.crop_and_resize,
    augment.jitter_color,
    augment.rotate,
    augment.cutout,
    augment.noise,
]
FIXED = [augment.flip, augment.drop_color, augment.blur, augment.sobel]


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(3, 24, 24, generator=rng(1))


@pytest.mark.parametrize("change", DRAWN, ids=lambda change: change.__name__)
def test_the_generator_decides(
    change: Callable[[Tensor, Generator], Tensor], image: Tensor
) -> None:
    given, before = image.clone(), torch.random.get_rng_state()
    many = [change(image, rng(seed)) for seed in range(8)]
    assert all(torch.equal(change(image, rng(seed)), many[seed]) for seed in range(8))
    assert any(not torch.equal(many[0], other) for other in many[1:])
    assert torch.equal(image, given)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("size", [(24, 24), (8, 30), (1, 1)], ids=str)
@pytest.mark.parametrize("change", [*DRAWN, *FIXED], ids=lambda change: change.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_picture_of_the_same_kind(
    change: Callable[..., Tensor], size: tuple[int, int], dtype: torch.dtype
) -> None:
    image = torch.rand(3, *size, dtype=dtype, generator=rng())
    done = change(image, rng()) if change in DRAWN else change(image)
    assert (done.shape, done.dtype) == (image.shape, dtype)
    assert done.min() >= 0
    assert done.max() <= 1
    assert done.data_ptr() != image.data_ptr()


def test_crops_are_boxes_of_the_picture() -> None:
    # Both coordinates as colours: what a crop shows tells where it is from.
    places = torch.arange(64) / 63
    image = torch.stack((*torch.meshgrid(places, places, indexing="ij"), torch.zeros(64, 64)))
    for seed in range(20):
        done = augment.crop_and_resize(image, rng(seed), scale=(0.25, 0.5))
        rows, columns = ((channel.max() - channel.min()) for channel in done[:2])
        assert 0.2 < rows * columns < 0.55
        assert 0.7 < rows / columns < 1.4
        assert not done[2].any()
    whole = augment.crop_and_resize(image, rng(), scale=(1, 1))
    assert whole.shape == image.shape


def test_turns_and_flips_only_move_pixels(image: Tensor) -> None:
    assert torch.equal(augment.flip(image)[:, :, 0], image[:, :, -1])
    turns = [image.rot90(quarters, (1, 2)) for quarters in (1, 2, 3)]
    seen = {
        next(n for n, turn in enumerate(turns) if torch.equal(done, turn))
        for done in (augment.rotate(image, rng(seed)) for seed in range(20))
    }
    assert seen == {0, 1, 2}


def test_colors(image: Tensor) -> None:
    grey = augment.drop_color(image)
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    weights = torch.tensor(augment.GREY)[:, None, None]
    torch.testing.assert_close(grey[0], (weights * image).sum(0))
    torch.testing.assert_close(augment.jitter_color(image, rng(), strength=0), image)
    # Grey has neither hue nor saturation to change.
    done = augment.jitter_color(grey, rng())
    torch.testing.assert_close(done[0], done[1], atol=2e-3, rtol=0)
    torch.testing.assert_close(done[0], done[2], atol=2e-3, rtol=0)


def test_cutout_is_a_box_that_ends_with_the_picture(image: Tensor) -> None:
    areas = []
    for seed in range(50):
        out = (augment.cutout(image + 0.1, rng(seed)) == 0).all(0)
        rows, columns = out.any(1), out.any(0)
        assert torch.equal(out, rows[:, None] & columns)
        assert max(rows.sum(), columns.sum()) <= 12
        areas.append(int(out.sum()))
    assert max(areas) == 12 * 12
    assert min(areas) >= 6 * 6


def test_noise_has_the_given_spread() -> None:
    done = augment.noise(torch.full((3, 100, 100), 0.5), rng(), std=0.1)
    assert abs(float(done.mean()) - 0.5) < 0.005
    assert abs(float(done.std()) - 0.1) < 0.005


def test_blur_and_edges() -> None:
    flat = torch.full((3, 20, 20), 0.7)
    torch.testing.assert_close(augment.blur(flat), flat)
    assert augment.sobel(flat).max() < 1e-6
    step = torch.zeros(3, 20, 20)
    step[..., 10:] = 0.2
    edge = augment.sobel(step)
    torch.testing.assert_close(edge[..., 9:11], torch.full((3, 20, 2), 0.8))
    assert max(edge[..., :9].max(), edge[..., 11:].max()) < 1e-6
    point = torch.zeros(3, 41, 41)
    point[:, 20, 20] = 1
    soft = augment.blur(point, 2)
    torch.testing.assert_close(soft.sum((1, 2)), torch.ones(3))
    places = torch.arange(41) - 20.0
    torch.testing.assert_close(
        (soft[0].sum(0) * places.square()).sum().sqrt(), torch.tensor(2.0), atol=0.05, rtol=0
    )
