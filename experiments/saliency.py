"""Table 10: what each kind of saliency costs, keeps, and brings in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from puzzlemix import gradient_saliency, store_saliency

from . import speed
from .choices import GRIDS, judged_pairs
from .examples import loop
from .lab import Case, Lab, Task, Trained
from .methods import CUTMIX, INPUT, PUZZLE, VANILLA, Method
from .report import Row, Table
from .speed import SIDE
from .tasks import cifar

UNIFORM = "uniform, that is none"
KINDS = {
    "gradient": PUZZLE,
    **{
        name: replace(PUZZLE, name=f"Puzzle Mix, {name}", options={"saliency": kind})
        for name, kind in {
            "gradient at half resolution": "half",
            "gradient, precomputed": "precomputed",
            "spectral residual": "spectral",
            "CAM": "cam",
            UNIFORM: "uniform",
        }.items()
    },
}
BESIDE = {"(no mixing)": VANILLA, "(input mixup)": INPUT, "(CutMix)": CUTMIX}
ERROR = "top-1 error, %"
STEP, KEPT, GAIN = "step, of plain", "kept above none, points", "below uniform's, points"


def setting(saliency: str, **options: float) -> Method:
    """Puzzle Mix with other weights than the published ones."""
    told = [f"{LETTERS[name]} {value:g}" for name, value in options.items()]
    name = ", ".join(["Puzzle Mix", saliency, *told])
    return Method(name, "puzzle", {"saliency": saliency, **options})


LETTERS = {"xi": "ξ", "eta": "η"}
SETTINGS = {
    method.name.removeprefix("Puzzle Mix, "): method
    for method in (
        *(setting("gradient", xi=xi) for xi in (0.2, 0.05)),
        setting("gradient", xi=0.05, eta=0.05),
        *(setting("spectral", xi=xi) for xi in (0.2, 0.05)),
        setting("spectral", xi=0.05, eta=0.05),
        setting("uniform", eta=0.05),
    )
}
METHODS = BESIDE | KINDS | SETTINGS


def build(lab: Lab) -> Table:
    """Train by every kind, and compare each network with the one of the same seed by none."""
    task = cifar(lab, lab.size.cifar)
    cases = cases_of(lab, task, METHODS)
    rows, training = lab.survey("error", cases, error, {})
    vanilla = [Case([VANILLA.name], task, VANILLA)]
    count, rounds = lab.size.pairs, lab.size.timed
    mixes, mixing = lab.survey(f"kept-{count}", vanilla, partial(kept, count=count), {})
    own_step = [case for case in cases if case.name[0] not in SETTINGS]

    def steps(trained: Trained) -> dict[str, float]:
        timed = speed.steps(lab, own_step, rounds)
        return {case.name[0]: step.of_plain for case, step in zip(own_step, timed, strict=True)}

    first = replace(lab, seeds=lab.seeds[:1])
    timed, timing = first.survey(f"kinds-{rounds}", vanilla, steps, {})
    none = next(row for row in rows if row.name == [UNIFORM])
    return Table(
        title="Kinds of saliency, CIFAR-10",
        heads=["saliency of Puzzle Mix"],
        columns=[STEP, KEPT, ERROR, GAIN],
        rows=[_row(row, mixes[0].values, timed[0].values, none) for row in rows],
        settings=lab.settings(task.recipe)
        | {
            "step": "time of a training step, as a multiple of plain training's: medians of "
            f"{rounds} rounds in turn; on a CPU of PreActResNet18, of width 16",
            "kept": f"by the mixes of {count} pairs of test images on grids 2, 4, 8 and 16, "
            "λ ~ Beta(1, 1): the share of both images' gradient saliency (of the Vanilla network) "
            "that the mix shows, above what uniform saliency lets it show",
            "error": "after training by that saliency; the last column is uniform's error less "
            "this one, network by network of the same seed",
            "precomputed": f"maps of {SIDE} x {SIDE}, by the Vanilla network of the same seed",
            "CAM": "class activation map of the label by the network in training",
            "ξ, η": "as published, 0.8 and 0.2, unless told",
        },
        notes=[],
        seeds=list(lab.seeds),
        seconds=training + mixing + timing,
    )


def error(trained: Trained) -> dict[str, float]:
    """The test error after the last epoch."""
    return {ERROR: trained.rows[-1]["top1_error"]}


def cases_of(lab: Lab, task: Task, methods: Mapping[str, Method]) -> list[Case]:
    """A row for each method; those by precomputed saliency get its maps."""
    mapped = with_maps(lab, task)
    return [
        Case([name], mapped if "precomputed" in name else task, method)
        for name, method in methods.items()
    ]


def with_maps(lab: Lab, task: Task) -> Task:
    """The task with what the Vanilla network of the same seed looks at in each training image."""

    def data(seed: int) -> loop.Data:
        plain = lab.trained(task, VANILLA, seed)
        images = loop.floating(plain.data.train)
        maps = store_saliency(
            lab.folder(task, VANILLA, seed) / "saliency.npz",
            TensorDataset(images, plain.data.train_labels),
            partial(gradient_saliency, plain.model),
            side=SIDE,
        )
        return plain.data._replace(saliency=maps)

    return replace(task, data=data)


def kept(trained: Trained, *, count: int) -> dict[str, float]:
    """By row: percent of the gradient saliency that mixes show, above what uniform's show."""
    pairs = judged_pairs(trained, count)
    stored = loop.enlarged(F.adaptive_avg_pool2d(pairs.maps["gradient"], SIDE), pairs.images)
    pairs.maps["precomputed"] = stored

    def share(saliency: str = "gradient", **weights: float) -> float:
        every = [pairs.mixed(saliency, grid, **weights).kept for grid in GRIDS]
        return 100 * float(torch.stack(every).mean())

    none = share("uniform")
    return {name: share(**method.options) - none for name, method in (KINDS | SETTINGS).items()}


def paired(other: Row, own: Row, column: str) -> list[float]:
    """How far a row's values lie below another's, seed by seed of those that both have."""
    theirs, ours = (
        {
            origin.seed: value
            for origin, value in zip(row.origins, row.values.get(column, []), strict=True)
        }
        for row in (other, own)
    )
    return [theirs[seed] - value for seed, value in ours.items() if seed in theirs]


def with_gains(row: Row, others: Mapping[str, Row], column: str) -> Row:
    """The row with further columns: how far its values in a column lie below those of others."""
    gains = {name: paired(other, row, column) for name, other in others.items()}
    given = row.values | {name: gain for name, gain in gains.items() if gain}
    return Row(row.name, given, {}, row.origins)


def _row(row: Row, mixes: dict[str, list[float]], timed: dict[str, list[float]], none: Row) -> Row:
    (name,) = row.name
    values = {
        STEP: timed.get(name, []),
        KEPT: mixes.get(name, []),
        ERROR: row.values.get(ERROR, []),
    }
    given = {column: every for column, every in values.items() if every}
    return with_gains(Row(row.name, given, {}, row.origins), {GAIN: none}, ERROR)
