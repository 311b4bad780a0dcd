"""The reference's puzzle_plan: its order of addition, laws, brute force and known answers."""

from __future__ import annotations

import inspect
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pairs import (
    OF_THE_OBJECTIVE,
    SETTINGS,
    Pairs,
    expect_consistent,
    make_mask,
    make_pairs,
    make_sources,
    part,
    same,
)
from torch.utils._python_dispatch import TorchDispatchMode

from puzzlemix import reference
from puzzlemix.objective import objective
from puzzlemix.puzzle import puzzle_mix
from puzzlemix.reference import logarithm, puzzle
from puzzlemix.validate.puzzle import PuzzleOptions, with_std

DEFAULTS: dict[str, Any] = {
    name: value
    for name, value in (puzzle_mix.__kwdefaults__ or {}).items()
    if name in (*OF_THE_OBJECTIVE, "mean")
}


def test_signature() -> None:
    ours = inspect.signature(reference.puzzle_plan).parameters
    theirs = inspect.signature(puzzle_mix).parameters
    assert [name for name in ours if name != "partner"] == list(theirs)
    assert list(ours)[5] == "partner"
    assert all(ours[name] == parameter for name, parameter in theirs.items())


# ---- The order of addition, in Python's own floats ----------------------------------------------

Rows = list[list[float]]


def rectangle(values: Rows) -> float:
    """The sum of docs/mathematics/order.md, "The sum over a rectangle", in Python floats."""
    columns = [running(list(column)) for column in zip(*values, strict=True)]
    if len(columns) == 1:
        return columns[0]
    return running(columns[0::2]) + running(columns[1::2])


def running(values: list[float]) -> float:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def rectangles(values: Rows, rows: int, columns: int) -> Rows:
    return [
        [
            rectangle([row[x : x + columns] for row in values[y : y + rows]])
            for x in range(0, len(values[0]), columns)
        ]
        for y in range(0, len(values), rows)
    ]


def moved(plane: Rows, source: list[list[int]] | None) -> Rows:
    if source is None:
        return plane
    rows, columns = len(plane) // len(source), len(plane[0]) // len(source[0])
    out = [list(row) for row in plane]
    for y, x in itertools.product(range(len(plane)), range(len(plane[0]))):
        block = source[y // rows][x // columns]
        from_y = block // len(source[0]) * rows + y % rows
        out[y][x] = plane[from_y][block % len(source[0]) * columns + x % columns]
    return out


class Literal:
    """The costs and objective of one pair and its permutations, in loops over Python floats."""

    def __init__(self, pairs: Pairs, grid: Any, fine: Any, sources: Any, **options: Any) -> None:
        self.o = DEFAULTS | options
        self.grid = h, w = grid
        self.last = self.o["labels"] - 1
        sources = (None, None) if sources is None else [source[0].tolist() for source in sources]
        images = [pairs.x1[0].tolist(), pairs.x2[0].tolist()]
        self.shares = []
        for saliency, source in zip((pairs.saliency1, pairs.saliency2), sources, strict=True):
            y, x = saliency.shape[1:]
            blocks = rectangles(saliency[0].tolist(), y // fine[0], x // fine[1])
            total = rectangle(blocks)
            shares = moved([[block / total for block in row] for row in blocks], source)
            self.shares.append(rectangles(shares, fine[0] // h, fine[1] // w))
        side_y, side_x = len(images[0][0]) // h, len(images[0][0][0]) // w
        self.window = [
            max(k for k in range(1, side + 1) if side % k == 0 and k <= self.o["neighborhood"])
            for side in (side_y, side_x)
        ]
        self.size = side_y // self.window[0], side_x // self.window[1]
        std = self.o["std"] or 1.0
        self.windows = [
            [
                [[value * std for value in row] for row in rectangles(plane, *self.window)]
                for plane in (moved(plane, source) for plane in image)
            ]
            for image, source in zip(images, sources, strict=True)
        ]
        lam = min(max(float(pairs.lam[0]), 1e-6), 1 - 1e-6)
        self.log_p = [
            (log(math.comb(self.last, k)) + k * log(lam)) + (self.last - k) * log(1 - lam)
            for k in range(self.last + 1)
        ]
        self.smoothness = self.o["beta"] / (16 * math.sqrt(h * w))

    def distance(self, a: int, b: int, i: tuple[int, int], down: bool) -> float:
        (p, q), (y, x) = self.size, i
        places = []
        for s in range(q if down else p):
            at = ((y + 1) * p - 1, x * q + s) if down else (y * p + s, (x + 1) * q - 1)
            to = (at[0] + 1, at[1]) if down else (at[0], at[1] + 1)
            gaps = [
                abs(first[at[0]][at[1]] - second[to[0]][to[1]])
                for first, second in zip(self.windows[a], self.windows[b], strict=True)
            ]
            places.append(running(gaps))
        return running(places)

    def pixels(self, down: bool) -> int:
        """P: pixels of a strip on either side of an edge down or right, of all channels."""
        places = self.size[1] if down else self.size[0]
        return len(self.windows[0]) * places * self.window[0] * self.window[1]

    def weigh(self, down: bool) -> float:
        return ((self.smoothness * self.o["gamma"]) / 2) / self.pixels(down)

    def edge(self, i: tuple[int, int], down: bool) -> tuple[float, float, float, float]:
        """d22, first, second and weight of an edge; zeros over the border."""
        y, x = i
        h, w = self.grid
        if not (0 <= y < h - down and 0 <= x < w - (not down)):
            return 0.0, 0.0, 0.0, 0.0
        d11, d12, d21, d22 = (
            self.distance(a, b, i, down) for a, b in itertools.product(range(2), range(2))
        )
        along, across = d11 - d22, d12 - d21
        return d22, along + across, along - across, ((d12 + d21) - d11) - d22

    def weight(self, i: tuple[int, int], down: bool) -> float:
        return max(self.edge(i, down)[3] * self.weigh(down) + self.smoothness, 0.0)

    def unary(self, y: int, x: int) -> list[float]:
        down, up = self.edge((y, x), True), self.edge((y - 1, x), True)
        right, left = self.edge((y, x), False), self.edge((y, x - 1), False)
        weigh_down, weigh_right = self.weigh(True), self.weigh(False)
        slope = (down[1] + up[2]) * weigh_down + (right[1] + left[2]) * weigh_right
        slope = slope + (self.shares[1][y][x] - self.shares[0][y][x])
        bend = (down[3] + up[3]) * weigh_down + (right[3] + left[3]) * weigh_right
        bend = bend if self.o["smoothness"] == "bilinear" else 0.0
        factor = -self.o["eta"] / (self.grid[0] * self.grid[1])
        return [
            (slope * (k / self.last) + self.log_p[k] * factor)
            + bend * ((k / self.last) * (1 - k / self.last))
            for k in range(self.last + 1)
        ]

    def objective(self, labels: list[list[int]], sources: Any) -> float:
        h, w = self.grid
        z = [[k / self.last for k in row] for row in labels]
        s1, s2 = self.shares
        terms: dict[str, Rows] = {name: [[0.0] * w for _ in range(h)] for name in "sldp"}
        for y, x in itertools.product(range(h), range(w)):
            terms["s"][y][x] = s2[y][x] + z[y][x] * (s1[y][x] - s2[y][x])
            terms["p"][y][x] = self.log_p[labels[y][x]]
            square, phi = [0.0, 0.0], [0.0, 0.0]
            for number, (to_y, to_x) in enumerate(((y + 1, x), (y, x + 1))):
                if to_y < h and to_x < w:
                    d22, first, second, weight = self.edge((y, x), number == 0)
                    i, j = z[y][x], z[to_y][to_x]
                    square[number] = (i - j) * (i - j)
                    bilinear = self.o["smoothness"] == "bilinear"
                    mixed = (i + j) - (2 * i) * j if bilinear else square[number]
                    factor = (self.smoothness * self.o["gamma"]) / self.pixels(number == 0)
                    phi[number] = (d22 + ((first * i + second * j) + weight * mixed) / 2) * factor
            terms["l"][y][x], terms["d"][y][x] = square[0] + square[1], phi[0] + phi[1]
        transport = 0.0
        if sources is not None and sources[0][0].numel() > 1:
            _, rows, columns = sources[0].shape
            far = sum(
                (i // columns - j // columns) ** 2 + (i % columns - j % columns) ** 2
                for source in sources
                for j, i in enumerate(source[0].flatten().tolist())
            )
            longest = max(rows, columns) - 1
            transport = far * (self.o["xi"] / (longest * longest))
        saliency, label = -rectangle(terms["s"]), rectangle(terms["l"]) * self.smoothness
        data = rectangle(terms["d"])
        prior = rectangle(terms["p"]) * (-self.o["eta"] / (h * w))
        return (((saliency + label) + data) + prior) + transport


def log(number: float) -> float:
    return float(logarithm.log(torch.tensor(float(number), dtype=torch.float64)))


ORDERS: list[tuple[tuple[int, int], Any, Any, dict[str, Any]]] = [
    # rows and columns, grid, transport grid, options
    ((8, 8), (2, 2), (2, 2), {}),
    ((12, 20), (3, 5), (6, 5), {"labels": 4, "smoothness": "bilinear"}),
    ((15, 14), (1, 7), (3, 7), {"neighborhood": 5, "labels": 5, "std": 0.29}),
    ((12, 12), (4, 1), (4, 3), {"gamma": 3.0, "beta": 0.7, "smoothness": "bilinear"}),
    ((18, 30), (3, 3), (9, 3), {"neighborhood": 3, "eta": 1.3, "xi": 0.1}),
    ((5, 7), (1, 1), (1, 1), {"neighborhood": 7}),
]


@pytest.mark.parametrize("case", ORDERS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_every_number_follows_the_order_of_addition(case: tuple[Any, ...], seed: int) -> None:
    size, grid, fine, options = case
    pairs = make_pairs(1, *size, channels=1 + seed, dtype=torch.float64, seed=seed)
    checked = with_std(PuzzleOptions(**(DEFAULTS | options)), pairs.x1)
    problem = puzzle._problem(*pairs, None, grid, fine, checked)
    moves = make_sources(1, *fine, seed=seed), make_sources(1, *fine, seed=seed + 10)
    for sources in (None, moves):
        want = Literal(pairs, grid, fine, sources, **options)
        unary, vertical, horizontal, _ = puzzle._costs(problem, puzzle._view(problem, sources))
        for y, x in itertools.product(range(grid[0]), range(grid[1])):
            assert unary[0, y, x].tolist() == want.unary(y, x)
            if y + 1 < grid[0]:
                assert float(vertical[0, y, x]) == want.weight((y, x), True)
            if x + 1 < grid[1]:
                assert float(horizontal[0, y, x]) == want.weight((y, x), False)
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(checked.labels, (1, *grid), generator=generator)
        value = puzzle._objective(problem, labels, sources)
        assert float(value) == want.objective(labels[0].tolist(), sources)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (3, 1), (2, 3), (5, 8), (7, 5)])
def test_sums_follow_the_order_of_addition(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows * columns)
    values = torch.randn(3 * rows, 2 * columns, generator=generator, dtype=torch.float64)
    values *= 10 ** (8 * torch.randn(values.shape, generator=generator, dtype=torch.float64))
    want = rectangles(values.tolist(), rows, columns)
    assert puzzle._sums(values, rows, columns).tolist() == want
    if rows * columns > 8:
        turned = rectangles(values.mT.tolist(), columns, rows)
        assert turned != torch.tensor(want).mT.tolist()  # another order gives other bits


# ---- Costs and objective of any mask and permutations -------------------------------------------


def problem_of(
    pairs: Pairs, grid: tuple[int, int], fine: tuple[int, int], **options: Any
) -> puzzle._Problem:
    checked = with_std(PuzzleOptions(**(DEFAULTS | options)), pairs.x1)
    return puzzle._problem(*pairs, None, grid, fine, checked)


GRIDS = [((1, 1), (1, 1)), ((4, 4), (8, 4)), ((2, 6), (2, 6)), ((3, 2), (12, 4)), ((1, 4), (3, 4))]
"""Grids of the cut and of the transport. In images of 24 x 24 pixels some blocks of the transport
are no whole number of windows."""


@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize(("grid", "fine"), GRIDS)
@pytest.mark.parametrize("moves", [False, True])
def test_costs_of_the_cut_and_the_objective_differ_by_a_constant(
    smoothness: str, labels: int, grid: tuple[int, int], fine: tuple[int, int], moves: bool
) -> None:
    pairs = make_pairs(4, 24, 24, dtype=torch.float64)
    sources = (make_sources(4, *fine, seed=3), make_sources(4, *fine, seed=4)) if moves else None
    options: dict[str, Any] = {"smoothness": smoothness, "labels": labels, "gamma": 0.9}
    problem = problem_of(pairs, grid, fine, **options)
    costs = puzzle._costs(problem, puzzle._view(problem, sources))
    values, energies = [], []
    for seed in range(4):
        mask = make_mask(4, *grid, labels, seed=seed)
        label = (mask * (labels - 1)).round().long()
        values.append(objective(*pairs, mask, *(sources or ()), **options).total)
        energies.append(reference.labeling_energy(label, *costs))
    for value, energy in zip(values[1:], energies[1:], strict=True):
        torch.testing.assert_close(value - values[0], energy - energies[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
@pytest.mark.parametrize(("grid", "fine"), GRIDS)
@pytest.mark.parametrize("moves", [False, True])
def test_the_objective_equals_the_plain_function(
    dtype: torch.dtype,
    smoothness: str,
    grid: tuple[int, int],
    fine: tuple[int, int],
    moves: bool,
) -> None:
    pairs = make_pairs(4, 24, 24, dtype=dtype)
    options: dict[str, Any] = {"smoothness": smoothness, "labels": 4, "std": [0.2, 0.3, 0.5]}
    mask = make_mask(4, *grid, 4)
    label = (mask * 3).round().long()
    sources = (make_sources(4, *fine, seed=3), make_sources(4, *fine, seed=4)) if moves else None
    want = objective(*pairs, mask, *(sources or ()), **options).total
    got = puzzle._objective(problem_of(pairs, grid, fine, **options), label, sources)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
def test_negative_weights_are_kept_from_the_cut_only(smoothness: str) -> None:
    # Stripes that continue into the other image only: d11 = d22 = 1, d12 = d21 = 0, so w = -1.
    x1 = torch.zeros(1, 1, 2, 2)
    x1[..., 1, :] = 1
    s = torch.ones(1, 2, 2)
    options: dict[str, Any] = {"gamma": 2.0, "smoothness": smoothness, "neighborhood": 1}
    pairs = make_pairs(1)._replace(x1=x1, x2=1 - x1, saliency1=s, saliency2=s)
    problem = problem_of(pairs, (2, 2), (2, 2), **options)
    _, vertical, horizontal, _ = puzzle._costs(problem, puzzle._view(problem, None))
    assert (vertical == 0).all()
    # To the right they continue in their own image only: w = +1.
    torch.testing.assert_close(horizontal, torch.full((1, 2, 1), 1.2 / 32 * 3).double())
    mask = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    got = objective(*pairs, mask, **options)
    assert float(got.label_smoothness) == pytest.approx(1.2 / 32 * 2, rel=1e-14)
    assert float(got.data_smoothness) == 0


def test_label_cost_is_the_squared_difference() -> None:
    problem = problem_of(make_pairs(1), (2, 2), (2, 2), labels=5)
    label_cost = puzzle._costs(problem, puzzle._view(problem, None))[3]
    assert label_cost.device.type == "cpu"
    assert label_cost.tolist() == [[(a - b) ** 2 / 16 for b in range(5)] for a in range(5)]


# ---- The logarithm ------------------------------------------------------------------------------


@given(st.floats(1e-6, 1))
def test_logarithms_of_shares(x: float) -> None:
    assert abs(log(x) - math.log(x)) <= math.ulp(math.log(x))


def test_logarithms_of_integers_and_beside_the_split() -> None:
    split = torch.tensor(logarithm.SPLIT / 2, dtype=torch.float64)
    beside = split + torch.arange(-500, 500).double() * 2.0**-53
    numbers = torch.arange(1, 6436, dtype=torch.float64)
    near_one = 1 - 2.0 ** -torch.arange(1, 50).double()
    for values in (numbers, beside, near_one):
        for got, x in zip(logarithm.log(values).tolist(), values.tolist(), strict=True):
            assert abs(got - math.log(x)) <= math.ulp(math.log(x)), x


def test_known_logarithms() -> None:
    assert log(1) == 0
    assert log(2) == math.log(2)
    # To the bit, what a compiler makes of FDLIBM's formula without fused operations.
    want = {
        1e-6: "-0x1.ba18a998fffa0p+3",
        0.3: "-0x1.34378fcbda721p+0",
        1 - 1e-6: "-0x1.0c6f82d74d230p-20",
        6435: "0x1.189fcd6552350p+3",
    }
    assert {x: log(x).hex() for x in want} == want


# ---- Laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_plan_has_the_documented_shapes_and_values(
    options: dict[str, Any], dtype: torch.dtype
) -> None:
    pairs = make_pairs(3, 16, 32, dtype=dtype)
    plan = reference.puzzle_plan(*pairs, **options)
    expect_consistent(pairs, plan, options)


SEVERAL: dict[str, Any] = {
    "grid": 4,
    "xi": 0.02,
    "beta": 3.0,
    "gamma": 1.0,
    "labels": 4,
    "transport": "exact",
}
"""Cheap transport, so that the images look different after it."""


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_a_sample_does_not_depend_on_its_batch(options: dict[str, Any]) -> None:
    pairs = make_pairs(7, 16, 32)
    whole = reference.puzzle_plan(*pairs, **options)
    for i in (0, 3, 6):
        alone = reference.puzzle_plan(*pairs.sample(i), **options)
        assert same(alone, part(whole, slice(i, i + 1)))


def test_later_cycles_of_a_sample_do_not_depend_on_its_batch() -> None:
    pairs = make_pairs(16)
    first = reference.puzzle_plan(*pairs, **SEVERAL)
    whole = reference.puzzle_plan(*pairs, cycles=5, **SEVERAL)
    gained = whole.objective < first.objective
    assert gained.any()
    assert not gained.all()
    for i in range(16):
        alone = reference.puzzle_plan(*pairs.sample(i), cycles=5, **SEVERAL)
        assert same(alone, part(whole, slice(i, i + 1)))


@pytest.mark.parametrize("fine", [(4, 4), (8, 8), (16, 4)])
def test_a_later_cycle_measures_moved_blocks(fine: tuple[int, int]) -> None:
    # Blocks of 4 x 4 pixels in the cut; those of the last grid are no whole number of windows.
    pairs = make_pairs(16)
    options = SEVERAL | {"transport_grid": fine}
    first = reference.puzzle_plan(*pairs, **options)
    second = reference.puzzle_plan(*pairs, cycles=2, **options)
    ones = torch.ones(16, 1, 1)
    there = [
        reference.mix(planes, planes, ones, source)
        for planes, source in (
            (pairs.x1, first.source1),
            (pairs.x2, first.source2),
            (pairs.saliency1[:, None], first.source1),
            (pairs.saliency2[:, None], first.source2),
        )
    ]
    still = options | {"transport": None}
    again = reference.puzzle_plan(*there[:2], there[2][:, 0], there[3][:, 0], pairs.lam, **still)
    taken = second.objective < first.objective
    assert taken.any()
    assert torch.equal(second.mask[taken], again.mask[taken])


def test_a_finer_transport_grid_counts_for_the_transport_only() -> None:
    pairs = make_pairs(3)
    still = {"grid": 4, "transport": None}
    plan = reference.puzzle_plan(*pairs, **still)
    assert same(plan, reference.puzzle_plan(*pairs, transport_grid=8, cycles=3, **still))
    assert torch.equal(plan.mask, reference.puzzle_plan(*pairs, grid=4).mask)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("cycles", [1, 3])
def test_partners_are_the_images_that_they_name(kind: torch.dtype, cycles: int) -> None:
    pairs, others = make_pairs(5), make_pairs(7, seed=1)
    partner = torch.tensor([6, 0, 0, 3, 5], dtype=kind)
    index = partner.long()
    options = SEVERAL | {"cycles": cycles}
    want = reference.puzzle_plan(
        pairs.x1, others.x2[index], pairs.saliency1, others.saliency2[index], pairs.lam, **options
    )
    got = reference.puzzle_plan(
        pairs.x1, others.x2, pairs.saliency1, others.saliency2, pairs.lam,
        partner=partner, **options,
    )  # fmt: skip
    assert same(got, want)


def test_strides_and_types_do_not_matter() -> None:
    pairs = make_pairs(5, dtype=torch.bfloat16)
    want = reference.puzzle_plan(*pairs, cycles=2, **SEVERAL)
    wide = torch.stack((pairs.saliency1, pairs.saliency2), -1)
    got = reference.puzzle_plan(
        pairs.x1.to(memory_format=torch.channels_last),
        pairs.x2.mT.contiguous().mT,
        wide[..., 0],
        wide[..., 1].double(),
        pairs.lam,
        cycles=2,
        **SEVERAL,
    )
    assert same(got, want)
    # The values decide, whatever type holds them.
    for dtype in (torch.float32, torch.float64):
        images = {"x1": pairs.x1.to(dtype), "x2": pairs.x2.to(dtype)}
        other = reference.puzzle_plan(**(pairs._asdict() | images), cycles=2, **SEVERAL)
        assert torch.equal(other.mask.float(), want.mask)
        assert torch.equal(other.objective, want.objective)
        assert torch.equal(other.source1, want.source1)
        assert torch.equal(other.source2, want.source2)


def test_arrays() -> None:
    pairs = make_pairs(3)
    partner = torch.tensor([1, 2, 0])
    want = reference.puzzle_plan(*pairs, partner=partner, grid=4)
    arrays = [each.numpy() for each in pairs]
    got = reference.puzzle_plan(*arrays, partner=partner.numpy(), grid=4)
    assert all((a == b.numpy()).all() for a, b in zip(got, want, strict=True))


def test_a_number_for_lambda() -> None:
    pairs = make_pairs(3)
    want = reference.puzzle_plan(*pairs[:4], torch.full((3,), 0.3, dtype=torch.float64), grid=4)
    assert same(reference.puzzle_plan(*pairs[:4], 0.3, grid=4), want)


class Called(TorchDispatchMode):
    """Collects the namespaces (aten, puzzlemix) of the operators that run while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.libraries: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.libraries.add(function.namespace)
        return function(*args, **(kwargs or {}))


def test_nothing_compiled_is_called() -> None:
    pairs = make_pairs(2)
    with Called() as called:
        plan = reference.puzzle_plan(*pairs, grid=4, cycles=2)
        objective(*pairs, plan.mask, plan.source1, plan.source2)
    assert "puzzlemix" not in called.libraries
    with Called() as called:
        puzzle_mix(*pairs, grid=4)
    assert "puzzlemix" in called.libraries


# ---- What it decides ----------------------------------------------------------------------------


def test_the_exact_transport_is_the_best_permutation() -> None:
    pairs = make_pairs(4, 4, 4, seed=2)
    plan = reference.puzzle_plan(*pairs, grid=2, transport="exact", xi=0.2, labels=2)
    # With two labels an image is seen in a block or it isn't, so the objective is what is moved by.
    best = torch.full((4,), math.inf, dtype=torch.float64)
    every = [
        torch.tensor(p).view(1, 2, 2).expand(4, -1, -1) for p in itertools.permutations(range(4))
    ]
    for one, other in itertools.product(every, every):
        terms = objective(*pairs, plan.mask, one, other, labels=2, xi=0.2)
        best = best.minimum(terms.saliency + terms.transport)
    terms = objective(*pairs, plan.mask, plan.source1, plan.source2, labels=2, xi=0.2)
    torch.testing.assert_close(terms.saliency + terms.transport, best, rtol=0, atol=1e-7)


def test_a_hidden_salient_block_moves_to_where_the_mask_shows_it() -> None:
    # Two blocks. Both images are salient on the left, the second one more, so the mask shows it
    # there. The first is shown on the right, where its salient block is worth moving to.
    x = torch.full((1, 1, 4, 8), 0.5)
    s1, s2 = torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[1.0, 0.0]]])
    plan = reference.puzzle_plan(
        x, x, s1, s2, 0.5, grid=(1, 2), labels=2, beta=0.0, eta=0.0, xi=0.5
    )
    assert plan.mask.tolist() == [[[0.0, 1.0]]]
    assert plan.ratio.tolist() == [0.5]
    assert plan.source1.flatten().tolist() == [1, 0]
    assert plan.source2.flatten().tolist() == [0, 1]
    # The shares that the mask shows are 0.9 and 1; two blocks have moved by one.
    assert float(plan.objective) == pytest.approx(-0.9 - 1.0 + 0.5 * 2, abs=1e-7)


def test_constant_images_by_hand() -> None:
    # White over black, so omega = 1 at the one edge; uniform saliency says nothing, and the prior
    # of lambda = 1 wants white.
    x1, x2 = torch.ones(1, 3, 4, 8), torch.zeros(1, 3, 4, 8)
    s = torch.ones(1, 1, 2)
    plan = reference.puzzle_plan(x1, x2, s, s, 1.0, grid=(1, 2), eta=1.0)
    assert plan.mask.tolist() == [[[1.0, 1.0]]]
    assert plan.source1.flatten().tolist() == plan.source2.flatten().tolist() == [0, 1]
    assert float(plan.objective) == pytest.approx(-1 - 2 * math.log1p(-1e-6), abs=1e-15)


def test_nothing_is_changed_and_nothing_is_differentiable() -> None:
    pairs = make_pairs(2)
    x1 = pairs.x1.requires_grad_()
    before = [each.detach().clone() for each in pairs]
    plan = reference.puzzle_plan(*pairs._replace(x1=x1), cycles=2, **SEVERAL)
    assert not plan.mask.requires_grad
    assert not plan.objective.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(before, pairs, strict=True))
