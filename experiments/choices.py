"""Table 9: what the solvers inside Puzzle Mix are worth: mixes of the same pairs by each choice."""

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
from .lab import Case, Lab, OutOfTimeError, Trained
from .methods import VANILLA, class_activation
from .report import Row, Table
from .tasks import cifar

GRIDS = (2, 4, 8, 16)
CYCLES = (2, 3)
WEIGHTS: dict[str, dict[str, float]] = {
    "published": {},
    "η = ξ = 0.05": {"eta": 0.05, "xi": 0.05},
}
OBJECTIVE, KEPT, TIME = "objective", "kept above none, points", "ms a pair"
COLUMNS = [OBJECTIVE, KEPT, TIME]


class Choice(NamedTuple):
    """One that differs from the published ones."""

    of: str
    value: str
    options: Mapping[str, Any] = MappingProxyType({})
    """Of ``puzzle_mix``."""
    saliency: str = "gradient"


PUBLISHED = Choice("(published)", "swap, stable matching, one cycle")
CHOICES = (
    PUBLISHED,
    Choice("cut", "exact", {"cut": "exact"}),
    Choice("transport", "exact", {"transport": "exact"}),
    Choice("transport", "none", {"transport": None}),
    *(Choice("cycles", f"{cycles}", {"cycles": cycles}) for cycles in CYCLES),
    Choice("saliency", "gradient at half resolution", saliency="half"),
    Choice("saliency", "spectral residual", saliency="spectral"),
    Choice("saliency", "uniform, that is none", saliency="uniform"),
    Choice("blocks to move", "those of the cut", {"transport_grid": None}),
    Choice("blocks to move", "2 x 2 pixels", {"transport_grid": 16}),
)


def build(lab: Lab) -> Table:
    """Mix the same pairs by every choice, with saliency of every seed's Vanilla network."""
    task = cifar(lab, lab.size.cifar)
    count = lab.size.pairs
    surveyed = lab.survey(
        f"mixes-by-weights-{count}",
        [Case([VANILLA.name], task, VANILLA)],
        partial(mixes, count=count, bar=lab.bar),
        {},
    )
    values, origins = surveyed.rows[0].values, surveyed.rows[0].origins
    if not values:
        raise OutOfTimeError
    rows = []
    for weights in WEIGHTS:
        for choice in CHOICES:
            prefix = f"{weights}, {choice.of}, {choice.value}"
            own = {column: values[f"{prefix}, {column}"] for column in COLUMNS}
            rows.append(Row([weights, choice.of, choice.value], own, {}, origins))
    changed = "; ".join(
        f"{weights}: "
        + ", ".join(
            f"{_told(values[f'{weights}, changed by cycle {cycle}, %'])} by cycle {cycle}"
            for cycle in CYCLES
        )
        for weights in WEIGHTS
    )
    return Table(
        title="Choices inside Puzzle Mix, CIFAR-10",
        heads=["weights", "choice", ""],
        columns=COLUMNS,
        rows=rows,
        settings=lab.settings(task.recipe)
        | {
            "all columns": f"of {count} pairs of test images on each of the cut's grids 2, 4, 8 "
            "and 16, λ ~ Beta(1, 1) for each pair; saliency of the Vanilla network of table 1 with "
            "the same seed. Whatever decides a mix, the full gradient judges it",
            "kept above none": "the share of both images' saliency that the mix shows, above what "
            "uniform saliency lets it show with the same weights, in points of a hundred",
            "time": "of cut, transport and mix, without saliency",
        },
        notes=[
            f"Samples whose mix is changed (its objective lowered), in percent: {changed}. The "
            "lecture: in most cases the algorithm converges after one cycle.",
            "Objectives compare only where the weights and the blocks that move are the same: the "
            "price of moving counts every block.",
        ],
        seeds=list(lab.seeds),
        seconds=surveyed.seconds,
    )


class JudgedPairs(NamedTuple):
    """Test images [N, C, Y, X] that are mixed in pairs, and their saliency."""

    images: Tensor
    partner: Tensor
    """[N], the index of each image's partner."""
    lam: Tensor
    """[N], float64, drawn from Beta(1, 1)."""
    maps: dict[str, Tensor]
    """By the mixer's kind of saliency; the full gradient judges all mixes."""

    def mixed(self, saliency: str, grid: int, **options: Any) -> Mixed:
        """Mix all pairs, and judge the mixes."""
        images, partner, lam, full = self.images, self.partner, self.lam, self.maps["gradient"]
        chosen = self.maps[saliency]
        fine = options.pop("transport_grid", images.shape[-1] // 4)
        began = time.perf_counter()
        mix = puzzle_mix(
            images, images[partner], chosen, chosen[partner], lam,
            grid=grid, transport_grid=fine and max(fine, grid), **options,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        weights = {name: options[name] for name in ("eta", "xi") if name in options}
        terms = objective(
            images, images[partner], full, full[partner], lam,
            mix.mask, mix.source1, mix.source2, **weights,
        )  # fmt: skip
        return Mixed(terms.total, -terms.saliency / 2, seconds)


class Mixed(NamedTuple):
    """What became of judged pairs."""

    objective: Tensor
    """[N]."""
    kept: Tensor
    """[N], the share of both images' saliency that the mix shows."""
    seconds: float


def judged_pairs(trained: Trained, count: int) -> JudgedPairs:
    """The same pairs and lambdas for every network, with its saliency."""
    images = loop.floating(trained.data.test[:count])
    labels = trained.data.test_labels[:count]
    maps = {
        "gradient": gradient_saliency(trained.model, images, labels),
        "half": gradient_saliency(trained.model, images, labels, downscale=2),
        "spectral": spectral_saliency(images),
        "cam": class_activation(trained.model, images, labels),
        "uniform": torch.ones_like(images[:, 0]),
    }
    rng = torch.Generator().manual_seed(0)
    partner = torch.randperm(len(images), generator=rng).to(images.device)
    lam = torch.rand(len(images), generator=rng, dtype=torch.float64).to(images.device)
    return JudgedPairs(images, partner, lam, maps)


def mixes(trained: Trained, *, count: int, bar: Any = iter) -> dict[str, float]:
    """Objective, kept saliency and time of each choice, and what further cycles change."""
    pairs = judged_pairs(trained, count)
    found: dict[str, float] = {}
    for name, weights in WEIGHTS.items():
        none = [pairs.mixed("uniform", grid, **weights) for grid in GRIDS]
        shown = torch.stack([each.kept for each in none])
        objectives: dict[int, Tensor] = {}
        for choice in bar(CHOICES):
            every = [
                pairs.mixed(choice.saliency, grid, **weights, **choice.options) for grid in GRIDS
            ]
            total, kept = (torch.stack([each[part] for each in every]) for part in (0, 1))
            prefix = f"{name}, {choice.of}, {choice.value}"
            found[f"{prefix}, {OBJECTIVE}"] = float(total.mean())
            found[f"{prefix}, {KEPT}"] = 100 * float((kept - shown).mean())
            seconds = sum(each.seconds for each in every)
            found[f"{prefix}, {TIME}"] = 1000 * seconds / (len(GRIDS) * count)
            if choice is PUBLISHED or choice.of == "cycles":
                objectives[choice.options.get("cycles", 1)] = total
        for cycle in CYCLES:
            lower = objectives[cycle] < objectives[cycle - 1]
            found[f"{name}, changed by cycle {cycle}, %"] = 100 * float(lower.double().mean())
    return found


def _told(values: list[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)
