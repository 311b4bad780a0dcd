"""Table 2: Tiny-ImageNet, its FGSM error, and Puzzle Mix that has seen attacks."""

from __future__ import annotations

import torch

from .examples import loop
from .lab import Case, Lab, Trained
from .methods import ADV, HALF_ADV, METHODS
from .report import Table
from .robustness import attack
from .tasks import tiny_imagenet

EPS = 4
"""Of 255."""
COLUMNS = ["top-1 error, %", "top-5 error, %", "FGSM error, %"]
LECTURE = {
    name: dict(zip(COLUMNS, errors, strict=True))
    for name, errors in {
        "Vanilla": (42.77, 26.35, 91.85),
        "Input mixup": (43.41, 26.98, 88.68),
        "Manifold mixup": (41.99, 25.88, 89.25),
        "CutMix": (43.33, 24.48, 87.19),
        "Puzzle Mix": (36.52, 18.95, 92.52),
        "Puzzle Mix (half)": (37.64, 19.37, 92.57),
        "Puzzle Mix (adv)": (38.55, 20.48, 82.07),
        "Puzzle Mix (half, adv)": (38.14, 19.70, 83.91),
    }.items()
}


def build(lab: Lab) -> Table:
    """Train by every method, test, and attack."""
    scenes = tiny_imagenet(lab)
    task, names = scenes.task, scenes.names
    cases = [Case([method.name], task, method) for method in (*METHODS, ADV, HALF_ADV)]
    rows, seconds = lab.survey("errors", cases, errors, LECTURE)
    return Table(
        title=f"Tiny-ImageNet, {len(names)} classes",
        heads=["method"],
        columns=COLUMNS,
        rows=rows,
        settings=lab.settings(task.recipe)
        | {
            "classes": ", ".join(names) if len(names) < 200 else "all",
            "FGSM": f"ε = {EPS}/255, on all test images",
            "(adv)": "a tenth of the samples of a batch with adversarial noise, ε = 8/255",
        },
        notes=["The lecture's numbers are of all 200 classes, by PreActResNet18."],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


def errors(trained: Trained) -> dict[str, float]:
    """The test errors after the last epoch, and the error after one step of an attack."""
    model, test, labels = trained.model, trained.data.test, trained.data.test_labels
    changed = torch.cat(
        [
            attack(model, loop.floating(x), y, EPS / 255)
            for x, y in zip(test.split(250), labels.split(250), strict=True)
        ]
    )
    found = (*loop.evaluate(model, test, labels), loop.evaluate(model, changed, labels)[0])
    return dict(zip(COLUMNS, found, strict=True))
