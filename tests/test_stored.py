"""Stored saliency: the maps in the file, the samples of the data set, and transforms of both."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from puzzlemix import PuzzleMix, gradient_saliency, spectral_saliency
from puzzlemix.stored import StoredSaliency, store_saliency


def make_data(count: int = 10, side: int = 32) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand((count, 3, side, side), generator=generator),
                         torch.arange(count) % 4)  # fmt: skip


def make_model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("kind", ["spectral", "gradient", "half"])
@pytest.mark.parametrize("side", [8, 16])
def test_what_is_stored(tmp_path: Path, kind: str, side: int) -> None:
    data = make_data()
    saliency: Any = {
        "spectral": spectral_saliency,
        "gradient": partial(gradient_saliency, make_model()),
        "half": partial(gradient_saliency, make_model(), downscale=2),
    }[kind]
    path = tmp_path / "maps.npz"
    got = store_saliency(path, data, saliency, side=side, batch_size=4)
    want = F.adaptive_avg_pool2d(saliency(*data.tensors), side)
    want = want / want.amax((1, 2), keepdim=True)
    assert got.dtype == torch.float16
    # Gradients of a mean over the batch scale with its size, which normalising removes.
    torch.testing.assert_close(got.float(), want, rtol=2e-3, atol=1e-3)
    assert (got.amax((1, 2)) == 1).all()
    assert [file.name for file in tmp_path.iterdir()] == ["maps.npz"]
    with np.load(path) as file:
        assert np.array_equal(file["maps"], got.numpy())
    stored = StoredSaliency(data, path)
    assert np.array_equal(stored.maps, got.numpy())


def test_saliency_that_is_zero_stays_zero(tmp_path: Path) -> None:
    maps = store_saliency(tmp_path / "m.npz", make_data(), lambda x, y: 0 * x[:, 0])
    assert (maps == 0).all()
    assert store_saliency(tmp_path / "m.npz", make_data(0), spectral_saliency).shape == (0, 16, 16)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "maps.npz"
    store_saliency(path, make_data(), spectral_saliency)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"saliency: expected shape \[B, Y, X\]"):
        store_saliency(path, make_data(), lambda x, y: x)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_samples_come_with_their_maps() -> None:
    data, maps = make_data(), torch.rand(10, 8, 8)
    stored = StoredSaliency(data, maps)
    assert len(stored) == 10
    for i in (0, 9, -1):
        image, label, saliency = stored[i]
        assert torch.equal(image, data.tensors[0][i])
        assert label == data.tensors[1][i]
        want = F.interpolate(maps[i][None, None], (32, 32), mode="bilinear")[0, 0]
        assert torch.equal(saliency, want)
        assert type(saliency) is Tensor
    mixer = PuzzleMix(num_classes=4, generator=torch.Generator().manual_seed(0))
    for batch in DataLoader(stored, batch_size=5):
        mixed, weights = mixer(*batch)
        assert mixed.shape == (5, 3, 32, 32)
        torch.testing.assert_close(weights.sum(1), torch.ones(5))


class Pictures(Dataset[Any]):
    """Samples with a Pillow image (or a stand-in), a label and more."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, item: int) -> Any:
        return SimpleNamespace(size=(40, 20)), item, "more"


def test_pictures_have_columns_first() -> None:
    image, label, saliency = StoredSaliency(Pictures(), torch.rand(3, 4, 4))[1]
    assert image.size == (40, 20)
    assert label == 1
    assert saliency.shape == (20, 40)


def flip_and_crop(image: Tensor, saliency: Tensor) -> tuple[Tensor, Tensor]:
    return image.flip(-1)[..., 4:28, 4:28], saliency.flip(-1)[..., 4:28, 4:28]


def bright(data: TensorDataset) -> Tensor:
    """A saliency of the image's own pixels, which shows whether maps follow the image."""
    return data.tensors[0].mean(1)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_transform_moves_both(workers: int) -> None:
    data = make_data()
    stored = StoredSaliency(data, bright(data), flip_and_crop)
    (batch,) = DataLoader(stored, batch_size=10, num_workers=workers)
    images, _, saliency = batch
    assert images.shape[-2:] == (24, 24)
    torch.testing.assert_close(saliency, images.mean(1))


def test_torchvision_sees_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """If torchvision has been imported; here a stand-in is."""

    class Mask(Tensor):
        pass

    seen = []

    def transform(image: Tensor, saliency: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(type(saliency))
        return image, saliency

    module = SimpleNamespace(Mask=lambda x: x.as_subclass(Mask))
    monkeypatch.setitem(sys.modules, "torchvision.tv_tensors", module)
    data = make_data()
    saliency = StoredSaliency(data, bright(data), transform)[0][2]
    assert seen == [Mask]
    assert type(saliency) is Tensor


def test_with_torchvision() -> None:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    from torchvision.transforms import v2

    data = make_data()
    transform = v2.Compose(
        [v2.RandomHorizontalFlip(), v2.RandomCrop(32, padding=4), v2.ColorJitter(0.0)]
    )
    stored = StoredSaliency(data, bright(data), transform)
    for _ in range(3):
        for image, _, saliency in stored:
            torch.testing.assert_close(saliency, image.mean(0))


def test_with_kornia() -> None:
    augmentation = pytest.importorskip("kornia.augmentation")
    data = make_data()
    images, _, saliency = next(iter(DataLoader(StoredSaliency(data, bright(data)), 10)))
    moving = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomCrop((24, 24)),
        data_keys=["input", "mask"],
    )
    images, moved = moving(images, saliency[:, None])
    assert images.shape == (10, 3, 24, 24)
    torch.testing.assert_close(moved[:, 0], images.mean(1))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"maps": torch.rand(9, 4, 4)}, ValueError, "maps: expected 10, one a sample .*, got 9"),
        ({"maps": torch.rand(10, 4)}, ValueError, r"maps: expected floats of shape \[N, h, w\]"),
        ({"maps": torch.ones(10, 4, 4).int()}, ValueError, "maps: expected floats"),
        ({"transform": 3}, TypeError, r"transform: expected a callable \(image, map\), got int"),
    ],
)
def test_refusals(given: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"data": make_data(), "maps": torch.rand(10, 4, 4)}
    with pytest.raises(error, match=message):
        StoredSaliency(**(arguments | given))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"side": 0}, ValueError, "side: expected at least 1, got 0"),
        ({"side": 2.5}, TypeError, "side: expected an integer"),
        ({"saliency": 3}, TypeError, "saliency: expected a callable"),
    ],
)
def test_what_cannot_be_stored(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"data": make_data(), "saliency": spectral_saliency}
    with pytest.raises(error, match=message):
        store_saliency(tmp_path / "maps.npz", **(arguments | given))
    assert list(tmp_path.iterdir()) == []
