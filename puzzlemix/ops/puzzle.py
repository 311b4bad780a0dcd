"""The whole decision of Puzzle Mix: function and operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..arrays import accepts_numpy
from ..results import PuzzlePlan
from ..validate.elementary import Grid
from ..validate.puzzle import (
    PerChannel,
    PuzzleOptions,
    constants,
    expect_options,
    expect_pairs,
    expect_per_channel,
    grids_of,
    mixing_ratio,
)
from .border import call, dense_index, register, solve
from .mix import memory_format, mixing_dtype

__all__ = ["planned", "puzzle_plan"]

Results = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@accepts_numpy
def puzzle_plan(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    *,
    partner: Tensor | None = None,
    grid: int | Sequence[int],
    labels: int = 3,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    xi: float = 0.8,
    neighborhood: int = 4,
    cut: str = "swap",
    transport: str | None = "approx",
    transport_grid: int | Sequence[int] | None = None,
    cycles: int = 1,
    smoothness: str = "quadratic",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> PuzzlePlan:
    """Decide how to mix pairs of images so that what is salient in each stays visible.

    A mask by a graph cut and two permutations of blocks by transports (Kim, Choo and Song, ICML
    2020, sections 3 and 4), a sample at a time from pixels to plan: images and saliency are read
    once and nothing of their size is written. ``puzzle_mix`` applies what is decided here.

    Args:
        x1: [B, C, Y, X], float16, bfloat16, float32 or float64, contiguous or channels_last; other
            layouts are copied first.
        x2: [N, C, Y, X] of x1's type, N = B without ``partner``.
        saliency1, saliency2: [B, Y', X'] and [N, Y', X'], not negative, any float types, at any
            resolution that the grids divide. A map of zeros counts as uniform.
        lam: lambda in [0, 1], the expected share of the first image; a number or [B].
        partner: [B] integers: the second image of sample b is number ``partner[b]`` of ``x2`` and
            ``saliency2``; None: number b.
        grid, labels, beta, gamma, eta, xi, neighborhood, cut: as for `puzzle_mix`.
        transport, transport_grid, cycles, smoothness, mean, std: as for `puzzle_mix`.

    Returns:
        ``mask`` [B, h, w] and ``ratio`` [B], float64 for float64 images, else float32;
        ``source1`` and ``source2`` [B, h', w'] int64 (None without transport); ``objective`` [B]
        float64.
    """
    options = PuzzleOptions(
        labels, beta, gamma, eta, xi, neighborhood, smoothness, mean, std, cut, transport, cycles
    )
    expect_pairs(x1, x2, saliency1, saliency2, partner)
    expect_options(options)
    coarse, fine = grids_of(grid, transport_grid, x1, saliency1, saliency2)
    return planned(x1, x2, saliency1, saliency2, lam, partner, coarse, fine, options)


def planned(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    partner: Tensor | None,
    grid: Grid,
    fine: Grid,
    options: PuzzleOptions,
    judged: bool = True,
) -> PuzzlePlan:
    """`puzzle_plan` of pairs, grids and options that have been checked.

    ``judged``: compute the objective, for which pairs whose blocks move are measured a second time;
    otherwise it is an empty tensor.
    """
    ratio = mixing_ratio(lam, x1)
    expect_per_channel("mean", options.mean, "x1", x1)
    std = expect_per_channel("std", options.std, "x1", x1, positive=True)
    if isinstance(std, list) and len(std) > _MOST_NUMBERS:
        std = constants(std, x1.device)
    moves = options.transport is not None
    mask, share, source1, source2, objective = call(
        "puzzle_plan",
        *_Arguments(
            x1,
            x2,
            saliency1,
            saliency2,
            lam=None if isinstance(ratio, float) else ratio,
            partner=partner,
            std_values=std if isinstance(std, Tensor) else None,
            lam_number=ratio if isinstance(ratio, float) else 0.0,
            std=std if isinstance(std, list) else [],
            grids=[*grid, *(fine if moves else grid)],
            labels=options.labels,
            weights=[
                float(options.beta),
                float(options.gamma),
                float(options.eta),
                float(options.xi),
            ],
            neighborhood=min(options.neighborhood, 2**31 - 1),
            bilinear=options.smoothness == "bilinear",
            exact_cut=options.cut == "exact",
            transport=_TRANSPORTS[options.transport],
            cycles=min(options.cycles, 2**63 - 1),
            judged=judged,
        ),
    )
    if not moves:
        source1 = source2 = None
    return PuzzlePlan(mask, share, source1, source2, objective)


# The numbers of enum Transport in csrc/puzzle/puzzle.h.
_TRANSPORTS = {None: 0, "approx": 1, "exact": 2}
_MOST_NUMBERS = 16


# ---- The operator -------------------------------------------------------------------------------


class _Arguments(NamedTuple):
    """The operator's arguments, in its order."""

    x1: Tensor
    x2: Tensor
    saliency1: Tensor
    saliency2: Tensor
    lam: Tensor | None
    partner: Tensor | None
    std_values: Tensor | None
    lam_number: float
    std: Sequence[float]
    grids: Sequence[int]
    """h and w of the cut, h' and w' of the transport."""
    labels: int
    weights: Sequence[float]
    """beta, gamma, eta and xi."""
    neighborhood: int
    bilinear: bool
    exact_cut: bool
    transport: int
    cycles: int
    judged: bool


def _like(*arguments: Any) -> Results:
    return _results(_Arguments(*arguments))


def _results(given: _Arguments) -> Results:
    batch, device, real = given.x1.shape[0], given.x1.device, mixing_dtype(given.x1)
    height, width, fine_height, fine_width = given.grids
    moved = (batch, fine_height, fine_width) if given.transport else (0,)
    return (
        torch.empty(batch, height, width, dtype=real, device=device),
        torch.empty(batch, dtype=real, device=device),
        torch.empty(*moved, dtype=torch.int64, device=device),
        torch.empty(*moved, dtype=torch.int64, device=device),
        torch.empty(batch if given.judged else 0, dtype=torch.float64, device=device),
    )


def _plan(*arguments: Any) -> Results:
    given = _Arguments(*arguments)
    format = memory_format(given.x1)
    mask, ratio, source1, source2, objective = results = _results(given)
    std = given.std_values
    problem: dict[str, object] = {
        "x1": given.x1.contiguous(memory_format=format),
        "x2": given.x2.contiguous(memory_format=format),
        "channels_last": format is torch.channels_last,
        "saliency1": given.saliency1.contiguous(),
        "saliency2": given.saliency2.contiguous(),
        "partner": dense_index(given.partner),
        "lam": None if given.lam is None else given.lam.contiguous(),
        "lam_number": given.lam_number,
        "std": given.std,
        "std_values": None if std is None else std.contiguous().view(-1),
        "grids": given.grids,
        "labels": given.labels,
        "weights": given.weights,
        "neighborhood": given.neighborhood,
        "bilinear": given.bilinear,
        "exact_cut": given.exact_cut,
        "transport": given.transport,
        "cycles": given.cycles,
        "mask": mask,
        "ratio": ratio,
        "source1": source1,
        "source2": source2,
        "objective": objective if given.judged else None,
    }
    solve("puzzle_plan", given[:6], mask, problem)
    return results


register(
    "puzzle_plan(Tensor x1, Tensor x2, Tensor saliency1, Tensor saliency2, Tensor? lam,"
    " Tensor? partner, Tensor? std_values, float lam_number, float[] std, SymInt[] grids,"
    " int labels, float[] weights, int neighborhood, bool bilinear, bool exact_cut, int transport,"
    " int cycles, bool judged) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _like,
    _plan,
)
