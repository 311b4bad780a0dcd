"""What mixup changes, on points of the plane: the toy experiments of Zhang et al. (ICLR 2018).

Two small networks learn the same two classes, a disc and the ring around it: one by empirical risk
minimisation (ERM), one by input mixup. In the plane everything can be seen: what each believes
everywhere, how often it is wrong in between its training points, and how steep it is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..mixers import MixUp

__all__ = ["Between", "Experiment", "Result", "compare", "in_between", "rings", "surface", "train"]

CLASSES = 2
REACH = 1.2
"""The square that is looked at: from minus to plus this, both ways."""


@dataclass(frozen=True)
class Between:
    """A network at x = lambda x1 + (1 - lambda) x2, a mean over pairs of training points."""

    ratios: Tensor
    """[R], the values of lambda."""
    misses: Tensor
    """[R], the share of predictions that are neither the class of x1 nor that of x2."""
    gradients: Tensor
    """[R], the Frobenius norm of the gradients of the logits with respect to x."""


@dataclass(frozen=True)
class Result:
    """What one way to train has led to."""

    name: str
    surface: Tensor
    """[S, S], see ``surface``."""
    between: Between


@dataclass(frozen=True)
class Experiment:
    """The training points and the networks that have seen them."""

    points: Tensor
    """[N, 2]."""
    labels: Tensor
    """[N]: 0 in the ring, 1 in the disc."""
    results: tuple[Result, Result]
    """ERM and mixup."""


def compare(
    seed: int = 0,
    *,
    steps: int = 1000,
    side: int = 200,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Experiment:
    """Train by ERM and by mixup from the same initial weights, and look at both.

    Args:
        seed: decides everything that is drawn; the global random state is left alone.
        steps: of training, for each network.
        side: of the surfaces, in places.
        progress: wrapped around the steps of both trainings, to watch them go by.
    """
    points, labels = rings(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    mixup = MixUp(num_classes=CLASSES, per_sample=True, generator=generator)

    def result(name: str, mixer: MixUp | None) -> Result:
        model = train(points, labels, mixer, steps=steps, seed=seed, progress=progress)
        between = in_between(model, points, labels, seed=seed)
        return Result(name, surface(model, side), between)

    return Experiment(points, labels, (result("ERM", None), result("Mixup", mixup)))


def rings(count: int = 150, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points [N, 2] and labels [N]: the first half in a ring (0), the others in a disc (1)."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) >= count // 2).long()
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    ring = 0.85 + 0.075 * torch.randn(count, generator=generator)
    disc = 0.45 * torch.rand(count, generator=generator).sqrt()
    radius = torch.where(labels == 0, ring, disc)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), 1), labels


def train(
    points: Tensor,
    labels: Tensor,
    mixer: MixUp | None = None,
    *,
    steps: int = 1000,
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> nn.Module:
    """A network of two hidden layers, trained on all points at once by Adam.

    Args:
        points: [N, 2].
        labels: [N] integers.
        mixer: draws a mix of the points at every step; None is ERM.
        steps: how often the weights change; the learning rate falls to nought meanwhile.
        seed: of the initial weights.
        progress: wrapped around the steps.

    Returns:
        A module that takes points and returns logits [N, 2].
    """
    model = _network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    weights = F.one_hot(labels, CLASSES).to(points.dtype)
    for _ in progress(range(steps)):
        inputs, targets = (points, weights) if mixer is None else mixer(points, labels)
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def surface(model: nn.Module, side: int = 200) -> Tensor:
    """p(y = 1 | x) over the square of ``REACH``: [side, side], rows from the bottom up."""
    step = 2 * REACH / side
    places = torch.arange(side) * step + (step / 2 - REACH)
    vertical, horizontal = torch.meshgrid(places, places, indexing="ij")
    logits: Tensor = model(torch.stack((horizontal, vertical), -1).reshape(-1, 2))
    return logits.softmax(1)[:, 1].reshape(side, side)


def in_between(
    model: nn.Module,
    points: Tensor,
    labels: Tensor,
    *,
    ratios: int = 21,
    pairs: int = 1000,
    seed: int = 0,
) -> Between:
    """Errors and steepness on the way between random pairs of training points."""
    generator = torch.Generator().manual_seed(seed)
    one, two = torch.randint(len(points), (2, pairs), generator=generator)
    lam = torch.linspace(0, 1, ratios)
    share = lam[:, None, None]
    x = (share * points[one] + (1 - share) * points[two]).reshape(-1, 2).requires_grad_()
    logits = model(x)
    # A logit of one sample depends on that sample alone, so that a sum tells them apart.
    gradients = [
        torch.autograd.grad(logits[:, label].sum(), x, retain_graph=True)[0]
        for label in range(logits.shape[1])
    ]
    norms = torch.cat(gradients, 1).norm(dim=1).reshape(ratios, pairs)
    seen = logits.detach().argmax(1).reshape(ratios, pairs)
    misses = (seen != labels[one]) & (seen != labels[two])
    return Between(lam, misses.float().mean(1), norms.mean(1))


def _network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
        )
