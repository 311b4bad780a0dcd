"""What a run of the benchmarks found: a report as JSON, as a table, and compared with another.

A report is a dictionary of ``facts`` (machine, versions), ``rows`` and what was ``left_out``.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import platform
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from .cases import ON_GPU, PUZZLEMIX

Report = dict[str, Any]

PACKAGES = (
    "torch", "numpy", "PyMaxflow", "gco-wrapper", "scipy", "lapx", "kornia", "torchvision", "timm",
)  # fmt: skip


class Row(NamedTuple):
    """One line: somebody did some work."""

    node: str
    """Of the benchmark, to run it again."""
    work: str
    by: str
    us: float
    """Microseconds a sample, of the fastest round: others' work on a shared machine can only add to
    a time. Processor time where one thread does all of the work, else time on the clock."""
    spread: float | None
    """Between the rounds: the distance of the quartiles over the median; None for one round."""
    rounds: int
    batch: int
    calibration: float
    """Microseconds of a fixed piece of work, just before."""
    axes: dict[str, Any]
    departs: list[str]
    """The axes on which the case is off its base point."""
    peak_mib: float | None = None

    @property
    def function(self) -> str:
        """What the work's name starts with, before any size."""
        return re.match("[A-Za-z_ ]*", self.work)[0].strip()


def report_of(found: dict[str, Any], threads: int, left_out: list[str]) -> Report:
    """From pytest-benchmark's JSON."""
    rows = [_row(each) for each in found["benchmarks"]]
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    facts = {
        "date": datetime.date.today().isoformat(),
        "cpu": found["machine_info"]["cpu"].get("brand_raw", platform.machine()),
        "threads": threads,
        "versions": versions,
    }
    return {"facts": facts, "rows": [row._asdict() for row in rows], "left_out": left_out}


def _row(found: dict[str, Any]) -> Row:
    stats, extra = found["stats"], dict(found["extra_info"])
    several = stats["rounds"] > 1
    extra["calibration"] = round(1e6 * extra["calibration"], 1)
    return Row(
        node=found["fullname"],
        us=float(f"{1e6 * stats['min'] / extra['batch']:.4g}"),
        spread=round(stats["iqr"] / stats["median"], 3) if several else None,
        rounds=stats["rounds"],
        **extra,
    )


def dumps(report: Report) -> str:
    """JSON with a row to a line."""
    rows = ",\n".join(map(json.dumps, report["rows"]))
    rest = {name: value for name, value in report.items() if name != "rows"}
    return f'{json.dumps(rest, indent=1)[:-2]},\n "rows": [\n{rows}\n]\n}}\n'


def rows_of(report: Report) -> list[Row]:
    return [Row(**row) for row in report["rows"]]


def times_of(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Microseconds a sample, by work and name."""
    return {(row.work, row.by): row.us for row in rows}


# ---- Tables ----


class Line(NamedTuple):
    """A row in words."""

    work: str
    by: str
    us: str
    spread: str
    ratio: str
    peak: str


HEADS = Line("work", "by", "µs a sample", "±", "x ours", "peak MiB")


def lines(rows: list[Row]) -> Iterator[Line]:
    """In words, beside ours: the ratios compare what was timed on the same work."""
    times = times_of(rows)
    for row in rows:
        ours = times.get((row.work, PUZZLEMIX))
        yield Line(
            row.work,
            row.by,
            number(row.us),
            "-" if row.spread is None else f"{50 * row.spread:.0f} %",
            "-" if ours is None else number(row.us / ours),
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        )


def text(rows: list[Row]) -> str:
    """The table for the terminal, each work named once."""
    cells = [list(line) for line in lines(rows)]
    for line, above in zip(cells[:0:-1], cells[-2::-1], strict=True):
        if line[0] == above[0]:
            line[0] = ""
    return text_table(HEADS, cells)


def number(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def text_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns: two of words, the rest of numbers."""
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The same as Markdown, line by line."""
    ruler = ["---", "---", *["---:"] * (len(heads) - 2)]
    return [f"| {' | '.join(line)} |" for line in (heads, ruler, *rows)]


def markdown(report: Report) -> str:
    """All of a report but its goals, which stand above it."""
    facts = report["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    told = [
        f"{facts['cpu']}, threads: {facts['threads']}, {facts['date']}; {versions}.",
        "",
        "Microseconds a sample (a call, where the work is one) in the fastest round (processor",
        "time where one thread does all of the work, else time on the clock); ± is half the",
        "distance of the quartiles of all rounds, of their median; the last columns are the time",
        "over ours on the same work, and the most memory resident during a call, above what was",
        "before.",
    ]
    for function, rows in groupby(rows_of(report), lambda row: row.function):
        told += ["", f"## {function}", "", *markdown_table(HEADS, lines(list(rows)))]
    told += ["", *(f"Left out: {reason}." for reason in report["left_out"])]
    return "\n".join(told).rstrip() + "\n"


# ---- Comparison with another run ----

FLOOR = 0.5
"""A slow-down up to this is never reported."""
SPREADS = 1.0
"""Nor one up to so many times both runs' spread, beyond it."""


class Slowdown(NamedTuple):
    """A row of ours that is slower than it was."""

    row: Row
    ratio: float
    allowed: float


def slowdowns(old: Report, new: Report) -> list[Slowdown]:
    """The rows of ours that are slower than in an older report, beyond the noise.

    Times count in two units, the calibration just before each and the median one of the run, and
    have to be slower in both. So a machine that is slower as a whole, or was for a moment, doesn't
    look like slower code, nor does a calibration that others' work has hit.
    """
    before = {(row.work, row.by): row for row in rows_of(old)}
    usual, usual_before = (
        statistics.median(row.calibration for row in rows_of(report)) for report in (new, old)
    )
    found = []
    for row in rows_of(new):
        other = before.get((row.work, row.by))
        if other is not None and row.by in (PUZZLEMIX, *ON_GPU):
            machine = max(row.calibration / other.calibration, usual / usual_before)
            ratio = row.us / other.us / machine
            noise = math.hypot(row.spread or 0, other.spread or 0)
            allowed = 1 + FLOOR + SPREADS * noise
            if ratio > allowed:
                found.append(Slowdown(row, ratio, allowed))
    return found


def best_of(first: Report, second: Report) -> Report:
    """The first report with the rows of the second where they are faster."""
    again = {(row.work, row.by): row for row in rows_of(second)}
    rows = (
        min(row, again.get((row.work, row.by), row), key=lambda each: each.us)
        for row in rows_of(first)
    )
    return {**first, "rows": [row._asdict() for row in rows]}


def differences(old: Report, new: Report) -> list[str]:
    """What makes two reports hard to compare."""
    return [
        f"{name}: {old['facts'][name]} then, {new['facts'][name]} now"
        for name in ("cpu", "threads", "versions")
        if old["facts"][name] != new["facts"][name]
    ]
