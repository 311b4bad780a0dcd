"""Saliency against computations by hand; what gradient saliency must leave alone."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from puzzlemix.mixers import PuzzleMix
from puzzlemix.saliency import gradient_saliency, spectral_saliency


def make_model(norm: str = "batch") -> nn.Module:
    torch.manual_seed(0)
    norms = {
        "batch": lambda: nn.BatchNorm2d(4),
        "average": lambda: nn.BatchNorm2d(4, momentum=None),
        "untracked": lambda: nn.BatchNorm2d(4, track_running_stats=False),
        "instance": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        "group": lambda: nn.GroupNorm(2, 4),
    }
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        norms[norm](),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        norms[norm](),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((count, 3, 8, 10), generator=generator)
    return images, torch.arange(count) % 5


def by_hand(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    twin = copy.deepcopy(model)
    inputs = images.clone().requires_grad_()
    F.cross_entropy(twin(inputs), labels).backward()
    assert inputs.grad is not None
    return (inputs.grad**2).mean(1).sqrt()


NORMS = ["batch", "average", "untracked", "instance", "group"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_by_hand(norm: str, training: bool) -> None:
    model = make_model(norm)
    images, labels = batch()
    model(images)  # so that running statistics are no longer those of a new model
    model.train(training)
    want = by_hand(model, images, labels)
    got = gradient_saliency(model, images, labels)
    assert got.shape == (6, 8, 10)
    assert got.dtype == torch.float32
    assert not got.requires_grad
    torch.testing.assert_close(got, want)
    weights = F.one_hot(labels, 5).double()
    torch.testing.assert_close(gradient_saliency(model, images, weights), want)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(norm: str, training: bool) -> None:
    model = make_model(norm).train(training)
    model[0].weight.requires_grad_(False)
    model[3].bias.grad = torch.ones(4)
    before = copy.deepcopy(model.state_dict())
    needed = [p.requires_grad for p in model.parameters()]
    images, labels = batch()
    kept = images.clone()
    gradient_saliency(model, images, labels)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [p.requires_grad for p in model.parameters()] == needed
    assert [p.grad is None for p in model.parameters()].count(False) == 1
    assert torch.equal(model[3].bias.grad, torch.ones(4))
    assert all(module.training == training for module in model.modules())
    assert torch.equal(images, kept)
    assert not images.requires_grad
    # It still trains as ever: statistics move, gradients come.
    model(images).sum().backward()
    assert model[0].bias.grad is not None
    tracked = [m for m in model if getattr(m, "track_running_stats", False)]
    assert len(tracked) == (2 if norm in ("batch", "average", "instance") else 0)
    if training:
        assert all((m.running_mean != 0).all() for m in tracked)


def test_an_error_in_the_model_leaves_it_as_it_was() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    model = nn.Sequential(make_model(), Broken())
    with pytest.raises(RuntimeError, match="broken"):
        gradient_saliency(model, *batch())
    assert all(p.requires_grad for p in model.parameters())
    assert model[0][1].track_running_stats


def test_no_gradient_of_a_weight_is_computed() -> None:
    seen = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            ctx.save_for_backward(weight)
            return x * weight

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
            seen.append(ctx.needs_input_grad)
            return grad * ctx.saved_tensors[0], None

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return Watched.apply(x, self.weight)

    gradient_saliency(nn.Sequential(Scale(), make_model()), *batch())
    assert seen == [(True, False)]


def test_without_gradients_around_it() -> None:
    model = make_model().eval()
    images, labels = batch()
    want = gradient_saliency(model, images, labels)
    with torch.no_grad():
        assert torch.equal(gradient_saliency(model, images, labels), want)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        got = gradient_saliency(model, images.clone(), labels.clone())
        assert torch.equal(got, want)
    leaf = images.clone().requires_grad_()
    assert torch.equal(gradient_saliency(model, leaf, labels), want)
    assert leaf.grad is None


def test_under_autocast() -> None:
    model = make_model().eval()
    images, labels = batch()
    want = gradient_saliency(model, images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = gradient_saliency(model, images, labels)
        weighed = gradient_saliency(model, images, F.one_hot(labels, 5).double())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, weighed)
    assert float((got - want).norm()) < 0.2 * float(want.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    model, (images, labels) = make_model("group").eval(), batch()
    want = gradient_saliency(model, images, labels)
    got = gradient_saliency(model.to(dtype), images.to(dtype), labels.to(torch.int32))
    assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert float((got - want).norm()) < 0.2 * float(want.norm())


def test_small_gradients_survive_half_precision() -> None:
    # 1e-5 a pixel, over a batch of 4096, is below float16's smallest number.
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).half()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1e-4], [-1e-4]]).expand(2, 4))
    got = gradient_saliency(model, torch.rand(4096, 1, 2, 2).half(), torch.zeros(4096).long())
    assert (got > 0).all()


def test_no_samples() -> None:
    model = make_model("group").eval()
    assert gradient_saliency(model, *batch(0)).shape == (0, 8, 10)


def test_no_accumulation_happens() -> None:
    model = make_model()
    seen = []
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: seen.append("gradient"))
        parameter.register_post_accumulate_grad_hook(lambda p: seen.append("accumulated"))
    gradient_saliency(model, *batch())
    assert seen == []
    model(batch()[0]).sum().backward()
    assert set(seen) == {"gradient", "accumulated"}


def test_compiled_models() -> None:
    model = make_model()
    images, labels = batch()
    want = gradient_saliency(model, images, labels)
    state = copy.deepcopy(model.state_dict())
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(gradient_saliency(compiled, images, labels), want)
    after = model.state_dict()
    assert all(torch.equal(state[name], after[name]) for name in state)
    # Compiled without tracking, it tracks again.
    compiled(images).sum().backward()
    assert model[0].weight.grad is not None
    assert not torch.equal(model[1].running_mean, state["1.running_mean"])


# ---- At reduced resolution ----------------------------------------------------------------------


@pytest.mark.parametrize("downscale", [1, 2])
def test_downscale(downscale: int) -> None:
    model = make_model().eval()
    images, labels = batch()
    small = images.unflatten(2, (-1, downscale)).unflatten(4, (-1, downscale)).mean((3, 5))
    want = by_hand(model, small, labels)
    got = gradient_saliency(model, images, labels, downscale=downscale)
    assert got.shape == (6, 8 // downscale, 10 // downscale)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("downscale", "error", "message"),
    [
        (3, ValueError, "downscale: expected a divisor of both sides of the images, 8x10, got 3"),
        (4, ValueError, "downscale: expected a divisor of both sides"),
        (0, ValueError, "downscale: expected at least 1, got 0"),
        (2.0, TypeError, "downscale: expected an integer, got 2.0"),
    ],
)
def test_downscales_that_are_refused(downscale: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gradient_saliency(make_model(), *batch(), downscale=downscale)


def test_in_a_mixer() -> None:
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6) % 5
    model = make_model().eval()
    for saliency, want in (
        (partial(gradient_saliency, model), gradient_saliency(model, images, labels)),
        (
            partial(gradient_saliency, model, downscale=2),
            gradient_saliency(model, images, labels, downscale=2),
        ),
        (spectral_saliency, spectral_saliency(images)),
    ):
        settings: dict[str, Any] = {"grids": (4, 8), "num_classes": 5}
        torch.manual_seed(0)
        got, weights = PuzzleMix(saliency=saliency, **settings)(images, labels)
        torch.manual_seed(0)
        expected = PuzzleMix(**settings)(images, labels, want)
        assert torch.equal(got, expected[0])
        assert torch.equal(weights, expected[1])
    with pytest.raises(ValueError, match="grids: expected a grid that divides saliency of 8x8"):
        PuzzleMix(saliency=partial(gradient_saliency, model, downscale=2), num_classes=5)(
            images, labels
        )


# ---- Spectral -----------------------------------------------------------------------------------


def spectral_by_hand(image: Tensor) -> Tensor:
    """The paper's formulas for one image [C, H, W] of at most 64 pixels a side, in NumPy."""
    plane = image.double().mean(0).numpy()
    spectrum = np.fft.fft2(plane)
    log = np.log(np.abs(spectrum))
    mean = sum(np.roll(log, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    raw = np.abs(np.fft.ifft2(np.exp(log - mean + 1j * np.angle(spectrum)))) ** 2
    sigma = 2.5 / 64 * max(plane.shape)
    smooth = gaussian_filter(raw, sigma, mode="constant", truncate=100.0)
    share = gaussian_filter(np.ones_like(raw), sigma, mode="constant", truncate=100.0)
    return torch.from_numpy(smooth / share)


@pytest.mark.parametrize("sides", [(32, 32), (64, 48), (7, 9)])
def test_spectral_by_hand(sides: tuple[int, int]) -> None:
    images = torch.rand(4, 3, *sides, dtype=torch.float64)
    got = spectral_saliency(images)
    assert got.dtype == torch.float64
    want = torch.stack([spectral_by_hand(image) for image in images])
    torch.testing.assert_close(got, want, rtol=1e-9, atol=0)
    single = spectral_saliency(images.float(), torch.zeros(4).long())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, want.float(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("sides", [(32, 32), (64, 64), (224, 160), (300, 90)])
def test_spectral_finds_what_stands_out(sides: tuple[int, int]) -> None:
    rows, columns = sides
    generator = torch.Generator().manual_seed(0)
    images = 0.3 + 0.05 * torch.rand((3, 3, *sides), generator=generator)
    top, left = rows // 8, columns // 2
    height, width = rows // 8, columns // 8
    images[:, :, top : top + height, left : left + width] += 0.5
    saliency = spectral_saliency(images)
    assert saliency.shape == (3, *sides)
    for plane in saliency:
        y, x = divmod(int(plane.argmax()), columns)
        assert top - 2 <= y < top + height + 2
        assert left - 2 <= x < left + width + 2
        box = plane[top : top + height, left : left + width]
        assert box.mean() > 3 * plane.mean()


def test_spectral_in_half_precision_on_its_own() -> None:
    images = torch.rand(3, 3, 40, 32)
    for dtype in (torch.float16, torch.bfloat16):
        got = spectral_saliency(images.to(dtype))
        assert got.dtype == torch.float32
        assert torch.equal(got, spectral_saliency(images.to(dtype).float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(spectral_saliency(images), spectral_saliency(images))
        inside = spectral_saliency(images)
    assert torch.equal(inside, spectral_saliency(images))
    # Neither scale nor the rest of the batch matters, and nothing needs a gradient.
    torch.testing.assert_close(spectral_saliency(4 * images), inside)
    torch.testing.assert_close(spectral_saliency(images[1:2]), inside[1:2])
    assert not spectral_saliency(images.requires_grad_()).requires_grad


@pytest.mark.parametrize("value", [0.0, 0.37, -3.0, 1e-30])
def test_spectral_of_a_constant_is_constant(value: float) -> None:
    saliency = spectral_saliency(torch.full((2, 3, 32, 48), value))
    assert saliency.isfinite().all()
    assert (saliency >= 0).all()
    assert float(saliency.max() - saliency.min()) <= 1e-5 * float(saliency.max())


def test_spectral_of_nothing_and_refusals() -> None:
    assert spectral_saliency(torch.zeros(0, 3, 8, 8)).shape == (0, 8, 8)
    with pytest.raises(ValueError, match=r"images: expected shape \[N, C, H, W\], got \[8, 8\]"):
        spectral_saliency(torch.zeros(8, 8))
    with pytest.raises(TypeError, match="images: expected dtype float16"):
        spectral_saliency(torch.zeros(1, 3, 8, 8).int())


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (None, batch()[1], TypeError, "images: expected a tensor, got NoneType"),
        (torch.zeros(6, 3, 8, 8).int(), batch()[1], TypeError, "images: expected dtype float16"),
        (torch.zeros(6, 8, 8), batch()[1], ValueError, r"images: expected shape \[N, C, H, W\]"),
        (batch()[0], None, TypeError, "labels: expected a tensor, got NoneType"),
        (
            batch()[0],
            torch.zeros(5).long(),
            ValueError,
            r"labels: expected shape \[N\] or \[N, K\]",
        ),
    ],
)
def test_refusals(images: Any, labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gradient_saliency(make_model(), images, labels)
