"""The objective against its formula written out by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import make_mask, make_pairs, make_sources
from torch import Tensor

from puzzlemix.objective import Objective, objective

TERMS = ("saliency", "label_smoothness", "data_smoothness", "prior", "transport", "total")
DEFAULTS: dict[str, Any] = objective.__kwdefaults__


# ---- The formula, written out -------------------------------------------------------------------


def literal(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    options: dict[str, Any],
) -> dict[str, float]:
    """The objective in plain loops, for one pair: x [C, Y, X], all else [., .]."""
    o = DEFAULTS | options
    height, width = mask.shape
    n, side, m = height * width, math.sqrt(height * width), o["labels"] - 1
    images = [moved(x1.double(), source1), moved(x2.double(), source2)]
    shares = [share_of_blocks(saliency1, source1), share_of_blocks(saliency2, source2)]
    pooled = [pool(image, (height, width), o) for image in images]
    z = mask.double()
    q = [z, 1 - z]

    terms = dict.fromkeys(TERMS, 0.0)
    for image in range(2):
        rows, columns = shares[image].shape
        for i, j in itertools.product(range(rows), range(columns)):
            weight = q[image][i * height // rows, j * width // columns]
            terms["saliency"] -= float(weight * shares[image][i, j])
    for i, j in itertools.product(range(height), range(width)):
        for down, right in ((1, 0), (0, 1)):
            k, el = i + down, j + right
            if k == height or el == width:
                continue
            psi = float(z[i, j] - z[k, el]) ** 2
            d = [
                [distance(pooled[a], pooled[b], (i, j), (k, el), (height, width)) for b in (0, 1)]
                for a in (0, 1)
            ]
            phi = sum(float(q[a][i, j] * q[b][k, el]) * d[a][b] for a in (0, 1) for b in (0, 1))
            if o["smoothness"] == "quadratic":
                weight = (d[0][1] + d[1][0] - d[0][0] - d[1][1]) / 2
                phi -= weight * float(z[i, j] * (1 - z[i, j]) + z[k, el] * (1 - z[k, el]))
            terms["label_smoothness"] += o["beta"] / (16 * side) * psi
            terms["data_smoothness"] += o["beta"] * o["gamma"] / (16 * side) * phi
        steps = m * float(z[i, j])
        p = min(max(lam, 1e-6), 1 - 1e-6)
        log_ways = math.lgamma(m + 1) - math.lgamma(steps + 1) - math.lgamma(m - steps + 1)
        log_p = log_ways + steps * math.log(p) + (m - steps) * math.log(1 - p)
        terms["prior"] -= o["eta"] / n * log_p
    for source in (source1, source2):
        if source is not None and source.numel() > 1:
            rows, columns = source.shape
            for j, i in enumerate(source.flatten().tolist()):
                apart = (i // columns - j // columns) ** 2 + (i % columns - j % columns) ** 2
                terms["transport"] += o["xi"] * apart / (max(rows, columns) - 1) ** 2
    terms["total"] = sum(terms.values())
    return terms


def moved(image: Tensor, source: Tensor | None) -> Tensor:
    if source is None:
        return image
    rows, columns = image.shape[1] // source.shape[0], image.shape[2] // source.shape[1]
    out = torch.empty_like(image)
    for j, i in enumerate(source.flatten().tolist()):
        to, of = divmod(j, source.shape[1]), divmod(i, source.shape[1])
        out[:, to[0] * rows :, to[1] * columns :][:, :rows, :columns] = image[
            :, of[0] * rows :, of[1] * columns :
        ][:, :rows, :columns]
    return out


def share_of_blocks(saliency: Tensor, source: Tensor | None) -> Tensor:
    """Shares of saliency at the finest resolution, as only sums over blocks count."""
    share = saliency.double() / saliency.double().sum()
    return moved(share[None], source)[0]


def pool(image: Tensor, grid: tuple[int, int], o: dict[str, Any]) -> Tensor:
    sides = image.shape[1] // grid[0], image.shape[2] // grid[1]
    window = [
        max(k for k in range(1, side + 1) if side % k == 0 and k <= o["neighborhood"])
        for side in sides
    ]
    std = torch.tensor(1.0 if o["std"] is None else o["std"], dtype=torch.float64)
    return torch.nn.functional.avg_pool2d(image, window) * std.view(-1, 1, 1)


def distance(
    first: Tensor, second: Tensor, i: tuple[int, int], j: tuple[int, int], grid: tuple[int, int]
) -> float:
    """Mean absolute difference of the strips on which i and j (below or right of it) touch."""
    rows, columns = first.shape[1] // grid[0], first.shape[2] // grid[1]
    one = first[:, i[0] * rows :, i[1] * columns :][:, :rows, :columns]
    other = second[:, j[0] * rows :, j[1] * columns :][:, :rows, :columns]
    if i[0] != j[0]:
        return float((one[:, -1] - other[:, 0]).abs().mean())
    return float((one[:, :, -1] - other[:, :, 0]).abs().mean())


CASES = [
    # rows, columns, channels, grid, transport grid (None: not moved), options
    (8, 8, 3, (2, 2), (2, 2), {}),
    (12, 8, 1, (3, 2), (3, 2), {"labels": 2}),
    (12, 20, 2, (4, 5), None, {"labels": 5, "smoothness": "bilinear"}),
    (16, 8, 5, (4, 2), (8, 4), {"labels": 4, "smoothness": "bilinear", "neighborhood": 2}),
    (12, 12, 3, (2, 2), (6, 6), {"neighborhood": 3, "std": (0.2, 0.3, 0.25)}),
    (12, 12, 3, (2, 2), (4, 12), {"neighborhood": 6, "std": 0.25}),
    (6, 10, 3, (1, 5), (1, 5), {"labels": 16, "smoothness": "bilinear"}),
    (10, 6, 3, (5, 1), (10, 2), {"gamma": 0.9}),
    (8, 8, 4, (8, 8), (8, 8), {"gamma": 3.0, "beta": 0.7, "eta": 1.1, "xi": 0.3}),
    (7, 5, 3, (1, 1), (1, 1), {}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_term_is_the_formula(case: tuple[Any, ...]) -> None:
    rows, columns, channels, grid, fine, options = case
    pairs = make_pairs(3, rows, columns, channels=channels, dtype=torch.float64)
    mask = make_mask(3, *grid, options.get("labels", 3))
    sources = [None, None] if fine is None else [make_sources(3, *fine, seed=s) for s in (1, 2)]
    got = objective(*pairs, mask, *sources, **options)
    for sample in range(3):
        here = pairs.sample(sample)
        want = literal(
            here.x1[0], here.x2[0], here.saliency1[0], here.saliency2[0], float(here.lam),
            mask[sample], *(None if s is None else s[sample] for s in sources), options,
        )  # fmt: skip
        for name in TERMS:
            term = getattr(got, name)
            assert term.dtype == torch.float64
            assert float(term[sample]) == pytest.approx(want[name], rel=1e-12, abs=1e-14), name


def test_one_source_alone_leaves_the_other_image_where_it_is() -> None:
    pairs = make_pairs(2, 8, 8, dtype=torch.float64)
    mask, source = make_mask(2, 4, 4, 3), make_sources(2, 4, 4)
    still = torch.arange(16).view(1, 4, 4).expand(2, 4, 4)
    for alone, both in (((source, None), (source, still)), ((None, source), (still, source))):
        assert_same(objective(*pairs, mask, *alone), objective(*pairs, mask, *both))


def test_constant_images_by_hand() -> None:
    # Two blocks side by side, white x1 over black x2: d11 = d22 = 0, d12 = d21 = 1, so w = 1.
    x1, x2 = torch.ones(1, 3, 4, 8), torch.zeros(1, 3, 4, 8)
    s1 = torch.tensor([[[3.0, 1.0]]])
    s2 = torch.tensor([[[1.0, 1.0]]])
    mask = torch.tensor([[[1.0, 0.5]]])
    swap = torch.tensor([[[1, 0]]])
    got = objective(x1, x2, s1, s2, 0.5, mask, swap, None, beta=1.6, gamma=0.5, eta=1.0, xi=0.25)
    edge = 1.6 / (16 * math.sqrt(2))
    # x1's blocks are swapped: shares 1/4, 3/4.
    assert float(got.saliency) == -(1 * 0.25 + 0.5 * 0.75) - (0 * 0.5 + 0.5 * 0.5)
    assert float(got.label_smoothness) == pytest.approx(edge * 0.25, rel=1e-14)
    assert float(got.data_smoothness) == pytest.approx(edge * 0.5 * 0.25, rel=1e-14)
    assert float(got.prior) == pytest.approx(-(math.log(1 / 4) + math.log(1 / 2)) / 2, rel=1e-14)
    assert float(got.transport) == 0.25 * 2
    exact = objective(
        x1, x2, s1, s2, 0.5, mask, swap, None, beta=1.6, gamma=0.5, smoothness="bilinear"
    )
    # q1(1) q2(1/2) + q2(1) q1(1/2) = 1/2.
    assert float(exact.data_smoothness) == pytest.approx(edge * 0.5 * 0.5, rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 2.0))
def test_bilinear_is_the_sum_over_what_the_mix_shows_for_any_mask(seed: int, gamma: float) -> None:
    pairs = make_pairs(1, 6, 9, channels=2, dtype=torch.float64, seed=seed % 1000)
    mask = torch.rand((1, 2, 3), generator=torch.Generator().manual_seed(seed)).double()
    options = {"smoothness": "bilinear", "gamma": gamma}
    here = [part[0] for part in pairs]
    want = literal(*here[:4], float(here[4]), mask[0], None, None, options)
    got = objective(*pairs, mask, **options)
    assert float(got.data_smoothness) == pytest.approx(want["data_smoothness"], rel=1e-12)
    assert float(got.prior) == pytest.approx(want["prior"], rel=1e-12)


# ---- Laws ---------------------------------------------------------------------------------------


def assert_same(got: Any, want: Any, tolerance: float = 1e-13) -> None:
    for name in TERMS:
        torch.testing.assert_close(
            getattr(got, name), getattr(want, name), rtol=tolerance, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
def test_exchanging_the_images_keeps_the_objective(smoothness: str) -> None:
    pairs = make_pairs(3, 8, 12, dtype=torch.float64)
    mask = make_mask(3, 4, 3, 4)
    one, two = make_sources(3, 4, 3, seed=1), make_sources(3, 4, 3, seed=2)
    options: dict[str, Any] = {"labels": 4, "smoothness": smoothness}
    x1, x2, s1, s2, lam = pairs
    assert_same(
        objective(x1, x2, s1, s2, lam, mask, one, two, **options),
        objective(x2, x1, s2, s1, 1 - lam, 1 - mask, two, one, **options),
    )


def test_transposing_the_plane_transposes_the_objective() -> None:
    x1, x2, s1, s2, lam = make_pairs(3, 8, 12, dtype=torch.float64)
    mask, source = make_mask(3, 4, 3, 3), make_sources(3, 4, 3)
    # Block i = (row, column) of the grid becomes (column, row) of the turned one.
    turned = (source % 3 * 4 + source // 3).mT
    assert_same(
        objective(x1, x2, s1, s2, lam, mask, source, None),
        objective(x1.mT, x2.mT, s1.mT, s2.mT, lam, mask.mT, turned, None),
    )


def test_saliency_counts_by_blocks_and_by_shares() -> None:
    pairs = make_pairs(2, 16, 16, dtype=torch.float64)
    mask = make_mask(2, 4, 4, 3)
    want = objective(*pairs, mask)
    coarse = pairs.saliency1.double().view(2, 4, 4, 4, 4).sum((2, 4))
    assert_same(objective(*pairs._replace(saliency1=coarse), mask), want)
    assert_same(objective(*pairs._replace(saliency2=1e-30 * pairs.saliency2.double()), mask), want)


def test_saliency_of_zero_is_uniform() -> None:
    pairs = make_pairs(2, 8, 8, dtype=torch.float64)
    mask, source = make_mask(2, 4, 4, 3), make_sources(2, 4, 4)
    none = pairs._replace(saliency1=torch.zeros(2, 8, 8), saliency2=torch.zeros(2, 4, 4))
    flat = pairs._replace(saliency1=torch.ones(2, 8, 8), saliency2=torch.ones(2, 8, 8))
    got = objective(*none, mask, source, source)
    assert_same(got, objective(*flat, mask, source, source))
    torch.testing.assert_close(got.saliency, torch.full((2,), -1.0).double())


@pytest.mark.parametrize("kind", [tuple, list, torch.tensor, lambda v: torch.tensor(v).double()])
def test_normalisation_is_undone(kind: Any) -> None:
    pairs = make_pairs(2, 8, 8, dtype=torch.float64)
    mask, source = make_mask(2, 4, 4, 3), make_sources(2, 8, 8)
    mean, std = (0.5, 0.25, 0.125), (0.5, 0.25, 2.0)
    shift, scale = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
    normal = pairs._replace(x1=(pairs.x1 - shift) / scale, x2=(pairs.x2 - shift) / scale)
    got = objective(*normal, mask, source, None, mean=kind(mean), std=kind(std))
    assert_same(got, objective(*pairs, mask, source, None), 1e-12)


def test_lambda_stays_away_from_the_ends() -> None:
    pairs = make_pairs(2, 8, 8)
    mask = torch.ones(2, 2, 2)
    for lam, near in ((0.0, 1e-6), (1.0, 1 - 1e-6)):
        assert_same(objective(*pairs[:4], lam, mask), objective(*pairs[:4], near, mask))
    assert float(objective(*pairs[:4], 0, mask).prior[0]) == pytest.approx(
        -0.2 * 2 * math.log(1e-6)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("labels", [4, 16])
def test_a_rounded_mask_counts_as_its_labels(dtype: torch.dtype, labels: int) -> None:
    pairs = make_pairs(2, 8, 8)
    mask = make_mask(2, 8, 8, labels)
    got = objective(*pairs, mask.to(dtype), labels=labels)
    want = objective(*pairs, mask, labels=labels)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_images(dtype: torch.dtype) -> None:
    pairs = make_pairs(2, 16, 16, dtype=dtype)
    mask, source = make_mask(2, 4, 4, 3), make_sources(2, 8, 8)
    wide = pairs._replace(x1=pairs.x1.double(), x2=pairs.x2.double())
    # Images of any type are averaged in double.
    got = objective(*pairs, mask, source, None)
    assert_same(got, objective(*wide, mask, source, None))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("fine", [(8, 16), (4, 8), (32, 16)])
def test_a_sample_does_not_depend_on_its_batch(threads: int, fine: tuple[int, int]) -> None:
    pairs = make_pairs(67, 32, 48)
    # Blocks of 8 x 6 pixels; those that move are of 4 x 3, 8 x 6 or 1 x 3.
    mask = make_mask(67, 4, 8, 7)
    one, two = make_sources(67, *fine, seed=1), make_sources(67, *fine, seed=2)
    options: dict[str, Any] = {"labels": 7, "smoothness": "bilinear", "std": (0.3, 0.4, 0.5)}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = objective(*pairs, mask, one, two, **options)
    finally:
        torch.set_num_threads(before)
    for i in (0, 1, 33, 66):
        alone = objective(
            *pairs.sample(i), mask[i : i + 1], one[i : i + 1], two[i : i + 1], **options
        )
        assert_same(alone, Objective(*(term[i : i + 1] for term in whole)))


def test_no_samples() -> None:
    pairs = make_pairs(0, 8, 8)
    none = torch.empty(0, 4, 4, dtype=torch.int64)
    for sources in ((None, None), (none, none)):
        got = objective(*pairs, torch.empty(0, 4, 4), *sources)
        assert all(term.shape == (0,) for term in got)


def test_strides_do_not_matter() -> None:
    pairs = make_pairs(2, 8, 8)
    mask, source = make_mask(2, 4, 4, 3), make_sources(2, 4, 4)
    want = objective(*pairs, mask, source, source)
    x1 = pairs.x1.to(memory_format=torch.channels_last)
    x2 = pairs.x2.mT.contiguous().mT
    wide = torch.stack((pairs.saliency1, pairs.saliency2), -1)
    got = objective(
        x1, x2, wide[..., 0], wide[..., 1], pairs.lam, mask.mT.contiguous().mT, source.int(), source
    )
    assert_same(got, want)


# ---- Refusals -----------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x1": [1.0]}, TypeError, r"x1: expected a tensor, got list"),
    ({"x1": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, TypeError, "x1: expected dtype float16"),
    ({"x1": torch.zeros(3, 8, 8)}, ValueError, r"x1: expected shape \[B, C, Y, X\], got \[3, 8, 8"),
    ({"x1": torch.zeros(2, 0, 8, 8)}, ValueError, r"x1: expected shape"),
    ({"x2": torch.zeros(2, 3, 8, 9)}, ValueError, r"x2: expected shape .* got \[2, 3, 8, 9\]"),
    ({"x2": torch.zeros(2, 3, 8, 8).double()}, TypeError, r"x2: expected float32 .* got float64"),
    ({"x2": torch.zeros(2, 3, 8, 8, device="meta")}, ValueError, "x2: expected device cpu"),
    ({"x1": torch.full((2, 3, 8, 8), math.nan)}, ValueError, r"x1: .*finite.* got nan at \[0, 0"),
    ({"saliency1": torch.zeros(3, 8, 8)}, ValueError, r"saliency1: expected shape \[B, Y, X\]"),
    ({"saliency2": torch.zeros(2, 8)}, ValueError, r"saliency2: expected shape"),
    ({"saliency2": torch.zeros(2, 8, 8).int()}, TypeError, r"saliency2: expected dtype"),
    ({"saliency2": torch.full((2, 8, 8), -1.0)}, ValueError, r"saliency2: .*at least 0, got -1.0"),
    ({"saliency1": torch.full((2, 8, 8), math.inf)}, ValueError, r"saliency1: .*got inf at \[0, 0"),
    ({"saliency1": torch.ones(2, 6, 8)}, ValueError, r"mask: .*divides saliency1 of 6x8, got 4x4"),
    ({"lam": 1.5}, ValueError, r"lam: expected a number from 0 to 1, got 1.5"),
    ({"lam": math.nan}, ValueError, r"lam: expected a number from 0 to 1, got nan"),
    ({"lam": "0.5"}, TypeError, r"lam: expected a number, got str"),
    ({"lam": torch.tensor([0.5, -0.5])}, ValueError, r"lam: .*from 0 to 1, got -0.5 at \[1\]"),
    ({"lam": torch.tensor([0.5])}, ValueError, r"lam: expected a number or shape \[B\] with B = 2"),
    ({"lam": torch.tensor([1, 0])}, TypeError, r"lam: expected dtype"),
    ({"mask": torch.ones(2, 3, 4)}, ValueError, r"mask: .*divides x1 of 8x8, got 3x4"),
    ({"mask": torch.ones(2, 0, 4)}, ValueError, r"mask: expected a grid that divides"),
    ({"mask": torch.ones(1, 4, 4)}, ValueError, r"mask: expected shape \[B, h, w\] with B = 2"),
    ({"mask": torch.full((2, 4, 4), 1.1)}, ValueError, r"mask: expected values from 0 to 1"),
    ({"mask": torch.ones(2, 4, 4).long()}, TypeError, r"mask: expected dtype"),
    ({"source1": torch.zeros(2, 4, 4).long()}, ValueError, r"source1: .*permutation"),
    ({"source2": torch.full((2, 4, 4), 16)}, ValueError, r"source2: .*permutation of 0 to 15"),
    ({"source1": make_sources(2, 2, 4)}, ValueError, r"source1: expected a multiple of .* 4x4"),
    ({"source2": make_sources(2, 4, 4).float()}, TypeError, r"source2: expected dtype int64"),
    ({"source1": make_sources(1, 4, 4)}, ValueError, r"source1: expected shape"),
    (
        {"source1": make_sources(2, 4, 4), "source2": make_sources(2, 8, 8)},
        ValueError,
        r"source2: expected the grid of source1",
    ),
    ({"labels": 1}, ValueError, r"labels: expected 2 to 16, got 1"),
    ({"labels": 17}, ValueError, r"labels: expected 2 to 16, got 17"),
    ({"labels": 3.0}, TypeError, r"labels: expected an integer, got 3.0"),
    ({"beta": -1}, ValueError, r"beta: expected a finite number of at least 0, got -1"),
    ({"gamma": -0.1}, ValueError, r"gamma: "),
    ({"eta": math.nan}, ValueError, r"eta: "),
    ({"xi": math.inf}, ValueError, r"xi: "),
    ({"xi": None}, TypeError, r"xi: expected a number, got NoneType"),
    ({"neighborhood": 0}, ValueError, r"neighborhood: expected at least 1, got 0"),
    ({"smoothness": "cubic"}, ValueError, r"smoothness: expected 'quadratic' or 'bilinear', got"),
    ({"mean": (0.5, 0.5)}, ValueError, r"mean: .*each of 3 channels, got 2"),
    ({"mean": "imagenet"}, TypeError, r"mean: expected a number, a sequence or a tensor"),
    ({"std": 0}, ValueError, r"std: expected positive numbers, got 0"),
    ({"std": (1, 1, -1)}, ValueError, r"std: expected positive numbers, got -1"),
    ({"std": torch.zeros(3)}, ValueError, r"std: expected positive numbers"),
    ({"std": torch.ones(2)}, ValueError, r"std: .*each of 3 channels"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), REFUSED)
def test_refusals(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = make_pairs(2, 8, 8)._asdict() | {"mask": torch.ones(2, 4, 4)} | wrong
    with pytest.raises(error, match=message):
        objective(**arguments)


def test_nothing_is_changed_and_nothing_is_differentiable() -> None:
    pairs = make_pairs(2, 8, 8)
    x1 = pairs.x1.requires_grad_()
    before = [part.detach().clone() for part in pairs]
    got = objective(*pairs._replace(x1=x1), make_mask(2, 8, 8, 3), make_sources(2, 8, 8))
    assert not got.total.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(before, pairs, strict=True))
