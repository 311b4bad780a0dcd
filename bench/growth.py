"""How times grow, and how bad they can get. `python -m bench.growth`

Writes bench/results/growth.md:
- the exponents of time against cells and against labels, fitted to typical problems;
- the slowest inputs found: long thin paths, contrasts, checkerboards, plateaus, ties, unary costs
  that are not convex, xi towards 0, random masks, and what an evolutionary search over saliency,
  masks and costs makes of the worst of them; with a bound on the time that holds for all of them.

A case that takes longer than the limit is stopped, and reported.
"""

from __future__ import annotations

import argparse
import datetime
import math
import multiprocessing
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from tqdm import tqdm

import puzzlemix

from .instances import (
    CUTS,
    MATRICES,
    TRANSPORTS,
    Grid,
    hard_labeling,
    hard_transport,
    labeling_problem,
    transport_problem,
    uniform_matrix,
)
from .report import markdown_table, number

RESULT = Path(__file__).parent / "results" / "growth.md"
Cells = tuple[str, ...]
Solve = Callable[[], Any]


def microseconds(solve: Solve, seconds: float) -> float:
    """Processor time of the fastest of as many calls as fit, one at least."""
    fastest, spent = math.inf, 0.0
    while spent < seconds:
        start = time.process_time()
        solve()
        took = time.process_time() - start
        fastest, spent = min(fastest, took), spent + took
    return 1e6 * fastest


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """p of time ~ size**p, by least squares of the logarithms."""
    x, y = (torch.tensor(each, dtype=torch.float64).log() for each in (sizes, times))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


# ---- Growth ----

SAMPLES = 16


class Curve(NamedTuple):
    """A solver along an axis."""

    name: str
    axis: str
    sizes: list[int]
    problem: Callable[[int], Solve]
    """By size: a call that solves ``SAMPLES`` samples of it."""
    area: bool = False
    """Whether the size is the side of a grid, and cells count."""


def grid_curve(name: str, solve: Callable[..., Any], make: Callable[[int], Any]) -> Curve:
    return Curve(
        name, "cells", [4, 8, 16, 32, 64], lambda grid: partial(solve, *make(grid)), area=True
    )


def growth_curves() -> Iterator[Curve]:
    """Typical problems, one axis growing."""
    for name in ("alpha_beta_swap", "exact_labeling"):
        solve = getattr(puzzlemix, name)
        for labels in (3, 16):
            make = partial(labeling_problem, SAMPLES, labels=labels)
            yield grid_curve(f"{name}, {labels} labels", solve, make)
        yield Curve(
            f"{name}, 16x16",
            "labels",
            [2, 3, 5, 8, 16],
            lambda labels, solve=solve: partial(solve, *labeling_problem(SAMPLES, 16, labels)),
        )
    for method, mask in product(("approx", "exact"), ("cut", "random")):
        solve = partial(puzzlemix.masked_transport, method=method)
        make = partial(transport_problem, SAMPLES, mask=mask)
        yield grid_curve(f"masked_transport {method}, {mask} mask", solve, make)
    for method in ("approx", "exact"):
        yield Curve(
            f"assignment {method}, uniform",
            "N",
            [32, 64, 128, 256, 512],
            lambda count, method=method: partial(
                puzzlemix.assignment, uniform_matrix(SAMPLES, count, 0), method=method
            ),
        )


def growth_table() -> Iterator[Cells]:
    for curve in tqdm(list(growth_curves()), desc="growth", leave=False, disable=None):
        times = [microseconds(curve.problem(size), 0.1) / SAMPLES for size in curve.sizes]
        sizes = [float(size**2 if curve.area else size) for size in curve.sizes]
        last = exponent(sizes[-2:], times[-2:])
        yield (
            curve.name,
            curve.axis,
            f"{sizes[0]:g} to {sizes[-1]:g}",
            number(times[0]),
            number(times[-1]),
            f"{exponent(sizes, times):.2f}",
            f"{last:.2f}",
        )


# ---- Worst cases ----


class Case(NamedTuple):
    """A solver on one sample that may be hard."""

    solver: str
    size: str
    cells: int
    kind: str
    solve: Callable[..., Any]
    problem: tuple[Tensor, ...]
    limits: tuple[float, ...]
    """What the search may raise the problem's parts to, from the first; it leaves the rest."""


SHAPES: tuple[Grid, ...] = (16, 32, 64, (1, 64), (2, 64), (3, 64))
COUNTS = (64, 256, 1024)
XIS = (0.8, 0.1, 1e-2, 1e-4, 0.0)
ANY = (math.inf,)


def worst_cases(shapes: Iterable[Grid], counts: Iterable[int]) -> Iterator[Case]:
    """All inputs to time, by solver and size, the typical kind first."""
    for grid in shapes:
        height, width = (grid, grid) if isinstance(grid, int) else grid
        size = f"{height}x{width}", height * width
        for kind, make in CUTS.items():
            yield Case("grid_min_cut", *size, kind, puzzlemix.grid_min_cut, make(grid, 0), ANY * 4)
        for labels, name in product((3, 16), ("alpha_beta_swap", "exact_labeling")):
            named, solve = f"{name}, {labels} labels", getattr(puzzlemix, name)
            typical = labeling_problem(1, grid, labels)
            yield Case(named, *size, "smooth, convex", solve, typical, ANY * 3)
            for kind, (bend, what) in product(CUTS, ((0.0, "convex"), (0.5, "bent"))):
                problem = hard_labeling(kind, grid, labels, 0, bend)
                yield Case(named, *size, f"{kind} capacities, {what}", solve, problem, ANY * 3)
        for method, kind, xi in product(("approx", "exact"), TRANSPORTS, XIS):
            solve = partial(puzzlemix.masked_transport, method=method, xi=xi)
            problem = hard_transport(kind, grid, 0)
            yield Case(
                f"masked_transport {method}",
                *size,
                f"{kind}, xi {xi:g}",
                solve,
                problem,
                (math.inf, 1),
            )
    for method, count, kind in product(("approx", "exact"), counts, MATRICES):
        solve, problem = partial(puzzlemix.assignment, method=method), MATRICES[kind](1, count, 0)
        yield Case(f"assignment {method}", f"N = {count}", count, kind, solve, (problem,), ANY)


def within(seconds: float, solve: Solve) -> float:
    """Microseconds of a call, in a process of its own, which the system stops after ``seconds`` of
    processor time: infinity then."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def measure() -> None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        sender.send(microseconds(solve, 0.03))

    process = context.Process(target=measure, daemon=True)
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError:
        return math.inf
    finally:
        process.join()


class Worst(NamedTuple):
    """What was found for one solver and size; microseconds a sample."""

    solver: str
    size: str
    cells: int
    typical: float
    kind: str
    """The slowest of them."""
    worst: float
    searched: float
    """What the search made of it; no less than ``worst``."""


def find_worst(cases: list[Case], limit: float, steps: int) -> Worst:
    """Time the cases of one solver and size, then search for slower ones from the slowest."""
    times = [within(limit, partial(case.solve, *case.problem)) for case in cases]
    worst = max(times)
    case = cases[times.index(worst)]
    searched = evolve(list(zip(times, cases, strict=True)), limit, steps)
    return Worst(case.solver, case.size, case.cells, times[0], case.kind, worst, searched)


KEPT = 4
"""Inputs from which the search breeds."""


def evolve(timed: list[tuple[float, Case]], limit: float, steps: int) -> float:
    """The longest time in ``steps`` generations of one child, by a fixed seed.

    Two of the slowest are crossed and the child mutated; it stays if it is slower than the fastest
    of those kept.
    """
    generator = Generator().manual_seed(0)
    kept = sorted(timed, key=lambda each: each[0])[-KEPT:]
    deadline = time.perf_counter() + limit
    for _ in range(steps):
        if kept[-1][0] == math.inf or time.perf_counter() > deadline:
            break
        one, other = (kept[int(k)][1] for k in torch.randint(len(kept), (2,), generator=generator))
        child = one._replace(problem=_child(one, other, generator))
        took = within(limit, partial(child.solve, *child.problem))
        kept = sorted([*kept, (took, child)], key=lambda each: each[0])[-KEPT:]
    return kept[-1][0]


def _child(one: Case, other: Case, generator: Generator) -> tuple[Tensor, ...]:
    """Two inputs crossed: of every part the upper rows of one and the lower ones of the other.
    Then a tenth of the entries change places, and a tenth are multiplied by 1/4 to 4."""
    share = float(torch.rand((), generator=generator))
    parts = []
    for first, second, most in zip(one.problem, other.problem, one.limits, strict=False):
        rows = round(share * first.shape[1])
        flat = torch.cat([first[:, :rows], second[:, rows:]], 1).flatten()
        chosen = torch.randperm(flat.numel(), generator=generator)[: flat.numel() // 10]
        flat[chosen] = flat[chosen.roll(1)]
        factor = 4 ** (2 * torch.rand(flat.shape, generator=generator, dtype=flat.dtype) - 1)
        changed = torch.rand(flat.shape, generator=generator) < 0.1
        parts.append((flat * factor.where(changed, 1)).clamp(max=most).view(first.shape))
    return (*parts, *one.problem[len(one.limits) :])


def worst_table(found: list[Worst]) -> Iterator[Cells]:
    for each in found:
        yield (
            each.solver,
            each.size,
            number(each.typical),
            number(each.worst),
            f"{number(each.searched / each.typical)}x",
            number(each.searched),
            each.kind,
        )


def bound_table(found: list[Worst]) -> Iterator[Cells]:
    """For each solver c and p so that all that was found took at most c * size**p."""
    for solver, group in groupby(found, lambda each: each.solver):
        slowest = [(each.cells, each.searched) for each in group if each.searched < math.inf]
        if len(slowest) > 1:
            power = math.ceil(2 * exponent(*zip(*slowest, strict=True))) / 2
            # Two digits are told, and must not be less than what they stand for.
            factor = 1.05 * max(took / cells**power for cells, took in slowest)
            largest, took = max(slowest)
            yield (
                solver,
                f"{factor:.2g} µs x size^{power:g}",
                str(largest),
                f"{factor * largest**power / 1e3:.3g} ms",
                f"{took / 1e3:.3g} ms",
            )


# ---- All of it ----


def report(limit: float, steps: int, shapes: Iterable[Grid], counts: Iterable[int]) -> str:
    """The tables as Markdown."""
    groups = defaultdict(list)
    for case in worst_cases(shapes, counts):
        groups[case.solver, case.size].append(case)
    bar = tqdm(groups.values(), desc="worst cases", leave=False, disable=None)
    found = sorted(
        (find_worst(cases, limit, steps) for cases in bar),
        key=lambda each: (each.solver, each.cells),
    )
    told = [
        "# Growth",
        "",
        f"By `python -m bench.growth`, one thread, {datetime.date.today().isoformat()}.",
        "Microseconds a sample.",
        "",
        "## Typical problems",
        "",
        f"Batches of {SAMPLES}; p of time ~ size^p, over all sizes and between the last two.",
        "",
        *markdown_table(
            ("work", "axis", "sizes", "first, µs", "last, µs", "p", "p, last two"), growth_table()
        ),
        "",
        "## Worst cases",
        "",
        f"One sample a call, the slowest of all kinds tried, and what {steps} generations of an",
        f"evolutionary search bred from the slowest {KEPT}; inf: stopped after {limit:g} s.",
        "",
        *markdown_table(
            (
                "work",
                "size",
                "typical, µs",
                "worst, µs",
                "of typical",
                "after the search, µs",
                "input",
            ),
            worst_table(found),
        ),
        "",
        "## A bound that all of them keep",
        "",
        *markdown_table(
            ("work", "at most", "cells or N", "that is", "longest found"), bound_table(found)
        ),
    ]
    return "\n".join(told) + "\n"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth")
    parser.add_argument("--limit", type=float, default=30, help="seconds a case may take")
    parser.add_argument("--steps", type=int, default=30, help="of the search, for each solver")
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--out", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shapes, counts = ((8, (1, 32)), (64,)) if options.quick else (SHAPES, COUNTS)
    told = report(options.limit, options.steps, shapes, counts)
    options.out.write_text(told)
    print(f"{told}\nwritten to {options.out}")


if __name__ == "__main__":
    main()
