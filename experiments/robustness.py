"""Table 3: how often networks are wrong on images that were changed to deceive them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .examples import loop
from .lab import Case, Lab, Trained
from .methods import ADV, METHODS
from .report import Table, spread
from .tasks import cifar

STEPS = 10
EPSILONS = (2, 4, 8)
"""Of 255."""
COLUMNS = ["FGSM top-1, %", "FGSM top-5, %", "I-FGSM top-1, %", "I-FGSM top-5, %"]
LECTURE = {
    name: dict(zip(COLUMNS, errors, strict=True))
    for name, errors in {
        "ε = 4/255, Vanilla": (90.7, 63.1, 99.9, 93.4),
        "ε = 4/255, Input mixup": (75.2, 49.1, 99.6, 95.8),
    }.items()
}


def build(lab: Lab) -> Table:
    """Attack every network of table 1, and one that has seen attacks."""
    task = cifar(lab, lab.size.cifar)
    count = lab.size.attacked

    def measure(trained: Trained) -> dict[str, float]:
        images = loop.floating(trained.data.test[:count])
        return attacked_errors(trained.model, images, trained.data.test_labels[:count])

    cases = [Case([method.name], task, method) for method in (*METHODS, ADV)]
    rows, seconds = lab.survey(f"attacks-{count}", cases, measure, {})
    groups = [f"ε = {eps}/255" for eps in EPSILONS]
    return Table(
        title="Adversarial robustness, CIFAR-10",
        heads=["ball", "method"],
        columns=COLUMNS,
        rows=spread(rows, groups, COLUMNS, LECTURE),
        settings=lab.settings(task.recipe)
        | {
            "attacks": f"of {count} test images, in pixels of [0, 1], by the network's own "
            f"gradient: FGSM one step of ε, I-FGSM {STEPS} steps of ε/4 within the ball",
        },
        notes=[
            "The lecture doesn't say of which data, network and ε its numbers are; they stand at "
            "4/255.",
        ],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


def attacked_errors(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Errors by attack, ball and how many guesses count."""
    found = {}
    for eps in EPSILONS:
        for name, steps in (("FGSM", 1), ("I-FGSM", STEPS)):
            changed = torch.cat(
                [
                    attack(model, x, y, eps / 255, steps)
                    for x, y in zip(images.split(250), labels.split(250), strict=True)
                ]
            )
            top1, top5 = loop.evaluate(model, changed, labels)
            found |= {f"ε = {eps}/255, {name} top-1, %": top1}
            found |= {f"ε = {eps}/255, {name} top-5, %": top5}
    return found


def attack(model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int = 1) -> Tensor:
    """Images in [0, 1], no pixel further than eps from where it was, that raise the loss.

    One step of eps by the sign of the gradient is FGSM (Goodfellow et al., 2015); several, of
    eps/4 so that they reach the ball's border and move along it, are I-FGSM (Kurakin et al., 2017).
    """
    step = eps if steps == 1 else eps / 4
    low, high = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
    changed = images
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        # The sum: no sample's gradient depends on how many there are.
        loss = F.cross_entropy(model(changed), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, changed)
        changed = torch.minimum(torch.maximum(changed.detach() + step * gradient.sign(), low), high)
    return changed
