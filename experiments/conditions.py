"""Table 11: saliency and the choice of partners on other data, with crops and flips, and wider."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .lab import Case, Lab, OutOfTimeError, Task
from .methods import CUTMIX, PUZZLE, VANILLA, partnered
from .report import Table, seeds_of
from .saliency import ERROR, KINDS, UNIFORM, error, with_gains
from .sizes import Recipe
from .tasks import cifar, network, tiny_imagenet

RANDOM = "spectral residual"


METHODS = {
    "(no mixing)": VANILLA,
    "(CutMix)": CUTMIX,
    UNIFORM: KINDS[UNIFORM],
    "gradient": PUZZLE,
    RANDOM: KINDS[RANDOM],
    f"{RANDOM}, most overlap": partnered("most"),
    f"{RANDOM}, most overlap, other labels": partnered("most, other labels"),
    f"{RANDOM}, least overlap": partnered("least"),
}
BELOW = {
    "(CutMix)": "below CutMix's, points",
    UNIFORM: "below uniform's, points",
    RANDOM: "below random partners', points",
}
"""Columns: another row's error less this one, network by network of the same seed."""


def build(lab: Lab) -> Table:
    """Train under every condition by a few methods."""
    conditions = tasks(lab)
    cases = [
        Case([condition, name], task, method)
        for condition, task in conditions.items()
        for name, method in METHODS.items()
    ]
    surveyed = lab.survey("error", cases, error, {})
    by_name = {tuple(row.name): row for row in surveyed.rows}
    # Where the minutes are over before a condition's first network, it is left out.
    begun = {row.name[0] for row in surveyed.rows if row.values}
    if not begun:
        raise OutOfTimeError
    rows = []
    for row in surveyed.rows:
        condition, name = row.name
        if condition not in begun:
            continue
        others = {
            column: by_name[condition, other]
            for other, column in BELOW.items()
            if other != name and ("partners'" not in column or "overlap" in name)
        }
        rows.append(with_gains(row, others, ERROR))
    first, *_others = conditions.values()
    return Table(
        title="Saliency and partners under other conditions",
        heads=["condition", "Puzzle Mix by"],
        columns=[ERROR, *BELOW.values()],
        rows=rows,
        settings=lab.settings(first.recipe)
        | {
            condition: _difference(first.recipe, task.recipe)
            for condition, task in list(conditions.items())[1:]
            if condition in begun
        }
        | {
            "overlap": "of the partners' saliency, as shares of 8 x 8 blocks: the sum of their "
            "minima. One assignment of the whole batch makes its sum the largest or the least, "
            "without images that are their own partners; random partners are a permutation",
            "other labels": "as few partners of one class as there can be",
        },
        notes=[],
        seeds=seeds_of(rows),
        seconds=surveyed.seconds,
    )


def tasks(lab: Lab) -> dict[str, Task]:
    """By what differs."""
    size = lab.size
    tiny = tiny_imagenet(lab).task

    def cropped(task: Task) -> Task:
        recipe = replace(task.recipe, crop_and_flip=True)
        return replace(task, recipe=recipe, model=partial(network, recipe))

    plain = cifar(lab, size.cifar)
    return {
        "CIFAR-10": plain,
        "CIFAR-10, crops and flips": cropped(plain),
        "CIFAR-10, twice as wide": cifar(lab, replace(size.cifar, width=2 * size.cifar.width)),
        f"Tiny-ImageNet, {size.classes} classes": tiny,
        f"Tiny-ImageNet, {size.classes} classes, crops and flips": cropped(tiny),
    }


def _difference(first: Recipe, other: Recipe) -> str:
    told = {
        "images": (other.train, first.train),
        "epochs": (other.epochs, first.epochs),
        "width": (other.width, first.width),
        "first stride": (other.stride, first.stride),
    }
    words = [f"{name} {own}" for name, (own, before) in told.items() if own != before]
    words += ["crops and flips"] * (other.crop_and_flip and not first.crop_and_flip)
    return ", ".join(words) or "the same"
