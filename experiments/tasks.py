"""The data that several tables train on, from ``--data`` or out of thin air."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .examples import data, loop, nets
from .lab import Lab, Task
from .methods import Method
from .sizes import Recipe, Size

IN_CIFAR = (
    "bullfrog", "tailed frog", "goose", "black stork", "king penguin", "albatross", "Chihuahua",
    "Yorkshire terrier", "golden retriever", "Labrador retriever", "German shepherd",
    "standard poodle", "tabby", "Persian cat", "Egyptian cat", "cougar", "lion", "gazelle",
    "beach wagon", "convertible", "limousine", "sports car", "police van", "moving van",
    "school bus", "trolleybus", "go-kart", "tractor", "lifeboat", "gondola",
)  # fmt: skip
"""Tiny-ImageNet's classes that CIFAR-10 has too, or nearly: its frogs, birds, dogs, cats (the wild
ones as well), a kind of deer, what drives on roads, boats. It has no horse and no plane."""


class Scenes(NamedTuple):
    """Tiny-ImageNet, or what stands in for it."""

    task: Task
    labels: Tensor
    """[N], of the test images."""
    boxes: Tensor
    """[N, 4], of the test images: x0, y0, x1, y1, the last pixels included."""
    names: list[str]


def cifar(lab: Lab, recipe: Recipe) -> Task:
    """CIFAR-10; without data gratings."""
    whole = cifar_data(lab.data, recipe.train, recipe.test)
    return Task("cifar10", recipe, lambda seed: whole, partial(network, recipe))


def tiny_imagenet(lab: Lab) -> Scenes:
    """Some classes of Tiny-ImageNet, spread evenly over all; without data gratings in boxes."""
    whole, boxes, names = _tiny(lab.data, lab.size)
    recipe = lab.size.tiny
    task = Task("tiny-imagenet", recipe, lambda seed: whole, partial(network, recipe))
    return Scenes(task, whole.test_labels, boxes, names)


def network(recipe: Recipe, num_classes: int, method: Method) -> nn.Module:
    """A network for images."""
    return nets.NETS[recipe.net](
        num_classes, recipe.width, stride=recipe.stride, dropout=method.dropout
    )


@lru_cache(2)
def cifar_data(folder: Path | None, train: int | None, test: int | None) -> loop.Data:
    """So many images, all where None; always the same."""
    if folder is None:
        parts = data.synthetic_images(train or 5000, test or 1000, seed=0)
        return loop.Data(*parts, num_classes=10)
    images, labels, others, other_labels = data.cifar10(folder)
    return loop.Data(
        *data.shuffled_part(images, labels, train or len(images), seed=0),
        *data.shuffled_part(others, other_labels, test or len(others), seed=0),
        num_classes=10,
    )


@lru_cache(1)
def outside(folder: Path | None, count: int) -> dict[str, Tensor]:
    """Images [N, 3, 32, 32] in [0, 1] of what is not in CIFAR-10."""
    rng = torch.Generator().manual_seed(0)
    if folder is None:
        images = _scenes(count, 0, 10, seed=1)[0].images
    else:
        names = [name for name in data.tiny_imagenet_names(folder) if name not in IN_CIFAR]
        boxed = data.tiny_imagenet(folder, "val", names)
        images, _ = data.shuffled_part(boxed.images, boxed.labels, count, seed=0)
    shape = len(images), 3, 32, 32
    return {
        "Tiny-ImageNet": F.avg_pool2d(loop.floating(images), 2),
        "uniform noise": torch.rand(shape, generator=rng),
        "Gaussian noise": (0.5 + torch.randn(shape, generator=rng)).clamp(0, 1),
    }


@lru_cache(1)
def _tiny(folder: Path | None, size: Size) -> tuple[loop.Data, Tensor, list[str]]:
    recipe, classes = size.tiny, size.classes
    if folder is None:
        train, test = _scenes(recipe.train or 5000, recipe.test or 1000, classes, seed=0)
        names = [f"grating {label}" for label in range(classes)]
    else:
        every = data.tiny_imagenet_names(folder)
        names = every[:: len(every) // classes][:classes]
        train = data.tiny_imagenet(folder, "train", names)
        test = data.tiny_imagenet(folder, "val", names)
    images, labels = data.shuffled_part(
        train.images, train.labels, recipe.train or len(train.images), seed=0
    )
    whole = loop.Data(images, labels, test.images, test.labels, num_classes=classes)
    return whole, test.boxes, names


def _scenes(count: int, test: int, classes: int, seed: int) -> tuple[data.Boxed, data.Boxed]:
    """Gratings in a box each, 64 x 64, on noise."""
    rng = torch.Generator().manual_seed(seed)
    gratings, labels, _, _ = data.synthetic_images(count + test, 0, seed, classes)
    images = torch.randint(96, 160, (len(labels), 3, 64, 64), generator=rng).to(torch.uint8)
    corner = torch.randint(0, 33, (len(labels), 2), generator=rng)
    for image, grating, (x, y) in zip(images, gratings, corner.tolist(), strict=True):
        image[:, y : y + 32, x : x + 32] = grating
    every = data.Boxed(images, labels, torch.cat((corner, corner + 31), 1))
    return data.Boxed(*(p[:count] for p in every)), data.Boxed(*(p[count:] for p in every))
