"""The values of the low-level functions' tensors: those that `TENSORS` allows, and sums of costs.

`expect_values` reads all of the data; `refused` words the fault that a compiled solver found in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import integers
from .contracts import TENSORS, Holds
from .elementary import Range, expect_permutations, expect_range, indices_of, out_of_range


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
            expect_permutations(name, tensor)
        else:
            expect_range(name, tensor, _limits(holds, given, tensor))
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
            expect_permutations(name, given[name][sample : sample + 1], first=sample)
        else:
            _expect_entry(name, given[name], TENSORS[function][name], given, sample, entry)
    except ValueError as error:
        return error
    # The value is allowed now: another thread has changed it since.
    return ValueError(f"{name}: expected values within its contract, got some while they were read")


def expect_int32(function: str, *costs: Tensor) -> None:
    """Check that costs of int64 on the CPU, given in the order of the function's signature, fit
    into int32, as which they are solved."""
    for (name, holds), cost in zip(TENSORS[function].items(), costs, strict=True):
        if cost.dtype is torch.int64 and cost.device.type == "cpu":
            expect_range(name, cost, _limits(holds, {}, cost))


def expect_allowed(cost: Tensor, source: Tensor) -> None:
    """Refuse an assignment [B, M] that contains a forbidden pair."""
    rows = source.clamp(min=0)[:, None]
    if cost.numel():
        chosen = cost.gather(1, rows)[:, 0].masked_fill(source < 0, 0)
        if (b := _first_of((chosen == math.inf).any(1))) is not None:
            raise _infeasible(cost, b)


def expect_finite_costs(*costs: Tensor) -> None:
    """Refuse weights and images from which the costs of the cut overflow."""
    cells, edges = integers.labeling_magnitude(*costs)
    finite = cells + edges < math.inf
    for part in costs[:3]:
        finite &= part.isfinite().flatten(1).all(1)
    if (b := _first_of(~finite)) is not None:
        raise _overflow(b)


# ---- Entries ------------------------------------------------------------------------------------


def _limits(holds: Holds, given: dict[str, Any], tensor: Tensor) -> Range:
    """The range of an argument's values, and the words that describe it."""
    if holds.kind == "labels":
        return Range(0, given["unary"].shape[3] - 1, "")
    if holds.kind == "partner":
        return Range(0, len(given["x2"]) - 1, "indices from")
    if holds.kind == "permutation":
        return indices_of(tensor)
    if tensor.dtype is torch.int64:
        least = max(holds.least, -(2**31))
        return Range(least, 2**31 - 1, why=" (int64 values have to fit into int32)")
    return Range(holds.least, holds.most, infinite=holds.kind == "pairs")


def _expect_entry(
    name: str, tensor: Tensor, holds: Holds, given: dict[str, Any], sample: int, entry: int
) -> None:
    place = [sample]
    for size in reversed(tensor.shape[1:]):
        place.insert(1, entry % size)
        entry //= size
    limits = _limits(holds, given, tensor)
    value = tensor[tuple(place)].item()
    finite = math.isfinite(value) or (limits.infinite and value == math.inf)
    if not (finite and limits.least <= value <= limits.most):
        raise out_of_range(name, limits, f"{value} at {place}")


def _expect_label_cost(label_cost: Tensor, convex: bool) -> None:
    """Refuse a label cost that is no semimetric, or not convex in the label order if it must be."""
    label_cost = label_cost.clone()  # as another thread may write to the caller's tensor
    holds = TENSORS["exact_labeling"]["label_cost"]
    expect_range("label_cost", label_cost, _limits(holds, {}, label_cost))
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


# ---- Sums of costs ------------------------------------------------------------------------------


def _expect_sums(function: str, given: dict[str, Any], xi: float, first: int = 0) -> None:
    """Refuse the first sample whose costs are too large. ``first``: sample 0's number in errors."""
    costs = next(iter(given.values()))
    if function == "grid_min_cut":
        sums = integers.cut_magnitude(*given.values())
        if (b := _too_large(sums, costs)) is not None:
            raise _too_much(_heaviest(given, b), sums, b, first, costs)
    elif function in ("alpha_beta_swap", "exact_labeling"):
        cells, edges = integers.labeling_magnitude(*given.values())
        if (b := _too_large(cells + edges, costs)) is not None:
            pair = {name: part for name, part in given.items() if name != "unary"}
            name = "unary" if cells[b] >= edges[b] else _heaviest(pair, b)
            raise _too_much(name, cells + edges, b, first, costs)
    elif function == "assignment" and costs.numel():
        cost = costs.double().flatten(1)
        low = cost.amin(1)
        high = torch.where(cost < math.inf, cost, low[:, None]).amax(1)
        if (b := _first_of(high - low == math.inf)) is not None:
            raise ValueError(
                "cost: expected a largest less a smallest cost that is finite in double, "
                f"got {float(high[b] - low[b])} at [{first + b}] ({float(low[b])} to "
                f"{float(high[b])})"
            )
    elif function == "masked_transport":
        most = integers.largest(costs)
        # A move costs at most 2 * xi.
        if (b := _first_of(~(2.0 * xi + most < math.inf))) is not None:
            name, value = ("saliency", float(most[b])) if most[b] > 2.0 * xi else ("xi", xi)
            raise ValueError(f"{name}: expected costs whose sum is finite in double, got {value}")


def _too_large(sums: Tensor, costs: Tensor) -> int | None:
    """The first sample whose costs add up to more than their type may, or None."""
    return _first_of(sums >= (math.inf if costs.is_floating_point() else 2.0**integers.BITS))


def _too_much(name: str, sums: Tensor, sample: int, first: int, costs: Tensor) -> ValueError:
    floats = costs.is_floating_point()
    limit = "is finite in double" if floats else f"is below 2^{integers.BITS}"
    return ValueError(
        f"{name}: expected costs whose sum over a sample's cells and edges {limit}, "
        f"got {sums[sample].item()} at [{first + sample}]"
    )


def _overflow(sample: int) -> ValueError:
    return ValueError(
        "beta, gamma, eta: expected weights for which all costs of these images are finite in "
        f"double, got an overflow in sample {sample}"
    )


def _infeasible(cost: Tensor, sample: int) -> ValueError:
    pairs = min(cost.shape[1:])
    return ValueError(
        f"cost: expected costs by which {pairs} pairs are found without a forbidden one (inf), "
        f"got none such in sample {sample}"
    )


def _heaviest(given: dict[str, Tensor], sample: int) -> str:
    """The name of the argument with the largest entry in a sample."""
    most = {
        name: max(part.double().flatten().tolist(), default=0.0)
        for name, part in _sample(given, sample).items()
    }
    return max(most, key=most.__getitem__)


def _sample(given: dict[str, Any], sample: int) -> dict[str, Any]:
    """The tensors of one sample, as a batch of one."""
    return {
        name: part if part is None or name == "label_cost" else part[sample : sample + 1]
        for name, part in given.items()
    }


def _first_of(wrong: Tensor) -> int | None:
    places = wrong.nonzero()
    return int(places[0]) if len(places) else None
