"""Assignment and transport beside the reference, SciPy and lapx on dense matrices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

import puzzlemix
from puzzlemix import reference

from . import peers, published
from .cases import (
    BASIC,
    BATCHES,
    GRIDS,
    KINDS,
    SLOW_REFERENCE,
    THREADED,
    THREADED_BATCH,
    compared,
    named,
    on_device,
    one_at_a_time,
)
from .instances import MATRICES, transport_problem

DENSE = 32
"""The largest grid whose n x n matrices are made: 8 MB a sample."""


class Transport(NamedTuple):
    """A transport of blocks to where a mask shows them."""

    method: str
    grid: int = 16
    batch: int = 32
    kind: str = "smooth"
    mask: str = "cut"
    xi: float = 0.8

    @property
    def work(self) -> str:
        head = f"masked_transport {self.method} {self.grid}x{self.grid}"
        return named(self, head, batch="batch {}", kind="{}", mask="{} mask", xi="xi {}")


def transports(method: str) -> list[Transport]:
    base = Transport(method)
    hard = [
        base._replace(grid=grid, mask="random", xi=xi) for grid in (16, 32) for xi in (0.1, 0.01)
    ]
    axes = {
        "grid": GRIDS, "batch": BATCHES, "kind": KINDS, "mask": ("random",), "xi": (0.1, 0.01),
    }  # fmt: skip
    return [*one_at_a_time(base, **axes), *hard, base._replace(batch=THREADED_BATCH)]


def approximately(case: Transport) -> Iterator[str]:
    yield from BASIC
    if case.batch == THREADED_BATCH:
        yield from THREADED
    elif case == case._replace(grid=min(case.grid, 16), batch=32, kind="smooth"):
        yield from (SLOW_REFERENCE, "published, dense")


@compared(transports("approx"), approximately)
def test_approximate_transport(timed, case, by):
    """The published method takes as many rounds as a side has blocks, and may be left with none
    for some places."""
    problem = transport_problem(timed.batch, case.grid, kind=case.kind, mask=case.mask)
    ours = puzzlemix.masked_transport(*problem, xi=case.xi).source
    if by == "published, dense":
        costs = published.transport_costs(*problem, case.xi)
        plan = timed(partial(published.transport, costs, rounds=case.grid))
        ended = ((plan.sum(1) == 1) & (plan.sum(2) == 1)).all(1)
        assert torch.equal(plan.argmax(1)[ended], ours.flatten(1)[ended])
        return
    move = (reference if by == SLOW_REFERENCE else puzzlemix).masked_transport
    found = timed(partial(move, *on_device(by, problem), xi=case.xi))
    assert torch.equal(found.source.cpu(), ours)


def exactly(case: Transport) -> Iterator[str]:
    yield from BASIC
    if case.batch == THREADED_BATCH:
        yield from THREADED
        return
    if case.grid <= DENSE:
        yield from ("SciPy", "lapx")
    if case == case._replace(grid=min(case.grid, 16), batch=32, kind="smooth"):
        yield SLOW_REFERENCE


@compared(transports("exact"), exactly)
def test_exact_transport(timed, case, by):
    """The dense matrix is a present to the others: its making is not timed."""
    problem = transport_problem(timed.batch, case.grid, kind=case.kind, mask=case.mask)
    least = puzzlemix.masked_transport(*problem, xi=case.xi, method="exact").total
    if by in ("SciPy", "lapx"):
        total = total_of_dense(timed, by, published.transport_costs(*problem, case.xi))
    else:
        move = (reference if by == SLOW_REFERENCE else puzzlemix).masked_transport
        found = timed(partial(move, *on_device(by, problem), xi=case.xi, method="exact"))
        total = found.total.cpu()
    torch.testing.assert_close(total, least, rtol=1e-7, atol=1e-6)


def total_of_dense(timed, by, costs):
    """The total [B] that a solver of dense matrices [B, N, N] finds."""
    solve, matrices = peers.dense_solver(by), costs.numpy()
    columns = torch.from_numpy(np.stack(timed(lambda: [solve(cost) for cost in matrices])))
    return costs.gather(2, columns.long()[:, :, None]).sum((1, 2))


class Assignment(NamedTuple):
    """Rows to columns of a dense matrix."""

    method: str
    count: int = 256
    batch: int = 10
    kind: str = "uniform"

    @property
    def work(self) -> str:
        head = f"assignment {self.method}, N = {self.count}"
        return named(self, head, batch="batch {}", kind="{}")


COUNTS = (16, 64, 256, 1024)


def assignments(case: Assignment) -> Iterator[str]:
    yield from BASIC
    if case.method == "exact":
        yield from ("SciPy", "lapx")
    if case.count <= 256 and case == case._replace(count=case.count, kind="uniform"):
        yield SLOW_REFERENCE


@compared(
    [
        case
        for method in ("approx", "exact")
        for case in one_at_a_time(Assignment(method), count=COUNTS, kind=MATRICES)
    ],
    assignments,
)
def test_assignment(timed, case, by):
    costs = MATRICES[case.kind](timed.batch, case.count, 0)
    ours = puzzlemix.assignment(costs, method=case.method)
    if by in ("SciPy", "lapx"):
        total = total_of_dense(timed, by, costs)
    else:
        assign = (reference if by == SLOW_REFERENCE else puzzlemix).assignment
        total = timed(partial(assign, *on_device(by, [costs]), method=case.method)).total.cpu()
    torch.testing.assert_close(total, ours.total, rtol=1e-6, atol=1e-6)
