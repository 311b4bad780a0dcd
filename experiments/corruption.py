"""Table 4: training where a part of the labels is wrong."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .examples import loop
from .lab import Case, Lab, Task, Trained
from .methods import PUZZLE, Method
from .report import Table
from .tasks import cifar_data, network

SHARES = (20, 50, 80)
"""Percent of the labels."""
METHODS = (
    Method("ERM"),
    Method("ERM + dropout", dropout=0.7),
    Method("Mixup", "mixup", {"alpha": 8.0}),
    Method("Mixup + dropout", "mixup", {"alpha": 4.0}, dropout=0.1),
    PUZZLE,
)
BEST, LAST = "best test error, %", "last test error, %"
REAL, CORRUPTED = "training error, real, %", "training error, corrupted, %"
COLUMNS = [BEST, LAST, REAL, CORRUPTED]
LECTURE = {
    f"20 %, {name}": dict(zip(COLUMNS, errors, strict=True))
    for name, errors in {
        "ERM": (12.7, 16.6, 0.05, 0.28),
        "ERM + dropout": (8.8, 10.4, 5.26, 83.55),
        "Mixup": (5.9, 6.4, 2.27, 86.32),
        "Mixup + dropout": (6.2, 6.2, 1.92, 85.02),
    }.items()
}


def build(lab: Lab) -> Table:
    """Train by every method on every share of wrong labels."""
    recipe = lab.size.corruption
    clean = cifar_data(lab.data, recipe.train, recipe.test)

    def wrong(share: int, seed: int) -> loop.Data:
        return clean._replace(train_labels=corrupt(clean.train_labels, share / 100, 10, seed))

    tasks = {
        share: Task(
            f"cifar10-wrong-{share}", recipe, partial(wrong, share), partial(network, recipe)
        )
        for share in SHARES
    }
    cases = [
        Case([f"{share} %", method.name], task, method)
        for share, task in tasks.items()
        for method in METHODS
    ]
    rows, seconds = lab.survey("errors", cases, partial(errors, clean.train_labels), LECTURE)
    return Table(
        title="Label corruption, CIFAR-10",
        heads=["corrupted", "method"],
        columns=COLUMNS,
        rows=rows,
        settings=lab.settings(recipe)
        | {
            "corrupted": "exactly that share of the labels, each replaced by one of the nine "
            "others; drawn by the seed, the same for every method",
            "as in the lecture": "mixup with alpha = 8, with dropout alpha = 4 and p = 0.1, ERM "
            "with p = 0.7; dropout comes before the last layer",
            "training error": "by the labels trained on: of a corrupted label it is better high",
        },
        notes=["The lecture's numbers are those of 20 %, of a far larger network."],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


def corrupt(labels: Tensor, share: float, num_classes: int, seed: int) -> Tensor:
    """Labels of which exactly a share, rounded, is another than before."""
    rng = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=rng)[: round(share * len(labels))]
    shift = torch.randint(1, num_classes, (len(chosen),), generator=rng)
    wrong = labels.clone()
    wrong[chosen] = (labels[chosen] + shift) % num_classes
    return wrong


def errors(real: Tensor, trained: Trained) -> dict[str, float]:
    """The smallest and the last test error, and those on both kinds of training labels."""
    data = trained.data
    tests = [row["top1_error"] for row in trained.rows]
    untouched = data.train_labels == real.to(data.train_labels.device)
    on_real, on_wrong = (
        loop.evaluate(trained.model, data.train[chosen], data.train_labels[chosen])[0]
        for chosen in (untouched, ~untouched)
    )
    return {BEST: min(tests), LAST: tests[-1], REAL: on_real, CORRUPTED: on_wrong}
