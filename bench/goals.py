"""How much faster than its peers each function is meant to be, on one CPU thread.

What it takes on a GPU is measured by `bench.gpu`, what a training step takes by
`python -m experiments saliency`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from . import bench_calls, bench_puzzle_mix, peers
from .bench_mix import COPY
from .cases import PUZZLEMIX
from .report import Row, markdown_table, number, times_of

DENSE_SOLVERS = ("SciPy", "lapx")
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
    known: tuple[float, float] | None = None
    """Microseconds a sample of the only peer, least and most, where no run is to time it."""


ELSEWHERE = "the published code, elsewhere"
CODE_MS = {
    "32x32, grid 4": (31, 120),
    "32x32, grid 16": (1280, 2090),
    "64x64, grid 16": (3600, 4000),
}
"""What the published code (its commit e2dbf3a, with gco-wrapper) took for 100 samples on several
machines with two cores, one thread. The least counts."""

TINY = "call on tiny tensors"
CALL_US = 12.0


def _all() -> Iterator[Goal]:
    yield from _whole()
    yield from _calls()
    yield from _labelings()
    yield from _transports()
    yield from _mixes()
    for work in (
        *(case.work for name in WHOLE for case in bench_puzzle_mix.with_peers(name)),
        "alpha_beta_swap 16x16, 3 labels, batch 100",
        "exact_labeling 16x16, 3 labels, batch 100",
        "masked_transport approx 16x16, batch 100",
        "masked_transport exact 16x16, batch 100",
    ):
        yield Goal(work, ("puzzlemix, 1 thread",), 1.8, by="puzzlemix, 2 threads")


WHOLE = {"PuzzleMix": (70, 800, 1300), "puzzle_mix": (50, 500, 900)}


def _whole() -> Iterator[Goal]:
    """Against the published code, where a run had it, and as known from elsewhere."""
    for function, ratios in WHOLE.items():
        for (size, (least, most)), ratio in zip(CODE_MS.items(), ratios, strict=True):
            work = f"{function} {size}"
            yield Goal(work, (bench_puzzle_mix.CODE,), ratio)
            # 100 samples in milliseconds: ten times as many microseconds a sample.
            yield Goal(work, (ELSEWHERE,), ratio, known=(10 * least, 10 * most))


def _calls() -> Iterator[Goal]:
    for mixer in ("MixUp", "CutMix"):
        yield Goal(f"{mixer}, {TINY}", (peers.WRITTEN_OUT,), 0.83)  # 1.2 times their time
    for mixer in WHOLE:
        mixups = (bench_calls.THEIR_MIXUP, bench_calls.OUR_MIXUP)
        yield Goal(f"{mixer}, {TINY}", mixups, 0.33)  # three times theirs
    for case in bench_calls.CALLS:
        yield Goal(case.work, (f"{CALL_US:g} µs",), 1, known=(CALL_US, CALL_US))


def _labelings() -> Iterator[Goal]:
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


def _transports() -> Iterator[Goal]:
    for grid, ratio in ((16, 50), (32, 150)):
        work = f"masked_transport exact {grid}x{grid}"
        yield Goal(work, DENSE_SOLVERS, ratio)
        for xi in (0.1, 0.01):
            yield Goal(f"{work}, random mask, xi {xi}", DENSE_SOLVERS, 10)
    for count in (16, 64, 256, 1024):
        yield Goal(f"assignment exact, N = {count}", DENSE_SOLVERS, 3)
    for kind in ("distances", "ties", "agreed"):
        yield Goal(f"assignment exact, N = 256, {kind}", DENSE_SOLVERS, 1)


def _mixes() -> Iterator[Goal]:
    for work, ratio in (
        ("32x32, grid 8, whole rows", 0.9),
        ("224x224, grid 16, batch 32, whole rows", 0.9),
        ("32x32, grid 8", 0.7),
        ("64x64, grid 16", 0.7),
    ):
        yield Goal(f"mix {work}", (COPY,), ratio)


GOALS = tuple(_all())


class Verdict(NamedTuple):
    """A goal and what was measured."""

    goal: Goal
    peer: str
    """The fastest of those that were timed."""
    ratio: float
    most: float
    """The ratio to the most that the peer is known to take, if more is known than one time."""

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal.ratio


def judge(rows: Iterable[Row], goals: Iterable[Goal] = GOALS) -> list[Verdict]:
    """The goals that a run says something about."""
    times = times_of(rows)
    verdicts = []
    for goal in goals:
        ours = times.get((goal.work, goal.by))
        took = [
            (*(goal.known or 2 * (times[goal.work, peer],)), peer)
            for peer in goal.peers
            if goal.known or (goal.work, peer) in times
        ]
        if ours and took:
            least, most, peer = min(took)
            verdicts.append(Verdict(goal, peer, least / ours, most / ours))
    return verdicts


def table(verdicts: list[Verdict]) -> list[str]:
    """Lines of Markdown."""
    cells = []
    for verdict in verdicts:
        goal, peer, ratio, most = verdict
        by = "" if goal.by == PUZZLEMIX else f" (by {goal.by})"
        measured = number(ratio) + (f"-{number(most)}" if most > ratio else "")
        met = "met" if verdict.met else "not met"
        cells.append((f"{goal.work}{by}", peer, f"{goal.ratio:g}x", f"{measured}x", met))
    return markdown_table(("work", "against", "goal", "measured", ""), cells)
