"""Saliency: where an image matters, to a network or by its own statistics.

``PuzzleMix`` calls its saliency as ``saliency(images, labels)``. ``spectral_saliency`` is such a
function; ``functools.partial`` makes one of ``gradient_saliency``:

    PuzzleMix(saliency=partial(gradient_saliency, model))
    PuzzleMix(saliency=partial(gradient_saliency, model, downscale=2))
    PuzzleMix(saliency=spectral_saliency)

docs/saliency.md compares what they cost and what they keep.

Letters: N batch, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from .plan import expect_labels, weights_of
from .validate.elementary import FLOATS, expect_dtype, expect_integer, expect_tensor

__all__ = [
    "FirstPass",
    "Loss",
    "first_pass",
    "gradient_saliency",
    "loss_of",
    "magnitude",
    "real",
    "spectral_saliency",
]

Loss = Callable[[Any, Tensor], Tensor]
SPECTRAL_SIDE = 64
"""The longer side at which spectra are taken; larger images are averaged down to it, as published,
because the method looks for structure on the scale of the whole image."""
SPECTRAL_SIGMA = 2.5 / 64
"""Standard deviation of the Gaussian that smooths spectral saliency, as a share of the longer side;
from the authors' code."""


def gradient_saliency(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    *,
    downscale: int = 1,
    loss_fn: Loss = F.cross_entropy,
) -> Tensor:
    """How much the loss depends on each pixel (Simonyan, Vedaldi and Zisserman, 2013).

    The square root of the mean over channels of the squared gradient of the loss, a mean over the
    batch, with respect to the images: one forward pass, and a backward pass that computes no
    gradients of parameters. The model runs in its current mode. It is left unchanged, with running
    statistics and all other buffers, ``requires_grad`` and ``.grad`` of its parameters; only random
    generators that its layers draw from advance. Works under ``no_grad``, ``inference_mode`` and
    autocast, with compiled models, and with those that change their input in place. Of a
    ``DistributedDataParallel`` model the module inside is run, so that processes don't wait for
    each other.

    Args:
        model: takes images and returns logits [N, K]: a tensor, an object that has it as
            ``.logits``, or a tuple, list or dict whose first entry or "logits" is it.
        images: [N, C, H, W] of a floating dtype.
        labels: [N] integers or weights [N, K].
        downscale: the network sees the images averaged over squares of this many pixels a side,
            which must divide H and W, and saliency comes at that resolution. With 2, both passes
            cost about a quarter. The model must take images of that size, and the grids of a mixer
            must divide the smaller saliency.
        loss_fn: called as ``loss_fn(logits, weights)``, both in one dtype, half-precision logits in
            float32; a mean over the batch. Integer labels become weights [N, K], and beside one
            logit come as they are. Cross-entropy says nothing of one logit, nor of a sample
            without a positive class: give ``binary_cross_entropy_with_logits``, or another.

    Returns:
        [N, H / downscale, W / downscale], not negative; float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    _expect_images(images)
    expect_tensor("labels", labels)
    assert labels is not None
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    # The number of classes is known only when the model has run.
    expect_labels("labels", labels, labels.shape[1] if labels.dim() == 2 else _ANY, len(images))
    expect_integer("downscale", downscale, least=1)
    if images.shape[2] % downscale or images.shape[3] % downscale:
        raise ValueError(
            f"downscale: expected a divisor of both sides of the images, "
            f"{images.shape[2]}x{images.shape[3]}, got {downscale}"
        )
    images = images.detach()
    if downscale > 1:
        images = F.avg_pool2d(images, downscale)
    gradient = first_pass(model, images, labels.detach(), loss_fn).gradient
    assert gradient is not None
    return magnitude(gradient)


_ANY = 2**31 - 1


def spectral_saliency(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """What stands out from an image's own statistics: the spectral residual (Hou and Zhang, CVPR
    2007), which needs no network.

    From the logarithm of the amplitude spectrum its mean over 3 x 3 frequencies is subtracted. With
    the phase unchanged the result is transformed back to the image plane, squared, and smoothed.
    Where the paper leaves a choice:

    - the image is the mean of its channels, averaged down to ``SPECTRAL_SIDE`` pixels on its longer
      side where it is larger; saliency is then interpolated back to H x W;
    - the spectrum is periodic, and so is its local mean;
    - the Gaussian has ``SPECTRAL_SIGMA`` of the longer side and is cut and normalised at borders;
    - amplitudes are at least the rounding error of a sum over pixels, so that a constant image has
      a constant saliency.

    The result doesn't depend on the scale of pixel values, nor on the rest of the batch.

    Args:
        images: [N, C, H, W] of a floating dtype; half precision is computed in float32.
        labels: ignored; a mixer passes them.

    Returns:
        [N, H, W], not negative; float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    _expect_images(images)
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    sides = images.shape[2], images.shape[3]
    if images.numel() == 0:
        return images.new_zeros((len(images), *sides), dtype=dtype)
    share = min(SPECTRAL_SIDE / max(sides), 1)
    small = max(round(sides[0] * share), 1), max(round(sides[1] * share), 1)
    # Without autocast, which would do the smoothing in half precision.
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        wanted = sides, small, dtype, images.device
        made = _constants(*wanted) if _is_passing(images) else _kept_constants(*wanted)
        plane = images.to(dtype).mean(1)
        if small != sides:
            plane = F.adaptive_avg_pool2d(plane, small)
        # A real image's spectrum is symmetric, so half of it is enough. Never of a single plane,
        # for which MKL's result has other bits than for the plane in a batch.
        spectrum = torch.fft.rfft2(plane.expand(max(len(plane), 2), -1, -1))[: len(plane)]
        size = torch.linalg.vector_norm(plane, 1, (1, 2), keepdim=True)
        rounding = torch.add(made.tiny, size, alpha=torch.finfo(dtype).eps)
        log = torch.maximum(spectrum.abs(), rounding).log_()
        around = log.flatten(1).index_select(1, made.around)
        mean = F.avg_pool2d(around.view(-1, small[0] + 2, small[1] // 2 + 3), 3, stride=1)
        # exp(log amplitude - mean) at the same phase is the spectrum times exp(-mean).
        residual = torch.fft.irfft2(spectrum.div_(mean.exp_()), small, norm="forward")
        rows, columns = (matrix.expand(len(images), -1, -1) for matrix in made[:2])
        saliency: Tensor = rows.bmm(residual.square_()).bmm(columns)
    return saliency


def magnitude(gradient: Tensor) -> Tensor:
    """Saliency [N, H, W] of a gradient [N, C, H, W]: the root of the mean of its squares."""
    return real(gradient).square().mean(1).sqrt()


def real(values: Tensor) -> Tensor:
    """A tensor in float32, or as it is if in float64."""
    return values if values.dtype == torch.float64 else values.float()


# ---- One pass over the batch as it enters -------------------------------------------------------


class FirstPass(NamedTuple):
    """The results of the first pass of a training step, over the batch before it is mixed."""

    loss: Tensor | None = None
    """The clean term of the loss, unscaled."""
    gradient: Tensor | None = None
    """The gradient of the loss, a mean over the batch, with respect to the images, unscaled:
    float64 for float64 images, else float32."""
    parameters: Sequence[Tensor] = ()
    gradients: Sequence[Tensor] = ()
    """The gradients of the clean term with respect to the parameters, scaled."""


def first_pass(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss_fn: Loss,
    *,
    scaler: GradScaler | None = None,
    clean_weight: float = 0.0,
    wants_gradient: bool = True,
) -> FirstPass:
    """One forward and one backward pass, for the images, the parameters or both.

    The partners x2 are the batch itself in another order. So the losses of x1 and of x2 have the
    same mean and gradient, half their sum is the loss of the batch, and one pass is enough.
    """
    inside = getattr(model, "_orig_mod", model)  # the module within a compiled model
    if isinstance(inside, DistributedDataParallel):
        model = inside = inside.module  # the wrapped module, which doesn't communicate
    clean = clean_weight > 0
    parameters: list[Tensor] = []
    if clean:
        modules = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
        parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    with torch.inference_mode(False), torch.enable_grad(), _undisturbed(model, frozen=not clean):
        # A tensor made in inference mode can't be saved for a backward pass; its clone can.
        labels = labels.clone() if labels.is_inference() else labels
        leaf = images.clone() if images.is_inference() else images.detach()
        leaf.requires_grad_(wants_gradient)
        # A clone: a model may write to its input, and writing to a leaf of autograd is an error.
        with _silence_on_leaves(inside is not model or inside._compiled_call_impl is not None):
            outputs = model(leaf.clone())
        loss = loss_of(loss_fn, outputs, labels)
        # If only the images' gradient is wanted the loss is summed, not averaged, against underflow
        # in half precision.
        factor = clean_weight if clean else float(max(len(images), 1))
        term = factor * loss
        scaled = term if scaler is None else scaler.scale(term)
        wanted = [leaf, *parameters] if wants_gradient else parameters
        gradients = list(torch.autograd.grad(scaled, wanted, allow_unused=True))
    gradient = None
    if wants_gradient:
        gradient = gradients.pop(0)
        if gradient is None:
            raise ValueError("model: expected outputs that depend on the images, got constant ones")
        gradient = real(gradient) / factor
        if scaler is not None:
            # With too large a scale gradients overflow, and the scaler skips the optimiser's step;
            # until it notices, what overflowed counts as zero.
            gradient = gradient / scaler.scale(torch.ones((), device=gradient.device))
            gradient = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    used = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    return FirstPass(
        clean_weight * loss.detach() if clean else None,
        gradient,
        [p for p, _ in used],
        [g for _, g in used],
    )


def loss_of(loss_fn: Loss, outputs: Any, labels: Tensor) -> Tensor:
    """The loss of a model's output, computed in its precision, or in float32 for half precision."""
    logits = _logits_of(outputs)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    several = logits.dim() > 1 and logits.shape[1] > 1
    entropy = isinstance(loss_fn, nn.CrossEntropyLoss)
    if entropy or getattr(loss_fn, "func", loss_fn) is F.cross_entropy:
        if not several:
            raise ValueError(
                "loss_fn: expected one for a single logit, such as "
                "binary_cross_entropy_with_logits, got cross-entropy, which says nothing of it "
                f"(the model's outputs have shape {list(logits.shape)})"
            )
        labels = weights_of("labels", labels, logits.shape[1])
    elif several and labels.dim() == 1:
        labels = weights_of("labels", labels, logits.shape[1])
    loss = loss_fn(logits, labels.to(logits.dtype))
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        got = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: expected one number, a mean over the batch, got {got}")
    return loss


def _logits_of(outputs: Any) -> Tensor:
    """The logits in a model's output: a tensor, or in a structure such as some libraries return."""
    found = outputs if isinstance(outputs, Tensor) else getattr(outputs, "logits", None)
    if found is None and isinstance(outputs, Mapping):
        found = outputs.get("logits", next(iter(outputs.values()), None))
    elif found is None and isinstance(outputs, tuple | list):
        found = next(iter(outputs), None)
    if not isinstance(found, Tensor):
        raise TypeError(
            "model: expected it to return a tensor, an object with .logits, or a tuple, list or "
            f"dict whose first entry or 'logits' is a tensor, got {type(outputs).__name__}"
        )
    return found


@contextmanager
def _undisturbed(model: nn.Module, *, frozen: bool) -> Iterator[None]:
    """Within this context a model runs with frozen parameters and leaves its buffers unchanged.

    As frozen parameters need no gradient, layers keep less memory for the backward pass.
    """
    parameters = [p for p in model.parameters() if frozen and p.requires_grad]
    # With tracking off batch norms give the same output, and their buffers need no copy. Others
    # (instance norms) change their output then, and spectral norms update vectors of their own.
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    kept = [
        (module, name, buffer, buffer.clone(), _version(buffer))
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not ((isinstance(module, _BatchNorm) and name in _RUNNING) or is_lazy(buffer))
    ]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm in norms:
            norm.track_running_stats = True
        with torch.no_grad():
            for module, name, buffer, value, version in kept:
                module._buffers[name] = buffer
                if version is None or _version(buffer) != version:
                    buffer.copy_(value)


@contextmanager
def _silence_on_leaves(compiled: bool) -> Iterator[None]:
    """Silence PyTorch's warning when a compiler reads ``.grad`` of inputs that aren't leaves."""
    if not compiled:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        yield


_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def _version(tensor: Tensor) -> int | None:
    """PyTorch's count of writes to a tensor, or a constant if it keeps none."""
    return None if tensor.is_inference() else tensor._version


def _expect_images(images: Tensor) -> None:
    expect_tensor("images", images)
    expect_dtype("images", images, FLOATS)
    if images.dim() != 4:
        raise ValueError(f"images: expected shape [N, C, H, W], got {list(images.shape)}")


# ---- Constants of spectral saliency, by size of the images ---------------------------------------


class _Constants(NamedTuple):
    rows: Tensor
    """[H, h], a matrix that smooths and enlarges columns; includes the scale of the transforms."""
    columns: Tensor
    """[w, W], a matrix that smooths and enlarges rows."""
    around: Tensor
    """[(h + 2)(w // 2 + 3)], for the half spectrum with a margin of one frequency, the index in the
    half spectrum of each amplitude."""
    tiny: Tensor
    """The amplitude that smaller ones are raised to, so that logarithms are finite."""


def _constants(
    sides: Sequence[int], small: Sequence[int], dtype: torch.dtype, device: torch.device
) -> _Constants:
    sigma = SPECTRAL_SIGMA * max(small)
    rows, columns = (
        _smoothing(*side, sigma, dtype, device) for side in zip(sides, small, strict=True)
    )
    height, width = small
    half = width // 2 + 1
    row = (torch.arange(height + 2, device=device) - 1)[:, None] % height
    column = (torch.arange(half + 2, device=device) - 1) % width
    # The amplitude at frequency (-r, -c) equals that at (r, c).
    mirrored = (-row % height) * half + -column % width
    around = torch.where(column < half, row * half + column, mirrored).flatten()
    tiny = torch.full((), torch.finfo(dtype).tiny, dtype=dtype, device=device)
    return _Constants(rows / (height * width) ** 2, columns.mT, around, tiny)


_kept_constants = lru_cache(maxsize=16)(_constants)


def _is_passing(images: Tensor) -> bool:
    """Whether constants for these images must not be cached, as they have no values yet."""
    return (
        torch.compiler.is_compiling()
        or type(images) is not Tensor
        or (images.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def _smoothing(
    side: int, small: int, sigma: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """A Gaussian along one axis as a matrix of rows with sum 1, enlarged to [side, small]."""
    places = torch.arange(small, device=device, dtype=dtype)
    gaussian = (-((places[:, None] - places) ** 2) / (2 * sigma**2)).softmax(1)
    if side == small:
        return gaussian
    return F.interpolate(gaussian.mT[None], side, mode="linear", align_corners=False)[0].mT
