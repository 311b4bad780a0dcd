"""Our mixers beside those of kornia, torchvision and timm: one formula, one distribution.

Their wheels come for one build of PyTorch; where one can't be imported, its tests are skipped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from bench.peers import load
from puzzlemix.mixers import CutMix, Mixer, MixUp
from puzzlemix.plan import Plan

CLASSES = 4
COUNT = 1500
"""The number of draws compared; a test fails by chance with probability ``LEVEL``."""
LEVEL = 1e-4


class Mixed(NamedTuple):
    """A peer's mix of a batch, in the terms of this library."""

    images: Tensor
    labels: Tensor
    """Weights [N, K]."""
    index: Tensor
    """Each sample's partner."""


class Kornia:
    """Pairs by a permutation; boxes lie within the image."""

    clips = False

    def __init__(self) -> None:
        self.module = load("kornia.augmentation")

    def mix(self, kind: type[Mixer], images: Tensor, labels: Tensor) -> Mixed:
        keys = ["input", "class"]
        if kind is MixUp:
            augment = self.module.RandomMixUpV2(data_keys=keys)
            mixed, told = augment(images, labels)
            index = augment._params["mixup_pairs"]
            share = 1 - told[:, 2]  # the peer reports the partner's share
        else:
            augment = self.module.RandomCutMixV2(data_keys=keys, use_correct_lambda=True)
            mixed, (told,) = augment(images, labels)
            index = augment._params["mix_pairs"][0]
            share = told[:, 2]
        own, other = (torch.eye(CLASSES)[told[:, k].long()] for k in (0, 1))
        return Mixed(mixed, share[:, None] * own + (1 - share[:, None]) * other, index)

    def shares(self, kind: type[Mixer], alpha: float, side: int) -> np.ndarray:
        """The shares that many samples keep of their own image."""
        shape = torch.Size((COUNT, 1, side, side))
        if kind is MixUp:
            parameters = self.module.RandomMixUpV2().forward_parameters(shape)
            return 1 - parameters["mixup_lambdas"].numpy()
        augment = self.module.RandomCutMixV2(beta=alpha, use_correct_lambda=True)
        corners = augment.forward_parameters(shape)["crop_src"][0]
        width, height = (corners.amax(1) - corners.amin(1) + 1).unbind(1)
        return 1 - (width * height / side**2).numpy()


class Torchvision:
    """Pairs each sample with the one before; boxes are clipped; one draw a batch."""

    clips = True

    def __init__(self) -> None:
        self.module = load("torchvision.transforms.v2")

    def mix(self, kind: type[Mixer], images: Tensor, labels: Tensor, alpha: float = 1.0) -> Mixed:
        theirs = getattr(self.module, kind.__name__)
        mixed, weights = theirs(alpha=alpha, num_classes=CLASSES)(images, labels)
        return Mixed(mixed, weights, torch.arange(len(images)).roll(1))

    def shares(self, kind: type[Mixer], alpha: float, side: int) -> np.ndarray:
        images, labels = torch.zeros(2, 1, side, side), torch.tensor([0, 1])
        draws = [self.mix(kind, images, labels, alpha).labels[0, 0] for _ in range(COUNT)]
        return torch.stack(draws).numpy()


class Timm:
    """timm's mixup: sample i is paired with sample N - 1 - i; CutMix's boxes are clipped."""

    clips = True

    def __init__(self) -> None:
        self.module = load("timm.data.mixup")

    def mix(self, kind: type[Mixer], images: Tensor, labels: Tensor, alpha: float = 1.0) -> Mixed:
        alphas = (alpha, 0.0) if kind is MixUp else (0.0, alpha)
        mixup = self.module.Mixup(*alphas, num_classes=CLASSES, label_smoothing=0.0, mode="elem")
        mixed, weights = mixup(images.clone(), labels)  # it mixes in place
        return Mixed(mixed, weights, torch.arange(len(images)).flip(0))

    def shares(self, kind: type[Mixer], alpha: float, side: int) -> np.ndarray:
        half = COUNT // 2
        labels = torch.tensor([0, 1]).repeat_interleave(half)
        weights = self.mix(kind, torch.zeros(COUNT, 1, side, side), labels, alpha).labels
        return weights[torch.arange(COUNT), labels].numpy()


@pytest.fixture(params=[Kornia, Torchvision, Timm], ids=lambda kind: kind.__name__.lower())
def peer(request: pytest.FixtureRequest) -> Any:
    library = request.param()
    if isinstance(library.module, str):
        pytest.skip(library.module)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - timm draws from it
    return library


def coloured(count: int = 8) -> tuple[Tensor, Tensor]:
    """Images of one colour, one-hot by class, so that the mean colour of a mix is its label."""
    labels = torch.arange(count) % CLASSES
    return torch.eye(CLASSES)[labels][:, :, None, None].repeat(1, 1, 24, 20), labels


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_labels_follow_the_pixels_in_both(peer: Any, kind: type[Mixer]) -> None:
    images, labels = coloured()
    for _ in range(20):
        theirs = peer.mix(kind, images, labels)
        torch.testing.assert_close(theirs.images.mean((2, 3)), theirs.labels)
        mixed, weights = kind(num_classes=CLASSES, per_sample=True)(images, labels)
        torch.testing.assert_close(mixed.mean((2, 3)), weights)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_one_formula(peer: Any, kind: type[Mixer]) -> None:
    """A plan with a peer's partners, masks and ratios gives the peer's images and labels."""
    labels = torch.arange(8) % CLASSES
    for _ in range(20):
        images = torch.rand(8, 3, 24, 20)
        theirs = peer.mix(kind, images, labels)
        partner = images[theirs.index]
        if kind is CutMix:
            alone = theirs.index == torch.arange(8)  # a box from the image itself can't be found
            mask = (theirs.images == images).all(1).float()
            ratio = torch.where(alone, 1.0, mask.mean((1, 2)))
        else:
            ratio = ((theirs.images - partner) * (images - partner)).flatten(1).sum(1)
            ratio = ratio / (images - partner).square().flatten(1).sum(1).clamp_min(1e-6)
            mask = ratio[:, None, None]
        plan = Plan(theirs.index, ratio, mask, num_classes=CLASSES)
        torch.testing.assert_close(plan.images(images), theirs.images)
        torch.testing.assert_close(plan.labels(labels), theirs.labels, atol=1e-5, rtol=0)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_one_distribution(peer: Any, kind: type[Mixer], alpha: float) -> None:
    if isinstance(peer, Kornia) and kind is MixUp and alpha != 1.0:
        pytest.skip("kornia's mixup draws uniformly")
    side = 96
    theirs = peer.shares(kind, alpha, side)
    mixer = kind(alpha=alpha, per_sample=True, generator=torch.Generator().manual_seed(0))
    ours = mixer.plan(torch.zeros(COUNT, 1, side, side)).ratio
    if kind is CutMix and not peer.clips:
        # A box that lies within the image covers 1 - lambda of it; ours is clipped, and its label
        # corrected, so that the share is lambda at least.
        drawn = mixer._draw(COUNT, torch.Generator().manual_seed(0), 0)[1]
        assert ours.mean() > drawn.mean()
        ours = drawn
    # Each library rounds boxes to pixels differently: a share may differ by one side of a box.
    ours = ours.double().numpy()
    assert abs(ours.mean() - theirs.mean()) < 4 * ours.std() / COUNT**0.5 + 1 / side
    blur = np.random.default_rng(0).uniform(-4 / side, 4 / side, (2, COUNT))
    test = stats.ks_2samp(ours + blur[0], theirs + blur[1])
    assert test.pvalue > LEVEL, f"{test}, means {ours.mean():.3f} and {theirs.mean():.3f}"


def test_ratios_of_clipped_boxes_equal_the_peers(peer: Any) -> None:
    if not peer.clips:
        pytest.skip("boxes lie within the image")
    side = 64
    # Nearly all of lambda is 1/2 for a large alpha: what is above is clipped.
    theirs = peer.shares(CutMix, 1e4, side)
    mixer = CutMix(alpha=1e4, per_sample=True, generator=torch.Generator().manual_seed(0))
    ours = mixer.plan(torch.zeros(COUNT, 1, side, side)).ratio.numpy()
    for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
        difference = abs(np.quantile(ours, quantile) - np.quantile(theirs, quantile))
        assert difference < 0.05, f"at {quantile}: {difference:.3f}"
    assert np.quantile(ours, 0.95) > 0.7
