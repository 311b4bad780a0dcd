"""The mix of images, its gradients of any order, and mixed labels: from check to crossing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .. import validate
from ..arrays import accepts_numpy
from .border import (
    DTYPES,
    OPERATORS,
    Triple,
    _core,
    address,
    looked_at,
    register,
    register_gradient,
    solve,
)

__all__ = ["check_labels", "mix", "mix_labels", "mix_tensors", "mixed", "mixing_dtype"]


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
    validate.mix(x1, x2, mask, source1, source2, partner)
    return mixed(x1, x2, mask.to(mixing_dtype(x1)), source1, source2, partner, False)


def mixing_dtype(images: Tensor) -> torch.dtype:
    """The type in which images are mixed."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


def memory_format(images: Tensor) -> torch.memory_format:
    """The format in which images are mixed: channels_last where they are dense in it alone."""
    if images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


# ---- The operator -------------------------------------------------------------------------------


def mixed(
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
    result: Tensor
    given = x1, x2, mask, source1, source2, partner, trusted
    if (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or (
            torch.is_grad_enabled()
            and (x1.requires_grad or mask.requires_grad or (x2 is not None and x2.requires_grad))
        )
    ):
        result = _differentiable_mix(*given)
    else:
        with torch._C._AutoDispatchBelowAutograd():
            result = OPERATORS.mix.default(*given)
    return result


def _mix_like(x1: Tensor, *_: object) -> Tensor:
    return torch.empty_like(x1, memory_format=memory_format(x1))


def _mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    trusted: bool,
) -> Tensor:
    given = x1, x2, mask, source1, source2, partner
    if x1.is_cuda and not trusted:
        looked_at("mix", *given)
    out = _mix_like(x1)
    x1, x2 = _in_format_of(out, x1, x2)
    others = 0 if x2 is None else x2.shape[0]
    layout, alive = _layout(out, mask, source1, source2, partner, others, trusted)
    fault = solve(
        _core.mix, out, (), **layout, x1=x1.data_ptr(), x2=address(x2), out=out.data_ptr()
    )
    if fault:
        raise validate.refused("mix", given, fault)
    del alive
    return out


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
    format = memory_format(grad)

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
    grad1, grad2, grad_mask = (
        address(g if wanted else None) for g, wanted in zip(gradients, needed, strict=True)
    )
    grad = grad.contiguous(memory_format=memory_format(grad))
    # Read for the gradient of the mask alone.
    x1, x2 = _in_format_of(grad, x1, x2)
    layout, alive = _layout(grad, mask, *moves, others, trusted)
    inverse = None
    if grad.is_cuda and needed[1] and partner is not None and source2 is not None:
        inverse = torch.empty_like(source2, dtype=torch.int64)
    fault = solve(
        _core.mix_grad,
        grad,
        (),
        **layout,
        grad=grad.data_ptr(),
        x1=address(x1),
        x2=address(x2),
        grad1=grad1,
        grad2=grad2,
        grad_mask=grad_mask,
        inverse=address(inverse),
    )
    if fault:
        raise validate.refused("mix", (*images, mask, *moves), fault)
    del alive
    return gradients


def _in_format_of(dense: Tensor, *images: Tensor | None) -> list[Any]:
    """The images in the memory format of the one that is dense."""
    format = torch.contiguous_format if dense.is_contiguous() else torch.channels_last
    return [x if x is None else x.contiguous(memory_format=format) for x in images]


def _layout(
    images: Tensor,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
    trusted: bool,
) -> tuple[dict[str, Any], tuple[Tensor | None, ...]]:
    """The fields of MixLayout (csrc/mix/mix.h), and the tensors that must outlive their use."""
    batch, channels, height, width = images.shape
    if not images.is_contiguous():  # channels_last: one plane, whose rows are C times as wide
        channels, width = 1, width * channels
    _, mask_rows, mask_cols = mask.shape
    mask_step = mask_rows * mask_cols
    if batch > 1 and mask.stride(0) == 0:  # expanded: one mask for all
        mask, mask_step = mask[0], 0
    mask = mask.contiguous()
    source1, source2, partner = _index(source1), _index(source2), _index(partner)
    _, rows1, cols1 = (1, 1, 1) if source1 is None else source1.shape
    _, rows2, cols2 = (1, 1, 1) if source2 is None else source2.shape
    layout = {
        "dtype": DTYPES[images.dtype],
        "mask": mask.data_ptr(),
        "mask_step": mask_step,
        "mask_rows": mask_rows,
        "mask_cols": mask_cols,
        "source1": address(source1),
        "rows1": rows1,
        "cols1": cols1,
        "source2": address(source2),
        "rows2": rows2,
        "cols2": cols2,
        "partner": address(partner),
        "batch": batch,
        "others": others,
        "channels": channels,
        "height": height,
        "width": width,
        "trusted": trusted,
    }
    return layout, (mask, source1, source2, partner)


def _index(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.long().contiguous()


def _save_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x1, x2, mask, source1, source2, partner, _ = inputs
    # The images are kept alive for the mask's gradient alone.
    images = (x1, x2) if ctx.needs_input_grad[2] else (None, None)
    ctx.save_for_backward(*images, mask, source1, source2, partner)
    ctx.save_for_forward(x1, x2, mask, source1, source2, partner)
    ctx.others = 0 if x2 is None else x2.shape[0]
    ctx.format = memory_format(x1)


def _backward_mix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = list(ctx.needs_input_grad[:3])
    grad = grad.contiguous(memory_format=ctx.format)
    # What was looked at on the way forward is the same still: PyTorch sees to it.
    gradients = _differentiable_mix_grad(grad, *ctx.saved_tensors, ctx.others, needed, True)
    x1, x2, mask = (g if wanted else None for g, wanted in zip(gradients, needed, strict=True))
    mask = None if mask is None else mask.to(ctx.saved_tensors[2].dtype)
    return x1, x2, mask, None, None, None, None


def _tangent_mix(ctx: Any, *tangents: Tensor | None) -> Tensor:
    """A mix of the images' tangents, and the mask's tangent times the difference of the images."""
    x1, x2, mask, *moves = ctx.saved_tensors
    of_x1, of_x2, of_mask = tangents[:3]
    tangent = _mixed(x1, of_x1, of_x2, mask, *moves)
    if of_mask is not None:
        tangent = tangent + _spread(of_mask, x1) * _difference(x1, x1, x2, *moves)
    return tangent


def _save_mix_grad(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
    *tensors, ctx.others, ctx.needed, _ = inputs
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


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


def _tangent_mix_grad(ctx: Any, *tangents: Tensor | None) -> Triple:
    """The gradients are linear in each of what they depend on; in the letters of its gradient."""
    grad, x1, x2, mask, *moves = ctx.saved_tensors
    of_grad, of_x1, of_x2, of_mask = tangents[:4]
    images = x1, x2
    if of_grad is None:
        of_grad = torch.zeros_like(grad)
    given = of_grad, *images, mask, *moves, ctx.others, ctx.needed, True
    for_x1, for_x2, for_mask = _differentiable_mix_grad(*given)
    if of_mask is not None:
        share = _spread(of_mask, grad) * grad
        if ctx.needed[0]:
            for_x1 = for_x1 + _moved_back(share, 0, grad.shape[0], *moves)
        if ctx.needed[1]:
            for_x2 = for_x2 - _moved_back(share, 1, ctx.others, *moves)
    if ctx.needed[2] and (of_x1 is not None or of_x2 is not None):
        for_mask = for_mask + _block_sum(grad * _difference(grad, of_x1, of_x2, *moves), mask)
    return for_x1, for_x2, for_mask


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
    mixed: Tensor = _differentiable_mix(x1, x2, mask, source1, source2, partner, True)
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
    back: Tensor = _differentiable_mix_grad(x, *given)[image]
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


_MOVES = "Tensor? source1, Tensor? source2, Tensor? partner"
register(
    f"mix(Tensor x1, Tensor? x2, Tensor mask, {_MOVES}, bool trusted) -> Tensor",
    _mix_like,
    _mix,
    decides=False,
)
register(
    f"mix_grad(Tensor grad, Tensor? x1, Tensor? x2, Tensor mask, {_MOVES}, SymInt others,"
    " bool[3] needed, bool trusted) -> (Tensor, Tensor, Tensor)",
    _mix_grad_like,
    _mix_grad,
    decides=False,
)
_differentiable_mix = register_gradient("mix", _save_mix, _backward_mix, _tangent_mix)
_differentiable_mix_grad = register_gradient(
    "mix_grad", _save_mix_grad, _backward_mix_grad, _tangent_mix_grad
)


# ---- Labels -------------------------------------------------------------------------------------


def check_labels(labels: Tensor, classes: int) -> validate.Fault | None:
    """Look for a number that is no class, on the CPU."""
    labels = labels.long().contiguous()
    fault: validate.Fault | None = _core.check_labels(labels.data_ptr(), labels.shape[0], classes)
    return fault


def mix_labels(
    labels: Tensor,
    others: Tensor | None,
    ratio: Tensor | None,
    partner: Tensor | None,
    out: Tensor,
) -> validate.Fault | None:
    """Mix class numbers into weights [N, K] float32, on the CPU; see csrc/mix/labels.h."""
    labels, others, partner = labels.long().contiguous(), _index(others), _index(partner)
    if ratio is not None:
        ratio = ratio.to(torch.float32).contiguous()
    fault: validate.Fault | None = _core.mix_labels(
        labels=labels.data_ptr(),
        others=address(others),
        ratio=address(ratio),
        partner=address(partner),
        out=out.data_ptr(),
        batch=out.shape[0],
        count=0 if others is None else others.shape[0],
        classes=out.shape[1],
    )
    return fault
