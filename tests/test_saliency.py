"""Saliency against computations by hand; what gradient saliency must leave alone."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from wrapped import Wrapped

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
def test_the_model_is_unchanged(norm: str, training: bool) -> None:
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
    # It still trains: statistics are updated, and gradients are computed.
    model(images).sum().backward()
    assert model[0].bias.grad is not None
    tracked = [m for m in model if getattr(m, "track_running_stats", False)]
    assert len(tracked) == (2 if norm in ("batch", "average", "instance") else 0)
    if training:
        assert all((m.running_mean != 0).all() for m in tracked)


def test_the_model_is_unchanged_after_an_error() -> None:
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


# ---- Models, outputs and losses of any kind -----------------------------------------------------


class ImageClassifierOutput(OrderedDict):
    """A copy of Hugging Face's class: a dict whose entries are attributes, with the loss first."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


class InceptionOutputs(NamedTuple):
    """The output of torchvision's Inception in training mode."""

    logits: Tensor
    aux_logits: Tensor


OUTPUTS: dict[str, Any] = {
    "object": lambda y: SimpleNamespace(logits=y, hidden_states=None),
    "hugging face": lambda y: ImageClassifierOutput(loss=y.sum(), logits=y),
    "inception": lambda y: InceptionOutputs(y, 2 * y),
    "tuple": lambda y: (y, 2 * y),
    "list": lambda y: [y],
    "dict": lambda y: {"loss": y.sum(), "logits": y},
    "segmentation": lambda y: {"out": y, "aux": 2 * y},
}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("half", [False, True])
def test_outputs_of_any_kind(kind: str, half: bool) -> None:
    model, (images, labels) = make_model(), batch()
    if half:
        model, images = model.bfloat16(), images.bfloat16()
    want = gradient_saliency(model, images, labels)
    assert torch.equal(gradient_saliency(Wrapped(model, OUTPUTS[kind]), images, labels), want)


@pytest.mark.parametrize(
    "put", [lambda y: None, lambda y: (), lambda y: {}, lambda y: {"logits": 3}, lambda y: [[y]],
            lambda y: SimpleNamespace(scores=y)],
)  # fmt: skip
def test_outputs_without_logits_are_refused(put: Any) -> None:
    model = Wrapped(make_model(), put)
    with pytest.raises(TypeError, match=r"model: expected it to return a tensor, an object with"):
        gradient_saliency(model, *batch())
    assert all(p.requires_grad for p in model.parameters())


BINARY = F.binary_cross_entropy_with_logits


def one_logit() -> nn.Module:
    return nn.Sequential(make_model(), nn.Linear(5, 1))


CROSS_ENTROPIES = [
    F.cross_entropy,
    nn.CrossEntropyLoss(),
    partial(F.cross_entropy, label_smoothing=0.1),
]


@pytest.mark.parametrize("loss_fn", [None, *CROSS_ENTROPIES])
@pytest.mark.parametrize("model", [one_logit(), nn.Sequential(one_logit(), nn.Flatten(0))])
def test_one_logit_is_refused_without_a_loss(loss_fn: Any, model: nn.Module) -> None:
    images, labels = batch()
    options = {} if loss_fn is None else {"loss_fn": loss_fn}
    for given in (labels, (labels % 2)[:, None].float()):
        with pytest.raises(ValueError, match=r"loss_fn: expected one for a single logit, such as"):
            gradient_saliency(model, images, given, **options)


@pytest.mark.parametrize("as_weights", [False, True])
def test_one_logit_with_a_loss(as_weights: bool) -> None:
    model, (images, labels) = one_logit(), batch()
    wanted = (labels % 2).float()[:, None]

    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        assert targets.dtype == logits.dtype
        return BINARY(logits, targets.view_as(logits))

    got = gradient_saliency(model, images, wanted if as_weights else labels % 2, loss_fn=loss_fn)
    inputs = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(BINARY(copy.deepcopy(model)(inputs), wanted), inputs)
    torch.testing.assert_close(got, gradient.square().mean(1).sqrt())
    assert (got.amax((1, 2)) > 0).all()


def test_samples_with_several_classes_or_none() -> None:
    model, (images, _) = make_model(), batch()
    weights = torch.tensor([[1.0, 1, 0, 0, 0], [0, 0, 0, 0, 0]] * 3)
    got = gradient_saliency(model, images, weights, loss_fn=BINARY)
    inputs = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(BINARY(copy.deepcopy(model)(inputs), weights), inputs)
    torch.testing.assert_close(got, gradient.square().mean(1).sqrt())
    assert (got.amax((1, 2)) > 0).all()
    assert (gradient_saliency(model.eval(), images, weights)[1::2] == 0).all()


def test_class_numbers_become_weights_for_a_loss() -> None:
    model, (images, labels) = make_model().eval(), batch()
    one_hot = F.one_hot(labels, 5).float()
    want = gradient_saliency(model, images, one_hot, loss_fn=BINARY)
    assert torch.equal(gradient_saliency(model, images, labels, loss_fn=BINARY), want)
    loss = nn.CrossEntropyLoss(label_smoothing=0.3)
    smoothed = gradient_saliency(model, images, 0.7 * one_hot + 0.3 / 5)
    torch.testing.assert_close(gradient_saliency(model, images, labels, loss_fn=loss), smoothed)


@pytest.mark.parametrize("inplace", [nn.ReLU(inplace=True), nn.Dropout(0.0, inplace=True)])
@pytest.mark.parametrize("downscale", [1, 2])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_that_changes_its_input(inplace: nn.Module, downscale: int, compiled: bool) -> None:
    images, labels = batch()
    images -= 0.5
    kept = images.clone()
    keeps = nn.ReLU() if isinstance(inplace, nn.ReLU) else nn.Identity()
    model: Any = nn.Sequential(inplace, make_model())
    if compiled:
        torch._dynamo.reset()
        model = torch.compile(model, fullgraph=True, backend="eager")
    want = gradient_saliency(
        nn.Sequential(keeps, make_model()), images, labels, downscale=downscale
    )
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            got = gradient_saliency(model, images, labels, downscale=downscale)
        torch.testing.assert_close(got, want)
    assert torch.equal(images, kept)


class Counting(nn.Module):
    """A module that changes its buffers in either mode, in place or by assigning a new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("constant", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x * self.constant[0]


@pytest.mark.parametrize("kind", ["parametrized", "hook", "counting", "instance"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*is deprecated:FutureWarning")
def test_buffers_are_unchanged(kind: str, training: bool) -> None:
    """The vectors of spectral norms, running means, counts."""
    model = make_model("instance" if kind == "instance" else "batch")
    if kind == "parametrized":
        model[0] = nn.utils.parametrizations.spectral_norm(model[0])
    elif kind == "hook":
        model[0] = nn.utils.spectral_norm(model[0])
    elif kind == "counting":
        model.insert(0, Counting())
    model.train(training)
    images, labels = batch()
    buffers = dict(model.named_buffers())
    before = {name: buffer.clone() for name, buffer in buffers.items()}
    versions = {name: buffer._version for name, buffer in buffers.items()}
    gradient_saliency(model, images, labels)
    for name, buffer in model.named_buffers():
        assert buffer is buffers[name]
        assert torch.equal(buffer, before[name]), name
    unmoved = [name for name in buffers if "constant" in name or "running" in name]
    if kind == "counting":
        assert all(buffers[name]._version == versions[name] for name in unmoved)
    # When the model is called by itself it still updates them.
    model(images)
    moved = [name for name, b in model.named_buffers() if not torch.equal(b, before[name])]
    assert bool(moved) == (training or kind == "counting")


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.tensor([0, 1, 2, 3, 4, 5]), ValueError, "labels: expected integers from 0 to 4"),
        (torch.zeros(6, 1).long(), ValueError, r"labels: .* K = num_classes = 5, got .*\[6, 1\]"),
        (torch.rand(6, 4), ValueError, r"labels: .* K = num_classes = 5, got shape \[6, 4\]"),
        (torch.rand(6), TypeError, r"labels: expected integers \[N\] or weights \[N, K\]"),
        (torch.tensor([0, 1, 2, 3, 4, -1]), ValueError, "labels: expected integers from 0 to"),
    ],
)
def test_labels_that_are_refused(labels: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gradient_saliency(make_model(), batch()[0], labels)


def test_channels_last_reaches_the_model() -> None:
    images, labels = batch()
    seen = []
    model = make_model()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].stride()))
    last = images.contiguous(memory_format=torch.channels_last)
    gradient_saliency(model, last, labels)
    gradient_saliency(model, last, labels, downscale=2)
    assert seen == [last.stride(), (60, 1, 15, 3)]


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
        PuzzleMix(
            saliency=partial(gradient_saliency, model, downscale=2), num_classes=5, grids=(4, 16)
        )(images, labels)


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


@pytest.mark.parametrize("sides", [(32, 32), (64, 64), (16, 48), (224, 160)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spectral_saliency_does_not_depend_on_the_batch(
    sides: tuple[int, int], dtype: torch.dtype
) -> None:
    """A sample's saliency is the same bit for bit in any batch and memory format."""
    images = torch.rand(9, 3, *sides, dtype=dtype)
    whole = spectral_saliency(images)
    for part in (slice(3, 4), slice(2, 9)):
        assert torch.equal(spectral_saliency(images[part]), whole[part])
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(spectral_saliency(last), whole)


def test_spectral_enlarges_what_it_took_at_64_pixels() -> None:
    images = torch.rand(2, 3, 192, 96, dtype=torch.float64)
    small = torch.stack([spectral_by_hand(image) for image in F.avg_pool2d(images, 3)])
    want = F.interpolate(small[:, None], (192, 96), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(spectral_saliency(images), want, rtol=1e-9, atol=0)


def test_constants_of_spectral_saliency_are_cached() -> None:
    """Constants made while compiling or for fake tensors have no values: they are not cached."""
    images = torch.rand(2, 3, 20, 28)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert spectral_saliency(mode.from_tensor(images)).shape == (2, 20, 28)
    with torch.inference_mode():
        inside = spectral_saliency(images)
    assert torch.equal(spectral_saliency(images.requires_grad_()), inside)
    torch._dynamo.reset()
    compiled = torch.compile(spectral_saliency, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), inside)


@pytest.mark.parametrize("value", [0.0, 0.37, -3.0, 1e-30])
def test_spectral_of_a_constant_is_constant(value: float) -> None:
    saliency = spectral_saliency(torch.full((2, 3, 32, 48), value))
    assert saliency.isfinite().all()
    assert (saliency >= 0).all()
    assert float(saliency.max() - saliency.min()) <= 1e-5 * float(saliency.max())


def test_spectral_of_empty_batches_and_refusals() -> None:
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


@pytest.mark.parametrize("model", [None, lambda images: images.flatten(1)])
def test_a_model_that_is_no_module_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match=r"^model: expected an nn\.Module, got "):
        gradient_saliency(model, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))
