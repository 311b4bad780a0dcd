"""Gradient saliency against a computation by hand; what it must leave alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from puzzlemix.saliency import gradient_saliency


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
