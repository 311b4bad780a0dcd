"""Table 1: how often networks are wrong on new images of CIFAR-10."""

from __future__ import annotations

from .examples import loop
from .lab import Case, Lab, Trained
from .methods import METHODS
from .report import Table
from .tasks import cifar

COLUMNS = ["top-1 error, %", "top-5 error, %"]
LECTURE = {
    name: dict(zip(COLUMNS, errors, strict=True))
    for name, errors in {
        "Vanilla": (21.14, 6.33),
        "Input mixup": (18.27, 4.98),
        "Manifold mixup": (17.40, 4.37),
        "CutMix": (17.50, 4.69),
        "Puzzle Mix": (15.95, 3.92),
        "Puzzle Mix (half)": (16.23, 3.90),
    }.items()
}


def build(lab: Lab) -> Table:
    """Train by every method, and test."""
    task = cifar(lab, lab.size.cifar)
    cases = [Case([method.name], task, method) for method in METHODS]
    rows, seconds = lab.survey("errors", cases, errors, LECTURE)
    return Table(
        title="Generalisation, CIFAR-10",
        heads=["method"],
        columns=COLUMNS,
        rows=rows,
        settings=lab.settings(task.recipe),
        notes=["The lecture's numbers are CIFAR-100's, of WRN28-10 after 400 epochs (half: 200)."],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


def errors(trained: Trained) -> dict[str, float]:
    """The test errors after the last epoch."""
    found = loop.evaluate(trained.model, trained.data.test, trained.data.test_labels)
    return dict(zip(COLUMNS, found, strict=True))
