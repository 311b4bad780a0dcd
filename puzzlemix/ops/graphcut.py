"""The graph cuts of grids: functions and operators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..arrays import accepts_numpy
from ..results import GridMinCut, Labeling
from ..validate import contracts
from .border import Pair, call, costs_of, dense_index, register, solve

__all__ = ["alpha_beta_swap", "exact_labeling", "grid_min_cut", "labeling_energy"]


@accepts_numpy
def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> GridMinCut:
    """Minimum cuts of 4-connected grids: the ones with the smallest sink side.

    Args:
        source_caps: [B, H, W] >= 0, capacity from the source to each cell.
        sink_caps: [B, H, W] >= 0, capacity from each cell to the sink.
        vertical: [B, H-1, W] >= 0, capacity either way between a cell and the one below it.
        horizontal: [B, H, W-1] >= 0, capacity either way between a cell and the one to its right.

    Returns:
        ``segment`` [B, H, W], True on the sink side (the cells from which the sink can be reached
        in the residual graph), and ``flow`` [B] float64, the cut's capacity.
    """
    contracts.grid_min_cut(source_caps, sink_caps, vertical, horizontal)
    return GridMinCut(*call("grid_min_cut", source_caps, sink_caps, vertical, horizontal))


@accepts_numpy
def alpha_beta_swap(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    *,
    max_cycles: int | None = None,
) -> Labeling:
    """Label grids by alpha-beta swaps (Boykov, Veksler and Zabih, PAMI 2001, section 4).

    Each cell starts from its cheapest label (the lowest on a tie); the pairs of labels are tried
    in lexicographic order, and a move is taken only if the energy falls.

    Args:
        unary: [B, H, W, L], the cost of each label in each cell.
        vertical: [B, H-1, W] >= 0, the weight of the edge between a cell and the one below it.
        horizontal: [B, H, W-1] >= 0, the weight of the edge between a cell and the one to its
            right.
        label_cost: [L, L], a semimetric: symmetric, >= 0, zero on the diagonal. An edge costs
            weight * label_cost[a, b]. It may be on the CPU whatever the others are on.
        max_cycles: the most sweeps over all pairs; None: until a sweep takes no move.

    Returns:
        ``labels`` [B, H, W] int64 and their ``energy`` [B] float64.
    """
    contracts.labeling(unary, vertical, horizontal, label_cost, max_cycles)
    cycles = -1 if max_cycles is None else min(int(max_cycles), 2**63 - 1)
    return Labeling(*call("alpha_beta_swap", unary, vertical, horizontal, label_cost, cycles))


@accepts_numpy
def exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Labeling:
    """Label grids optimally: of the best labellings, the one that is lowest in every cell.

    Solved by steepest descent if all costs are convex, else by Ishikawa's graph (PAMI 2003).

    Args:
        unary: [B, H, W, L], the cost of each label in each cell; any costs.
        vertical: [B, H-1, W] >= 0, the weight of the edge between a cell and the one below it.
        horizontal: [B, H, W-1] >= 0, the weight of the edge between a cell and the one to its
            right.
        label_cost: [L, L], a semimetric that is convex in the label order:
            D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b].

    Returns:
        ``labels`` [B, H, W] int64 and their ``energy`` [B] float64.
    """
    contracts.labeling(unary, vertical, horizontal, label_cost)
    return Labeling(*call("exact_labeling", unary, vertical, horizontal, label_cost))


@accepts_numpy
def labeling_energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    """The energy of given labels.

    Args:
        labels: [B, H, W], any integer type, 0 to L - 1.
        unary, vertical, horizontal, label_cost: as for `alpha_beta_swap`.

    Returns:
        [B] float64.
    """
    contracts.labeling(unary, vertical, horizontal, label_cost)
    contracts.labels(labels, unary)
    energy: Tensor = call("labeling_energy", labels, unary, vertical, horizontal, label_cost)
    return energy


# ---- The operators ------------------------------------------------------------------------------


def _cut_like(source_caps: Tensor, *_: Tensor) -> Pair:
    batch, height, width = source_caps.shape
    device = source_caps.device
    segment = torch.empty(batch, height, width, dtype=torch.bool, device=device)
    return segment, torch.empty(batch, dtype=torch.float64, device=device)


def _cut(source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor) -> Pair:
    given = source_caps, sink_caps, vertical, horizontal
    source, sink, down, right = costs_of("grid_min_cut", *given)
    segment, flow = _cut_like(source)
    problem: dict[str, object] = {
        "source": source,
        "sink": sink,
        "vertical": down,
        "horizontal": right,
        "segment": segment,
        "flow": flow,
    }
    solve("grid_min_cut", given, flow, problem)
    return segment, flow


def _labeling_like(unary: Tensor, *_: object) -> Pair:
    batch, height, width = unary.shape[:3]
    labels = torch.empty(batch, height, width, dtype=torch.int64, device=unary.device)
    return labels, torch.empty(batch, dtype=torch.float64, device=unary.device)


def _alpha_beta_swap(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor, max_cycles: int
) -> Pair:
    return _label("alpha_beta_swap", (unary, vertical, horizontal, label_cost), max_cycles)


def _exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Pair:
    return _label("exact_labeling", (unary, vertical, horizontal, label_cost))


def _label(function: str, costs: Sequence[Tensor], max_cycles: int = -1) -> Pair:
    labels, energy = _labeling_like(*costs)
    _solve_labeling(function, costs, costs, labels, energy, max_cycles)
    return labels, energy


def _energy_like(labels: Tensor, unary: Tensor, *_: Tensor) -> Tensor:
    return torch.empty(unary.shape[0], dtype=torch.float64, device=unary.device)


def _energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    costs = unary, vertical, horizontal, label_cost
    energy = _energy_like(labels, unary)
    whole = dense_index(labels)
    _solve_labeling("labeling_energy", (labels, *costs), costs, whole, energy)
    return energy


def _solve_labeling(
    function: str,
    given: Sequence[Tensor],
    costs: Sequence[Tensor],
    labels: Tensor,
    energy: Tensor,
    max_cycles: int = -1,
) -> None:
    unary, down, right, label_cost = costs_of("alpha_beta_swap", *costs)
    problem: dict[str, object] = {
        "unary": unary,
        "vertical": down,
        "horizontal": right,
        "label_cost": label_cost,
        "label_cost_in_host_memory": not label_cost.is_cuda,
        "out": labels,
        "energy": energy,
        "max_cycles": max_cycles,
    }
    solve(function, given, energy, problem)


_LABELING = "Tensor unary, Tensor vertical, Tensor horizontal, Tensor label_cost"
register(
    "grid_min_cut(Tensor source_caps, Tensor sink_caps, Tensor vertical, Tensor horizontal)"
    " -> (Tensor, Tensor)",
    _cut_like,
    _cut,
)
register(
    f"alpha_beta_swap({_LABELING}, int max_cycles) -> (Tensor, Tensor)",
    _labeling_like,
    _alpha_beta_swap,
)
register(f"exact_labeling({_LABELING}) -> (Tensor, Tensor)", _labeling_like, _exact_labeling)
register(f"labeling_energy(Tensor labels, {_LABELING}) -> Tensor", _energy_like, _energy)
