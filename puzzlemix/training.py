"""The training step of Puzzle Mix: one call in place of ``loss.backward()``.

Kim, Choo and Song, Puzzle Mix, ICML 2020: the loss of the mix, regularisation by clean data, and
adversarial noise on some of the samples.

Letters: N batch, C channels, Y x X pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler

from .mixers import Mixer, PuzzleMix
from .plan import Plan
from .saliency import magnitude, undisturbed, unwrapped
from .validate import (
    FLOATS,
    expect_dtype,
    expect_images,
    expect_number,
    expect_tensor,
    per_channel,
)

__all__ = ["puzzle_mix_backward"]

OVERSHOOT = 2 / 255
"""By how much the adversarial step exceeds the ball's radius: the authors' code."""

Loss = Callable[[Any, Tensor], Tensor]


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
) -> Tensor:
    """Mix a batch and add the gradient of its loss to ``.grad``.

        grad l(mix) + clean_weight / 2 * (grad l(x1) + grad l(x2))

    for each pair of partners x1, x2, the losses being means over the batch:

        optimizer.zero_grad()
        loss = puzzle_mix_backward(model, images, labels, mixer, clean_weight=1.0)
        optimizer.step()

    Two forward passes in all. The first is on the batch as it enters; it gives saliency, the clean
    term and the adversarial gradient, in the model's current mode, and leaves running statistics of
    normalisations alone. The second is on the mix. The first is left out where nothing asks for it:
    neither a clean term nor adversarial noise, and a mixer that reads no saliency or has a callable
    of its own for it, which then is what decides.

    Adversarial noise: each sample is chosen with a probability. The chosen ones enter the first
    pass with uniform noise in the ball, so that their saliency and clean term are of the noisy
    image; they then take one step by the sign of the gradient, of the ball's radius and 2/255 more,
    are clamped to the ball and to [0, 1], and keep a share of the noise drawn from U(0, 1). These
    draws come from the mixer's generator, where it has one.

    Accumulation: gradients add up over calls, as with ``backward``; divide the loss by the number
    of calls in ``loss_fn``. If a call raises, ``.grad`` is as it was.

    ``DistributedDataParallel``: give the wrapped model. The first pass runs the module inside and
    starts no communication; its share travels with the gradients of the mix, also under
    ``no_sync``. With batches of one size the result is the mean over all samples, as ever.

    Autocast: call it inside the region, and give the ``GradScaler`` for float16.

    Args:
        model: takes images [N, C, Y, X].
        images: [N, C, Y, X] (any [N, ...] that the mixer takes) of a floating dtype; constants, no
            gradient flows to them.
        labels: [N] integers, which need the mixer's ``num_classes``, or weights [N, K].
        mixer: any that pairs the batch with a permutation of itself, or with nothing.
        clean_weight: weight of the clean term, lambda_c.
        adversarial_prob: the probability with which a sample gets noise.
        adversarial_eps: radius of the ball, in pixels of [0, 1]; the mixer's ``mean`` and ``std``
            say how the images were normalised (without them they are in [0, 1]).
        loss_fn: called as ``loss_fn(outputs, weights)``, weights [N, K] in the outputs' dtype and
            half-precision outputs in float32; a mean over the batch.
        scaler: scales the loss whose gradient is added; ``scaler.step`` unscales as ever.

    Returns:
        The loss whose gradient was added, detached and unscaled; that of this process.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    _expect_batch(images, labels, mixer)
    expect_number("clean_weight", clean_weight, least=0)
    expect_number("adversarial_prob", adversarial_prob, least=0, most=1)
    expect_number("adversarial_eps", adversarial_eps, least=0)
    images = images.detach()
    ones = torch.ones(len(images), device=images.device)
    identity = Plan(None, ones, ones[:, None, None], num_classes=mixer.num_classes)
    weights = identity.labels(labels.detach())

    noise = _Noise(images, mixer, adversarial_prob, adversarial_eps) if adversarial_prob else None
    entering = images if noise is None else noise.entering
    reads_saliency = isinstance(mixer, PuzzleMix) and mixer.saliency is None
    # Whether noise is asked for decides, not whether a sample was chosen: layers that communicate
    # (synchronised batch norm) must meet in every process.
    wants_gradient = reads_saliency or noise is not None
    first = _FirstPass()
    if wants_gradient or clean_weight > 0:
        first = _first_pass(model, entering, weights, loss_fn, scaler, clean_weight, wants_gradient)

    saliency = None
    if reads_saliency and first.gradient is not None:
        saliency = magnitude(first.gradient)
    plan = mixer.plan(entering, labels, saliency)
    if noise is not None and first.gradient is not None:
        images = noise.after_a_step(first.gradient)
    with torch.enable_grad():
        loss = _loss(loss_fn, model(plan.images(images)), plan.labels(weights))
        scaled = loss if scaler is None else scaler.scale(loss)
        if first.parameters:
            carry: Callable[..., Tensor] = _Carry.apply
            scaled = carry(scaled, first.gradients, *first.parameters)
        scaled.backward()
    return loss.detach() if first.loss is None else loss.detach() + first.loss


class _FirstPass(NamedTuple):
    """What the pass over the batch as it enters leaves behind."""

    loss: Tensor | None = None
    """The clean term, unscaled."""
    gradient: Tensor | None = None
    """Of the loss with respect to the images, unscaled: float64 for float64 images, or float32."""
    parameters: Sequence[Tensor] = ()
    gradients: Sequence[Tensor] = ()
    """Of the clean term with respect to the parameters, scaled."""


def _first_pass(
    model: nn.Module,
    images: Tensor,
    weights: Tensor,
    loss_fn: Loss,
    scaler: GradScaler | None,
    clean_weight: float,
    wants_gradient: bool,
) -> _FirstPass:
    """One forward and one backward pass, for the images, the parameters or both.

    The partners x2 are the batch itself in another order, so that both losses of the clean term
    have one mean and one gradient: half their sum is that of the batch, and one pass gives it.
    """
    model = unwrapped(model)
    clean = clean_weight > 0
    parameters: list[Tensor] = []
    if clean:
        modules = [part for part in (model, loss_fn) if isinstance(part, nn.Module)]
        parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    with torch.enable_grad(), undisturbed(model, frozen=not clean):
        inputs = images.clone().requires_grad_(wants_gradient)
        loss = _loss(loss_fn, model(inputs), weights)
        # Where only the images' gradient counts, a sum over the batch keeps it away from underflow
        # in half precision.
        factor = clean_weight if clean else float(len(images))
        term = factor * loss
        scaled = term if scaler is None else scaler.scale(term)
        wanted = [inputs, *parameters] if wants_gradient else parameters
        gradients = list(torch.autograd.grad(scaled, wanted, allow_unused=True))
    gradient = None
    if wants_gradient:
        gradient = gradients.pop(0)
        if gradient is None:
            raise ValueError("model: expected outputs that depend on the images, got constant ones")
        gradient = _real(gradient) / factor
        if scaler is not None:
            # A scale that is still too large overflows, and then the scaler skips the step; until
            # it knows, what overflowed counts as zero.
            gradient = gradient / scaler.scale(torch.ones((), device=gradient.device))
            gradient = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    used = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    return _FirstPass(
        clean_weight * loss.detach() if clean else None,
        gradient,
        [p for p, _ in used],
        [g for _, g in used],
    )


class _Carry(torch.autograd.Function):
    """The identity of a scalar, whose backward pass adds the precomputed gradient of parameters.

    So there is one accumulation into ``.grad``, at the end of one backward pass: whatever waits for
    it (the reduction over processes, hooks) sees the sum, once.
    """

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad, None, *ctx.gradients


class _Noise:
    """Adversarial noise on the samples chosen for it; the pixels count in [0, 1]."""

    def __init__(self, images: Tensor, mixer: Mixer, prob: float, eps: float) -> None:
        options = mixer.options if isinstance(mixer, PuzzleMix) else None
        mean = per_channel("mean", options and options.mean, "images", images)
        std = per_channel("std", options and options.std, "images", images, positive=True)
        self.mean, self.std = 0.0 if mean is None else mean, 1.0 if std is None else std
        self.images = images
        self.eps = eps
        rng = mixer.generator
        # Numbers for samples come from the CPU, those for pixels from where the images are.
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
        self.pixels = _real(images) * self.std + self.mean
        self.start = (self.pixels + (2 * uniform - 1) * eps).clamp(0, 1)
        self.entering = self._chosen(self.start)

    def after_a_step(self, gradient: Tensor) -> Tensor:
        """The images with the noise that a step up the gradient leaves."""
        noise = self.start - self.pixels + (self.eps + OVERSHOOT) * _real(gradient).sign()
        end = (self.pixels + noise.clamp(-self.eps, self.eps)).clamp(0, 1)
        return self._chosen(self.pixels + self.share * (end - self.pixels))

    def _chosen(self, pixels: Tensor) -> Tensor:
        """These pixels for the chosen samples, the others as they came."""
        images = ((pixels - self.mean) / self.std).to(self.images.dtype)
        return torch.where(self.chosen, images, self.images)


def _real(values: Tensor) -> Tensor:
    """In float32, where it isn't in float64."""
    return values if values.dtype == torch.float64 else values.float()


def _loss(loss_fn: Loss, outputs: Any, weights: Tensor) -> Tensor:
    """The loss in the precision of the outputs, or in float32 where that is half."""
    if isinstance(outputs, Tensor):
        if outputs.dtype in (torch.float16, torch.bfloat16):
            outputs = outputs.float()
        weights = weights.to(outputs.dtype)
    loss = loss_fn(outputs, weights)
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        got = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn: expected one number, a mean over the batch, got {got}")
    return loss


def _expect_batch(images: Tensor, labels: Tensor, mixer: Mixer) -> None:
    """Refuse what the first pass could not use; the mixer checks the rest."""
    if not callable(getattr(mixer, "plan", None)):
        raise TypeError(
            f"mixer: expected MixUp, CutMix, Cutout or PuzzleMix, got {type(mixer).__name__}"
        )
    if isinstance(mixer, PuzzleMix):
        expect_images("images", images)
    expect_tensor("images", images)
    expect_dtype("images", images, FLOATS)
    expect_tensor("labels", labels)
    if images.dim() == 0 or labels.dim() not in (1, 2) or len(labels) != len(images):
        raise ValueError(
            f"labels: expected shape [N] or [N, K] beside images [N, ...], "
            f"got {list(labels.shape)} beside {list(images.shape)}"
        )
    if labels.dim() == 1 and mixer.num_classes is None:
        raise ValueError(
            "labels: expected weights [N, K], as the mixer was made without num_classes, "
            f"got shape {list(labels.shape)}"
        )
