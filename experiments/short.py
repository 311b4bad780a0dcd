"""Short training on one GPU: every method and every kind of saliency, one budget for all.

With ``--size gpu``: PreActResNet18 on 20,000 images of Tiny-ImageNet or CIFAR-10, cropped and
flipped. What is left undone when the minutes are over is done by the same command, run again.
"""

from __future__ import annotations

from collections.abc import Callable

from . import speed
from .lab import Lab, Task, Trained
from .methods import ADV, CLEAN, CUTMIX, HALF, INPUT, MANIFOLD, VANILLA, partnered
from .report import Table, seeds_of
from .saliency import KINDS, cases_of, setting, with_gains
from .tasks import cifar, tiny_imagenet

SPEED, LOSS = "images a second", "training loss"
ERRORS = ("top-1 error, %", "top-5 error, %")
BELOW = {"Vanilla": "below Vanilla's, points", "CutMix": "below CutMix's, points"}
METHODS = {
    **{method.name: method for method in (VANILLA, INPUT, MANIFOLD, CUTMIX)},
    **{f"Puzzle Mix, {name}": method for name, method in KINDS.items()},
    **{f"Puzzle Mix, ξ {xi}": setting("gradient", xi=xi) for xi in (0.2, 0.05)},
    "Puzzle Mix, spectral, most overlap": partnered("most"),
    **{method.name: method for method in (HALF, CLEAN, ADV)},
}


def build(lab: Lab, *, name: str) -> Table:
    """Train by every method on one of ``TASKS``, as far as the minutes go."""
    title, task = TASKS[name](lab)
    surveyed = lab.survey("short", cases_of(lab, task, METHODS), measure, {})
    by_name = {row.name[0]: row for row in surveyed.rows}
    rows = []
    for row in surveyed.rows:
        others = {column: by_name[other] for other, column in BELOW.items() if other != row.name[0]}
        rows.append(with_gains(row, others, ERRORS[0]))
    return Table(
        title=title,
        heads=["method"],
        columns=[SPEED, LOSS, *ERRORS, *BELOW.values()],
        rows=rows,
        settings=lab.settings(task.recipe)
        | {
            "images a second": "of the median epoch of training, as its clock has it",
            "below": "the other's top-1 error less this one, network by network of the same seed",
        },
        notes=[],
        seeds=seeds_of(rows),
        seconds=surveyed.seconds,
    )


def measure(trained: Trained) -> dict[str, float]:
    """Speed, the last epoch's loss, and the test errors after it."""
    last = trained.rows[-1]
    errors = dict(zip(ERRORS, (last["top1_error"], last["top5_error"]), strict=True))
    return {SPEED: trained.speed, LOSS: last["loss"], **errors}


def estimate(lab: Lab, name: str, minutes: float | None, plain: float | None) -> str:
    """What there is time for.

    Args:
        lab: measures steps, which also warms up whatever compiles or tunes itself on first use.
        name: of one of ``TASKS``.
        minutes: for all of it.
        plain: milliseconds of a step of plain training on another device, where the steps measured
            here only tell the multiples; None: this is the device.
    """
    _, task = TASKS[name](lab)
    cases = cases_of(lab, task, METHODS)
    steps = speed.steps(lab, cases, lab.size.timed)
    if plain is not None:
        steps = [speed.Step(plain / 1000 * step.of_plain, step.of_plain) for step in steps]
    return speed.estimate(cases, steps, len(task.data(lab.seeds[0]).train), minutes)


def _tiny(lab: Lab) -> tuple[str, Task]:
    scenes = tiny_imagenet(lab)
    return f"Short training on a GPU, Tiny-ImageNet, {len(scenes.names)} classes", scenes.task


def _cifar(lab: Lab) -> tuple[str, Task]:
    return "Short training on a GPU, CIFAR-10", cifar(lab, lab.size.cifar)


TASKS: dict[str, Callable[[Lab], tuple[str, Task]]] = {
    "tiny_imagenet": _tiny,
    "generalisation": _cifar,
}
"""By table: its title and what is trained on."""
