"""Table 5: whether a network's largest probability tells what it knows from what it doesn't."""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor, nn

from .examples import loop
from .lab import Case, Lab, Trained
from .methods import METHODS
from .report import Table, spread
from .tasks import IN_CIFAR, cifar, outside

COLUMNS = ["TNR at TPR 95 %, %", "AUROC, %", "detection accuracy, %"]
AVERAGE = "average"
LECTURE = {
    f"{AVERAGE}, {name}": dict(zip(COLUMNS, scores, strict=True))
    for name, scores in {
        "Vanilla": (26.3, 87.3, 82.0),
        "Input mixup": (11.8, 49.3, 60.9),
        "Cutout": (18.8, 68.7, 71.3),
        "CutMix": (69.0, 94.4, 89.1),
    }.items()
}


def build(lab: Lab) -> Table:
    """Show every network of table 1 what it was not trained on."""
    task = cifar(lab, lab.size.cifar)
    count = lab.size.outside
    strange = outside(lab.data, count)

    def measure(trained: Trained) -> dict[str, float]:
        inside = confidence(trained.model, trained.data.test[:count])
        found = {
            f"{kind}, {column}": score
            for kind, images in strange.items()
            for column, score in scores(
                inside, confidence(trained.model, images.to(lab.device))
            ).items()
        }
        for column in COLUMNS:
            found[f"{AVERAGE}, {column}"] = mean(found[f"{kind}, {column}"] for kind in strange)
        return found

    cases = [Case([method.name], task, method) for method in METHODS]
    rows, seconds = lab.survey(f"outside-{count}", cases, measure, {})
    return Table(
        title="Out-of-distribution detection, CIFAR-10",
        heads=["against", "method"],
        columns=COLUMNS,
        rows=spread(rows, [AVERAGE, *strange], COLUMNS, LECTURE),
        settings=lab.settings(task.recipe)
        | {
            "in distribution": f"{count} test images of CIFAR-10 (positive)",
            "out of distribution": f"{count} images each: Tiny-ImageNet's validation images at "
            "32 x 32, without the classes below; uniform noise; Gaussian noise of mean 0.5 and "
            "standard deviation 1, cut to [0, 1]",
            "classes left out, as CIFAR-10 has them": ", ".join(IN_CIFAR),
        },
        notes=[
            "The lecture's numbers are of networks for CIFAR-100, averaged over seven other sets.",
        ],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


@torch.inference_mode()
def confidence(model: nn.Module, images: Tensor) -> Tensor:
    """The largest probability (Hendrycks and Gimpel, 2017), [N]."""
    parts = [model(loop.floating(part)).softmax(1).amax(1) for part in images.split(500)]
    return torch.cat(parts).double()


def scores(inside: Tensor, outside: Tensor) -> dict[str, float]:
    """How well confidence tells inside (positive) from outside, in percent.

    Positive is called what is at or above a threshold. TNR at TPR 95 %: the share of the others
    below the highest threshold that keeps 95 % of the positives. AUROC: the probability that a
    positive is above another, half where they tie. Detection accuracy: the largest mean of TPR and
    TNR over all thresholds.
    """
    thresholds = torch.cat((inside, outside)).unique()
    positives, others = inside.sort().values, outside.sort().values
    true_positive = 1 - torch.searchsorted(positives, thresholds).double() / len(positives)
    true_negative = torch.searchsorted(others, thresholds).double() / len(others)
    # Of each positive: the others below it, and half of those beside it.
    below, to = (torch.searchsorted(others, positives, right=right) for right in (False, True))
    auroc = (below + to).double().mean() / 2 / len(others)
    found = (
        true_negative[true_positive >= 0.95].max(),
        auroc,
        ((true_positive + true_negative) / 2).max(),
    )
    return {column: 100 * float(score) for column, score in zip(COLUMNS, found, strict=True)}
