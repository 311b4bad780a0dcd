"""The mixers: their draws, their plans, and what training needs of them."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from typing import Any

import pytest
import torch
from pairs import make_pairs
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, default_collate

from puzzlemix.draws import beta
from puzzlemix.manifold import ManifoldMixUp
from puzzlemix.mixers import CutMix, Cutout, Mixer, MixUp, PuzzleMix
from puzzlemix.plan import Plan
from puzzlemix.puzzle import puzzle_mix

ALL: list[type[Mixer]] = [MixUp, CutMix, Cutout, PuzzleMix]


def brightness(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """A saliency that needs no network."""
    return images.abs().mean(1).float()


def make(kind: type[Mixer], **settings: Any) -> Mixer:
    settings = {"num_classes": 10} | settings
    if kind is PuzzleMix:
        settings = {"grids": (2, 4), "saliency": brightness} | settings
    return kind(**settings)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 6, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return make_pairs(count, 16, 16, dtype=dtype).x1, torch.arange(count) % 10


def same(one: Plan, other: Plan) -> bool:
    fields = ("index", "ratio", "mask", "source1", "source2")
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)


# ---- All mixers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("count", [1, 5, 6])
@pytest.mark.parametrize("per_sample", [False, True])
def test_the_call(kind: type[Mixer], count: int, per_sample: bool) -> None:
    images, labels = batch(count)
    kept = images.clone(), labels.clone()
    mixer = make(kind, per_sample=per_sample, generator=seeded())
    mixed, weights = mixer(images, labels)
    assert mixed.shape == images.shape
    assert mixed.dtype == images.dtype
    assert weights.shape == (count, 10)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(1), torch.ones(count))
    assert torch.equal(images, kept[0])
    assert torch.equal(labels, kept[1])
    mixed.zero_()
    weights.zero_()
    assert torch.equal(images, kept[0])


@pytest.mark.parametrize("kind", ALL)
def test_the_call_applies_the_plan(kind: type[Mixer]) -> None:
    images, labels = batch()
    mixed, weights = make(kind, generator=seeded(3))(images, labels)
    plan = make(kind, generator=seeded(3)).plan(images, labels)
    assert torch.equal(plan.images(images), mixed)
    assert torch.equal(plan.labels(labels), weights)
    assert plan.num_classes == 10
    # Labels as weights give the same as labels as integers.
    again = make(kind, num_classes=None, generator=seeded(3))(images, torch.eye(10)[labels])
    assert torch.equal(again[1], weights)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_ratio_is_the_mean_of_the_mask(
    kind: type[Mixer], per_sample: bool, dtype: torch.dtype
) -> None:
    images, labels = batch(6, dtype)
    mixer = make(kind, per_sample=per_sample, generator=seeded())
    real = torch.float64 if dtype == torch.float64 else torch.float32
    for _ in range(5):
        plan = mixer.plan(images, labels)
        assert plan.ratio.dtype == plan.mask.dtype == real
        torch.testing.assert_close(plan.mask.double().mean((1, 2)), plan.ratio.double())
        if kind is Cutout:
            assert plan.index is None
        else:
            assert plan.index is not None
            assert torch.equal(plan.index.sort().values, torch.arange(6))
        spread = len(plan.ratio.unique())
        if kind is not PuzzleMix:
            assert spread > 1 if per_sample else spread == 1


@pytest.mark.parametrize("kind", ALL)
def test_labels_follow_pixels(kind: type[Mixer]) -> None:
    # Colours that are one-hot by class: a mix's mean colour is its label (Cutout's is its share).
    labels = torch.arange(6) % 4
    images = torch.eye(4)[labels][:, :, None, None].expand(-1, -1, 16, 16).contiguous()
    saliency = make_pairs(6).saliency1
    mixer = make(kind, num_classes=4, per_sample=True, generator=seeded())
    for _ in range(5):
        plan = mixer.plan(images, labels, saliency)
        colours, weights = plan.images(images).mean((2, 3)), plan.labels(labels)
        if kind is Cutout:
            weights = weights * plan.ratio[:, None]
        # lambda of mixup is no multiple of a power of two; every other share is.
        tolerance = 1e-6 if kind is MixUp else 0.0
        torch.testing.assert_close(colours, weights, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ALL)
def test_prob(kind: type[Mixer]) -> None:
    images, labels = batch()
    for mixer in (make(kind, prob=0.0), make(kind, prob=0.0, num_classes=None)):
        weights = torch.eye(10)[labels]
        mixed, got = mixer(images, labels if mixer.num_classes else weights)
        assert torch.equal(mixed, images)
        assert mixed is not images
        assert torch.equal(got, weights)
    mixer = make(kind, prob=0.3, generator=seeded())
    taken = sum(bool((mixer.plan(images, labels).ratio < 1).any()) for _ in range(200))
    assert 35 <= taken <= 85


@pytest.mark.parametrize("kind", ALL)
def test_gradients_flow(kind: type[Mixer]) -> None:
    images, labels = batch()
    images.requires_grad_()
    mixed, _ = make(kind, generator=seeded())(images, labels)
    (gradient,) = torch.autograd.grad(mixed.sum(), images)
    assert gradient.abs().sum() > 0


# ---- Draws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_a_generator_makes_it_reproducible(kind: type[Mixer]) -> None:
    images, labels = batch()
    state = torch.get_rng_state()
    runs = []
    for _ in range(2):
        mixer = make(kind, prob=0.9, per_sample=True, generator=seeded(5))
        runs.append([mixer.plan(images, labels) for _ in range(6)])
    assert all(same(a, b) for a, b in zip(*runs, strict=True))
    assert not same(runs[0][0], runs[0][1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ALL)
def test_without_one_the_global_state_decides(kind: type[Mixer]) -> None:
    images, labels = batch()
    plans = []
    for _ in range(2):
        torch.manual_seed(7)
        plans.append(make(kind, per_sample=True).plan(images, labels))
    assert same(*plans)


@pytest.mark.parametrize("kind", ALL)
def test_training_resumes_where_it_stopped(kind: type[Mixer]) -> None:
    images, labels = batch()
    mixer = make(kind, per_sample=True, generator=seeded(1))
    mixer.plan(images, labels)
    saved = nn.ModuleDict({"mixer": mixer}).state_dict()
    saved = copy.deepcopy(saved)
    want = [mixer.plan(images, labels) for _ in range(3)]
    other = make(kind, per_sample=True, generator=seeded(99))
    nn.ModuleDict({"mixer": other}).load_state_dict(saved)
    assert all(same(plan, other.plan(images, labels)) for plan in want)


@pytest.mark.parametrize("kind", ALL)
def test_without_a_generator_there_is_no_state(kind: type[Mixer]) -> None:
    """Checkpoints load after a mixer is added to a model, removed, or gets a generator."""
    net = nn.Linear(2, 2)
    bare = nn.ModuleDict({"net": net})
    loose = nn.ModuleDict({"net": net, "mixer": make(kind)})
    drawing = nn.ModuleDict({"net": net, "mixer": make(kind, generator=seeded(7))})
    assert list(bare.state_dict()) == list(loose.state_dict())
    assert set(drawing.state_dict()) - set(bare.state_dict()) == {"mixer._extra_state"}
    loose.load_state_dict(bare.state_dict())
    bare.load_state_dict(loose.state_dict())
    state = drawing["mixer"].generator.get_state()
    for one, other, word in ((drawing, bare, "Missing"), (loose, drawing, "Unexpected")):
        with pytest.raises(RuntimeError, match=rf'{word} key.*"mixer._extra_state"'):
            one.load_state_dict(other.state_dict())
        keys = one.load_state_dict(other.state_dict(), strict=False)
        got = keys.missing_keys + keys.unexpected_keys
        assert got == ["mixer._extra_state"]
    assert torch.equal(drawing["mixer"].generator.get_state(), state)


def test_an_empty_state_is_accepted() -> None:
    """Checkpoints of earlier versions hold an empty state."""
    saved = {"_extra_state": torch.empty(0, dtype=torch.uint8)}
    MixUp().load_state_dict(saved)
    with pytest.raises(RuntimeError, match="Missing key"):
        MixUp(generator=seeded()).load_state_dict(saved)


class Collate:
    """A collate function that mixes and returns the plan."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer

    def __call__(self, samples: list[Any]) -> tuple[Tensor, Tensor, Plan]:
        images, labels = default_collate(samples)
        plan = self.mixer.plan(images, labels)
        return plan.images(images), plan.labels(labels), plan


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ALL)
def test_in_a_collate_function(kind: type[Mixer], workers: int) -> None:
    """Batches, workers and epochs draw differently; the whole is reproducible."""
    images, labels = batch(1)
    data = TensorDataset(images.expand(20, -1, -1, -1), labels.expand(20))

    def epochs(seed_of_loader: int) -> list[Plan]:
        mixer = make(kind, per_sample=True, generator=seeded(4))
        loader = DataLoader(
            data,
            batch_size=5,
            num_workers=workers,
            collate_fn=Collate(mixer),
            generator=seeded(seed_of_loader),
        )
        return [plan for _ in range(2) for _, _, plan in loader]

    drawn = epochs(0)
    assert len(drawn) == 8
    assert len({tuple(plan.mask.flatten().tolist()) for plan in drawn}) == 8
    assert all(same(a, b) for a, b in zip(drawn, epochs(0), strict=True))
    if workers:
        assert not same(drawn[0], epochs(1)[0])


def test_a_worker_draws_on_after_its_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch()

    def plans_of(seed: int) -> list[Plan]:
        worker = type("Worker", (), {"seed": seed})
        monkeypatch.setattr("puzzlemix.mixers.get_worker_info", lambda: worker)
        # A copy of the parent's mixer, such as a forked worker has.
        mixer = copy.deepcopy(parent)
        return [mixer.plan(images, labels) for _ in range(2)]

    parent = MixUp(num_classes=10, generator=seeded())
    first, second = plans_of(100), plans_of(101)
    assert not same(first[0], first[1])
    assert not same(first[0], second[0])
    assert same(first[0], plans_of(100)[0])


def collate_by_itself(samples: list[Any]) -> tuple[Tensor, Tensor]:
    """A collate function of a module; each process makes its mixer when it imports the module."""
    return of_the_module(*default_collate(samples))


of_the_module = make(CutMix, num_classes=10, generator=seeded(8))


class CollateByAll:
    """A collate function with a mixer of each kind; returns their plans."""

    def __init__(self) -> None:
        self.mixers = [make(kind, per_sample=True, generator=seeded(4)) for kind in ALL]

    def __call__(self, samples: list[Any]) -> list[Plan]:
        images, labels = default_collate(samples)
        return [mixer.plan(images, labels) for mixer in self.mixers]


def drawn_by_workers(method: str, persistent: bool) -> list[list[Plan]]:
    """The plans of two epochs, two batches each."""
    images, labels = batch(1)
    loader = DataLoader(
        TensorDataset(images.expand(8, -1, -1, -1), labels.expand(8)),
        batch_size=4,
        num_workers=2 if persistent else 1,
        collate_fn=CollateByAll(),
        multiprocessing_context=method,
        persistent_workers=persistent,
        generator=seeded(),
    )
    return [plans for _ in range(2) for plans in loader]


@pytest.mark.parametrize(("method", "persistent"), [("spawn", True), ("forkserver", False)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_workers_by_any_method(method: str, persistent: bool) -> None:
    """Mixers with generators reach them all, and draw as in forked ones, epoch after epoch."""
    forked, others = (drawn_by_workers(each, persistent) for each in ("fork", method))
    for ours, theirs in zip(forked, others, strict=True):
        assert all(same(*plans) for plans in zip(ours, theirs, strict=True))
    for plans in zip(*others, strict=True):
        assert len({tuple(plan.mask.flatten().tolist()) for plan in plans}) == 4


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_with_a_collate_function_of_a_module(method: str) -> None:
    images, labels = batch()
    loader = DataLoader(
        TensorDataset(images, labels),
        batch_size=3,
        num_workers=1,
        collate_fn=collate_by_itself,
        multiprocessing_context=method,
        generator=seeded(),
    )
    for mixed, weights in loader:
        assert mixed.shape == (3, 3, 16, 16)
        torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_the_collate_function_of_a_mixer() -> None:
    """Samples with saliency too, in this process and in a worker that is started anew."""
    images, labels = batch()
    mixer = make(PuzzleMix, saliency=None, generator=seeded())
    data = TensorDataset(images, labels, brightness(images))
    expected = copy.deepcopy(mixer)(images, labels, brightness(images))
    found = mixer.collate([data[number] for number in range(len(data))])
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    loader = DataLoader(
        data, 3, num_workers=1, collate_fn=mixer.collate, multiprocessing_context="spawn"
    )
    shapes = [(tuple(mixed.shape), tuple(weights.shape)) for mixed, weights in loader]
    assert shapes == 2 * [((3, 3, 16, 16), (3, 10))]


@pytest.mark.parametrize("kind", ALL)
def test_copies_draw_on_their_own(kind: type[Mixer]) -> None:
    images, labels = batch()
    mixer = make(kind, generator=seeded())
    mixer.plan(images, labels)
    for twin in (copy.deepcopy(mixer), copy.copy(mixer), pickle.loads(pickle.dumps(mixer))):
        first = copy.deepcopy(twin).plan(images, labels)
        state = mixer.generator.get_state()
        assert same(twin.plan(images, labels), first)
        assert torch.equal(mixer.generator.get_state(), state)


@pytest.mark.parametrize("kind", ALL)
def test_pickling(kind: type[Mixer]) -> None:
    images, labels = batch()
    mixer = make(kind, generator=seeded())
    twin = pickle.loads(pickle.dumps(mixer))
    assert same(mixer.plan(images, labels), twin.plan(images, labels))


@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 8.0])
def test_lambda_is_beta_distributed(alpha: float) -> None:
    lams = beta(alpha, 4000, seeded())
    assert lams.dtype == torch.float64
    assert ((lams >= 0) & (lams <= 1)).all()
    # The half that float64 resolves: near 1 a small alpha leaves no digits.
    known = stats.beta(alpha, alpha)
    low = lams[lams < 0.5]
    assert len(low) == pytest.approx(2000, abs=150)
    assert stats.kstest(low.numpy(), lambda x: 2 * known.cdf(x)).pvalue > 1e-3


def test_a_tiny_alpha_leaves_one_image() -> None:
    lams = beta(1e-3, 4000, seeded())
    assert ((lams < 0.01) | (lams > 0.99)).float().mean() > 0.97
    assert (lams > 0.5).float().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", [MixUp, CutMix, Cutout])
def test_alpha_reaches_the_draws(kind: type[Mixer]) -> None:
    images, _ = batch(400)
    spread = [
        make(kind, alpha=alpha, per_sample=True, generator=seeded()).plan(images).ratio.std()
        for alpha in (0.1, 1.0, 50.0)
    ]
    assert spread[0] > spread[1] > spread[2]


# ---- Single mixers ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (50,), (7, 9), (3, 8, 8), (3, 2, 8, 8)])
def test_mixup_takes_tensors_of_any_rank(shape: tuple[int, ...]) -> None:
    x = torch.rand(4, *shape)
    mixer = MixUp(num_classes=10, per_sample=True, generator=seeded())
    plan = mixer.plan(x)
    assert plan.index is not None
    lam = plan.ratio.view(4, *(1,) * len(shape))
    assert torch.equal(plan.images(x), lam * x + (1 - lam) * x[plan.index])


@pytest.mark.parametrize("kind", [CutMix, Cutout])
@pytest.mark.parametrize("per_sample", [False, True])
def test_boxes(kind: type[Mixer], per_sample: bool) -> None:
    images = torch.rand(7, 2, 20, 90)
    mixer = kind(per_sample=per_sample, generator=seeded())
    ratios = []
    for _ in range(20):
        plan = mixer.plan(images)
        assert plan.mask.shape == (7, 20, 90)
        assert set(plan.mask.unique().tolist()) <= {0.0, 1.0}
        for mask in plan.mask:
            rows, columns = (mask == 0).any(1), (mask == 0).any(0)
            # A box is the product of an interval of rows and one of columns.
            assert torch.equal(mask == 0, rows[:, None] & columns)
            for line in (rows, columns):
                assert int(line.int().diff().abs().sum()) <= 2
        ratios.append(plan.ratio)
        partner = torch.zeros_like(images) if plan.index is None else images[plan.index]
        want = torch.where(plan.mask[:, None] == 1, images, partner)
        assert torch.equal(plan.images(images), want)
    drawn = torch.cat(ratios)
    assert drawn.min() < 0.6
    assert drawn.max() > 0.9


def test_boxes_have_the_area_that_lambda_asks_for() -> None:
    # Nearly all of lambda is 1/2 for a large alpha: boxes of 71 pixels a side, some of it clipped.
    plan = CutMix(alpha=1e6, per_sample=True, generator=seeded()).plan(torch.rand(500, 1, 100, 100))
    assert float(plan.ratio.min()) == pytest.approx(1 - 0.71**2, abs=0.02)
    # Of sides 0.707 with uniform centres, 0.707 - 0.707^2/4 stays inside, on average and a side.
    assert float(plan.ratio.mean()) == pytest.approx(1 - (0.7071 - 0.125) ** 2, abs=0.02)


def test_cutout_leaves_labels_alone() -> None:
    images, labels = batch()
    _, weights = Cutout(num_classes=10, generator=seeded())(images, labels)
    assert torch.equal(weights, torch.eye(10)[labels])


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"labels": 5, "cut": "exact", "transport": None}, {"transport_grid": 8, "cycles": 2},
     {"mean": (0.5,) * 3, "std": (0.2, 0.3, 0.2), "transport": "exact", "gamma": 1.0}],
    ids=str,
)  # fmt: skip
def test_the_mixer_equals_the_function(per_sample: bool, options: dict[str, Any]) -> None:
    pairs = make_pairs(5, 16, 16)
    mixer = PuzzleMix(grids=(4,), per_sample=per_sample, generator=seeded(), **options)
    plan = mixer.plan(pairs.x1, None, pairs.saliency1)
    # The draws are repeated by hand.
    rng = seeded()
    index = torch.randperm(5, generator=rng)
    lam = beta(1.0, 5 if per_sample else 1, rng).expand(5)
    assert plan.index is not None
    assert torch.equal(plan.index, index)
    want = puzzle_mix(
        pairs.x1, pairs.x1[index], pairs.saliency1, pairs.saliency1[index], lam, grid=4, **options
    )
    assert same(plan, Plan(index, want.ratio, want.mask, want.source1, want.source2))
    assert torch.equal(plan.images(pairs.x1), want.images)


def test_puzzle_mix_draws_one_grid_a_batch() -> None:
    images, _ = batch()
    mixer = PuzzleMix(grids=(1, (2, 4), 8), saliency=brightness, generator=seeded())
    drawn = [tuple(mixer.plan(images).mask.shape[1:]) for _ in range(60)]
    assert {drawn.count(grid) > 8 for grid in ((1, 1), (2, 4), (8, 8))} == {True}
    assert len(set(drawn)) == 3


def test_puzzle_mix_takes_saliency_from_the_call_first() -> None:
    images, labels = batch()
    calls = []

    def saliency(x: Tensor, y: Tensor | None) -> Tensor:
        calls.append((x, y))
        return brightness(x)

    mixer = PuzzleMix(grids=(4,), num_classes=10, saliency=saliency, generator=seeded())
    mixer(images, labels, torch.rand(6, 4, 4))
    assert calls == []
    mixed = mixer(images, labels)
    assert len(calls) == 1
    assert calls[0][0] is images
    assert calls[0][1] is labels
    twin = PuzzleMix(grids=(4,), num_classes=10, generator=seeded())
    twin(images, labels, torch.rand(6, 4, 4))
    assert torch.equal(twin(images, labels, brightness(images))[0], mixed[0])


def test_puzzle_mix_moves_finer_blocks_where_it_can() -> None:
    # As published for CIFAR: blocks of 4 pixels move, unless the cut's are smaller.
    images, _ = batch()
    mixer = PuzzleMix(grids=(2, 8), transport_grid=4, saliency=brightness, generator=seeded())
    shapes = set()
    for _ in range(20):
        plan = mixer.plan(images)
        assert plan.source1 is not None
        shapes.add((plan.mask.shape[1], plan.source1.shape[1]))
    assert shapes == {(2, 4), (8, 8)}


def test_every_grid_is_checked_before_any_draw() -> None:
    rng = seeded()
    mixer = PuzzleMix(grids=(2, 4, 5), saliency=brightness, generator=rng)
    state = rng.get_state()
    with pytest.raises(ValueError, match=r"grids: expected a grid that divides images of 16x16"):
        mixer.plan(*batch())
    mixer = PuzzleMix(grids=(2, 16), generator=rng)
    with pytest.raises(ValueError, match=r"grids: expected a grid that divides saliency of 8x8"):
        mixer.plan(batch()[0], None, torch.rand(6, 8, 8))
    with pytest.raises(ValueError, match=r"saliency: expected \[N, Y, X\] as the third argument"):
        mixer.plan(batch()[0])
    assert torch.equal(rng.get_state(), state)


def test_printing() -> None:
    assert "alpha=0.5" in repr(CutMix(alpha=0.5))
    text = repr(PuzzleMix(grids=(2, 4), labels=5, std=torch.ones(3)))
    assert "grids=[(2, 2), (4, 4)]" in text
    assert "labels=5" in text
    assert "gamma" not in text


# ---- Refusals -----------------------------------------------------------------------------------

SETTINGS: list[tuple[type[Mixer], dict[str, Any], type[Exception], str]] = [
    (MixUp, {"alpha": 0}, ValueError, r"alpha: expected a number above 0, got 0"),
    (CutMix, {"alpha": -1.0}, ValueError, r"alpha: expected a number above 0"),
    (Cutout, {"alpha": float("inf")}, ValueError, r"alpha: "),
    (MixUp, {"alpha": "1"}, TypeError, r"alpha: expected a number, got str"),
    (PuzzleMix, {"prob": 1.1}, ValueError, r"prob: expected a number from 0 to 1, got 1.1"),
    (MixUp, {"prob": -0.1}, ValueError, r"prob: "),
    (MixUp, {"num_classes": 0}, ValueError, r"num_classes: expected at least 1, got 0"),
    (MixUp, {"num_classes": 2.5}, TypeError, r"num_classes: expected an integer"),
    (MixUp, {"generator": 3}, TypeError, r"generator: expected a torch.Generator or None, got int"),
    (PuzzleMix, {"grids": ()}, TypeError, r"grids: expected a sequence of one grid or more"),
    (PuzzleMix, {"grids": 4}, TypeError, r"grids: expected a sequence"),
    (PuzzleMix, {"grids": (0,)}, ValueError, r"grids: expected 1 to 64, got 0"),
    (PuzzleMix, {"saliency": 3}, TypeError, r"saliency: expected a callable"),
    (
        PuzzleMix,
        {"betta": 1},
        TypeError,
        r"unexpected keyword argument 'betta'",
    ),
    (PuzzleMix, {"grid": 4}, TypeError, r"unexpected keyword argument 'grid'"),
    (PuzzleMix, {"std": (1, 2, math.nan)}, ValueError, r"std: expected a finite number"),
    (PuzzleMix, {"beta": -1}, ValueError, r"beta: expected a finite number of at least 0"),
    (PuzzleMix, {"cut": "best"}, ValueError, r"cut: expected 'swap' or 'exact'"),
    (PuzzleMix, {"cycles": 0}, ValueError, r"cycles: expected at least 1"),
    (PuzzleMix, {"labels": 20}, ValueError, r"labels: expected 2 to 16"),
    (
        PuzzleMix,
        {"grids": (4,), "transport_grid": 6},
        ValueError,
        r"transport_grid: expected a multiple of every grid",
    ),
]


@pytest.mark.parametrize(("kind", "settings", "error", "message"), SETTINGS)
def test_settings_that_are_refused(
    kind: type[Mixer], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind(**settings)


def test_settings_are_named() -> None:
    for kind in ALL:
        with pytest.raises(TypeError):
            kind(1.0)


CALLS: list[tuple[type[Mixer], tuple[Any, ...], type[Exception], str]] = [
    (MixUp, ([1.0], None), TypeError, r"images: expected a tensor, got list"),
    (MixUp, (torch.tensor(1.0), None), ValueError, r"images: expected shape \[N, ...\], got \[\]"),
    (MixUp, (torch.zeros(6, 3).int(), None), TypeError, r"images: expected dtype float16"),
    (CutMix, (torch.zeros(6, 3), None), ValueError, r"images: expected shape \[N, ..., Y, X\]"),
    (PuzzleMix, (torch.zeros(6, 16, 16), None), ValueError, r"images: expected shape \[B, C, Y"),
    (
        MixUp,
        (torch.zeros(6, 3), torch.zeros(5).long()),
        ValueError,
        r"labels: expected shape \[N\]",
    ),
    (MixUp, (torch.zeros(6, 3), 4), TypeError, r"labels: expected a tensor, got int"),
    (PuzzleMix, (batch()[0], None, torch.zeros(6, 8)), ValueError, r"saliency: expected shape"),
    (PuzzleMix, (batch()[0], None, -torch.ones(6, 8, 8)), ValueError, r"saliency: .*at least 0"),
]


@pytest.mark.parametrize(("kind", "arguments", "error", "message"), CALLS)
def test_calls_that_are_refused(
    kind: type[Mixer], arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(kind).plan(*arguments)


def test_integer_labels_need_num_classes() -> None:
    with pytest.raises(ValueError, match=r"labels: expected weights .* without num_classes"):
        MixUp()(*batch())


def test_saliency_from_the_callable_is_checked() -> None:
    mixer = make(PuzzleMix, grids=(16,), saliency=lambda x, y: torch.ones(len(x), 8, 8))
    with pytest.raises(ValueError, match="grids: expected a grid that divides saliency of 8x8"):
        mixer.plan(*batch())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (
            torch.tensor([0, 1, 2, 3, 4, 10]),
            ValueError,
            "labels: expected integers from 0 to 9, got 0 to 10",
        ),
        (
            torch.tensor([0, 1, -1, 3, 4, 5]),
            ValueError,
            "labels: expected integers from 0 to 9, got -1",
        ),
        (torch.zeros(6), TypeError, r"labels: expected integers \[N\] or weights \[N, K\]"),
        (
            torch.zeros(6, 1).long(),
            ValueError,
            r"labels: .* with K = num_classes = 10, got shape \[6, 1\]",
        ),
        (torch.rand(6, 9), ValueError, r"labels: .* K = num_classes = 10, got shape \[6, 9\]"),
        (
            torch.zeros(6, dtype=torch.int64, device="meta"),
            ValueError,
            r"labels: expected device cpu \(that of images\), got meta",
        ),
    ],
)
def test_bad_labels_are_refused_before_any_draw(
    kind: type[Mixer], labels: Tensor, error: type[Exception], message: str
) -> None:
    rng = seeded()
    state = rng.get_state()
    for run in (make(kind, generator=rng), make(kind, generator=rng).plan):
        with pytest.raises(error, match=message):
            run(batch()[0], labels)
    assert torch.equal(rng.get_state(), state)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_class_numbers_in_a_column_are_no_weights(kind: type[Mixer], dtype: torch.dtype) -> None:
    images, labels = batch()
    column = (labels % 3)[:, None].to(dtype)
    with pytest.raises(ValueError, match=r"labels: .*K = num_classes = 3, got shape \[6, 1\]"):
        make(kind, num_classes=3)(images, column)
    with pytest.raises(ValueError, match=r"labels: .*without num_classes, got integers \[6, 1\]"):
        make(kind, num_classes=None)(images, column)
    # Of one class there are weights.
    for mixer in (make(kind, num_classes=1), make(kind, num_classes=None)):
        assert mixer(images, torch.rand(6, 1))[1].shape == (6, 1)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("per_sample", [False, True])
def test_channels_last_is_kept(kind: type[Mixer], per_sample: bool) -> None:
    images, labels = batch()
    last = images.contiguous(memory_format=torch.channels_last)
    mixers = [make(kind, per_sample=per_sample, generator=seeded(2)) for _ in range(2)]
    mixed, weights = mixers[0](last, labels)
    assert mixed.stride() == last.stride()
    want = mixers[1](images, labels)
    assert torch.equal(mixed, want[0])
    assert torch.equal(weights, want[1])


def test_volumes_keep_their_format() -> None:
    volumes = torch.rand(4, 3, 2, 6, 8).contiguous(memory_format=torch.channels_last_3d)
    for kind in (MixUp, CutMix):
        plan = kind(generator=seeded()).plan(volumes)
        mixed = plan.images(volumes)
        assert mixed.stride() == volumes.stride()
        assert torch.equal(mixed, plan.images(volumes.contiguous()))


# ---- Grids --------------------------------------------------------------------------------------


def grids_taken(mixer: PuzzleMix, *sides: int) -> set[tuple[int, ...]]:
    images = torch.rand(2, 3, *sides)
    return {tuple(mixer.plan(images).mask.shape[1:]) for _ in range(40)}


@pytest.mark.parametrize(
    ("sides", "taken"),
    [
        ((32, 32), {2, 4, 8, 16}),
        ((28, 28), {2, 4}),
        ((36, 36), {2, 4}),
        ((24, 40), {2, 4, 8}),
        ((30, 50), {2}),
    ],
)
def test_default_grids_that_divide_are_used(sides: tuple[int, int], taken: set[int]) -> None:
    mixer = PuzzleMix(saliency=brightness, generator=seeded())
    assert grids_taken(mixer, *sides) == {(side, side) for side in taken}
    # The mixer then takes images of another size.
    assert grids_taken(mixer, 16, 16) == {(side, side) for side in (2, 4, 8, 16)}


def test_default_grids_divide_saliency_too() -> None:
    mixer = PuzzleMix(generator=seeded())
    images, small = torch.rand(2, 3, 28, 28), torch.rand(2, 14, 14)
    assert {mixer.plan(images, None, small).mask.shape[1] for _ in range(20)} == {2}
    by_callable = PuzzleMix(saliency=lambda x, y: small, generator=seeded())
    assert {by_callable.plan(images).mask.shape[1] for _ in range(20)} == {2}


def test_default_grids_fit_the_transport_grid() -> None:
    mixer = PuzzleMix(saliency=brightness, transport_grid=14, generator=seeded())
    assert grids_taken(mixer, 28, 28) == {(2, 2)}
    with pytest.raises(ValueError, match="transport_grid: expected a grid that divides images"):
        mixer.plan(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match="transport_grid: expected a multiple of every grid"):
        PuzzleMix(transport_grid=7)


@pytest.mark.parametrize(
    ("sides", "would_do"),
    [((299, 299), "13, 23"), ((15, 45), "3, 5, 15"), ((35, 21), "7"), ((33, 35), r"\(33, 35\)"),
     ((67, 55), r"\(1, 55\)")],
)  # fmt: skip
def test_where_no_default_grid_divides_the_error_names_some(
    sides: tuple[int, int], would_do: str
) -> None:
    images, rng = torch.rand(2, 3, *sides), seeded()
    state = rng.get_state()
    with pytest.raises(
        ValueError,
        match=rf"grids: expected some that divide images of {sides[0]}x{sides[1]}, such as "
        f"{would_do}; none of the default ones does",
    ):
        PuzzleMix(saliency=brightness, generator=rng).plan(images)
    assert torch.equal(rng.get_state(), state)


def test_given_grids_must_divide() -> None:
    with pytest.raises(ValueError, match=r"grids: expected a grid that divides images of 28x28"):
        PuzzleMix(grids=(2, 4, 8, 16), saliency=brightness).plan(torch.rand(2, 3, 28, 28))


def test_the_options_are_keywords_of_its_own() -> None:
    ours = inspect.signature(PuzzleMix).parameters
    for name, parameter in inspect.signature(puzzle_mix).parameters.items():
        if parameter.default is not parameter.empty:
            assert ours[name].default == parameter.default
            assert ours[name].kind == parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    ("function", "given", "meant"),
    [
        (PuzzleMix, "grid", "grids"),
        (PuzzleMix, "n_labels", "labels"),
        (MixUp, "alphas", "alpha"),
        (Cutout, "probs", "prob"),
        (ManifoldMixUp, "layer", "layers"),
        (puzzle_mix, "grids", "grid"),
    ],
)
def test_a_near_miss_is_answered_with_the_name_that_was_meant(
    function: Any, given: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=rf"argument '{given}'\. Did you mean '{meant}'\?$"):
        function(**{given: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'wholly_else'"):
        function(wholly_else=1)


# ---- Compiled -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("prob", [1.0, 0.5])
@pytest.mark.parametrize("drawing", [False, True])
def test_compiles_as_one_graph(
    kind: type[Mixer], per_sample: bool, prob: float, drawing: bool
) -> None:
    """Compiled draws equal those without compiling, from a generator or the global state."""
    images, labels = batch()
    settings: dict[str, Any] = {"per_sample": per_sample, "prob": prob}
    if kind is PuzzleMix:
        settings |= {"grids": (4,), "prob": 1.0}
    plain, traced = (make(kind, generator=seeded(3) if drawing else None, **settings)
                     for _ in range(2))  # fmt: skip
    torch._dynamo.reset()
    compiled = torch.compile(traced, fullgraph=True, backend="aot_eager")
    runs = []
    for mixer in (plain, compiled):
        torch.manual_seed(5)
        runs.append([mixer(images, labels) for _ in range(5)])
    for (mixed, weights), (theirs, told) in zip(*runs, strict=True):
        torch.testing.assert_close(mixed, theirs)
        torch.testing.assert_close(weights, told)
    assert len({float(weights.square().sum()) for _, weights in runs[1]}) > 1 or kind is Cutout


def test_two_draws_in_one_graph_are_two() -> None:
    images, labels = batch()
    plain, traced = (MixUp(num_classes=10, generator=seeded(3)) for _ in range(2))

    def twice(mixer: Any) -> tuple[Tensor, Tensor]:
        return mixer(images, labels)[1], mixer(images, labels)[1]

    torch._dynamo.reset()
    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    first, second = compiled(traced)
    assert not torch.equal(first, second)
    for ours, theirs in zip((first, second), twice(plain), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_puzzle_mix_with_several_grids_compiles_in_parts() -> None:
    images, labels = batch()
    plain, traced = (make(PuzzleMix, prob=0.8, generator=seeded(3)) for _ in range(2))
    torch._dynamo.reset()
    compiled = torch.compile(traced, backend="eager")
    for _ in range(4):
        mixed, weights = compiled(images, labels)
        theirs, told = plain(images, labels)
        torch.testing.assert_close(mixed, theirs)
        torch.testing.assert_close(weights, told)


def test_arguments_without_names_are_refused() -> None:
    with pytest.raises(TypeError, match="keyword arguments only, got 10"):
        MixUp(10)  # type: ignore[misc]
