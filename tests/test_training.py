"""The training step against one by hand, its side effects, and models of all kinds."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from wrapped import Wrapped

from puzzlemix.manifold import ManifoldMixUp
from puzzlemix.mixers import CutMix, Cutout, Mixer, MixUp, PuzzleMix
from puzzlemix.plan import Plan
from puzzlemix.saliency import gradient_saliency, spectral_saliency
from puzzlemix.training import puzzle_mix_backward

ALL: list[type[Mixer]] = [MixUp, CutMix, Cutout, PuzzleMix]
EPS = 8 / 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: type[Mixer], seed: int = 3, **settings: Any) -> Mixer:
    settings = {"num_classes": 5, "generator": seeded(seed)} | settings
    if kind is PuzzleMix:
        settings = {"grids": (4, 8)} | settings
    return kind(**settings)


def make_model(norm: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4) if norm else nn.Identity(),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    )
    return model.double()


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    images = torch.rand((count, 3, 16, 16), generator=seeded(1), dtype=torch.float64)
    return images, torch.arange(count) % 5


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.grad is not None]


def assert_same(got: list[Tensor], want: list[Tensor], **tolerance: float) -> None:
    assert len(got) == len(want) > 0
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


class Watch:
    """The images that a model was called with."""

    def __init__(self, model: nn.Module) -> None:
        self.seen: list[Tensor] = []
        model.register_forward_pre_hook(self.look)

    def look(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        self.seen.append(inputs[0].detach().clone())


class Still(MixUp):
    """Every image keeps to itself."""

    def plan(
        self, images: Tensor, labels: Tensor | None = None, saliency: Tensor | None = None
    ) -> Plan:
        ones = torch.ones(len(images), dtype=images.dtype)
        return Plan(None, ones, ones[:, None, None], num_classes=self.num_classes)


# ---- The gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("clean_weight", [0.0, 0.5])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("as_weights", [False, True])
def test_by_hand(kind: type[Mixer], clean_weight: float, training: bool, as_weights: bool) -> None:
    images, labels = batch()
    one_hot = torch.eye(5, dtype=torch.float64)[labels]
    model = make_model()
    model(images)  # so that running statistics are no longer those of a new model
    model.train(training)
    twin = copy.deepcopy(model)
    kept = images.clone()

    loss = puzzle_mix_backward(
        model, images, one_hot if as_weights else labels, make(kind), clean_weight=clean_weight
    )

    # The clean term is computed by a third network, as it must not change running statistics.
    third = copy.deepcopy(twin)
    plan = make(kind).plan(images, labels, gradient_saliency(third, images, labels))
    x2 = images if plan.index is None else images[plan.index]
    y2 = labels if plan.index is None else labels[plan.index]
    clean = F.cross_entropy(third(images), labels) + F.cross_entropy(third(x2), y2)
    clean = clean_weight / 2 * clean
    clean.backward()
    mixed = F.cross_entropy(twin(plan.images(images)), plan.labels(labels).double())
    mixed.backward()
    want = [a + b for a, b in zip(gradients(twin), gradients(third), strict=True)]
    assert_same(gradients(model), want)
    torch.testing.assert_close(loss, (mixed + clean).detach())
    assert not loss.requires_grad
    for one, other in zip(model.buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(images, kept)


def test_a_gradient_in_closed_form() -> None:
    # One weight: the loss is w * mean(x) of what goes in; images of one colour each.
    model = nn.Linear(1, 1, bias=False).double()
    images = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)[:, None]

    def mean(outputs: Tensor, weights: Tensor) -> Tensor:
        return (outputs * weights).mean()

    class Neighbours(MixUp):
        def plan(self, images: Tensor, *_: Any) -> Plan:
            lam = torch.full((3,), 0.25, dtype=torch.float64)
            return Plan(torch.tensor([1, 2, 0]), lam, lam[:, None, None])

    labels = torch.tensor([1.0, 0.0, 1.0])[:, None]
    with torch.no_grad():
        model.weight.fill_(2.0)
    loss = puzzle_mix_backward(model, images, labels, Neighbours(), clean_weight=3.0, loss_fn=mean)
    # Mixed: x = 1.75, 5, 2.25 and y = 0.25, 0.75, 1; clean: x y = 1, 0, 6.
    want = (1.75 * 0.25 + 5 * 0.75 + 2.25) / 3 + 3 * (1 + 0 + 6) / 3
    assert model.weight.grad is not None
    assert float(model.weight.grad) == pytest.approx(want)
    assert float(loss) == pytest.approx(2 * want)


def test_it_accumulates() -> None:
    images, labels = batch()
    model = make_model(norm=False)
    puzzle_mix_backward(model, images, labels, make(PuzzleMix, 3), clean_weight=0.5)
    first = [g.clone() for g in gradients(model)]
    puzzle_mix_backward(model, images, labels, make(PuzzleMix, 4), clean_weight=0.5)
    both = [g.clone() for g in gradients(model)]
    model.zero_grad()
    puzzle_mix_backward(model, images, labels, make(PuzzleMix, 4), clean_weight=0.5)
    assert_same([a + b for a, b in zip(first, gradients(model), strict=True)], both)


@pytest.mark.parametrize(
    ("kind", "settings", "passes"),
    [
        (MixUp, {}, 1),
        (Cutout, {}, 1),
        (PuzzleMix, {}, 2),
        (MixUp, {"clean_weight": 1.0}, 2),
        (MixUp, {"adversarial_prob": 0.5}, 2),
        (PuzzleMix, {"clean_weight": 1.0, "adversarial_prob": 0.5}, 2),
    ],
)
def test_the_number_of_forward_passes(
    kind: type[Mixer], settings: dict[str, Any], passes: int
) -> None:
    model, (images, labels) = make_model(), batch()
    watch = Watch(model)
    accumulated, computed = [], []
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: computed.append(1))
        parameter.register_post_accumulate_grad_hook(lambda p: accumulated.append(1))
    puzzle_mix_backward(model, images, labels, make(kind), **settings)
    assert len(watch.seen) == passes
    # Each gradient is accumulated once, with any terms; the first pass computes weights' gradients
    # for the clean term only.
    count = len(list(model.parameters()))
    assert len(accumulated) == count
    assert len(computed) == count * (2 if "clean_weight" in settings else 1)


def test_the_first_pass_freezes_weights_without_a_clean_term() -> None:
    model, (images, labels) = make_model(), batch()
    needed = []
    model.register_forward_pre_hook(
        lambda module, inputs: needed.append([p.requires_grad for p in module.parameters()])
    )
    model[0].bias.requires_grad_(False)
    puzzle_mix_backward(model, images, labels, make(PuzzleMix))
    usual = [p is not model[0].bias for p in model.parameters()]
    assert needed == [[False] * len(usual), usual]
    assert [p.requires_grad for p in model.parameters()] == usual
    assert model[0].bias.grad is None
    puzzle_mix_backward(model, images, labels, make(PuzzleMix), clean_weight=1.0)
    assert needed[2:] == [usual, usual]
    assert model[0].bias.grad is None


def test_the_mixer_s_callable_gives_the_saliency() -> None:
    model, (images, labels) = make_model().eval(), batch()
    watch = Watch(model)
    puzzle_mix_backward(model, images, labels, make(PuzzleMix, saliency=spectral_saliency))
    assert len(watch.seen) == 1
    want, _ = make(PuzzleMix)(images, labels, spectral_saliency(images))
    assert torch.equal(watch.seen[0], want)
    # Saliency by the same network is equal whether the first pass or the callable computes it.
    puzzle_mix_backward(model, images, labels, make(PuzzleMix))
    puzzle_mix_backward(
        model, images, labels, make(PuzzleMix, saliency=partial(gradient_saliency, model))
    )
    torch.testing.assert_close(watch.seen[-1], watch.seen[2])


def test_unused_parameters_and_those_of_the_loss() -> None:
    class Tempered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def forward(self, outputs: Tensor, weights: Tensor) -> Tensor:
            return F.cross_entropy(outputs / self.temperature, weights)

    images, labels = batch()
    model, loss_fn = make_model(norm=False), Tempered()
    model.unused = nn.Linear(2, 2)
    model.forward = lambda x: nn.Sequential(*list(model)[:6])(x)
    puzzle_mix_backward(
        model, images, labels, Still(num_classes=5), clean_weight=1.0, loss_fn=loss_fn
    )
    assert model.unused.weight.grad is None
    got = loss_fn.temperature.grad
    assert got is not None
    loss = 2 * loss_fn(model(images), torch.eye(5, dtype=torch.float64)[labels])
    (want,) = torch.autograd.grad(loss, loss_fn.temperature)
    torch.testing.assert_close(got, want)


def test_a_failing_call_leaves_gradients_unchanged() -> None:
    images, labels = batch()
    model = make_model()
    calls = []

    def second_fails(module: nn.Module, inputs: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("broken")

    model.register_forward_pre_hook(second_fails)
    with pytest.raises(RuntimeError, match="broken"):
        puzzle_mix_backward(model, images, labels, make(PuzzleMix), clean_weight=1.0)
    assert gradients(model) == []
    assert all(p.requires_grad for p in model.parameters())
    assert model[1].track_running_stats


def test_a_model_that_writes_to_its_input() -> None:
    images, labels = batch()
    images -= 0.5
    kept = images.clone()
    model, twin = make_model(norm=False), make_model(norm=False)
    writes = nn.Sequential(nn.ReLU(inplace=True), model)
    keeps = nn.Sequential(nn.ReLU(), twin)
    puzzle_mix_backward(writes, images, labels, make(MixUp), clean_weight=1.0)
    puzzle_mix_backward(keeps, images, labels, make(MixUp), clean_weight=1.0)
    assert torch.equal(images, kept)
    assert_same(gradients(model), gradients(twin))


def test_without_gradients_around_it() -> None:
    images, labels = batch()
    model, other = make_model(), make_model()
    puzzle_mix_backward(model, images, labels, make(PuzzleMix), clean_weight=1.0)
    with torch.no_grad():
        puzzle_mix_backward(
            other, images.requires_grad_(), labels, make(PuzzleMix), clean_weight=1.0
        )
    assert images.grad is None
    assert_same(gradients(other), gradients(model))


# ---- Precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MixUp, PuzzleMix])
@pytest.mark.parametrize("clean_weight", [0.0, 0.5])
def test_a_scaler(kind: type[Mixer], clean_weight: float) -> None:
    images, labels = batch()
    model, plain = make_model(), make_model()
    want = puzzle_mix_backward(plain, images, labels, make(kind), clean_weight=clean_weight)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**13)
    got = puzzle_mix_backward(
        model, images, labels, make(kind), clean_weight=clean_weight, scaler=scaler
    )
    assert_same([g / 2**13 for g in gradients(model)], gradients(plain))
    torch.testing.assert_close(got, want)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, plain)]
    scaler.step(optimizers[0])
    scaler.update()
    optimizers[1].step()
    assert_same(list(model.parameters()), list(plain.parameters()))


def test_saliency_comes_unscaled() -> None:
    seen = []

    class Curious(PuzzleMix):
        def plan(self, images: Tensor, labels: Any = None, saliency: Any = None) -> Plan:
            seen.append(saliency)
            return super().plan(images, labels, saliency)

    model, (images, labels) = make_model(), batch()
    want = gradient_saliency(model, images, labels)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**13)
    for settings in ({}, {"clean_weight": 0.25}, {"scaler": scaler, "clean_weight": 0.25}):
        puzzle_mix_backward(model, images, labels, make(Curious, grids=(4,)), **settings)
        torch.testing.assert_close(seen[-1], want)


def test_a_scale_too_large_skips_the_step() -> None:
    images, labels = (part.float() if part.is_floating_point() else part for part in batch())
    model = make_model().float()
    before = copy.deepcopy(model.state_dict())
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = puzzle_mix_backward(
        model,
        images,
        labels,
        make(PuzzleMix),
        clean_weight=10.0,
        adversarial_prob=1.0,
        loss_fn=lambda outputs, weights: 10 * F.cross_entropy(outputs, weights),
        scaler=scaler,
    )
    assert loss.isfinite()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() < 3e38
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("clean_weight", [0.0, 0.5])
def test_under_autocast(clean_weight: float) -> None:
    images, labels = batch()
    images = images.float()
    model, plain = make_model().float(), make_model().float()
    # The mix itself should be the same, so saliency is the images'.
    mixer = partial(make, PuzzleMix, saliency=spectral_saliency)
    want = puzzle_mix_backward(plain, images, labels, mixer(), clean_weight=clean_weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = puzzle_mix_backward(model, images, labels, mixer(), clean_weight=clean_weight)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(float(want), rel=0.02)
    for one, other in zip(gradients(model), gradients(plain), strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).norm()) <= 0.1 * float(other.norm()) + 1e-3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert puzzle_mix_backward(model, images, labels, make(PuzzleMix)).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_throughout(dtype: torch.dtype) -> None:
    images, labels = batch()
    model = make_model().to(dtype)
    loss = puzzle_mix_backward(
        model, images.to(dtype), labels, make(PuzzleMix), clean_weight=0.5, adversarial_prob=0.5
    )
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(g.dtype == dtype and g.isfinite().all() for g in gradients(model))


# ---- Outputs, losses and labels of any kind -----------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    "put",
    [lambda y: SimpleNamespace(logits=y), lambda y: (y, 2 * y), lambda y: {"loss": 1, "logits": y},
     lambda y: [y]],
)  # fmt: skip
@pytest.mark.parametrize("loss_fn", [F.cross_entropy, F.binary_cross_entropy_with_logits])
def test_outputs_of_any_kind(kind: type[Mixer], put: Any, loss_fn: Any) -> None:
    images, labels = batch()
    plain, model = make_model(), make_model()
    options = {"clean_weight": 0.5, "loss_fn": loss_fn}
    want = puzzle_mix_backward(plain, images, labels, make(kind), **options)
    got = puzzle_mix_backward(Wrapped(model, put), images, labels, make(kind), **options)
    assert torch.equal(got, want)
    assert_same(gradients(model), gradients(plain), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ALL)
def test_outputs_without_logits_are_refused(kind: type[Mixer]) -> None:
    model = Wrapped(make_model(), lambda y: {"scores": 3})
    with pytest.raises(TypeError, match="model: expected it to return a tensor, an object with"):
        puzzle_mix_backward(model, *batch(), make(kind))


@pytest.mark.parametrize("kind", ALL)
def test_one_logit(kind: type[Mixer]) -> None:
    """Cross-entropy of one logit is constant and refused; another loss trains."""
    images, labels = batch()
    model = nn.Sequential(make_model(), nn.Linear(5, 1).double())
    with pytest.raises(ValueError, match="loss_fn: expected one for a single logit, such as"):
        puzzle_mix_backward(model, images, labels % 2, make(kind, num_classes=2))
    seen = []

    class Curious(kind):  # type: ignore[misc, valid-type]
        def plan(self, images: Tensor, labels: Any = None, saliency: Any = None) -> Plan:
            seen.append(saliency)
            return super().plan(images, labels, saliency)

    wanted = (labels % 2)[:, None].float()
    given = {"clean_weight": 1.0, "loss_fn": F.binary_cross_entropy_with_logits}
    mixer = make(Curious, num_classes=1, **({"grids": (4,)} if kind is PuzzleMix else {}))
    puzzle_mix_backward(model, images, wanted, mixer, **given)
    assert all(g.abs().max() > 0 for g in gradients(model))
    if kind is PuzzleMix:
        want = gradient_saliency(model, images, wanted, loss_fn=given["loss_fn"])
        torch.testing.assert_close(seen[0], want)
        assert (seen[0].amax((1, 2)) > 0).all()


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("clean_weight", [0.0, 1.0])
def test_bad_labels_are_refused_before_anything_runs(
    kind: type[Mixer], clean_weight: float
) -> None:
    model, (images, _) = make_model(), batch()
    watch, rng = Watch(model), seeded()
    mixer, state = make(kind, generator=rng), rng.get_state()
    for labels, error, message in (
        (torch.tensor([0, 1, 2, 0, 1, 2])[:, None], ValueError, "K = num_classes = 5, got shape"),
        (torch.rand(6, 4), ValueError, "K = num_classes = 5, got shape"),
        (torch.tensor([0, 1, 2, 3, 4, 5]), ValueError, "expected integers from 0 to 4, got 0 to 5"),
        (torch.rand(6), TypeError, r"expected integers \[N\] or weights"),
    ):
        with pytest.raises(error, match="^labels: .*" + message):
            puzzle_mix_backward(
                model, images, labels, mixer, clean_weight=clean_weight, adversarial_prob=0.5
            )
    assert watch.seen == []
    assert torch.equal(rng.get_state(), state)
    unnamed = make(kind, num_classes=None)
    with pytest.raises(ValueError, match=r"labels: .* without num_classes, got integers \[6, 1\]"):
        puzzle_mix_backward(model, images, torch.zeros(6, 1).long(), unnamed)


@pytest.mark.parametrize("kind", ALL)
def test_a_compiled_mixer(kind: type[Mixer]) -> None:
    images, labels = batch()
    plain, model = make_model(), make_model()
    compiled = torch.compile(make(kind), backend="eager")
    want = puzzle_mix_backward(plain, images, labels, make(kind), adversarial_prob=0.5)
    got = puzzle_mix_backward(model, images, labels, compiled, adversarial_prob=0.5)
    assert torch.equal(got, want)
    assert_same(gradients(model), gradients(plain), rtol=0, atol=0)


def test_saliency_given_as_an_argument() -> None:
    images, labels = batch()
    maps = torch.rand(6, 8, 8)
    model = make_model().eval()
    watch = Watch(model)
    loss = puzzle_mix_backward(model, images, labels, make(PuzzleMix), saliency=maps)
    assert len(watch.seen) == 1
    mixed, weights = make(PuzzleMix)(images, labels, maps)
    assert torch.equal(watch.seen[0], mixed)
    torch.testing.assert_close(loss, F.cross_entropy(model(mixed), weights.double()).detach())
    with pytest.raises(ValueError, match="saliency: expected shape"):
        puzzle_mix_backward(model, images, labels, make(PuzzleMix), saliency=maps[:5])
    puzzle_mix_backward(model, images, labels, make(MixUp), saliency=maps)  # ignored


@pytest.mark.parametrize("kind", ALL)
def test_channels_last_reaches_the_model(kind: type[Mixer]) -> None:
    images, labels = (part.float() if part.is_floating_point() else part for part in batch())
    last = images.contiguous(memory_format=torch.channels_last)
    model = make_model().float()
    strides = []
    model.register_forward_pre_hook(lambda module, inputs: strides.append(inputs[0].stride()))
    puzzle_mix_backward(model, last, labels, make(kind), clean_weight=1.0, adversarial_prob=0.5)
    assert strides == [last.stride()] * 2


def test_buffers_move_with_the_mix_alone() -> None:
    images, labels = batch()
    model, plain = (
        nn.Sequential(nn.utils.parametrizations.spectral_norm(m[0]), *m[1:])
        for m in (make_model(), make_model())
    )
    plain.load_state_dict(model.state_dict())
    puzzle_mix_backward(model, images, labels, make(PuzzleMix), clean_weight=1.0)
    saliency = gradient_saliency(plain, images, labels)
    plain(make(PuzzleMix).plan(images, labels, saliency).images(images))
    for one, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_that_writes_to_its_input_gives_saliency() -> None:
    images, labels = batch()
    images -= 0.5
    writes = nn.Sequential(nn.ReLU(inplace=True), make_model())
    keeps = nn.Sequential(nn.ReLU(), make_model())
    for clean_weight in (0.0, 1.0):
        losses = [
            puzzle_mix_backward(
                model, images, labels, make(PuzzleMix), clean_weight=clean_weight,
                adversarial_prob=0.5,
            )
            for model in (writes, keeps)
        ]  # fmt: skip
        torch.testing.assert_close(*losses)
    assert_same(gradients(writes), gradients(keeps))


# ---- Adversarial noise --------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [False, True])
def test_noise_by_hand(normalised: bool) -> None:
    pixels, labels = batch(64)
    pixels[:, :, :4] = (pixels[:, :, :4] > 0.5).double()  # some on the border of [0, 1]
    mean = torch.tensor((0.4, 0.5, 0.6), dtype=torch.float64)[:, None, None]
    std = torch.tensor((0.2, 0.25, 0.3), dtype=torch.float64)[:, None, None]
    options = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)} if normalised else {}
    if not normalised:
        mean, std = torch.zeros_like(mean), torch.ones_like(std)
    images = (pixels - mean) / std
    model = make_model().eval()
    watch = Watch(model)

    class Alone(PuzzleMix):
        plan = Still.plan

    mixer = Alone(num_classes=5, generator=seeded(), **options)
    puzzle_mix_backward(model, images, labels, mixer, adversarial_prob=0.4)
    start, end = (seen * std + mean for seen in watch.seen)
    chosen = (watch.seen[0] != images).flatten(1).any(1)
    assert 12 <= int(chosen.sum()) <= 40
    for seen in watch.seen:
        assert torch.equal(seen[~chosen], images[~chosen])
    start, end, pixels = start[chosen], end[chosen], pixels[chosen]
    assert float((start - pixels).abs().max()) == pytest.approx(EPS, rel=1e-2)
    inner = start[:, :, 4:] - pixels[:, :, 4:]
    assert float(inner.std()) == pytest.approx(EPS / 3**0.5, rel=0.05)
    for images_01 in (start, end):
        assert images_01.min() >= -1e-12
        assert images_01.max() <= 1 + 1e-12

    inputs = watch.seen[0].requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), labels), inputs)
    step = start - pixels + (EPS + 2 / 255) * gradient[chosen].sign()
    whole = (pixels + step.clamp(-EPS, EPS)).clamp(0, 1) - pixels
    kept = end - pixels
    share = (kept * whole).flatten(1).sum(1) / (whole**2).flatten(1).sum(1)
    assert share.min() > 0
    assert share.max() < 1
    assert len(share.unique()) == len(share)
    assert 0.2 < share.std() < 0.4
    torch.testing.assert_close(kept, share[:, None, None, None] * whole, rtol=0, atol=1e-8)


def test_saliency_and_the_clean_term_are_of_the_noisy_images() -> None:
    images, labels = batch()
    model, twin = make_model().eval(), make_model().eval()
    watch = Watch(model)
    saliencies = []

    class Curious(PuzzleMix):
        def plan(self, images: Tensor, labels: Any = None, saliency: Any = None) -> Plan:
            saliencies.append((images, saliency))
            return Still.plan(self, images)

    mixer = Curious(num_classes=5, generator=seeded())
    loss = puzzle_mix_backward(model, images, labels, mixer, adversarial_prob=1.0, clean_weight=0.5)
    noisy, mixed = watch.seen
    assert torch.equal(saliencies[0][0], noisy)
    torch.testing.assert_close(saliencies[0][1], gradient_saliency(twin, noisy, labels))
    want = F.cross_entropy(twin(mixed), labels) + 0.5 * F.cross_entropy(twin(noisy), labels)
    want.backward()
    assert_same(gradients(model), gradients(twin))
    torch.testing.assert_close(loss, want.detach())


def test_noise_raises_the_loss() -> None:
    images, labels = batch()
    model = make_model().eval()
    plain = puzzle_mix_backward(model, images, labels, Still(num_classes=5))
    noisy = puzzle_mix_backward(model, images, labels, Still(num_classes=5), adversarial_prob=1.0)
    assert noisy > plain
    none = puzzle_mix_backward(
        model, images, labels, Still(num_classes=5), adversarial_prob=1.0, adversarial_eps=0.0
    )
    torch.testing.assert_close(none, plain)


def test_the_generator_draws_the_noise() -> None:
    images, labels = batch()
    runs = []
    state = torch.get_rng_state()
    for _ in range(2):
        model = make_model()
        torch.set_rng_state(state)
        watch, mixer = Watch(model), make(PuzzleMix)
        for _ in range(2):
            puzzle_mix_backward(model, images, labels, mixer, adversarial_prob=0.7)
        runs.append(watch.seen)
        assert torch.equal(torch.get_rng_state(), state)
    assert_same(runs[0], runs[1], rtol=0, atol=0)
    assert not torch.equal(runs[0][0], runs[0][2])
    # Without noise only the mixer draws.
    plain = make_model()
    watch = Watch(plain)
    puzzle_mix_backward(plain, images, labels, make(MixUp))
    assert torch.equal(watch.seen[0], make(MixUp)(images, labels)[0])


def test_features_get_noise_too() -> None:
    model = nn.Linear(7, 5)
    features, labels = torch.rand(6, 7), torch.arange(6) % 5
    watch = Watch(model)
    puzzle_mix_backward(model, features, labels, make(MixUp), adversarial_prob=1.0)
    assert 0 < float((watch.seen[0] - features).abs().max()) <= EPS * 1.0001


# ---- Processes and compilers --------------------------------------------------------------------


@pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()),
    reason="this PyTorch was built without gloo",
)
def test_two_processes_equal_one_with_the_whole_batch() -> None:
    here = Path(__file__).parent
    paths = [str(here.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
    }
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*run, str(here / "ddp_step.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "rank 0 of 2 agrees" in done.stdout
    assert "rank 1 of 2 agrees" in done.stdout


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("per_sample", [False, True])
def test_a_step_compiles_in_one_graph(kind: type[Mixer], per_sample: bool) -> None:
    images, labels = batch()
    model = make_model()
    settings = {"saliency": spectral_saliency} if kind is PuzzleMix else {}
    plan = make(kind, per_sample=per_sample, **settings).plan(images, labels)

    def step(images: Tensor, labels: Tensor, plan: Plan) -> Tensor:
        weights = plan.labels(labels)
        return F.cross_entropy(model(plan.images(images)), weights.double())

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    got = compiled(images, labels, plan)
    want = step(images, labels, plan)
    torch.testing.assert_close(got, want)
    ours = torch.autograd.grad(got, list(model.parameters()))
    theirs = torch.autograd.grad(want, list(model.parameters()))
    assert_same(list(ours), list(theirs))


@pytest.mark.parametrize("clean_weight", [0.0, 0.5])
def test_a_compiled_model(clean_weight: float) -> None:
    images, labels = batch()
    plain, model = make_model(), make_model()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for _ in range(2):
        want = puzzle_mix_backward(
            plain, images, labels, make(PuzzleMix), clean_weight=clean_weight
        )
        got = puzzle_mix_backward(
            compiled, images, labels, make(PuzzleMix), clean_weight=clean_weight
        )
        torch.testing.assert_close(got, want)
        assert_same(gradients(model), gradients(plain))
    for one, other in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


# ---- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"clean_weight": -1}, ValueError, "clean_weight: expected a finite number of at least 0"),
        ({"clean_weight": "1"}, TypeError, "clean_weight: expected a number, got str"),
        ({"adversarial_prob": 1.5}, ValueError, "adversarial_prob: expected a number from 0 to 1"),
        ({"adversarial_eps": -0.1}, ValueError, "adversarial_eps: expected a finite number of at"),
        ({"images": [1.0]}, TypeError, "images: expected a tensor, got list"),
        ({"images": torch.zeros(6, 3, 16, 16).int()}, TypeError, "images: expected dtype float16"),
        ({"images": torch.zeros(6, 16, 16)}, ValueError, r"images: expected shape \[B, C, Y, X\]"),
        ({"labels": None}, TypeError, "labels: expected a tensor, got NoneType"),
        ({"labels": torch.zeros(5).long()}, ValueError, r"labels: expected shape \[N\] or \[N, K"),
        ({"labels": torch.zeros(6, device="meta").long()}, ValueError, "labels: expected device"),
        ({"mixer": PuzzleMix()}, ValueError, r"labels: expected weights .* without num_classes"),
        ({"mixer": 3}, TypeError, "mixer: expected MixUp, CutMix, Cutout or PuzzleMix, got int"),
        (
            {"mixer": ManifoldMixUp(make_model(), layers=["0"])},
            TypeError,
            "mixer: expected MixUp, CutMix, Cutout or PuzzleMix, got ManifoldMixUp",
        ),
        ({"model": nn.Flatten(), "loss_fn": partial(F.cross_entropy, reduction="none"),
          "mixer": MixUp(num_classes=768)},
         ValueError, r"loss_fn: expected one number, a mean over the batch, got shape \[6\]"),
    ],
)  # fmt: skip
def test_refusals(given: dict[str, Any], error: type[Exception], message: str) -> None:
    images, labels = batch()
    arguments: dict[str, Any] = {
        "model": make_model(),
        "images": images,
        "labels": labels,
        "mixer": make(PuzzleMix),
    }
    with pytest.raises(error, match=message):
        puzzle_mix_backward(**(arguments | given))


def test_outputs_that_ignore_the_images_are_refused() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(5))

        def forward(self, x: Tensor) -> Tensor:
            return self.bias.expand(len(x), 5)

    with pytest.raises(ValueError, match="model: expected outputs that depend on the images"):
        puzzle_mix_backward(Constant(), *batch(), make(PuzzleMix), clean_weight=1.0)
