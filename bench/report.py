"""What a run of the benchmarks found: as tables, and beside an earlier run.

A run is the JSON of pytest-benchmark, where a group is a piece of work and a name is who did it;
``conftest.py`` adds the facts that are used here.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from .cases import ON_GPU, PUZZLEMIX

Run = dict[str, Any]
EMPTY: Run = {"benchmarks": []}


class Row(NamedTuple):
    """The time that one name took for a piece of work."""

    node: str
    """The benchmark's identifier in pytest, to run it again."""
    work: str
    by: str
    us: float
    """Microseconds a sample, of the fastest round: others' work on a shared machine can only add to
    a time. Processor time where one thread does all of the work, else time on the clock."""
    spread: float | None = None
    """Between the rounds: the distance of the quartiles over the median; None for one round."""
    calibration: float = 1.0
    """Seconds of a fixed piece of work, just before."""
    peak_mib: float | None = None

    @property
    def function(self) -> str:
        """What the work's name starts with, before any size."""
        return re.match("[A-Za-z_ ]*", self.work)[0].strip()


def rows_of(run: Run) -> list[Row]:
    rows = []
    for found in run["benchmarks"]:
        stats, extra = found["stats"], dict(found["extra_info"])
        us = 1e6 * stats["min"] / extra.pop("batch")
        rows.append(
            Row(found["fullname"], found["group"], found["name"], us, stats["spread"], **extra)
        )
    return rows


def dumps(run: Run) -> str:
    """JSON with a benchmark to a line."""
    rest = {name: value for name, value in run.items() if name != "benchmarks"}
    lines = ",\n".join(map(json.dumps, run["benchmarks"]))
    return f'{json.dumps(rest, indent=1)[:-2]},\n "benchmarks": [\n{lines}\n]\n}}\n'


def times_of(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Microseconds a sample, by work and name."""
    return {(row.work, row.by): row.us for row in rows}


# ---- Tables ----

HEADS = ("work", "by", "µs a sample", "±", "x ours", "peak MiB")


def tables(run: Run) -> Iterator[str]:
    """Lines of Markdown: the machine, and a table for each function."""
    yield from ("", f"{machine(run)}.")
    for function, rows in groupby(rows_of(run), lambda row: row.function):
        yield from ("", f"## {function}", "", *markdown_table(HEADS, ratios(list(rows))))


def machine(run: Run) -> str:
    """Where and when a run was made, in one line."""
    about = run["machine_info"]
    versions = [f"{name} {version}" for name, version in about["versions"].items()]
    day = run["datetime"][:10]
    told = [about["cpu"].get("brand_raw", about["machine"]), f"threads: {about['threads']}", day]
    return f"{', '.join(told)}; Python {', '.join([about['python_version'], *versions])}"


def ratios(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """Cells that compare what was timed on the same work: times, and how often ours goes into
    them."""
    times = times_of(rows)
    for row in rows:
        ours = times.get((row.work, PUZZLEMIX))
        yield (
            row.work,
            row.by,
            number(row.us),
            "-" if row.spread is None else f"{50 * row.spread:.0f} %",
            "-" if ours is None else number(row.us / ours),
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        )


def number(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned, so that it can be read as text too: two columns of words, the rest of numbers."""
    table = [heads, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in table
    ]
    rulers = ["-" * width if place < 2 else f"{'-' * (width - 1)}:"
              for place, width in enumerate(widths)]  # fmt: skip
    return [f"| {' | '.join(line)} |" for line in (lines[0], rulers, *lines[1:])]


# ---- Comparison with another run ----

FLOOR = 0.5
"""A slow-down up to this is never reported."""
SPREADS = 1.0
"""A slow-down beyond the floor is reported if it exceeds both runs' spread times this."""


class Slowdown(NamedTuple):
    """A row of ours that is slower than it was."""

    row: Row
    ratio: float
    allowed: float


def slowdowns(old: list[Row], new: list[Row]) -> list[Slowdown]:
    """The rows of ours that are slower than in an older run, beyond the noise.

    Times count in two units, the calibration just before each and the median one of the run, and
    have to be slower in both. So a machine that is slower as a whole, or was for a moment, doesn't
    look like slower code, nor does a calibration that others' work has hit.
    """
    before = {(row.work, row.by): row for row in old}
    usual, usual_before = (statistics.median(row.calibration for row in rows)
                           for rows in (new, old))  # fmt: skip
    found = []
    for row in new:
        other = before.get((row.work, row.by))
        if other is not None and row.by in (PUZZLEMIX, *ON_GPU):
            machine = max(row.calibration / other.calibration, usual / usual_before)
            ratio = row.us / other.us / machine
            noise = math.hypot(row.spread or 0, other.spread or 0)
            allowed = 1 + FLOOR + SPREADS * noise
            if ratio > allowed:
                found.append(Slowdown(row, ratio, allowed))
    return found


def best_of(first: list[Row], second: list[Row]) -> list[Row]:
    """The first rows, or the second ones where these are faster."""
    again = {(row.work, row.by): row for row in second}
    return [min(row, again.get((row.work, row.by), row), key=lambda each: each.us) for row in first]
