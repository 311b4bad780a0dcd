"""The operators `torch.ops.puzzlemix`: room for the results, the call, the gradients.

Their arguments have been checked by ops.py; what they add is the look at the values, after the
fact: where the compiled code finds one that is not allowed, the value checks say which. CUDA's
doesn't look, so there it is done before, and only for `debug(True)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _native, check

__all__ = ["OPERATORS", "mix", "mixing_dtype"]

OPERATORS = torch.ops.puzzlemix


def mixing_dtype(images: Tensor) -> torch.dtype:
    """The type in which images are mixed."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


# ---- The operators, and what they return for fake tensors ----------------------------------------

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]


def _grid_min_cut_like(source_caps: Tensor, *_: Tensor) -> Pair:
    segment = source_caps.new_empty(source_caps.shape, dtype=torch.bool)
    return segment, source_caps.new_empty(source_caps.shape[:1], dtype=torch.float64)


def _grid_min_cut(*capacities: Tensor) -> Pair:
    if _asked_to_look(capacities[0]):
        check.grid_min_cut_values(*capacities)
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
    if _asked_to_look(unary):
        check.labeling_values(*costs, convex=False)
    labels, energy = _labeling_like(unary)
    if not _native.alpha_beta_swap(costs, max_cycles, labels, energy):
        check.labeling_values(*costs, convex=False)
        raise _refused("alpha_beta_swap")
    return labels, energy


def _exact_labeling(
    unary: Tensor, vertical: Tensor, horizontal: Tensor, label_cost: Tensor
) -> Pair:
    costs = unary, vertical, horizontal, label_cost
    if _asked_to_look(unary):
        check.labeling_values(*costs, convex=True)
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
    if _asked_to_look(unary):
        check.labeling_values(*costs, convex=False, bounded=False)
        check.labels_values(labels, unary.shape[3])
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
    if _asked_to_look(cost):
        check.assignment_values(cost)
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
    if _asked_to_look(saliency):
        check.masked_transport_values(saliency, mask, xi)
    source, total = _masked_transport_like(saliency)
    if not _native.masked_transport(saliency, mask, xi, indicator, exact, source, total):
        check.masked_transport_values(saliency, mask, xi)
        raise _refused("masked_transport")
    return source, total


def _asked_to_look(tensor: Tensor) -> bool:
    """Whether to look at values that the solvers don't look at themselves."""
    return not _native.checks_values(tensor) and check.debugging()


def _refused(name: str) -> ValueError:
    # The value checks say what is wrong; this is for what they might not foresee.
    return ValueError(f"{name}: expected values within the contract of the function")


# ---- The costs and the terms of pairs of images -------------------------------------------------


def _pair_costs_like(cells1: Tensor, cells2: Tensor, *pairs: Any) -> Triple:
    shares, log_prior, grid = pairs[1], pairs[2], pairs[5]
    (batch, labels), (height, width) = log_prior.shape, grid
    return (
        shares.new_empty(batch, height, width, labels),
        shares.new_empty(batch, height - 1, width),
        shares.new_empty(batch, height, width - 1),
    )


def _pair_costs(*pairs: Any) -> Triple:
    costs = _pair_costs_like(*pairs)
    _native.pair_costs(_native.Pairs(*pairs), *costs)
    return costs


def _pair_terms_like(labels: Tensor, cells1: Tensor, cells2: Tensor, *pairs: Any) -> Tensor:
    shares: Tensor = pairs[1]
    return shares.new_empty(shares.shape[0], 6)


def _pair_terms(labels: Tensor, *pairs: Any) -> Tensor:
    terms = _pair_terms_like(labels, *pairs)
    _native.pair_terms(_native.Pairs(*pairs), labels, terms)
    return terms


def _block_sums_like(values: Tensor, rows: int, columns: int, precise: bool) -> Tensor:
    height, width = values.shape[-2:]
    dtype = torch.float64 if precise else values.dtype
    return values.new_empty((*values.shape[:-2], height // rows, width // columns), dtype=dtype)


def _block_sums(values: Tensor, rows: int, columns: int, precise: bool) -> Tensor:
    sums = _block_sums_like(values, rows, columns, precise)
    _native.block_sums(values, rows, columns, sums)
    return sums


# ---- The mix and its gradients -------------------------------------------------------------------


def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    trusted: bool,
) -> Tensor:
    """The operator ``mix``; ``trusted``: mask, sources and partner needn't be looked at.

    PyTorch's layer for gradients, which is in Python, takes as long as two small mixes: it is left
    out where nothing needs a gradient.
    """
    mixed: Tensor
    given = x1, x2, mask, source1, source2, partner, trusted
    if torch.compiler.is_compiling() or (
        torch.is_grad_enabled()
        and (x1.requires_grad or mask.requires_grad or (x2 is not None and x2.requires_grad))
    ):
        mixed = OPERATORS.mix.default(*given)
    else:
        with torch._C._AutoDispatchBelowAutograd():
            mixed = OPERATORS.mix.default(*given)
    return mixed


def _mix_like(x1: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x1, memory_format=_native.memory_format(x1))


def _mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    trusted: bool,
) -> Tensor:
    moves = source1, source2, partner
    if _asked_to_look(x1) and not trusted:
        check.mix_values(mask, *moves, 0 if x2 is None else len(x2))
    mixed = _mix_like(x1)
    fault = _native.mix(x1, x2, mask, *moves, trusted, mixed)
    if fault is not None:
        raise check.mix_fault(fault, mask, *moves, 0 if x2 is None else len(x2))
    return mixed


def _mix_grad_like(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
    needed: Sequence[bool],
    trusted: bool,
) -> Triple:
    """Room for the gradients of x1, x2 and the mask; nothing where none is needed."""
    format = _native.memory_format(grad)

    def image(count: int, wanted: bool) -> Tensor:
        if not wanted:
            return grad.new_empty(0)
        shape = (count, *grad.shape[1:])
        return torch.empty(shape, dtype=grad.dtype, device=grad.device, memory_format=format)

    shape = mask.shape if needed[2] else (0,)
    grad_mask = mask.new_empty(shape, dtype=torch.float64)
    return image(grad.shape[0], needed[0]), image(others, needed[1]), grad_mask


def _mix_grad(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
    needed: Sequence[bool],
    trusted: bool,
) -> Triple:
    images, moves = (x1, x2), (source1, source2, partner)
    gradients = _mix_grad_like(grad, *images, mask, *moves, others, needed, trusted)
    if grad.shape[0] == 0:  # images that are nobody's partner
        return gradients[0], gradients[1].zero_(), gradients[2]
    into = (g if wanted else None for g, wanted in zip(gradients, needed, strict=True))
    grad = grad.contiguous(memory_format=_native.memory_format(grad))
    fault = _native.mix_grad(grad, *images, mask, *moves, others, trusted, *into)
    if fault is not None:
        raise check.mix_fault(fault, mask, *moves, others)
    return gradients


def _save_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x1, x2, mask, source1, source2, partner, _ = inputs
    # The images are kept alive for the mask's gradient alone.
    images = (x1, x2) if ctx.needs_input_grad[2] else (None, None)
    ctx.save_for_backward(*images, mask, source1, source2, partner)
    ctx.others = 0 if x2 is None else x2.shape[0]
    ctx.format = _native.memory_format(x1)


def _backward_mix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:3])
    grad = grad.contiguous(memory_format=ctx.format)
    # What was looked at on the way forward is the same still: PyTorch sees to it.
    gradients = OPERATORS.mix_grad.default(grad, *ctx.saved_tensors, ctx.others, needed, True)
    x1, x2, mask = (g if wanted else None for g, wanted in zip(gradients, needed, strict=True))
    mask = None if mask is None else mask.to(ctx.saved_tensors[2].dtype)
    return x1, x2, mask, None, None, None, None


def _save_mix_grad(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
    *tensors, ctx.others, ctx.needed, _ = inputs
    ctx.save_for_backward(*tensors)


def _backward_mix_grad(
    ctx: Any, to1: Tensor, to2: Tensor, to_mask: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient of the gradient, from mixes: these are differentiable in their turn.

    grad1 = P1' (z g), grad2 = Q' P2' ((1 - z) g), grad_mask = S (g (P1 x1 - P2 Q x2)): Q takes each
    sample's partner, S is the sum over a block of the mask.
    """
    grad, x1, x2, mask, *moves = ctx.saved_tensors
    needed1, needed2, needed_mask = ctx.needed
    first, second = to1 if needed1 else None, to2 if needed2 else None
    for_grad = _mixed(grad, first, second, mask, *moves)
    for_mask = _block_sum(grad * _difference(grad, first, second, *moves), mask)
    for_x1 = for_x2 = None
    if needed_mask:
        spread = _spread(to_mask, grad)
        for_grad = for_grad + spread * _difference(grad, x1, x2, *moves)
        share = spread * grad
        for_x1 = _moved_back(share, 0, grad.shape[0], *moves)
        for_x2 = None if x2 is None else -_moved_back(share, 1, ctx.others, *moves)
    return for_grad, for_x1, for_x2, for_mask.to(mask.dtype), *(None,) * 6


def _mixed(
    like: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
) -> Tensor:
    """z P1 x1 + (1 - z) P2 Q x2 of images like the first, either of which may be missing: zeros."""
    if x1 is None:
        x1, source1 = torch.zeros_like(like), None
    if x2 is None:
        source2 = partner = None
    mixed: Tensor = OPERATORS.mix.default(x1, x2, mask, source1, source2, partner, True)
    return mixed


def _difference(like: Tensor, x1: Tensor | None, x2: Tensor | None, *moves: Any) -> Tensor:
    """P1 x1 - P2 Q x2."""
    ones = torch.ones((like.shape[0], 1, 1), dtype=mixing_dtype(like), device=like.device)
    return _mixed(like, x1, None, ones, *moves) - _mixed(like, None, x2, ones - 1, *moves)


def _moved_back(x: Tensor, image: int, count: int, *moves: Tensor | None) -> Tensor:
    """P1' x for image 0; Q' P2' x, of so many images, for image 1."""
    mask = torch.full((x.shape[0], 1, 1), 1 - image, dtype=mixing_dtype(x), device=x.device)
    needed = [image == 0, image == 1, False]
    given = None, None, mask, *moves, count, needed, True
    back: Tensor = OPERATORS.mix_grad.default(x, *given)[image]
    return back


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


def _no_cuda(name: str) -> Callable[..., Any]:
    def refuse(*args: object) -> Any:
        raise _native.missing_cuda(name)

    return refuse


def _register(
    schema: str, like: Callable[..., Any], solve: Callable[..., Any], cuda: bool = True
) -> None:
    name = schema.split("(")[0]
    _library.define(schema)
    _library.impl(name, solve, "CPU")
    if cuda:
        _library.impl(name, solve if _native.CUDA_TOOLKIT else _no_cuda(name), "CUDA")
    torch.library.register_fake(f"puzzlemix::{name}", like, lib=_library)


_LABELING = "Tensor unary, Tensor vertical, Tensor horizontal, Tensor label_cost"
_MOVES = "Tensor? source1, Tensor? source2, Tensor? partner"
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
_PAIRS = (
    "Tensor cells1, Tensor cells2, Tensor? partner, Tensor shares, Tensor log_prior,"
    " Tensor? sources, bool moved, int[] grid, float[] model"
)
_register(f"pair_costs({_PAIRS}) -> (Tensor, Tensor, Tensor)", _pair_costs_like, _pair_costs)
_register(f"pair_terms(Tensor labels, {_PAIRS}) -> Tensor", _pair_terms_like, _pair_terms)
_register(
    "block_sums(Tensor values, int rows, int columns, bool precise) -> Tensor",
    _block_sums_like,
    _block_sums,
    cuda=False,
)
_register(
    f"mix(Tensor x1, Tensor? x2, Tensor mask, {_MOVES}, bool trusted) -> Tensor", _mix_like, _mix
)
_register(
    f"mix_grad(Tensor grad, Tensor? x1, Tensor? x2, Tensor mask, {_MOVES}, SymInt others,"
    " bool[3] needed, bool trusted) -> (Tensor, Tensor, Tensor)",
    _mix_grad_like,
    _mix_grad,
)
# Decisions have no gradient: without this their floats would claim to need one.
for _name in (
    "grid_min_cut",
    "alpha_beta_swap",
    "exact_labeling",
    "labeling_energy",
    "assignment",
    "masked_transport",
    "pair_costs",
    "pair_terms",
    "block_sums",
):
    _library.impl(_name, torch.library.fallthrough_kernel, "Autograd")
torch.library.register_autograd(
    "puzzlemix::mix", _backward_mix, setup_context=_save_mix, lib=_library
)
torch.library.register_autograd(
    "puzzlemix::mix_grad", _backward_mix_grad, setup_context=_save_mix_grad, lib=_library
)
