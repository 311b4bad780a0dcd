"""The pictures of ``puzzlemix demo``: drawing only, nothing is computed here.

Every function takes NumPy arrays and returns a figure. Pictures [Y, X, 3] are in [0, 1], masks
[H, W] hold z (1: the first image), sources [H', W'] are permutations in gather form. One colour
belongs to the first image and one to the second, in frames, masks, arrows and bars alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from skimage.filters import gaussian

Array = NDArray[np.floating]

WIDTH = 9.0  # inches, like all lengths of the layout
MARGIN = 0.22
GAP = 0.12
TITLE = 0.74
LINE = 0.29
"""The height of a class name with its bar."""

INK, QUIET, FAINT = "#1f2328", "#656d76", "#eaeef2"
FIRST, BOTH, SECOND = "#d9622b", "#f4ead9", "#1f7a94"
MASK = LinearSegmentedColormap.from_list("mask", [SECOND, BOTH, FIRST])
HEAT = colormaps["inferno"]
MOST_ARROWS = 40
"""The most arrows in one image: more could not be told apart."""


class Guess(NamedTuple):
    """One label that the network gives a picture."""

    name: str
    probability: float
    image: int | None
    """0 or 1 where it is also seen in the first or the second photograph, else None."""


@dataclass(frozen=True)
class Photograph:
    """An input and where it matters."""

    name: str
    pixels: Array
    """[Y, X, 3]."""
    saliency: Array
    """[Y, X], as the solver gets it."""
    blocks: Array
    """[H, W], the same summed over blocks."""
    guesses: Sequence[Guess]


@dataclass(frozen=True)
class Mix:
    """What one method makes of the two photographs."""

    name: str
    how: str
    """The choice of z in a few words."""
    pixels: Array
    """[Y, X, 3]."""
    parts: tuple[Array, Array]
    """Both photographs with their blocks moved, each [Y, X, 3]."""
    mask: Array
    """[H, W]."""
    sources: tuple[NDArray[np.integer], NDArray[np.integer]] | None
    """Both [H', W'], a multiple of [H, W]; None where no block may move."""
    ratio: float
    label: tuple[float, float]
    """Shares of the first and of the second photograph in the label."""
    guesses: Sequence[Guess]


class Augmented(NamedTuple):
    """A photograph after an augmentation."""

    name: str
    pixels: Array
    """[Y, X, 3]."""
    guess: Guess


class Surface(NamedTuple):
    """What a network believes everywhere in a square of the plane."""

    name: str
    probability: Array
    """[S, S], of the first class, rows from the bottom up."""


class Curve(NamedTuple):
    """What is drawn over lambda, line by line: a name and values [R]."""

    name: str
    ratios: Array
    lines: Sequence[tuple[str, Array]]
    percent: bool


class Step(NamedTuple):
    """A column of a picture in which one number grows."""

    setting: str
    outcome: str
    chosen: bool
    """Whether the other pictures have this setting too: it is set in bold."""
    mix: Mix


def draw_inputs(first: Photograph, second: Photograph, subtitle: str) -> Figure:
    """Both photographs, each with its saliency laid over it."""
    sheet = _Sheet("What matters in each image", subtitle, 4, [_Row(foot=0.44)])
    for number, photograph in enumerate((first, second)):
        _show(sheet.panel(0, 2 * number), photograph.pixels, frame=number)
        panel = sheet.panel(0, 2 * number + 1)
        _show(panel, overlay(photograph.pixels, _blurred(photograph.saliency)), frame=number)
        best = photograph.guesses[0]
        _below(sheet.panel(0, 2 * number), photograph.name)
        _below(panel, f"saliency for “{best.name}”", QUIET)
        _scale(panel, down=0.34)
    return sheet.figure


def draw_story(first: Photograph, second: Photograph, mix: Mix, subtitle: str) -> Figure:
    """Inputs, saliency, mask, transport and mix, in the order in which they are found."""
    sheet = _Sheet("Puzzle Mix, step by step", subtitle, 4, [_Row(0.3, 0.24), _Row(0.3, 0.24)])
    for number, photograph in enumerate((first, second)):
        _show(sheet.panel(0, number), photograph.pixels, frame=number)
        panel = sheet.panel(0, 2 + number)
        heat = enlarged(photograph.blocks, photograph.pixels.shape)
        _show(panel, overlay(photograph.pixels, heat), frame=number)
        _below(sheet.panel(0, number), photograph.name)
        _scale(panel, down=0.14)
    mask, left, right, last = (sheet.panel(1, column) for column in range(4))
    _show_mask(mask, mix.mask)
    _below_mask(mask)
    for number, panel in enumerate((left, right)):
        share = mix.mask if number == 0 else 1 - mix.mask
        weight = 0.1 + 0.9 * enlarged(share, mix.pixels.shape)[..., None]
        _show(panel, weight * mix.parts[number] + (1 - weight), frame=number)
        _arrows(panel, mix, number)
    _show(last, mix.pixels)
    _below(left, moved_blocks(mix))
    every, drawn = (sum(len(those(mix, image)) for image in range(2)) for those in (moves, arrows))
    if drawn:
        some = "arrows" if drawn == every else "arrows (some)"
        _below(right, f"{some}: from where to where", QUIET)
    _below(last, f"ratio {mix.ratio:.2f}")
    for panel, text in (
        (sheet.panel(0, 0), "1  Inputs"),
        (sheet.panel(0, 2), "2  Saliency on the grid"),
        (mask, "3  Mask by graph cut"),
        (left, "4  Transport of blocks"),
        (last, "5  Mix"),
    ):
        _above(panel, text)
    return sheet.figure


def draw_methods(mixes: Sequence[Mix], names: tuple[str, str], network: str, lam: float) -> Figure:
    """Mixes side by side; under each its label, and what the network sees."""
    number = {4: "four", 5: "five"}.get(len(mixes), str(len(mixes)))
    lines = len(mixes[0].guesses)
    rows = [_Row(head=0.46, foot=0.26), _Row(0.3, body=2 * LINE), _Row(0.3, body=lines * LINE)]
    subtitle = f"λ = {lam:g}. A grey bar: the network sees it in neither of the two photographs"
    sheet = _Sheet(f"One pair, {number} ways to mix it", subtitle, len(mixes), rows)
    for column, mix in enumerate(mixes):
        panel = sheet.panel(0, column)
        _show(panel, mix.pixels)
        _above(panel, mix.name)
        _below(panel, mix.how, QUIET)
        label = [Guess(names[image], mix.label[image], image) for image in range(2)]
        _bars(sheet.panel(1, column), label)
        _bars(sheet.panel(2, column), mix.guesses)
    _above(sheet.panel(1, 0), "Its label")
    _above(sheet.panel(2, 0), f"What {network} sees")
    return sheet.figure


def draw_augmentations(pictures: Sequence[Augmented], subtitle: str) -> Figure:
    """One photograph in many ways, five in a row, with the network's best guess under each."""
    columns = 5
    height = -(-len(pictures) // columns)
    pair = [_Row(head=0.46), _Row(body=LINE)]
    sheet = _Sheet("One photograph, augmented", subtitle, columns, pair * height)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        panel = sheet.panel(2 * row, column)
        _show(panel, picture.pixels)
        _above(panel, picture.name)
        _bars(sheet.panel(2 * row + 1, column), [picture.guess])
    return sheet.figure


def draw_toy(
    points: Array,
    first: NDArray[np.bool_],
    reach: float,
    surfaces: Sequence[Surface],
    curves: Sequence[Curve],
    subtitle: str,
) -> Figure:
    """The surfaces with the training points [N, 2] on them, then the curves."""
    columns = len(surfaces) + len(curves)
    sheet = _Sheet("What mixup changes, in the plane", subtitle, columns, [_Row(0.3, 0.36)])
    for column, surface in enumerate(surfaces):
        panel = sheet.panel(0, column)
        extent = (-reach, reach, -reach, reach)
        panel.imshow(
            surface.probability, cmap=MASK, vmin=0, vmax=1, origin="lower", extent=extent,
            alpha=0.75,
        )  # fmt: skip
        for chosen, color in ((first, FIRST), (~first, SECOND)):
            x, y = points[chosen].T
            panel.scatter(x, y, s=11, color=color, edgecolors="white", linewidths=0.5)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
        _above(panel, surface.name)
    for column, curve in enumerate(curves, len(surfaces)):
        _lines(sheet.panel(0, column, inset=0.36), curve)
    return sheet.figure


def draw_row(
    title: str, subtitle: str, columns: Sequence[Step], names: tuple[str, str], *, arrows: bool
) -> Figure:
    """The mix while one number grows; under it the mask, or where its blocks came from."""
    sheet = _Sheet(title, subtitle, len(columns), [_Row(head=0.3), _Row(foot=0.52)])
    for column, step in enumerate(columns):
        panel = sheet.panel(0, column)
        _show(panel, step.mix.pixels)
        _above(panel, step.setting, bold=step.chosen)
        panel = sheet.panel(1, column)
        if arrows:
            _show(panel, 0.35 * step.mix.pixels + 0.65)
            for image in range(2):
                _arrows(panel, step.mix, image)
        else:
            _show_mask(panel, step.mix.mask)
        _below(panel, step.outcome, QUIET)
    _key(sheet, names, None if arrows else "both")
    return sheet.figure


def moved_blocks(mix: Mix) -> str:
    """How many of the blocks that are seen were moved, in words."""
    count = len(moves(mix, 0)) + len(moves(mix, 1))
    return f"{count or 'no'} block{'s'[: count != 1]} moved"


def moves(mix: Mix, image: int) -> list[tuple[int, int]]:
    """Where from and where to, for the moved blocks of an image that are seen in the mix."""
    if mix.sources is None:
        return []
    source = mix.sources[image]
    share = mix.mask if image == 0 else 1 - mix.mask
    seen = np.flatnonzero(enlarged(share, source.shape))
    return [(int(source.flat[to]), int(to)) for to in seen if source.flat[to] != to]


def arrows(mix: Mix, image: int) -> list[tuple[int, int]]:
    """The moves that are drawn: all, or ``MOST_ARROWS`` spread evenly over the picture."""
    every = moves(mix, image)
    numbers = np.linspace(0, len(every) - 1, MOST_ARROWS).round().astype(int)
    return every if len(every) <= MOST_ARROWS else [every[number] for number in numbers]


class _Row(NamedTuple):
    """Heights around and of the panels of a row; square panels where ``body`` is None."""

    head: float = 0.0
    foot: float = 0.0
    body: float | None = None


class _Sheet:
    """A titled figure with rows of equally wide panels."""

    def __init__(self, title: str, subtitle: str, columns: int, rows: Sequence[_Row]) -> None:
        self.side = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns
        self.rows = rows
        self.height = TITLE + MARGIN + sum(map(self._height, rows)) + GAP * (len(rows) - 1)
        self.figure = Figure(figsize=(WIDTH, self.height), facecolor="white")
        self._panels: dict[tuple[int, int], Axes] = {}
        self._line(title, 0.2, size=14, color=INK, weight="bold")
        self._line(subtitle, 0.48, size=9.5, color=QUIET)

    def panel(self, row: int, column: int, inset: float = 0.0) -> Axes:
        """The panel there, made when it is first asked for; ``inset`` is kept free at its left."""
        if (row, column) not in self._panels:
            above = sum(self._height(other) + GAP for other in self.rows[:row])
            body = self.side if (given := self.rows[row].body) is None else given
            left = MARGIN + column * (self.side + GAP) + inset
            width = self.side - inset
            bottom = self.height - TITLE - above - self.rows[row].head - body
            box = (left / WIDTH, bottom / self.height, width / WIDTH, body / self.height)
            self._panels[row, column] = self.figure.add_axes(box)
        return self._panels[row, column]

    def _height(self, row: _Row) -> float:
        return row.head + (self.side if row.body is None else row.body) + row.foot

    def _line(self, text: str, down: float, **style: Any) -> None:
        y = 1 - down / self.height
        self.figure.text(MARGIN / WIDTH, y, text, va="center_baseline", **style)


def _show(panel: Axes, pixels: Array, frame: int | None = None) -> None:
    panel.imshow(pixels.clip(0, 1), interpolation="antialiased")
    panel.set(xticks=[], yticks=[])
    for spine in panel.spines.values():
        spine.set(visible=frame is not None, linewidth=2.5, color=(FIRST, SECOND)[frame or 0])


def _show_mask(panel: Axes, mask: Array) -> None:
    height, width = mask.shape
    panel.imshow(mask, cmap=MASK, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    panel.set(xticks=[], yticks=[])
    lines: dict[str, Any] = {"color": "white", "linewidth": 0.5, "alpha": 0.6}
    panel.hlines(np.arange(1, height) - 0.5, -0.5, width - 0.5, **lines)
    panel.vlines(np.arange(1, width) - 0.5, -0.5, height - 0.5, **lines)
    panel.spines[:].set_visible(False)


def _above(panel: Axes, text: str, bold: bool = True) -> None:
    weight = "bold" if bold else "normal"
    panel.set_title(text, loc="left", fontsize=10.5, pad=5, color=INK, fontweight=weight)


def _below(panel: Axes, text: str, color: str = INK, right: bool = False) -> None:
    note = panel.annotate(
        text,
        (1.0 if right else 0.0, 0.0),
        (0, -6),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        ha="right" if right else "left",
        fontsize=9.5,
        color=color,
    )
    _fit(note, panel)


def _below_mask(panel: Axes) -> None:
    """What the colours of a mask mean."""
    _legend(panel, ((FIRST, "z = 1"), (BOTH, "between"), (SECOND, "0")), (0, 0))


def _key(sheet: _Sheet, names: tuple[str, str], both: str | None) -> None:
    """At the foot of a row: whose the colours are, and what else it takes for granted."""
    colors = ((FIRST, names[0]), (BOTH, both), (SECOND, names[1]))
    shown = [(color, text if len(text) < 20 else f"{text[:18]}…") for color, text in colors if text]
    _legend(sheet.figure, shown, (MARGIN / WIDTH, 0.42 / sheet.height))
    ratio, most = "ratio: the first's share of the label", f"at most {MOST_ARROWS} arrows each"
    about = f"{ratio if both else most}; bold: as in the other pictures"
    x, y = 1 - MARGIN / WIDTH, 0.3 / sheet.height
    sheet.figure.text(x, y, about, ha="right", va="center_baseline", fontsize=9.5, color=QUIET)


def _legend(
    parent: Axes | Figure, colors: Sequence[tuple[str, str]], corner: tuple[float, float]
) -> None:
    """Colours and what they mean, side by side from the upper left corner on."""
    handles = [Patch(facecolor=color, edgecolor=QUIET, linewidth=0.5) for color, _ in colors]
    parent.legend(
        handles, [text for _, text in colors], ncols=3, loc="upper left", bbox_to_anchor=corner,
        fontsize=9.5, frameon=False, borderaxespad=0.35, borderpad=0, handlelength=0.8,
        handleheight=0.8, handletextpad=0.35, columnspacing=0.9,
    )  # fmt: skip


def _scale(panel: Axes, down: float) -> None:
    """The colours of ``overlay`` over medium grey, so far under a panel."""
    height = panel.get_window_extent().height / panel.figure.dpi
    bar = panel.inset_axes((0.4, -down / height, 0.38, 0.07 / height))
    strength = np.linspace(0, 1, 128)[None].repeat(2, 0)
    bar.imshow(overlay(np.full((2, 128, 3), 0.5), strength), aspect="auto")
    bar.set(xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    for x, text, side in ((0, "least salient", "left"), (0.8, "most", "left")):
        panel.text(
            x, (0.035 - down) / height, text, transform=panel.transAxes, ha=side,
            va="center_baseline", fontsize=8.5, color=QUIET,
        )  # fmt: skip


def _bars(panel: Axes, guesses: Sequence[Guess]) -> None:
    """Name, percentage and a thin bar under them, line by line."""
    panel.set(xlim=(0, 1), ylim=(len(guesses), 0))
    panel.axis("off")
    for line, guess in enumerate(guesses):
        color = QUIET if guess.image is None else (FIRST, SECOND)[guess.image]
        style: dict[str, Any] = {"va": "baseline", "fontsize": 9.5, "color": INK}
        percent = panel.text(1, line + 0.55, f"{guess.probability:.0%}", ha="right", **style)
        _fit(panel.text(0, line + 0.55, guess.name, **style), panel, beside=percent)
        panel.add_patch(Rectangle((0, line + 0.7), 1, 0.12, color=FAINT, linewidth=0))
        bar = Rectangle((0, line + 0.7), guess.probability, 0.12, color=color, linewidth=0)
        panel.add_patch(bar)


def _fit(text: Text, panel: Axes, beside: Text | None = None) -> None:
    """Shorten a text that is wider than its panel, or would run into the one beside it."""
    room = panel.get_window_extent().width
    if beside is not None:
        room -= beside.get_window_extent().width + 0.08 * panel.figure.dpi
    whole = text.get_text()
    for length in range(len(whole) - 1, 0, -1):
        if text.get_window_extent().width <= room:
            return
        text.set_text(f"{whole[:length].rstrip()}…")


def _lines(panel: Axes, curve: Curve) -> None:
    """Values over lambda from 0 up, each line with its name where it is highest."""
    style: dict[str, Any] = {"fontsize": 9.5}
    top = max(float(values.max()) for _, values in curve.lines)
    for (name, values), color in zip(curve.lines, (INK, FIRST), strict=True):
        panel.plot(curve.ratios, values, color=color, linewidth=1.8)
        place = len(values) // 2
        panel.annotate(
            name, (curve.ratios[place], values[place]), (0, 5), textcoords="offset points",
            ha="center", color=color, **style,
        )  # fmt: skip
    limit = 1.25 * max(top, 1e-6)
    heights = [tick for tick in MaxNLocator(4).tick_values(0, limit) if tick <= limit]
    panel.set(xlim=(0, 1), ylim=(0, limit), xticks=[0, 0.5, 1], yticks=heights)
    panel.set_xticklabels(["0", "λ = 0.5", "1"])
    if curve.percent:
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.tick_params(labelsize=8.5, labelcolor=QUIET, color=QUIET, length=2.5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(QUIET)
    _above(panel, curve.name)


def _arrows(panel: Axes, mix: Mix, image: int) -> None:
    """From where a block stood to where it is now."""
    if mix.sources is None:
        return
    rows, columns = mix.sources[image].shape
    height, width = mix.pixels.shape[:2]
    points = 72 * panel.get_window_extent().width / panel.figure.dpi
    size = min(7, max(3, points / columns))  # an arrow's head is no larger than a block

    def centre(block: int) -> tuple[float, float]:
        row, column = divmod(block, columns)
        return (column + 0.5) * width / columns - 0.5, (row + 0.5) * height / rows - 0.5

    for source, target in arrows(mix, image):
        arrow = FancyArrowPatch(
            centre(source),
            centre(target),
            arrowstyle="-|>",
            mutation_scale=size,
            linewidth=0.19 * size,
            shrinkA=0,
            shrinkB=0,
            color=(FIRST, SECOND)[image],
            path_effects=[withStroke(linewidth=0.4 * size, foreground="white")],
        )
        panel.add_patch(arrow)


def overlay(pixels: Array, saliency: Array) -> Array:
    """Heat over a dim grey photograph: the more salient, the more of it."""
    grey = 0.6 * (pixels @ np.array([0.299, 0.587, 0.114]))[..., None]
    low, high = np.quantile(saliency, [0, 0.995])
    strength = ((saliency - low) / max(high - low, 1e-12)).clip(0, 1)
    weight = 0.95 * strength[..., None]
    mixed: Array = (1 - weight) * grey + weight * HEAT(0.35 + 0.65 * strength)[..., :3]
    return mixed


def _blurred(saliency: Array) -> Array:
    """Gaussian, of 1/75 of the side: gradients are noisy from pixel to pixel. For the eye only."""
    blurred: Array = gaussian(saliency, len(saliency) / 75)  # type: ignore[no-untyped-call]
    return blurred


def enlarged(blocks: Array, shape: tuple[int, ...]) -> Array:
    """Blocks [h, w, ...] enlarged to [Y, X, ...], multiples of h and w, by repeating each block."""
    return blocks.repeat(shape[0] // blocks.shape[0], 0).repeat(shape[1] // blocks.shape[1], 1)
