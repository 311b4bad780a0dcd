"""A signal's handler runs within a second, even in the middle of a sample, and may end the call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch

import puzzlemix
from bench.instances import CUTS, agreed_matrix, hard_labeling, hard_transport

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no interval timer")
DELAY = 0.15  # seconds until the signal


class Stopped(Exception):
    pass


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], None]], list[float]]]:
    """Sets off the signal after DELAY: calls the handler, and says when."""
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
    """Each sample `count` times, without a copy."""
    return [x.expand(count, *x.shape[1:]) if x.shape[0] == 1 else x for x in problem]


SIDE = torch.arange(4096.0)
PRODUCTS = -(SIDE[:, None] * SIDE)[None]  # all rows want the same columns
# Each takes a second or more on one thread: batches of short samples, and single samples.
LONG: dict[str, Callable[[], Any]] = {
    "grid_min_cut": lambda: puzzlemix.grid_min_cut(*many(CUTS["smooth"](32, 0), 50_000)),
    "alpha_beta_swap": lambda: puzzlemix.alpha_beta_swap(
        *many(hard_labeling("checkerboard", 64, 16, 0, 0), 50)
    ),
    "exact_labeling": lambda: puzzlemix.exact_labeling(
        *many(hard_labeling("smooth", 32, 3, 0, 0), 20_000)
    ),
    "exact_labeling, one": lambda: puzzlemix.exact_labeling(
        *hard_labeling("spiral", 32, 16, 0, 0.5)
    ),
    "assignment": lambda: puzzlemix.assignment(*many([agreed_matrix(1, 1024, 0)], 50)),
    "assignment, one": lambda: puzzlemix.assignment(PRODUCTS, method="exact"),
    "masked_transport": lambda: puzzlemix.masked_transport(
        *many(hard_transport("random", 64, 0), 20_000)
    ),
    "masked_transport, one": lambda: puzzlemix.masked_transport(
        *hard_transport("far", 64, 0), xi=1e-4, method="exact"
    ),
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.usefixtures("threads")
def test_a_handler_that_raises_ends_the_call(name: str, alarm: Any) -> None:
    def stop() -> None:
        raise Stopped

    due = time.perf_counter() + DELAY
    handled = alarm(stop)
    with pytest.raises(Stopped):
        LONG[name]()
    assert handled[0] < due + 1
    assert time.perf_counter() < handled[0] + 1


@pytest.mark.usefixtures("threads")
def test_a_handler_that_returns_changes_nothing(alarm: Any) -> None:
    problem = many(hard_labeling("smooth", 32, 3, 0, 0), 6_000)
    alone = puzzlemix.exact_labeling(*(x[:1] for x in problem[:3]), problem[3])
    due = time.perf_counter() + DELAY
    handled = alarm(lambda: None)
    labels, energy = puzzlemix.exact_labeling(*problem)
    assert handled[0] < due + 1
    assert time.perf_counter() > handled[0] + 0.05  # the call went on
    assert (labels == alone.labels).all()
    assert (energy == alone.energy).all()
