"""Table 9: what the lecture doesn't tell: what each choice inside Puzzle Mix is worth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from puzzlemix import gradient_saliency, objective, puzzle_mix, spectral_saliency

from .examples import loop
from .lab import VANILLA, Case, Lab, Method, Trained
from .report import Row, Table
from .tasks import cifar

GRIDS = (2, 4, 8, 16)
CYCLES = (2, 3)
OBJECTIVE, KEPT, TIME, ERROR = "objective", "kept saliency, %", "ms a pair", "top-1 error, %"
COLUMNS = [OBJECTIVE, KEPT, TIME, ERROR]


class Choice(NamedTuple):
    """One that differs from the published ones."""

    of: str
    value: str
    options: Mapping[str, Any] = MappingProxyType({})
    """Of the mixer."""
    saliency: str = "gradient"

    @property
    def method(self) -> Method:
        """Training by it."""
        options = {**self.options, "saliency": self.saliency}
        return Method(f"Puzzle Mix, {self.of} {self.value}", "puzzle", options)


PUBLISHED = Choice("(published)", "swap, stable matching, one cycle")
CHOICES = (
    PUBLISHED,
    Choice("cut", "exact", {"cut": "exact"}),
    Choice("transport", "exact", {"transport": "exact"}),
    Choice("transport", "none", {"transport": None}),
    *(Choice("cycles", f"{cycles}", {"cycles": cycles}) for cycles in CYCLES),
    Choice("saliency", "gradient at half resolution", saliency="half"),
    Choice("saliency", "spectral residual", saliency="spectral"),
    Choice("blocks to move", "those of the cut", {"transport_grid": None}),
    Choice("blocks to move", "2 x 2 pixels", {"transport_grid": 16}),
)


def build(lab: Lab) -> Table:
    """Mix the same pairs by every choice, and train by every choice."""
    task = cifar(lab, lab.size.cifar)
    short = cifar(lab, lab.size.choices)
    count = lab.size.pairs
    mixed, mixing = lab.survey(
        f"mixes-{count}",
        [Case([VANILLA.name], task, VANILLA)],
        partial(mixes, count=count, bar=lab.bar),
        {},
    )
    cases = [Case([choice.of, choice.value], short, choice.method) for choice in CHOICES]
    trained, training = lab.survey("errors", cases, error, {})
    values = mixed[0].values
    rows = [Row(row.name, _part(values, row.name) | row.values, {}) for row in trained]
    changed = ", ".join(
        f"{_told(values[f'changed by cycle {cycle}, %'])} by cycle {cycle}" for cycle in CYCLES
    )
    return Table(
        title="Choices inside Puzzle Mix, CIFAR-10",
        heads=["choice", ""],
        columns=COLUMNS,
        rows=rows,
        settings=lab.settings(short.recipe)
        | {
            "objective, kept saliency, time": f"of {count} pairs of test images on each of the "
            "cut's grids 2, 4, 8 and 16, λ ~ Beta(1, 1) for each pair; saliency of the Vanilla "
            "network of table 1 with the same seed. Whatever decides a mix, the full gradient "
            "judges it. Time is that of cut, transport and mix, without saliency",
            "error": "after training by that choice, all else as published",
        },
        notes=[
            f"Samples whose mix is changed (its objective lowered), in percent: {changed}. The "
            "lecture: in most cases the algorithm converges after one cycle.",
            "Objectives compare only where the blocks that move are the same: the price of moving "
            "counts every block.",
        ],
        seeds=list(lab.seeds),
        seconds=mixing + training,
    )


def error(trained: Trained) -> dict[str, float]:
    """The test error after the last epoch."""
    return {ERROR: trained.rows[-1]["top1_error"]}


class JudgedPairs(NamedTuple):
    """Test images [N, C, Y, X] that are mixed in pairs, and their saliency."""

    images: Tensor
    partner: Tensor
    """[N], the index of each image's partner."""
    lam: Tensor
    """[N], float64, drawn from Beta(1, 1)."""
    maps: dict[str, Tensor]
    """By the mixer's kind of saliency; the full gradient judges all mixes."""


def judged_pairs(trained: Trained, count: int) -> JudgedPairs:
    """The same pairs and lambdas for every network, with its saliency."""
    images = loop.floating(trained.data.test[:count])
    labels = trained.data.test_labels[:count]
    maps = {
        "gradient": gradient_saliency(trained.model, images, labels),
        "half": gradient_saliency(trained.model, images, labels, downscale=2),
        "spectral": spectral_saliency(images),
    }
    rng = torch.Generator().manual_seed(0)
    partner = torch.randperm(len(images), generator=rng).to(images.device)
    lam = torch.rand(len(images), generator=rng, dtype=torch.float64).to(images.device)
    return JudgedPairs(images, partner, lam, maps)


def mixes(trained: Trained, *, count: int, bar: Any = iter) -> dict[str, float]:
    """Objective, kept saliency and time of each choice, and what further cycles change."""
    images, partner, lam, maps = judged_pairs(trained, count)
    full = maps["gradient"]
    found: dict[str, float] = {}
    objectives: dict[int, Tensor] = {}
    for choice in bar(CHOICES):
        chosen = maps[choice.saliency]
        every: list[tuple[Tensor, Tensor, float]] = []
        for grid in GRIDS:
            options = {"transport_grid": images.shape[-1] // 4, **choice.options}
            if options["transport_grid"] is not None:
                options["transport_grid"] = max(options["transport_grid"], grid)
            began = time.perf_counter()
            mix = puzzle_mix(
                images, images[partner], chosen, chosen[partner], lam, grid=grid, **options
            )
            taken = time.perf_counter() - began
            terms = objective(
                images, images[partner], full, full[partner], lam,
                mix.mask, mix.source1, mix.source2,
            )  # fmt: skip
            every.append((terms.total, -terms.saliency / 2, taken))
        total, kept, times = zip(*every, strict=True)
        name = f"{choice.of}, {choice.value}"
        found[f"{name}, {OBJECTIVE}"] = float(torch.stack(total).mean())
        found[f"{name}, {KEPT}"] = 100 * float(torch.stack(kept).mean())
        found[f"{name}, {TIME}"] = 1000 * sum(times) / (len(GRIDS) * len(images))
        if choice is PUBLISHED or choice.of == "cycles":
            objectives[choice.options.get("cycles", 1)] = torch.stack(total)
    for cycle in CYCLES:
        lower = objectives[cycle] < objectives[cycle - 1]
        found[f"changed by cycle {cycle}, %"] = 100 * float(lower.double().mean())
    return found


def _part(values: dict[str, list[float]], name: list[str]) -> dict[str, list[float]]:
    """The numbers of one choice, by column."""
    return {column: values[", ".join([*name, column])] for column in (OBJECTIVE, KEPT, TIME)}


def _told(values: list[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)
