"""MixUp and CutMix beside kornia's, torchvision's and timm's.

What a call costs before it does anything is in ``bench_calls``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

import puzzlemix

from . import peers
from .cases import BASIC, WAYS, compared, named, one_at_a_time

CLASSES = 3


class Mixer(NamedTuple):
    """A batch of images and labels, mixed."""

    mixer: str
    side: int = 224
    batch: int = 32

    @property
    def work(self) -> str:
        return named(self, f"{self.mixer} {self.side}x{self.side}", batch="batch {}")


@compared(
    [
        case
        for mixer in ("MixUp", "CutMix")
        for case in one_at_a_time(Mixer(mixer), side=(32,), batch=(1, 256))
        if case.batch * case.side**2 <= 32 * 224**2
    ],
    lambda case: (*BASIC, peers.WRITTEN_OUT, "kornia", "torchvision", "timm"),
)
def test_mixer(timed, case, by):
    """Each class has a plane of its own, so the means of the planes are the labels."""
    count = 2 * -(-timed.batch // 2)  # timm pairs the first with the last, and so on
    labels = torch.arange(count) % CLASSES
    planes = torch.eye(CLASSES)[labels][:, :, None, None]
    images = planes.repeat(1, 1, case.side, case.side)
    if by in WAYS:
        mixer = getattr(puzzlemix, case.mixer)(num_classes=CLASSES)
        images, labels = images.to(WAYS[by].device), labels.to(WAYS[by].device)
        mixed, weights = timed(lambda: mixer(images, labels))
    else:
        mix, weights_of = peers.MIXERS[by](case.mixer, CLASSES)
        mixed, told = timed(lambda: mix(images, labels))
        weights = weights_of(told)
    torch.testing.assert_close(mixed.mean((2, 3)), weights, rtol=0, atol=1e-4)
