"""The toy experiments: data, training, and what mixup is said to change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from puzzlemix.demo import toy


class Steep(nn.Module):
    """Logits (0, slope * x): known gradients, and a border at x = 0."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, points: Tensor) -> Tensor:
        return torch.stack((0 * points[:, 0], self.slope * points[:, 0]), 1)


def test_a_disc_in_a_ring() -> None:
    points, labels = toy.rings(101)
    assert points.shape == (101, 2)
    assert labels.bincount().tolist() == [50, 51]
    radius = points.norm(dim=1)
    assert radius[labels == 1].max() < 0.5 < radius[labels == 0].min()
    assert radius.max() < toy.REACH
    assert not torch.equal(toy.rings(101, seed=1)[0], points)


def test_training_learns_the_points_and_reports_its_steps() -> None:
    points, labels = toy.rings()
    seen: list[int] = []

    def watch(steps: Iterable[int]) -> Iterator[int]:
        for step in steps:
            seen.append(step)
            yield step

    model = toy.train(points, labels, steps=100, progress=watch)
    assert seen == list(range(100))
    assert torch.equal(model(points).argmax(1), labels)


def test_surface_is_upright() -> None:
    right = toy.surface(Steep(100), side=10)
    assert right.shape == (10, 10)
    assert (right[:, :5] < 0.01).all()
    assert (right[:, 5:] > 0.99).all()

    class Up(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return torch.stack((0 * points[:, 1], 100 * points[:, 1]), 1)

    assert torch.equal(toy.surface(Up(), side=10), right.T)


def test_in_between_counts_misses_and_measures_gradients() -> None:
    # All points are of class 1; the model sees class 0 at the second, and halfway class 1.
    points, labels = torch.tensor([[3.5, 0], [-1, 0]]), torch.tensor([1, 1])
    found = toy.in_between(Steep(2.5), points, labels, ratios=5, pairs=4000)
    assert found.ratios.tolist() == [0, 0.25, 0.5, 0.75, 1]
    torch.testing.assert_close(found.gradients, torch.full((5,), 2.5))
    # Wrong is what lies at the second point: at either end half of the pairs do, else a quarter.
    expected = torch.tensor([0.5, 0.25, 0.25, 0.25, 0.5])
    torch.testing.assert_close(found.misses, expected, atol=0.03, rtol=0)
    right = toy.in_between(Steep(2.5), points, torch.tensor([1, 0]), ratios=5)
    assert not right.misses.any()


@pytest.mark.parametrize("seed", range(3))
def test_mixup_errs_less_and_is_less_steep_in_between(seed: int) -> None:
    done = toy.compare(seed, steps=400, side=10)
    erm, mixup = (result.between for result in done.results)
    assert [result.name for result in done.results] == ["ERM", "Mixup"]
    assert (mixup.gradients < 0.5 * erm.gradients).all()
    assert mixup.misses.mean() < 0.85 * erm.misses.mean()
    # Both know their training points.
    assert max(erm.misses[[0, -1]].max(), mixup.misses[[0, -1]].max()) < 0.02
    assert done.results[0].surface.shape == (10, 10)


def test_the_seed_decides_everything() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (toy.compare(seed, steps=20, side=10) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.points, two.points)
    for first, second, third in zip(one.results, two.results, other.results, strict=True):
        assert torch.equal(first.surface, second.surface)
        assert torch.equal(first.between.misses, second.between.misses)
        assert torch.equal(first.between.gradients, second.between.gradients)
        assert not torch.equal(first.surface, third.surface)
