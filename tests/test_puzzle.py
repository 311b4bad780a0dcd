"""puzzle_mix: what it decides, held against its formula, brute force and its own parts."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import SETTINGS, expect_consistent, make_pairs, objective_of, part, same

from puzzlemix import ops, reference
from puzzlemix.objective import objective
from puzzlemix.puzzle import puzzle_mix
from puzzlemix.results import PuzzleMixResult, PuzzlePlan

Solve = Callable[..., PuzzleMixResult | PuzzlePlan]
either = pytest.mark.parametrize("solve", [puzzle_mix, reference.puzzle_plan], ids=["mix", "plan"])
"""Laws of the compiled function and of the reference alike."""


def test_signature() -> None:
    parameters = inspect.signature(puzzle_mix).parameters
    assert list(parameters)[:6] == ["x1", "x2", "saliency1", "saliency2", "lam", "grid"]
    assert parameters["grid"].kind == inspect.Parameter.KEYWORD_ONLY
    assert puzzle_mix.__kwdefaults__ == {
        "labels": 3,
        "beta": 1.2,
        "gamma": 0.5,
        "eta": 0.2,
        "xi": 0.8,
        "neighborhood": 4,
        "cut": "swap",
        "transport": "approx",
        "transport_grid": None,
        "cycles": 1,
        "smoothness": "quadratic",
        "mean": None,
        "std": None,
    }
    assert objective.__kwdefaults__.items() <= puzzle_mix.__kwdefaults__.items()


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_result_has_the_documented_shapes_and_values(
    options: dict[str, Any], dtype: torch.dtype
) -> None:
    pairs = make_pairs(5, 16, 32, dtype=dtype)
    result = puzzle_mix(*pairs, **options)
    assert result.images.dtype == dtype
    assert result.images.shape == pairs.x1.shape
    expect_consistent(pairs, result, options)
    mixed = ops.mix(pairs.x1, pairs.x2, result.mask, result.source1, result.source2)
    assert torch.equal(result.images, mixed)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_sample_does_not_depend_on_its_batch(options: dict[str, Any], threads: int) -> None:
    pairs = make_pairs(41, 16, 32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = puzzle_mix(*pairs, **options)
    finally:
        torch.set_num_threads(before)
    for i in (0, 1, 20, 40):
        alone = puzzle_mix(*pairs.sample(i), **options)
        part = (None if field is None else field[i : i + 1] for field in whole)
        assert same(alone, PuzzleMixResult(*part))


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_any_number_of_channels(channels: int) -> None:
    pairs = make_pairs(3, 12, 12, channels=channels)
    result = puzzle_mix(*pairs, grid=3)
    torch.testing.assert_close(
        result.objective, objective_of(pairs, result, {}), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("rows", [1, 3, 6])
def test_rectangles(rows: int) -> None:
    pairs = make_pairs(3, 6, 20)
    result = puzzle_mix(*pairs, grid=(rows, 10), labels=4)
    assert result.mask.shape == (3, rows, 10)
    torch.testing.assert_close(
        result.objective, objective_of(pairs, result, {"labels": 4}), rtol=1e-12, atol=1e-14
    )


@either
def test_no_samples(solve: Solve) -> None:
    for options in ({}, {"transport": None}, {"cycles": 3}, {"transport_grid": 8}):
        result = solve(*make_pairs(0), grid=4, **options)
        assert result.mask.shape == (0, 4, 4)
        assert result.objective.shape == result.ratio.shape == (0,)


@pytest.mark.parametrize("solve", [puzzle_mix, reference.puzzle_plan])
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    grid=st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 3, 6])),
    times=st.tuples(st.sampled_from([1, 2]), st.sampled_from([1, 2])),
    labels=st.integers(2, 5),
    cut=st.sampled_from(["swap", "exact"]),
    transport=st.sampled_from(["approx", "exact", None]),
    cycles=st.integers(1, 3),
    smoothness=st.sampled_from(["quadratic", "bilinear"]),
    weights=st.tuples(*[st.floats(0, 3)] * 4),
)
def test_laws(
    solve: Callable[..., PuzzleMixResult | PuzzlePlan],
    seed: int,
    grid: tuple[int, int],
    times: tuple[int, int],
    weights: tuple[float, ...],
    **options: Any,
) -> None:
    pairs = make_pairs(2, 8, 12, channels=1 + seed % 3, seed=seed)
    options |= dict(zip(("beta", "gamma", "eta", "xi"), weights, strict=True), grid=grid)
    fine = (grid[0] * times[0], grid[1] * times[1])
    result = solve(*pairs, transport_grid=fine, **options)
    total = objective_of(pairs, result, options)
    torch.testing.assert_close(result.objective, total, rtol=1e-12, atol=1e-14)
    first = solve(*pairs, transport_grid=fine, **(options | {"cycles": 1}))
    assert (result.objective <= first.objective).all()
    kept = result.objective == first.objective
    assert same(part(result, kept), part(first, kept))


# ---- What it decides ----------------------------------------------------------------------------


@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
@pytest.mark.parametrize(("grid", "labels"), [((2, 2), 3), ((1, 4), 4), ((3, 2), 2)])
@either
def test_the_exact_cut_is_the_best_mask(
    solve: Solve, smoothness: str, grid: tuple[int, int], labels: int
) -> None:
    pairs = make_pairs(4, 6, 8, seed=3)
    options: dict[str, Any] = {"labels": labels, "smoothness": smoothness, "beta": 2.0}
    got = solve(*pairs, grid=grid, cut="exact", transport=None, **options)
    best = torch.full((4,), math.inf, dtype=torch.float64)
    for steps in itertools.product(range(labels), repeat=math.prod(grid)):
        mask = (torch.tensor(steps).double() / (labels - 1)).view(1, *grid).expand(4, -1, -1)
        best = best.minimum(objective(*pairs, mask, **options).total)
    # The solvers decide by integers: their optimum is one up to 2**-30 of the costs.
    torch.testing.assert_close(got.objective, best, rtol=0, atol=1e-7)


@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
def test_the_exact_cut_is_no_worse_than_the_swap(smoothness: str) -> None:
    pairs = make_pairs(40, 32, 32)
    options: dict[str, Any] = {"grid": 8, "transport": None, "smoothness": smoothness, "labels": 6}
    exact = puzzle_mix(*pairs, cut="exact", **options).objective
    swap = puzzle_mix(*pairs, cut="swap", **options).objective
    assert (exact <= swap + 1e-7).all()
    assert (exact < swap - 1e-7).any()


@pytest.mark.parametrize("transport", ["approx", "exact"])
@pytest.mark.parametrize("fine", [(4, 4), (8, 4)])
def test_salient_blocks_move_to_where_the_mask_shows_them(
    transport: str, fine: tuple[int, int]
) -> None:
    pairs = make_pairs(6, 16, 16)
    result = puzzle_mix(
        *pairs, grid=4, labels=4, xi=0.3, transport=transport, transport_grid=fine, eta=0.05
    )
    mask = result.mask.double().repeat_interleave(fine[0] // 4, 1)
    for z, saliency, source in (
        (mask, pairs.saliency1, result.source1),
        (1 - mask, pairs.saliency2, result.source2),
    ):
        blocks = saliency.double().view(6, fine[0], 16 // fine[0], fine[1], 16 // fine[1])
        shares = blocks.sum((2, 4))
        shares /= shares.sum((1, 2), keepdim=True)
        want = ops.masked_transport(shares, z.clamp(0, 1), xi=0.3, method=transport)
        assert source is not None
        assert torch.equal(source, want.source)


def test_the_transport_sees_the_first_cut() -> None:
    # Without transport and in the first cycle the mask is the same.
    pairs = make_pairs(6)
    with_transport = puzzle_mix(*pairs, grid=4)
    assert torch.equal(with_transport.mask, puzzle_mix(*pairs, grid=4, transport=None).mask)


# Cheap transport, so that the images look different after it.
SEVERAL: dict[str, Any] = {
    "grid": 8,
    "xi": 0.005,
    "beta": 3.0,
    "gamma": 1.0,
    "labels": 4,
    "transport": "exact",
}


@pytest.mark.parametrize("options", [{}, {"transport_grid": 16}, {"smoothness": "bilinear"}])
def test_more_cycles_are_never_worse(options: dict[str, Any]) -> None:
    pairs = make_pairs(32, 16, 16)
    options = SEVERAL | options
    results = [puzzle_mix(*pairs, cycles=cycles, **options) for cycles in (1, 2, 3, 8)]
    for one, more in itertools.pairwise(results):
        assert (more.objective <= one.objective).all()
        kept = more.objective == one.objective
        assert torch.equal(more.mask[kept], one.mask[kept])
        assert torch.equal(more.source1[kept], one.source1[kept])
        assert torch.equal(more.images[kept], one.images[kept])
        # Some samples gain and some don't, or nothing was tested.
        if more is not results[-1]:
            assert not kept.all()
            assert kept.any()


def test_later_cycles_of_a_sample_do_not_depend_on_its_batch() -> None:
    # Cycles go on while some sample gains; samples that have stopped must not change.
    pairs = make_pairs(32, 16, 16)
    whole = puzzle_mix(*pairs, cycles=8, **SEVERAL)
    for i in range(32):
        alone = puzzle_mix(*pairs.sample(i), cycles=8, **SEVERAL)
        part = (None if field is None else field[i : i + 1] for field in whole)
        assert same(alone, PuzzleMixResult(*part))


def test_a_later_cycle_measures_permuted_images() -> None:
    pairs = make_pairs(24, 16, 16)
    options: dict[str, Any] = {"grid": 4, "xi": 0.02, "labels": 4, "beta": 3.0, "gamma": 1.0}
    first = puzzle_mix(*pairs, **options)
    second = puzzle_mix(*pairs, cycles=2, **options)
    # Moving images and saliency by the permutations first must give the same.
    x1 = ops.mix(pairs.x1, pairs.x1, torch.ones(24, 1, 1), first.source1)
    x2 = ops.mix(pairs.x2, pairs.x2, torch.ones(24, 1, 1), first.source2)
    s1, s2 = (
        ops.mix(s[:, None], s[:, None], torch.ones(24, 1, 1), source)[:, 0]
        for s, source in ((pairs.saliency1, first.source1), (pairs.saliency2, first.source2))
    )
    again = puzzle_mix(x1, x2, s1, s2, pairs.lam, transport=None, **options)
    taken = second.objective < first.objective
    assert taken.any()
    assert torch.equal(second.mask[taken], again.mask[taken])


def test_cycles_end_when_nothing_improves() -> None:
    # A number of cycles that would take for ever.
    pairs = make_pairs(4)
    want = puzzle_mix(*pairs, grid=4, cycles=20)
    assert same(puzzle_mix(*pairs, grid=4, cycles=2**62), want)
    still = puzzle_mix(*pairs, grid=4, transport=None)
    assert same(puzzle_mix(*pairs, grid=4, cycles=2**62, transport=None), still)


def test_growing_lambda_shows_more_of_the_first_image() -> None:
    pairs = make_pairs(16)
    ratios = [puzzle_mix(*pairs[:4], lam, grid=8).ratio for lam in (0.0, 0.2, 0.5, 0.8, 1.0)]
    for less, more in itertools.pairwise(ratios):
        assert less.mean() < more.mean()
    assert (ratios[0] < 0.2).all()
    assert (ratios[-1] > 0.8).all()


def test_growing_beta_makes_larger_pieces() -> None:
    pairs = make_pairs(16)
    edges = []
    for beta in (0.0, 1.2, 20.0):
        mask = puzzle_mix(*pairs, grid=8, beta=beta).mask
        edges.append(float(mask.diff(dim=1).abs().sum() + mask.diff(dim=2).abs().sum()))
    assert edges[0] > edges[1] > edges[2]


@either
def test_what_is_salient_stays(solve: Solve) -> None:
    # Each image is salient in one corner, which the mask shows of it, and nothing moves.
    s1, s2 = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    s1[:, :4, :4] = 1
    s2[:, 4:, 4:] = 1
    x1, x2 = torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    result = solve(x1, x2, s1, s2, 0.5, grid=2, beta=0.1)
    assert result.mask[0, 0, 0] == 1
    assert result.mask[0, 1, 1] == 0
    assert result.source1.flatten().tolist() == result.source2.flatten().tolist() == [0, 1, 2, 3]


def test_labels_follow_pixels() -> None:
    # Constant images: wherever blocks go, the mean colour is the ratio, and exactly so.
    x1, x2 = torch.ones(20, 3, 16, 16), torch.zeros(20, 3, 16, 16)
    _, _, s1, s2, lam = make_pairs(20)
    result = puzzle_mix(x1, x2, s1, s2, lam, grid=4)
    assert torch.equal(result.images.mean((1, 2, 3)), result.ratio)
    assert len(result.ratio.unique()) > 1


def test_saliency_at_any_resolution() -> None:
    pairs = make_pairs(6, 16, 16)
    sums = pairs.saliency1.double().view(6, 4, 4, 4, 4).sum((2, 4))
    want = puzzle_mix(*pairs, grid=4)
    got = puzzle_mix(*pairs._replace(saliency1=sums), grid=4)
    assert torch.equal(got.mask, want.mask)
    half = pairs._replace(saliency1=pairs.saliency1.half(), saliency2=pairs.saliency2.bfloat16())
    wide = pairs._replace(saliency1=half.saliency1.double(), saliency2=half.saliency2.double())
    assert same(puzzle_mix(*half, grid=4), puzzle_mix(*wide, grid=4))


@either
def test_saliency_of_zero_is_uniform(solve: Solve) -> None:
    pairs = make_pairs(3)
    none, flat = torch.zeros(3, 16, 16), torch.ones(3, 16, 16)
    got = solve(*pairs._replace(saliency1=none, saliency2=none), grid=4)
    want = solve(*pairs._replace(saliency1=flat, saliency2=flat), grid=4)
    assert same(got, want)
    # So is saliency whose sum overflows.
    huge = torch.full((3, 16, 16), 1e308, dtype=torch.float64)
    large = pairs._replace(saliency1=huge, saliency2=huge)
    assert same(solve(*large, grid=4), want)
    torch.testing.assert_close(objective_of(large, want, {}), want.objective, rtol=1e-12, atol=0)


@pytest.mark.parametrize("lam", [0, 1, 0.3])
def test_lambda_for_all(lam: float) -> None:
    pairs = make_pairs(3)
    want = puzzle_mix(*pairs[:4], torch.full((3,), lam, dtype=torch.float64), grid=4)
    assert same(puzzle_mix(*pairs[:4], lam, grid=4), want)
    assert same(puzzle_mix(*pairs[:4], torch.tensor(lam, dtype=torch.float64), grid=4), want)


# ---- Integration --------------------------------------------------------------------------------


def test_gradients_flow_to_the_images_through_the_mix() -> None:
    pairs = make_pairs(4)
    x1, x2 = pairs.x1.requires_grad_(), pairs.x2.requires_grad_()
    s1 = pairs.saliency1.requires_grad_()
    result = puzzle_mix(x1, x2, s1, pairs.saliency2, pairs.lam.requires_grad_(), grid=4)
    assert not result.mask.requires_grad
    assert not result.objective.requires_grad
    weight = torch.rand_like(x1)
    got = torch.autograd.grad((result.images * weight).sum(), (x1, x2))
    fixed = (part.detach() for part in (result.mask, result.source1, result.source2))
    mixed = ops.mix(x1, x2, *fixed)
    want = torch.autograd.grad((mixed * weight).sum(), (x1, x2))
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    assert got[0].abs().sum() > 0


def test_nothing_is_changed_and_nothing_is_drawn() -> None:
    pairs = make_pairs(3, 12, 12)
    before = [part.clone() for part in pairs]
    state = torch.get_rng_state()
    puzzle_mix(*pairs, grid=4, cycles=2, neighborhood=1)
    assert all(torch.equal(a, b) for a, b in zip(before, pairs, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_strides_do_not_matter() -> None:
    pairs = make_pairs(3)
    want = puzzle_mix(*pairs, grid=4)
    wide = torch.stack((pairs.saliency1, pairs.saliency2), -1)
    got = puzzle_mix(
        pairs.x1.to(memory_format=torch.channels_last),
        pairs.x2.mT.contiguous().mT,
        wide[..., 0],
        wide[..., 1],
        pairs.lam,
        grid=4,
    )
    assert same(got, want)


def test_under_autocast() -> None:
    pairs = make_pairs(3)
    want = puzzle_mix(*pairs, grid=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert same(puzzle_mix(*pairs, grid=4), want)


@pytest.mark.parametrize("options", [SETTINGS[2], SETTINGS[5] | {"cycles": 2}], ids=str)
def test_it_can_be_compiled(options: dict[str, Any]) -> None:
    pairs = make_pairs(3, 16, 32)
    compiled = torch.compile(
        lambda *inputs: puzzle_mix(*inputs, **options), fullgraph=True, backend="eager"
    )
    assert same(compiled(*pairs), puzzle_mix(*pairs, **options))


def test_the_compiled_function_differentiates() -> None:
    pairs = make_pairs(3)
    x1 = pairs.x1.requires_grad_()
    compiled = torch.compile(puzzle_mix, fullgraph=True, backend="aot_eager")
    grads = [
        torch.autograd.grad(mix(x1, *pairs[1:], grid=4).images.square().sum(), x1)[0]
        for mix in (compiled, puzzle_mix)
    ]
    assert torch.equal(*grads)


def test_batches_of_any_size_share_a_compiled_function() -> None:
    compiled = torch.compile(puzzle_mix, fullgraph=True, backend="eager")
    for batch in (3, 5):
        pairs = make_pairs(batch)
        for each in pairs:
            torch._dynamo.mark_dynamic(each, 0)
        assert same(compiled(*pairs, grid=4), puzzle_mix(*pairs, grid=4))


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x1": None}, TypeError, r"x1: expected a tensor.*, got NoneType"),
    ({"x1": torch.zeros(3, 8, 8)}, ValueError, r"x1: expected shape \[B, C, Y, X\], got \[3, 8, 8"),
    ({"x1": torch.full((2, 3, 8, 8), math.nan)}, ValueError, r"x1: .*finite.* got nan at \[0, 0"),
    ({"x2": torch.zeros(2, 3, 8, 9)}, ValueError, r"x2: expected shape .* got \[2, 3, 8, 9\]"),
    ({"x2": torch.zeros(2, 3, 8, 8).double()}, TypeError, r"x2: expected float32 .* got float64"),
    ({"x2": torch.full((2, 3, 8, 8), math.inf)}, ValueError, r"x2: .*finite.* got inf at \[0, 0"),
    ({"saliency1": torch.full((2, 8, 8), -1.0)}, ValueError, r"saliency1: .*at least 0, got -1.0"),
    ({"saliency1": torch.ones(2, 6, 6)}, ValueError, r"grid: .*divides saliency1 of 6x6, got 4x4"),
    ({"saliency2": torch.full((2, 8, 8), math.nan)}, ValueError, r"saliency2: .*got nan at \[0, 0"),
    ({"saliency2": torch.ones(3, 8, 8)}, ValueError, r"saliency2: expected shape \[B, Y, X\]"),
    ({"lam": -0.5}, ValueError, r"lam: expected a number from 0 to 1, got -0.5"),
    ({"lam": torch.tensor([2.0, 0.0])}, ValueError, r"lam: expected values from 0 to 1, got 2.0"),
    ({"lam": torch.ones(2, 1)}, ValueError, r"lam: expected a number or shape \[B\]"),
    ({"grid": 3}, ValueError, r"grid: expected a grid that divides x1 of 8x8, got 3x3"),
    ({"grid": (4, 5)}, ValueError, r"grid: expected a grid that divides x1 of 8x8, got 4x5"),
    ({"grid": 0}, ValueError, r"grid: expected 1 to 64, got 0"),
    ({"grid": 128}, ValueError, r"grid: expected 1 to 64, got 128"),
    ({"grid": 4.0}, TypeError, r"grid: expected a side or a pair \(rows, columns\), got 4.0"),
    ({"grid": (2, 2, 2)}, TypeError, r"grid: expected a side or a pair"),
    ({"transport_grid": 6}, ValueError, r"transport_grid: .*divides x1 of 8x8, got 6x6"),
    ({"transport_grid": 2}, ValueError, r"transport_grid: expected a multiple of .* 4x4, got 2x2"),
    ({"labels": 17}, ValueError, r"labels: expected 2 to 16, got 17"),
    ({"beta": -1}, ValueError, r"beta: expected a finite number of at least 0, got -1"),
    ({"gamma": math.nan}, ValueError, r"gamma: expected a finite number of at least 0, got nan"),
    ({"eta": -1}, ValueError, r"eta: "),
    ({"xi": -1}, ValueError, r"xi: "),
    ({"cycles": 0}, ValueError, r"cycles: expected at least 1, got 0"),
    ({"cycles": True}, TypeError, r"cycles: expected an integer, got True"),
    ({"cut": "swaps"}, ValueError, r"cut: expected 'swap' or 'exact', got 'swaps'"),
    ({"transport": "no"}, ValueError, r"transport: expected 'approx' or 'exact' or None, got 'no'"),
    ({"smoothness": None}, ValueError, r"smoothness: expected 'quadratic' or 'bilinear', got None"),
    ({"mean": (1, 2)}, ValueError, r"mean: expected one number or one for each of 3 channels"),
    ({"std": 0}, ValueError, r"std: expected positive numbers, got 0"),
    ({"std": torch.tensor(math.inf)}, ValueError, r"std: expected positive numbers, got inf"),
    ({"mean": torch.tensor([math.nan])}, ValueError, r"mean: expected finite numbers, got \[nan\]"),
    (
        {"x1": torch.rand(2, 3, 8, 8).to_sparse()},
        TypeError,
        r"x1: expected a dense tensor, got lay",
    ),
    ({"saliency1": torch.ones(2, 8, 8).to_sparse()}, TypeError, r"saliency1: expected a dense ten"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), REFUSED)
@either
def test_refusals(
    solve: Solve, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = make_pairs(2, 8, 8)._asdict() | {"grid": 4} | wrong
    with pytest.raises(error, match=message):
        solve(**arguments)


def test_there_is_no_default_grid() -> None:
    with pytest.raises(TypeError, match="grid"):
        puzzle_mix(*make_pairs(2))
