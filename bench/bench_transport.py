"""Assignment and transport beside the reference, SciPy and lapx on dense matrices."""

import numpy as np
import pytest
import torch
from instances import labeling_problem, smooth_saliency

import puzzlemix
from puzzlemix import reference

GRIDS = (4, 8, 16)
BATCH, SLOW_BATCH = 100, 2


def transport_problem(batch, grid):
    """Saliency, and a mask as the cut makes it."""
    labels = puzzlemix.alpha_beta_swap(*labeling_problem(batch, grid, labels=3)).labels
    return smooth_saliency(batch, grid, seed=0), labels.double() / 2


def dense_costs(saliency, mask, xi=0.8):
    height, width = saliency.shape[1:]
    y, x = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    squared = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2
    move = xi * squared.double() / (max(height, width) - 1) ** 2
    return move - saliency.flatten(1)[:, :, None] * (mask.flatten(1) > 0)[:, None, :]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("method", ["approx", "exact"])
@pytest.mark.parametrize("by", ["puzzlemix", "reference"])
def test_masked_transport(timed, method, by, grid):
    slow = by == "reference"
    batch = SLOW_BATCH if slow else BATCH
    problem = transport_problem(batch, grid)
    move = (reference if slow else puzzlemix).masked_transport
    result = timed(
        f"masked_transport {method} {grid}x{grid}",
        by,
        batch,
        lambda: move(*problem, method=method),
        slow,
    )
    ours = puzzlemix.masked_transport(*problem, method=method)
    torch.testing.assert_close(result.total, ours.total, rtol=1e-7, atol=1e-7)


def peer(name):
    if name == "SciPy":
        return pytest.importorskip("scipy.optimize").linear_sum_assignment
    lapjv = pytest.importorskip("lap").lapjv
    return lambda cost: lapjv(cost)[1:]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("by", ["SciPy", "lapx"])
def test_exact_transport_of_dense_solvers(timed, by, grid):
    """The dense matrix is a present: its making is not timed."""
    solve, problem = peer(by), transport_problem(BATCH, grid)
    costs = dense_costs(*problem).numpy()
    work = f"masked_transport exact {grid}x{grid}"
    columns = timed(
        work, by, BATCH, lambda: [solve(cost)[1 if by == "SciPy" else 0] for cost in costs]
    )
    rows = np.arange(grid * grid)
    totals = [cost[rows, column].sum() for cost, column in zip(costs, columns, strict=True)]
    ours = puzzlemix.masked_transport(*problem, method="exact").total
    np.testing.assert_allclose(totals, ours.numpy(), rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("method", ["approx", "exact"])
@pytest.mark.parametrize("by", ["puzzlemix", "reference", "SciPy", "lapx"])
def test_assignment(timed, method, by):
    """Uniform costs, N = 256."""
    if method == "approx" and by in ("SciPy", "lapx"):
        pytest.skip("they have no stable matching")
    batch = SLOW_BATCH if by == "reference" else 10
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand((batch, 256, 256), generator=generator, dtype=torch.float64)
    work, ours = f"assignment {method}, N = 256", puzzlemix.assignment(cost, method=method)
    if by in ("puzzlemix", "reference"):
        assign = (reference if by == "reference" else puzzlemix).assignment
        slow = by == "reference"
        result = timed(work, by, batch, lambda: assign(cost, method=method), slow)
        torch.testing.assert_close(result.total, ours.total)
        return
    solve, matrices = peer(by), cost.numpy()
    columns = timed(
        work, by, batch, lambda: [solve(m)[1 if by == "SciPy" else 0] for m in matrices]
    )
    totals = [m[np.arange(256), c].sum() for m, c in zip(matrices, columns, strict=True)]
    np.testing.assert_allclose(totals, ours.total.numpy(), rtol=1e-6)
