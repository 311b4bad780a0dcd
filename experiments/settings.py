"""Which beta, gamma, eta and xi for which images: `python -m experiments.settings`.

Mixes the same pairs with the same ratios under a few settings and measures what they decide, on
scikit-image's photographs and on discs before a smooth ground; with `--data FOLDER` on CIFAR-10 and
Tiny-ImageNet instead of small photographs. Writes results/settings.json and the tables of
docs/settings.md.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data as pictures
from torch import Tensor
from tqdm import tqdm

from puzzlemix import gradient_saliency, mix, puzzle_plan, spectral_saliency
from puzzlemix.demo.network import Network

from .examples import data, loop

RESULT = Path(__file__).parent / "results" / "settings.json"
PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
DEMO = {"eta": 0.05, "xi": 0.05}
CHANGES = {"beta": (0.3, 4.8), "gamma": (0, 4), "eta": (0,), "xi": (0, 0.2)}
SETTINGS: dict[str, dict[str, float]] = {
    "published": {},
    "eta = 0.05": {"eta": 0.05},
    "xi = 0.05": {"xi": 0.05},
    "eta = xi = 0.05": DEMO,
    **{f"… and {key} = {x}": DEMO | {key: x} for key, values in CHANGES.items() for x in values},
}
"""What differs from the published beta 1.2, gamma 0.5, eta 0.2 and xi 0.8."""
GRIDS = (4, 8, 16)
IMAGE = ("pixels", "pictures", "saliency", "grid", "top quarter")
Row = dict[str, Any]


def measured(images: Tensor, saliency: Tensor, grid: int, pairs: int) -> Iterator[Row]:
    """What each setting decides: means over pairs, with ratios drawn from Beta(1, 1)."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(len(images), (pairs,), generator=rng)
    second = (first + torch.randint(1, len(images), (pairs,), generator=rng)) % len(images)
    given = images[first], images, saliency[first], saliency, torch.rand(pairs, generator=rng)
    blocks = F.adaptive_avg_pool2d(saliency, grid)
    blocks = (blocks / blocks.sum((1, 2), keepdim=True))[:, None]
    home = torch.arange(grid * grid).view(grid, grid)
    for name, options in SETTINGS.items():
        plan = puzzle_plan(*given, partner=second, grid=grid, **options)
        sources = plan.source1, plan.source2
        shown = torch.stack((plan.mask > 0, plan.mask < 1))
        kept = mix(blocks[first], blocks, plan.mask, *sources, partner=second).sum((1, 2, 3)) / 2
        shares = plan.ratio, 1 - plan.ratio
        seams = [(plan.mask.diff(dim=dim) != 0).flatten(1) for dim in (1, 2)]
        found = {
            "top quarter": blocks.flatten(1).topk(grid * grid // 4).values.sum(1).mean(),
            "moved": (shown & (torch.stack(sources) != home)).sum() / shown.sum(),
            "kept": kept.mean() - 0.5,
            "entropy": sum(torch.special.entr(x).mean() for x in shares) / np.log(2),
            "blended": shown.all(0).float().mean(),
            "seams": torch.cat(seams, 1).float().mean(),
        }
        yield {"setting": name} | {key: round(float(value), 4) for key, value in found.items()}


def cases(folder: Path | None) -> Iterator[tuple[int, str, str, Tensor, Tensor]]:
    """Pixels a side, pictures, kind of saliency; images [N, 3, Y, X], saliency [N, Y, X]."""
    network = Network()
    for side in (32, 64, 224):
        yield side, "discs", "the disc", *discs(side, 128)
        name, images = photographs(side) if folder is None else stored(side, folder)
        parts = [(some, network.probabilities(some).argmax(1)) for some in images.split(32)]
        gradient = torch.cat([gradient_saliency(network, *part) for part in parts])
        yield side, name, "gradient", images, gradient
        yield side, name, "spectral", images, spectral_saliency(images)


def discs(side: int, count: int) -> tuple[Tensor, Tensor]:
    """A disc before a smooth ground, and saliency that lies nearly all on it."""
    rng = torch.Generator().manual_seed(0)
    ground = torch.rand(count, 3, 4, 4, generator=rng)
    images = F.interpolate(ground, (side, side), mode="bilinear")
    radius, y, x = torch.rand(3, count, 1, 1, generator=rng)
    place = (torch.arange(side) + 0.5) / side
    away = ((place[:, None] - 0.25 - y / 2) ** 2 + (place - 0.25 - x / 2) ** 2).sqrt()
    disc = (away < 0.12 + 0.13 * radius).float()
    return images + (1 - 2 * images) * 0.8 * disc[:, None], disc + 0.02


def photographs(side: int) -> tuple[str, Tensor]:
    """Nine overlapping squares of each of five, two thirds of its height wide."""
    squares = []
    for name in ("astronaut", "camera", "cat", "coffee", "rocket"):
        pixels = torch.from_numpy(np.atleast_3d(getattr(pictures, name)()).copy()).float() / 255
        planes = pixels.permute(2, 0, 1).expand(3, -1, -1)[None]
        short = min(planes.shape[2:])
        planes = planes[:, :, :short, (planes.shape[3] - short) // 2 :][..., :short]
        small = F.interpolate(planes, (3 * side // 2,) * 2, mode="bilinear", antialias=True)[0]
        cut = small.unfold(1, side, side // 4).unfold(2, side, side // 4)
        squares.append(cut.flatten(1, 2).transpose(0, 1))
    return "photographs", torch.cat(squares)


def stored(side: int, folder: Path) -> tuple[str, Tensor]:
    """128 test images of a data set of that size, where there is one."""
    if side == 32:
        name, (_, _, images, labels) = "CIFAR-10", data.cifar10(folder)
    elif side == 64:
        boxed = data.tiny_imagenet(folder, "val", data.tiny_imagenet_names(folder))
        name, images, labels = "Tiny-ImageNet", boxed.images, boxed.labels
    else:
        return photographs(side)
    return name, loop.floating(data.shuffled_part(images, labels, 128, seed=0)[0])


def page(text: str, rows: Sequence[Row]) -> str:
    """The page with its tables made anew: by images, and one setting at a time."""
    what, means = ["moved", "kept", "entropy"], ["moved", "entropy", "blended", "seams"]
    under = {name: [row for row in rows if row["setting"] == name] for name in SETTINGS}
    images = [[*IMAGE, *(f"published: {key}" for key in what), *(f"0.05: {key}" for key in what)]]
    for one, other in zip(under["published"], under["eta = xi = 0.05"], strict=True):
        cells = [told(key, one[key]) for key in (*IMAGE, *what)]
        images.append(cells + [told(key, other[key]) for key in what])
    settings = [["setting", *(f"kept, grid {grid}" for grid in GRIDS), *means]]
    for name, every in under.items():
        some = [row for row in every if row["saliency"] == "gradient"]
        kept = [mean(row["kept"] for row in some if row["grid"] == grid) for grid in GRIDS]
        cells = [told(key, mean(row[key] for row in some)) for key in means]
        settings.append([name, *(told("kept", value) for value in kept), *cells])
    for name, (head, *body) in {"images": images, "settings": settings}.items():
        ruler = ["---" if key in ("pictures", "saliency", "setting") else "---:" for key in head]
        table = "\n".join(f"| {' | '.join(line)} |" for line in (head, ruler, *body))
        text = re.sub(
            f"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\1\n{table}\n\n\2", text, flags=re.S
        )
    return text


def told(key: str, value: Any) -> str:
    """Entropy in bits, all other measures in percent."""
    if isinstance(value, float):
        return f"{value:.2f}" if key == "entropy" else f"{value:{'+' * (key == 'kept')}.1%}"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.settings")
    parser.add_argument(
        "--data", type=Path, help="a folder with cifar10-test.npz, tiny-imagenet-val.npz"
    )
    parser.add_argument("--pairs", type=int, default=1024, help="of each kind of pictures")
    given = parser.parse_args()
    rows = [
        {"pixels": side, "pictures": name, "saliency": kind, "grid": grid, **found}
        for side, name, kind, *maps in tqdm(cases(given.data), total=9)
        for grid in GRIDS
        for found in measured(*maps, grid, given.pairs)
    ]
    lines = ",\n".join(map(json.dumps, rows))
    RESULT.write_text(f"[\n{lines}\n]\n")
    PAGE.write_text(page(PAGE.read_text(), rows))


if __name__ == "__main__":
    main()
