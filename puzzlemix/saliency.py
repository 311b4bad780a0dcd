"""Where an image matters: to a network, or at a glance.

``PuzzleMix`` calls its saliency as ``saliency(images, labels)``. ``spectral_saliency`` is such a
function; ``functools.partial`` makes ones of ``gradient_saliency``:

    PuzzleMix(saliency=partial(gradient_saliency, model))
    PuzzleMix(saliency=partial(gradient_saliency, model, downscale=2))
    PuzzleMix(saliency=spectral_saliency)

docs/saliency.md compares what they cost and what they keep.

Letters: N batch, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.parallel import DistributedDataParallel

from .validate import FLOATS, expect_dtype, expect_integer, expect_tensor

__all__ = ["gradient_saliency", "magnitude", "spectral_saliency", "undisturbed", "unwrapped"]

SPECTRAL_SIDE = 64
"""The longer side at which spectra are taken; larger images are averaged down to it, as published.
Saliency at a glance is of the scale of the whole."""
SPECTRAL_SIGMA = 2.5 / 64
"""The Gaussian that smooths spectral saliency, as a share of the longer side: the authors' code."""


def gradient_saliency(
    model: nn.Module, images: Tensor, labels: Tensor | None, *, downscale: int = 1
) -> Tensor:
    """How much the loss depends on each pixel (Simonyan, Vedaldi and Zisserman, 2013).

    The root over the mean of channels of the squared gradient of the cross-entropy, a mean over
    the batch, with respect to the images: one forward pass and a backward pass that reaches the
    images only. The model runs in its current mode and, but for the state of random generators
    that its layers may draw from, is left as it was: running statistics of its normalisations,
    ``requires_grad`` and ``.grad`` of its parameters. Works under ``no_grad``, ``inference_mode``
    and autocast, and with compiled models. Of a ``DistributedDataParallel`` model the module inside
    is run, so that processes don't wait for each other.

    Args:
        model: takes images and returns logits [N, K].
        images: [N, C, H, W] of a floating dtype.
        labels: [N] integers or weights [N, K].
        downscale: the network sees the images averaged over squares of this many pixels a side,
            which must divide H and W, and saliency comes at that resolution. With 2, both passes
            cost about a quarter. The model must take images of that size, and the grids of a mixer
            must divide the smaller saliency.

    Returns:
        [N, H / downscale, W / downscale], not negative; float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    _expect_images(images)
    expect_tensor("labels", labels)
    assert labels is not None
    if labels.dim() not in (1, 2) or len(labels) != len(images):
        raise ValueError(
            f"labels: expected shape [N] or [N, K] with N = {len(images)}, as in images, "
            f"got {list(labels.shape)}"
        )
    expect_integer("downscale", downscale, least=1)
    if images.shape[2] % downscale or images.shape[3] % downscale:
        raise ValueError(
            f"downscale: expected a divisor of both sides of the images, "
            f"{images.shape[2]}x{images.shape[3]}, got {downscale}"
        )
    model = unwrapped(model)
    with torch.inference_mode(False), torch.enable_grad(), undisturbed(model, frozen=True):
        # A tensor made in inference mode can't be saved for a backward pass; its clone can.
        inputs = images.clone() if images.is_inference() else images.detach()
        if downscale > 1:
            inputs = F.avg_pool2d(inputs, downscale)
        inputs.requires_grad_()
        targets = labels.clone() if labels.is_inference() else labels.detach()
        logits = model(inputs)
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        if targets.dim() == 2:
            targets = targets.to(logits.dtype)
        elif not targets.is_floating_point():
            targets = targets.long()
        # The sum keeps gradients in half precision away from underflow, whatever the batch.
        loss = F.cross_entropy(logits, targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    return magnitude(gradient).div_(max(len(images), 1))


def spectral_saliency(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """What stands out from an image's own statistics (Hou and Zhang, CVPR 2007); no network.

    The spectral residual: the logarithm of the amplitude spectrum less its mean over 3 x 3
    frequencies, with the phase left as it is, back to the image plane, squared, and smoothed.
    Where the paper leaves room:

    - the image is the mean of its channels, averaged down to ``SPECTRAL_SIDE`` pixels on its longer
      side where it is larger; saliency is then interpolated back to H x W;
    - the spectrum is periodic, and so is its local mean;
    - the Gaussian has ``SPECTRAL_SIGMA`` of the longer side and is cut and normalised at borders;
    - amplitudes below the rounding of the sum over pixels count as that, so that a constant image
      comes out constant.

    It depends on nothing but the image: not on its scale, nor on the rest of the batch.

    Args:
        images: [N, C, H, W] of a floating dtype; half precision is computed in float32.
        labels: not read; there so that a mixer can call it.

    Returns:
        [N, H, W], not negative; float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    _expect_images(images)
    real = torch.float64 if images.dtype == torch.float64 else torch.float32
    sides = images.shape[2:]
    if images.numel() == 0:
        return images.new_zeros((len(images), *sides), dtype=real)
    # Autocast would take the smoothing to half precision.
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        plane = images.to(real).mean(1, keepdim=True)
        longest = max(sides)
        if longest > SPECTRAL_SIDE:
            rows, columns = (max(round(side * SPECTRAL_SIDE / longest), 1) for side in sides)
            plane = F.adaptive_avg_pool2d(plane, (rows, columns))
        spectrum = torch.fft.fft2(plane)
        rounding = torch.finfo(real).eps * plane.abs().sum((2, 3), keepdim=True)
        amplitude = spectrum.abs().maximum(rounding).clamp_min(torch.finfo(real).tiny)
        log = amplitude.log()
        residual = log - F.avg_pool2d(F.pad(log, (1, 1, 1, 1), mode="circular"), 3, stride=1)
        saliency: Tensor = torch.fft.ifft2(spectrum * (residual.exp() / amplitude)).abs().square()
        sigma = SPECTRAL_SIGMA * max(plane.shape[2:])
        along_rows, along_columns = (_smoothing(side, sigma, saliency) for side in plane.shape[2:])
        saliency = along_rows @ saliency @ along_columns.mT
        if longest > SPECTRAL_SIDE:
            saliency = F.interpolate(saliency, sides, mode="bilinear", align_corners=False)
    return saliency[:, 0]


def magnitude(gradient: Tensor) -> Tensor:
    """Saliency [N, H, W] of a gradient [N, C, H, W]: the root over the mean of its squares."""
    if gradient.dtype != torch.float64:
        gradient = gradient.float()
    return gradient.square().mean(1).sqrt()


def unwrapped(model: nn.Module) -> nn.Module:
    """What a ``DistributedDataParallel`` wraps: run by itself it starts no communication."""
    inside = getattr(model, "_orig_mod", model)  # of a compiled model
    return inside.module if isinstance(inside, DistributedDataParallel) else model


@contextmanager
def undisturbed(model: nn.Module, *, frozen: bool) -> Iterator[None]:
    """Run a model without touching its running statistics, and with its parameters frozen.

    Frozen parameters need no gradient: layers then keep less for the backward pass.
    """
    parameters = [p for p in model.parameters() if frozen and p.requires_grad]
    norms = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    # Batch norms normalise the same without tracking; others (instance norms) read it otherwise.
    tracking = [m for m in norms if isinstance(m, _BatchNorm)]
    kept = [
        (buffer, buffer.clone())
        for m in norms
        if not isinstance(m, _BatchNorm) and m.training
        for buffer in m.buffers(recurse=False)
    ]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        for norm in tracking:
            norm.track_running_stats = False
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm in tracking:
            norm.track_running_stats = True
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def _expect_images(images: Tensor) -> None:
    expect_tensor("images", images)
    expect_dtype("images", images, FLOATS)
    if images.dim() != 4:
        raise ValueError(f"images: expected shape [N, C, H, W], got {list(images.shape)}")


def _smoothing(side: int, sigma: float, like: Tensor) -> Tensor:
    """A Gaussian along one axis as a matrix [side, side], each row with the sum 1."""
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    return (-((places[:, None] - places) ** 2) / (2 * sigma**2)).softmax(1)
