"""All checks of arguments, and the words of their errors.

The first part checks the low-level functions. A check that has its function's name reads kinds,
shapes, types and devices but no data, so it works on fake tensors and while a compiler traces.
`expect_values` reads the data, and `refused` words the fault that a compiled solver found in it.
The second part checks `puzzle_mix`, `objective` and the mixers. Its checks are named `expect_...`
and read values unless that would wait for a device.

TypeError: a wrong kind of object or element type. ValueError: a wrong shape or device, a number out
of range, an unknown name, bad values. Each message names the argument, what was expected and what
came; messages are built only when a check fails.

Letters: B batch, H x W grid, L labels, N things to assign, C channels, Y x X pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Rational, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import integers

__all__ = [
    "FLOATS",
    "INDICES",
    "MAX_LABELS",
    "MAX_SIDE",
    "Fault",
    "Grid",
    "PerChannel",
    "PuzzleOptions",
    "assignment",
    "constants",
    "debug",
    "debugging",
    "expect_allowed",
    "expect_device",
    "expect_divides",
    "expect_dividing",
    "expect_dtype",
    "expect_finite_costs",
    "expect_grids",
    "expect_images",
    "expect_int32",
    "expect_integer",
    "expect_mask",
    "expect_number",
    "expect_one_of",
    "expect_options",
    "expect_pairs",
    "expect_range",
    "expect_saliency",
    "expect_sources",
    "expect_tensor",
    "expect_values",
    "grid_min_cut",
    "grid_of",
    "grids_of",
    "labeling",
    "labels",
    "masked_transport",
    "mix",
    "mixing_ratio",
    "per_channel",
    "reads_values",
    "refused",
    "with_std",
]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int32, torch.int64)
"""Types of costs that are solved as given; values of int64 must fit into int32."""
COSTS = FLOATS + WHOLE
_STRIDED = torch.strided
INDICES = (torch.int64, torch.int32)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

MAX_FLOAT = sys.float_info.max
MAX_SIDE = 64
MAX_LABELS = 16
MAX_ASSIGNMENT = 4096
MAX_CUDA_PIXELS = 2**31 - 1
METHODS = ("approx", "exact")
WEIGHTS = ("indicator", "mask")
SMOOTHNESS = ("quadratic", "bilinear")
CUTS = ("swap", "exact")
TRANSPORTS = ("approx", "exact", None)

Grid = tuple[int, int]
"""Rows and columns of blocks."""

PerChannel = float | Sequence[float] | Tensor
"""One number for all channels, or one for each."""

_debugging = False


def debug(enabled: bool = True) -> None:
    """Check values on CUDA too, at the price of waiting for the device at each call."""
    global _debugging
    _debugging = bool(enabled)


def debugging() -> bool:
    """Whether `debug(True)` was called last."""
    return _debugging


# ---- The values that tensors of low-level functions may hold ------------------------------------


class Holds(NamedTuple):
    """The values that a tensor may hold. Its dtypes follow from its function."""

    layout: str
    least: float = -math.inf
    most: float = math.inf
    """`least` and `most` are the range of its values, which are finite."""
    kind: str = "values"
    """Or "pairs": costs, of which infinity forbids a pair; "labels": integers below L;
    "permutation"; "partner": indices of images of x2; "label_cost": a semimetric; "pixels": any."""


_Table = dict[str, Holds]
_CAPACITY = Holds("[B, H, W]", least=0)
_PIXELS = Holds("[B, C, Y, X]", kind="pixels")
_SOURCE = Holds("[B, h, w]", least=0, kind="permutation")

_EDGES = {"vertical": Holds("[B, H-1, W]", least=0), "horizontal": Holds("[B, H, W-1]", least=0)}
_CUT = {"source_caps": _CAPACITY, "sink_caps": _CAPACITY, **_EDGES}
_LABELING = {
    "unary": Holds("[B, H, W, L]"),
    **_EDGES,
    "label_cost": Holds("[L, L]", least=0, kind="label_cost"),
}
_ENERGY = {"labels": Holds("[B, H, W]", least=0, kind="labels"), **_LABELING}
_ASSIGNMENT = {"cost": Holds("[B, N, M]", kind="pairs")}
_TRANSPORT = {"saliency": _CAPACITY, "mask": Holds("[B, H, W]", least=0, most=1)}
_PARTNER = Holds("[B]", least=0, kind="partner")
_MIX = {
    "x1": _PIXELS,
    "x2": _PIXELS,
    "mask": Holds("[B, h, w]"),
    "source1": _SOURCE,
    "source2": _SOURCE,
    "partner": _PARTNER,
}
_PUZZLE = {
    "x1": Holds("[B, C, Y, X]"),
    "x2": Holds("[N, C, Y, X]"),
    "saliency1": Holds("[B, Y, X]", least=0),
    "saliency2": Holds("[N, Y, X]", least=0),
    "lam": Holds("[B]", least=0, most=1),
    "partner": _PARTNER,
}

TENSORS: dict[str, _Table] = {
    "grid_min_cut": _CUT,
    "alpha_beta_swap": _LABELING,
    "exact_labeling": _LABELING,
    "labeling_energy": _ENERGY,
    "assignment": _ASSIGNMENT,
    "masked_transport": _TRANSPORT,
    "mix": _MIX,
    "puzzle_plan": _PUZZLE,
}
"""The tensors of the low-level functions, in the order of their signatures."""


# ---- Kinds, shapes, types and devices of the low-level functions --------------------------------


def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> None:
    """Check the arguments of `grid_min_cut`."""
    dtypes = _costs("source_caps", source_caps)
    batch, height, width = _sizes(_CUT, "source_caps", source_caps, 3)
    _expect_grid("source_caps", height, width)
    first = "source_caps", source_caps, source_caps.dtype, source_caps.device
    _follows(_CUT, "sink_caps", sink_caps, (batch, height, width), dtypes, first)
    _edges(vertical, horizontal, batch, height, width, dtypes, first)


def labeling(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    max_cycles: int | None = None,
) -> None:
    """Check the arguments of a labelling problem: unary costs, edge weights, label cost."""
    dtypes = _costs("unary", unary)
    batch, height, width, count = _sizes(_LABELING, "unary", unary, 4)
    _expect_grid("unary", height, width)
    if not 2 <= count <= MAX_LABELS:
        raise ValueError(f"unary: expected 2 to {MAX_LABELS} labels, got {count}")
    first = "unary", unary, unary.dtype, unary.device
    _edges(vertical, horizontal, batch, height, width, dtypes, first)
    _follows(_LABELING, "label_cost", label_cost, (count, count), dtypes, first, or_cpu=True)
    if max_cycles is not None:
        if not isinstance(max_cycles, int) or isinstance(max_cycles, bool):
            raise TypeError(f"max_cycles: expected an int or None, got {type(max_cycles).__name__}")
        expect_integer("max_cycles", max_cycles, least=0)


def labels(labels: Tensor, unary: Tensor) -> None:
    """Check a labelling of any integer type, whose costs ``labeling`` has accepted."""
    first = "unary", unary, torch.int64, unary.device
    _follows(_ENERGY, "labels", labels, tuple(unary.shape[:3]), INTEGERS, first)


def assignment(cost: Tensor, method: str) -> None:
    """Check the arguments of `assignment`."""
    _costs("cost", cost)
    _, rows, columns = _sizes(_ASSIGNMENT, "cost", cost, 3)
    if max(rows, columns) > MAX_ASSIGNMENT:
        raise ValueError(
            f"cost: expected at most {MAX_ASSIGNMENT} rows and columns, got {rows}x{columns}"
        )
    expect_one_of("method", method, METHODS)


def masked_transport(saliency: Tensor, mask: Tensor, xi: float, weight: str, method: str) -> None:
    """Check the arguments of `masked_transport`."""
    batch, height, width = _sizes(_TRANSPORT, "saliency", saliency, 3)
    _expect_grid("saliency", height, width)
    _expect_dense("saliency", saliency, FLOATS)
    first = "saliency", saliency, saliency.dtype, saliency.device
    _follows(_TRANSPORT, "mask", mask, (batch, height, width), FLOATS, first)
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
    rows, columns = _sizes(_MIX, "x1", x1, 4)[2:]
    _expect_dense("x1", x1, FLOATS)
    if x1.is_cuda and rows * columns > MAX_CUDA_PIXELS:
        raise ValueError(
            f"x1: expected at most {MAX_CUDA_PIXELS} pixels a channel on CUDA, got {rows}x{columns}"
        )
    first = "x1", x1, x1.dtype, x1.device
    if partner is not None:
        _expect_partner(partner, x1)
    if x2 is None:
        for name, given in (("source2", source2), ("partner", partner)):
            if given is not None:
                raise ValueError(
                    f"{name}: expected None beside an empty partner (x2 is None), "
                    f"got a tensor of shape {list(given.shape)}"
                )
    elif x2 is not x1:
        _expect_others("x2", x2, x1, partner, first)
    _expect_blocks("mask", mask, FLOATS, x1)
    if source1 is not None:
        _expect_blocks("source1", source1, INDICES, x1)
    if source2 is not None:
        _expect_blocks("source2", source2, INDICES, x1)


def _expect_partner(partner: Tensor, x1: Tensor) -> None:
    """Check partners [B] of an integer type: the index of each pair's second image."""
    first = "x1", x1, torch.int64, x1.device
    _follows(_PUZZLE, "partner", partner, (x1.shape[0],), INDICES, first)


def _expect_others(
    name: str, x2: Tensor, x1: Tensor, partner: Tensor | None, first: _First
) -> None:
    """Check second images: as many as the first ones, or any number if there are partners."""
    if partner is None:
        _follows(_MIX, name, x2, tuple(x1.shape), (x1.dtype,), first)
        return
    count = _sizes(_PUZZLE, name, x2, 4)[0]
    _follows(_PUZZLE, name, x2, (count, *x1.shape[1:]), (x1.dtype,), first)
    if len(x1) and not count:
        raise ValueError(f"{name}: expected at least one image, as partner names some, got 0")


def _costs(name: str, tensor: Tensor) -> tuple[torch.dtype, ...]:
    """The types that a call's other costs may have, given one: all floats, or all integers."""
    _expect_dense(name, tensor, COSTS)
    return WHOLE if tensor.dtype in WHOLE else FLOATS


def _sizes(table: _Table, name: str, tensor: Tensor, rank: int) -> Sequence[int]:
    shape = tensor.shape
    if len(shape) != rank:
        raise ValueError(f"{name}: expected shape {table[name].layout}, got {list(shape)}")
    return shape


def _expect_grid(name: str, height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(
            f"{name}: expected a grid of 1x1 to {MAX_SIDE}x{MAX_SIDE}, got {height}x{width}"
        )


_First = tuple[str, Tensor, torch.dtype, torch.device]
"""An argument that others must agree with: its name, itself, their usual type, and its device."""


def _edges(
    vertical: Tensor,
    horizontal: Tensor,
    batch: int,
    height: int,
    width: int,
    dtypes: tuple[torch.dtype, ...],
    first: _First,
) -> None:
    _follows(_EDGES, "vertical", vertical, (batch, height - 1, width), dtypes, first)
    _follows(_EDGES, "horizontal", horizontal, (batch, height, width - 1), dtypes, first)


def _follows(
    table: _Table,
    name: str,
    tensor: Tensor,
    shape: tuple[int, ...],
    dtypes: tuple[torch.dtype, ...],
    first: _First,
    or_cpu: bool = False,
) -> None:
    """Check that an argument has the shape, a type and the device that the first one implies."""
    dtype = tensor.dtype
    if (
        (dtype is first[2] or dtype in dtypes)
        and tensor.shape == shape
        and tensor.device == first[3]
        and tensor.layout is _STRIDED
    ):
        return
    _expect_dense(name, tensor, dtypes, first)
    if tensor.shape != shape:
        raise ValueError(
            f"{name}: expected shape {table[name].layout} = {list(shape)}, got {list(tensor.shape)}"
        )
    if not (or_cpu and tensor.device.type == "cpu"):
        expect_device(name, tensor, first[0], first[1], or_cpu=or_cpu)


def _expect_blocks(
    name: str, grid: Tensor, dtypes: tuple[torch.dtype, ...], images: Tensor
) -> None:
    """Check a tensor [B, h, w] whose grid must divide the images x1 [B, C, Y, X]."""
    _expect_dense(name, grid, dtypes)
    batch, height, width = _sizes(_MIX, name, grid, 3)
    whole, _, rows, columns = images.shape
    if batch != whole:
        raise ValueError(f"{name}: expected a batch of {whole} as in x1, got {batch}")
    if height < 1 or width < 1 or rows % height or columns % width:
        raise _does_not_divide(name, (height, width), f"the images of {rows}x{columns} pixels")
    expect_device(name, grid, "x1", images)


def _expect_dense(
    name: str,
    tensor: Tensor,
    dtypes: tuple[torch.dtype, ...],
    first: _First | None = None,
) -> None:
    """Check for a dense tensor of one of these types; errors show the first argument's type too."""
    if tensor.layout is not _STRIDED:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")
    if tensor.dtype not in dtypes:
        beside = f" ({first[0]} is {_type_name(first[1].dtype)})" if first else ""
        raise TypeError(
            f"{name}: expected {_listed(dtypes)}{beside}, got {_type_name(tensor.dtype)}"
        )


# ---- Values of the low-level functions ----------------------------------------------------------


def expect_values(function: str, *tensors: Tensor | None, xi: float = 0.0) -> None:
    """Check the values of a low-level function's tensors, given in the order of its signature.

    Each must hold what `TENSORS` says, and costs must not add up to too much. ``xi`` is the
    argument of ``masked_transport``.
    """
    given: dict[str, Any] = dict(zip(TENSORS[function], tensors, strict=True))
    for name, holds in TENSORS[function].items():
        tensor = given[name]
        if tensor is None or holds.kind == "pixels":
            continue
        if holds.kind == "label_cost":
            _expect_label_cost(tensor, convex=function == "exact_labeling")
        elif holds.kind == "permutation":
            _expect_permutations(name, tensor)
        else:
            expect_range(name, tensor, **_limits(holds, given, tensor))
    _expect_sums(function, given, xi)


Fault = tuple[int, int, int, int]
"""A fault that a compiled solver found: its kind, the number of the tensor in the order of the
function's signature, the sample, and the entry, row-major within the sample (csrc/status.h)."""

_VALUE, _SUM, _REPEATED, _LABEL_COST, _INFEASIBLE = range(1, 6)


def refused(
    function: str, tensors: Sequence[Tensor | None], fault: Fault, xi: float = 0.0
) -> ValueError:
    """The error for a fault that a compiled solver found, worded as by `expect_values`.

    Reads the entry that the fault names, or the sample whose sum is too large.
    """
    kind, argument, sample, entry = fault
    given: dict[str, Any] = dict(zip(TENSORS[function], tensors, strict=True))
    if function == "puzzle_plan" and kind == _SUM:
        return _overflow(sample)
    if kind == _INFEASIBLE:
        return _infeasible(given["cost"], sample)
    name = tuple(given)[argument]
    try:
        if kind == _LABEL_COST:
            _expect_label_cost(given["label_cost"], convex=function == "exact_labeling")
        elif kind == _SUM:
            _expect_sums(function, _sample(given, sample), xi, first=sample)
        elif kind == _REPEATED:
            _expect_permutations(name, given[name][sample : sample + 1], first=sample)
        else:
            _expect_entry(name, given[name], TENSORS[function][name], given, sample, entry)
    except ValueError as error:
        return error
    # The value is allowed now: another thread has changed it since.
    return ValueError(f"{name}: expected values within its contract, got some while they were read")


def expect_finite_costs(*costs: Tensor) -> None:
    """Refuse weights and images from which the costs of the cut overflow."""
    cells, edges = integers.labeling_magnitude(*costs)
    finite = cells + edges < math.inf
    for part in costs[:3]:
        finite &= part.isfinite().flatten(1).all(1)
    if (b := _first_of(~finite)) is not None:
        raise _overflow(b)


def _overflow(sample: int) -> ValueError:
    return ValueError(
        "beta, gamma, eta: expected weights for which all costs of these images are finite in "
        f"double, got an overflow in sample {sample}"
    )


def _sample(given: dict[str, Any], sample: int) -> dict[str, Any]:
    """The tensors of one sample, as a batch of one."""
    return {
        name: part if part is None or name == "label_cost" else part[sample : sample + 1]
        for name, part in given.items()
    }


def _expect_entry(
    name: str, tensor: Tensor, holds: Holds, given: dict[str, Any], sample: int, entry: int
) -> None:
    place = [sample]
    for size in reversed(tensor.shape[1:]):
        place.insert(1, entry % size)
        entry //= size
    limits = _limits(holds, given, tensor)
    value = tensor[tuple(place)].item()
    infinite = limits.get("infinite", False) and value == math.inf
    if not ((math.isfinite(value) or infinite) and limits["least"] <= value <= limits["most"]):
        raise _out_of_range(name, f"{value} at {place}", **limits)


def _limits(holds: Holds, given: dict[str, Any], tensor: Tensor) -> dict[str, Any]:
    """The range of an argument's values, and the words that describe it."""
    if holds.kind == "labels":
        return {"least": 0, "most": given["unary"].shape[3] - 1, "what": ""}
    if holds.kind == "partner":
        return {"least": 0, "most": len(given["x2"]) - 1, "what": "indices from"}
    if holds.kind == "permutation":
        return _of_indices(tensor)
    if tensor.dtype is torch.int64:
        return {"least": max(holds.least, -(2**31)), "most": 2**31 - 1, "why": OF_INT32}
    return {"least": holds.least, "most": holds.most, "infinite": holds.kind == "pairs"}


OF_INT32 = " (int64 values have to fit into int32)"


def expect_int32(function: str, *costs: Tensor) -> None:
    """Check that costs of int64 on the CPU, given in the order of the function's signature, fit
    into int32, as which they are solved."""
    for (name, holds), cost in zip(TENSORS[function].items(), costs, strict=True):
        if cost.dtype is torch.int64 and cost.device.type == "cpu":
            expect_range(name, cost, **_limits(holds, {}, cost))


def _expect_sums(function: str, given: dict[str, Any], xi: float, first: int = 0) -> None:
    """Refuse the first sample whose costs are too large. ``first``: sample 0's number in errors."""
    tensors = tuple(given.values())
    if function == "grid_min_cut":
        sums = integers.cut_magnitude(*tensors)
        if (b := _too_large(sums, tensors[0])) is not None:
            raise _too_much(_heaviest(given, b), sums, b, first, tensors[0])
    elif function in ("alpha_beta_swap", "exact_labeling"):
        cells, edges = integers.labeling_magnitude(*tensors)
        if (b := _too_large(cells + edges, tensors[0])) is not None:
            pair = {name: given[name] for name in ("vertical", "horizontal", "label_cost")}
            name = "unary" if cells[b] >= edges[b] else _heaviest(pair, b)
            raise _too_much(name, cells + edges, b, first, tensors[0])
    elif function == "assignment" and tensors[0].numel():
        cost = tensors[0].double().flatten(1)
        allowed = cost < math.inf
        low = cost.amin(1)
        high = torch.where(allowed, cost, low[:, None]).amax(1)
        if (b := _first_of(high - low == math.inf)) is not None:
            raise ValueError(
                "cost: expected a largest less a smallest cost that is finite in double, "
                f"got {float(high[b] - low[b])} at [{first + b}] ({float(low[b])} to "
                f"{float(high[b])})"
            )
    elif function == "masked_transport":
        most = integers.largest(tensors[0])
        # A move costs at most 2 * xi.
        if (b := _first_of(~(2.0 * xi + most < math.inf))) is not None:
            name, value = ("saliency", float(most[b])) if most[b] > 2.0 * xi else ("xi", xi)
            raise ValueError(f"{name}: expected costs whose sum is finite in double, got {value}")


def expect_allowed(cost: Tensor, source: Tensor) -> None:
    """Refuse an assignment [B, M] that contains a forbidden pair."""
    rows = source.clamp(min=0)[:, None]
    if cost.numel():
        chosen = cost.gather(1, rows)[:, 0].masked_fill(source < 0, 0)
        if (b := _first_of((chosen == math.inf).any(1))) is not None:
            raise _infeasible(cost, b)


def _infeasible(cost: Tensor, sample: int) -> ValueError:
    pairs = min(cost.shape[1:])
    return ValueError(
        f"cost: expected costs by which {pairs} pairs are found without a forbidden one (inf), "
        f"got none such in sample {sample}"
    )


def _too_large(sums: Tensor, costs: Tensor) -> int | None:
    """The first sample whose costs add up to more than their type may, or None."""
    return _first_of(sums >= (math.inf if costs.is_floating_point() else 2.0**integers.BITS))


def _too_much(name: str, sums: Tensor, sample: int, first: int, costs: Tensor) -> ValueError:
    limit = f"is below 2^{integers.BITS}"
    if costs.is_floating_point():
        limit = "is finite in double"
    return ValueError(
        f"{name}: expected costs whose sum over a sample's cells and edges {limit}, "
        f"got {sums[sample].item()} at [{first + sample}]"
    )


def _heaviest(given: dict[str, Tensor], sample: int) -> str:
    """The name of the argument with the largest entry in a sample."""
    most = {
        name: max(part.double().flatten().tolist(), default=0.0)
        for name, part in _sample(given, sample).items()
    }
    return max(most, key=most.__getitem__)


def _first_of(wrong: Tensor) -> int | None:
    places = wrong.nonzero()
    return int(places[0]) if len(places) else None


def _expect_label_cost(label_cost: Tensor, convex: bool) -> None:
    """Refuse a label cost that is no semimetric, or not convex in the label order if it must be."""
    label_cost = label_cost.clone()  # as another thread may write to the caller's tensor
    expect_range("label_cost", label_cost, **_limits(_LABELING["label_cost"], {}, label_cost))
    cost = label_cost.tolist()
    for a, row in enumerate(cost):
        if row[a] != 0:
            raise ValueError(f"label_cost: expected a zero diagonal, got {row[a]} at [{a}, {a}]")
        for b in range(a):
            if row[b] != cost[b][a]:
                raise ValueError(
                    "label_cost: expected a symmetric matrix, "
                    f"got {row[b]} at [{a}, {b}] and {cost[b][a]} at [{b}, {a}]"
                )
    entries = [entry for row in cost for entry in row]
    least, most = min((entry for entry in entries if entry > 0), default=1), max(entries)
    if most / least == math.inf:
        raise ValueError(
            "label_cost: expected entries whose quotients are finite in double, "
            f"got {least} beside {most}"
        )
    if convex and not integers.is_convex(label_cost):
        raise ValueError(
            "label_cost: expected a cost convex in the label order "
            f"(D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b]), got {cost}"
        )


def _of_indices(source: Tensor) -> dict[str, Any]:
    count = source.shape[1] * source.shape[2]
    return {
        "least": 0,
        "most": count - 1,
        "what": "indices from",
        "why": f" (a permutation of 0 to {count - 1} in each sample)",
    }


def _expect_permutations(name: str, source: Tensor, first: int = 0) -> None:
    """Check that each sample [h, w] is a permutation. ``first``: sample 0's number in errors."""
    if source.numel() == 0:
        return
    source = source.to(torch.int64, copy=True)  # as another thread may write to the caller's
    expect_range(name, source, **_of_indices(source))
    flat = source.flatten(1)
    # There are as many indices as targets, so they are a permutation if every target occurs.
    if not torch.zeros_like(flat, dtype=torch.bool).scatter_(1, flat, True).all():
        sample, place = next(
            (sample, place)
            for sample, row in enumerate(flat.tolist())
            for place, index in enumerate(row)
            if index in row[:place]
        )
        raise ValueError(
            f"{name}: expected a permutation in each sample, "
            f"got index {int(flat[sample, place])} twice in sample {first + sample}"
        )


# ---- Puzzle Mix, its objective and the mixers ---------------------------------------------------


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
    """Check all of the options that can be checked without images."""
    expect_integer("labels", options.labels, least=2, most=MAX_LABELS)
    for name in ("beta", "gamma", "eta"):
        expect_number(name, getattr(options, name), least=0)
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
    """Refuse a grid that doesn't divide the last two ``sizes``, which are the argument ``of``'s."""
    rows, columns = sizes[-2], sizes[-1]
    if min(grid) < 1 or min(rows, columns) < 1 or rows % grid[0] or columns % grid[1]:
        raise _does_not_divide(name, grid, f"{of} of {rows}x{columns}")


def _does_not_divide(name: str, grid: Grid, what: str) -> ValueError:
    return ValueError(f"{name}: expected a grid that divides {what}, got {grid[0]}x{grid[1]}")


def expect_grids(grid: Grid, fine: Grid, sizes: dict[str, Tensor], names: tuple[str, str]) -> None:
    """Check the cut's grid and the transport's against images and saliency maps, given by name."""
    for of, tensor in sizes.items():
        expect_divides(names[0], grid, of, tensor.shape)
        expect_divides(names[1], fine, of, tensor.shape)
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
    if partner is None and x2.shape != x1.shape:
        raise ValueError(f"x2: expected the shape of x1, {list(x1.shape)}, got {list(x2.shape)}")
    if x2.dtype != x1.dtype:
        raise TypeError(f"x2: expected the dtype of x1, {x1.dtype}, got {x2.dtype}")
    if x2.device != x1.device:
        raise ValueError(f"x2: expected the device of x1, {x1.device}, got {x2.device}")
    if partner is not None:
        expect_tensor("partner", partner)
        _expect_partner(partner, x1)
        _expect_others("x2", x2, x1, partner, ("x1", x1, x1.dtype, x1.device))
    expect_saliency("saliency1", saliency1, "x1", x1)
    expect_saliency("saliency2", saliency2, "x2", x2)


def expect_images(name: str, images: Tensor) -> None:
    """Check images [B, C, Y, X] of a floating dtype."""
    expect_tensor(name, images)
    expect_dtype(name, images, FLOATS)
    if images.dim() != 4 or min(images.shape[1:]) < 1:
        raise ValueError(f"{name}: expected shape [B, C, Y, X], got {list(images.shape)}")


def expect_saliency(name: str, saliency: Tensor, of: str, images: Tensor) -> None:
    """Check saliency [B, Y', X'] of any floating dtype."""
    _expect_plane(name, saliency, "[B, Y, X]", FLOATS, of, images)


def expect_mask(mask: Tensor, of: str, images: Tensor) -> None:
    """Check a mask [B, h, w] of any floating dtype, and its values if `reads_values` allows."""
    _expect_plane("mask", mask, "[B, h, w]", FLOATS, of, images)
    if reads_values(mask):
        expect_range("mask", mask, least=0, most=1)


def expect_sources(source1: Tensor | None, source2: Tensor | None, of: str, images: Tensor) -> None:
    """Check permutations [B, h', w'] on one grid, and their values if `reads_values` allows."""
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


def _expect_plane(
    name: str,
    values: Tensor,
    layout: str,
    dtypes: tuple[torch.dtype, ...],
    of: str,
    images: Tensor,
) -> None:
    """Check a tensor [B, h, w] on the device of the images named ``of``."""
    expect_tensor(name, values)
    expect_dtype(name, values, dtypes)
    if values.dim() != 3 or len(values) != len(images):
        raise ValueError(
            f"{name}: expected shape {layout} with B = {len(images)}, as in {of}, "
            f"got {list(values.shape)}"
        )
    expect_device(name, values, of, images)


def mixing_ratio(lam: float | Tensor, of: str, images: Tensor) -> float | Tensor:
    """lambda as a number, or as a tensor [B] on the images' device, in its own floating dtype."""
    if not isinstance(lam, Tensor):
        expect_number("lam", lam, least=0, most=1)
        return float(lam)
    batch = len(images)
    expect_dtype("lam", lam, FLOATS)
    if lam.dim() > 1 or (lam.dim() == 1 and len(lam) != batch):
        raise ValueError(
            f"lam: expected a number or shape [B] with B = {batch}, as in {of}, "
            f"got {list(lam.shape)}"
        )
    if lam.device.type != "cpu":
        expect_device("lam", lam, of, images)
    lam = lam.detach()
    if lam.device != images.device:
        if reads_values(lam):
            expect_range("lam", lam, least=0, most=1)
        # Non-blocking, so that lambda drawn on the CPU doesn't wait for the device.
        lam = lam.to(images.device, non_blocking=True)
    return lam.expand(batch)


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
    if value is None:
        return None
    channels = images.shape[1]
    if isinstance(value, Tensor):
        expect_dtype(name, value, FLOATS)
        if value.numel() != 1 and value.shape.numel() != channels:
            raise _not_per_channel(name, channels, f"shape {list(value.shape)}")
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
        raise _not_per_channel(name, channels, str(len(numbers)))
    return [float(number) for number in numbers]


def _not_per_channel(name: str, channels: int, got: str) -> ValueError:
    return ValueError(
        f"{name}: expected one number or one for each of {channels} channels, got {got}"
    )


def _iterable(name: str, value: object) -> Iterable[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(
            f"{name}: expected a number, a sequence or a tensor, got {type(value).__name__}"
        )
    return value


def constants(numbers: Sequence[float], device: torch.device) -> Tensor:
    """A float64 vector made by filling it on its device, as copying to a GPU would wait for it."""
    if device.type == "cpu":
        return torch.tensor(numbers, dtype=torch.float64, device=device)
    filled = torch.full((len(numbers),), numbers[0], dtype=torch.float64, device=device)
    for place, number in enumerate(numbers):
        if number != numbers[0]:
            filled.narrow(0, place, 1).fill_(number)
    return filled


def reads_values(tensor: Tensor) -> bool:
    """Whether values may be read: not while a compiler traces, and on CUDA only if debugging."""
    if torch.compiler.is_compiling():
        return False
    return tensor.device.type == "cpu" or _debugging


# ---- Elementary checks --------------------------------------------------------------------------


def expect_tensor(name: str, value: object) -> None:
    """Check for a tensor; lists and numbers, which could be converted to one, are refused."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def expect_dtype(name: str, tensor: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    """Check that a tensor has one of some dtypes."""
    if tensor.dtype not in dtypes:
        raise TypeError(f"{name}: expected dtype {_listed(dtypes)}, got {_type_name(tensor.dtype)}")


def expect_device(name: str, tensor: Tensor, of: str, other: Tensor, or_cpu: bool = False) -> None:
    """Check that two tensors are on one device; ``or_cpu`` only adds to the message."""
    if tensor.device != other.device:
        device = other.device
        either = " or cpu" if or_cpu and device.type != "cpu" else ""
        raise ValueError(
            f"{name}: expected device {device}{either} (that of {of}), got {tensor.device}"
        )


def expect_range(
    name: str,
    tensor: Tensor,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    what: str = "values from",
    why: str = "",
    infinite: bool = False,
) -> None:
    """Check that all values are within the limits and finite, or +infinity if ``infinite``."""
    if tensor.numel() == 0:
        return
    low, high = (float(extreme) for extreme in tensor.detach().aminmax())
    if -math.inf < low and least <= low and high <= most and (infinite or high < math.inf):
        return
    finite = tensor.isfinite() | (tensor == math.inf) if infinite else tensor.isfinite()
    wrong = (~finite | (tensor < least) | (tensor > most)).nonzero()
    got = "some while they were read"  # another thread has changed the value since
    if len(wrong):
        place = wrong[0].tolist()
        got = f"{tensor[tuple(place)].item()} at {place}"
    raise _out_of_range(name, got, least=least, most=most, what=what, why=why, infinite=infinite)


def _out_of_range(
    name: str,
    got: str,
    *,
    least: float,
    most: float,
    what: str = "values from",
    why: str = "",
    infinite: bool = False,
) -> ValueError:
    wanted = f"{what} {least} to {most}".lstrip()
    if most == math.inf:
        wanted = "finite values" if least == -math.inf else f"finite values of at least {least}"
    if infinite:
        wanted += " or inf, which forbids a pair"
    return ValueError(f"{name}: expected {wanted}, got {got}{why}")


def expect_number(
    name: str, value: object, *, least: float = -math.inf, most: float = math.inf
) -> None:
    """Check for a finite number within the limits."""
    if type(value) is not float and (not isinstance(value, Real) or isinstance(value, bool)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    # Converted to float, but for integers and fractions, which may be too large for one; NumPy's
    # float32 would be too small for the limits.
    if not isinstance(value, Rational):
        value = float(value)
    if not max(least, -MAX_FLOAT) <= value <= min(most, MAX_FLOAT):  # type: ignore[operator]
        wanted = f"a number from {least} to {most}"
        if most == math.inf:
            wanted = "a finite number" + (f" of at least {least}" if least > -math.inf else "")
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_integer(name: str, value: object, *, least: int, most: int | None = None) -> None:
    """Check for an integer within the limits."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if int(value) < least or (most is not None and int(value) > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_one_of(name: str, value: object, names: Sequence[str | None]) -> None:
    """Check for one of the allowed names."""
    if value not in names:
        listed = " or ".join(map(repr, names))
        raise ValueError(f"{name}: expected {listed}, got {value!r}")


def _listed(dtypes: Sequence[torch.dtype]) -> str:
    *others, last = map(_type_name, dtypes)
    return f"{', '.join(others)} or {last}" if others else last


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
