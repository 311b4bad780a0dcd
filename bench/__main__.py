"""Run the benchmarks and print each time beside its peers', from the same run.

python -m bench              all of them
python -m bench -k transport those whose name says so (pytest's -k)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import groupby
from pathlib import Path

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument(
        "-k", default="", metavar="EXPRESSION", help="only what pytest's -k selects"
    )
    options = parser.parse_args()
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        status = pytest.main(
            [
                str(here),
                "-q",
                "-k",
                options.k,
                f"--benchmark-json={report}",
                "--benchmark-quiet",
                "--benchmark-warmup=on",
                "--benchmark-max-time=0.5",
            ]
        )
        if not report.exists():
            return int(status)
        print_table(json.loads(report.read_text())["benchmarks"])
    return int(status)


def print_table(benchmarks: list[dict]) -> None:
    """The fastest round of each, a sample's share of it, and how many times ours that is."""
    print(f"\n{'work':<36}{'by':<12}{'us a sample':>12}{'x ours':>10}")
    rows = [{**row["extra_info"], "seconds": row["stats"]["min"]} for row in benchmarks]
    for work, group in groupby(sorted(rows, key=lambda row: row["work"]), lambda row: row["work"]):
        shares = {row["by"]: row["seconds"] / row["batch"] for row in group}
        for by, seconds in sorted(shares.items(), key=lambda item: item[1]):
            ratio = f"{seconds / shares['puzzlemix']:.1f}" if "puzzlemix" in shares else "-"
            print(f"{work:<36}{by:<12}{seconds * 1e6:>12.2f}{ratio:>10}")


if __name__ == "__main__":
    sys.exit(main())
