"""The training step of Puzzle Mix: one call in place of ``loss.backward()``.

Kim, Choo and Song, Puzzle Mix, ICML 2020: the loss of the mix, regularisation by clean data, and
adversarial noise on some of the samples.

Letters: N batch, C channels, Y x X pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler

from .mixers import Mixer, PuzzleMix
from .plan import expect_labels, weights_of
from .saliency import FirstPass, Loss, first_pass, loss_of, magnitude, real
from .validate.elementary import FLOATS, expect_device, expect_dtype, expect_number, expect_tensor
from .validate.puzzle import expect_images, per_channel

__all__ = ["puzzle_mix_backward"]

OVERSHOOT = 2 / 255
"""How far the adversarial step exceeds the ball's radius, as in the authors' code."""


def puzzle_mix_backward(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mixer: Mixer,
    *,
    clean_weight: float = 0.0,
    adversarial_prob: float = 0.0,
    adversarial_eps: float = 8 / 255,
    loss_fn: Loss = F.cross_entropy,
    scaler: GradScaler | None = None,
    saliency: Tensor | None = None,
) -> Tensor:
    """Mix a batch and add the gradient of its loss to ``.grad``.

        grad l(mix) + clean_weight / 2 * (grad l(x1) + grad l(x2))

    for each pair of partners x1, x2, the losses being means over the batch:

        optimizer.zero_grad()
        loss = puzzle_mix_backward(model, images, labels, mixer, clean_weight=1.0)
        optimizer.step()

    Two forward passes in all. The first is on the batch as it enters; it gives saliency, the clean
    term and the adversarial gradient, in the model's current mode, and leaves running statistics
    and other buffers alone. The second is on the mix. The first is left out if nothing needs it:
    there is no clean term and no adversarial noise, and the mixer reads no saliency, or has it from
    the argument ``saliency`` or from a callable of its own.

    Adversarial noise: each sample is chosen with a probability. The chosen ones enter the first
    pass with uniform noise in the ball, so that their saliency and clean term are of the noisy
    image. They then take one step along the sign of the gradient, 2/255 longer than the ball's
    radius, are clamped to the ball and to [0, 1], and keep a share, drawn from U(0, 1), of the
    noise. These draws come from the mixer's generator, if it has one.

    Accumulation: gradients add up over calls, as with ``backward``; divide the loss by the number
    of calls in ``loss_fn``. If a call raises, ``.grad`` is as it was.

    ``DistributedDataParallel``: give the wrapped model. The first pass runs the module inside and
    starts no communication; its gradients are reduced together with those of the mix, also under
    ``no_sync``. If all processes have batches of one size the result is the mean over all samples.

    Autocast: call it inside the region, and give the ``GradScaler`` for float16.

    Args:
        model: takes images [N, C, Y, X] and returns logits, as a tensor, as ``.logits``, or as the
            first entry or "logits" of a tuple, list or dict.
        images: [N, C, Y, X] (any [N, ...] that the mixer takes) of a floating dtype; constants, no
            gradient flows to them.
        labels: [N] integers, which need the mixer's ``num_classes``, or weights [N, K].
        mixer: any that pairs the batch with a permutation of itself, or with nothing; of a compiled
            mixer the module inside is called.
        clean_weight: weight of the clean term, lambda_c.
        adversarial_prob: the probability with which a sample gets noise.
        adversarial_eps: radius of the ball, in pixels of [0, 1]; the mixer's ``mean`` and ``std``
            say how the images were normalised (without them they are in [0, 1]).
        loss_fn: called as ``loss_fn(logits, weights)``, weights [N, K] in the logits' dtype and
            half-precision logits in float32; a mean over the batch. For one logit, of which
            cross-entropy says nothing, give another, such as ``binary_cross_entropy_with_logits``.
        scaler: scales the loss whose gradient is added; ``scaler.step`` unscales it as usual.
        saliency: [N, Y', X'], computed beforehand (see ``StoredSaliency``); None: the first pass
            computes it, or the mixer's callable.

    Returns:
        The loss whose gradient was added, detached and unscaled, of this process only.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    mixer = getattr(mixer, "_orig_mod", mixer)  # the module within a compiled mixer
    _expect_batch(images, labels, mixer)
    expect_number("clean_weight", clean_weight, least=0)
    expect_number("adversarial_prob", adversarial_prob, least=0, most=1)
    expect_number("adversarial_eps", adversarial_eps, least=0)
    images = images.detach()
    weights = weights_of("labels", labels.detach(), mixer.num_classes)

    noise = _Noise(images, mixer, adversarial_prob, adversarial_eps) if adversarial_prob else None
    entering = images if noise is None else noise.entering
    reads_saliency = isinstance(mixer, PuzzleMix) and mixer.saliency is None and saliency is None
    # Even if no sample was chosen: layers that communicate (synchronised batch norm) must run the
    # first pass in every process.
    wants_gradient = reads_saliency or noise is not None
    first = FirstPass()
    if wants_gradient or clean_weight > 0:
        first = first_pass(
            model,
            entering,
            weights,
            loss_fn,
            scaler=scaler,
            clean_weight=clean_weight,
            wants_gradient=wants_gradient,
        )
    if reads_saliency and first.gradient is not None:
        saliency = magnitude(first.gradient)
    plan = mixer.plan(entering, labels, saliency)
    if noise is not None and first.gradient is not None:
        images = noise.after_a_step(first.gradient)
    with torch.enable_grad():
        loss = loss_of(loss_fn, model(plan.images(images)), plan.labels(weights))
        scaled = loss if scaler is None else scaler.scale(loss)
        if first.parameters:
            carry: Callable[..., Tensor] = _Carry.apply
            scaled = carry(scaled, first.gradients, *first.parameters)
        scaled.backward()
    return loss.detach() if first.loss is None else loss.detach() + first.loss


class _Carry(torch.autograd.Function):
    """The identity of a scalar; its backward pass adds precomputed gradients of parameters.

    So ``.grad`` is accumulated once, at the end of one backward pass, and reductions over processes
    and hooks, which wait for that, see the sum.
    """

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad, None, *ctx.gradients


class _Noise:
    """Adversarial noise on randomly chosen samples, for pixels in [0, 1]."""

    def __init__(self, images: Tensor, mixer: Mixer, prob: float, eps: float) -> None:
        options = mixer.options if isinstance(mixer, PuzzleMix) else None
        mean = per_channel("mean", options and options.mean, "images", images)
        std = per_channel("std", options and options.std, "images", images, positive=True)
        self.mean, self.std = 0.0 if mean is None else mean, 1.0 if std is None else std
        self.images = images
        self.eps = eps
        rng = mixer.generator
        # Random numbers for samples are drawn on the CPU, those for pixels on the images' device.
        of_samples = torch.rand((2, len(images)), generator=rng, device="cpu").to(
            images.device, non_blocking=True
        )
        self.chosen, self.share = of_samples.view(2, -1, *(1,) * (images.dim() - 1))
        self.chosen = self.chosen < prob
        there = None
        if rng is not None:
            seed = int(torch.randint(2**63 - 1, (), generator=rng, device="cpu"))
            there = torch.Generator(images.device).manual_seed(seed)
        uniform = torch.rand(images.shape, generator=there, device=images.device)
        self.pixels = real(images) * self.std + self.mean
        self.start = (self.pixels + (2 * uniform - 1) * eps).clamp(0, 1)
        self.entering = self._chosen(self.start)

    def after_a_step(self, gradient: Tensor) -> Tensor:
        """The images with their noise after one step up the gradient."""
        noise = self.start - self.pixels + (self.eps + OVERSHOOT) * real(gradient).sign()
        end = (self.pixels + noise.clamp(-self.eps, self.eps)).clamp(0, 1)
        return self._chosen(self.pixels + self.share * (end - self.pixels))

    def _chosen(self, pixels: Tensor) -> Tensor:
        """The given pixels for the chosen samples, the original ones for the others."""
        images = ((pixels - self.mean) / self.std).to(self.images.dtype)
        return torch.where(self.chosen, images, self.images)


def _expect_batch(images: Tensor, labels: Tensor, mixer: Mixer) -> None:
    """Check what the first pass needs; the mixer checks the rest."""
    if not callable(getattr(mixer, "plan", None)):
        raise TypeError(
            f"mixer: expected MixUp, CutMix, Cutout or PuzzleMix, got {type(mixer).__name__}"
        )
    if isinstance(mixer, PuzzleMix):
        expect_images("images", images)
    expect_tensor("images", images)
    expect_dtype("images", images, FLOATS)
    if images.dim() == 0:
        raise ValueError("images: expected shape [N, ...], got []")
    expect_labels("labels", labels, mixer.num_classes, len(images))
    expect_device("labels", labels, "images", images)
