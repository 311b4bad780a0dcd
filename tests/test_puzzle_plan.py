"""puzzle_plan on the CPU and on host teams equals the reference bit for bit, for any arguments."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from calls import call, good
from conftest import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import Pairs, make_pairs
from teams import Team
from torch import Tensor

from puzzlemix import PuzzleMix, ops, reference
from puzzlemix.ops.puzzle import planned
from puzzlemix.puzzle import puzzle_mix
from puzzlemix.results import PuzzlePlan
from puzzlemix.validate.puzzle import PuzzleOptions, expect_pairs, mixing_ratio

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]

CHEAP: dict[str, Any] = {"xi": 0.005, "beta": 3.0, "gamma": 1.0, "eta": 0.02, "labels": 4}
"""Cheap transport and a weak prior, so that blocks move and later cycles are taken."""


def same(one: PuzzlePlan, other: PuzzlePlan) -> bool:
    return all(
        (a is None and b is None) or torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


def part(plan: PuzzlePlan, index: Any) -> PuzzlePlan:
    return PuzzlePlan(*(None if field is None else field[index] for field in plan))


def decided(*given: Any, **options: Any) -> PuzzlePlan:
    """The plan of the CPU, after checking that every backend gives the same bits."""
    plan = ops.puzzle_plan(*given, **options)
    exact = options.get("transport") == "exact"
    for context in (Team(0), Team(1)):
        with context:
            assert_same("on a team", ops.puzzle_plan(*given, **options), plan, exact)
    assert_same("reference", reference.puzzle_plan(*given, **options), plan, exact)
    if "cuda" in DEVICES:
        there = [x.cuda() if isinstance(x, Tensor) else x for x in given]
        moved = {k: x.cuda() if isinstance(x, Tensor) else x for k, x in options.items()}
        on_gpu = ops.puzzle_plan(*there, **moved)
        back = PuzzlePlan(*(None if x is None else x.cpu() for x in on_gpu))
        assert_same("on the GPU", back, plan, exact)
    return plan


def assert_same(backend: str, got: PuzzlePlan, want: PuzzlePlan, exact: bool) -> None:
    """Bit for bit; of exact transports, which may tie, what was decided before them."""
    for name, one, other in zip(want._fields, got, want, strict=True):
        if other is None:
            assert one is None
        elif exact and name not in ("mask", "ratio"):
            assert one.shape == other.shape
        else:
            assert one.dtype == other.dtype
            assert torch.equal(one, other), f"{name}, {backend}: {one} is not {other}"


# ---- One answer ---------------------------------------------------------------------------------


@st.composite
def problems(draw: Callable[..., Any]) -> tuple[Pairs, dict[str, Any]]:
    """Pairs and options: grids, blocks and windows of any sizes."""
    height, width = (draw(st.integers(1, 5)) for _ in range(2))
    fine = height * draw(st.integers(1, 3)), width * draw(st.integers(1, 3))
    rows, columns = (side * draw(st.integers(1, 5)) for side in fine)
    batch, others = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    dtype, seed = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 10**6))
    sizes: dict[str, Any] = {"channels": draw(st.integers(1, 4)), "dtype": dtype}
    x1, _, saliency1, _, lam = make_pairs(batch, rows, columns, seed=seed, **sizes)
    _, x2, *_ = make_pairs(others, rows, columns, seed=seed + 1, **sizes)
    sides = [side * draw(st.integers(1, 3)) for side in fine]
    saliency2 = make_pairs(others, *sides, seed=seed + 2).saliency2
    last = torch.channels_last
    formats = [draw(st.booleans()) for _ in range(2)]
    x1, x2 = (x.to(memory_format=last) if f else x for x, f in zip((x1, x2), formats, strict=True))
    lam = draw(st.sampled_from([lam, lam.half(), 0.3, 0, 1]))
    transport = draw(st.sampled_from(["approx", "approx", "exact", None]))
    return Pairs(x1, x2, saliency1, saliency2, lam), {
        "partner": torch.tensor([draw(st.integers(0, others - 1)) for _ in range(batch)]),
        "grid": (height, width),
        "transport_grid": fine,
        "labels": draw(st.integers(2, 5)),
        "neighborhood": draw(st.integers(1, 5)),
        "smoothness": draw(st.sampled_from(["quadratic", "bilinear"])),
        "cut": draw(st.sampled_from(["swap", "exact"])),
        "transport": transport,
        "cycles": 1 if transport == "exact" else draw(st.integers(1, 3)),
        "std": draw(st.sampled_from([None, 0.25])),
        **dict(zip(("beta", "gamma", "eta", "xi"), draw(WEIGHTS), strict=True)),
    }


WEIGHTS = st.tuples(st.floats(0, 4), st.floats(0, 3), st.floats(0, 2), st.floats(0, 1))


@settings(max_examples=50)
@given(problems())
def test_every_backend_decides_the_same(problem: tuple[Pairs, dict[str, Any]]) -> None:
    pairs, options = problem
    decided(*pairs, **options)


GRIDS: list[dict[str, Any]] = [
    {"grid": 4},
    {"grid": (2, 8), "transport_grid": (4, 8)},
    # Blocks of 6 x 12 pixels and windows of 3 x 4; what moves is of 2 x 6 and of 3 x 4.
    {"grid": (4, 2), "transport_grid": (12, 4)},
    {"grid": (4, 2), "transport_grid": (8, 6)},
    {"grid": 1, "transport_grid": (3, 8)},
    {"grid": (3, 4), "transport": None},
    {"grid": (12, 6), "neighborhood": 2},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", GRIDS, ids=str)
@pytest.mark.parametrize("cut", ["swap", "exact"])
def test_types_and_formats(dtype: torch.dtype, options: dict[str, Any], cut: str) -> None:
    pairs = make_pairs(2, 24, 24, dtype=dtype)
    options = CHEAP | {"cut": cut, "cycles": 3} | options
    plan = decided(*pairs, **options)
    for first, second in ((True, False), (False, True), (True, True)):
        x1, x2 = (
            x.to(memory_format=torch.channels_last) if last else x
            for x, last in zip(pairs[:2], (first, second), strict=True)
        )
        assert same(ops.puzzle_plan(x1, x2, *pairs[2:], **options), plan)
        with Team(2):
            assert same(ops.puzzle_plan(x1, x2, *pairs[2:], **options), plan)
    # Any other layout is copied first.
    turned = pairs.x1.mT.contiguous().mT, pairs.x2[:1].expand(2, -1, -1, -1)
    other = pairs._replace(x1=turned[0], x2=turned[1])
    dense = pairs._replace(x2=turned[1].contiguous())
    assert same(ops.puzzle_plan(*other, **options), ops.puzzle_plan(*dense, **options))


def off_by_one(x: Tensor) -> Tensor:
    """A copy that begins one element behind a multiple of 16 bytes."""
    return torch.cat((x.new_zeros(1), x.flatten()))[1:].view_as(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sides", [(80, 64), (60, 90), (14, 1030)], ids=str)
def test_images_that_several_teams_pool(dtype: torch.dtype, sides: tuple[int, int]) -> None:
    """Of rows that a device reads by 16 bytes or by elements, some longer than a team is wide."""
    pairs = make_pairs(3, *sides, dtype=dtype)
    options = CHEAP | {"neighborhood": 3, "std": [0.2, 0.3, 0.4], "cycles": 2}
    options |= {"grid": (2, 10), "transport_grid": (2, 10)} if sides[0] == 14 else {"grid": 2}
    plan = decided(*pairs, **options)
    with Team(3):
        assert same(ops.puzzle_plan(*map(off_by_one, pairs), **options), plan)
        x1, x2 = (x.to(memory_format=torch.channels_last) for x in pairs[:2])
        assert same(ops.puzzle_plan(x1, x2, *pairs[2:], **options), plan)


@pytest.mark.parametrize("options", GRIDS[:4], ids=str)
def test_later_cycles_are_taken(options: dict[str, Any]) -> None:
    """Makes sure that the other tests reach later cycles."""
    pairs = make_pairs(16, 24, 24)
    first = decided(*pairs, **CHEAP | options)
    plan = decided(*pairs, cycles=4, **CHEAP | options)
    gained = plan.objective < first.objective
    assert gained.any()
    assert (plan.objective <= first.objective).all()
    assert same(part(plan, ~gained), part(first, ~gained))


HEAVY: dict[str, dict[str, Any]] = {
    "data": {"beta": 1e-3, "gamma": 1e9},
    "label": {"beta": 1e9, "gamma": 0, "eta": 1e9},
    "prior": {"eta": 1e9},
    "transport": {"xi": 1e9},
    "saliency": {"beta": 0, "eta": 0, "xi": 0},
}


@pytest.mark.parametrize("term", HEAVY)
@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
def test_the_last_bit_of_each_term(term: str, smoothness: str) -> None:
    """Each term alone, as an error in its last place would be lost in the sum of terms."""
    pairs = make_pairs(4, 24, 24, dtype=torch.float64)
    for grids in (*GRIDS[:5], {"grid": (3, 2), "transport_grid": (3, 8), "neighborhood": 8}):
        options = CHEAP | {"smoothness": smoothness, "cycles": 2, "std": 0.3}
        decided(*pairs, **options | HEAVY[term] | grids)


def test_the_last_bit_of_logarithms() -> None:
    pairs = make_pairs(300, 2, 2, channels=1)
    for labels in (2, 3, 16):
        decided(*pairs, grid=1, labels=labels, eta=1e9, transport=None)


@pytest.mark.parametrize("channels", [1, 3, 17])
def test_standard_deviations(channels: int) -> None:
    pairs = make_pairs(3, 12, 12, channels=channels)
    numbers = [0.2 + 0.05 * c for c in range(channels)]
    options = CHEAP | {"grid": 3, "transport_grid": 6, "cycles": 3}
    want = decided(*pairs, std=numbers, **options)
    assert same(decided(*pairs, std=torch.tensor(numbers, dtype=torch.float64), **options), want)
    for dtype in DTYPES[:3]:
        std = torch.tensor(numbers).to(dtype)
        assert same(
            decided(*pairs, std=std, **options), decided(*pairs, std=std.tolist(), **options)
        )
    one = decided(*pairs, std=0.25, **options)
    for std in ([0.25], torch.tensor(0.25), torch.full((1,), 0.25), [0.25] * channels):
        assert same(ops.puzzle_plan(*pairs, std=std, **options), one)
    assert not same(one, decided(*pairs, **options))


@pytest.mark.parametrize("dtype", DTYPES)
def test_lambda_of_any_kind(dtype: torch.dtype) -> None:
    pairs = make_pairs(4)
    lam = pairs.lam.to(dtype)
    want = decided(*pairs[:4], lam.double(), grid=4)
    assert same(decided(*pairs[:4], lam, grid=4), want)
    strided = torch.stack((lam, lam), 1)[:, 0]
    assert same(decided(*pairs[:4], strided, grid=4), want)
    for number in (lam[0], lam[:1].expand(4), float(lam[0])):
        plan = decided(*pairs[:4], number, grid=4)
        assert same(part(plan, slice(1)), part(want, slice(1)))


def test_saliency_at_resolutions_of_its_own() -> None:
    pairs = make_pairs(4, 24, 24)
    for sides in ((4, 8), (60, 40)):
        maps = make_pairs(4, *sides, seed=7)
        for dtype in DTYPES[1:]:
            saliency = maps.saliency2.to(dtype)
            given = pairs._replace(saliency2=saliency)
            decided(*given, grid=(2, 4), transport_grid=(4, 8), cycles=2, **CHEAP)
            decided(*given._replace(saliency1=saliency), grid=(4, 8), **CHEAP)


@pytest.mark.parametrize("names", [[2, 0, 3, 1], [1, 1, 1, 1], [5, 0, 6, 0], [0, 0, 0, 0]], ids=str)
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_partners_are_the_images_that_they_name(names: list[int], kind: torch.dtype) -> None:
    count = {5: 7, 0: 1}.get(names[0], 4)
    pairs, others = make_pairs(4, 24, 24), make_pairs(count, 24, 24, seed=1)
    partner = torch.tensor(names)
    named = pairs._replace(x2=others.x2[partner], saliency2=others.saliency2[partner])
    given = pairs._replace(x2=others.x2, saliency2=others.saliency2)
    for grids in GRIDS[:3]:
        options = CHEAP | {"cycles": 3} | grids
        want = ops.puzzle_plan(*named, **options)
        assert same(decided(*given, partner=partner.to(kind), **options), want)
    strided = torch.stack((partner, partner), 1)[:, 0]
    assert same(ops.puzzle_plan(*given, partner=strided, **options), want)


@pytest.mark.parametrize(
    "names",
    [[2, 4, 5, 1, 0, 3], [1, 0, 2, 5, 3, 4], [3, 3, 3, 3, 3, 3], [1, 2, 1, 0, 4, 0]],
    ids=str,
)
def test_partners_within_one_batch(names: list[int]) -> None:
    """An image that is the second of one pair and the first of another is the same in both."""
    pairs, partner = make_pairs(6), torch.tensor(names)
    options = CHEAP | {"grid": (4, 8), "cycles": 3}
    one = pairs._replace(x2=pairs.x1, saliency2=pairs.saliency1)
    for _ in range(2):
        two = pairs._replace(x2=pairs.x1[partner], saliency2=pairs.saliency1[partner])
        assert same(decided(*one, partner=partner, **options), decided(*two, **options))
        # The next call finds other numbers in the same memory.
        pairs.x1.copy_(pairs.x1.flip(0))
        pairs.saliency1.copy_(pairs.saliency1.flip(0))
    alone = decided(*one, **options)
    assert same(decided(*one, partner=torch.arange(6), **options), alone)


def test_maps_that_share_memory() -> None:
    """Two views of one memory are two different maps."""
    pairs, partner = make_pairs(6), torch.tensor([2, 4, 5, 1, 0, 3])
    given = pairs._replace(x2=pairs.x1, saliency1=pairs.saliency1.contiguous())
    rows, columns = given.saliency1.shape[1:]
    wide = given.saliency1.view(6, rows // 2, columns * 2)
    options = {"partner": partner, "grid": 4, "cycles": 2} | CHEAP
    want = ops.puzzle_plan(*given._replace(saliency2=wide.clone()), **options)
    assert same(decided(*given._replace(saliency2=wide), **options), want)


@pytest.mark.parametrize("argument", ["x1", "saliency1"])
def test_a_bad_value_within_one_batch(argument: str) -> None:
    """The message names the argument and image as if first and second images were two tensors."""
    pairs, partner = make_pairs(6), torch.tensor([2, 4, 5, 1, 0, 3])
    for sample in range(6):
        given = pairs._asdict() | {argument: getattr(pairs, argument).clone()}
        given[argument][sample, ..., 3, 5] = float("nan")
        x, saliency = given["x1"], given["saliency1"]
        messages = []
        for x2, saliency2 in ((x, saliency), (x.clone(), saliency.clone())):
            with pytest.raises(ValueError, match="finite") as raised:
                ops.puzzle_plan(x, x2, saliency, saliency2, 0.5, partner=partner, grid=4)
            messages.append(str(raised.value))
        assert messages[0] == messages[1]


def test_extreme_values() -> None:
    """Values that overflow, cancel or are denormal in double."""
    pairs = make_pairs(4, dtype=torch.float64)
    tiny = torch.rand(4, 16, 16, dtype=torch.float64) * 2.0**-1060
    for change in (
        {"saliency1": tiny},
        {"saliency1": torch.full((4, 16, 16), 1e308, dtype=torch.float64)},
        {"saliency2": torch.zeros(4, 16, 16)},
        {"x1": pairs.x1 * 2.0**-1060, "x2": pairs.x2 * 2.0**-1060},
        {"x1": pairs.x1 * 1e280, "x2": pairs.x2 * 1e280},
        {"lam": torch.tensor([0, 1, 1e-7, 1 - 1e-7], dtype=torch.float64)},
    ):
        decided(*pairs._replace(**change), grid=4, cycles=2, **CHEAP)


def test_integers_of_any_kind_and_size() -> None:
    pairs = make_pairs(2)
    want = decided(*pairs, grid=4, labels=4, neighborhood=2, cycles=3)
    kinds = {"labels": np.int64(4), "neighborhood": np.int8(2), "cycles": np.uint16(3)}
    grid = np.int32(4), np.int64(4)
    assert same(decided(*pairs, grid=grid, **kinds), want)
    most = decided(*pairs, grid=4, neighborhood=2**100, cycles=2**100)
    assert same(most, decided(*pairs, grid=4, neighborhood=4, cycles=100))
    weights = {"beta": np.float32(1.25), "gamma": 1, "eta": np.int64(0), "xi": np.float64(0.5)}
    assert same(
        decided(*pairs, grid=4, **weights),
        decided(*pairs, grid=4, beta=1.25, gamma=1.0, eta=0.0, xi=0.5),
    )


def test_arrays() -> None:
    pairs, partner = make_pairs(3), torch.tensor([1, 2, 1])
    want = ops.puzzle_plan(*pairs, partner=partner, grid=4)
    arrays = [each.numpy() for each in pairs]
    got = ops.puzzle_plan(*arrays, partner=partner.numpy(), grid=4)
    assert type(got) is PuzzlePlan
    assert all((a == b.numpy()).all() for a, b in zip(got, want, strict=True))
    still = ops.puzzle_plan(*arrays[:4], 0.5, grid=4, transport=None)
    assert still.source1 is None
    assert still.mask.dtype == "float32"


# ---- A sample by itself -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_a_sample_does_not_depend_on_what_is_around_it(
    threads: Callable[[int], None], count: int, last: bool
) -> None:
    pairs = make_pairs(33, 24, 24)
    partner, options = torch.randint(33, (33,)), CHEAP | {"grid": (4, 2), "cycles": 3}
    options |= {"transport_grid": (12, 4)}
    alone = [
        ops.puzzle_plan(
            *pairs.sample(i)[:1], pairs.x2, pairs.saliency1[i : i + 1], pairs.saliency2,
            pairs.lam[i : i + 1], partner=partner[i : i + 1], **options,
        )
        for i in range(33)
    ]  # fmt: skip
    threads(count)
    if last:
        to = torch.channels_last
        pairs = pairs._replace(x1=pairs.x1.to(memory_format=to), x2=pairs.x2.to(memory_format=to))
    whole = ops.puzzle_plan(*pairs, partner=partner, **options)
    for i in range(33):
        assert same(part(whole, slice(i, i + 1)), alone[i])
    mixed = puzzle_mix(*pairs, **options)
    assert mixed.images.is_contiguous() != last
    want = puzzle_mix(*pairs._replace(x1=pairs.x1.contiguous()), **options)
    assert torch.equal(mixed.images, want.images)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_a_sample_does_not_depend_on_a_mixer_s_batch(
    threads: Callable[[int], None], count: int, last: bool
) -> None:
    pairs = make_pairs(9)
    options: dict[str, Any] = {"transport_grid": 8, "cycles": 2, **CHEAP}

    def mixer() -> PuzzleMix:
        generator = torch.Generator().manual_seed(3)
        return PuzzleMix(grids=(4,), per_sample=True, generator=generator, **options)

    want = mixer().plan(pairs.x1, None, pairs.saliency1)
    images = want.images(pairs.x1)
    threads(count)
    x1 = pairs.x1.to(memory_format=torch.channels_last) if last else pairs.x1
    plan = mixer().plan(x1, None, pairs.saliency1)
    for name in ("index", "ratio", "mask", "source1", "source2"):
        assert torch.equal(getattr(plan, name), getattr(want, name))
    assert torch.equal(plan.images(x1), images)
    # Each sample alone.
    for i in range(9):
        assert torch.equal(plan[i : i + 1].images(x1[i : i + 1], x1), images[i : i + 1])


def problems_in_turn() -> Iterator[tuple[Pairs, dict[str, Any]]]:
    """Problems that reuse a thread's workspace, and others that replace it."""
    for seed in range(2):
        for size in ((24, 24), (24, 48), (48, 24)):
            for options in (*GRIDS[:4], {"grid": 4, "cut": "exact"}, {"grid": 4, "labels": 2}):
                dtype = DTYPES[2 + seed]
                options = CHEAP | {"cycles": 1 + 2 * seed} | options
                yield make_pairs(3, *size, dtype=dtype, seed=seed), options


def test_workspaces_are_reused() -> None:
    problems = list(problems_in_turn())
    want = [reference.puzzle_plan(*pairs, **options) for pairs, options in problems]
    order = torch.randint(len(problems), (300,), generator=torch.Generator().manual_seed(0))
    for i in (*order.tolist(), *range(len(problems))):
        pairs, options = problems[i]
        assert same(ops.puzzle_plan(*pairs, **options), want[i]), options


def test_workspaces_are_reused_after_a_refusal() -> None:
    for pairs, options in problems_in_turn():
        want = ops.puzzle_plan(*pairs, **options)
        for name in ("x1", "saliency2"):
            bad = getattr(pairs, name).clone()
            bad[1].view(-1)[-1] = torch.nan
            with pytest.raises(ValueError, match=name):
                ops.puzzle_plan(*pairs._replace(**{name: bad}), **options)
            assert same(ops.puzzle_plan(*pairs, **options), want)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no interval timer")
def test_workspaces_are_reused_after_an_interruption(threads: Callable[[int], None]) -> None:
    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    pairs, options = make_pairs(10, 64, 64), CHEAP | {"grid": 32, "cycles": 9, "xi": 1e-3}
    want = ops.puzzle_plan(*pairs, **options)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for count in (1, 3):
            threads(count)
            many = Pairs(*(x.repeat(150, *[1] * (x.dim() - 1)) for x in pairs))
            for delay in (0.01, 0.05, 0.1):
                signal.setitimer(signal.ITIMER_REAL, delay)
                with pytest.raises(Stopped):
                    ops.puzzle_plan(*many, **options)
                assert same(ops.puzzle_plan(*pairs, **options), want)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- Bad values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_lowest_faulty_sample_is_named(threads: Callable[[int], None], count: int) -> None:
    threads(count)
    for seed in range(20):
        pairs = make_pairs(400, 8, 8, seed=seed)
        bad = torch.randperm(400, generator=torch.Generator().manual_seed(seed))[:9].tolist()
        for name in ("x1", "x2", "saliency1", "saliency2", "lam"):
            spoilt = getattr(pairs, name).clone()
            spoilt[bad] = -1.0 if name.startswith("saliency") else torch.inf
            with pytest.raises(ValueError, match=rf"^{name}: .* at \[{min(bad)}[,\]]"):
                ops.puzzle_plan(*pairs._replace(**{name: spoilt}), grid=2)
        partner = torch.arange(400)
        partner[bad] = 400
        with pytest.raises(ValueError, match=rf"^partner: .* got 400 at \[{min(bad)}\]"):
            ops.puzzle_plan(*pairs, partner=partner, grid=2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"eta": 1.7e308, "labels": 16}, "beta, gamma, eta: .* overflow in sample 0"),
        ({"beta": 1.7e308, "gamma": 1e3}, "beta, gamma, eta: .* overflow in sample 0"),
        ({"xi": 1e308}, "xi: expected a number from 0"),
    ],
)
@pytest.mark.parametrize("plan", [ops.puzzle_plan, reference.puzzle_plan])
def test_weights_whose_costs_overflow(plan: Any, weights: dict[str, Any], message: str) -> None:
    pairs = make_pairs(3, 16, 16, seed=4)
    with pytest.raises(ValueError, match=f"^{message}"):
        plan(*pairs, grid=4, **weights)


def test_of_several_faults_the_same_one_is_named_whatever_the_threads(
    threads: Callable[[int], None],
) -> None:
    """The fault of the lowest pair is named, though another pair's has the same index in x2."""
    # Two threads begin at pairs 0 and 25, at once: the second one meets x2's fault first.
    pairs = make_pairs(400, 32, 32)
    x1, x2 = pairs.x1.clone(), pairs.x2.clone()
    x1[24, 1, 2, 3] = x2[24, 0, 0, 0] = torch.nan
    partner = torch.arange(400)
    partner[25:] = 24
    messages = set()
    for count in (1, 2, 3, 5) * 5:
        threads(count)
        with pytest.raises(ValueError, match="expected") as error:
            ops.puzzle_plan(x1, x2, *pairs[2:], partner=partner, grid=8)
        messages.add(str(error.value))
    assert messages == {"x1: expected finite values, got nan at [24, 1, 2, 3]"}


def test_the_place_of_a_pixel_in_any_format() -> None:
    pairs = make_pairs(3, 8, 12)
    for name in ("x1", "x2"):
        bad = getattr(pairs, name).clone()
        bad[1, 2, 5, 7] = torch.nan
        for x in (bad, bad.to(memory_format=torch.channels_last), bad.mT.contiguous().mT):
            with pytest.raises(ValueError, match=rf"^{name}: .*nan at \[1, 2, 5, 7\]"):
                ops.puzzle_plan(*pairs._replace(**{name: x}), grid=4)


def test_every_pixel_and_saliency_is_checked() -> None:
    # Blocks of 6 x 6 pixels: most pixels are in windows that touch no boundary.
    pairs = make_pairs(1, 12, 12, channels=2)
    for last in (False, True):
        for y in range(12):
            for x in range(12):
                bad = pairs.x1.clone(memory_format=torch.contiguous_format)
                bad[0, 1, y, x] = -torch.inf
                bad = bad.to(memory_format=torch.channels_last) if last else bad
                with pytest.raises(ValueError, match=rf"^x1: .*-inf at \[0, 1, {y}, {x}\]"):
                    ops.puzzle_plan(*pairs._replace(x1=bad), grid=2, neighborhood=1)
                saliency = pairs.saliency2.clone()
                saliency[0, y, x] = -1e-9
                with pytest.raises(ValueError, match=rf"^saliency2: .* at \[0, {y}, {x}\]"):
                    ops.puzzle_plan(*pairs._replace(saliency2=saliency), grid=2)


def test_a_mixer_names_its_own_arguments() -> None:
    images, labels = make_pairs(4).x1, torch.arange(4)
    mixer = PuzzleMix(grids=(4,), num_classes=4, saliency=lambda x, _: x.abs().mean(1).float())
    saliency = images.mean(1)
    for bad, name, text in (
        ((images * torch.nan, labels, saliency), "images", r"finite values, got nan at \[0, 0, 0"),
        ((images, labels, saliency - 9), "saliency", r"finite values of at least 0, got -"),
        (
            (images, labels, saliency * torch.inf),
            "saliency",
            r"finite values of at least 0, got inf",
        ),
        ((images * torch.inf, labels), "images", "finite values, got inf"),
    ):
        for call_it in (mixer, mixer.plan):
            with pytest.raises(ValueError, match=f"^{name}: expected {text}"):
                call_it(*bad)
    with pytest.raises(ValueError, match=r"^saliency: expected .*got \[3, 16, 16\]"):
        mixer(images, labels, saliency[:3])
    with pytest.raises(TypeError, match=r"^images: expected dtype"):
        mixer(images.long(), labels, saliency)
    with pytest.raises(ValueError, match=r"^grids: expected a grid that divides images of 15x16"):
        mixer(images[:, :, 1:], labels, saliency)
    with pytest.raises(ValueError, match=r"^std: .*each of 3 channels, got 2"):
        PuzzleMix(grids=(4,), num_classes=4, std=(1, 2))(images, labels, saliency)


def test_bad_values_on_the_device_stay_within_bounds() -> None:
    """Teams don't check values, as on CUDA: the result is still a valid plan."""
    pairs = make_pairs(6, 24, 24)
    x1, x2, s1, s2, lam = (x.clone() for x in pairs)
    x1[0], x1[1, 0, 3], x2[2, :, 5], x2[3] = torch.nan, torch.inf, -torch.inf, 3e38
    s1[1], s1[2, 3], s2[3] = torch.nan, -5, torch.inf
    lam[:4] = torch.tensor([torch.nan, -1, 2, torch.inf])
    partner = torch.tensor([7, -1, 2, 2**62, -(2**63), 0])
    places = torch.arange(48).expand(6, -1)
    options = CHEAP | {"grid": (4, 2), "transport_grid": (12, 4), "cycles": 3}
    for seed in range(2):
        with Team(seed):
            plan = ops.puzzle_plan(x1, x2, s1, s2, lam, partner=partner, **options)
        assert plan.source1 is not None
        assert plan.source2 is not None
        assert torch.equal(plan.source1.flatten(1).sort(1).values, places)
        assert torch.equal(plan.source2.flatten(1).sort(1).values, places)
        assert ((plan.mask >= 0) & (plan.mask <= 1)).all()
        assert plan.objective.isfinite().all()


@pytest.mark.parametrize("cycles", [1, 2])
@pytest.mark.parametrize("seed", [None, 0])
def test_a_plan_is_the_same_without_its_objective(cycles: int, seed: int | None) -> None:
    pairs = make_pairs(6, 16, 16)
    options = CHEAP | {"cycles": cycles}
    checked = PuzzleOptions(
        options["labels"], 3.0, 1.0, 0.02, 0.005, 4, "quadratic", None, None, cycles=cycles
    )
    with Team(seed) if seed is not None else contextlib.nullcontext():
        want = ops.puzzle_plan(*pairs, grid=4, transport_grid=8, **options)
        plan = planned(*pairs, None, (4, 4), (8, 8), checked, judged=False)
    assert (want.source1 != torch.arange(64).view(8, 8)).any()
    assert plan.objective.numel() == 0
    assert same(plan[:4], want[:4])


# ---- With PyTorch -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [GRIDS[0], GRIDS[2] | {"cycles": 2}, GRIDS[5]], ids=str)
def test_it_compiles_as_one_graph(options: dict[str, Any]) -> None:
    pairs, partner = make_pairs(3, 24, 24), torch.tensor([1, 2, 0])
    compiled = torch.compile(
        lambda *inputs: ops.puzzle_plan(*inputs[:5], partner=inputs[5], **options),
        fullgraph=True,
        backend="aot_eager",
    )
    want = ops.puzzle_plan(*pairs, partner=partner, **options)
    assert same(compiled(*pairs, partner), want)


def operator_arguments() -> Iterator[tuple[Any, ...]]:
    rest = [0.5, [], [4, 4, 8, 8], 3, [1.2, 0.5, 0.2, 0.8], 4, False, False]
    pairs, partner = make_pairs(3), torch.tensor([2, 0, 0])
    yield (*pairs, partner, torch.tensor([0.5, 0.2, 0.1]), *rest, 1, 2, True)
    double = make_pairs(3, dtype=torch.float64)
    last = [x.to(memory_format=torch.channels_last) for x in double[:2]]
    yield (*last, *double[2:4], None, None, None, *rest[:2], [4, 4, 4, 4], *rest[3:], 0, 1, False)


@pytest.mark.parametrize("arguments", list(operator_arguments()), ids=["transport", "none"])
def test_opcheck(arguments: tuple[Any, ...]) -> None:
    torch.library.opcheck(torch.ops.puzzlemix.puzzle_plan.default, arguments)


def test_checks_run_on_meta_tensors() -> None:
    arguments = {name: x.to("meta") for name, x in good("puzzle_plan").items()}
    lam = arguments.pop("lam")
    expect_pairs(**arguments)
    assert mixing_ratio(lam, arguments["x1"]).shape == (2,)


def test_nothing_is_changed_and_nothing_needs_a_gradient() -> None:
    arguments = {
        name: x.requires_grad_(x.is_floating_point()) for name, x in good("puzzle_plan").items()
    }
    before = {name: x.detach().clone() for name, x in arguments.items()}
    plan = call(ops, "puzzle_plan", arguments)
    assert not any(x.requires_grad for x in plan)
    assert all(torch.equal(arguments[name], x) for name, x in before.items())
