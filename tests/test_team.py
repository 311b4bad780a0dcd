"""The device algorithms on teams of the host, which tests them without a GPU.

The fixture `backend` runs them in the tests of each function too. Here are the orders of items,
sizes and values that matter to device algorithms only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from teams import Team

from puzzlemix import ops
from puzzlemix.ops import border

SIDES = st.integers(1, 9)
# Grids that one warp can hold, and those that four can.
SHAPES = st.one_of(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(1, 16), st.integers(1, 16)),
    st.tuples(st.integers(1, 4), st.integers(17, 24)),
    st.tuples(st.integers(17, 24), st.integers(1, 4)),
)
SEEDS = st.integers(0, 10**6)


def agree(solve: Callable[..., Any], *args: Any, seed: int = 0, **options: Any) -> None:
    """The team's answer must be the CPU's: decisions bit for bit, sums up to rounding."""
    decided, value = solve(*args, **options)
    with Team(seed) as team:
        again, its_value = solve(*args, **options)
    assert team.phases > 0 or len(decided) == 0
    assert torch.equal(again, decided)
    torch.testing.assert_close(its_value, value, rtol=1e-11, atol=1e-25)


@given(st.sampled_from(sorted(problems.COSTS)), SHAPES, SEEDS)
def test_cuts(kind: str, shape: tuple[int, int], seed: int) -> None:
    height, width = shape
    agree(ops.grid_min_cut, *problems.cut(kind, seed=seed, height=height, width=width), seed=seed)


@given(
    st.sampled_from([*sorted(problems.COSTS), "puzzle"]),
    st.sampled_from(sorted(problems.LABEL_COSTS)),
    st.integers(2, 7),
    SHAPES,
    SEEDS,
)
def test_labelings(kind: str, cost: str, labels: int, shape: tuple[int, int], seed: int) -> None:
    height, width = shape
    problem = problems.labeling(
        kind, cost, seed=seed, height=height, width=width, labels=labels, batch=1
    )
    agree(ops.alpha_beta_swap, *problem, seed=seed)
    agree(ops.alpha_beta_swap, *problem, seed=seed, max_cycles=1)
    if cost in problems.CONVEX:
        agree(ops.exact_labeling, *problem, seed=seed)


@given(st.sampled_from(problems.TRANSPORTS), SIDES, SIDES, st.sampled_from([0, 0.05, 0.8]), SEEDS)
def test_transport(kind: str, height: int, width: int, xi: float, seed: int) -> None:
    problem = problems.transport(kind, seed=seed, height=height, width=width, batch=1)
    for weight in ("indicator", "mask"):
        agree(ops.masked_transport, *problem, xi=xi, weight=weight, seed=seed)
        same_total(ops.masked_transport, *problem, xi=xi, weight=weight, seed=seed)


@given(st.sampled_from(sorted(problems.MATRICES)), st.integers(1, 20), SEEDS)
def test_assignment(kind: str, count: int, seed: int) -> None:
    cost = problems.matrix(kind, seed=seed, count=count)
    agree(ops.assignment, cost, seed=seed)
    same_total(ops.assignment, cost, seed=seed)


def same_total(solve: Callable[..., Any], *args: Any, seed: int, **options: Any) -> None:
    """Exact assignments may tie, so totals must agree. Two orders of items give one assignment."""
    total = solve(*args, method="exact", **options).total
    teams = []
    for team in (seed, seed + 2):
        with Team(team):
            teams.append(solve(*args, method="exact", **options))
    assert torch.equal(teams[0].source, teams[1].source)
    count = teams[0].source[0].numel()
    assert torch.equal(teams[0].source.flatten(1).sort(1).values[0], torch.arange(count))
    # Totals of the rounded integers are minimal; rounding may make totals differ by this much.
    slack = count * 2.0**-29 * float(args[0].double().abs().max() + options.get("xi", 0))
    torch.testing.assert_close(teams[0].total, total, rtol=1e-12, atol=slack)


@pytest.mark.parametrize("side", range(1, 33))
def test_every_grid_of_a_warp_or_four(side: int) -> None:
    """Every shape up to 16x16, with up to the largest number of labels, and a third of those up to
    32x32."""
    kinds = [*sorted(problems.COSTS), "puzzle"]
    for other in range(1, 17) if side <= 16 else range(1 + side % 3, 33, 3):
        kind, labels = kinds[(side + other) % len(kinds)], 2 + (3 * side + other) % 15
        size = {"seed": 32 * side + other, "height": side, "width": other, "batch": 1}
        agree(ops.grid_min_cut, *problems.cut(kind if kind != "puzzle" else "uniform", **size))
        problem = problems.labeling(kind, "quadratic", labels=labels, **size)
        agree(ops.alpha_beta_swap, *problem)
        agree(ops.exact_labeling, *problem)


@pytest.mark.parametrize(
    ("height", "width", "labels", "by_lanes"),
    [
        (1, 1, 3, (True, True, True)),
        (16, 16, 16, (True, True, True)),
        (17, 1, 7, (True, True, True)),
        (32, 32, 3, (True, True, True)),
        (32, 32, 8, (False, True, True)),  # shared memory holds planes of 7 labels, or of 8
        (2, 17, 9, (False, False, True)),
        (1, 33, 3, (False, False, False)),
    ],
)
def test_lanes_cut_small_grids(
    height: int, width: int, labels: int, by_lanes: tuple[bool, bool, bool]
) -> None:
    """Shuffles show it: lanes of warps exchange numbers, the threads of a block don't."""
    problem = problems.labeling("puzzle", height=height, width=width, labels=labels, batch=1)
    cut = problems.cut("uniform", height=height, width=width, batch=1)
    calls = ((ops.alpha_beta_swap, problem), (ops.exact_labeling, problem), (ops.grid_min_cut, cut))
    for (solve, arguments), expected in zip(calls, by_lanes, strict=True):
        with Team(0) as team:
            solve(*arguments)
        assert (team.votes > 0 and team.shuffles > 0) == expected


def test_pairs_are_tried_again() -> None:
    """A hundredth of these end differently if only pairs that moved are tried again."""
    g = problems.generator(0)
    unary = torch.randint(0, 20, (2000, 4, 4, 6), generator=g, dtype=torch.int32)
    agree(ops.alpha_beta_swap, unary, *small_weights(g), linear_cost())


def test_moves_beside_cells_that_stay() -> None:
    """One in 270 of these ends differently if edges to cells that can't move count half."""
    g = problems.generator(0)
    slopes = torch.randint(-20, 21, (4000, 4, 4, 5), generator=g).sort(-1).values
    unary = torch.nn.functional.pad(slopes.cumsum(-1), (1, 0)).int()
    agree(ops.exact_labeling, unary, *small_weights(g, 4000), linear_cost())


def small_weights(g: torch.Generator, batch: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    vertical = torch.randint(0, 6, (batch, 3, 4), generator=g, dtype=torch.int32)
    return vertical, torch.randint(0, 6, (batch, 4, 3), generator=g, dtype=torch.int32)


def linear_cost() -> torch.Tensor:
    step = torch.arange(6, dtype=torch.int32)
    return (step[:, None] - step).abs()


@pytest.mark.parametrize("side", [16, 32])
def test_lanes_end_on_a_snake(side: int) -> None:
    """One path through all cells, from a source to a sink at its other end: it takes many levels
    and many searches, as two pushes carry excess over a few rows only."""
    path = [(y, x if y % 2 == 0 else side - 1 - x) for y in range(side) for x in range(side)]
    source, sink = torch.zeros(2, 1, side, side)
    vertical, horizontal = torch.zeros(1, side - 1, side), torch.zeros(1, side, side - 1)
    source[0][path[0]], sink[0][path[-1]] = 3, 2
    for (y, x), (below, beside) in itertools.pairwise(path):
        edges = vertical if below > y else horizontal
        edges[0, y, min(x, beside)] = 1
    agree(ops.grid_min_cut, source, sink, vertical, horizontal)


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (20, 20), (32, 32), (33, 40), (64, 64), (1, 64)]
)
def test_sizes_that_fill_fast_memory_and_spill(height: int, width: int) -> None:
    labels = 3 if height == 64 else 5
    problem = problems.labeling("puzzle", height=height, width=width, labels=labels, batch=1)
    agree(ops.alpha_beta_swap, *problem)
    agree(ops.exact_labeling, *problem)
    agree(ops.grid_min_cut, *problems.cut("uniform", height=height, width=width, batch=1))
    agree(ops.masked_transport, *problems.transport("puzzle", height=height, width=width, batch=1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), -1.0, 1e308])
@pytest.mark.parametrize("where", range(4))
def test_forbidden_values_give_a_labeling(bad: float, where: int) -> None:
    """On CUDA values are unchecked, and every value counts as some number."""
    for seed in range(4):  # teams of odd seeds read the label cost from the device's memory
        problem = problems.labeling("uniform", seed=seed, height=4, width=5)
        problem[where].view(-1)[:: 1 + seed] = bad
        if where == 3 and seed % 2 == 0:
            continue  # a label cost in the host's memory is checked: the next test
        with Team(seed):
            for solve in (ops.alpha_beta_swap, ops.exact_labeling):
                result = solve(*problem)
                assert bool(((result.labels >= 0) & (result.labels < 3)).all())
            cut = ops.grid_min_cut(problem[0][..., 0], problem[0][..., 1], *problem[1:3])
            assert cut.segment.shape == (2, 4, 5)


def test_a_label_cost_in_host_memory_is_checked() -> None:
    problem = problems.labeling("uniform")
    problem.label_cost[0, 1] = float("nan")
    with Team(0), pytest.raises(ValueError, match="label_cost"):
        ops.alpha_beta_swap(*problem)


def test_integers_out_of_bounds_give_a_labeling() -> None:
    problem = problems.labeling("integers", height=4, width=5)
    unary = problem.unary * 100_000_000
    for seed in (0, 1):
        with Team(seed):
            for solve in (ops.alpha_beta_swap, ops.exact_labeling):
                labels = solve(unary, *problem[1:]).labels
                assert bool(((labels >= 0) & (labels < 3)).all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 1e308])
@pytest.mark.parametrize("method", ["approx", "exact"])
def test_forbidden_values_give_a_permutation(bad: float, method: str) -> None:
    saliency, mask = problems.transport("puzzle", height=4, width=5)
    cost = problems.matrix("uniform", count=20)
    for values in (saliency, mask, cost):
        values.view(-1)[::3] = bad
    with Team(0):
        found = [
            ops.masked_transport(saliency, mask, method=method, weight=weight).source.flatten(1)
            for weight in ("indicator", "mask")
        ]
        found.append(ops.assignment(cost, method=method).source)
    for source in found:
        assert torch.equal(source.sort(1).values, torch.arange(20).expand(2, -1))


def test_small_grids_need_no_memory_but_the_fast_one() -> None:
    problem = problems.labeling("puzzle", height=16, width=16, labels=3)
    with measured() as needed:
        ops.alpha_beta_swap(*problem)
        ops.exact_labeling(*problem)
    assert needed == [0, 0]
    large = problems.labeling("puzzle", height=64, width=64, labels=16, batch=1)
    with measured() as needed:
        ops.alpha_beta_swap(*large)
    assert needed[0] > 0


@contextmanager
def measured() -> Iterator[list[int]]:
    """Record the scratch memory that each call would need on CUDA, without solving."""
    needed: list[int] = []

    def measure(operator: Any, problem: dict[str, object]) -> None:
        needed.append(operator.scratch_bytes(**problem))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(border, "run_on_cpu", measure)
        yield needed
