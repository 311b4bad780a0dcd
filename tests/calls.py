"""A valid call of each low-level function, which tests make invalid in one respect."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import problems
import torch
from pairs import make_pairs

Arguments = dict[str, Any]


def good(function: str, batch: int = 2) -> Arguments:
    """Tensors that the function accepts: a grid of 3x4, L = 3, N = 5, images of 6x8."""
    if function == "grid_min_cut":
        return problems.cut("uniform", height=3, width=4, batch=batch)._asdict()
    if function in LABELINGS:
        arguments = problems.labeling("uniform", height=3, width=4, batch=batch)._asdict()
        if function == "labeling_energy":
            labels = arguments["unary"].argmin(3)
            return {"labels": labels, **arguments}
        return arguments
    if function == "assignment":
        return {"cost": problems.matrix("uniform", batch=batch)}
    if function == "masked_transport":
        return problems.transport("puzzle", height=3, width=4, batch=batch)._asdict()
    if function == "puzzle_plan":
        arguments = make_pairs(batch, 6, 8)._asdict()
        return {**arguments, "partner": torch.arange(batch).flip(0)}
    grids = ((3, 4), (2, 2), (6, 8))
    return problems.mix(size=(6, 8), grids=grids, batch=batch)._asdict()


LABELINGS = ("alpha_beta_swap", "exact_labeling", "labeling_energy")
FUNCTIONS = ("grid_min_cut", *LABELINGS, "assignment", "masked_transport", "puzzle_plan", "mix")
OPTIONS: dict[str, Arguments] = {"puzzle_plan": {"grid": (3, 4)}}
"""Arguments that a function needs besides its tensors."""


def call(backend: ModuleType, function: str, arguments: Arguments) -> Any:
    return getattr(backend, function)(**OPTIONS.get(function, {}), **arguments)
