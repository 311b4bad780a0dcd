"""Plans: the formula that applies them, and how they are kept, cut up and put together."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pairs import make_mask, make_sources
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from puzzlemix import ops
from puzzlemix.plan import Plan

TENSORS = ("index", "ratio", "mask", "source1", "source2")


def make_plan(
    batch: int = 5,
    rows: int = 4,
    columns: int = 2,
    *,
    moving: bool = True,
    seed: int = 0,
    classes: int | None = 10,
) -> Plan:
    mask = make_mask(batch, rows, columns, 3, seed=seed)
    one, two = (make_sources(batch, rows, columns, seed=seed + s) for s in (1, 2))
    index = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    ratio = mask.mean((1, 2)).float()
    return Plan(index, ratio, mask.float(), *((one, two) if moving else (None, None)), classes)


def same(one: Plan, other: Plan) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in TENSORS]
    return one.num_classes == other.num_classes and all(
        (a is None and b is None) or (a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs
    )


def test_fields_come_in_this_order() -> None:
    index, ratio, mask = torch.tensor([0]), torch.ones(1), torch.ones(1, 1, 1)
    plan = Plan(index, ratio, mask, None, None, 7)
    assert plan.index is index
    assert plan.ratio is ratio
    assert plan.mask is mask
    assert plan.num_classes == 7


# ---- Images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("moving", [False, True])
def test_images_are_mixed_with_their_partners(dtype: torch.dtype, moving: bool) -> None:
    plan = make_plan(moving=moving)
    x = torch.rand(5, 3, 8, 6).to(dtype)
    assert plan.index is not None
    want = ops.mix(x, x[plan.index], plan.mask, plan.source1, plan.source2)
    got = plan.images(x)
    assert got.dtype == dtype
    assert torch.equal(got, want)


def test_by_hand() -> None:
    # Two samples that are each other's partner; the left half is one's own, the right the other's.
    plan = Plan(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]), torch.tensor([[[1.0, 0.0]]] * 2))
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]).view(2, 1, 1, 4)
    assert plan.images(x).flatten(1).tolist() == [[1, 2, 7, 8], [5, 6, 3, 4]]
    swapped = Plan(plan.index, plan.ratio, plan.mask, torch.tensor([[[1, 0]]] * 2), None)
    assert swapped.images(x).flatten(1).tolist() == [[3, 4, 7, 8], [7, 8, 3, 4]]
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert plan.labels(y).tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("shape", [(), (7,), (4, 6), (2, 4, 6), (2, 3, 4, 6)])
def test_one_block_takes_tensors_of_any_rank(shape: tuple[int, ...]) -> None:
    lam = torch.tensor([0.25, 0.5, 1.0])
    plan = Plan(torch.tensor([2, 0, 1]), lam, lam[:, None, None])
    x = torch.rand(3, *shape)
    weight = lam.view(3, *(1,) * len(shape))
    got = plan.images(x)
    assert got.shape == x.shape
    torch.testing.assert_close(got, weight * x + (1 - weight) * x[[2, 0, 1]])


def test_blocks_divide_the_last_two_dimensions() -> None:
    plan = make_plan()
    volume = torch.rand(5, 2, 3, 8, 6)
    flat = plan.images(volume.view(5, 6, 8, 6)).view_as(volume)
    assert torch.equal(plan.images(volume), flat)
    maps = torch.rand(5, 8, 6)
    assert torch.equal(plan.images(maps), plan.images(maps[:, None])[:, 0])


def test_pieces_of_a_signal() -> None:
    # One row of blocks: time is cut into pieces.
    plan = make_plan(5, 1, 4)
    signal = torch.rand(5, 16)
    assert torch.equal(plan.images(signal), plan.images(signal[:, None, None])[:, 0, 0])


def test_a_plan_applies_to_other_resolutions() -> None:
    # A map of constant blocks at twice the resolution is mixed into the same map, enlarged.
    plan = make_plan()
    x = torch.rand(5, 3, 8, 6)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    mixed = plan.images(x).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(plan.images(large), mixed)


def test_an_empty_partner_is_black_and_leaves_labels_alone() -> None:
    plan = Plan(None, torch.tensor([0.5]), torch.tensor([[[1.0, 0.0]]]), num_classes=3)
    x = torch.rand(1, 2, 2, 2)
    got = plan.images(x)
    assert torch.equal(got[..., 0], x[..., 0])
    assert (got[..., 1] == 0).all()
    assert plan.labels(torch.tensor([2])).tolist() == [[0, 0, 1]]
    weights = torch.tensor([[0.2, 0.3, 0.5]])
    kept = plan.labels(weights)
    assert torch.equal(kept, weights)
    assert kept is not weights
    assert kept.data_ptr() != weights.data_ptr()


def test_gradients() -> None:
    plan = make_plan(classes=4)
    x = torch.rand(5, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    y = torch.rand(5, 4, requires_grad=True)
    (dx,) = torch.autograd.grad(plan.images(x).sum(), x)
    assert plan.index is not None
    # Every pixel is shown as often as its mask says, here and at the partner's.
    torch.testing.assert_close(dx.sum(), torch.tensor(float(x.numel())).double())
    (dy,) = torch.autograd.grad(plan.labels(y).sum(), y)
    want = plan.ratio.clone()
    want[plan.index] += 1 - plan.ratio
    torch.testing.assert_close(dy, want[:, None].expand(5, 4))


# ---- Integers and booleans ----------------------------------------------------------------------

WHOLE = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip


def extremes(dtype: torch.dtype, *shape: int) -> Tensor:
    """Random numbers of the dtype, with its least and its largest among them."""
    size = dtype.itemsize
    values = torch.randint(256, (*shape, size), generator=torch.Generator().manual_seed(3))
    if dtype == torch.bool:
        return values[..., 0] > 127
    values = values.to(torch.uint8).view(dtype)[..., 0]
    signed = values.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size])
    signed.view(-1)[:3] = torch.tensor([-1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1))])
    return values


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("partner", ["batch", "whole", "none"])
def test_class_numbers_stay_class_numbers(dtype: torch.dtype, moving: bool, partner: str) -> None:
    """Each pixel is that of the image with the larger share, the sample's own on a tie."""
    plan = make_plan(moving=moving)
    plan.mask = torch.rand(plan.mask.shape)
    plan.mask[:, 0] = 0.5
    x = extremes(dtype, 5, 2, 8, 6)
    whole = extremes(dtype, 7, 2, 8, 6).flip(0) if partner == "whole" else x
    if partner == "none":
        plan.index = plan.source2 = None
    kept = x.clone()
    got = plan.images(x, whole if partner == "whole" else None)
    assert got.dtype == dtype
    # Where pixels come from, by the same plan without a choice.
    places = torch.arange(x.numel(), dtype=torch.float64).view(x.shape)
    ones = torch.ones_like(plan.mask)
    own, other = (
        Plan(plan.index, plan.ratio, z, plan.source1, plan.source2).images(places, from_)
        for z, from_ in ((ones, places), (0 * ones, torch.arange(whole.numel()).double()
                                          .view(whole.shape)))
    )  # fmt: skip
    shown = plan.mask.repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None] >= 0.5
    size = dtype.itemsize
    bits = x.contiguous().view(torch.uint8).view(-1, size)
    others = whole.contiguous().view(torch.uint8).view(-1, size)
    want = torch.where(
        shown.reshape(5, 1, -1, 1).expand(-1, 2, -1, size).reshape(-1, size),
        bits[own.long().flatten()],
        others[other.long().flatten()] if partner != "none" else torch.zeros_like(bits),
    )
    assert torch.equal(got.contiguous().view(torch.uint8).view(-1, size), want)
    assert torch.equal(x.view(torch.uint8), kept.view(torch.uint8))


@pytest.mark.parametrize("shape", [(5,), (5, 6), (5, 8, 6), (5, 3, 8, 6), (5, 3, 2, 8, 6)])
def test_whole_numbers_of_any_rank(shape: tuple[int, ...]) -> None:
    lam = torch.tensor([0.2, 0.8, 0.5, 0.49, 1.0])
    plan = Plan(torch.tensor([1, 2, 3, 4, 0]), lam, lam[:, None, None])
    x = torch.randint(1000, shape)
    got = plan.images(x)
    assert got.shape == x.shape
    assert torch.equal(
        got, torch.where((lam >= 0.5).view(-1, *(1,) * (x.dim() - 1)), x, x[plan.index])
    )


def test_segmentation_maps_follow_images_where_these_are_shown_whole() -> None:
    """With two labels each pixel is one image's, and its class is that image's."""
    plan = make_plan()
    plan.mask = (plan.mask >= 0.5).float()
    classes = torch.randint(5, (5, 8, 6))
    one_hot = torch.eye(5)[classes].permute(0, 3, 1, 2)
    assert torch.equal(plan.images(classes), plan.images(one_hot).argmax(1))
    assert torch.equal(plan[2].images(classes[2], batch=classes), plan.images(classes)[2])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_whole_numbers_keep_their_memory_format(dtype: torch.dtype) -> None:
    plan = make_plan()
    x = torch.randint(250, (5, 3, 8, 6)).to(dtype)
    last = plan.images(x.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, plan.images(x))


# ---- Labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers_become_weights(dtype: torch.dtype) -> None:
    plan = make_plan()
    y = torch.tensor([0, 9, 3, 3, 1], dtype=dtype)
    got = plan.labels(y)
    assert got.dtype == torch.float32
    assert got.shape == (5, 10)
    assert torch.equal(got, plan.labels(torch.eye(10)[y.long()]))
    torch.testing.assert_close(got.sum(1), torch.ones(5))
    assert plan.index is not None
    for row, own, partner, ratio in zip(got, y, y[plan.index], plan.ratio, strict=True):
        assert float(row[own.long()]) == pytest.approx(1.0 if own == partner else float(ratio))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int64, torch.bool])
def test_weights_of_any_type(dtype: torch.dtype) -> None:
    plan = make_plan(classes=6)
    y = (torch.rand(5, 6) > 0.5).to(dtype)
    got = plan.labels(y)
    assert got.dtype == torch.float32
    assert plan.index is not None
    want = plan.ratio[:, None] * y.float() + (1 - plan.ratio[:, None]) * y[plan.index].float()
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("moving", [False, True])
def test_labels_follow_pixels(moving: bool) -> None:
    # Colours that are one-hot by class: the mean colour of a mix is its label, exactly.
    plan = make_plan(6, 4, 4, moving=moving)
    y = torch.arange(6) % 4
    x = torch.eye(4)[y][:, :, None, None].expand(-1, -1, 8, 8)
    plan.num_classes = 4
    assert torch.equal(plan.images(x).mean((2, 3)), plan.labels(y))


def test_nothing_is_changed_in_place() -> None:
    plan = make_plan(classes=4)
    x, y = torch.rand(5, 3, 8, 8), torch.rand(5, 4)
    kept = copy.deepcopy((plan, x, y))
    plan.images(x).zero_()
    plan.labels(y).zero_()
    assert same(plan, kept[0])
    assert torch.equal(x, kept[1])
    assert torch.equal(y, kept[2])


# ---- Saved, indexed, joined ---------------------------------------------------------------------


@pytest.mark.parametrize("weights_only", [True, False])
def test_saving(tmp_path: Path, weights_only: bool) -> None:
    for plan in (make_plan(), Plan(None, torch.ones(2), torch.ones(2, 1, 1))):
        torch.save(plan, tmp_path / "plan.pt")
        assert same(torch.load(tmp_path / "plan.pt", weights_only=weights_only), plan)
        assert same(pickle.loads(pickle.dumps(plan)), plan)
        assert same(copy.deepcopy(plan), plan)


def test_saving_inside_a_checkpoint() -> None:
    file = io.BytesIO()
    torch.save({"step": 3, "plan": make_plan()}, file)
    file.seek(0)
    assert same(torch.load(file)["plan"], make_plan())


def test_moving() -> None:
    plan = make_plan()
    wide = plan.to(dtype=torch.float64)
    assert wide.ratio.dtype == wide.mask.dtype == torch.float64
    assert wide.index is not None
    assert wide.index.dtype == wide.source1.dtype == torch.int64
    away = plan.to("meta")
    assert {getattr(away, name).device.type for name in TENSORS} == {"meta"}
    assert away.num_classes == 10
    assert same(plan.to("cpu"), plan)
    bare = Plan(None, torch.ones(2), torch.ones(2, 1, 1)).to(torch.device("meta"), torch.float16)
    assert bare.index is None
    assert bare.mask.dtype == torch.float16


@pytest.mark.parametrize(
    "item", [slice(1, 4), slice(None, None, 2), [0, 3], torch.tensor([4, 0]), slice(0, 0)], ids=str
)
def test_a_part_of_a_plan_mixes_like_the_whole(item: Any) -> None:
    plan, x, y = make_plan(), torch.rand(5, 3, 8, 8), torch.tensor([4, 3, 2, 1, 0])
    part = plan[item]
    assert len(part) == len(x[item])
    assert torch.equal(part.images(x[item], batch=x), plan.images(x)[item])
    assert torch.equal(part.labels(y[item], batch=y), plan.labels(y)[item])


def test_one_sample() -> None:
    plan, x, y = make_plan(), torch.rand(5, 3, 8, 8), torch.tensor([4, 3, 2, 1, 0])
    one = plan[3]
    assert one.mask.shape == (4, 2)
    assert one.ratio.shape == ()
    assert torch.equal(one.images(x[3], batch=x), plan.images(x)[3])
    assert torch.equal(one.labels(y[3], batch=y), plan.labels(y)[3])
    assert len(list(plan)) == 5
    with pytest.raises(IndexError):
        plan[5]


@pytest.mark.parametrize("moving", [False, True])
def test_stacking_samples(moving: bool) -> None:
    plan = make_plan(moving=moving)
    assert same(Plan.stack(list(plan)), plan)
    assert same(default_collate([plan[i] for i in range(5)]), plan)


def test_collating_beside_images() -> None:
    plan, x = make_plan(), torch.rand(5, 3, 8, 8)
    samples = [(x[i], plan[i]) for i in range(5)]
    (batch,) = DataLoader(samples, batch_size=5)
    assert same(batch[1], plan)
    assert torch.equal(batch[1].images(batch[0]), plan.images(x))


@pytest.mark.parametrize("moving", [False, True])
def test_joining_batches(moving: bool) -> None:
    plans = [make_plan(n, moving=moving, seed=n, classes=2) for n in (3, 1, 4)]
    xs, ys = ([torch.rand(n, 3, 8, 8) for n in (3, 1, 4)], [torch.rand(n, 2) for n in (3, 1, 4)])
    whole = Plan.cat(plans)
    assert len(whole) == 8
    apart = [plan.images(x) for plan, x in zip(plans, xs, strict=True)]
    assert torch.equal(whole.images(torch.cat(xs)), torch.cat(apart))
    labels = [plan.labels(y) for plan, y in zip(plans, ys, strict=True)]
    assert torch.equal(whole.labels(torch.cat(ys)), torch.cat(labels))
    assert same(plans[0], make_plan(3, moving=moving, seed=3, classes=2))


def test_an_empty_batch() -> None:
    plan = make_plan(0)
    assert plan.images(torch.rand(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    assert plan.labels(torch.zeros(0).long()).shape == (0, 10)


# ---- Refusals -----------------------------------------------------------------------------------


def x_of(*shape: int) -> Tensor:
    return torch.rand(shape)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda p: p.images([1]), TypeError, r"x: expected a tensor, got list"),
    (lambda p: p.images(x_of(5, 3, 8, 8) * 1j), TypeError, r"x: expected dtype float16.*int8"),
    (
        lambda p: p.images(x_of(5, 3, 8, 8).int(), x_of(5, 3, 8, 8).long()),
        TypeError,
        r"batch: expected the dtype of x, torch.int32, got torch.int64",
    ),
    (lambda p: p.images(x_of(4, 3, 8, 8)), ValueError, r"x: expected 5 rows, .* got shape \[4, 3"),
    (lambda p: p.images(x_of(5, 3, 9, 8)), ValueError, r"mask: expected a grid that divides"),
    (lambda p: p.images(x_of(5, 3, 8, 8), x_of(5, 3, 4, 8)), ValueError, r"batch: expected rows"),
    (lambda p: p[3:].images(x_of(2, 3, 8, 8)), ValueError, r"x: .*give the whole batch as `batch`"),
    (lambda p: p[3].images(x_of(3, 8, 8)), ValueError, r"x: .*give the whole batch as `batch`"),
    (lambda p: p.labels(torch.zeros(4).long()), ValueError, r"y: expected 5 rows"),
    (lambda p: p.labels(torch.zeros(5)), TypeError, r"y: expected integers \[N\] or weights"),
    (lambda p: p.labels(torch.zeros(5, 2, 2)), TypeError, r"y: expected integers"),
    (lambda p: p.labels(torch.full((5,), 10)), ValueError, r"y: .*from 0 to 9, got 10 to 10"),
    (lambda p: p.labels(torch.full((5,), -1)), ValueError, r"y: .*from 0 to 9, got -1 to -1"),
    (
        lambda p: Plan(p.index, p.ratio, p.mask).labels(torch.zeros(5).long()),
        ValueError,
        r"y: expected weights .* without num_classes",
    ),
    (
        lambda p: p.labels(torch.zeros(5, 1).long()),
        ValueError,
        r"y: .* weights \[N, K\] with K = num_classes = 10, got shape \[5, 1\]",
    ),
    (lambda p: p.labels(torch.rand(5, 9)), ValueError, r"y: .* K = num_classes = 10, got .*5, 9"),
    (
        lambda p: p.labels(torch.rand(5, 10), torch.zeros(5, 1)),
        ValueError,
        r"batch: .* K = num_classes = 10, got shape \[5, 1\]",
    ),
    (
        lambda p: make_plan(classes=None).labels(torch.tensor([[0], [1], [2], [0], [1]])),
        ValueError,
        r"y: expected weights \[N, K\] without num_classes, got integers \[5, 1\]",
    ),
    (lambda p: p.to("meta").labels(torch.zeros(5).long()), ValueError, "y: expected device meta"),
    (
        lambda p: p.labels(torch.zeros(5).long(), torch.zeros(5, device="meta").long()),
        ValueError,
        r"batch: expected device cpu \(that of y\), got meta",
    ),
    (
        lambda p: p.labels(torch.rand(5, 10), torch.rand(5, 10, device="meta")),
        ValueError,
        r"batch: expected device cpu \(that of y\), got meta",
    ),
    (
        lambda p: p.images(x_of(5, 3, 8, 8), x_of(5, 3, 8, 8).to("meta")),
        ValueError,
        r"batch: expected device cpu \(that of x\), got meta",
    ),
    (
        lambda p: replace(p, index=p.index.to("meta")).labels(torch.zeros(5).long()),
        ValueError,
        r"index: expected device cpu \(that of ratio\), got meta",
    ),
    (
        lambda p: replace(p, index=p.index[:4]).labels(torch.zeros(5).long()),
        ValueError,
        r"index: expected shape \[N\] with N = 5, as in ratio, got \[4\]",
    ),
    (
        lambda p: replace(p, ratio=p.ratio[:, None]).labels(torch.zeros(5).long()),
        ValueError,
        r"ratio: expected shape \[N\], got \[5, 1\]",
    ),
    (lambda p: Plan.stack([]), ValueError, r"stack: expected at least one plan"),
    (lambda p: Plan.stack([p[0], make_plan(5, 2, 2)[0]]), ValueError, r"stack: .*agree in mask"),
    (lambda p: Plan.cat([p, make_plan(moving=False)]), ValueError, r"cat: .*agree in source1"),
    (
        lambda p: Plan.cat([p, Plan(p.index, p.ratio, p.mask, p.source1, p.source2, 3)]),
        ValueError,
        r"cat: expected plans of one num_classes",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(make_plan())
