"""The benchmarks' peer, the published method on dense matrices: it must be a fair one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pairs
import problems
import pytest
import torch

import puzzlemix

ROOT = Path(__file__).parents[1]


def load_published() -> ModuleType:
    """bench/published.py, without the other files of bench/ on the path."""
    spec = importlib.util.spec_from_file_location("published", ROOT / "bench" / "published.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published = load_published()


def is_permutation(plan: torch.Tensor) -> torch.Tensor:
    """Whether each row and each column of [B, n, n] has one 1: [B]."""
    return ((plan.sum(1) == 1) & (plan.sum(2) == 1)).all(1)


@pytest.mark.parametrize("kind", ["puzzle", "noise", "shown", "hidden", "no saliency"])
@pytest.mark.parametrize("xi", [0.1, 0.8])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 4), (5, 7), (8, 8)])
def test_rounds_that_end_give_the_stable_matching(device, kind, xi, height, width):
    problem = problems.transport(kind, height=height, width=width, batch=20)
    expected = puzzlemix.masked_transport(*problem, xi=xi).source
    costs = published.transport_costs(*(part.to(device) for part in problem), xi)
    plan = published.transport(costs, rounds=4 * height * width).cpu()
    ended = is_permutation(plan)
    assert ended.sum() >= 15
    assert torch.equal(plan.argmax(1)[ended], expected.flatten(1)[ended])


def test_too_few_rounds_leave_columns_empty():
    """Six blocks of which all prefer the one place that shows."""
    costs = published.transport_costs(torch.ones(1, 1, 6), torch.eye(6)[None, :1], 0.01)
    plan = published.transport(costs, rounds=1)
    assert plan.sum().item() == 1
    assert is_permutation(published.transport(costs, rounds=6)).all()


@pytest.mark.parametrize("grid", [2, 4, 8])
def test_the_mix_is_finite_and_of_its_parts(device, grid):
    pair = pairs.make_pairs(3, 16, 16)
    mixed = published.puzzle_mix(*(part.to(device) for part in pair), grid=grid)
    images, mask, plan1, plan2 = (part.cpu() for part in mixed)
    assert images.isfinite().all()
    assert images.shape == pair.x1.shape
    assert torch.equal((2 * mask).round(), 2 * mask)
    ended = is_permutation(plan1) & is_permutation(plan2)
    sources = (plan.argmax(1).view(-1, grid, grid) for plan in (plan1, plan2))
    ours = puzzlemix.mix(pair.x1, pair.x2, mask, *sources)
    torch.testing.assert_close(images[ended], ours[ended])


def test_its_mask_is_nearly_ours_without_data_smoothness():
    """Swaps stop in local minima, and not in the same ones."""
    pair = pairs.make_pairs(20, 16, 16)
    theirs = published.puzzle_mix(*pair, grid=8).mask
    ours = puzzlemix.puzzle_mix(*pair, grid=8, gamma=0).mask
    assert (theirs == ours).double().mean() > 0.95


def test_the_benchmarks_of_the_gpu_run():
    """At small sizes, every function once against the CPU."""
    result = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--small"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 of" in result.stdout.splitlines()[-1]
