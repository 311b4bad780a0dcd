"""How much: data, networks and training of each size of the experiments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .methods import Method


@dataclass(frozen=True)
class Recipe:
    """How every method is trained on a kind of data."""

    net: str
    width: int
    stride: int
    train: int | None
    """Images, all where None; ``test`` the same."""
    test: int | None
    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    schedule: str = "cosine"
    amp: bool = False
    crop_and_flip: bool = False
    """Beside the method. Within few epochs a small network doesn't memorise what is cropped and
    flipped, and that is what mixing is against; so this is for long training."""

    def epochs_of(self, method: Method) -> int:
        """Of a method that may take a share of them."""
        return max(round(self.epochs * method.epochs), 1)


@dataclass(frozen=True)
class Size:
    """A whole set of experiments."""

    cifar: Recipe
    corruption: Recipe
    tiny: Recipe
    speech: Recipe
    classes: int
    """Of Tiny-ImageNet's 200."""
    seeds: int
    attacked: int
    """Test images that are attacked, of each network."""
    outside: int
    """Images of each kind of out-of-distribution data, and as many test images."""
    toy_steps: int
    pairs: int
    """Test images that are mixed by each choice."""
    timed: int
    """Rounds in which training steps are timed."""
    deterministic: bool = True
    """Whether a GPU's algorithms are those that give the same bits each time, or the fastest."""
    save_every: int = 1
    """Epochs; ``test_every`` the same."""
    test_every: int = 1


SMOKE = Recipe("small", 4, 2, 96, 48, epochs=2, batch_size=32)
SMALL = Recipe("small", 32, 2, 5000, 4000, epochs=30)
LARGE = Recipe("preactresnet18", 64, 1, None, None, epochs=200, crop_and_flip=True)
_HABITS: dict[str, Any] = {"schedule": "warmup", "amp": True, "crop_and_flip": True}
SHORT = replace(LARGE, train=20000, epochs=30, batch_size=512, lr=0.4, **_HABITS)
"""For minutes: a large batch keeps a GPU busy, and the learning rate grows with it (Goyal et al.,
2017); few images, so that a network sees each often."""
SPEECH = Recipe("lenet", 8, 1, None, None, epochs=15, batch_size=64, lr=0.05)

_FULL = Size(
    cifar=LARGE,
    corruption=LARGE,
    tiny=replace(LARGE, stride=2),
    speech=replace(SPEECH, width=64, epochs=100),
    classes=200,
    seeds=3,
    attacked=10000,
    outside=10000,
    toy_steps=1000,
    pairs=5000,
    timed=50,
)

_GPU = replace(
    _FULL,
    cifar=SHORT,
    tiny=replace(SHORT, stride=2),
    seeds=10,
    timed=5,
    deterministic=False,
    save_every=10,
    test_every=5,
)

SIZES = {
    "smoke": Size(
        cifar=SMOKE,
        corruption=SMOKE,
        tiny=SMOKE,
        speech=replace(SMOKE, width=2),
        classes=10,
        seeds=1,
        attacked=32,
        outside=48,
        toy_steps=50,
        pairs=32,
        timed=1,
    ),
    "miniature": Size(
        cifar=SMALL,
        corruption=replace(SMALL, train=2500, test=2000),
        tiny=Recipe("small", 16, 2, 3000, None, epochs=25),
        speech=SPEECH,
        classes=20,
        seeds=3,
        attacked=500,
        outside=2000,
        toy_steps=1000,
        pairs=512,
        timed=25,
    ),
    "full": _FULL,
    "gpu": _GPU,
    "gpu-smoke": replace(
        _GPU,
        cifar=replace(SMOKE, **_HABITS),
        tiny=replace(SMOKE, **_HABITS),
        classes=10,
        seeds=1,
        timed=1,
    ),
}
