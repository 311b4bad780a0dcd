"""The mix of images, its gradient, and mixed labels: functions and operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..arrays import accepts_numpy
from ..validate import contracts
from .border import _core, call, dense_index, register, register_gradient, solve

__all__ = ["are_classes", "mix", "mix_labels", "mix_tensors", "mixed", "mixing_dtype"]


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
        x2: [N, C, Y, X] of x1's type, N = B without ``partner``. None stands for zeros, which are
            never made.
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
    trusted: bool = False,
) -> Tensor:
    """`mix` for callers within the package, which have no NumPy arrays; ``trusted``: the values of
    mask, sources and partner are known to be valid."""
    contracts.mix(x1, x2, mask, source1, source2, partner)
    return mixed(x1, x2, mask.to(mixing_dtype(x1)), source1, source2, partner, trusted)


def mixing_dtype(images: Tensor) -> torch.dtype:
    """The type in which images are mixed."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


def memory_format(images: Tensor) -> torch.memory_format:
    """The format in which images are mixed: channels_last if they are dense in no other format."""
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
    """Call the operator ``mix``; ``trusted``: mask, sources and partner are known to be valid.

    PyTorch's autograd function, which is in Python, takes as long as two small mixes. So it is left
    out if nothing needs a gradient.
    """
    given = x1, x2, mask, source1, source2, partner, trusted
    if (
        torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or (
            torch.is_grad_enabled()
            and (x1.requires_grad or mask.requires_grad or (x2 is not None and x2.requires_grad))
        )
    ):
        result: Tensor = _differentiable_mix(*given)
    else:
        result = call("mix", *given)
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
    format = memory_format(x1)
    out = torch.empty_like(x1, memory_format=format)
    problem: dict[str, object] = {
        "x1": x1.contiguous(memory_format=format),
        "x2": None if x2 is None else x2.contiguous(memory_format=format),
        "channels_last": format is torch.channels_last,
        # An expanded tensor is one mask for all samples.
        "mask": (mask[:1] if mask.stride(0) == 0 else mask).contiguous(),
        "source1": dense_index(source1),
        "source2": dense_index(source2),
        "partner": dense_index(partner),
        "trusted": trusted,
        "out": out,
    }
    solve("mix", (x1, x2, mask, source1, source2, partner), out, problem)
    return out


# ---- The gradient -------------------------------------------------------------------------------


def _save_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x1, x2, mask, source1, source2, partner, _ = inputs
    # Images are saved only if the mask needs a gradient.
    images = (x1, x2) if ctx.needs_input_grad[2] else (None, None)
    ctx.save_for_backward(*images, mask, source1, source2, partner)
    ctx.save_for_forward(x1, x2, mask, source1, source2, partner)
    ctx.others = 0 if x2 is None else x2.shape[0]
    ctx.format = memory_format(x1)


def _backward_mix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of x1, x2 and the mask. They are made of mixes, so they are differentiable too.

    P1' (z g), Q' P2' ((1 - z) g) and S (g (P1 x1 - P2 Q x2)), where Q takes each sample's partner
    and S is the sum over a block of the mask and all channels.
    """
    x1, x2, mask, source1, source2, partner = ctx.saved_tensors
    grad = grad.contiguous(memory_format=ctx.format)
    for_x1 = for_x2 = for_mask = None
    if ctx.needs_input_grad[0]:
        for_x1 = _moved_back(grad, mask, source1)
    if ctx.needs_input_grad[1] and partner is None:
        for_x2 = _moved_back(grad, 1 - mask, source2)
    elif ctx.needs_input_grad[1]:
        # An image may be the partner of several samples: their sum is in the type of the mix, and
        # is rounded once to that of the images.
        share = _moved_back(grad.to(mask.dtype), 1 - mask, source2)
        for_x2 = _by_partner(share, partner, ctx.others).to(grad.dtype)
    if ctx.needs_input_grad[2]:
        difference = _difference(x1, x2, mask.dtype, source1, source2, partner)
        for_mask = _block_sum(grad.to(mask.dtype) * difference, mask).to(mask.dtype)
    return for_x1, for_x2, for_mask, None, None, None, None


def _tangent_mix(ctx: Any, *tangents: Tensor | None) -> Tensor:
    """The mix of the images' tangents plus the mask's tangent times the moved x1 - x2."""
    x1, x2, mask, source1, source2, partner = ctx.saved_tensors
    of_x1, of_x2, of_mask = tangents[:3]
    if of_x1 is None:
        of_x1, source1_of = torch.zeros_like(x1), None
    else:
        source1_of = source1
    moves = (None, None) if of_x2 is None else (source2, partner)
    tangent: Tensor = _differentiable_mix(of_x1, of_x2, mask, source1_of, *moves, True)
    if of_mask is None:
        return tangent
    difference = _difference(x1, x2, mask.dtype, source1, source2, partner)
    return tangent + (_spread(of_mask, x1) * difference).to(x1.dtype)


def _moved_back(grad: Tensor, mask: Tensor, source: Tensor | None) -> Tensor:
    """P' (z g): a gradient g times the mask, with blocks moved back to where they came from."""
    share: Tensor = _differentiable_mix(grad, None, mask, None, None, None, True)
    if source is None:
        return share
    inverse = source.flatten(1).argsort(1).view_as(source)
    all_of_it = mask.new_ones(1).expand(len(mask), 1, 1)
    back: Tensor = _differentiable_mix(share, None, all_of_it, inverse, None, None, True)
    return back


def _by_partner(share: Tensor, partner: Tensor, count: int) -> Tensor:
    """Q' x [N, ...]: for each second image the sum of x over the samples whose partner it is."""
    if partner.is_cuda:  # unchecked there: clamped as by MixProblem::other in csrc/mix/mix.h
        sample = torch.arange(len(partner), device=partner.device)
        sample = torch.where(sample < count, sample, 0)
        partner = torch.where((partner >= 0) & (partner < count), partner, sample)
    total = share.new_zeros(count, *share.shape[1:])
    total = total.contiguous(memory_format=memory_format(share))
    return total.index_add(0, partner, share)


def _difference(
    x1: Tensor,
    x2: Tensor | None,
    dtype: torch.dtype,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
) -> Tensor:
    """P1 x1 - P2 Q x2 in the type of the mix."""
    x1 = x1.to(dtype)
    one = x1.new_ones(1).expand(len(x1), 1, 1)
    first: Tensor = _differentiable_mix(x1, None, one, source1, None, None, True)
    if x2 is None:
        return first
    # A mask of 0 keeps the first image from being read.
    second: Tensor = _differentiable_mix(x1, x2.to(dtype), 1 - one, None, source2, partner, True)
    return first - second


def _spread(blocks: Tensor, images: Tensor) -> Tensor:
    """A number for each block, expanded to all pixels and channels of the block."""
    rows, columns = images.shape[2] // blocks.shape[1], images.shape[3] // blocks.shape[2]
    return blocks.repeat_interleave(rows, 1).repeat_interleave(columns, 2)[:, None]


def _block_sum(pixels: Tensor, mask: Tensor) -> Tensor:
    batch, channels, rows, columns = pixels.shape
    h, w = mask.shape[1:]
    blocks = pixels.double().reshape(batch, channels, h, rows // h, w, columns // w)
    return blocks.sum((1, 3, 5))


register(
    "mix(Tensor x1, Tensor? x2, Tensor mask, Tensor? source1, Tensor? source2, Tensor? partner,"
    " bool trusted) -> Tensor",
    _mix_like,
    _mix,
    decides=False,
)
_differentiable_mix = register_gradient("mix", _save_mix, _backward_mix, _tangent_mix)


# ---- Labels -------------------------------------------------------------------------------------


def are_classes(labels: Tensor, classes: int) -> bool:
    """Whether class numbers on the CPU are all in range."""
    return _core.are_classes(dense_index(labels), classes)


def mix_labels(
    labels: Tensor,
    others: Tensor | None,
    ratio: Tensor | None,
    partner: Tensor | None,
    out: Tensor,
) -> bool:
    """Mix class numbers into weights [N, K] float32, on the CPU; see csrc/mix/labels.h.

    False if a class or a partner is out of range; ``out`` then holds anything.
    """
    return _core.mix_labels(
        labels=dense_index(labels),
        others=dense_index(others),
        ratio=None if ratio is None else ratio.float().contiguous(),
        partner=dense_index(partner),
        out=out,
    )
