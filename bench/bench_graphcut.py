"""The graph cuts beside the reference, PyMaxflow and gco."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch

import puzzlemix
from puzzlemix import reference

from . import peers
from .cases import (
    BASIC,
    BATCHES,
    GRIDS,
    KINDS,
    REFERENCE,
    SLOW_REFERENCE,
    THREADED,
    THREADED_BATCH,
    compared,
    named,
    on_device,
    one_at_a_time,
)
from .instances import LabelingProblem, bent, cut_problem, labeling_problem

LABELS = (2, 3, 5, 16)
SLACK = 0.05
"""How far above the optimum the local minimum of a swap may lie, of the energy's size."""


class Labeling(NamedTuple):
    """One of the functions of labellings."""

    function: str
    grid: int = 16
    labels: int = 3
    batch: int = 32
    kind: str = "smooth"

    @property
    def work(self) -> str:
        head = f"{self.function} {self.grid}x{self.grid}, {self.labels} labels"
        return named(self, head, batch="batch {}", kind="{}")


class Cut(NamedTuple):
    """A minimum cut."""

    grid: int = 16
    batch: int = 32
    kind: str = "smooth"

    @property
    def work(self) -> str:
        return named(self, f"grid_min_cut {self.grid}x{self.grid}", batch="batch {}", kind="{}")


def labelings(function: str) -> list[Labeling]:
    base = Labeling(function)
    axes = {"grid": GRIDS, "labels": LABELS, "batch": BATCHES, "kind": (*KINDS, "bent")}
    return [
        *one_at_a_time(base, **axes),
        base._replace(labels=16, kind="bent"),
        base._replace(batch=THREADED_BATCH),
    ]


def problem_of(case: Labeling, batch: int) -> LabelingProblem:
    """The kind "bent" has unary costs that are not convex in the label."""
    if case.kind == "bent":
        return bent(labeling_problem(batch, case.grid, case.labels), share=0.5)
    return labeling_problem(batch, case.grid, case.labels, kind=case.kind)


def with_reference(case: Labeling | Cut) -> bool:
    """Where it takes seconds, not minutes."""
    return case == case._replace(grid=min(case.grid, 16), batch=32, kind="smooth")


def swaps(case: Labeling) -> Iterator[str]:
    yield from BASIC
    if case.batch == THREADED_BATCH:
        yield from THREADED
        return
    yield from ("gco, its solve", "gco", "PyMaxflow")
    if with_reference(case) and case.labels == 3:
        yield SLOW_REFERENCE


@compared(labelings("alpha_beta_swap"), swaps)
def test_alpha_beta_swap(timed, case, by):
    problem = problem_of(case, timed.batch)
    if by == "PyMaxflow":
        found = timed(partial(peers.pymaxflow_swap, problem))
    elif by == "gco":
        found = timed(partial(peers.gco_swap, peers.integer_costs(problem)))
    elif by == "gco, its solve":
        costs = peers.integer_costs(problem)
        found = timed(peers.GcoGraphs.swap, partial(peers.GcoGraphs, costs))
    else:
        solve = (reference if by == SLOW_REFERENCE else puzzlemix).alpha_beta_swap
        found = timed(partial(solve, *on_device(by, problem)))
    above = energy_above_the_least(found, problem)
    # Swaps stop in local minima, and not in the same ones.
    assert bool((above > -1e-6).all())
    assert bool((above < SLACK).all())


def exact_labelings(case: Labeling) -> Iterator[str]:
    yield from BASIC
    if case.batch == THREADED_BATCH:
        yield from THREADED
        return
    yield from ("puzzlemix, alpha_beta_swap", "PyMaxflow, its solve", "PyMaxflow")
    if with_reference(case) and case.labels == 3:
        yield SLOW_REFERENCE


@compared(labelings("exact_labeling"), exact_labelings)
def test_exact_labeling(timed, case, by):
    """PyMaxflow solves Ishikawa's graph; its whole call makes the graph too."""
    problem = problem_of(case, timed.batch)
    if by == "puzzlemix, alpha_beta_swap":
        found = timed(partial(puzzlemix.alpha_beta_swap, *problem))
        assert bool((energy_above_the_least(found, problem) < SLACK).all())
        return
    if by.startswith("PyMaxflow"):
        graphs = partial(peers.IshikawaGraphs, peers.integer_costs(problem))
        if by == "PyMaxflow":
            found = timed(lambda: graphs().solve())
        else:
            found = timed(peers.IshikawaGraphs.solve, graphs)
    else:
        solve = (reference if by == SLOW_REFERENCE else puzzlemix).exact_labeling
        found = timed(partial(solve, *on_device(by, problem)))
    # Each solver has rounded the costs its own way.
    assert float(energy_above_the_least(found, problem).abs().max()) < 1e-5


def energy_above_the_least(found, problem):
    """Of what a solver found, [B], relative to the energy's size."""
    least = puzzlemix.exact_labeling(*problem).energy
    energy = puzzlemix.labeling_energy(peers.labels_of(found), *problem)
    return (energy - least) / least.abs()


@compared(
    one_at_a_time(Labeling("labeling_energy"), grid=GRIDS, labels=LABELS, batch=BATCHES),
    lambda case: (*BASIC, REFERENCE),
)
def test_labeling_energy(timed, case, by):
    problem = problem_of(case, timed.batch)
    labels = puzzlemix.alpha_beta_swap(*problem).labels
    function = (reference if by == REFERENCE else puzzlemix).labeling_energy
    energy = timed(partial(function, *on_device(by, (labels, *problem))))
    torch.testing.assert_close(energy.cpu(), reference.labeling_energy(labels, *problem))


def cuts(case: Cut) -> Iterator[str]:
    yield from (*BASIC, "PyMaxflow, its solve", "PyMaxflow")
    if with_reference(case):
        yield SLOW_REFERENCE


@compared(one_at_a_time(Cut(), grid=GRIDS, batch=BATCHES, kind=KINDS), cuts)
def test_grid_min_cut(timed, case, by):
    problem = cut_problem(timed.batch, case.grid, kind=case.kind)
    graphs = partial(peers.CutGraphs, problem)
    if by == "PyMaxflow":
        flow = timed(lambda: graphs().flows())
    elif by == "PyMaxflow, its solve":
        flow = timed(peers.CutGraphs.flows, graphs)
    else:
        cut = (reference if by == SLOW_REFERENCE else puzzlemix).grid_min_cut
        flow = timed(partial(cut, *on_device(by, problem))).flow.cpu()
    ours = puzzlemix.grid_min_cut(*problem).flow
    torch.testing.assert_close(flow, ours, rtol=1e-5, atol=1e-9)
