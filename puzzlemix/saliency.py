"""Where an image matters to a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from .check import FLOATS
from .options import expect_dtype, expect_tensor

__all__ = ["gradient_saliency"]


def gradient_saliency(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """How much the loss depends on each pixel (Simonyan, Vedaldi and Zisserman, 2013).

    The root over the mean of channels of the squared gradient of the cross-entropy, a mean over
    the batch, with respect to the images: one forward pass and a backward pass that reaches the
    images only. The model runs in its current mode and, but for the state of random generators
    that its layers may draw from, is left as it was: running statistics of its normalisations,
    ``requires_grad`` and ``.grad`` of its parameters. Works under ``no_grad``, ``inference_mode``
    and autocast.

    Args:
        model: takes images and returns logits [N, K].
        images: [N, C, H, W] of a floating dtype.
        labels: [N] integers or weights [N, K].

    Returns:
        [N, H, W], not negative: float64 for float64 images, else float32.
    """
    expect_tensor("images", images)
    expect_dtype("images", images, FLOATS)
    if images.dim() != 4:
        raise ValueError(f"images: expected shape [N, C, H, W], got {list(images.shape)}")
    expect_tensor("labels", labels)
    if labels.dim() not in (1, 2) or len(labels) != len(images):
        raise ValueError(
            f"labels: expected shape [N] or [N, K] with N = {len(images)}, as in images, "
            f"got {list(labels.shape)}"
        )
    with torch.inference_mode(False), torch.enable_grad(), _undisturbed(model):
        # A tensor made in inference mode can't be saved for a backward pass; its clone can.
        inputs = (images.clone() if images.is_inference() else images.detach()).requires_grad_()
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
    if gradient.dtype != torch.float64:
        gradient = gradient.float()
    return gradient.square().mean(1).sqrt() / max(len(images), 1)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Run a model with its parameters frozen, and without touching its running statistics."""
    parameters = [p for p in model.parameters() if p.requires_grad]
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
