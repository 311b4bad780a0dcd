"""A signal's handler runs within a second, even in the middle of a sample, and may end the call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from pairs import make_pairs

import puzzlemix
from bench.instances import CUTS, agreed_matrix, hard_labeling, hard_transport

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no interval timer")
DELAY = 0.05  # seconds until the signal
PATIENCE = 1.5  # the seconds allowed, for a busy machine; an idle one takes 0.2


class Stopped(Exception):
    pass


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], None]], list[float]]]:
    """Send a signal after DELAY, whose handler is called; yields the times at which it was."""
    before = signal.getsignal(signal.SIGALRM)

    def set_off(handler: Callable[[], None]) -> list[float]:
        handled: list[float] = []

        def called(*_: object) -> None:
            handled.append(time.perf_counter())
            handler()

        signal.signal(signal.SIGALRM, called)
        signal.setitimer(signal.ITIMER_REAL, DELAY)
        return handled

    yield set_off
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def many(problem: Iterable[torch.Tensor], count: int) -> list[torch.Tensor]:
    """Each sample `count` times, in contiguous doubles, which no call has to copy."""
    return [x.double().repeat(count, *[1] * (x.dim() - 1)) if len(x) == 1 else x for x in problem]


SIDE = torch.arange(4096, dtype=torch.float64)
# Each takes half a second or more on one thread: batches of short samples, and single samples.
LONG: dict[str, tuple[Callable[..., Any], Callable[[], Iterable[torch.Tensor]]]] = {
    "grid_min_cut": (puzzlemix.grid_min_cut, lambda: many(CUTS["spiral"](64, 0), 500)),
    "alpha_beta_swap": (
        puzzlemix.alpha_beta_swap,
        lambda: many(hard_labeling("checkerboard", 64, 16, 0, 0), 20),
    ),
    "exact_labeling": (
        puzzlemix.exact_labeling,
        lambda: many(hard_labeling("smooth", 64, 3, 0, 0), 2000),
    ),
    "exact_labeling, one": (
        puzzlemix.exact_labeling,
        lambda: hard_labeling("spiral", 32, 16, 0, 0.5),
    ),
    "assignment": (puzzlemix.assignment, lambda: many([agreed_matrix(1, 1024, 0)], 20)),
    # All rows want the same columns.
    "assignment, one": (
        partial(puzzlemix.assignment, method="exact"),
        lambda: [-(SIDE[:, None] * SIDE)[None]],
    ),
    # Searches alone, as columns are left over.
    "assignment, a rectangle": (
        partial(puzzlemix.assignment, method="exact"),
        lambda: [-(SIDE[:2500, None] * SIDE[:2501])[None]],
    ),
    "masked_transport": (
        partial(puzzlemix.masked_transport, xi=1e-4),
        lambda: many(hard_transport("equal", 64, 0), 20),
    ),
    # Long ones on every thread.
    "masked_transport, long": (
        partial(puzzlemix.masked_transport, xi=1e-4, method="exact"),
        lambda: many(hard_transport("far", 64, 0), 8),
    ),
    "puzzle_plan": (
        partial(puzzlemix.puzzle_plan, grid=32, cycles=9, xi=1e-3),
        lambda: make_pairs(300, 64, 64),
    ),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.usefixtures("threads")
def test_a_handler_that_raises_ends_the_call(name: str, alarm: Any) -> None:
    def stop() -> None:
        raise Stopped

    function, make = LONG[name]
    problem = list(make())
    due = time.perf_counter() + DELAY
    handled = alarm(stop)
    with pytest.raises(Stopped):
        function(*problem)
    assert handled[0] < due + PATIENCE
    assert time.perf_counter() < handled[0] + PATIENCE


@pytest.mark.usefixtures("threads")
def test_a_handler_that_returns_changes_nothing(alarm: Any) -> None:
    problem = many(hard_labeling("smooth", 32, 3, 0, 0), 6_000)
    alone = puzzlemix.exact_labeling(*(x[:1] for x in problem[:3]), problem[3])
    due = time.perf_counter() + DELAY
    handled = alarm(lambda: None)
    labels, energy = puzzlemix.exact_labeling(*problem)
    assert handled[0] < due + PATIENCE
    assert time.perf_counter() > handled[0] + 0.05  # the call went on
    assert (labels == alone.labels).all()
    assert (energy == alone.energy).all()
