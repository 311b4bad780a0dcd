"""Saliency computed once for a whole data set, as small maps in one file.

    store_saliency("cifar10.npz", data, spectral_saliency)
    data = StoredSaliency(data, "cifar10.npz", transform=flips_and_crops)
    for images, labels, saliency in DataLoader(data, batch_size=128, shuffle=True):
        images, weights = mixer(images, labels, saliency)

Letters: N samples, C channels, Y x X pixels, h x w the numbers of a map.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .validate.elementary import expect_integer, expect_tensor
from .validate.puzzle import expect_saliency

__all__ = ["StoredSaliency", "store_saliency"]


def store_saliency(
    path: str | os.PathLike[str],
    data: Dataset[Any],
    saliency: Callable[[Tensor, Tensor], Tensor],
    *,
    side: int = 16,
    batch_size: int = 256,
    num_workers: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Compute the saliency of a whole data set and store it, averaged to small maps.

    Args:
        path: the file to write, ``.npz``, with float16 ``maps`` [N, side, side], the largest number
            of each being 1; replaced as a whole. 50,000 maps of 16 x 16 are 26 MB.
        data: samples (image, label, ...), images [C, Y, X] of a floating dtype and one size; as
            without random flips and crops: those come later and move image and map together.
        saliency: called as ``saliency(images, labels)``, as by ``PuzzleMix``: ``spectral_saliency``
            needs no network, ``partial(gradient_saliency, model.eval())`` takes any.
        side: rows and columns of a map; as many as the finest grid of the mixer has are enough.
        batch_size, num_workers: of the ``DataLoader`` that reads the data.
        device: where the saliency is computed.

    Returns:
        The maps that were stored.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """
    expect_integer("side", side, least=1)
    if not callable(saliency):
        raise TypeError(
            "saliency: expected a callable (images, labels) -> [N, Y, X], "
            f"got {type(saliency).__name__}"
        )
    maps = []
    for images, labels, *_ in DataLoader(data, batch_size, num_workers=num_workers):
        expect_tensor("data", images)
        images, labels = images.to(device), labels.to(device)
        found = saliency(images, labels)
        expect_saliency("saliency", found, "images", images)
        small = F.adaptive_avg_pool2d(found.detach().float(), side)
        most = small.amax((1, 2), keepdim=True)
        maps.append((small / most.clamp_min(torch.finfo(torch.float32).tiny)).half().cpu())
    whole = torch.cat(maps) if maps else torch.empty((0, side, side), dtype=torch.float16)
    path = Path(path)
    # Written beside the target, so that the rename that replaces it is atomic.
    written = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with written.open("wb") as file:
            np.savez(file, maps=whole.numpy())
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)
    return whole


class StoredSaliency(Dataset[tuple[Any, Any, Tensor]]):
    """A data set whose samples come with their stored saliency: (image, label, map).

    A batch of them is what a mixer takes: ``mixer(images, labels, saliency)``. ``transform`` is
    called with image and map, and moves both together. For torchvision's transforms (v2) the map is
    a ``tv_tensors.Mask``, which they flip, crop and resize with the image, and leave alone when
    they change colours.

    Args:
        data: samples (image, label, ...); images [C, Y, X] or of Pillow.
        maps: the file written by ``store_saliency``, of the same data in the same order; or maps
            [N, h, w].
        transform: called as ``transform(image, map)``, the map [1, Y, X] float32; returns both.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        data: Dataset[Any],
        maps: str | os.PathLike[str] | Tensor,
        transform: Callable[[Any, Tensor], tuple[Any, Tensor]] | None = None,
    ) -> None:
        if isinstance(maps, Tensor):
            maps = maps.detach().cpu()
        else:
            with np.load(maps) as file:
                maps = torch.from_numpy(file["maps"])
        if maps.dim() != 3 or not maps.is_floating_point():
            raise ValueError(
                f"maps: expected floats of shape [N, h, w], got {maps.dtype} {list(maps.shape)}"
            )
        count = len(data)  # type: ignore[arg-type]
        if len(maps) != count:
            raise ValueError(f"maps: expected {count}, one a sample of data, got {len(maps)}")
        if transform is not None and not callable(transform):
            raise TypeError(
                f"transform: expected a callable (image, map), got {type(transform).__name__}"
            )
        self.data = data
        # A NumPy array, because PyTorch passes tensors to spawned workers through shared memory.
        self.maps = (maps if maps.dtype == torch.float16 else maps.float()).numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, item: int) -> tuple[Any, Any, Tensor]:
        image, label, *_ = self.data[item]
        sides = image.shape[-2:] if hasattr(image, "shape") else image.size[::-1]
        small = torch.from_numpy(self.maps[item].astype(np.float32))[None, None]
        (saliency,) = F.interpolate(small, tuple(sides), mode="bilinear", align_corners=False)
        if self.transform is not None:
            image, saliency = self.transform(image, _as_mask(saliency))
        return image, label, saliency.as_subclass(Tensor)[0]


def _as_mask(saliency: Tensor) -> Tensor:
    """A map as a ``tv_tensors.Mask``, which torchvision's transforms move with the image, if
    torchvision has been imported."""
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    return saliency if tv_tensors is None else tv_tensors.Mask(saliency)
