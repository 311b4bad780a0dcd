"""What may be asked of Puzzle Mix, checked and worded in one place.

The contracts of ``puzzle_mix``, ``objective`` and the mixers; those of the low-level functions are
in ``check``. As there, TypeError is for a wrong kind of object or element type, ValueError for a
shape, a device, a number out of range, an unknown name or bad values, and each message names the
argument, what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .check import FLOATS, INDICES, MAX_LABELS, MAX_SIDE, debugging

__all__ = [
    "Grid",
    "Model",
    "PerChannel",
    "constants",
    "expect_device",
    "expect_divides",
    "expect_dtype",
    "expect_grids",
    "expect_images",
    "expect_integer",
    "expect_mask",
    "expect_model",
    "expect_number",
    "expect_one_of",
    "expect_pairs",
    "expect_range",
    "expect_saliency",
    "expect_sources",
    "expect_tensor",
    "grid_of",
    "mixing_ratio",
    "model_of",
    "per_channel",
    "reads_values",
]

Grid = tuple[int, int]
"""Rows and columns of blocks."""

PerChannel = float | Sequence[float] | Tensor
"""One number for all channels or one for each."""

SMOOTHNESS = ("quadratic", "bilinear")


class Model(NamedTuple):
    """The weights of the objective; ``puzzle_mix`` says what each of them is."""

    labels: int
    beta: float
    gamma: float
    eta: float
    xi: float
    neighborhood: int
    smoothness: str
    std: float | Tensor | None
    """One number, or [C, 1, 1] float64 beside the images; ``mean`` cancels in every difference."""


def model_of(
    images: Tensor,
    *,
    labels: int,
    beta: float,
    gamma: float,
    eta: float,
    xi: float,
    neighborhood: int,
    smoothness: str,
    mean: PerChannel | None,
    std: PerChannel | None,
) -> Model:
    """The weights of the objective, each within its range, for the images x1."""
    expect_model(labels, beta, gamma, eta, xi, neighborhood, smoothness)
    expect_per_channel("mean", mean, "x1", images)
    scale = per_channel("std", std, "x1", images, positive=True)
    weights = (float(beta), float(gamma), float(eta), float(xi))
    return Model(int(labels), *weights, int(neighborhood), smoothness, scale)


def expect_model(
    labels: int,
    beta: float,
    gamma: float,
    eta: float,
    xi: float,
    neighborhood: int,
    smoothness: str,
) -> None:
    """Refuse weights of the objective that are out of range whatever the images."""
    expect_integer("labels", labels, least=2, most=MAX_LABELS)
    for name, value in (("beta", beta), ("gamma", gamma), ("eta", eta), ("xi", xi)):
        expect_number(name, value, least=0)
    expect_integer("neighborhood", neighborhood, least=1)
    expect_one_of("smoothness", smoothness, SMOOTHNESS)


def grid_of(name: str, grid: int | Sequence[int]) -> Grid:
    """A side or (rows, columns), as (rows, columns)."""
    if isinstance(grid, Integral):
        sides: tuple[Any, ...] = (grid, grid)
    elif isinstance(grid, Sequence) and not isinstance(grid, str) and len(grid) == 2:
        sides = tuple(grid)
    else:
        raise TypeError(f"{name}: expected a side or a pair (rows, columns), got {grid!r}")
    for side in sides:
        expect_integer(name, side, least=1, most=MAX_SIDE)
    return int(sides[0]), int(sides[1])


def expect_divides(name: str, grid: Grid, of: str, sizes: Sequence[int]) -> None:
    """Refuse a grid that doesn't divide the last two of ``sizes``, those of the argument ``of``."""
    rows, columns = sizes[-2], sizes[-1]
    if min(grid) < 1 or min(rows, columns) < 1 or rows % grid[0] or columns % grid[1]:
        raise ValueError(
            f"{name}: expected a grid that divides {of} of {rows}x{columns}, "
            f"got {grid[0]}x{grid[1]}"
        )


def expect_grids(grid: Grid, fine: Grid, sizes: dict[str, Tensor], names: tuple[str, str]) -> None:
    """Hold the cut's grid and the transport's against images and saliency maps, given by name."""
    for of, tensor in sizes.items():
        expect_divides(names[0], grid, of, tensor.shape)
        expect_divides(names[1], fine, of, tensor.shape)
    if fine[0] % grid[0] or fine[1] % grid[1]:
        raise ValueError(
            f"{names[1]}: expected a multiple of the cut's grid of {grid[0]}x{grid[1]}, "
            f"got {fine[0]}x{fine[1]}"
        )


def expect_pairs(x1: Tensor, x2: Tensor, saliency1: Tensor, saliency2: Tensor) -> None:
    """Images [B, C, Y, X] of one kind, saliency [B, Y', X'] beside them."""
    expect_images("x1", x1)
    expect_tensor("x2", x2)
    if x2.shape != x1.shape:
        raise ValueError(f"x2: expected the shape of x1, {list(x1.shape)}, got {list(x2.shape)}")
    if x2.dtype != x1.dtype:
        raise TypeError(f"x2: expected the dtype of x1, {x1.dtype}, got {x2.dtype}")
    expect_device("x2", x2, "x1", x1)
    expect_saliency("saliency1", saliency1, "x1", x1)
    expect_saliency("saliency2", saliency2, "x2", x2)


def expect_images(name: str, images: Tensor) -> None:
    """Images [B, C, Y, X] of a floating dtype."""
    expect_tensor(name, images)
    expect_dtype(name, images, FLOATS)
    if images.dim() != 4 or min(images.shape[1:]) < 1:
        raise ValueError(f"{name}: expected shape [B, C, Y, X], got {list(images.shape)}")


def expect_saliency(name: str, saliency: Tensor, of: str, images: Tensor) -> None:
    """Saliency [B, Y', X'] of any floating dtype; its values are read where they may be."""
    _expect_plane(name, saliency, "[B, Y, X]", FLOATS, of, images)
    if reads_values(saliency):
        expect_range(name, saliency, least=0)


def expect_mask(mask: Tensor, of: str, images: Tensor) -> None:
    """A mask [B, h, w] of any floating dtype; its values are read where they may be."""
    _expect_plane("mask", mask, "[B, h, w]", FLOATS, of, images)
    if reads_values(mask):
        expect_range("mask", mask, least=0, most=1)


def expect_sources(source1: Tensor | None, source2: Tensor | None, of: str, images: Tensor) -> None:
    """Permutations [B, h', w'] on one grid; their values are read where they may be."""
    for name, source in (("source1", source1), ("source2", source2)):
        if source is not None:
            _expect_plane(name, source, "[B, h, w]", INDICES, of, images)
            if reads_values(source):
                _expect_permutations(name, source)
    if source1 is not None and source2 is not None and source1.shape != source2.shape:
        raise ValueError(
            f"source2: expected the grid of source1, {list(source1.shape)}, "
            f"got {list(source2.shape)}"
        )


def mixing_ratio(lam: float | Tensor, of: str, images: Tensor) -> Tensor:
    """lambda as float64: [B] beside the images, from a tensor [] or [B]; from a number, [].

    That is on the CPU, where it stays: kernels take it by value.
    """
    batch = len(images)
    if isinstance(lam, Tensor):
        expect_dtype("lam", lam, FLOATS)
        if lam.dim() > 1 or (lam.dim() == 1 and len(lam) != batch):
            raise ValueError(
                f"lam: expected a number or shape [B] with B = {batch}, as in {of}, "
                f"got {list(lam.shape)}"
            )
        if lam.device.type != "cpu":
            expect_device("lam", lam, of, images)
        if reads_values(lam):
            expect_range("lam", lam, least=0, most=1)
        # Non-blocking, so that a draw from a generator on the CPU doesn't wait for the device.
        return lam.detach().to(images.device, torch.float64, non_blocking=True).expand(batch)
    expect_number("lam", lam, least=0, most=1)
    return torch.full((), float(lam), dtype=torch.float64, device="cpu")


def per_channel(
    name: str, value: PerChannel | None, of: str, images: Tensor, *, positive: bool = False
) -> float | Tensor | None:
    """One number, or one a channel as [C, 1, 1] float64 beside the images."""
    numbers = expect_per_channel(name, value, of, images, positive=positive)
    if numbers is None or isinstance(numbers, Tensor):
        return None if numbers is None else numbers.detach().double().reshape(-1, 1, 1)
    return numbers[0] if len(numbers) == 1 else constants(numbers, images.device).view(-1, 1, 1)


def expect_per_channel(
    name: str, value: PerChannel | None, of: str, images: Tensor, *, positive: bool = False
) -> Sequence[float] | Tensor | None:
    """One number for all channels or one for each, checked; numbers as a list."""
    if value is None:
        return None
    channels = images.shape[1]
    if isinstance(value, Tensor):
        expect_dtype(name, value, FLOATS)
        if value.numel() != 1 and value.shape.numel() != channels:
            raise ValueError(
                f"{name}: expected one number or one for each of {channels} channels, "
                f"got shape {list(value.shape)}"
            )
        expect_device(name, value, of, images)
        if positive and reads_values(value) and not bool((value > 0).all()):
            raise ValueError(f"{name}: expected positive numbers, got {value.tolist()}")
        return value
    numbers: list[Any] = [value] if isinstance(value, Real) else list(_iterable(name, value))
    for number in numbers:
        expect_number(name, number)
        if positive and not number > 0:
            raise ValueError(f"{name}: expected positive numbers, got {number}")
    if len(numbers) != 1 and len(numbers) != channels:
        raise ValueError(
            f"{name}: expected one number or one for each of {channels} channels, "
            f"got {len(numbers)}"
        )
    return [float(number) for number in numbers]


def constants(numbers: Sequence[float], device: torch.device) -> Tensor:
    """A vector of float64 on any device, filled there: a copy to the GPU would wait for it."""
    if device.type == "cpu":
        return torch.tensor(numbers, dtype=torch.float64, device=device)
    filled = torch.full((len(numbers),), numbers[0], dtype=torch.float64, device=device)
    for place, number in enumerate(numbers):
        if number != numbers[0]:
            filled.narrow(0, place, 1).fill_(number)
    return filled


def reads_values(tensor: Tensor) -> bool:
    """Whether values may be looked at: not while a compiler traces, and on CUDA if debugging."""
    if torch.compiler.is_compiling():
        return False
    return tensor.device.type == "cpu" or debugging()


def expect_range(
    name: str, tensor: Tensor, *, least: float = -math.inf, most: float = math.inf
) -> None:
    """Read the values: all finite and within the limits."""
    if tensor.numel() == 0:
        return
    low, high = (float(extreme) for extreme in tensor.detach().aminmax())
    if least <= low and high <= most and -math.inf < low and high < math.inf:
        return
    wanted = f"values from {least} to {most}"
    if most == math.inf:
        wanted = "finite values" if least == -math.inf else f"finite values of at least {least}"
    wrong = ~tensor.isfinite() | (tensor < least) | (tensor > most)
    place = wrong.nonzero()[0].tolist()
    raise ValueError(f"{name}: expected {wanted}, got {float(tensor[tuple(place)])} at {place}")


def expect_tensor(name: str, value: object) -> None:
    """A tensor, and nothing that could be made one."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def expect_dtype(name: str, tensor: Tensor, dtypes: Sequence[torch.dtype]) -> None:
    """One of some dtypes."""
    if tensor.dtype not in dtypes:
        listed = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(f"{name}: expected dtype {listed}, got {tensor.dtype}")


def expect_device(name: str, tensor: Tensor, of: str, other: Tensor) -> None:
    """Two tensors on one device."""
    if tensor.device != other.device:
        raise ValueError(
            f"{name}: expected the device of {of}, {other.device}, got {tensor.device}"
        )


def expect_number(
    name: str, value: object, *, least: float = -math.inf, most: float = math.inf
) -> None:
    """A finite number within the limits."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    number = float(value)
    if not (least <= number <= most and -math.inf < number < math.inf):
        wanted = f"a number from {least} to {most}"
        if most == math.inf:
            wanted = "a finite number" + (f" of at least {least}" if least > -math.inf else "")
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_integer(name: str, value: object, *, least: int, most: int | None = None) -> None:
    """An integer within the limits."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if int(value) < least or (most is not None and int(value) > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_one_of(name: str, value: object, names: Sequence[str | None]) -> None:
    """One of the names there are."""
    if value not in names:
        listed = " or ".join(map(repr, names))
        raise ValueError(f"{name}: expected {listed}, got {value!r}")


def _iterable(name: str, value: object) -> Iterable[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(
            f"{name}: expected a number, a sequence or a tensor, got {type(value).__name__}"
        )
    return value


def _expect_plane(
    name: str,
    values: Tensor,
    layout: str,
    dtypes: Sequence[torch.dtype],
    of: str,
    images: Tensor,
) -> None:
    """Two dimensions a sample, beside the images named ``of``."""
    expect_tensor(name, values)
    expect_dtype(name, values, dtypes)
    if values.dim() != 3 or len(values) != len(images):
        raise ValueError(
            f"{name}: expected shape {layout} with B = {len(images)}, as in {of}, "
            f"got {list(values.shape)}"
        )
    expect_device(name, values, of, images)


def _expect_permutations(name: str, source: Tensor) -> None:
    """Read the values: each sample of [B, h, w] holds 0 to h*w - 1, each once."""
    blocks = source.shape[1] * source.shape[2]
    places = torch.arange(blocks, device=source.device)
    wrong = (source.flatten(1).sort(1).values != places).any(1)
    if bool(wrong.any()):
        sample = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name}: expected a permutation of 0 to {blocks - 1} in each sample, "
            f"got {source[sample].tolist()} in sample {sample}"
        )
