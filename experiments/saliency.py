"""Table 10: what each kind of saliency costs, agrees with, and brings in training."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import TensorDataset

from puzzlemix import gradient_saliency, objective, puzzle_mix, store_saliency

from .choices import ERROR, GRIDS, error, judged_pairs
from .examples import loop, nets
from .lab import CUTMIX, INPUT, PUZZLE, VANILLA, Case, Lab, Method, Trained
from .report import Row, Table
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
            UNIFORM: "uniform",
        }.items()
    },
}
BESIDE = {"(no mixing)": VANILLA, "(input mixup)": INPUT, "(CutMix)": CUTMIX}
METHODS = BESIDE | KINDS
SIDE = 16
"""Rows and columns of a stored map."""
BATCH = 128
STEP, AGREEMENT, GAIN = "step, of plain", "agreement above none, points", "below uniform's, points"


def build(lab: Lab) -> Table:
    """Train by every kind, and compare each network with the one of the same seed by none."""
    task = cifar(lab, lab.size.cifar)

    def with_maps(seed: int) -> loop.Data:
        """The training images, and what the Vanilla network of the same seed looks at in them."""
        plain = lab.trained(task, VANILLA, seed)
        images = loop.floating(plain.data.train)
        maps = store_saliency(
            lab.folder(task, VANILLA, seed) / "saliency.npz",
            TensorDataset(images, plain.data.train_labels),
            partial(gradient_saliency, plain.model),
            side=SIDE,
        )
        return plain.data._replace(saliency=maps)

    stored = replace(task, data=with_maps)
    cases = [
        Case([name], stored if "precomputed" in name else task, method)
        for name, method in METHODS.items()
    ]
    rows, training = lab.survey("error", cases, error, {})
    vanilla = [Case([VANILLA.name], task, VANILLA)]
    count, rounds = lab.size.pairs, lab.size.timed
    agreed, mixing = lab.survey(f"agreement-{count}", vanilla, partial(agreement, count=count), {})
    first = replace(lab, seeds=lab.seeds[:1])
    width = min(16, task.recipe.width)
    timed, timing = first.survey(
        f"steps-{rounds}", vanilla, partial(steps, rounds=rounds, width=width), {}
    )
    none = next(row for row in rows if row.name == [UNIFORM]).values[ERROR]
    columns = agreed[0].values, timed[0].values
    return Table(
        title="Kinds of saliency, CIFAR-10",
        heads=["saliency of Puzzle Mix"],
        columns=[STEP, AGREEMENT, ERROR, GAIN],
        rows=[_row(row, *columns, none) for row in rows],
        settings=lab.settings(task.recipe)
        | {
            "step": f"time of a training step of PreActResNet18, width {width}, on a batch of "
            f"{BATCH}, as a multiple of plain training's: medians of {rounds} rounds in turn",
            "agreement": f"of the mixes of {count} pairs of test images on grids 2, 4, 8 and 16, "
            "λ ~ Beta(1, 1): the share of both images' gradient saliency (of the Vanilla network) "
            "that the mix shows, above what uniform saliency lets it show",
            "error": "after training by that saliency; the last column is uniform's error less "
            "this one, network by network of the same seed",
            "precomputed": f"maps of {SIDE} x {SIDE}, by the Vanilla network of the same seed",
        },
        notes=[],
        seeds=list(lab.seeds),
        seconds=training + mixing + timing,
    )


def agreement(trained: Trained, *, count: int) -> dict[str, float]:
    """By kind: percent of the gradient saliency that mixes show, above what uniform's show."""
    images, partner, lam, made = judged_pairs(trained, count)
    full = made["gradient"]
    maps = {
        "gradient": full,
        "gradient at half resolution": made["half"],
        "gradient, precomputed": loop.enlarged(F.adaptive_avg_pool2d(full, SIDE), images),
        "spectral residual": made["spectral"],
        UNIFORM: torch.ones_like(full),
    }

    def kept(chosen: Tensor) -> float:
        shares = []
        for grid in GRIDS:
            mix = puzzle_mix(
                images, images[partner], chosen, chosen[partner], lam,
                grid=grid, transport_grid=max(grid, images.shape[-1] // 4),
            )  # fmt: skip
            terms = objective(
                images, images[partner], full, full[partner], lam,
                mix.mask, mix.source1, mix.source2,
            )  # fmt: skip
            shares.append(-terms.saliency / 2)
        return 100 * float(torch.stack(shares).mean())

    shown = {name: kept(chosen) for name, chosen in maps.items()}
    return {name: share - shown[UNIFORM] for name, share in shown.items()}


def steps(trained: Trained, *, rounds: int, width: int) -> dict[str, float]:
    """By method: the time of a training step, as a multiple of plain training's."""
    data = trained.data
    images, labels = loop.floating(data.train[:BATCH]), data.train_labels[:BATCH]
    model = nets.NETS["preactresnet18"](data.num_classes, width).to(images.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    maps = torch.rand(len(images), SIDE, SIDE, device=images.device)

    def step(method: Method) -> float:
        mixer = loop.make_mixer(
            method.mixer, model, data.num_classes, generator=loop.seeded(0, "mixer"),
            **method.options,
        )  # fmt: skip
        began = _now(images.device)
        saliency = None
        if method.options.get("saliency") == "precomputed":
            saliency = loop.enlarged(maps, images)
        optimizer.zero_grad()
        loop.backward(model, images, labels, mixer, loop.Settings(), saliency)
        optimizer.step()
        return _now(images.device) - began

    taken = [{name: step(method) for name, method in METHODS.items()} for _ in range(rounds + 1)]
    medians = {name: median(each[name] for each in taken[1:]) for name in METHODS}
    return {name: each / medians["(no mixing)"] for name, each in medians.items()}


def _row(
    row: Row, agreed: dict[str, list[float]], timed: dict[str, list[float]], none: list[float]
) -> Row:
    (name,) = row.name
    errors = row.values[ERROR]
    gain = [other - own for other, own in zip(none, errors, strict=True)]
    values = {STEP: timed[name], AGREEMENT: agreed.get(name, []), ERROR: errors, GAIN: gain}
    return Row(row.name, {column: every for column, every in values.items() if every}, {})


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
