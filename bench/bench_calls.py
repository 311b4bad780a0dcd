"""What a call costs before it does anything: mixers on tiny tensors, solvers on one 4x4 sample.

Times are of a call, not of a sample. A mixer's peer is what torchvision computes for MixUp and
CutMix, written out in PyTorch, as the classes around it cost more; Puzzle Mix has input mixup as
its measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

import puzzlemix
from puzzlemix import reference

from . import peers
from .cases import BASIC, WAYS, compared, on_device
from .instances import (
    cut_problem,
    image_pairs,
    labeling_problem,
    transport_problem,
    uniform_matrix,
)

CLASSES = 3
SIDE = 16
GRID = 4

THEIR_MIXUP = "torchvision's MixUp, written out"
OUR_MIXUP = "puzzlemix, MixUp"


class TinyMix(NamedTuple):
    """8 x 3 x 16 x 16 images, mixed."""

    mixer: str
    batch: int = 8
    per_call: bool = True

    @property
    def work(self) -> str:
        return f"{self.mixer}, call on tiny tensors"


class Tiny(NamedTuple):
    """One sample on a 4x4 grid, or of 4 rows and 4 columns."""

    function: str
    method: str = ""
    batch: int = 1
    per_call: bool = True

    @property
    def name(self) -> str:
        return f"{self.function} {self.method}".strip()

    @property
    def work(self) -> str:
        return f"{self.name}, call on one 4x4 sample"


# ---- Mixers ----


def mixers(case: TinyMix) -> Iterator[str]:
    yield from BASIC
    if case.mixer in ("MixUp", "CutMix"):
        yield from (peers.WRITTEN_OUT, "kornia", "torchvision", "timm")
    else:
        yield from (OUR_MIXUP, THEIR_MIXUP)


@compared([TinyMix(name) for name in ("MixUp", "CutMix", "PuzzleMix", "puzzle_mix")], mixers)
def test_tiny_mix(timed, case, by):
    """Each class has a plane of its own, so the means of the planes are the labels."""
    labels = torch.arange(8) % CLASSES
    images = torch.eye(CLASSES)[labels][:, :, None, None].repeat(1, 1, SIDE, SIDE)
    saliency = torch.rand(len(images), SIDE, SIDE)
    if case.mixer == "puzzle_mix" and by in WAYS:
        given = on_device(by, (images, images.flip(0), saliency, saliency.flip(0)))
        mixed = timed(partial(puzzlemix.puzzle_mix, *given, 0.5, grid=GRID))
        assert torch.equal(mixed.images, puzzlemix.mix(*given[:2], *mixed[2:5]))
        return
    if by in WAYS:
        given = on_device(by, (images, labels, saliency))
        mixed, weights = timed(partial(*mixer_of(case.mixer, given)))
    elif by == OUR_MIXUP:
        mixed, weights = timed(partial(*mixer_of("MixUp", (images, labels))))
    else:
        kind = case.mixer if case.mixer in ("MixUp", "CutMix") else "MixUp"
        library = peers.WRITTEN_OUT if by == THEIR_MIXUP else by
        mix, weights_of = peers.MIXERS[library](kind, CLASSES)
        mixed, told = timed(partial(mix, images, labels))
        weights = weights_of(told)
    torch.testing.assert_close(mixed.mean((2, 3)), weights, rtol=0, atol=1e-4)


def mixer_of(name: str, given: Any) -> tuple[Any, ...]:
    """A mixer of ours and what it takes."""
    if name == "PuzzleMix":
        return (puzzlemix.PuzzleMix(num_classes=CLASSES, grids=(GRID,)), *given)
    return (getattr(puzzlemix, name)(num_classes=CLASSES), *given[:2])


# ---- Solvers ----


def problem_of(case: Tiny) -> tuple[Tensor, ...]:
    if case.function == "grid_min_cut":
        return cut_problem(1, GRID)
    if case.function == "assignment":
        return (uniform_matrix(1, GRID, 0),)
    if case.function == "masked_transport":
        return transport_problem(1, GRID)
    if case.function in ("mix", "puzzle_plan"):
        pairs = image_pairs(1, SIDE)
        if case.function == "puzzle_plan":
            return pairs
        plan = puzzlemix.puzzle_plan(*pairs, grid=GRID)
        return (pairs.x1, pairs.x2, plan.mask, plan.source1, plan.source2)
    problem = labeling_problem(1, GRID, 3)
    if case.function == "labeling_energy":
        return (puzzlemix.alpha_beta_swap(*problem).labels, *problem)
    return problem


CALLS = [
    Tiny("grid_min_cut"),
    Tiny("alpha_beta_swap"),
    Tiny("exact_labeling"),
    Tiny("labeling_energy"),
    *(Tiny("assignment", method) for method in ("approx", "exact")),
    *(Tiny("masked_transport", method) for method in ("approx", "exact")),
    Tiny("mix"),
    Tiny("puzzle_plan"),
]


@compared(CALLS, lambda case: BASIC)
def test_call(timed, case, by):
    given = problem_of(case)
    solve = partial(call_of(puzzlemix, case), *on_device(by, given))
    expected = call_of(reference, case)(*given)
    ours = timed(solve)
    for mine, theirs in zip(parts(ours), parts(expected), strict=True):
        torch.testing.assert_close(mine.cpu(), theirs)


def call_of(backend: Any, case: Tiny) -> Callable[..., Any]:
    options: dict[str, Any] = {"method": case.method} if case.method else {}
    if case.function == "puzzle_plan":
        options = {"grid": GRID}
    return partial(getattr(backend, case.function), **options)


def parts(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else result
