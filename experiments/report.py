"""A table as numbers, and how it is shown: Markdown and a plot, the same for the same numbers."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from .examples import loop

INK, QUIET, OURS = "#1f2328", "#8b949e", "#d9622b"


@dataclass(frozen=True)
class Origin:
    """Where the numbers of one seed come from."""

    seed: int
    device: str
    date: str
    commit: str
    """Of the sources, shortened."""


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    name: list[str]
    """Under each of the table's heads."""
    values: dict[str, list[float]]
    """By column, one value a seed, in the order of ``origins``."""
    lecture: dict[str, float]
    """What the lecture has in this place, by column."""
    origins: list[Origin] = field(default_factory=list)
    """One a seed that was measured; none where that wasn't kept."""


@dataclass(frozen=True)
class Table:
    """All that is shown of an experiment."""

    title: str
    heads: list[str]
    columns: list[str]
    rows: list[Row]
    settings: dict[str, str]
    notes: list[str]
    seeds: list[int]
    seconds: float
    """Of the processor or, with CUDA, of the clock; training included, also where another table
    shares it."""


def seeds_of(rows: Sequence[Row]) -> list[int]:
    """The seeds that at least one row has."""
    return sorted({origin.seed for row in rows for origin in row.origins})


def spread(
    rows: Sequence[Row],
    groups: Sequence[str],
    columns: Sequence[str],
    lecture: Mapping[str, dict[str, float]],
) -> list[Row]:
    """A row for each group and row, of values that are named "group, column"."""
    return [
        Row(
            [group, *row.name],
            {c: row.values[f"{group}, {c}"] for c in columns if f"{group}, {c}" in row.values},
            lecture.get(", ".join([group, *row.name]), {}),
            row.origins,
        )
        for group in groups
        for row in rows
    ]


def write(table: Table, folder: Path, name: str) -> None:
    """The numbers as JSON, the table and the plot."""
    text = json.dumps(asdict(table), indent=1, ensure_ascii=False) + "\n"
    loop.replace_file(folder / f"{name}.json", text.encode())
    loop.replace_file(folder / f"{name}.md", markdown(table, name).encode())
    save(figure(table), folder / f"{name}.png")


def read(path: Path) -> Table:
    """A table from its JSON."""
    content = json.loads(path.read_text())
    rows = [
        Row(**row | {"origins": [Origin(**one) for one in row.get("origins", [])]})
        for row in content["rows"]
    ]
    return Table(**content | {"rows": rows})


def merge(tables: Sequence[Table]) -> Table:
    """One table of several that were made by the same command, with the seeds of all.

    Of a seed that several have, the first table's numbers count. Raises ValueError where tables
    differ in more than their seeds, or don't say which those are.
    """
    first, *others = tables
    for other in others:
        for part in ("title", "heads", "columns", "settings"):
            if getattr(first, part) != getattr(other, part):
                raise ValueError(
                    f"{part}: expected {getattr(first, part)}, got {getattr(other, part)}"
                )
    names = list(dict.fromkeys(tuple(row.name) for table in tables for row in table.rows))
    merged = []
    for name in names:
        same = [row for table in tables for row in table.rows if tuple(row.name) == name]
        merged.append(_merged_row(same))
    return replace(
        first,
        rows=merged,
        notes=list(dict.fromkeys(note for table in tables for note in table.notes)),
        seeds=sorted({seed for table in tables for seed in table.seeds}),
        seconds=sum(table.seconds for table in tables),
    )


def _merged_row(rows: Sequence[Row]) -> Row:
    """Rows of one name: each seed once, in ascending order."""
    found: dict[int, tuple[Origin, dict[str, float]]] = {}
    for row in rows:
        for number, origin in enumerate(row.origins):
            values = {column: every[number] for column, every in row.values.items()}
            found.setdefault(origin.seed, (origin, values))
        if not row.origins and row.values:
            raise ValueError(f"{', '.join(row.name)}: expected the origin of each seed, got none")
    ordered = [found[seed] for seed in sorted(found)]
    columns = [column for row in rows for column in row.values]
    return replace(
        rows[0],
        values={column: [values[column] for _, values in ordered] for column in columns},
        origins=[origin for origin, _ in ordered],
    )


def markdown(table: Table, name: str) -> str:
    """The whole page of a table."""
    lines = [f"# {table.title}", ""]
    lines += [_line([*table.heads, *table.columns])]
    lines += [_line(["---"] * len(table.heads) + ["---:"] * len(table.columns))]
    digits = {column: _digits(table.rows, column) for column in table.columns}
    for row in table.rows:
        cells = [_cell(row, column, digits[column]) for column in table.columns]
        lines.append(_line([*row.name[:-1], _with_seeds(row, table.seeds), *cells]))
    seeds = ", ".join(map(str, table.seeds))
    several = f"mean ± standard deviation over the seeds {seeds}"
    lines += ["", several.capitalize() + "." if len(table.seeds) > 1 else f"Seed {seeds}."]
    if any(row.lecture for row in table.rows):
        lines[-1] += " In brackets: the lecture's number."
    lines += ["", f"![The same as a plot]({name}.png)", ""]
    lines += [f"- {key}: {value}" for key, value in table.settings.items()]
    lines += [f"- work, training included: {table.seconds / 60:.1f} minutes"]
    lines += [f"- made: {made}" for made in _made(table.rows)]
    if table.notes:
        lines += ["", "\n\n".join(table.notes)]
    return "\n".join(lines) + "\n"


def figure(table: Table) -> Figure:
    """A panel a column: each seed a dot, the mean a bar."""
    columns = [c for c in table.columns if any(c in row.values for row in table.rows)]
    columns = columns or table.columns[:1]
    names = [", ".join(row.name) for row in table.rows]
    beside = max(2.2, 0.062 * max(map(len, names)))  # inches for the names
    sheet = Figure(
        figsize=(beside + 1.9 * len(columns), 1.0 + 0.2 * len(table.rows)), layout="constrained"
    )
    panels: Sequence[Axes] = sheet.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=True):
        for place, row in enumerate(table.rows):
            if values := row.values.get(column):
                color = OURS if row.name[-1].startswith("Puzzle") else INK
                panel.plot(values, [place] * len(values), ".", color=QUIET, markersize=4)
                panel.plot(mean(values), place, "|", color=color, markersize=9, markeredgewidth=2)
            if len(row.name) > 1 and place and row.name[0] != table.rows[place - 1].name[0]:
                panel.axhline(place - 0.5, color=QUIET, linewidth=0.4)
        panel.set_title(fill(column, 24), fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(axis="x", linewidth=0.4)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    sheet.legend(handles=_legend(), loc="outside lower right", ncols=3, fontsize=7, frameon=False)
    return sheet


def save(sheet: Figure, path: Path, dpi: int = 90) -> None:
    """A picture in 128 colours, to be small, that depends on nothing but its content."""
    drawn, image = io.BytesIO(), io.BytesIO()
    sheet.savefig(drawn, format="png", dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        image, format="png", optimize=True
    )
    loop.replace_file(path, image.getvalue())


def _legend() -> list[Line2D]:
    bar = {"linestyle": "", "marker": "|", "markersize": 9, "markeredgewidth": 2}
    return [
        Line2D([], [], linestyle="", marker=".", markersize=4, color=QUIET, label="a seed"),
        Line2D([], [], color=INK, label="mean", **bar),
        Line2D([], [], color=OURS, label="mean, Puzzle Mix", **bar),
    ]


def _with_seeds(row: Row, seeds: Sequence[int]) -> str:
    """A row's last name, and the seeds that it has where others have more."""
    name, own = row.name[-1], [origin.seed for origin in row.origins]
    if not row.values:
        return f"{name} (not yet)"
    return f"{name} ({_seeds(own)})" if own and own != list(seeds) else name


def _made(rows: Sequence[Row]) -> list[str]:
    """On which device, on which day and by which sources seeds were measured."""
    found: dict[tuple[str, str, str], set[int]] = {}
    for row in rows:
        for one in row.origins:
            found.setdefault((one.device, one.date, one.commit), set()).add(one.seed)
    return [
        f"{_seeds(sorted(seeds))} on {device}, {date}, by {commit}"
        for (device, date, commit), seeds in sorted(found.items())
    ]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Row, column: str, digits: int) -> str:
    values = row.values.get(column, [])
    told = f"{mean(values):.{digits}f}" if values else ""
    if len(values) > 1:
        told += f" ± {stdev(values):.{digits}f}"
    if column in row.lecture:
        told = f"{told} ({row.lecture[column]:g})".strip()
    return told


def _digits(rows: Sequence[Row], column: str) -> int:
    """Decimals that tell a column's values apart: one for percents."""
    largest = max((abs(value) for row in rows for value in row.values.get(column, [])), default=0)
    return 1 if largest >= 10 else 2 if largest >= 1 else 3
