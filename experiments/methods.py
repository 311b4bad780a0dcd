"""The rows of the tables: methods, and the mixers that they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from puzzlemix import spectral_saliency

from .examples import loop
from .partners import Partnered


@dataclass(frozen=True)
class Method:
    """A row of the lecture's tables."""

    name: str
    mixer: str = "none"
    """One of ``loop.MIXERS``."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the mixer; beside the saliencies of ``loop.make_mixer`` there is "cam", and with
    "spectral" ``partners`` may be one of ``partners.PARTNERS``."""
    epochs: float = 1.0
    """A share of the task's."""
    clean_weight: float = 0.0
    adversarial_prob: float = 0.0
    dropout: float = 0.0


VANILLA = Method("Vanilla")
INPUT = Method("Input mixup", "mixup")
MANIFOLD = Method("Manifold mixup", "manifold", {"alpha": 2.0})
CUTOUT = Method("Cutout", "cutout")
CUTMIX = Method("CutMix", "cutmix")
PUZZLE = Method("Puzzle Mix", "puzzle")
HALF = replace(PUZZLE, name="Puzzle Mix (half)", epochs=0.5)
CLEAN = replace(PUZZLE, name="Puzzle Mix (clean)", clean_weight=1.0)
ADV = replace(PUZZLE, name="Puzzle Mix (adv)", adversarial_prob=0.1)
HALF_ADV = replace(ADV, name="Puzzle Mix (half, adv)", epochs=0.5)

METHODS = (VANILLA, INPUT, MANIFOLD, CUTOUT, CUTMIX, PUZZLE, HALF, CLEAN)
"""Settings as published, where they don't depend on size: nothing here was tuned."""


def partnered(kind: str) -> Method:
    """Puzzle Mix by spectral saliency with partners that aren't random."""
    return Method(
        f"Puzzle Mix, spectral, {kind}", "puzzle", {"saliency": "spectral", "partners": kind}
    )


def make_mixer(
    method: Method, model: nn.Module, data: loop.Data, generator: torch.Generator
) -> nn.Module | None:
    """The mixer of a method; Puzzle Mix moves blocks of 4 pixels, as published."""
    options = dict(method.options)
    if method.mixer == "puzzle":
        options = {"transport_grid": data.train.shape[-1] // 4} | options
        if options.get("saliency") == "cam":
            options["saliency"] = partial(class_activation, model)
        if "partners" in options:
            options |= {"saliency": spectral_saliency, "num_classes": data.num_classes}
            return Partnered(generator=generator, **options)
    return loop.make_mixer(method.mixer, model, data.num_classes, generator=generator, **options)


@torch.no_grad()
def class_activation(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Class activation maps of the labels (Zhou et al., CVPR 2016) in [0, 1], [N, Y, X].

    Exact, as the networks end in a mean over places and a linear layer. The network runs in
    evaluation mode, so that its statistics don't change.
    """
    training = model.training
    model.eval()
    parts = []
    for part, wanted in zip(images.split(250), labels.split(250), strict=True):
        weight = model.head.weight[wanted]
        maps = torch.einsum("nchw,nc->nhw", model.features(part).float(), weight)[:, None]
        parts.append(F.interpolate(maps, part.shape[2:], mode="bilinear", align_corners=False))
    model.train(training)
    every = torch.cat(parts)[:, 0]
    low, high = every.amin((1, 2), keepdim=True), every.amax((1, 2), keepdim=True)
    return (every - low) / (high - low).clamp_min(1e-12)
