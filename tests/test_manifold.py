"""Manifold mixup against mixing the hidden state by hand; what it refuses, and leaves behind."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from puzzlemix.manifold import ManifoldMixUp
from puzzlemix.mixers import MixUp

LAYERS = ("input", "0", "body", "body.1", "3", "head")


class Net(nn.Sequential):
    """Layers of several ranks: images, features, and one inside another."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.Conv2d(3, 4, 3))
        self.add_module("body", nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3)))
        self.add_module("2", nn.AdaptiveAvgPool2d(2))
        self.add_module("3", nn.Flatten())
        self.add_module("head", nn.Linear(24, 5))


def make_model() -> Net:
    torch.manual_seed(0)
    return Net()


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 3, 8, 8), generator=generator), torch.arange(count) % 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(model: Net, images: Tensor, layer: str, lam: Tensor, index: Tensor) -> Tensor:
    """The network with lambda h + (1 - lambda) h[index] in place of one layer's output h."""

    def mixed(h: Tensor) -> Tensor:
        share = lam.view(-1, *(1,) * (h.dim() - 1))
        return share * h + (1 - share) * h[index]

    h = mixed(images) if layer == "input" else images
    for name, module in model.named_children():
        h = module(h)
        if layer == name or (name == "body" and layer == "body.1"):
            h = mixed(h)
    return h


@pytest.mark.parametrize("layer", LAYERS)
def test_by_hand(layer: str) -> None:
    model, (images, labels) = make_model(), batch()
    kept = images.clone()
    plan = MixUp(num_classes=5, alpha=0.5, generator=seeded(3)).plan(images, labels)
    assert plan.index is not None
    mixer = ManifoldMixUp(model, layers=[layer], num_classes=5, alpha=0.5, generator=seeded(3))
    outputs, weights = mixer(images, labels)
    want = by_hand(model, images, layer, plan.ratio, plan.index)
    torch.testing.assert_close(outputs, want)
    assert not torch.allclose(outputs, model(images))
    one_hot = torch.eye(5)[labels]
    lam = plan.ratio[:, None]
    assert torch.equal(weights, lam * one_hot + (1 - lam) * one_hot[plan.index])
    assert torch.equal(images, kept)
    got = torch.autograd.grad(F.cross_entropy(outputs, weights), list(model.parameters()))
    expected = torch.autograd.grad(F.cross_entropy(want, weights), list(model.parameters()))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_layers_are_drawn_uniformly() -> None:
    model, (images, labels) = make_model(), batch()
    mixer = ManifoldMixUp(model, layers=LAYERS, num_classes=5, generator=seeded())
    plans = MixUp(num_classes=5, generator=seeded())
    assert plans.generator is not None
    drawn = []
    for _ in range(240):
        plan = plans.plan(images, labels)
        layer = LAYERS[int(torch.randint(len(LAYERS), (), generator=plans.generator))]
        drawn.append(layer)
        assert plan.index is not None
        want = by_hand(model, images, layer, plan.ratio, plan.index)
        outputs, weights = mixer(images, labels)
        torch.testing.assert_close(outputs, want)
        assert torch.equal(weights, plan.labels(labels))
    assert all(20 <= drawn.count(layer) <= 60 for layer in LAYERS)


def test_draws_and_state() -> None:
    model, (images, labels) = make_model(), batch()

    def make(seed: int) -> ManifoldMixUp:
        return ManifoldMixUp(model, layers=LAYERS, num_classes=5, generator=seeded(seed))

    state = torch.get_rng_state()
    mixer = make(1)
    mixer(images, labels)
    saved = copy.deepcopy(mixer.state_dict())
    want = [mixer(images, labels) for _ in range(4)]
    other = make(9)
    other.load_state_dict(saved)
    for outputs, weights in want:
        again = other(images, labels)
        assert torch.equal(outputs, again[0])
        assert torch.equal(weights, again[1])
    assert torch.equal(torch.get_rng_state(), state)
    # Without a generator draws come from the global state.
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        loose = ManifoldMixUp(model, layers=LAYERS, num_classes=5)
        runs.append([loose(images, labels)[0] for _ in range(3)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_the_model_stays_the_callers() -> None:
    model = make_model()
    mixer = ManifoldMixUp(model, layers=LAYERS, num_classes=5, generator=seeded())
    assert mixer.model is model
    assert list(mixer.parameters()) == []
    assert list(mixer.state_dict()) == ["mixup._extra_state"]
    both = nn.ModuleDict({"model": model, "mixer": mixer})
    names = [name for name in both.state_dict() if not name.endswith("_extra_state")]
    assert names == [f"model.{name}" for name in model.state_dict()]
    mixer.eval()
    assert model.training
    twin = pickle.loads(pickle.dumps(mixer))
    assert torch.equal(twin(*batch())[0], mixer(*batch())[0])
    assert "layers=('input', '0'" in repr(mixer)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_no_hook_stays_behind() -> None:
    model, (images, labels) = make_model(), batch()
    mixer = ManifoldMixUp(model, layers=LAYERS, num_classes=5)
    for _ in range(20):
        mixer(images, labels)
    assert hooks(model) == 0
    assert torch.equal(model(images), model(images))

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    handle = model.head.register_forward_hook(fail)
    mixer = ManifoldMixUp(model, layers=["0"], num_classes=5)
    with pytest.raises(RuntimeError, match="broken"):
        mixer(images, labels)
    handle.remove()
    assert hooks(model) == 0


def test_other_hooks_still_see_the_layer_s_output() -> None:
    model, (images, labels) = make_model(), batch()
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    want = model[0](images)
    ManifoldMixUp(model, layers=["0"], num_classes=5)(images, labels)
    torch.testing.assert_close(seen[-1], want)


def test_under_autocast_and_in_other_types() -> None:
    model, (images, labels) = make_model(), batch()
    for layer in LAYERS:
        want, _ = ManifoldMixUp(model, layers=[layer], num_classes=5, generator=seeded())(
            images, labels
        )
        mixer = ManifoldMixUp(model, layers=[layer], num_classes=5, generator=seeded())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got, _ = mixer(images, labels)
        assert float((got - want).detach().norm()) < 0.05 * float(want.detach().norm())
    double = ManifoldMixUp(
        copy.deepcopy(model).double(), layers=["body"], num_classes=5, generator=seeded()
    )
    single = ManifoldMixUp(model, layers=["body"], num_classes=5, generator=seeded())
    torch.testing.assert_close(
        double(images.double(), labels)[0].float(), single(images, labels)[0]
    )


def test_weights_odd_batches_and_sequences() -> None:
    model = nn.Sequential(nn.Linear(7, 4), nn.Tanh(), nn.Linear(4, 3))
    speech, weights = torch.rand(5, 11, 7), torch.rand(5, 3).softmax(1)
    outputs, mixed = ManifoldMixUp(model, layers=["0", "1"])(speech, weights)
    assert outputs.shape == (5, 11, 3)
    assert mixed.shape == (5, 3)
    torch.testing.assert_close(mixed.sum(1), torch.ones(5))
    assert ManifoldMixUp(model, layers=["1"])(speech[:1], weights[:1])[0].shape == (1, 11, 3)


# ---- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"layers": ["0", "tail"]},
            ValueError,
            "layers: expected names among 'input', '', '0', 'body', 'body.0', 'body.1', '2', '3', "
            "'head', got 'tail'",
        ),
        ({"layers": [0]}, ValueError, "layers: expected names among .*, got 0"),
        ({"layers": "head"}, TypeError, "layers: expected a sequence of one name or more"),
        ({"layers": []}, TypeError, "layers: expected a sequence of one name or more"),
        ({"layers": ["0"], "alpha": 0}, ValueError, "alpha: expected a number above 0"),
        ({"layers": ["0"], "num_classes": 0}, ValueError, "num_classes: expected at least 1"),
        ({"layers": ["0"], "generator": 1}, TypeError, "generator: expected a torch.Generator"),
    ],
)
def test_settings_that_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ManifoldMixUp(make_model(), **settings)


def test_a_model_is_a_module() -> None:
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got function"):
        ManifoldMixUp(lambda x: x, layers=["input"])


class Odd(nn.Module):
    """Runs one layer twice and one never; others return what can't be mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 1)
        self.never = nn.Conv2d(3, 3, 1)
        self.pair = Returns(lambda x: (x, x))
        self.integers = Returns(lambda x: x.long())
        self.turned = Returns(lambda x: x.transpose(0, 1))
        self.nothing = Returns(lambda x: x.sum())

    def forward(self, x: Tensor) -> Tensor:
        for module in (self.pair, self.integers, self.turned, self.nothing):
            module(x)
        return self.twice(self.twice(x)).mean((2, 3))


class Returns(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        ("twice", RuntimeError, "layers: expected 'twice' to run once in a forward pass, it ran"),
        ("never", RuntimeError, "layers: expected 'never' to run in the model's forward pass"),
        ("pair", TypeError, "layers: expected a tensor from 'pair', got tuple"),
        ("integers", TypeError, "layers: expected a floating dtype from 'integers', got torch.int"),
        ("turned", ValueError, r"layers: expected 6 rows from 'turned', .*, got shape \[3, 6, 8,"),
        ("nothing", ValueError, r"layers: expected 6 rows from 'nothing', .*, got shape \[\]"),
    ],
)
def test_layers_that_cannot_be_mixed(layer: str, error: type[Exception], message: str) -> None:
    model = Odd()
    mixer = ManifoldMixUp(model, layers=[layer], num_classes=5)
    with pytest.raises(error, match=message):
        mixer(*batch())
    assert hooks(model) == 0


def test_layers_of_compiled_models_are_refused() -> None:
    model, (images, labels) = make_model(), batch()
    want = model(images)
    whole = torch.compile(model, backend="eager")
    for layer in ("_orig_mod.0", "_orig_mod.body.1"):
        with pytest.raises(ValueError, match=f"got '{layer}' within 'the model'; give the model"):
            ManifoldMixUp(whole, layers=[layer], num_classes=5)(images, labels)
    torch.testing.assert_close(whole(images), want)
    # The images, and layers outside of the compiled module, are accepted.
    outputs, _ = ManifoldMixUp(whole, layers=["input"], num_classes=5, generator=seeded())(
        images, labels
    )
    plain = ManifoldMixUp(model, layers=["input"], num_classes=5, generator=seeded())
    torch.testing.assert_close(outputs, plain(images, labels)[0])
    part = make_model()
    part.body.compile(backend="eager")
    for layer in ("body", "body.1"):
        with pytest.raises(ValueError, match=f"got '{layer}' within 'body'"):
            ManifoldMixUp(part, layers=[layer], num_classes=5)(images, labels)
    outputs, _ = ManifoldMixUp(part, layers=["0"], num_classes=5, generator=seeded())(
        images, labels
    )
    plain = ManifoldMixUp(model, layers=["0"], num_classes=5, generator=seeded())
    torch.testing.assert_close(outputs, plain(images, labels)[0])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.zeros(6, 1).long(), ValueError, r"labels: .* K = num_classes = 5, got .*\[6, 1\]"),
        (torch.rand(6, 4), ValueError, r"labels: .* K = num_classes = 5, got shape \[6, 4\]"),
        (torch.full((6,), 5), ValueError, "labels: expected integers from 0 to 4, got 5 to 5"),
        (torch.rand(6), TypeError, r"labels: expected integers \[N\] or weights"),
    ],
)
@pytest.mark.parametrize("layer", ["input", "0"])
def test_bad_labels_are_refused_before_any_draw(
    labels: Tensor, error: type[Exception], message: str, layer: str
) -> None:
    rng = seeded()
    state = rng.get_state()
    mixer = ManifoldMixUp(make_model(), layers=[layer], num_classes=5, generator=rng)
    with pytest.raises(error, match=message):
        mixer(batch()[0], labels)
    assert torch.equal(rng.get_state(), state)


def test_without_a_generator_there_is_no_state() -> None:
    assert dict(ManifoldMixUp(make_model(), layers=["0"]).state_dict()) == {}


def test_calls_are_checked_like_those_of_mixup() -> None:
    mixer = ManifoldMixUp(make_model(), layers=["0"])
    with pytest.raises(ValueError, match=r"labels: expected weights .* without num_classes"):
        mixer(*batch())
    with pytest.raises(TypeError, match="images: expected a tensor, got list"):
        mixer([1.0], torch.zeros(1).long())
