"""The tensors of the low-level functions, and checks of their kinds, shapes, types and devices.

A check has its function's name. It reads no data, so it works on fake tensors and while a compiler
traces.

Letters: B batch, H x W grid, L labels, N rows and M columns to assign, C channels, Y x X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .elementary import (
    FLOATS,
    INDICES,
    INTEGERS,
    MAX_SIDE,
    does_not_divide,
    expect_dense,
    expect_device,
    expect_integer,
    expect_number,
    expect_one_of,
    listed,
    type_name,
)

WHOLE = (torch.int32, torch.int64)
"""Types of costs that are solved as given; values of int64 must fit into int32."""

COSTS = FLOATS + WHOLE

MAX_LABELS = 16
MAX_ASSIGNMENT = 4096
MAX_CUDA_PIXELS = 2**31 - 1
METHODS = ("approx", "exact")
WEIGHTS = ("indicator", "mask")


class Holds(NamedTuple):
    """The values that a tensor may hold. Its dtypes follow from its function."""

    layout: str
    least: float = -math.inf
    most: float = math.inf
    """`least` and `most` are the range of its values, which are finite."""
    kind: str = "values"
    """Or "pairs": costs, of which infinity forbids a pair; "labels": integers below L;
    "permutation"; "partner": indices of images of x2; "label_cost": a semimetric; "pixels": any."""


_EDGES = {"vertical": Holds("[B, H-1, W]", least=0), "horizontal": Holds("[B, H, W-1]", least=0)}
_LABELING = {
    "unary": Holds("[B, H, W, L]"),
    **_EDGES,
    "label_cost": Holds("[L, L]", least=0, kind="label_cost"),
}

TENSORS: dict[str, dict[str, Holds]] = {
    "grid_min_cut": {
        "source_caps": Holds("[B, H, W]", least=0),
        "sink_caps": Holds("[B, H, W]", least=0),
        **_EDGES,
    },
    "alpha_beta_swap": _LABELING,
    "exact_labeling": _LABELING,
    "labeling_energy": {"labels": Holds("[B, H, W]", least=0, kind="labels"), **_LABELING},
    "assignment": {"cost": Holds("[B, N, M]", kind="pairs")},
    "masked_transport": {
        "saliency": Holds("[B, H, W]", least=0),
        "mask": Holds("[B, H, W]", least=0, most=1),
    },
    "mix": {
        "x1": Holds("[B, C, Y, X]", kind="pixels"),
        "x2": Holds("[B, C, Y, X]", kind="pixels"),
        "mask": Holds("[B, h, w]"),
        "source1": Holds("[B, h, w]", kind="permutation"),
        "source2": Holds("[B, h, w]", kind="permutation"),
        "partner": Holds("[B]", kind="partner"),
    },
    "puzzle_plan": {
        "x1": Holds("[B, C, Y, X]"),
        "x2": Holds("[N, C, Y, X]"),
        "saliency1": Holds("[B, Y, X]", least=0),
        "saliency2": Holds("[N, Y, X]", least=0),
        "lam": Holds("[B]", least=0, most=1),
        "partner": Holds("[B]", kind="partner"),
    },
}
"""The tensors of the low-level functions, in the order of their signatures."""


# ---- The checks ---------------------------------------------------------------------------------


def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> None:
    """Check the arguments of `grid_min_cut`."""
    costs = _costs("source_caps", source_caps)
    shape = _grid("grid_min_cut", "source_caps", source_caps, 3)
    first = "source_caps", source_caps
    _follows("grid_min_cut", "sink_caps", sink_caps, shape, costs, first)
    _edges("grid_min_cut", vertical, horizontal, shape, costs, first)


def labeling(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    max_cycles: int | None = None,
) -> None:
    """Check the arguments of a labelling problem: unary costs, edge weights, label cost."""
    costs = _costs("unary", unary)
    *grids, count = _grid("alpha_beta_swap", "unary", unary, 4)
    if not 2 <= count <= MAX_LABELS:
        raise ValueError(f"unary: expected 2 to {MAX_LABELS} labels, got {count}")
    first = "unary", unary
    _edges("alpha_beta_swap", vertical, horizontal, grids, costs, first)
    square = (count, count)
    _follows("alpha_beta_swap", "label_cost", label_cost, square, costs, first, or_cpu=True)
    if max_cycles is not None:
        expect_integer("max_cycles", max_cycles, least=0)


def labels(labels: Tensor, unary: Tensor) -> None:
    """Check a labelling of any integer type, whose costs ``labeling`` has accepted."""
    first = "unary", unary
    _follows("labeling_energy", "labels", labels, unary.shape[:3], INTEGERS, first)


def assignment(cost: Tensor, method: str) -> None:
    """Check the arguments of `assignment`."""
    _costs("cost", cost)
    _, rows, columns = _sizes("assignment", "cost", cost, 3)
    if max(rows, columns) > MAX_ASSIGNMENT:
        raise ValueError(
            f"cost: expected at most {MAX_ASSIGNMENT} rows and columns, got {rows}x{columns}"
        )
    expect_one_of("method", method, METHODS)


def masked_transport(saliency: Tensor, mask: Tensor, xi: float, weight: str, method: str) -> None:
    """Check the arguments of `masked_transport`."""
    shape = _grid("masked_transport", "saliency", saliency, 3)
    _expect_type("saliency", saliency, FLOATS)
    _follows("masked_transport", "mask", mask, shape, FLOATS, ("saliency", saliency))
    expect_number("xi", xi, least=0)
    expect_one_of("weight", weight, WEIGHTS)
    expect_one_of("method", method, METHODS)


def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None = None,
) -> None:
    """Check the arguments of `mix`."""
    _, _, rows, columns = _sizes("mix", "x1", x1, 4)
    _expect_type("x1", x1, FLOATS)
    if x1.is_cuda and rows * columns > MAX_CUDA_PIXELS:
        raise ValueError(
            f"x1: expected at most {MAX_CUDA_PIXELS} pixels a channel on CUDA, got {rows}x{columns}"
        )
    if partner is not None:
        expect_partner(partner, x1)
    if x2 is None:
        for name, given in (("source2", source2), ("partner", partner)):
            if given is not None:
                raise ValueError(
                    f"{name}: expected None beside an empty partner (x2 is None), "
                    f"got a tensor of shape {list(given.shape)}"
                )
    elif x2 is not x1:
        expect_others(x2, x1, partner)
    _expect_blocks("mask", mask, FLOATS, x1)
    if source1 is not None:
        _expect_blocks("source1", source1, INDICES, x1)
    if source2 is not None:
        _expect_blocks("source2", source2, INDICES, x1)


def expect_partner(partner: Tensor, x1: Tensor) -> None:
    """Check partners [B] of an integer type: the index of each pair's second image."""
    _follows("mix", "partner", partner, x1.shape[:1], INDICES, ("x1", x1))


def expect_others(x2: Tensor, x1: Tensor, partner: Tensor | None) -> None:
    """Check second images: as many as the first ones, or any number if there are partners."""
    if partner is None:
        _follows("mix", "x2", x2, x1.shape, (x1.dtype,), ("x1", x1))
        return
    count = _sizes("puzzle_plan", "x2", x2, 4)[0]
    _follows("puzzle_plan", "x2", x2, (count, *x1.shape[1:]), (x1.dtype,), ("x1", x1))
    if len(x1) and not count:
        raise ValueError("x2: expected at least one image, as partner names some, got 0")


# ---- What the checks have in common -------------------------------------------------------------

_First = tuple[str, Tensor]
"""The argument that others must agree with: its name and itself."""


def _costs(name: str, tensor: Tensor) -> tuple[torch.dtype, ...]:
    """The types that a call's other costs may have, given one: all floats, or all integers."""
    _expect_type(name, tensor, COSTS)
    return WHOLE if tensor.dtype in WHOLE else FLOATS


def _sizes(function: str, name: str, tensor: Tensor, rank: int) -> Sequence[int]:
    shape = tensor.shape
    if len(shape) != rank:
        layout = TENSORS[function][name].layout
        raise ValueError(f"{name}: expected shape {layout}, got {list(shape)}")
    return shape


def _grid(function: str, name: str, tensor: Tensor, rank: int) -> Sequence[int]:
    """The sizes [B, H, W, ...] of a tensor whose grid is one that the solvers take."""
    shape = _sizes(function, name, tensor, rank)
    if not (1 <= shape[1] <= MAX_SIDE and 1 <= shape[2] <= MAX_SIDE):
        raise ValueError(
            f"{name}: expected a grid of 1x1 to {MAX_SIDE}x{MAX_SIDE}, got {shape[1]}x{shape[2]}"
        )
    return shape


def _edges(
    function: str,
    vertical: Tensor,
    horizontal: Tensor,
    grids: Sequence[int],
    dtypes: tuple[torch.dtype, ...],
    first: _First,
) -> None:
    batch, height, width = grids
    _follows(function, "vertical", vertical, (batch, height - 1, width), dtypes, first)
    _follows(function, "horizontal", horizontal, (batch, height, width - 1), dtypes, first)


def _follows(
    function: str,
    name: str,
    tensor: Tensor,
    shape: Sequence[int],
    dtypes: tuple[torch.dtype, ...],
    first: _First,
    or_cpu: bool = False,
) -> None:
    """Check that an argument has the shape, a type and the device that the first one implies."""
    if (
        tensor.dtype in dtypes
        and tensor.shape == shape
        and tensor.device == first[1].device
        and tensor.layout is torch.strided
    ):
        return
    _expect_type(name, tensor, dtypes, first)
    if tensor.shape != shape:
        layout = TENSORS[function][name].layout
        raise ValueError(
            f"{name}: expected shape {layout} = {list(shape)}, got {list(tensor.shape)}"
        )
    if not (or_cpu and tensor.is_cpu):
        expect_device(name, tensor, *first, or_cpu=or_cpu)


def _expect_blocks(
    name: str, grid: Tensor, dtypes: tuple[torch.dtype, ...], images: Tensor
) -> None:
    """Check a tensor [B, h, w] whose grid must divide the images x1 [B, C, Y, X]."""
    _expect_type(name, grid, dtypes)
    batch, height, width = _sizes("mix", name, grid, 3)
    whole, _, rows, columns = images.shape
    if batch != whole:
        raise ValueError(f"{name}: expected a batch of {whole} as in x1, got {batch}")
    if height < 1 or width < 1 or rows % height or columns % width:
        raise does_not_divide(name, (height, width), f"the images of {rows}x{columns} pixels")
    expect_device(name, grid, "x1", images)


def _expect_type(
    name: str, tensor: Tensor, dtypes: tuple[torch.dtype, ...], first: _First | None = None
) -> None:
    """Check for a dense tensor of one of these types; errors show the first argument's type too."""
    expect_dense(name, tensor)
    if tensor.dtype not in dtypes:
        beside = f" ({first[0]} is {type_name(first[1].dtype)})" if first else ""
        raise TypeError(f"{name}: expected {listed(dtypes)}{beside}, got {type_name(tensor.dtype)}")
