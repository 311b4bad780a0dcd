"""What speed alone hides: how far from the optimum the answers are. `python -m bench.quality`

Writes bench/results/quality.md:
- how often and how far the alpha-beta swap's energy lies above the optimum;
- the objective and the kept saliency of approximate and of exact transport;
- the objective of the whole mix, by how its cut and its transport are solved.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

import puzzlemix

from .instances import (
    SALIENCY,
    LabelingProblem,
    TransportProblem,
    image_pairs,
    labeling_problem,
    photograph_saliency,
    transport_problem,
)
from .report import markdown_table

RESULT = Path(__file__).parent / "results" / "quality.md"
Cells = tuple[str, ...]

SAME = 1e-9
"""Energies closer than this, of their size, are the same."""


class Gaps(NamedTuple):
    """How far above the optimum a batch's energies are, relative to the optimum's size."""

    share: float
    """Of samples above it."""
    mean: float
    most: float


def swap_gaps(problem: LabelingProblem) -> Gaps:
    """Alpha-beta swap against the optimal labelling."""
    least = puzzlemix.exact_labeling(*problem).energy
    return gaps(puzzlemix.alpha_beta_swap(*problem).energy, least)


def gaps(found: Tensor, least: Tensor) -> Gaps:
    above = (found - least) / least.abs().clamp_min(torch.finfo(least.dtype).tiny)
    return Gaps(float((above > SAME).double().mean()), float(above.mean()), float(above.max()))


class Kept(NamedTuple):
    """The quality of transports by one method, as means over a batch."""

    total: float
    """The objective, transport cost less kept saliency."""
    kept: float
    """The share of the saliency that the mask shows after the move."""
    moved: float
    """The share of blocks that are not where they were."""


def transport_quality(problem: TransportProblem, xi: float, method: str) -> Kept:
    """The quality of transports by one method: total, kept saliency and blocks moved."""
    source, total = puzzlemix.masked_transport(*problem, xi=xi, method=method)
    flat = source.flatten(1)
    shown = (problem.mask.flatten(1) > 0).double()
    kept = (problem.saliency.flatten(1).gather(1, flat) * shown).sum(1)
    moved = (flat != torch.arange(flat.shape[1])).double()
    return Kept(float(total.mean()), float(kept.mean()), float(moved.mean()))


# ---- Tables ----


def kinds() -> list[str]:
    """The kinds of saliency; without the real one where its packages are missing."""
    try:
        photograph_saliency()
    except ImportError as error:
        print(f"left out: {error}")
        return [kind for kind in SALIENCY if kind != "real"]
    return list(SALIENCY)


def swap_table(samples: int) -> Iterator[Cells]:
    cases = [
        *product(kinds(), (2, 4, 8, 16, 32), (3,)),
        *product(kinds(), (16,), (5, 16)),
    ]
    for kind, grid, labels in tqdm(cases, desc="swap", leave=False, disable=None):
        few = samples if grid < 32 else max(1, samples // 4)
        found = swap_gaps(labeling_problem(few, grid, labels, kind=kind))
        size = f"{grid}x{grid}, {labels} labels"
        yield kind, size, f"{found.share:.0%}", f"{found.mean:.1e}", f"{found.most:.1e}"


def transport_table(samples: int) -> Iterator[Cells]:
    cases = list(product(kinds(), (4, 8, 16), ("cut", "random"), (0.8, 0.1)))
    for kind, grid, mask, xi in tqdm(cases, desc="transport", leave=False, disable=None):
        problem = transport_problem(samples, grid, kind=kind, mask=mask)
        stay = float((problem.saliency * (problem.mask > 0)).sum((1, 2)).mean())
        approx, exact = (transport_quality(problem, xi, how) for how in ("approx", "exact"))
        yield (
            kind,
            f"{grid}x{grid}, mask: {mask}, xi {xi}",
            *(f"{found.total:.4f}" for found in (approx, exact)),
            f"{stay:.3f}",
            *(f"{found.kept:.3f}" for found in (approx, exact)),
            *(f"{found.moved:.0%}" for found in (approx, exact)),
        )


def mix_table(samples: int) -> Iterator[Cells]:
    """Smooth saliency on noise, which makes seams dear everywhere."""
    given = image_pairs(samples, side=64)
    cases = list(product((8, 16), ("swap", "exact"), ("approx", "exact")))
    for grid, cut, transport in tqdm(cases, desc="mix", leave=False, disable=None):
        once, twice = (
            puzzlemix.puzzle_mix(*given, grid=grid, cut=cut, transport=transport, cycles=cycles)
            for cycles in (1, 3)
        )
        yield (
            f"{grid}x{grid}",
            f"{cut}, {transport}",
            *(f"{float(mixed.objective.mean()):.4f}" for mixed in (once, twice)),
        )


def report(samples: int) -> str:
    """The tables as Markdown."""
    told = [
        "# Quality",
        "",
        f"By `python -m bench.quality`; {samples} samples (a quarter of them at 32x32), each kind",
        "of saliency as in `bench/instances.py`, default settings.",
        "",
        "## Alpha-beta swap against the optimum",
        "",
        "Samples whose energy is above the optimum; how far, of the energy's size.",
        "",
        *markdown_table(
            ("saliency", "size", "samples above", "mean gap", "largest gap"), swap_table(samples)
        ),
        "",
        "## Approximate against exact transport",
        "",
        "Objective (transport cost less kept saliency; lower is better), and the share of the",
        "saliency that the mask shows: before the move, and after it.",
        "",
        *markdown_table(
            (
                "saliency", "size", "objective, approx", "exact", "kept, before", "approx", "exact",
                "blocks moved, approx", "exact",
            ),
            transport_table(samples),
        ),
        "",
        "## The whole mix",
        "",
        "Mean objective by how cut and transport are solved, on 64x64 pixels.",
        "",
        *markdown_table(
            ("grid", "cut, transport", "objective, 1 cycle", "3 cycles"), mix_table(samples)
        ),
    ]  # fmt: skip
    return "\n".join(told) + "\n"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality")
    parser.add_argument("--samples", type=int, default=400, help="of each problem (default 400)")
    parser.add_argument("--out", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    told = report(options.samples)
    options.out.write_text(told)
    print(f"{told}\nwritten to {options.out}")


if __name__ == "__main__":
    main()
