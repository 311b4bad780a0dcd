"""Checks of `puzzle_mix`, `objective` and the mixers: options, grids, images, saliency, plans.

Values are read unless that would wait for a device.

Letters: B batch, N images to choose the second from, C channels, Y x X pixels, Y' x X' those of
saliency, h x w blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .contracts import MAX_LABELS, METHODS, expect_others, expect_partner
from .elementary import (
    FLOATS,
    INDICES,
    INTEGER_NUMBER,
    MAX_FLOAT,
    MAX_SIDE,
    Grid,
    Range,
    does_not_divide,
    expect_device,
    expect_dtype,
    expect_integer,
    expect_number,
    expect_one_of,
    expect_permutations,
    expect_range,
    expect_tensor,
    reads_values,
)

SMOOTHNESS = ("quadratic", "bilinear")
CUTS = ("swap", "exact")
TRANSPORTS = (*METHODS, None)

PerChannel = float | Sequence[float] | Tensor
"""One number for all channels, or one for each."""


class PuzzleOptions(NamedTuple):
    """The options of ``puzzle_mix`` but for its grids; its docstring explains them."""

    labels: int
    beta: float
    gamma: float
    eta: float
    xi: float
    neighborhood: int
    smoothness: str
    mean: PerChannel | None
    std: PerChannel | None
    cut: str = "swap"
    transport: str | None = "approx"
    cycles: int = 1


def expect_options(options: PuzzleOptions) -> None:
    """Check the options but for ``mean`` and ``std``, which `expect_per_channel` checks."""
    expect_integer("labels", options.labels, least=2, most=MAX_LABELS)
    expect_number("beta", options.beta, least=0)
    expect_number("gamma", options.gamma, least=0)
    expect_number("eta", options.eta, least=0)
    # A move costs at most 2 * xi.
    expect_number("xi", options.xi, least=0, most=MAX_FLOAT / 2)
    expect_integer("neighborhood", options.neighborhood, least=1)
    expect_one_of("smoothness", options.smoothness, SMOOTHNESS)
    expect_one_of("cut", options.cut, CUTS)
    expect_one_of("transport", options.transport, TRANSPORTS)
    expect_integer("cycles", options.cycles, least=1)


def with_std(options: PuzzleOptions, images: Tensor) -> PuzzleOptions:
    """The options, checked against the images x1 as well, as Python numbers; ``std`` becomes a
    number, or a float64 tensor [C, 1, 1] on the images' device. ``mean`` cancels in every
    difference."""
    expect_options(options)
    expect_per_channel("mean", options.mean, "x1", images)
    return options._replace(
        labels=int(options.labels),
        beta=float(options.beta),
        gamma=float(options.gamma),
        eta=float(options.eta),
        xi=float(options.xi),
        std=per_channel("std", options.std, "x1", images, positive=True),
    )


def grids_of(
    grid: int | Sequence[int],
    transport_grid: int | Sequence[int] | None,
    x1: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
) -> tuple[Grid, Grid]:
    """The cut's grid and the transport's, checked against images and saliency."""
    coarse = grid_of("grid", grid)
    fine = coarse if transport_grid is None else grid_of("transport_grid", transport_grid)
    given = {"x1": x1, "saliency1": saliency1, "saliency2": saliency2}
    expect_grids(coarse, fine, given, ("grid", "transport_grid"))
    return coarse, fine


def grid_of(name: str, grid: int | Sequence[int]) -> Grid:
    """A grid given as a side or as (rows, columns), as (rows, columns)."""
    if isinstance(grid, INTEGER_NUMBER):
        sides: tuple[Any, ...] = (grid, grid)
    elif isinstance(grid, Sequence) and not isinstance(grid, str) and len(grid) == 2:
        sides = tuple(grid)
    else:
        raise TypeError(f"{name}: expected a side or a pair (rows, columns), got {grid!r}")
    for side in sides:
        expect_integer(name, side, least=1, most=MAX_SIDE)
    return int(sides[0]), int(sides[1])


def expect_grids(grid: Grid, fine: Grid, sizes: dict[str, Tensor], names: tuple[str, str]) -> None:
    """Check the cut's grid and the transport's against images and saliency maps, given by name."""
    for of, tensor in sizes.items():
        rows, columns = tensor.shape[-2:]
        for name, (height, width) in ((names[0], grid), (names[1], fine)):
            if not (height and width and rows and columns) or rows % height or columns % width:
                raise does_not_divide(name, (height, width), f"{of} of {rows}x{columns}")
    if fine[0] % grid[0] or fine[1] % grid[1]:
        raise ValueError(
            f"{names[1]}: expected a multiple of the cut's grid of {grid[0]}x{grid[1]}, "
            f"got {fine[0]}x{fine[1]}"
        )


def expect_dividing(
    grids: Sequence[tuple[Grid, Grid]], sizes: dict[str, Tensor]
) -> list[tuple[Grid, Grid]]:
    """The default grids of a mixer (the cut's and the transport's) that divide all of the sizes.

    If there are none, raises an error that names grids which do.
    """
    sides = [math.gcd(*(each.shape[dim] for each in sizes.values())) for dim in (-2, -1)]
    rows, columns = sides
    cut = [pair for pair in grids if not (rows % pair[0][0] or columns % pair[0][1])]
    dividing = [pair for pair in cut if not (rows % pair[1][0] or columns % pair[1][1])]
    if dividing:
        return dividing
    for grid, fine in cut[:1]:
        expect_grids(grid, fine, sizes, ("grids", "transport_grid"))
    both = " and ".join(f"{of} of {x.shape[-2]}x{x.shape[-1]}" for of, x in sizes.items())
    raise ValueError(
        f"grids: expected some that divide {both}, such as {_grids_that_divide(*sides)}; "
        f"none of the default ones does"
    )


def _grids_that_divide(rows: int, columns: int) -> str:
    """Grids of more than one block that divide the sizes; squares if there are any."""

    def divisors(side: int) -> list[int]:
        return [d for d in range(2, MAX_SIDE + 1) if side % d == 0]

    if squares := divisors(math.gcd(rows, columns)):
        return ", ".join(map(str, squares))
    return str(tuple(max(divisors(side), default=1) for side in (rows, columns)))


def expect_pairs(
    x1: Tensor, x2: Tensor, saliency1: Tensor, saliency2: Tensor, partner: Tensor | None = None
) -> None:
    """Check images [B, C, Y, X] and [N, C, Y, X] of one type and device, and saliency [B, Y', X']
    and [N, Y', X'] on that device; N = B unless there are partners [B]."""
    expect_images("x1", x1)
    expect_tensor("x2", x2)
    if partner is not None:
        expect_tensor("partner", partner)
        expect_partner(partner, x1)
    expect_others(x2, x1, partner)
    expect_saliency("saliency1", saliency1, "x1", x1)
    expect_saliency("saliency2", saliency2, "x2", x2)


def expect_images(name: str, images: Tensor) -> None:
    """Check images [B, C, Y, X] of a floating dtype."""
    expect_tensor(name, images)
    expect_dtype(name, images, FLOATS)
    expect_image_shape(name, images)


def expect_image_shape(name: str, images: Tensor) -> None:
    """Check for the shape [B, C, Y, X]."""
    if images.dim() != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{name}: expected shape [B, C, Y, X], got {list(images.shape)}")


def expect_saliency(name: str, saliency: Tensor, of: str, images: Tensor) -> None:
    """Check saliency [B, Y', X'] of any floating dtype."""
    _expect_plane(name, saliency, "[B, Y, X]", FLOATS, of, images)


def expect_mask(mask: Tensor, x1: Tensor) -> None:
    """Check a mask [B, h, w] of any floating dtype, and its values if `reads_values` allows."""
    _expect_plane("mask", mask, "[B, h, w]", FLOATS, "x1", x1)
    if reads_values(mask):
        expect_range("mask", mask, Range(0, 1))


def expect_sources(source1: Tensor | None, source2: Tensor | None, x1: Tensor) -> None:
    """Check permutations [B, h', w'] on one grid, and their values if `reads_values` allows."""
    for name, source in (("source1", source1), ("source2", source2)):
        if source is not None:
            _expect_plane(name, source, "[B, h, w]", INDICES, "x1", x1)
            if reads_values(source):
                expect_permutations(name, source)
    if source1 is not None and source2 is not None and source1.shape != source2.shape:
        raise ValueError(
            f"source2: expected the grid of source1, {list(source1.shape)}, "
            f"got {list(source2.shape)}"
        )


def _expect_plane(
    name: str, values: Tensor, layout: str, dtypes: tuple[torch.dtype, ...], of: str, images: Tensor
) -> None:
    """Check a tensor [B, h, w] on the device of the images named ``of``."""
    expect_tensor(name, values)
    expect_dtype(name, values, dtypes)
    batch = images.shape[0]
    if values.dim() != 3 or values.shape[0] != batch:
        raise ValueError(
            f"{name}: expected shape {layout} with B = {batch}, as in {of}, "
            f"got {list(values.shape)}"
        )
    expect_device(name, values, of, images)


def mixing_ratio(lam: float | Tensor, x1: Tensor) -> float | Tensor:
    """lambda as a number, or as a tensor [B] on the device of x1, in its own floating dtype."""
    if not isinstance(lam, Tensor):
        expect_number("lam", lam, least=0, most=1)
        return float(lam)
    batch = x1.shape[0]
    expect_dtype("lam", lam, FLOATS)
    if lam.dim() > 1 or (lam.dim() == 1 and lam.shape[0] != batch):
        raise ValueError(
            f"lam: expected a number or shape [B] with B = {batch}, as in x1, got {list(lam.shape)}"
        )
    if not lam.is_cpu:
        expect_device("lam", lam, "x1", x1)
    if lam.requires_grad:
        lam = lam.detach()
    if lam.device != x1.device:
        if reads_values(lam):
            expect_range("lam", lam, Range(0, 1))
        # Non-blocking, so that lambda drawn on the CPU doesn't wait for the device.
        lam = lam.to(x1.device, non_blocking=True)
    return lam if lam.dim() == 1 else lam.expand(batch)


def per_channel(
    name: str, value: PerChannel | None, of: str, images: Tensor, *, positive: bool = False
) -> float | Tensor | None:
    """A number, or a float64 tensor [C, 1, 1] on the images' device with one for each channel."""
    numbers = expect_per_channel(name, value, of, images, positive=positive)
    if numbers is None or isinstance(numbers, Tensor):
        return None if numbers is None else numbers.detach().double().reshape(-1, 1, 1)
    return numbers[0] if len(numbers) == 1 else constants(numbers, images.device).view(-1, 1, 1)


def expect_per_channel(
    name: str, value: PerChannel | None, of: str, images: Tensor, *, positive: bool = False
) -> Sequence[float] | Tensor | None:
    """Check one number for all channels or one for each; numbers are returned as a list."""
    numbers = expect_numbers(name, value, positive=positive)
    if isinstance(numbers, Tensor):
        _expect_channels(name, numbers.numel(), images, f"shape {list(numbers.shape)}")
        expect_device(name, numbers, of, images)
    elif numbers is not None:
        _expect_channels(name, len(numbers), images, str(len(numbers)))
    return numbers


def expect_numbers(
    name: str, value: PerChannel | None, *, positive: bool = False
) -> Sequence[float] | Tensor | None:
    """Check what is one number or several, for any number of channels."""
    if value is None:
        return None
    wanted = "positive numbers" if positive else "finite numbers"
    if isinstance(value, Tensor):
        expect_dtype(name, value, FLOATS)
        if reads_values(value):
            good = value.isfinite() & (value > 0) if positive else value.isfinite()
            if not bool(good.all()):
                raise ValueError(f"{name}: expected {wanted}, got {value.tolist()}")
        return value
    if isinstance(value, str) or not isinstance(value, (Iterable, Real)):
        raise TypeError(
            f"{name}: expected a number, a sequence or a tensor, got {type(value).__name__}"
        )
    numbers: list[Any] = [value] if isinstance(value, Real) else list(value)
    for number in numbers:
        expect_number(name, number)
        if positive and not number > 0:
            raise ValueError(f"{name}: expected {wanted}, got {number}")
    return [float(number) for number in numbers]


def _expect_channels(name: str, count: int, images: Tensor, got: str) -> None:
    channels = images.shape[1]
    if count not in (1, channels):
        raise ValueError(
            f"{name}: expected one number or one for each of {channels} channels, got {got}"
        )


def constants(numbers: Sequence[float], device: torch.device) -> Tensor:
    """A float64 vector made by filling it on its device, as copying to a GPU would wait for it."""
    if device.type == "cpu":
        return torch.tensor(numbers, dtype=torch.float64, device=device)
    filled = torch.full((len(numbers),), numbers[0], dtype=torch.float64, device=device)
    for place, number in enumerate(numbers):
        if number != numbers[0]:
            filled.narrow(0, place, 1).fill_(number)
    return filled
