"""How much faster than its peers each function is meant to be, on one CPU thread.

What it takes on a GPU is measured by `bench.gpu`, what a training step takes by
`bench.saliency_kinds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .bench_mix import COPY
from .cases import PUZZLEMIX
from .report import Row, markdown_table, number, text_table, times_of

DENSE_SOLVERS = ("SciPy", "lapx")
PUBLISHED = ("published, dense",)
GCO = ("gco, its solve",)
ISHIKAWA = ("PyMaxflow, its solve",)


class Goal(NamedTuple):
    """What is asked of one piece of work."""

    work: str
    peers: tuple[str, ...]
    """The fastest of them counts."""
    ratio: float
    """The peer's time over ours, at least."""
    by: str = PUZZLEMIX


def _all() -> Iterator[Goal]:
    for size, ratio in (("32x32, grid 4", 60), ("32x32, grid 16", 250), ("64x64, grid 16", 300)):
        yield Goal(f"puzzle_mix {size}", PUBLISHED, ratio)
    for grid, ratio in ((4, 8), (8, 8), (16, 8), (32, 5), (64, 5)):
        yield Goal(f"alpha_beta_swap {grid}x{grid}, 3 labels", GCO, ratio)
    yield Goal("alpha_beta_swap 16x16, 16 labels", GCO, 4)
    for case in (
        *(f"{grid}x{grid}, 3 labels" for grid in (4, 8, 16, 32, 64)),
        *(f"16x16, {labels} labels" for labels in (2, 5, 16)),
        *(f"16x16, 3 labels, {kind}" for kind in ("real", "bent")),
    ):
        work = f"exact_labeling {case}"
        yield Goal(work, ISHIKAWA, 8)
        yield Goal(work, ("puzzlemix, alpha_beta_swap",), 1)
    for grid, ratio in ((16, 50), (32, 150)):
        work = f"masked_transport exact {grid}x{grid}"
        yield Goal(work, DENSE_SOLVERS, ratio)
        for xi in (0.1, 0.01):
            yield Goal(f"{work}, random mask, xi {xi}", DENSE_SOLVERS, 10)
    for count in (16, 64, 256, 1024):
        yield Goal(f"assignment exact, N = {count}", DENSE_SOLVERS, 3)
    for kind in ("distances", "ties", "agreed"):
        yield Goal(f"assignment exact, N = 256, {kind}", DENSE_SOLVERS, 1)
    for work, ratio in (
        ("32x32, grid 8, whole rows", 0.9),
        ("224x224, grid 16, batch 32, whole rows", 0.9),
        ("32x32, grid 8", 0.7),
        ("64x64, grid 16", 0.7),
    ):
        yield Goal(f"mix {work}", (COPY,), ratio)
    for work in (
        "puzzle_mix 32x32, grid 16",
        "puzzle_mix 64x64, grid 16",
        "alpha_beta_swap 16x16, 3 labels, batch 100",
        "exact_labeling 16x16, 3 labels, batch 100",
        "masked_transport approx 16x16, batch 100",
        "masked_transport exact 16x16, batch 100",
    ):
        yield Goal(work, ("puzzlemix, 1 thread",), 1.8, by="puzzlemix, 2 threads")


GOALS = tuple(_all())


class Verdict(NamedTuple):
    """A goal and what was measured."""

    goal: Goal
    peer: str
    """The fastest of those that were timed."""
    ratio: float

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal.ratio


def judge(rows: Iterable[Row], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """The goals that a run says something about."""
    times = times_of(rows)
    verdicts = []
    for goal in goals:
        peers = [
            (times[goal.work, peer], peer) for peer in goal.peers if (goal.work, peer) in times
        ]
        if peers and (goal.work, goal.by) in times:
            took, peer = min(peers)
            verdicts.append(Verdict(goal, peer, took / times[goal.work, goal.by]))
    return verdicts


HEADS = ("work", "against", "goal", "measured", "")


def _cells(verdicts: list[Verdict]) -> Iterator[tuple[str, ...]]:
    for verdict in verdicts:
        goal, peer, ratio = verdict
        by = "" if goal.by == PUZZLEMIX else f" (by {goal.by})"
        met = "met" if verdict.met else "not met"
        yield f"{goal.work}{by}", peer, f"{goal.ratio:g}x", f"{number(ratio)}x", met


def text(verdicts: list[Verdict]) -> str:
    """The table for the terminal."""
    return text_table(HEADS, _cells(verdicts))


def markdown(verdicts: list[Verdict]) -> list[str]:
    """The table as Markdown, line by line."""
    return markdown_table(HEADS, _cells(verdicts))
