"""The graph cuts beside the reference and PyMaxflow."""

import numpy as np
import pytest
import torch
from instances import labeling_problem

import puzzlemix
from puzzlemix import reference

GRIDS = (4, 8, 16)
BATCH, SLOW_BATCH = 100, 2


def energies(labels, problem):
    return puzzlemix.labeling_energy(labels, *problem)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", ["alpha_beta_swap", "exact_labeling"])
@pytest.mark.parametrize("by", ["puzzlemix", "reference"])
def test_labeling(timed, name, by, grid):
    slow = by == "reference"
    batch = SLOW_BATCH if slow else BATCH
    problem = labeling_problem(batch, grid, labels=3)
    solve = getattr(reference if slow else puzzlemix, name)
    result = timed(f"{name} {grid}x{grid}, 3 labels", by, batch, lambda: solve(*problem), slow)
    torch.testing.assert_close(result.energy, energies(result.labels, problem))


@pytest.mark.parametrize("grid", GRIDS)
def test_swap_of_pymaxflow(timed, grid):
    maxflow = pytest.importorskip("maxflow")
    problem = labeling_problem(BATCH, grid, labels=3)
    weight = float(problem.vertical[0, 0, 0])
    unary, pair = problem.unary.numpy(), weight * problem.label_cost.numpy()

    def solve():
        return np.stack([maxflow.fastmin.abswap_grid(sample, pair) for sample in unary])

    labels = timed(f"alpha_beta_swap {grid}x{grid}, 3 labels", "PyMaxflow", BATCH, solve)
    ours = puzzlemix.alpha_beta_swap(*problem).energy
    theirs = energies(torch.from_numpy(labels.astype(np.int64)), problem)
    # Swaps stop in local minima, and not in the same ones.
    assert float((ours - theirs).abs().max()) <= 0.05 * float(ours.abs().max())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("by", ["puzzlemix", "reference", "PyMaxflow"])
def test_min_cut(timed, by, grid):
    slow = by == "reference"
    batch = SLOW_BATCH if slow else BATCH
    unary, vertical, horizontal, _ = labeling_problem(batch, grid, labels=2)
    terminals = unary - unary.amin(3, keepdim=True)
    capacities = terminals[..., 1].contiguous(), terminals[..., 0].contiguous()
    ours = puzzlemix.grid_min_cut(*capacities, vertical, horizontal)
    work = f"grid_min_cut {grid}x{grid}"
    if by != "PyMaxflow":
        cut = (reference if slow else puzzlemix).grid_min_cut
        result = timed(work, by, batch, lambda: cut(*capacities, vertical, horizontal), slow)
        assert torch.equal(result.segment, ours.segment)
        return
    maxflow = pytest.importorskip("maxflow")
    weight = float(vertical[0, 0, 0])

    def flow(source, sink):
        graph = maxflow.GraphFloat(grid * grid, 2 * grid * grid)
        nodes = graph.add_grid_nodes((grid, grid))
        graph.add_grid_edges(nodes, weights=weight, symmetric=True)
        graph.add_grid_tedges(nodes, source, sink)
        return graph.maxflow()

    arrays = [capacity.numpy() for capacity in capacities]
    flows = timed(work, by, batch, lambda: [flow(*pair) for pair in zip(*arrays, strict=True)])
    torch.testing.assert_close(
        torch.tensor(flows), ours.flow, rtol=1e-5, atol=1e-9, check_dtype=False
    )
