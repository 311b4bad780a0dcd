"""Time every function beside its peers, in one run: all of it takes five minutes on one thread.

python -m bench                     all of it, a table
python -m bench -k transport        those whose name says so (pytest's -k)
python -m bench --quick             fewer rounds, for a first look
python -m bench --save NAME         bench/results/NAME.json and NAME.md beside the table
python -m bench --compare NAME      fail where ours is slower than in that run, beyond the noise
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from tqdm import tqdm

from . import goals, report
from .cases import CPUS

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    made, failures = run([str(HERE), "-k", options.k], options)
    for failure in failures:
        print(failure, file=sys.stderr)
    rows = report.rows_of(made)
    if not rows:
        print("nothing was timed", file=sys.stderr)
        return 1
    print(report.text(rows), *made["left_out"], goals.text(goals.judge(rows)), sep="\n")
    if options.save:
        save(made, options.save)
    if options.plots:
        from .plots import draw  # here, as only this needs matplotlib

        for path in draw(rows, RESULTS / (options.save or "latest")):
            print(f"drawn: {path}")
    slower = compare(made, options) if options.compare else False
    return int(bool(failures) or slower)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="what pytest's -k selects")
    parser.add_argument(
        "--threads",
        default=1,
        type=lambda text: CPUS if text == "all" else int(text),
        metavar="N|all",
        help="threads of puzzlemix and PyTorch (default 1: peers have one)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json and .md")
    parser.add_argument("--plots", action="store_true", help="draw how times grow, as PNG there")
    parser.add_argument(
        "--compare", metavar="NAME", help="a name given to --save before, or a file"
    )
    return parser.parse_args(arguments)


def run(selection: list[str], options: argparse.Namespace) -> tuple[report.Report, list[str]]:
    """Time what pytest selects by these arguments: the report, and what failed."""
    watcher = Watcher()
    seconds, rounds = (0.03, 1) if options.quick else (0.2, 3)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "report.json")
        flags = [
            *("-p", "no:terminal", "-o", "addopts="),  # the bar instead of pytest's own report
            f"--threads={options.threads}",
            f"--benchmark-json={written}",
            f"--benchmark-max-time={seconds}",
            f"--benchmark-min-rounds={rounds}",
            "--benchmark-disable-gc",
            "--benchmark-quiet",
        ]
        pytest.main([*selection, *flags], plugins=[watcher])
        watcher.bar.close()
        text = written.read_text() if written.exists() else ""
    found = json.loads(text) if text else {"benchmarks": [], "machine_info": {"cpu": {}}}
    return report.report_of(found, options.threads, watcher.left_out()), watcher.failures


class Watcher:
    """A plugin of pytest that shows how far it is and keeps what went wrong."""

    def __init__(self) -> None:
        self.bar = tqdm(desc="collecting", unit="", leave=False, disable=None)
        self.failures: list[str] = []
        self.skipped: Counter[str] = Counter()

    def left_out(self) -> list[str]:
        """Why, and how often."""
        return [f"{reason} ({count} times)" for reason, count in self.skipped.items()]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.bar.reset(len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures.append(report.longreprtext)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.bar.set_description(nodeid.partition("[")[2].rstrip("]").ljust(60)[:60])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid}\n{report.longreprtext}")
        elif report.skipped:
            self.skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    def pytest_runtest_logfinish(self) -> None:
        self.bar.update()


def save(made: report.Report, name: str) -> None:
    """JSON to compare with, Markdown to read."""
    RESULTS.mkdir(exist_ok=True)
    told = [
        "# Benchmarks\n",
        *goals.markdown(goals.judge(report.rows_of(made))),
        "",
        report.markdown(made),
    ]
    (RESULTS / f"{name}.json").write_text(report.dumps(made))
    (RESULTS / f"{name}.md").write_text("\n".join(told))
    print(f"written to {RESULTS / name}.json and .md")


LOOKS = 3
"""A slow-down counts if it is there each time: others' work may have hit the one call or the other,
and hardly the same one again."""


def compare(made: report.Report, options: argparse.Namespace) -> bool:
    """Print what got slower than in a stored run, and whether anything did."""
    path = Path(options.compare)
    path = path if path.suffix == ".json" and path.exists() else RESULTS / f"{path.stem}.json"
    old = json.loads(path.read_text())
    for difference in report.differences(old, made):
        print(f"compare with care, {difference}")
    slower = report.slowdowns(old, made)
    for _ in range(LOOKS - 1):
        if slower:
            again, _ = run([str(HERE.parent / found.row.node) for found in slower], options)
            made = report.best_of(made, again)
            slower = report.slowdowns(old, made)
    for row, ratio, allowed in slower:
        print(f"slower: {row.work}, {row.by}: {ratio:.2f}x, the noise allows {allowed:.2f}x")
    print(f"{len(slower)} slower than in {path.stem}")
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())
