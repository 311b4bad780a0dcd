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

from . import validate
from .arrays import accepts_numpy
from .results import Assignment, GridMinCut, Labeling
from .validate import debug

try:
    from . import _core as _core
except ImportError as error:
    raise ImportError(
        "puzzlemix: the compiled extension puzzlemix._core is missing or does not load: "
        f"run `pip install .` in the project's root ({error})"
    ) from error

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

OPERATORS = torch.ops.puzzlemix

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]


# ---- The functions: check, then call the operator -----------------------------------------------


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
    validate.grid_min_cut(source_caps, sink_caps, vertical, horizontal)
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
    validate.labeling(unary, vertical, horizontal, label_cost, max_cycles)
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
    validate.labeling(unary, vertical, horizontal, label_cost)
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
    validate.labeling(unary, vertical, horizontal, label_cost)
    validate.labels(labels, unary)
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
    validate.assignment(cost, method)
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
    validate.masked_transport(saliency, mask, xi, weight, method)
    return Assignment(
        *OPERATORS.masked_transport.default(
            saliency, mask, xi, weight == "indicator", method == "exact"
        )
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
    validate.mix(x1, x2, mask, source1, source2)
    mixed: Tensor = OPERATORS.mix.default(x1, x2, mask.to(mixing_dtype(x1)), source1, source2)
    return mixed


def mixing_dtype(images: Tensor) -> torch.dtype:
    """The type in which images are mixed."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


# ---- Running a problem where its tensors are ----------------------------------------------------

# As in csrc/tensor.h.
DTYPES = {
    torch.float16: 0,
    torch.bfloat16: 1,
    torch.float32: 2,
    torch.float64: 3,
    torch.int32: 4,
    torch.int64: 5,
}


def solve(
    operator: Any, out: Tensor, sizes: tuple[object, ...], /, **problem: object
) -> validate.Fault | None:
    """Solve where ``out`` is; what is returned is a value that is not allowed, if one was found.

    ``problem`` has the fields of the struct that the operator takes; ``sizes`` is all that its
    scratch memory on CUDA depends on.
    """
    if not out.is_cuda:
        return run_on_cpu(operator, problem)
    count = _scratch_bytes.get((operator, sizes))
    if count is None:
        if len(_scratch_bytes) >= 4096:
            _scratch_bytes.clear()
        count = _scratch_bytes[operator, sizes] = int(operator.scratch_bytes(**problem))
    if not count:
        return _enqueue(operator, out, 0, problem)
    # Scratch memory comes from PyTorch, and is free again for what follows on the stream.
    scratch = torch.empty(count, dtype=torch.uint8, device=out.device)
    return _enqueue(operator, out, scratch.data_ptr(), problem)


_scratch_bytes: dict[tuple[object, object], int] = {}


def run_on_cpu(operator: Any, problem: dict[str, object]) -> validate.Fault | None:
    """Solve on PyTorch's threads. The tests put a host team in its place."""
    fault: validate.Fault | None = operator.run(torch.get_num_threads(), **problem)
    return fault


def _enqueue(
    operator: Any, out: Tensor, scratch: int, problem: dict[str, object]
) -> validate.Fault | None:
    """Solve on the current stream of the device of ``out``, without waiting for it."""
    index = out.get_device()
    if index != torch.cuda.current_device():
        with torch.cuda.device(index):
            return _enqueue(operator, out, scratch, problem)
    # Builds of PyTorch without CUDA lack this, and tensors on CUDA too.
    stream = torch._C._cuda_getCurrentRawStream(index)
    fault: validate.Fault | None = operator.enqueue(stream, scratch, **problem)
    return fault


def _looked_at(function: str, *tensors: Tensor | None, xi: float = 0.0) -> None:
    """On CUDA values are looked at for `debug(True)` alone, and then before anything runs."""
    if validate.debugging():
        validate.expect_values(function, *tensors, xi=xi)


# ---- Graph cuts ---------------------------------------------------------------------------------


def _cut_like(source_caps: Tensor, *_: Tensor) -> Pair:
    batch, height, width = source_caps.shape
    device = source_caps.device
    segment = torch.empty(batch, height, width, dtype=torch.bool, device=device)
    return segment, torch.empty(batch, dtype=torch.float64, device=device)


def _cut(source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor) -> Pair:
    if source_caps.is_cuda:
        _looked_at("grid_min_cut", source_caps, sink_caps, vertical, horizontal)
    segment, flow = _cut_like(source_caps)
    batch, height, width = segment.shape
    # Layouts are dense on the other side.
    source, sink = source_caps.contiguous(), sink_caps.contiguous()
    down, right = vertical.contiguous(), horizontal.contiguous()
    fault = solve(
        _core.grid_min_cut,
        flow,
        (batch, height, width),
        source=source.data_ptr(),
        source_dtype=DTYPES[source.dtype],
        sink=sink.data_ptr(),
        sink_dtype=DTYPES[sink.dtype],
        vertical=down.data_ptr(),
        vertical_dtype=DTYPES[down.dtype],
        horizontal=right.data_ptr(),
        horizontal_dtype=DTYPES[right.dtype],
        integers=source.dtype is torch.int32,
        batch=batch,
        height=height,
        width=width,
        segment=segment.data_ptr(),
        flow=flow.data_ptr(),
    )
    if fault:
        given = source_caps, sink_caps, vertical, horizontal
        raise validate.refused("grid_min_cut", given, fault)
    return segment, flow


def _labeling_like(unary: Tensor, *_: object) -> Pair:
    batch, height, width = unary.shape[:3]
    labels = torch.empty(batch, height, width, dtype=torch.int64, device=unary.device)
    return labels, torch.empty(batch, dtype=torch.float64, device=unary.device)


def _alpha_beta_swap(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor, max_cycles: int
) -> Pair:
    costs = unary, vertical, horizontal, label_cost
    return _label(_core.alpha_beta_swap, "alpha_beta_swap", costs, max_cycles)


def _exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Pair:
    costs = unary, vertical, horizontal, label_cost
    return _label(_core.exact_labeling, "exact_labeling", costs)


def _label(operator: Any, function: str, costs: Sequence[Tensor], max_cycles: int = -1) -> Pair:
    if costs[0].is_cuda:
        _looked_at(function, *costs)
    labels, energy = _labeling_like(*costs)
    if fault := _solve_labeling(operator, costs, labels, energy, max_cycles):
        raise validate.refused(function, costs, fault)
    return labels, energy


def _energy_like(labels: Tensor, unary: Tensor, *_: Tensor) -> Tensor:
    return torch.empty(unary.shape[0], dtype=torch.float64, device=unary.device)


def _energy(
    labels: Tensor, unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Tensor:
    costs = unary, vertical, horizontal, label_cost
    if unary.is_cuda:
        _looked_at("labeling_energy", labels, *costs)
    energy = _energy_like(labels, unary)
    given = labels.long().contiguous()
    if fault := _solve_labeling(_core.labeling_energy, costs, given, energy):
        raise validate.refused("labeling_energy", (labels, *costs), fault)
    return energy


def _solve_labeling(
    operator: Any,
    costs: Sequence[Tensor],
    labels: Tensor,
    energy: Tensor,
    max_cycles: int = -1,
) -> validate.Fault | None:
    unary, down, right, label_cost = [cost.contiguous() for cost in costs]
    batch, height, width, count = unary.shape
    return solve(
        operator,
        energy,
        (batch, height, width, count),
        unary=unary.data_ptr(),
        unary_dtype=DTYPES[unary.dtype],
        vertical=down.data_ptr(),
        vertical_dtype=DTYPES[down.dtype],
        horizontal=right.data_ptr(),
        horizontal_dtype=DTYPES[right.dtype],
        label_cost=label_cost.data_ptr(),
        label_cost_dtype=DTYPES[label_cost.dtype],
        label_cost_in_host_memory=not label_cost.is_cuda,
        integers=unary.dtype is torch.int32,
        batch=batch,
        height=height,
        width=width,
        labels=count,
        out=labels.data_ptr(),
        energy=energy.data_ptr(),
        max_cycles=max_cycles,
    )


# ---- Transport ----------------------------------------------------------------------------------


def _assignment_like(cost: Tensor, exact: bool) -> Pair:
    batch, count, _ = cost.shape
    source = torch.empty(batch, count, dtype=torch.int64, device=cost.device)
    return source, torch.empty(batch, dtype=torch.float64, device=cost.device)


def _assignment(cost: Tensor, exact: bool) -> Pair:
    if cost.is_cuda:
        _looked_at("assignment", cost)
    source, total = _assignment_like(cost, exact)
    batch, count = source.shape
    given = cost.contiguous()
    dtype = DTYPES[given.dtype]
    fault = solve(
        _core.assignment,
        total,
        (batch, count, exact, dtype),
        cost=given.data_ptr(),
        cost_dtype=dtype,
        batch=batch,
        n=count,
        exact=exact,
        source=source.data_ptr(),
        total=total.data_ptr(),
    )
    if fault:
        raise validate.refused("assignment", (cost,), fault)
    return source, total


def _transport_like(saliency: Tensor, *_: object) -> Pair:
    batch, height, width = saliency.shape
    source = torch.empty(batch, height, width, dtype=torch.int64, device=saliency.device)
    return source, torch.empty(batch, dtype=torch.float64, device=saliency.device)


def _transport(saliency: Tensor, mask: Tensor, xi: float, indicator: bool, exact: bool) -> Pair:
    if saliency.is_cuda:
        _looked_at("masked_transport", saliency, mask, xi=xi)
    source, total = _transport_like(saliency)
    batch, height, width = source.shape
    worth, shown = saliency.contiguous(), mask.contiguous()
    fault = solve(
        _core.masked_transport,
        total,
        (batch, height, width, exact),
        saliency=worth.data_ptr(),
        saliency_dtype=DTYPES[worth.dtype],
        mask=shown.data_ptr(),
        mask_dtype=DTYPES[shown.dtype],
        batch=batch,
        height=height,
        width=width,
        xi=xi,
        indicator=indicator,
        exact=exact,
        source=source.data_ptr(),
        total=total.data_ptr(),
    )
    if fault:
        raise validate.refused("masked_transport", (saliency, mask), fault, xi=xi)
    return source, total


# ---- The mix and its gradients ------------------------------------------------------------------


def _mix_like(x1: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x1, memory_format=torch.contiguous_format)


def _mix(
    x1: Tensor, x2: Tensor, mask: Tensor, source1: Tensor | None, source2: Tensor | None
) -> Tensor:
    if x1.is_cuda:
        _looked_at("mix", x1, x2, mask, source1, source2)
    mixed = _mix_like(x1)
    own, partner = x1.contiguous(), x2.contiguous()
    layout, alive = _layout(own, mask, source1, source2)
    fault = solve(
        _core.mix,
        mixed,
        (),
        **layout,
        x1=own.data_ptr(),
        x2=partner.data_ptr(),
        out=mixed.data_ptr(),
    )
    if fault:
        raise validate.refused("mix", (x1, x2, mask, source1, source2), fault)
    del alive
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
    grad1, grad2, grad_mask = (
        address(g if wanted else None) for g, wanted in zip(gradients, needed, strict=True)
    )
    above = grad.contiguous()
    # The images are read for the gradient of the mask alone.
    own, partner = (None if x is None else x.contiguous() for x in (x1, x2))
    layout, alive = _layout(above, mask, source1, source2)
    fault = solve(
        _core.mix_grad,
        above,
        (),
        **layout,
        grad=above.data_ptr(),
        x1=address(own),
        x2=address(partner),
        grad1=grad1,
        grad2=grad2,
        grad_mask=grad_mask,
    )
    if fault:
        raise validate.refused("mix", (x1, x2, mask, source1, source2), fault)
    del alive
    return gradients


def _layout(
    images: Tensor, mask: Tensor, source1: Tensor | None, source2: Tensor | None
) -> tuple[dict[str, Any], tuple[Tensor | None, ...]]:
    """What csrc/mix/mix.h calls a layout, and the tensors that must outlive its use."""
    mask = mask.contiguous()
    source1, source2 = (
        None if source is None else source.long().contiguous() for source in (source1, source2)
    )
    layout = {
        "shape": images.shape,
        "dtype": DTYPES[images.dtype],
        "mask": mask.data_ptr(),
        "mask_dtype": DTYPES[mask.dtype],
        "mask_grid": mask.shape[1:],
        "source1": address(source1),
        "grid1": (1, 1) if source1 is None else source1.shape[1:],
        "source2": address(source2),
        "grid2": (1, 1) if source2 is None else source2.shape[1:],
    }
    return layout, (mask, source1, source2)


def address(tensor: Tensor | None) -> int:
    """Where a tensor lies; 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()


def _save_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x1, x2, mask, source1, source2 = inputs
    # The images are kept alive for the mask's gradient alone.
    images = (x1, x2) if ctx.needs_input_grad[2] else (None, None)
    ctx.save_for_backward(*images, mask, source1, source2)


def _backward_mix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:3])
    gradients = OPERATORS.mix_grad.default(grad, *ctx.saved_tensors, needed)
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
    for_grad = _mixed(to1, to2, mask, source1, source2)
    for_mask = _block_sum(grad * (_moved(to1, source1) - _moved(to2, source2)), mask)
    for_x1 = for_x2 = None
    if needed_mask:
        spread = _spread(to_mask, grad)
        for_grad = for_grad + spread * (_moved(x1, source1) - _moved(x2, source2))
        share = spread * grad
        for_x1, for_x2 = _moved_back(share, source1), -_moved_back(share, source2)
    return for_grad, for_x1, for_x2, for_mask.to(mask.dtype), None, None, None


def _mixed(
    x1: Tensor, x2: Tensor, mask: Tensor, source1: Tensor | None, source2: Tensor | None
) -> Tensor:
    mixed: Tensor = OPERATORS.mix.default(x1, x2, mask, source1, source2)
    return mixed


def _moved(x: Tensor, source: Tensor | None) -> Tensor:
    """P x."""
    return _mixed(x, x, x.new_ones((x.shape[0], 1, 1), dtype=mixing_dtype(x)), source, source)


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

library = torch.library.Library("puzzlemix", "DEF")


def register(
    schema: str,
    like: Callable[..., Any],
    kernel: Callable[..., Any],
    *,
    cuda: bool = True,
    decides: bool = True,
) -> None:
    """Make an operator of a kernel; ``like`` returns what it returns, for fake tensors.

    A decision has no gradient: without a word on that its floats would claim to need one.
    """
    name = schema.split("(")[0]
    library.define(schema)
    library.impl(name, kernel, "CPU")
    if cuda:
        library.impl(name, kernel if _core.cuda_toolkit else _no_cuda(name), "CUDA")
    if decides:
        library.impl(name, torch.library.fallthrough_kernel, "Autograd")
    torch.library.register_fake(f"puzzlemix::{name}", like, lib=library)


def _no_cuda(name: str) -> Callable[..., Any]:
    def refuse(*args: object) -> Any:
        raise missing_cuda(name)

    return refuse


def missing_cuda(operation: str) -> RuntimeError:
    """The error for a CUDA tensor in a build without CUDA."""
    return RuntimeError(
        f"{operation}: got a CUDA tensor, but this build of puzzlemix has no CUDA: install the "
        "CUDA toolkit and build again with `PUZZLEMIX_CUDA=ON pip install .`, or move the "
        "tensors to the CPU"
    )


_LABELING = "Tensor unary, Tensor vertical, Tensor horizontal, Tensor label_cost"
_SOURCES = "Tensor? source1, Tensor? source2"
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
register("assignment(Tensor cost, bool exact) -> (Tensor, Tensor)", _assignment_like, _assignment)
register(
    "masked_transport(Tensor saliency, Tensor mask, float xi, bool indicator, bool exact)"
    " -> (Tensor, Tensor)",
    _transport_like,
    _transport,
)
register(
    f"mix(Tensor x1, Tensor x2, Tensor mask, {_SOURCES}) -> Tensor",
    _mix_like,
    _mix,
    decides=False,
)
register(
    f"mix_grad(Tensor grad, Tensor? x1, Tensor? x2, Tensor mask, {_SOURCES}, bool[3] needed)"
    " -> (Tensor, Tensor, Tensor)",
    _mix_grad_like,
    _mix_grad,
    decides=False,
)
torch.library.register_autograd(
    "puzzlemix::mix", _backward_mix, setup_context=_save_mix, lib=library
)
torch.library.register_autograd(
    "puzzlemix::mix_grad", _backward_mix_grad, setup_context=_save_mix_grad, lib=library
)
