"""The whole Puzzle Mix beside the published method: its authors' code, and on dense matrices.

``puzzle_mix`` mixes given pairs and returns the objective; ``PuzzleMix`` draws the partners from
the batch, and mixes images and labels. Both are whole calls, saliency given.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch

import puzzlemix

from . import peers, published
from .cases import BASIC, PUZZLEMIX, THREADED, WAYS, compared, named, on_device
from .instances import image_pairs
from .memory import peak_mib

DENSE = "published, dense"
CODE = "the published code"
CLASSES = 10


class Whole(NamedTuple):
    """Images of ``side`` pixels, mixed in grid x grid blocks."""

    function: str = "puzzle_mix"
    side: int = 32
    grid: int = 16
    batch: int = 100
    method: str = "swap, approx"

    @property
    def work(self) -> str:
        head = f"{self.function} {self.side}x{self.side}, grid {self.grid}"
        return named(self, head, batch="batch {}", method="{}")

    @property
    def options(self) -> dict[str, Any]:
        cut, transport = self.method.split(", ")
        return {"cut": cut, "transport": transport}


BASE = Whole()
LARGE = BASE._replace(side=224, batch=16)


def with_peers(function: str) -> list[Whole]:
    """What the published method and several threads do too."""
    base = BASE._replace(function=function)
    return [
        *(base._replace(grid=grid) for grid in (2, 4, 8, 16)),
        base._replace(side=64),
        LARGE._replace(function=function),
    ]


def pairs() -> list[Whole]:
    return [
        *with_peers("puzzle_mix"),
        *(BASE._replace(grid=grid, batch=1) for grid in (2, 16)),
        LARGE._replace(batch=1),
        BASE._replace(batch=256),
        BASE._replace(method="exact, exact"),
    ]


def methods(case: Whole) -> Iterator[str]:
    yield from BASIC
    if case in with_peers(case.function):
        yield from (DENSE, CODE, *THREADED)


@compared(pairs(), methods)
def test_whole_pairs(timed, case, by):
    given = image_pairs(timed.batch, case.side)
    if by not in WAYS:
        time_published(timed, case, by)
        return
    mix = partial(puzzlemix.puzzle_mix, *on_device(by, given), grid=case.grid, **case.options)
    mixed = timed(mix)
    assert torch.equal(mixed.images, puzzlemix.mix(*on_device(by, given[:2]), *mixed[2:5]))
    if by == PUZZLEMIX:
        timed.note(peak_mib=peak_mib(mix))


@compared(with_peers("PuzzleMix"), methods)
def test_whole_batches(timed, case, by):
    """A lambda is drawn for each sample, and the same in every round: they are not all as hard."""
    if by not in WAYS:
        time_published(timed, case, by)
        return
    x1, _, saliency, *_ = image_pairs(timed.batch, case.side)
    given = on_device(by, (x1, torch.arange(len(x1)) % CLASSES, saliency))
    generator = torch.Generator()
    mixer = puzzlemix.PuzzleMix(
        num_classes=CLASSES, grids=(case.grid,), per_sample=True, generator=generator
    )
    mixed, weights = timed(lambda _: mixer(*given), partial(generator.manual_seed, 0))
    generator.manual_seed(0)
    plan = mixer.plan(*given)
    assert torch.equal(mixed, plan.images(given[0]))
    assert torch.equal(weights, plan.labels(given[1]))


def time_published(timed, case, by):
    """Images alone, which is in favour of both, and so is one lambda for all of the code's batch
    and, on dense matrices, that data smoothness is left out."""
    given = image_pairs(timed.batch, case.side)
    if by == CODE:
        partner = torch.arange(timed.batch).roll(1)
        own = (given.x1, given.saliency1)
        images, ratio = timed(partial(peers.published_code, *own, partner, grid=case.grid))
        given = (part for each in own for part in (each, each[partner]))
        ours = puzzlemix.puzzle_mix(*given, 0.4, grid=case.grid).ratio
        assert images.shape == own[0].shape
        assert float((ratio - ours).abs().mean()) < 0.1
        return
    peers.need("maxflow")
    mix = partial(published.puzzle_mix, *given, grid=case.grid)
    mask = timed(mix).mask
    ours = puzzlemix.puzzle_mix(*given, grid=case.grid, gamma=0).mask
    # Swaps stop in local minima, and not in the same ones.
    assert float((mask == ours).float().mean()) > 0.9
    timed.note(peak_mib=peak_mib(mix))
