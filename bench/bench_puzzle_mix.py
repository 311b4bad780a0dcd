"""The whole Puzzle Mix beside the published method on dense matrices, its cut by PyMaxflow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

import puzzlemix

from . import peers, published
from .cases import BASIC, PUZZLEMIX, THREADED, WAYS, compared, on_device
from .instances import image_pairs
from .memory import peak_mib


class PuzzleMix(NamedTuple):
    """Pairs of images of ``side`` pixels, mixed in grid x grid blocks."""

    side: int = 32
    grid: int = 16
    batch: int = 100
    method: str = "swap, approx"

    @property
    def work(self) -> str:
        work = f"puzzle_mix {self.side}x{self.side}, grid {self.grid}"
        work += f", batch {self.batch}" if self.batch != 100 else ""
        return work + (f", {self.method}" if self.method != "swap, approx" else "")


BASE = PuzzleMix()
CASES = [
    *(PuzzleMix(32, grid) for grid in (2, 4, 8, 16)),
    *(PuzzleMix(64, grid) for grid in (4, 8, 16)),
    *(BASE._replace(batch=batch) for batch in (1, 256)),
    BASE._replace(method="exact, exact"),
]


def methods(case: PuzzleMix) -> Iterator[str]:
    yield from BASIC
    if case.batch == 100 and case.method == BASE.method:
        yield "published, dense"
        if case.grid == BASE.grid:
            yield from THREADED


@compared(CASES, methods)
def test_puzzle_mix(timed, case, by):
    """The published method leaves data smoothness out, which is in its favour."""
    given = image_pairs(timed.batch, case.side)
    cut, transport = case.method.split(", ")
    options = {"grid": case.grid, "cut": cut, "transport": transport}
    if by in WAYS:
        mix = partial(puzzlemix.puzzle_mix, *on_device(by, given), **options)
        mixed = timed(mix)
        again = puzzlemix.mix(*on_device(by, given[:2]), *mixed[2:5])
        assert torch.equal(mixed.images, again)
    else:
        peers.need("maxflow")
        mix = partial(published.puzzle_mix, *given, grid=case.grid)
        mixed = timed(mix)
        ours = puzzlemix.puzzle_mix(*given, **options, gamma=0)
        # Swaps stop in local minima, and not in the same ones.
        assert float((mixed.mask == ours.mask).float().mean()) > 0.9
    if by == PUZZLEMIX or by not in WAYS:
        timed.note(peak_mib=peak_mib(mix))
