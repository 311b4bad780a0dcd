"""The harness of the benchmarks: what it tells of numbers that are known."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import time
from pathlib import Path
from typing import Any

import problems
import pytest
import torch

from bench import __main__ as program
from bench import goals, gpu, growth, instances, peers, quality, report
from bench.bench_calls import Tiny
from bench.bench_puzzle_mix import Whole
from bench.cases import PUZZLEMIX
from bench.conftest import Timed

ROOT = Path(__file__).parents[1]


def row(work: str, by: str, us: float, **facts: Any) -> report.Row:
    """A row of a made-up run on a quiet machine."""
    usual = {"node": f"bench/bench_graphcut.py::test[{work}: {by}]", "spread": 0.04}
    return report.Row(work=work, by=by, us=us, **{**usual, "calibration": 1e-4, **facts})


def made(*rows: report.Row) -> report.Run:
    """A made-up run as pytest-benchmark would store it."""
    machine = {
        "machine": "x",
        "cpu": {"brand_raw": "a CPU"},
        "threads": 1,
        "versions": {"torch": "2"},
    }
    return {
        "machine_info": {**machine, "python_version": "3"},
        "datetime": "2020-01-01T00:00:00",
        "benchmarks": [
            {
                "fullname": each.node,
                "group": each.work,
                "name": each.by,
                "stats": {"min": 32e-6 * each.us, "spread": each.spread},
                "extra_info": {
                    "batch": 32, "calibration": each.calibration, "peak_mib": each.peak_mib,
                },
            }
            for each in rows
        ],
    }  # fmt: skip


# ---- Timing ----


class Benchmark:
    """What pytest-benchmark gives a benchmark; it keeps how it was asked to time."""

    enabled, disabled = True, False

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}

    def pedantic(self, function: Any, **asked: Any) -> Any:
        self.asked = asked
        return function(*(asked["setup"]()[0] if "setup" in asked else ()))


class Options:
    def getoption(self, name: str) -> float:
        return {"benchmark_max_time": 0.01, "benchmark_min_rounds": 3}[name]


@pytest.mark.parametrize("case", [Tiny("mix", batch=8), Whole(batch=8)])
@pytest.mark.parametrize("fresh", [None, lambda: 0])
def test_short_calls_are_timed_many_at_once(case, fresh):
    """Unless each needs something new. What is counted is a call or a sample, as the case says."""
    timed = Timed(Benchmark(), case, PUZZLEMIX, Options())
    assert timed(lambda *given: len(given), fresh) == (1 if fresh else 0)
    assert ("iterations" in timed.benchmark.asked) == (fresh is None)
    assert timed.benchmark.extra_info["batch"] == (1 if isinstance(case, Tiny) else 8)


# ---- Tables ----


ROWS = (
    row("swap 4x4", PUZZLEMIX, 2.0),
    row("swap 4x4", "a peer", 25.0, spread=None),
    row("swap 8x8", PUZZLEMIX, 1234.5, peak_mib=17.4),
)


def test_the_table_tells_ratios_beside_ours():
    told = list(report.tables(made(*ROWS)))
    assert told == [
        "",
        "a CPU, threads: 1, 2020-01-01; Python 3, torch 2.",
        "",
        "## swap",
        "",
        "| work     | by        | µs a sample |   ± | x ours | peak MiB |",
        "| -------- | --------- | ----------: | --: | -----: | -------: |",
        "| swap 4x4 | puzzlemix |           2 | 2 % |      1 |          |",
        "| swap 4x4 | a peer    |          25 |   - |   12.5 |          |",
        "| swap 8x8 | puzzlemix |        1234 | 2 % |      1 |       17 |",
    ]


def test_a_run_outlives_json():
    whole = made(*ROWS)
    assert json.loads(report.dumps(whole)) == whole
    assert report.rows_of(whole) == [pytest.approx(each) for each in ROWS]


def test_the_program_times_and_stores(tmp_path, monkeypatch, capsys):
    """Also that pytest-benchmark stores what the tables need, and takes it back."""
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)  # one of several processes times nothing
    which = ["-k", "labeling_energy and 2x2", "-p", "no:cacheprovider"]
    assert program.main([*which, "--quick", "--save", "new"]) == 0
    assert "## labeling_energy" in capsys.readouterr().out
    assert "| labeling_energy 2x2, 3 labels | puzzlemix " in (tmp_path / "new.md").read_text()
    stored = report.rows_of(json.loads((tmp_path / "new.json").read_text()))
    assert {each.by for each in stored} >= {PUZZLEMIX, "reference"}
    assert all(each.us > 0 and each.calibration > 0 for each in stored)
    compare = ["pytest-benchmark", "compare", str(tmp_path / "new.json")]
    done = subprocess.run(compare, cwd=tmp_path, capture_output=True, text=True)
    assert "labeling_energy 2x2" in done.stdout, done.stderr


def test_the_stored_run_can_be_read():
    stored = json.loads((ROOT / "bench" / "results" / "baseline.json").read_text())
    assert (ROOT / "bench" / "results" / "baseline.md").read_text() == program.page(stored)


# ---- Comparison ----


@pytest.mark.parametrize(
    ("was", "now", "flagged"),
    [
        ({"us": 10}, {"us": 20}, True),
        ({"us": 10}, {"us": 12}, False),
        ({"us": 20}, {"us": 10}, False),
        # The whole machine is half as fast, or its others are busy.
        ({"us": 10}, {"us": 20, "calibration": 2e-4}, False),
        # Something hit the calibration, and not what was timed.
        ({"us": 10, "calibration": 2e-4}, {"us": 10}, False),
        # Either run was so unsteady that it may be chance.
        ({"us": 10, "spread": 0.9}, {"us": 20}, False),
        ({"us": 10}, {"us": 20, "spread": 0.9}, False),
        ({"us": 10, "spread": 0.9}, {"us": 40}, True),
        ({"us": 10, "spread": None}, {"us": 20, "spread": None}, True),
    ],
)
def test_what_counts_as_slower(was, now, flagged):
    old = [row("swap", PUZZLEMIX, **was), row("cut", PUZZLEMIX, 1)]
    new = [row("swap", PUZZLEMIX, **now), row("cut", PUZZLEMIX, 1)]
    assert [slow.row.work for slow in report.slowdowns(old, new)] == ["swap"] * flagged


@pytest.mark.parametrize(("us", "flagged"), [(5, False), (10, True)])
def test_on_a_machine_twice_as_fast_half_the_time_is_due(us, flagged):
    old = [row("swap", PUZZLEMIX, 10), row("cut", PUZZLEMIX, 2)]
    new = [
        row(work, PUZZLEMIX, time, calibration=5e-5) for work, time in (("swap", us), ("cut", 1))
    ]
    assert len(report.slowdowns(old, new)) == flagged


def test_only_ours_and_what_both_runs_have_is_compared():
    old = [row("swap", "a peer", 1), row("cut", PUZZLEMIX, 1)]
    new = [row("swap", "a peer", 9), row("mix", PUZZLEMIX, 9)]
    assert report.slowdowns(old, new) == []


def test_another_look_counts_where_it_is_faster():
    first = [row("swap", PUZZLEMIX, 30), row("cut", PUZZLEMIX, 5)]
    again = [row("swap", PUZZLEMIX, 12)]
    assert [each.us for each in report.best_of(first, again)] == [12, 5]


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (4.0, 1)])
def test_the_program_fails_on_a_slow_down(factor, status, tmp_path, monkeypatch, capsys):
    """Each look finds the same, so it is no chance."""
    old, new = made(row("swap", PUZZLEMIX, 10)), made(row("swap", PUZZLEMIX, 10 * factor))
    looks = []
    monkeypatch.setattr(program, "RESULTS", tmp_path)
    monkeypatch.setattr(program, "run", lambda what, quick: (looks.append(what), (new, 0))[1])
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert program.main(["--compare", "old"]) == status
    assert len(looks) == (program.LOOKS if status else 1)
    told = capsys.readouterr().out
    assert ("slower: swap, puzzlemix: 4.00x" in told) == bool(status)


# ---- Goals ----


class Collected:
    """A plugin that keeps what pytest would run."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        given = [item.callspec.params for item in session.items]
        self.named = {(each["case"].work, each["by"]) for each in given}


@pytest.fixture(scope="module")
def timed() -> set[tuple[str, str]]:
    """Work and name of all benchmarks."""
    plugin = Collected()
    flags = ["--collect-only", "-p", "no:terminal", "-o", "addopts="]
    assert pytest.main([str(ROOT / "bench"), *flags], plugins=[plugin]) == 0
    return plugin.named


def test_every_goal_is_measured(timed):
    for goal in goals.GOALS:
        for by in (goal.by, *(() if goal.known else goal.peers)):
            assert (goal.work, by) in timed or "2 threads" in goal.by, (goal.work, by)


def test_a_goal_is_against_the_fastest_peer():
    goal = goals.Goal("exact 8x8", ("slow", "fast", "missing"), 10)
    rows = [
        row("exact 8x8", PUZZLEMIX, 2),
        row("exact 8x8", "slow", 60),
        row("exact 8x8", "fast", 18),
    ]
    (verdict,) = goals.judge(rows, [goal])
    assert (verdict.peer, verdict.ratio, verdict.met) == ("fast", 9.0, False)
    assert goals.table([verdict])[-1] == "| exact 8x8 | fast    |  10x |       9x | not met |"
    assert goals.judge(rows[1:], [goal]) == []


def test_a_goal_may_be_against_times_that_are_known():
    """The ratio is against the least of the known times."""
    goal = goals.Goal("whole", ("elsewhere",), 5, known=(12, 40))
    rows = [row("whole", PUZZLEMIX, 2), row("whole", "elsewhere", 1)]
    (verdict,) = goals.judge(rows, [goal])
    assert verdict.met
    assert goals.table([verdict])[-1] == "| whole | elsewhere |   5x |    6-20x | met |"
    assert goals.judge(rows[1:], [goal]) == []


class NoClock(gpu.Clock):
    """The rows of a GPU, without the times."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.scale = 256

    def replayed(self, solve: Any) -> gpu.Row:
        return {"warm": 30.0, "cold": 40.0}

    def called(self, solve: Any, repeats: int | None = None) -> gpu.Row:
        return {"host": 10.0, "total": 50.0}


def test_every_goal_of_the_gpu_is_measured():
    rows = {(row["work"], row["size"]): row for row in reversed(list(gpu.measure(NoClock())))}
    for (work, size, batch), goal in gpu.GOALS.items():
        row = rows[work, size] | {"batch": batch}
        assert goal.keys() <= row.keys(), (work, size)
        assert gpu.goal_of(row).count("met") == len(goal)


def test_the_profile_names_the_operators():
    table = gpu.profile(torch.device("cpu"))
    assert table.startswith("one PuzzleMix call, batch 8, host ")
    assert "puzzlemix::puzzle_plan" in table
    assert "puzzlemix::mix" in table


def test_a_goal_of_the_gpu_is_the_most():
    about = {"work": "puzzle_mix", "size": "3x32x32, grid 4", "batch": 128, "by": "puzzlemix"}
    assert gpu.goal_of({**about, "warm": 60.0, "host": 20}) == "warm 50: not met, host 150: met"
    assert gpu.goal_of({**about, "by": gpu.COPY, "warm": 60.0}) is None
    assert gpu.goal_of({**about, "batch": 4, "warm": 60.0}) is None


# ---- Peers ----


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("labels", [2, 3, 4])
def test_ishikawas_graph_is_exact(labels, share):
    problem = instances.bent(instances.labeling_problem(6, (3, 4), labels), share)
    found = peers.labels_of(peers.IshikawaGraphs(peers.integer_costs(problem)).solve())
    energies = problems.naive_energy(found, problems.Labeling(*problem))
    for index, energy in enumerate(energies):
        least, _ = problems.best_labeling(problems.Labeling(*problem), index)
        assert energy == pytest.approx(least, rel=1e-5)


def test_gathered_mix_is_the_mix():
    problem = problems.mix(size=(8, 8), grids=((4, 4), (4, 4), (4, 4)))
    torch.testing.assert_close(peers.gathered_mix(*problem).double(), problems.naive_mix(problem))


# ---- Quality ----


def test_gaps_of_the_swap_are_those_of_brute_force():
    problem = problems.labeling("uniform", batch=60, height=2, width=2, labels=3)
    every = problems.every_labeling(2, 2, 3)
    found = quality.swap_gaps(instances.LabelingProblem(*problem))
    least = []
    for index in range(60):
        one = problems.sample(problem, index)
        copies = problems.Labeling(
            *(part.expand(len(every), *part.shape[1:]) for part in one[:3]), one.label_cost
        )
        least.append(min(problems.naive_energy(every, copies)))
    swapped = [
        problems.naive_energy(problems.maxflow_swap(scaled(problem, index))[None], one)[0]
        for index in range(60)
        for one in [problems.sample(problem, index)]
    ]
    above = (torch.tensor(swapped) - torch.tensor(least)) / torch.tensor(least).abs()
    assert found.share == pytest.approx(float((above > 1e-6).double().mean()))
    assert found.mean == pytest.approx(float(above.mean()), abs=1e-5)
    assert found.most == pytest.approx(float(above.max()), abs=1e-5)


def scaled(problem: problems.Labeling, index: int) -> problems.Labeling:
    """A sample in integers, for PyMaxflow's swap."""
    one = problems.sample(problem, index)
    unary, *edges = ((1e6 * part).round() for part in one[:3])
    pair = one.label_cost / one.label_cost[0, 1]
    return problems.Labeling(unary * 4, *edges, pair)


@pytest.mark.parametrize("xi", [0.05, 0.8])
def test_quality_of_transports_is_that_of_brute_force(xi):
    problem = instances.transport_problem(12, 2, kind="random", mask="random")
    cost = problems.transport_cost(problems.Transport(*problem), xi, "indicator")
    every = torch.tensor(list(itertools.permutations(range(4))))
    # Row source[j] goes to column j.
    totals = cost[:, every, torch.arange(4)].sum(2)
    least, best = totals.min(1)
    moved = problem.saliency.flatten(1).gather(1, every[best])
    kept = (moved * (problem.mask.flatten(1) > 0)).sum(1)
    found = quality.transport_quality(problem, xi, "exact")
    assert found.total == pytest.approx(float(least.mean()))
    assert found.kept == pytest.approx(float(kept.mean()))
    assert found.moved == pytest.approx(float((every[best] != torch.arange(4)).double().mean()))
    approximate = quality.transport_quality(problem, xi, "approx")
    assert approximate.total >= found.total - 1e-12


# ---- Growth ----


def test_the_exponent_of_a_power():
    sizes = [4.0, 16.0, 64.0]
    assert growth.exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_what_takes_too_long_is_stopped():
    """By the time of its process alone: a busy machine makes nothing infinite."""
    assert growth.within(0.2, lambda: (time.sleep(0.4), sum(range(10**6)))) < math.inf
    assert growth.within(0.2, lambda: sum(itertools.repeat(1))) == math.inf
    assert 1e3 < growth.within(30, lambda: sum(range(10**6))) < math.inf


def test_the_bound_holds_for_what_was_found():
    found = [
        growth.Worst("cut", f"{cells} cells", cells, 1.0, "snake", took, took)
        for cells, took in ((16, 20.0), (64, 90.0), (256, 330.0))
    ]
    ((solver, bound, *_),) = growth.bound_table(found)
    assert solver == "cut"
    factor, power = bound.replace(" µs x size^", " ").split()
    for each in found:
        assert each.searched <= float(factor) * each.cells ** float(power)


@pytest.mark.parametrize("grid", [4, (1, 7), (3, 5), (6, 2)])
def test_hard_problems_are_valid_on_any_grid(grid):
    """The solvers look at shapes and values."""
    cases = list(growth.worst_cases([grid], [5]))
    assert len({(case.solver, case.kind) for case in cases}) == len(cases)
    for case in cases:
        case.solve(*case.problem)


@pytest.mark.parametrize("grid", [4, (1, 7)])
def test_what_the_search_breeds_is_valid(grid):
    """Any two of one solver have children that it takes."""
    generator = torch.Generator().manual_seed(0)
    cases = list(growth.worst_cases([grid], [5]))
    for one, other in itertools.pairwise(cases):
        if one.solver == other.solver:
            child = growth._child(one, other, generator)
            assert [part.shape for part in child] == [part.shape for part in one.problem]
            one.solve(*child)


def test_the_search_keeps_the_slowest(monkeypatch):
    case = next(growth.worst_cases([2], []))
    times = iter([3.0, 9.0, 4.0, 1.0])
    monkeypatch.setattr(growth, "within", lambda seconds, solve: next(times))
    assert growth.evolve([(5.0, case), (2.0, case)], 30, 4) == 9


def test_a_spiral_goes_inwards():
    """From one cell to the next the way is wide, everywhere else it is not."""
    _, _, vertical, horizontal = instances.spiral_cut((3, 4), 0)
    wide = int((vertical > 1).sum() + (horizontal > 1).sum())
    assert wide == 11
    assert bool((horizontal[0, 0] > 1).all())
    assert bool((vertical[0, :, 3] > 1).all())
