"""The reference against laws, answers known by hand, and independent solvers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import problems
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from puzzlemix import integers, reference

KINDS = sorted(problems.COSTS)
SEEDS = st.integers(0, 2**31 - 1)
few = settings(deadline=None, max_examples=25)


def close(value: Tensor, expected: object, size: float = 1.0) -> bool:
    """Whether sums of about this size agree up to rounding to 30 bits."""
    difference = value - torch.as_tensor(expected, dtype=torch.float64)
    return bool((difference.abs() <= 1e-6 * size).all())


def magnitude(*costs: Tensor) -> float:
    return sum(float(each.double().abs().sum()) for each in costs)


# ---- Cuts ----


def test_the_smallest_sink_side_wins_a_tie() -> None:
    # Both sides of a cell cost the same: only cells that must be are on the sink side.
    one, none = torch.ones(1, 1, 2), torch.zeros(1, 0, 2)
    cut = reference.grid_min_cut(one, one, none, torch.ones(1, 1, 1))
    assert cut.segment.tolist() == [[[False, False]]]
    assert cut.flow.tolist() == [2.0]


def test_a_bottleneck_is_cut() -> None:
    source, sink = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    source[0, 0, 0], sink[0, 0, 3] = 9, 9
    edges = torch.tensor([[[5.0, 2.0, 5.0]]])
    cut = reference.grid_min_cut(source, sink, torch.zeros(1, 0, 4), edges)
    assert cut.segment.tolist() == [[[False, False, True, True]]]
    assert cut.flow.tolist() == [2.0]


@few
@given(seed=SEEDS, grid=st.sampled_from(problems.GRIDS), most=st.sampled_from([1, 3, 1000]))
def test_cuts_equal_maxflow(seed: int, grid: tuple[int, int], most: int) -> None:
    problem = problems.cut("uniform", seed=seed, batch=3, height=grid[0], width=grid[1])
    whole = problems.Cut(*((each * most).round().int() for each in problem))
    found = reference.grid_min_cut(*whole)
    for b, sample in enumerate(zip(*whole, strict=True)):
        flow, segment = problems.maxflow_cut(*(part.numpy() for part in sample))
        assert found.flow[b] == flow
        assert np.array_equal(found.segment[b].numpy(), segment)


def test_a_large_cut_equals_maxflow() -> None:
    whole = problems.Cut(
        *((each * 1000).int() for each in problems.cut("uniform", batch=1, height=40, width=48))
    )
    flow, segment = problems.maxflow_cut(*(part[0].numpy() for part in whole))
    found = reference.grid_min_cut(*whole)
    assert found.flow.tolist() == [flow]
    assert np.array_equal(found.segment[0].numpy(), segment)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", [(1, 1), (3, 3), (2, 4)])
def test_cuts_are_the_best_of_all(kind: str, grid: tuple[int, int]) -> None:
    problem = problems.cut(kind, height=grid[0], width=grid[1])
    # A cut is a labelling: the sink side, label 1, pays the source's capacity.
    as_labeling = problems.Labeling(
        torch.stack([problem.sink_caps, problem.source_caps], 3),
        problem.vertical,
        problem.horizontal,
        problems.LABEL_COSTS["potts"](2).to(problem.vertical.dtype),
    )
    found = reference.grid_min_cut(*problem)
    for b in range(2):
        least, _ = problems.best_labeling(as_labeling, b)
        size = magnitude(*(part[b] for part in problem))
        assert close(found.flow[b], least, size)
    energy = reference.labeling_energy(found.segment.long(), *as_labeling)
    assert torch.allclose(found.flow, energy, rtol=1e-12, atol=0)


# ---- Labellings ----


@few
@given(
    seed=SEEDS,
    grid=st.sampled_from(problems.GRIDS),
    kind=st.sampled_from([*KINDS, "puzzle"]),
    pair=st.sampled_from(sorted(problems.LABEL_COSTS)),
)
def test_energy_is_the_sum_over_cells_and_edges(
    seed: int, grid: tuple[int, int], kind: str, pair: str
) -> None:
    problem = problems.labeling(kind, pair, seed=seed, height=grid[0], width=grid[1], labels=4)
    labels = torch.randint(0, 4, problem.unary.shape[:3], generator=problems.generator(seed))
    energy = reference.labeling_energy(labels.to(torch.uint8), *problem)
    assert energy.tolist() == pytest.approx(problems.naive_energy(labels, problem), rel=1e-12)


def test_dynamic_programming_equals_trying_all_labellings() -> None:
    every = problems.every_labeling(3, 2, 3)
    for seed, pair in itertools.product(range(5), ("quadratic", "potts")):
        problem = problems.labeling("integers", pair, seed=seed, batch=1, height=3, width=2)
        many = (part.expand(len(every), *part.shape[1:]) for part in problem[:3])
        energies = reference.labeling_energy(every, *many, problem.label_cost)
        least, lowest = problems.best_labeling(problem)
        optima = every[energies == least]
        assert least == energies.min()
        assert torch.equal(lowest, optima.amin(0))


@few
@given(
    seed=SEEDS,
    grid=st.sampled_from([(1, 1), (3, 3), (12, 2), (4, 3)]),
    labels=st.integers(2, 5),
    pair=st.sampled_from(["quadratic", "linear", "free"]),
)
def test_exact_labelings_of_integers_are_the_lowest_optimum(
    seed: int, grid: tuple[int, int], labels: int, pair: str
) -> None:
    problem = problems.labeling(
        "integers", pair, seed=seed, height=grid[0], width=grid[1], labels=labels
    )
    found = reference.exact_labeling(*problem)
    for b in range(2):
        least, lowest = problems.best_labeling(problem, b)
        assert found.energy[b] == least
        assert torch.equal(found.labels[b], lowest)


@pytest.mark.parametrize("kind", [*KINDS, "puzzle"])
@pytest.mark.parametrize("pair", problems.CONVEX)
def test_exact_labelings_have_the_least_energy(kind: str, pair: str) -> None:
    if kind == "integers" and pair == "power":
        kind = "ties"  # rounded to integers this one is no longer convex
    problem = problems.labeling(kind, pair, height=5, width=3, labels=4)
    found = reference.exact_labeling(*problem)
    for b in range(2):
        least, _ = problems.best_labeling(problem, b)
        own = problem.unary[b].clamp(max=1e6 if kind == "forbidding" else torch.inf)
        size = magnitude(own, problem.vertical[b], problem.horizontal[b])
        # The label cost, where it isn't integral, is rounded to 1 in 1024.
        rounding = 1e3 if pair == "power" else 1
        assert close(found.energy[b], least, rounding * size)


def test_a_non_integral_convex_cost_is_solved_on_its_rounded_integers() -> None:
    problem = problems.labeling("uniform", "power", height=4, width=3, labels=6)
    whole = integers.labeling_integers(*problem)
    pair = integers.convex_label_cost(whole.label_cost)
    rounded = problems.Labeling(whole.unary, whole.vertical, whole.horizontal, pair)
    found = reference.exact_labeling(*problem)
    for b in range(2):
        assert torch.equal(found.labels[b], problems.best_labeling(rounded, b)[1])


def test_a_chain_is_labelled_by_hand() -> None:
    # The ends have labels 0 and 2; the quadratic cost gives the middle the label between.
    unary = torch.tensor([[[[0.0, 9, 9], [1, 1, 1], [9, 9, 0]]]])
    edges = torch.zeros(1, 0, 3), torch.ones(1, 1, 2)
    pair = problems.LABEL_COSTS["quadratic"](3)
    for solve in (reference.exact_labeling, reference.alpha_beta_swap):
        found = solve(unary, *edges, pair.float())
        assert found.labels.tolist() == [[[0, 1, 2]]]
        assert found.energy.tolist() == [1.5]


@pytest.mark.parametrize("solve", [reference.exact_labeling, reference.alpha_beta_swap])
def test_ties_go_to_the_lowest_label(solve) -> None:
    problem = problems.labeling("zeros", height=3, width=4)
    assert int(solve(*problem).labels.max()) == 0


@few
@given(
    seed=SEEDS,
    grid=st.sampled_from(problems.GRIDS),
    labels=st.integers(2, 5),
    pair=st.sampled_from(["quadratic", "linear", "potts", "truncated"]),
)
def test_swaps_equal_maxflow(seed: int, grid: tuple[int, int], labels: int, pair: str) -> None:
    problem = problems.labeling(
        "integers", pair, seed=seed, height=grid[0], width=grid[1], labels=labels
    )
    found = reference.alpha_beta_swap(*problem)
    for b in range(2):
        assert torch.equal(found.labels[b], problems.maxflow_swap(problem, b))


def test_large_swaps_equal_maxflow() -> None:
    whole = integers.labeling_integers(*problems.labeling("puzzle", height=16, width=16))
    problem = problems.Labeling(*(part.int() for part in whole))
    found = reference.alpha_beta_swap(*problem)
    assert torch.equal(found.labels[1], problems.maxflow_swap(problem, 1))
    assert found.labels.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("pair", sorted(problems.LABEL_COSTS))
def test_no_swap_improves_what_swaps_leave(pair: str) -> None:
    problem = problems.labeling("integers", pair, seed=3, batch=1, height=3, width=3)
    found = reference.alpha_beta_swap(*problem)
    every = problems.every_labeling(3, 3, 2).bool()
    for alpha, beta in itertools.combinations(range(3), 2):
        free = (found.labels == alpha) | (found.labels == beta)
        swapped = torch.where(free, torch.where(every, beta, alpha), found.labels)
        many = (part.expand(len(every), *part.shape[1:]) for part in problem[:3])
        energies = reference.labeling_energy(swapped, *many, problem.label_cost)
        assert energies.min() >= found.energy


@pytest.mark.parametrize("kind", ["uniform", "ties", "stiff", "integers", "puzzle"])
@pytest.mark.parametrize("pair", ["quadratic", "potts"])
def test_each_sweep_lowers_the_energy_until_one_does_not(kind: str, pair: str) -> None:
    problem = problems.labeling(kind, pair, batch=4, height=6, width=7, labels=4)
    start = reference.alpha_beta_swap(*problem, max_cycles=0)
    assert torch.equal(start.labels, problem.unary.double().argmin(3))
    runs = [reference.alpha_beta_swap(*problem, max_cycles=sweeps) for sweeps in range(6)]
    last = reference.alpha_beta_swap(*problem)
    for before, after in itertools.pairwise([*runs, last]):
        same = (before.labels == after.labels).flatten(1).all(1)
        assert bool((same | (after.energy < before.energy)).all())
    assert bool((last.energy <= start.energy).all())


@pytest.mark.parametrize("solve", ["alpha_beta_swap", "exact_labeling"])
@pytest.mark.parametrize("kind", ["uniform", "ties", "puzzle", "integers"])
def test_a_labeling_does_not_depend_on_its_batch(solve: str, kind: str) -> None:
    problem = problems.labeling(kind, batch=5, height=4, width=6, labels=4)
    together = getattr(reference, solve)(*problem)
    for b in range(5):
        alone = getattr(reference, solve)(*problems.sample(problem, b))
        assert torch.equal(alone.labels[0], together.labels[b])
        assert alone.energy[0] == together.energy[b]


def test_labelings_do_not_depend_on_a_power_of_two() -> None:
    unary, vertical, horizontal, pair = problems.labeling("uniform", height=6, width=6)
    for solve in (reference.alpha_beta_swap, reference.exact_labeling):
        found = solve(unary, vertical, horizontal, pair)
        scaled = solve(unary * 2**40, vertical * 2**40, horizontal * 2**40, pair)
        assert torch.equal(scaled.labels, found.labels)
        assert torch.equal(scaled.energy, found.energy * 2**40)


# ---- Assignments ----


@pytest.mark.parametrize("kind", sorted(problems.MATRICES))
@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_exact_assignments_have_the_total_of_scipy(kind: str, count: int) -> None:
    cost = problems.matrix(kind, count=count)
    found = reference.assignment(cost, method="exact")
    values = cost.double()
    assert torch.equal(found.source.sort(1).values, torch.arange(count).expand(2, count))
    assert torch.equal(found.total, values.gather(1, found.source[:, None])[:, 0].sum(1))
    slack = 0.0
    if cost.is_floating_point():
        slack = count * (values.max() - values.min()).item() * 2.0**-30
    for total, least in zip(found.total.tolist(), problems.least_total(cost), strict=True):
        assert total == pytest.approx(least, rel=1e-12, abs=slack)


@pytest.mark.parametrize("kind", sorted(problems.MATRICES))
@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_approximate_assignments_are_the_proposer_optimal_matching(kind: str, count: int) -> None:
    cost = problems.matrix(kind, count=count)
    found = reference.assignment(cost)
    assert problems.blocking_pairs(cost, found.source) == 0
    expected = [problems.proposer_optimal_matching(each) for each in cost]
    assert found.source.tolist() == expected
    total = cost.double().gather(1, found.source[:, None])[:, 0].sum(1)
    assert torch.allclose(found.total, total, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["uniform", "ties", "few integers"])
@pytest.mark.parametrize("seed", range(4))
def test_no_row_prefers_another_stable_matching(kind: str, seed: int) -> None:
    cost = problems.matrix(kind, seed=seed, batch=1, count=4)
    every = torch.tensor(list(itertools.permutations(range(4))))
    stable = [each for each in every if problems.blocking_pairs(cost, each[None]) == 0]
    assert stable
    found = reference.assignment(cost).source[0]
    for other in stable:
        for row in range(4):
            ours, theirs = (int((each == row).nonzero()) for each in (found, other))
            assert (cost[0, row, ours], ours) <= (cost[0, row, theirs], theirs)


def test_zeros_of_both_signs_tie() -> None:
    cost = torch.tensor([[[0.0, -0.0], [0.0, -0.0]]])
    assert reference.assignment(cost).source.tolist() == [[0, 1]]


# ---- Masked transport ----


@pytest.mark.parametrize("kind", problems.TRANSPORTS)
@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (3, 4), (5, 5)])
@pytest.mark.parametrize("weight", ["indicator", "mask"])
@pytest.mark.parametrize("xi", [0.8, 0])
def test_transport_solves_the_costs_it_describes(
    kind: str, grid: tuple[int, int], weight: str, xi: float
) -> None:
    problem = problems.transport(kind, height=grid[0], width=grid[1])
    cost = problems.transport_cost(problem, xi, weight)
    count = cost.shape[1]
    # Costs of about this size are rounded to 30 bits; the rounded cost of a move counts d² times.
    size = count * (2 * xi + problem.saliency.max().item())
    slack = size * (grid[0] ** 2 + grid[1] ** 2) * 2.0**-29
    every = torch.arange(count).expand(2, count)
    for method in ("approx", "exact"):
        found = reference.masked_transport(*problem, xi=xi, weight=weight, method=method)
        assert found.source.shape == problem.mask.shape
        source = found.source.flatten(1)
        assert torch.equal(source.sort(1).values, every)
        total = cost.gather(1, source[:, None])[:, 0].sum(1)
        assert torch.allclose(found.total, total, rtol=0, atol=1e-12 * size)
        if method == "exact":
            least = problems.least_total(cost)
            assert found.total.tolist() == pytest.approx(least, rel=1e-12, abs=slack)


def whole_transport_cost(problem: problems.Transport, xi: float, weight: str) -> Tensor:
    """The integers of a transport on a grid of more than one cell, entry by entry."""
    batch, height, width = problem.mask.shape
    cells = list(itertools.product(range(height), range(width)))
    unit = xi / (max(height, width) - 1) ** 2
    cost = torch.zeros(batch, len(cells), len(cells), dtype=torch.int64)
    for b in range(batch):
        most = unit * ((height - 1) ** 2 + (width - 1) ** 2) + problem.saliency[b].max().item()
        scale = 2.0 ** (math.ceil(math.log2(2**30 / most)) + 1)
        while most * scale >= 2**30:
            scale /= 2
        for (i, (y, x)), (j, (v, u)) in itertools.product(enumerate(cells), repeat=2):
            z = problem.mask[b, v, u].item()
            share = z if weight == "mask" else float(z > 0)
            worth = problem.saliency[b, y, x].item() * share
            squared = (y - v) ** 2 + (x - u) ** 2
            cost[b, i, j] = round(scale * unit) * squared - round(scale * worth)
    return cost


@pytest.mark.parametrize("kind", ["puzzle", "noise", "shown", "smooth mask", "huge", "tiny"])
@pytest.mark.parametrize("weight", ["indicator", "mask"])
@pytest.mark.parametrize("xi", [0.8, 0.01])
def test_approximate_transport_is_stable_on_its_integers(kind: str, weight: str, xi: float) -> None:
    problem = problems.transport(kind, height=3, width=5)
    cost = whole_transport_cost(problem, xi, weight)
    found = reference.masked_transport(*problem, xi=xi, weight=weight)
    expected = [problems.proposer_optimal_matching(each) for each in cost]
    assert found.source.flatten(1).tolist() == expected


def test_nothing_moves_if_moving_is_expensive() -> None:
    problem = problems.transport("puzzle", height=4, width=4)
    for method in ("approx", "exact"):
        found = reference.masked_transport(*problem, xi=100.0, method=method)
        assert found.source.flatten(1).tolist() == [list(range(16))] * 2


def test_saliency_moves_to_where_the_mask_shows_it() -> None:
    saliency = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]])
    mask = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    for method in ("approx", "exact"):
        found = reference.masked_transport(saliency, mask, xi=0.1, method=method)
        assert found.source[0, 0, 0] == 3
        assert sorted(found.source.flatten().tolist()) == [0, 1, 2, 3]


def test_a_sample_of_32_by_32_is_soon_solved() -> None:
    problem = problems.labeling("puzzle", batch=1, height=32, width=32)
    swapped, exact = reference.alpha_beta_swap(*problem), reference.exact_labeling(*problem)
    assert exact.energy <= swapped.energy + 1e-9
    moving = problems.transport("puzzle", batch=1, height=32, width=32)
    for weight in ("indicator", "mask"):
        approx, best = (
            reference.masked_transport(*moving, weight=weight, method=method).total
            for method in ("approx", "exact")
        )
        assert best <= approx + 1e-6


# ---- Mix ----


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (torch.float64, 1e-15),
        (torch.float32, 1e-6),
        (torch.float16, 1e-3),
        (torch.bfloat16, 1e-2),
    ],
)
@pytest.mark.parametrize("levels", [2, 3, 7])
def test_mix_is_the_formula_pixel_by_pixel(
    dtype: torch.dtype, tolerance: float, levels: int
) -> None:
    problem = problems.mix(levels=levels, dtype=dtype)
    mixed = reference.mix(*problem)
    assert mixed.dtype == dtype
    expected = problems.naive_mix(problem)
    assert torch.allclose(mixed.double(), expected, rtol=tolerance, atol=tolerance)


def test_mix_moves_blocks_by_hand() -> None:
    x1 = torch.tensor([[[[1.0, 2, 3, 4]]]])
    x2 = torch.tensor([[[[10.0, 20, 30, 40]]]])
    swap = torch.tensor([[[1, 0]]])
    mask = torch.tensor([[[1.0, 0.5, 0.5, 0.0]]])
    assert reference.mix(x1, x2, mask).tolist() == [[[[1, 11, 16.5, 40]]]]
    assert reference.mix(x1, x2, mask, swap).tolist() == [[[[3, 12, 15.5, 40]]]]
    assert reference.mix(x1, x2, mask, None, swap).tolist() == [[[[1, 21, 6.5, 20]]]]


def test_the_other_image_is_not_read() -> None:
    x1, x2, mask, source1, source2 = problems.mix(levels=2)
    nan = torch.full_like(x1, torch.nan)
    ones = torch.ones_like(mask)
    plain = reference.mix(x1, nan, ones, source1, source2)
    assert torch.equal(plain, reference.mix(x1, x2, ones, source1, source2))
    plain = reference.mix(nan / 0, x2, 0 * mask, source1, source2)
    assert torch.equal(plain, reference.mix(x1, x2, 0 * mask, source1, source2))
    half = reference.mix(nan, x2, mask, source1, source2)
    shown = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None] > 0
    assert torch.equal(half.isnan(), shown.expand(half.shape))


def test_gradients_do_not_read_the_other_image() -> None:
    x1, x2, mask, source1, source2 = problems.mix(levels=2)
    x1.requires_grad_()
    x2 = torch.full_like(x2, torch.inf).requires_grad_()
    reference.mix(x1, x2, torch.ones_like(mask), source1, source2).sum().backward()
    assert torch.equal(x1.grad, torch.ones_like(x1))
    assert torch.equal(x2.grad, torch.zeros_like(x2))


@pytest.mark.parametrize("levels", [2, 5])
def test_gradients_of_the_mix(levels: int) -> None:
    x1, x2, mask, source1, source2 = problems.mix(
        batch=1, channels=2, size=(4, 6), grids=((2, 3), (4, 2), (1, 3)), levels=levels
    )
    inputs = [each.double().requires_grad_() for each in (x1, x2, mask)]
    # Also at a mask of exactly 0 or 1 the derivative is the difference of the images.
    assert torch.autograd.gradcheck(reference.mix, (*inputs, source1, source2))
    assert torch.autograd.gradgradcheck(reference.mix, (*inputs, source1, source2))
