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

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _native, check
from .arrays import accepts_numpy
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

_debugging = False


def debug(enabled: bool = True) -> None:
    """Check values on CUDA too, at the price of waiting for the device at each call."""
    global _debugging
    _debugging = bool(enabled)


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
    return GridMinCut(*_ops.grid_min_cut.default(source_caps, sink_caps, vertical, horizontal))


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
    return Labeling(*_ops.alpha_beta_swap.default(unary, vertical, horizontal, label_cost, cycles))


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
    return Labeling(*_ops.exact_labeling.default(unary, vertical, horizontal, label_cost))


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
    energy: Tensor = _ops.labeling_energy.default(labels, unary, vertical, horizontal, label_cost)
    return energy


@accepts_numpy
def assignment(cost: Tensor, *, method: str = "approx") -> Assignment:
    """Assign rows (sources) to columns (targets), one each.

    Args:
        cost: [B, N, N], N up to 4096.
        method: ``"approx"``, the stable matching that is best for the rows, where rows and columns
            both prefer the cheaper entry and the lower index on a tie (Gale and Shapley 1962;
            Kim, Choo and Song, ICML 2020, section 4.2, approach it by rounds); or ``"exact"``,
            the least total: exact for int32, to N * (range of the costs) * 2**-30 for floats.

    Returns:
        ``source`` [B, N] int64, the row that each column gets, and ``total`` [B] float64.
    """
    check.assignment(cost, method)
    return Assignment(*_ops.assignment.default(cost, method == "exact"))


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
        *_ops.masked_transport.default(saliency, mask, xi, weight == "indicator", method == "exact")
    )


@accepts_numpy
def mix(
    x1: Tensor,
    x2: Tensor,
    mask: Tensor,
    source1: Tensor | None = None,
    source2: Tensor | None = None,
) -> Tensor:
    """Mix images block by block: mask * P1 x1 + (1 - mask) * P2 x2.

    Place j of P x holds block ``source[j]`` of x. The three grids may differ; each must divide the
    image, down to one pixel a block. Where the mask is 1 or 0 the other image is not read.
    Differentiable in the images, and in the mask where that needs a gradient, any number of times.

    Args:
        x1, x2: [B, C, Y, X], float16, bfloat16, float32 or float64.
        mask: [B, h, w], any float type; used in float32 (float64 for float64 images).
        source1, source2: [B, h', w'] integers, permutations of 0 to h' * w' - 1; None: unmoved.

    Returns:
        [B, C, Y, X] of the images' type.
    """
    check.mix(x1, x2, mask, source1, source2)
    mixed: Tensor = _ops.mix.default(x1, x2, mask.to(_real(x1)), source1, source2)
    return mixed


# ---- The operators on the CPU, and what they return for fake tensors ----------------------------

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]


def _grid_min_cut_like(source_caps: Tensor, *_: Tensor) -> Pair:
    segment = source_caps.new_empty(source_caps.shape, dtype=torch.bool)
    return segment, source_caps.new_empty(source_caps.shape[:1], dtype=torch.float64)


def _grid_min_cut(*capacities: Tensor) -> Pair:
    segment, flow = _grid_min_cut_like(*capacities)
    if not _native.grid_min_cut(capacities, segment, flow):
        check.grid_min_cut_values(*capacities)
        raise _refused("grid_min_cut")
    return segment, flow


def _labeling_like(unary: Tensor, *_: object) -> Pair:
    labels = unary.new_empty(unary.shape[:3], dtype=torch.int64)
    return labels, unary.new_empty(unary.shape[:1], dtype=torch.float64)


def _alpha_beta_swap(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor, max_cycles: int
) -> Pair:
    costs = unary, vertical, horizontal, label_cost
    labels, energy = _labeling_like(unary)
    if not _native.alpha_beta_swap(costs, max_cycles, labels, energy):
        check.labeling_values(*costs, convex=False)
        raise _refused("alpha_beta_swap")
    return labels, energy


def _exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Pair:
    costs = unary, vertical, horizontal, label_cost
    labels, energy = _labeling_like(unary)
    if not _native.exact_labeling(costs, labels, energy):
        check.labeling_values(*costs, convex=True)
        raise _refused("exact_labeling")
    return labels, energy


def _labeling_energy_like(labels: Tensor, unary: Tensor, *_: Tensor) -> Tensor:
    return unary.new_empty(unary.shape[:1], dtype=torch.float64)


def _labeling_energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    costs = unary, vertical, horizontal, label_cost
    energy = _labeling_energy_like(labels, unary)
    if not _native.labeling_energy(labels, costs, energy):
        check.labeling_values(*costs, convex=False, bounded=False)
        check.labels_values(labels, unary.shape[3])
        raise _refused("labeling_energy")
    return energy


def _assignment_like(cost: Tensor, exact: bool) -> Pair:
    source = cost.new_empty(cost.shape[:2], dtype=torch.int64)
    return source, cost.new_empty(cost.shape[:1], dtype=torch.float64)


def _assignment(cost: Tensor, exact: bool) -> Pair:
    source, total = _assignment_like(cost, exact)
    if not _native.assignment(cost, exact, source, total):
        check.assignment_values(cost)
        raise _refused("assignment")
    return source, total


def _masked_transport_like(saliency: Tensor, *_: object) -> Pair:
    source = saliency.new_empty(saliency.shape, dtype=torch.int64)
    return source, saliency.new_empty(saliency.shape[:1], dtype=torch.float64)


def _masked_transport(
    saliency: Tensor, mask: Tensor, xi: float, indicator: bool, exact: bool
) -> Pair:
    source, total = _masked_transport_like(saliency)
    if not _native.masked_transport(saliency, mask, xi, indicator, exact, source, total):
        check.masked_transport_values(saliency, mask, xi)
        raise _refused("masked_transport")
    return source, total


def _refused(name: str) -> ValueError:
    # The value checks say what is wrong; this is for what they might not foresee.
    return ValueError(f"{name}: expected values within the contract of the function")


# ---- The mix and its gradients, on the CPU and on CUDA ------------------------------------------


def _real(images: Tensor) -> torch.dtype:
    """The type in which images are mixed."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


def _mix_like(x1: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x1, memory_format=torch.contiguous_format)


def _mix(
    x1: Tensor, x2: Tensor, mask: Tensor, source1: Tensor | None, source2: Tensor | None
) -> Tensor:
    if x1.is_cuda and _debugging:
        check.mix_values(mask, source1, source2)
    mixed = _mix_like(x1)
    if not _native.mix(x1, x2, mask, source1, source2, mixed):
        check.mix_values(mask, source1, source2)
        raise _refused("mix")
    return mixed


def _mix_grad_like(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    needed: Sequence[bool],
) -> Triple:
    """Room for the gradients of x1, x2 and the mask; nothing where none is needed."""

    def image(wanted: bool) -> Tensor:
        return grad.new_empty(grad.shape if wanted else (0,))

    shape = mask.shape if needed[2] else (0,)
    return image(needed[0]), image(needed[1]), mask.new_empty(shape, dtype=torch.float64)


def _mix_grad(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    needed: Sequence[bool],
) -> Triple:
    gradients = _mix_grad_like(grad, x1, x2, mask, source1, source2, needed)
    into = (g if wanted else None for g, wanted in zip(gradients, needed, strict=True))
    if not _native.mix_grad(grad, x1, x2, mask, source1, source2, *into):
        check.mix_values(mask, source1, source2)
        raise _refused("mix")
    return gradients


def _save_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x1, x2, mask, source1, source2 = inputs
    # The images are kept alive for the mask's gradient alone.
    images = (x1, x2) if ctx.needs_input_grad[2] else (None, None)
    ctx.save_for_backward(*images, mask, source1, source2)


def _backward_mix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:3])
    gradients = _ops.mix_grad.default(grad, *ctx.saved_tensors, needed)
    x1, x2, mask = (g if wanted else None for g, wanted in zip(gradients, needed, strict=True))
    return x1, x2, None if mask is None else mask.to(ctx.saved_tensors[2].dtype), None, None


def _save_mix_grad(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
    *tensors, needed = inputs
    ctx.save_for_backward(*tensors)
    ctx.needed = needed


def _backward_mix_grad(
    ctx: Any, to1: Tensor, to2: Tensor, to_mask: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient of the gradient, from mixes: these are differentiable in their turn.

    grad1 = P1' (z g), grad2 = P2' ((1 - z) g), grad_mask = S (g (P1 x1 - P2 x2)), S the sum over
    a block of the mask.
    """
    grad, x1, x2, mask, source1, source2 = ctx.saved_tensors
    needed1, needed2, needed_mask = ctx.needed
    zeros = torch.zeros_like(grad)
    to1, to2 = to1 if needed1 else zeros, to2 if needed2 else zeros
    for_grad = mix(to1, to2, mask, source1, source2)
    for_mask = _block_sum(grad * (_moved(to1, source1) - _moved(to2, source2)), mask)
    for_x1 = for_x2 = None
    if needed_mask:
        spread = _spread(to_mask, grad)
        for_grad = for_grad + spread * (_moved(x1, source1) - _moved(x2, source2))
        share = spread * grad
        for_x1, for_x2 = _moved_back(share, source1), -_moved_back(share, source2)
    return for_grad, for_x1, for_x2, for_mask.to(mask.dtype), None, None, None


def _moved(x: Tensor, source: Tensor | None) -> Tensor:
    """P x."""
    return mix(x, x, x.new_ones((x.shape[0], 1, 1), dtype=_real(x)), source, source)


def _moved_back(x: Tensor, source: Tensor | None) -> Tensor:
    """P' x: moving by the inverse permutation."""
    inverse = None if source is None else source.flatten(1).argsort(1).view(source.shape)
    return _moved(x, inverse)


def _block_sum(pixels: Tensor, mask: Tensor) -> Tensor:
    batch, channels, rows, columns = pixels.shape
    h, w = mask.shape[1:]
    blocks = pixels.double().reshape(batch, channels, h, rows // h, w, columns // w)
    return blocks.sum((1, 3, 5))


def _spread(blocks: Tensor, images: Tensor) -> Tensor:
    rows, columns = images.shape[2] // blocks.shape[1], images.shape[3] // blocks.shape[2]
    pixels = blocks.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    return pixels[:, None].to(images.dtype)


# ---- Registration -------------------------------------------------------------------------------

_library = torch.library.Library("puzzlemix", "DEF")
_ops = torch.ops.puzzlemix


def _no_cuda(name: str) -> Callable[..., Any]:
    def refuse(*args: object) -> Any:
        raise _native.missing_cuda(name)

    return refuse


def _register(
    schema: str, like: Callable[..., Any], solve: Callable[..., Any], *, cuda: bool = False
) -> None:
    name = schema.split("(")[0]
    _library.define(schema)
    _library.impl(name, solve, "CPU")
    _library.impl(name, solve if cuda and _native.CUDA_TOOLKIT else _no_cuda(name), "CUDA")
    torch.library.register_fake(f"puzzlemix::{name}", like, lib=_library)


_LABELING = "Tensor unary, Tensor vertical, Tensor horizontal, Tensor label_cost"
_SOURCES = "Tensor? source1, Tensor? source2"
_register(
    "grid_min_cut(Tensor source_caps, Tensor sink_caps, Tensor vertical, Tensor horizontal)"
    " -> (Tensor, Tensor)",
    _grid_min_cut_like,
    _grid_min_cut,
)
_register(
    f"alpha_beta_swap({_LABELING}, int max_cycles) -> (Tensor, Tensor)",
    _labeling_like,
    _alpha_beta_swap,
)
_register(f"exact_labeling({_LABELING}) -> (Tensor, Tensor)", _labeling_like, _exact_labeling)
_register(
    f"labeling_energy(Tensor labels, {_LABELING}) -> Tensor",
    _labeling_energy_like,
    _labeling_energy,
)
_register("assignment(Tensor cost, bool exact) -> (Tensor, Tensor)", _assignment_like, _assignment)
_register(
    "masked_transport(Tensor saliency, Tensor mask, float xi, bool indicator, bool exact)"
    " -> (Tensor, Tensor)",
    _masked_transport_like,
    _masked_transport,
)
_register(
    f"mix(Tensor x1, Tensor x2, Tensor mask, {_SOURCES}) -> Tensor", _mix_like, _mix, cuda=True
)
_register(
    f"mix_grad(Tensor grad, Tensor? x1, Tensor? x2, Tensor mask, {_SOURCES}, bool[3] needed)"
    " -> (Tensor, Tensor, Tensor)",
    _mix_grad_like,
    _mix_grad,
    cuda=True,
)
# Decisions have no gradient: without this their floats would claim to need one.
for _name in (
    "grid_min_cut",
    "alpha_beta_swap",
    "exact_labeling",
    "labeling_energy",
    "assignment",
    "masked_transport",
):
    _library.impl(_name, torch.library.fallthrough_kernel, "Autograd")
torch.library.register_autograd(
    "puzzlemix::mix", _backward_mix, setup_context=_save_mix, lib=_library
)
torch.library.register_autograd(
    "puzzlemix::mix_grad", _backward_mix_grad, setup_context=_save_mix_grad, lib=_library
)
