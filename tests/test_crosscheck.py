"""The cross-checks at scale: they find planted errors, nothing else, and resume after a kill."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import problems
import pytest
import torch

from puzzlemix import ops

pytest.importorskip("maxflow")
pytest.importorskip("tqdm")
certificates = pytest.importorskip("certificates")
SCRIPT = Path(__file__).parents[1] / "tools" / "crosscheck.py"


@pytest.fixture(scope="module")
def crosscheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("crosscheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crosscheck"] = module  # where its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    journal = str(tmp_path / "journal.jsonl")
    return ["--instances", "4000", "--small", "8000", "--seed", "3", "--journal", journal]


def journal_of(arguments: list[str]) -> Path:
    return Path(arguments[arguments.index("--journal") + 1])


def outcomes_of(arguments: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal_of(arguments).read_text().splitlines()[1:]]


def test_a_short_run_finds_nothing(
    crosscheck: ModuleType, arguments: list[str], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    assert crosscheck.main([*arguments, "--summary", str(summary)]) == 0
    outcomes = outcomes_of(arguments)
    assert {outcome["function"] for outcome in outcomes} == set(crosscheck.SHARES["proved"])
    for tier in crosscheck.TIERS:
        assert sum(o["instances"] for o in outcomes if o["tier"] == tier) >= 4000
    assert "Blocks with differences: 0." in summary.read_text()


def spoiled(function: Any, field: int) -> Any:
    """The function with one entry of its answer changed, in the last sample."""

    def call(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        values = answer[field] if isinstance(answer, tuple) else answer
        last = values[-1].view(-1)
        last[-1] = ~last[-1] if last.dtype == torch.bool else last[-1] + 1
        return answer

    return call


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("grid_min_cut", 0),
        ("grid_min_cut", 1),
        ("alpha_beta_swap", 0),
        ("exact_labeling", 0),
        ("exact_labeling", 1),
        ("labeling_energy", 0),
        ("assignment", 0),
        ("assignment", 1),
        ("masked_transport", 0),
        ("mix", 0),
        ("puzzle_plan", 0),
        ("puzzle_plan", 1),
        ("puzzle_plan", 2),
        ("puzzle_plan", 4),
    ],
)
def test_a_planted_error_is_found(
    crosscheck: ModuleType, function: str, field: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = next(
        block
        for block in crosscheck.blocks("reference", 500_000, 5)
        if block.function == function and block.kind in ("uniform", "ties", "puzzle", "few values")
    )
    assert crosscheck.check_block(block).differences == []
    monkeypatch.setattr(ops, function, spoiled(getattr(ops, function), field))
    assert crosscheck.check_block(block).differences


def test_a_killed_run_goes_on(crosscheck: ModuleType, arguments: list[str]) -> None:
    assert crosscheck.main(arguments) == 0
    whole = outcomes_of(arguments)
    lines = journal_of(arguments).read_bytes().splitlines(keepends=True)
    # Killed in the middle of a line.
    journal_of(arguments).write_bytes(b"".join(lines[:5]) + lines[5][:20])
    assert crosscheck.main(arguments) == 0
    again = outcomes_of(arguments)
    assert again[:4] == whole[:4]
    for outcome in whole + again:
        del outcome["seconds"]
    key = lambda outcome: (outcome["tier"], outcome["number"])  # noqa: E731
    assert sorted(again, key=key) == sorted(whole, key=key)
    with pytest.raises(SystemExit, match="journal of another run"):
        crosscheck.main([*arguments, "--seed", "4"])


def test_blocks_that_differed_are_tried_again(
    crosscheck: ModuleType, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ops, "mix", spoiled(ops.mix, 0))
        assert crosscheck.main(arguments) == 1
    assert crosscheck.main(arguments) == 0


# ---- The proofs themselves: each refuses an answer that is wrong by a little --------------------


def test_a_cut_that_is_not_the_smallest_is_refused() -> None:
    problem = problems.cut("flat", batch=1)  # every cut that cuts no edge is a minimum cut
    empty = torch.zeros(1, 3, 3, dtype=torch.bool)
    assert certificates.smallest_minimum_cut(problem, empty).all()
    assert not certificates.smallest_minimum_cut(problem, ~empty).any()
    assert certificates.cut_of_a_flow(problem, empty, 0)
    assert not certificates.cut_of_a_flow(problem, ~empty, 0)


def test_a_labeling_beside_the_lowest_optimum_is_refused() -> None:
    problem = problems.labeling("convex", "linear", batch=64, labels=3, height=2)
    labels = ops.exact_labeling(*problem).labels
    convex = certificates.is_convex_throughout(problem)
    assert convex.any()
    assert certificates.lowest_optimum(problem, labels).all()
    assert certificates.lowest_of_a_convex_problem(problem, labels)[convex].all()
    assert certificates.lowest_by_ishikawa(problem, labels, 0)
    for cell in range(6):
        moved = labels.clone()
        moved.view(64, -1)[:, cell] = (moved.view(64, -1)[:, cell] + 1) % 3
        assert not certificates.lowest_optimum(problem, moved).any()
        assert not certificates.lowest_of_a_convex_problem(problem, moved)[convex].any()
        assert not certificates.lowest_by_ishikawa(problem, moved, 0)


def test_a_labeling_that_a_swap_improves_is_refused() -> None:
    problem = problems.labeling("uniform", "potts", batch=64, labels=4)
    assert certificates.no_swap_gains(problem, ops.alpha_beta_swap(*problem).labels).all()
    start = ops.alpha_beta_swap(*problem, max_cycles=0)
    worse = start.energy > ops.alpha_beta_swap(*problem, max_cycles=1).energy + 1e-6
    assert worse.any()
    assert not certificates.no_swap_gains(problem, start.labels)[worse].any()


def test_an_assignment_that_is_not_optimal_is_refused() -> None:
    cost = problems.matrix("integers", batch=64, count=6).long()
    source = ops.assignment(cost.int(), method="exact").source
    assert certificates.no_cycle_gains(cost, source).all()
    assert certificates.best_of_all_permutations(cost, source).all()
    turned = source.roll(1, 1)
    assert not certificates.no_cycle_gains(cost, turned).any()
    assert not certificates.best_of_all_permutations(cost, turned).any()
    assert not certificates.is_permutation(torch.zeros_like(source)).any()


def test_a_matching_that_is_not_stable_is_refused() -> None:
    cost = problems.matrix("few integers", batch=300, count=5)
    source = ops.assignment(cost).source
    assert certificates.is_stable(cost, source).all()
    every = torch.tensor(list(itertools.permutations(range(5))))
    stable = torch.stack([certificates.is_stable(cost, each.expand(300, -1)) for each in every])
    assert (stable.sum(0) == 1).all()
    for b in range(20):
        for each, good in zip(every, stable[:, b], strict=True):
            assert bool(good) == (problems.blocking_pairs(cost[b : b + 1], each[None]) == 0)
