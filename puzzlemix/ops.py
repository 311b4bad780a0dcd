"""The solvers and the mix: batched, compiled, bit-identical on every backend.

All functions take tensors or NumPy arrays (then NumPy comes back), in any strides. Costs are
float16, bfloat16, float32 or float64, or all int32, which are solved exactly as given; floats are
rounded to integers sample by sample first, and the integers decide. Each answer is unique: it
depends neither on the backend nor on the batch, the thread count or the order of evaluation.
`puzzlemix.reference` has the same functions in plain PyTorch.

A wrong shape, type, device or name is a ValueError or TypeError that names the argument, what was
expected and what came. On the CPU values are checked too (NaN, infinity, negative weights, int32
costs that add up to 2**30 or more: ValueError); on CUDA they are not, since that would wait for the
device, unless `debug(True)`.

On the CPU a batch is spread over `torch.get_num_threads()` threads and the GIL is released. The
functions are operators of PyTorch (`torch.ops.puzzlemix`), so that `torch.compile` traces them.

Letters: B batch, H x W grid (1x1 to 64x64), L labels (2 to 16), N rows and columns, C channels,
Y x X pixels.
"""

from __future__ import annotations

from torch import Tensor

from . import _operators as operators
from . import check
from ._operators import OPERATORS, mixing_dtype
from .arrays import accepts_numpy
from .check import debug
from .results import Assignment, GridMinCut, Labeling

__all__ = [
    "alpha_beta_swap",
    "assignment",
    "debug",
    "exact_labeling",
    "grid_min_cut",
    "labeling_energy",
    "masked_transport",
    "mix",
]


@accepts_numpy
def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> GridMinCut:
    """Minimum cuts of 4-connected grids: the ones with the smallest sink side.

    Args:
        source_caps: [B, H, W] >= 0, capacity from the source to each cell.
        sink_caps: [B, H, W] >= 0, capacity from each cell to the sink.
        vertical: [B, H-1, W] >= 0, capacity either way between a cell and the one below it.
        horizontal: [B, H, W-1] >= 0, the same for the cell to the right.

    Returns:
        ``segment`` [B, H, W], True on the sink side (the cells from which the sink can be reached
        in the residual graph), and ``flow`` [B] float64, the cut's capacity.
    """
    check.grid_min_cut(source_caps, sink_caps, vertical, horizontal)
    return GridMinCut(*OPERATORS.grid_min_cut.default(source_caps, sink_caps, vertical, horizontal))


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
        horizontal: [B, H, W-1] >= 0, the same for the cell to the right.
        label_cost: [L, L], a semimetric: symmetric, >= 0, zero on the diagonal. An edge costs
            weight * label_cost[a, b]. It may be on the CPU whatever the others are on.
        max_cycles: the most sweeps over all pairs; None: until a sweep takes no move.

    Returns:
        ``labels`` [B, H, W] int64 and their ``energy`` [B] float64.
    """
    check.labeling(unary, vertical, horizontal, label_cost, max_cycles)
    cycles = -1 if max_cycles is None else max_cycles
    return Labeling(
        *OPERATORS.alpha_beta_swap.default(unary, vertical, horizontal, label_cost, cycles)
    )


@accepts_numpy
def exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Labeling:
    """Label grids optimally: of the best labellings, the one that is lowest in every cell.

    Steepest descent where the problem is convex throughout, else Ishikawa's graph (PAMI 2003).

    Args:
        unary: [B, H, W, L], the cost of each label in each cell; any costs.
        vertical: [B, H-1, W] >= 0, the weight of the edge between a cell and the one below it.
        horizontal: [B, H, W-1] >= 0, the same for the cell to the right.
        label_cost: [L, L], a semimetric that is convex in the label order:
            D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b].

    Returns:
        ``labels`` [B, H, W] int64 and their ``energy`` [B] float64.
    """
    check.labeling(unary, vertical, horizontal, label_cost)
    return Labeling(*OPERATORS.exact_labeling.default(unary, vertical, horizontal, label_cost))


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
    check.labeling(unary, vertical, horizontal, label_cost)
    check.labels(labels, unary)
    energy: Tensor = OPERATORS.labeling_energy.default(
        labels, unary, vertical, horizontal, label_cost
    )
    return energy


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Assign rows (sources) to columns (targets), one each.

    Args:
        cost: [B, N, N], N up to 4096.
        method: ``"approx"``, the stable matching that is best for the rows, where rows and columns
            both prefer the cheaper entry and the lower index on a tie (Gale and Shapley 1962;
            Kim, Choo and Song, ICML 2020, section 4.2, approach it by rounds); or ``"exact"``,
            the least total: exact for int32, to N * (range of the costs) * 2**-29 for floats.

    Returns:
        ``source`` [B, N] int64, the row that each column gets, and ``total`` [B] float64.
    """
    check.assignment(cost, method)
    return Assignment(*OPERATORS.assignment.default(cost, method == "exact"))


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
    check.masked_transport(saliency, mask, xi, weight, method)
    return Assignment(
        *OPERATORS.masked_transport.default(
            saliency, mask, xi, weight == "indicator", method == "exact"
        )
    )


@accepts_numpy
def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None = None,
    source2: Tensor | None = None,
    *,
    partner: Tensor | None = None,
) -> Tensor:
    """Mix images block by block: mask * P1 x1 + (1 - mask) * P2 x2[partner].

    Place j of P x holds block ``source[j]`` of x. The three grids may differ; each must divide the
    image, down to one pixel a block. Where the mask is 1 or 0 the other image is not read.
    Differentiable in the images, and in the mask where that needs a gradient, any number of times.

    Args:
        x1: [B, C, Y, X], float16, bfloat16, float32 or float64, contiguous or channels_last; other
            layouts are copied first.
        x2: [N, C, Y, X] of the same type, N = B without ``partner``. None: zeros, never made.
        mask: [B, h, w], any float type; used in float32 (float64 for float64 images).
        source1, source2: [B, h', w'] integers, permutations of 0 to h' * w' - 1; None: unmoved.
        partner: [B] integers: the second image of sample b is number ``partner[b]`` of x2, which is
            not copied; None: number b.

    Returns:
        [B, C, Y, X] of the images' type, in the memory format of x1.
    """
    return mix_tensors(x1, x2, mask, source1, source2, partner)


def mix_tensors(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
) -> Tensor:
    """`mix` for callers within the package, which have no NumPy arrays."""
    check.mix(x1, x2, mask, source1, source2, partner)
    return operators.mix(x1, x2, mask.to(mixing_dtype(x1)), source1, source2, partner, False)
