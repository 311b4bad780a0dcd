"""Time every function beside its peers, in one run: all of it takes six minutes on one thread.

python -m bench                     all of it, a table
python -m bench -k transport        those whose name says so
python -m bench --quick             fewer rounds, for a first look
python -m bench --save NAME         bench/results/NAME.json and NAME.md beside the table
python -m bench --compare NAME      fail where ours is slower than in that run, beyond the noise

Every other option goes to pytest and pytest-benchmark: -k EXPRESSION, --threads N, --benchmark-...
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pytest

from . import goals, report

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main(arguments: list[str] | None = None) -> int:
    options, others = parse(arguments)
    found, status = run([str(HERE), *others], options.quick)
    rows = report.rows_of(found)
    if not rows:
        print("nothing was timed", file=sys.stderr)
        return 1
    told = page(found)
    print(told)
    if options.save:
        save(found, told, options.save)
    if options.compare:
        status |= compare(rows, others, options)
    return status


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The options that are ours, and those for pytest."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--quick] [--save NAME] [--compare NAME] [options of pytest]",
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--save", metavar="NAME", help="write bench/results/NAME.json and .md")
    parser.add_argument(
        "--compare", metavar="NAME", help="a name given to --save before, or a file"
    )
    return parser.parse_known_args(arguments)


def run(selection: list[str], quick: bool) -> tuple[report.Run, int]:
    """Time what pytest selects by these arguments; also pytest's exit status."""
    seconds, rounds = (0.03, 1) if quick else (0.2, 3)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "run.json")
        flags = [
            "-q",
            f"--benchmark-json={written}",
            f"--benchmark-max-time={seconds}",
            f"--benchmark-min-rounds={rounds}",
            "--benchmark-disable-gc",
            "--benchmark-quiet",  # the table of ratios instead of its own
        ]
        status = pytest.main([*flags, *selection])
        return json.loads(written.read_text()) if written.exists() else report.EMPTY, int(status)


def page(found: report.Run) -> str:
    """What was aimed at, and all that was timed, as Markdown."""
    verdicts = goals.judge(report.rows_of(found))
    return "\n".join(["# Benchmarks", "", *goals.table(verdicts), *report.tables(found)]) + "\n"


def save(found: report.Run, told: str, name: str) -> None:
    """A file for pytest-benchmark and ``--compare``, and a page to read."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(report.dumps(found))
    (RESULTS / f"{name}.md").write_text(told)
    print(f"written to {RESULTS / name}.json and .md")


LOOKS = 3
"""A slow-down counts if it is there each time: others' work on the machine may have hit the one
call or the other, and hardly the same one again."""


def compare(rows: list[report.Row], others: list[str], options: argparse.Namespace) -> bool:
    """Print what got slower than in a stored run, and whether anything did."""
    path = Path(options.compare)
    path = path if path.suffix == ".json" and path.exists() else RESULTS / f"{path.stem}.json"
    stored: report.Run = json.loads(path.read_text())
    print(f"{path.stem} is of {report.machine(stored)}")
    old = report.rows_of(stored)
    slower = report.slowdowns(old, rows)
    for _ in range(LOOKS - 1):
        if slower:
            nodes = [str(HERE.parent / found.row.node) for found in slower]
            again, _ = run([*nodes, *others], options.quick)
            rows = report.best_of(rows, report.rows_of(again))
            slower = report.slowdowns(old, rows)
    for row, ratio, allowed in slower:
        print(f"slower: {row.work}, {row.by}: {ratio:.2f}x, the noise allows {allowed:.2f}x")
    print(f"{len(slower)} slower than in {path.stem}")
    return bool(slower)


if __name__ == "__main__":
    sys.exit(main())
