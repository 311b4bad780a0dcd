"""How times grow: one picture for each axis, a panel for each function, a line for each solver."""

from __future__ import annotations

import math
from collections import defaultdict
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from PIL import Image

from .cases import PUZZLEMIX, THREADED, WAYS
from .report import Row

AXES = {
    "cells": "cells of the grid",
    "labels": "labels",
    "batch": "samples in the batch",
    "threads": "threads",
}
"""Axis and how it is called."""
COLOURS = 64
"""As many as a picture of lines needs; a third of the bytes."""

Curves = dict[str, dict[str, list[tuple[float, float]]]]
"""By function and solver: points of the axis and microseconds a sample."""


def draw(rows: list[Row], stem: Path) -> list[Path]:
    """Write the pictures STEM-AXIS.png that the rows have curves for."""
    written = []
    for axis, name in AXES.items():
        panels = curves(rows, axis)
        if panels:
            path = stem.with_name(f"{stem.name}-{axis}.png")
            _write(_figure(panels, name, logarithmic=axis != "threads"), path)
            written.append(path)
    return written


def curves(rows: list[Row], axis: str) -> Curves:
    """The rows that are off the base point on this axis alone."""
    panels: Curves = defaultdict(lambda: defaultdict(list))
    for row in rows:
        point = _point(row, axis)
        if point is not None:
            panels[row.function][PUZZLEMIX if axis == "threads" else row.by].append((point, row.us))
    return {
        panel: {by: sorted(points) for by, points in lines.items() if len(points) > 1}
        for panel, lines in panels.items()
        if len(lines.get(PUZZLEMIX, [])) > 1
    }


def _point(row: Row, axis: str) -> float | None:
    """Where a row stands on the axis, if it is on its curve."""
    # Solvers scale over threads on a batch that is larger than the base point's.
    field = {"cells": "grid", "threads": "batch"}.get(axis, axis)
    if set(row.departs) - {field} or field not in row.axes:
        return None
    if (axis == "threads") != (row.by in THREADED):
        return None
    if axis == "threads":
        return THREADED[row.by].threads
    return row.axes[field] ** 2 if axis == "cells" else row.axes[field]


def _figure(panels: Curves, name: str, logarithmic: bool) -> Figure:
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (title, solvers) in zip(grid.flat, panels.items(), strict=False):
        for by, points in solvers.items():
            width = 2.5 if by in WAYS else 1
            axes.plot(*zip(*points, strict=True), "o-", label=by, lw=width, ms=4)
        _scale(axes, [point for points in solvers.values() for point in points], logarithmic)
        axes.set(title=title, xlabel=name, ylabel="µs a sample")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    return figure


def _scale(axes: Axes, points: list[tuple[float, float]], logarithmic: bool) -> None:
    x, y = (set(values) for values in zip(*points, strict=True))
    if logarithmic:
        axes.set(xscale="log", yscale="log")
        # Whole decades, so that there are numbers at both ends.
        axes.set_ylim(10 ** math.floor(math.log10(min(y))), 10 ** math.ceil(math.log10(max(y))))
    else:
        axes.set_ylim(bottom=0)
    axes.set_xticks(sorted(x))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        each.set_minor_formatter(NullFormatter())


def _write(figure: Figure, path: Path) -> None:
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, optimize=True)
