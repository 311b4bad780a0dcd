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
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from skimage.filters import gaussian

__all__ = [
    "Guess",
    "Mix",
    "Photograph",
    "Step",
    "draw_inputs",
    "draw_methods",
    "draw_row",
    "draw_story",
    "moved_blocks",
    "moves",
]

Array = NDArray[np.floating]

WIDTH = 9.0  # inches, like all lengths of the layout
MARGIN = 0.22
GAP = 0.12
TITLE = 0.74

INK, QUIET, FAINT = "#1f2328", "#656d76", "#eaeef2"
FIRST, BOTH, SECOND = "#d9622b", "#f4ead9", "#1f7a94"
MASK = LinearSegmentedColormap.from_list("mask", [SECOND, BOTH, FIRST])
HEAT = colormaps["inferno"]


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
    guesses: Sequence[Guess]


class Step(NamedTuple):
    """A column of a picture in which one number grows."""

    setting: str
    outcome: str
    chosen: bool
    """Whether the other pictures have this setting too: it is set in bold."""
    mix: Mix


def draw_inputs(first: Photograph, second: Photograph, subtitle: str) -> Figure:
    """Both photographs, each with its saliency laid over it."""
    sheet = _Sheet("What matters in each image", subtitle, 4, [_Row(foot=0.24)])
    for number, photograph in enumerate((first, second)):
        _show(sheet.panel(0, 2 * number), photograph.pixels, frame=number)
        panel = sheet.panel(0, 2 * number + 1)
        _show(panel, _overlay(photograph.pixels, _blurred(photograph.saliency)), frame=number)
        best = photograph.guesses[0]
        _below(sheet.panel(0, 2 * number), photograph.name)
        _below(panel, f"saliency for “{best.name}”", QUIET)
    return sheet.figure


def draw_story(first: Photograph, second: Photograph, mix: Mix, subtitle: str) -> Figure:
    """Inputs, saliency, mask, transport and mix, in the order in which they are found."""
    sheet = _Sheet("Puzzle Mix, step by step", subtitle, 4, [_Row(0.3, 0.06), _Row(0.3, 0.24)])
    for number, photograph in enumerate((first, second)):
        _show(sheet.panel(0, number), photograph.pixels, frame=number)
        panel = sheet.panel(0, 2 + number)
        heat = _enlarged(photograph.blocks, photograph.pixels.shape)
        _show(panel, _overlay(photograph.pixels, heat), frame=number)
    mask, left, right, last = (sheet.panel(1, column) for column in range(4))
    _show_mask(mask, mix.mask)
    _below(mask, "z = 1", FIRST)
    _below(mask, "z = 0", SECOND, right=True)
    for number, panel in enumerate((left, right)):
        share = mix.mask if number == 0 else 1 - mix.mask
        weight = 0.1 + 0.9 * _enlarged(share, mix.pixels.shape)[..., None]
        _show(panel, weight * mix.parts[number] + (1 - weight), frame=number)
        _arrows(panel, mix, number)
    _show(last, mix.pixels)
    _below(left, moved_blocks(mix))
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


def draw_methods(mixes: Sequence[Mix], subtitle: str) -> Figure:
    """Mixes side by side, with the network's guesses under each."""
    guesses = len(mixes[0].guesses)
    rows = [_Row(head=0.3, foot=0.28), _Row(body=0.29 * guesses)]
    sheet = _Sheet("One pair, three ways to mix it", subtitle, len(mixes), rows)
    for column, mix in enumerate(mixes):
        panel = sheet.panel(0, column)
        _show(panel, mix.pixels)
        _above(panel, mix.name)
        _below(panel, mix.how, QUIET)
        _bars(sheet.panel(1, column), mix.guesses)
    return sheet.figure


def draw_row(title: str, subtitle: str, columns: Sequence[Step], *, masks: bool) -> Figure:
    """The mix, and its mask if asked for, while one number grows."""
    rows = [_Row(head=0.3), _Row(foot=0.24)] if masks else [_Row(head=0.3, foot=0.24)]
    sheet = _Sheet(title, subtitle, len(columns), rows)
    for column, step in enumerate(columns):
        panel = sheet.panel(0, column)
        _show(panel, step.mix.pixels)
        _above(panel, step.setting, bold=step.chosen)
        if masks:
            panel = sheet.panel(1, column)
            _show_mask(panel, step.mix.mask)
        _below(panel, step.outcome, QUIET)
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
    seen = np.flatnonzero(_enlarged(share, source.shape))
    return [(int(source.flat[to]), int(to)) for to in seen if source.flat[to] != to]


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

    def panel(self, row: int, column: int) -> Axes:
        """The panel there, made when it is first asked for."""
        if (row, column) not in self._panels:
            above = sum(self._height(other) + GAP for other in self.rows[:row])
            body = self.side if (given := self.rows[row].body) is None else given
            left = MARGIN + column * (self.side + GAP)
            bottom = self.height - TITLE - above - self.rows[row].head - body
            box = (left / WIDTH, bottom / self.height, self.side / WIDTH, body / self.height)
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
    panel.annotate(
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


def _bars(panel: Axes, guesses: Sequence[Guess]) -> None:
    """Name, percentage and a thin bar under them, line by line."""
    panel.set(xlim=(0, 1), ylim=(len(guesses), 0))
    panel.axis("off")
    for line, guess in enumerate(guesses):
        color = QUIET if guess.image is None else (FIRST, SECOND)[guess.image]
        style: dict[str, Any] = {"va": "baseline", "fontsize": 9.5, "color": INK}
        panel.text(0, line + 0.55, guess.name, **style)
        panel.text(1, line + 0.55, f"{guess.probability:.0%}", ha="right", **style)
        panel.add_patch(Rectangle((0, line + 0.7), 1, 0.12, color=FAINT, linewidth=0))
        bar = Rectangle((0, line + 0.7), guess.probability, 0.12, color=color, linewidth=0)
        panel.add_patch(bar)


def _arrows(panel: Axes, mix: Mix, image: int) -> None:
    """From where a block stood to where it is now."""
    if mix.sources is None:
        return
    rows, columns = mix.sources[image].shape
    height, width = mix.pixels.shape[:2]

    def centre(block: int) -> tuple[float, float]:
        row, column = divmod(block, columns)
        return (column + 0.5) * width / columns - 0.5, (row + 0.5) * height / rows - 0.5

    for source, target in moves(mix, image):
        arrow = FancyArrowPatch(
            centre(source),
            centre(target),
            arrowstyle="-|>",
            mutation_scale=7,
            linewidth=1.3,
            shrinkA=0,
            shrinkB=0,
            color=(FIRST, SECOND)[image],
            path_effects=[withStroke(linewidth=2.8, foreground="white")],
        )
        panel.add_patch(arrow)


def _overlay(pixels: Array, saliency: Array) -> Array:
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


def _enlarged(blocks: Array, shape: tuple[int, ...]) -> Array:
    """Each block repeated to the shape [Y, X, ...], which it divides."""
    return blocks.repeat(shape[0] // blocks.shape[0], 0).repeat(shape[1] // blocks.shape[1], 1)
