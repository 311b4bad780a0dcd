"""Assignment and block transport: functions and operators."""

from __future__ import annotations

import torch
from torch import Tensor

from ..arrays import accepts_numpy
from ..results import Assignment
from ..validate import contracts
from ..validate.elementary import debugging
from ..validate.values import expect_allowed
from .border import Pair, call, costs_of, register, solve

__all__ = ["assignment", "masked_transport"]


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Assign rows (sources) to columns (targets): min(N, M) pairs.

    **The default is the stable matching, not the cheapest assignment**, which is
    ``method="exact"``. For that and a square matrix ``source`` is the inverse of SciPy's
    ``col_ind``: ``source[b] == np.argsort(linear_sum_assignment(cost[b])[1])`` where the optimum is
    the only one.

    Args:
        cost: [B, N, M], N and M up to 4096, floats or integers of 32 bits (int64 where the values
            fit). Infinity forbids a pair.
        method: ``"approx"``, the proposer-optimal stable matching, rows proposing, where rows and
            columns both prefer the cheaper entry and the lower index on a tie (Gale and Shapley
            1962; Kim, Choo and Song, ICML 2020, section 4.2, approach it by rounds), a forbidden
            pair last; or ``"exact"``, the least total: exact for integers, and for floats
            within min(N, M) * U * 2**-28 of the optimum, U being the optimum's total above the
            minima of the rows (of the columns if there are fewer), whatever else the matrix holds.

    Returns:
        ``source`` [B, M] int64, the row that each column gets, -1 for a column left over where
        N < M; and ``total`` [B] float64.

    Raises:
        ValueError: on the CPU, if the method's assignment has to contain a forbidden pair. (On CUDA
            the total is infinity.)
    """
    contracts.assignment(cost, method)
    return Assignment(*call("assignment", cost, method == "exact"))


@accepts_numpy
def masked_transport(
    saliency: Tensor,
    mask: Tensor,
    *,
    xi: float = 0.8,
    weight: str = "indicator",
    method: str = "approx",
) -> Assignment:
    """Move blocks to where the mask shows them (Kim, Choo and Song, ICML 2020, section 4.2).

    Sending block i to place j costs xi * C_ij - saliency_i * weight_j, where C_ij is the squared
    distance in blocks over (max(H, W) - 1)**2. No N x N matrix is formed.

    Args:
        saliency: [B, H, W] >= 0, what each block is worth.
        mask: [B, H, W] in [0, 1], how much each place shows.
        xi: the price of moving, at least 0.
        weight: ``"indicator"``, 1 wherever the mask is above 0 (as published), or ``"mask"``.
        method: ``"approx"`` or ``"exact"``, as for `assignment`.

    Returns:
        ``source`` [B, H, W] int64, the block (row-major index) that comes to each place, and
        ``total`` [B] float64.
    """
    contracts.masked_transport(saliency, mask, xi, weight, method)
    return Assignment(
        *call("masked_transport", saliency, mask, xi, weight == "indicator", method == "exact")
    )


# ---- The operators ------------------------------------------------------------------------------


def _assignment_like(cost: Tensor, exact: bool) -> Pair:
    batch, _, columns = cost.shape
    source = torch.empty(batch, columns, dtype=torch.int64, device=cost.device)
    return source, torch.empty(batch, dtype=torch.float64, device=cost.device)


def _assignment(cost: Tensor, exact: bool) -> Pair:
    (dense,) = costs_of("assignment", cost)
    source, total = _assignment_like(cost, exact)
    problem: dict[str, object] = {"cost": dense, "exact": exact, "source": source, "total": total}
    solve("assignment", (cost,), total, problem)
    if cost.is_cuda and debugging():
        expect_allowed(cost, source)
    return source, total


def _transport_like(saliency: Tensor, *_: object) -> Pair:
    batch, height, width = saliency.shape
    source = torch.empty(batch, height, width, dtype=torch.int64, device=saliency.device)
    return source, torch.empty(batch, dtype=torch.float64, device=saliency.device)


def _transport(saliency: Tensor, mask: Tensor, xi: float, indicator: bool, exact: bool) -> Pair:
    source, total = _transport_like(saliency)
    problem: dict[str, object] = {
        "saliency": saliency.contiguous(),
        "mask": mask.contiguous(),
        "xi": xi,
        "indicator": indicator,
        "exact": exact,
        "source": source,
        "total": total,
    }
    solve("masked_transport", (saliency, mask), total, problem)
    return source, total


register("assignment(Tensor cost, bool exact) -> (Tensor, Tensor)", _assignment_like, _assignment)
register(
    "masked_transport(Tensor saliency, Tensor mask, float xi, bool indicator, bool exact)"
    " -> (Tensor, Tensor)",
    _transport_like,
    _transport,
)
