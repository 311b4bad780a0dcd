"""Instances of the whole problem: pairs of images with saliency, and permutations of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from puzzlemix.objective import objective
from puzzlemix.results import PuzzleMixResult, PuzzlePlan

SETTINGS: list[dict[str, Any]] = [
    {"grid": 4},
    {"grid": (2, 8), "labels": 2, "transport": "exact"},
    {"grid": (4, 2), "transport_grid": (8, 8), "labels": 4, "cut": "exact"},
    {"grid": 2, "transport_grid": 16, "smoothness": "bilinear", "labels": 5, "cycles": 3},
    {"grid": 8, "transport": None, "smoothness": "bilinear", "cut": "exact"},
    {"grid": 4, "cycles": 4, "xi": 0.05, "gamma": 2.5, "beta": 3.0, "std": 0.25, "mean": 0.5},
    {"grid": 1},
    {"grid": 16, "neighborhood": 1, "eta": 0.0},
]
"""Options of ``puzzle_mix`` that differ in every respect, for pairs of 16 x 32 pixels."""


class Pairs(NamedTuple):
    """The first arguments of ``puzzle_mix`` and ``objective``."""

    x1: Tensor
    x2: Tensor
    saliency1: Tensor
    saliency2: Tensor
    lam: Tensor

    def sample(self, index: int) -> Pairs:
        """One pair, as a batch of one."""
        return Pairs(*(part[index : index + 1] for part in self))


def make_pairs(
    batch: int,
    rows: int = 16,
    columns: int = 16,
    *,
    channels: int = 3,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Pairs:
    """Smooth random images with a bright spot each, and saliency that favours the spot."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    y, x = torch.arange(rows)[:, None], torch.arange(columns)
    images, saliencies = [], []
    for _ in range(2):
        centre = rand(batch, 2, 1, 1)
        squared = (y - centre[:, 0] * rows) ** 2 + (x - centre[:, 1] * columns) ** 2
        spot = torch.exp(-squared / (rows * columns / 8))
        colour = rand(batch, channels, 1, 1)
        noise = rand(batch, channels, rows, columns)
        images.append(0.6 * colour * spot[:, None] + 0.4 * noise)
        saliencies.append(spot + 0.2 * rand(batch, rows, columns))
    x1, x2 = (image.to(dtype) for image in images)
    s1, s2 = (saliency.float() for saliency in saliencies)
    return Pairs(x1, x2, s1, s2, rand(batch))


def huge(dtype: torch.dtype) -> float:
    """A number so large that pixels beside it are lost, and sums of it are still finite."""
    return {torch.float16: 65504.0, torch.float64: 1e100}.get(dtype, 1e30)


def _rand(g: Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=g, dtype=torch.float64)


def _checkers(g: Generator, *shape: int) -> Tensor:
    y, x = torch.arange(shape[-2])[:, None], torch.arange(shape[-1])
    return ((y + x + _rand(g, *shape[:-2], 1, 1).round()) % 2).double()


def _extreme(g: Generator, *shape: int) -> Tensor:
    """Images of which a tenth of the pixels is infinite; `make_images` replaces these."""
    return torch.where(_rand(g, *shape) < 0.1, torch.inf, 1) * (2 * _rand(g, *shape) - 1)


IMAGES: dict[str, Callable[..., Tensor]] = {
    "noise": _rand,
    "signed": lambda g, *shape: 8 * _rand(g, *shape) - 4,
    "constant": lambda g, *shape: _rand(g, *shape[:-2], 1, 1).expand(shape),
    "checkers": _checkers,
    "few values": lambda g, *shape: (2 * _rand(g, *shape)).round() / 2,
    "tiny": lambda g, *shape: _rand(g, *shape) * 2.0**-20,
    "extreme": _extreme,
}
"""Images of a generator and a shape."""


def make_images(kind: str, g: Generator, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Images of any shape, of a kind in `IMAGES`; all finite."""
    values = IMAGES[kind](g, *shape)
    return values.clamp(-huge(dtype), huge(dtype)).to(dtype)


SALIENCIES: dict[str, Callable[..., Tensor]] = {
    "noise": _rand,
    "zero": lambda g, *shape: torch.zeros(shape, dtype=torch.float64),
    "flat": lambda g, *shape: torch.ones(shape, dtype=torch.float64),
    "one spot": lambda g, *shape: _spot(_rand(g, *shape)),
    "ties": lambda g, *shape: (2 * _rand(g, *shape)).round(),
    "tiny": lambda g, *shape: _rand(g, *shape) * 2.0**-20,
    "huge": lambda g, *shape: torch.where(_rand(g, *shape) < 0.3, torch.inf, _rand(g, *shape)),
}
"""Saliency maps of a generator and a shape."""


def _spot(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    return (flat == flat.amax(1, keepdim=True)).double().view(values.shape)


def make_saliency(kind: str, g: Generator, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Saliency [B, Y, X], of a kind in `SALIENCIES`; all finite."""
    return SALIENCIES[kind](g, *shape).clamp(max=huge(dtype)).to(dtype)


def make_sources(batch: int, rows: int, columns: int, *, seed: int = 0) -> Tensor:
    """Random permutations [B, rows, columns]."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand((batch, rows * columns), generator=generator)
    return keys.argsort(1).view(batch, rows, columns)


def make_mask(batch: int, rows: int, columns: int, labels: int, *, seed: int = 0) -> Tensor:
    """Random masks z = k/m, [B, rows, columns] float64."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(labels, (batch, rows, columns), generator=generator)
    return steps.double() / (labels - 1)


OF_THE_OBJECTIVE = ("labels", "beta", "gamma", "eta", "xi", "neighborhood", "smoothness", "std")
"""The options that both solvers and ``objective`` take."""


def objective_of(
    pairs: Pairs, found: PuzzleMixResult | PuzzlePlan, options: dict[str, Any]
) -> Tensor:
    """What ``objective`` says of an answer, [B]."""
    kept = {name: value for name, value in options.items() if name in OF_THE_OBJECTIVE}
    return objective(*pairs, found.mask, found.source1, found.source2, **kept).total


def same(one: tuple[Tensor | None, ...], other: tuple[Tensor | None, ...]) -> bool:
    """Whether two answers are the same bits."""
    return all(a is b or torch.equal(a, b) for a, b in zip(one, other, strict=True))


def part(found: PuzzleMixResult | PuzzlePlan, index: Any) -> tuple[Tensor | None, ...]:
    """An answer of some of the samples."""
    return tuple(None if field is None else field[index] for field in found)


def expect_consistent(
    pairs: Pairs, found: PuzzleMixResult | PuzzlePlan, options: dict[str, Any]
) -> None:
    """An answer has the documented shapes, types and values, and adds up."""
    grid = options["grid"] if isinstance(options["grid"], tuple) else (options["grid"],) * 2
    fine = options.get("transport_grid", grid)
    fine = fine if isinstance(fine, tuple) else (fine,) * 2
    batch, last = len(pairs.x1), options.get("labels", 3) - 1
    real = torch.float64 if pairs.x1.dtype == torch.float64 else torch.float32
    labels = (found.mask.double() * last).round()
    assert found.mask.dtype == found.ratio.dtype == real
    assert found.mask.shape == (batch, *grid)
    assert torch.equal(found.mask, labels.to(real) / last)
    assert torch.equal(found.ratio, labels.sum((1, 2)).to(real) / (last * grid[0] * grid[1]))
    if options.get("transport", "approx") is None:
        assert found.source1 is None
        assert found.source2 is None
    else:
        places = torch.arange(fine[0] * fine[1]).expand(batch, -1)
        for source in (found.source1, found.source2):
            assert source is not None
            assert source.shape == (batch, *fine)
            assert source.dtype == torch.int64
            assert torch.equal(source.flatten(1).sort(1).values, places)
    assert found.objective.dtype == torch.float64
    total = objective_of(pairs, found, options)
    torch.testing.assert_close(found.objective, total, rtol=1e-12, atol=1e-14)
