"""On the GPU: answers equal the CPU's bit for bit, in graphs and streams, without waiting.

Other tests compare the CPU's answers with laws and independent solvers.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pairs
import problems
import pytest
import torch
from calls import FUNCTIONS, call, good
from torch import Tensor

import puzzlemix
from experiments.examples import data, loop, nets
from puzzlemix import _core, integers, ops

DEVICE = "cuda"

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)
if not _core.cuda_toolkit:
    pytest.skip("a CUDA device, but this build has no CUDA", allow_module_level=True)

# PyTorch warns that the mode it is switched to is a prototype.
pytestmark = pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")

Tensors = tuple[Tensor, ...]


@pytest.fixture(autouse=True)
def all_cores(threads) -> None:
    """Use all cores, as the CPU solves the same large batches."""
    threads(os.cpu_count() or 1)


def there(problem: Any) -> Any:
    """A problem, or a tuple of tensors, on the device."""
    moved = [part.to(DEVICE) for part in problem]
    return problem._make(moved) if hasattr(problem, "_make") else tuple(moved)


def tensors(result: Any) -> Tensors:
    """The results of a function, moved to the CPU, without those that are None."""
    parts = (result,) if isinstance(result, Tensor) else result
    return tuple(part.detach().cpu() for part in parts if part is not None)


def assert_equal(ours: Any, expected: Any) -> None:
    """Every bit, floats too: for answers of one device."""
    for mine, other in zip(tensors(ours), tensors(expected), strict=True):
        assert mine.dtype == other.dtype
        assert torch.equal(mine, other)


def assert_same(ours: Any, expected: Any, magnitude: Tensor) -> None:
    """Decisions bit for bit, the total [B] to 1e-12 of the magnitudes that were added up."""
    (decision, total), (other, expected_total) = tensors(ours), tensors(expected)
    assert decision.dtype == other.dtype
    wrong = (decision != other).flatten(1).any(1)
    assert not wrong.any(), f"samples {wrong.nonzero().flatten().tolist()[:10]} differ"
    assert_close(total, expected_total, magnitude)


def assert_close(total: Tensor, expected: Tensor, magnitude: Tensor) -> None:
    assert total.dtype == expected.dtype == torch.float64
    assert ((total - expected).abs() <= 1e-12 * magnitude).all()


def cut_magnitude(problem: problems.Cut) -> Tensor:
    return sum(part.double().abs().flatten(1).sum(1) for part in problem)


def labeling_magnitude(problem: problems.Labeling) -> Tensor:
    magnitude = sum(part.double().abs().flatten(1).sum(1) for part in problem[:3])
    return magnitude * problem.label_cost.double().abs().max().clamp(min=1)


def are_permutations(source: Tensor) -> Tensor:
    """[B], of any shape [B, ...]."""
    flat = source.flatten(1)
    return (flat.sort(1).values == torch.arange(flat.shape[1])).all(1)


# ---- The CPU's answers: some 300,000 instances ----

# Height, width, labels, batch: mostly small, where all ties are; one and several words of cells;
# thin; beyond what shared memory holds.
GRIDS = (
    (1, 1, 2, 300),
    (2, 2, 3, 1500),
    (1, 7, 4, 300),
    (3, 3, 5, 1000),
    (4, 4, 3, 1000),
    (5, 7, 16, 100),
    (8, 8, 3, 400),
    (8, 8, 6, 150),
    (16, 16, 3, 150),
    (16, 16, 9, 30),
    (20, 20, 4, 30),
    (4, 64, 3, 30),
    (64, 1, 2, 50),
    (32, 32, 3, 16),
    (33, 31, 4, 6),
    (64, 64, 2, 4),
    (64, 64, 5, 2),
)
grids = pytest.mark.parametrize(("height", "width", "labels", "batch"), GRIDS)


@pytest.mark.parametrize("kind", problems.COSTS)
@grids
def test_cuts(kind, height, width, labels, batch):
    problem = problems.cut(kind, seed=labels, batch=batch, height=height, width=width)
    ours, expected = puzzlemix.grid_min_cut(*there(problem)), puzzlemix.grid_min_cut(*problem)
    assert_same(ours, expected, cut_magnitude(problem))


@pytest.mark.parametrize("kind", [*problems.COSTS, "puzzle"])
@grids
def test_swaps(kind, height, width, labels, batch):
    for problem in two_labelings(kind, problems.LABEL_COSTS, height, width, labels, batch):
        on_device = there(problem)
        for cycles in (None, 1):
            solve = partial(puzzlemix.alpha_beta_swap, max_cycles=cycles)
            assert_same(solve(*on_device), solve(*problem), labeling_magnitude(problem))


@pytest.mark.parametrize("kind", [*problems.COSTS, "puzzle"])
@grids
def test_exact_labelings(kind, height, width, labels, batch):
    for problem in two_labelings(kind, problems.CONVEX, height, width, labels, batch):
        ours, expected = (puzzlemix.exact_labeling(*each) for each in (there(problem), problem))
        assert_same(ours, expected, labeling_magnitude(problem))
        energy = puzzlemix.labeling_energy(ours.labels, *there(problem))
        assert_close(energy.cpu(), expected.energy, labeling_magnitude(problem))


def two_labelings(kind, label_costs, height, width, labels, batch):
    """Problems with two of the label costs; for the next size it is other ones."""
    sizes = {"batch": batch // 2, "height": height, "width": width, "labels": labels}
    costs = itertools.cycle(label_costs)
    for label_cost in itertools.islice(costs, labels + batch, labels + batch + 2):
        yield problems.labeling(kind, label_cost, seed=batch, **sizes)


@pytest.mark.parametrize("kind", problems.MATRICES)
@pytest.mark.parametrize(
    ("count", "batch"),
    [(1, 50), (2, 500), (5, 500), (17, 200), (33, 100), (64, 60), (70, 40), (256, 6), (600, 1)],
)
def test_assignments(kind, count, batch):
    cost = problems.matrix(kind, seed=count, batch=batch, count=count)
    on_device = cost.to(DEVICE)
    magnitude = cost.double().abs().flatten(1).sum(1)
    approx = puzzlemix.assignment(cost)
    assert_same(puzzlemix.assignment(on_device), approx, magnitude)
    exact = puzzlemix.assignment(cost, method="exact")
    source, total = tensors(puzzlemix.assignment(on_device, method="exact"))
    assert are_permutations(source).all()
    assert_close(total, cost.double().gather(1, source[:, None])[:, 0].sum(1), magnitude)
    # Integers have one least total; where floats tie as integers, the rounding is between them.
    low, high = cost.double().flatten(1).aminmax(dim=1)
    # Of the answer, and of totals that are added up in another order.
    rounding = count * exact.total.abs() * 2.0**-52
    slack = 0.0 if kind.endswith("integers") else 2 * count * (high - low) * 2.0**-30 + rounding
    assert ((total - exact.total).abs() <= slack).all()


PRICES = (0.8, 0.1, 0.0, 5.0, 0.01, 1e-6, 1e6)


@pytest.mark.parametrize("kind", problems.TRANSPORTS)
@grids
def test_approximate_transports(kind, height, width, labels, batch):
    shape = {"batch": batch // 2, "height": height, "width": width}
    problem = problems.transport(kind, seed=batch, **shape)
    for weight, step in (("indicator", 0), ("mask", 1)):
        xi = PRICES[(labels + height + step) % len(PRICES)]
        solve = partial(puzzlemix.masked_transport, xi=xi, weight=weight)
        magnitude = problem.saliency.flatten(1).sum(1) + 2 * xi * height * width
        assert_same(solve(*there(problem)), solve(*problem), magnitude)


@pytest.mark.parametrize("kind", problems.TRANSPORTS)
@pytest.mark.parametrize(("height", "width", "labels", "batch"), GRIDS[:-2])
def test_exact_transports(kind, height, width, labels, batch):
    shape = {"batch": batch // 2, "height": height, "width": width}
    problem = problems.transport(kind, seed=batch, **shape)
    for weight, step in (("indicator", 0), ("mask", 1)):
        assert_optimal(problem, PRICES[(labels + height + step) % len(PRICES)], weight)


@pytest.mark.parametrize("weight", ["indicator", "mask"])
def test_exact_transports_of_the_largest_grid(weight):
    """Only one kind of problem: if many blocks need searches, a sample takes seconds."""
    problem = problems.transport("puzzle", batch=2, height=64, width=64)
    assert_optimal(problem, 0.8, weight)


def assert_optimal(problem: problems.Transport, xi: float, weight: str) -> None:
    """A permutation whose total in integers is the CPU's."""
    solve = partial(puzzlemix.masked_transport, xi=xi, weight=weight, method="exact")
    ours, total = tensors(solve(*there(problem)))
    assert are_permutations(ours).all()
    least = integer_total(problem, solve(*problem).source, xi, weight)
    assert torch.equal(integer_total(problem, ours, xi, weight), least)
    magnitude = problem.saliency.flatten(1).sum(1) + 2 * xi * ours[0].numel()
    assert_close(total, float_total(problem, ours, xi, weight), magnitude)


def integer_total(problem: problems.Transport, source: Tensor, xi: float, weight: str) -> Tensor:
    """The total of D d^2 - S of a permutation, in the contract's integers: [B] int64."""
    height, width = problem.mask.shape[1:]
    farthest = (height - 1) ** 2 + (width - 1) ** 2
    unit, squared, gained = moves(problem, source, xi, weight)
    scale = integers.power_of_two(unit * farthest + problem.saliency.flatten(1).amax(1))[:, None]
    return ((scale * unit).round() * squared - (scale * gained).round()).long().sum(1)


def float_total(problem: problems.Transport, source: Tensor, xi: float, weight: str) -> Tensor:
    unit, squared, gained = moves(problem, source, xi, weight)
    return (unit * squared - gained).sum(1)


def moves(
    problem: problems.Transport, source: Tensor, xi: float, weight: str
) -> tuple[float, Tensor, Tensor]:
    """The cost of a unit of squared distance, and for each place [B, N] the distance and gain."""
    height, width = problem.mask.shape[1:]
    unit = xi / (max(height, width) - 1) ** 2 if max(height, width) > 1 else 0.0
    worth, mask = problem.saliency.double().flatten(1), problem.mask.double().flatten(1)
    places, source = torch.arange(height * width), source.flatten(1)
    down, right = source // width - places // width, source % width - places % width
    share = mask if weight == "mask" else (mask > 0).double()
    return unit, (down**2 + right**2).double(), worth.gather(1, source) * share


# ---- Every function in every way of calling it ----


def grid_case(solve: Callable[..., Any], make: Callable[..., Any]) -> tuple[Any, Any]:
    return solve, lambda seed, batch=5, side=6: tuple(
        make(seed=seed, batch=batch, height=side, width=side)
    )


def labeling(seed: int, **sizes: int) -> problems.Labeling:
    """The label cost alternates with the seed, so that a kernel that keeps an old one fails."""
    return problems.labeling("puzzle", problems.CONVEX[seed % 2], seed=seed, **sizes)


def labeled(seed: int, **sizes: int) -> Tensors:
    problem = labeling(seed, **sizes)
    return problem.unary.argmin(3), *problem


def matrix(seed: int, batch: int = 5, side: int = 6) -> Tensors:
    return (problems.matrix("uniform", seed=seed, batch=batch, count=side * side),)


def images(seed: int, batch: int = 5, side: int = 6) -> Tensors:
    grids = ((side, side), (2, side), (side, 2))
    return tuple(problems.mix(seed=seed, batch=batch, size=(side, 2 * side), grids=grids, levels=4))


def image_pairs(seed: int, batch: int = 5, side: int = 6) -> Tensors:
    return tuple(pairs.make_pairs(batch, 2 * side, 2 * side, seed=seed))


def gradients(x1: Tensor, x2: Tensor, mask: Tensor, *moves: Tensor) -> Tensors:
    """Gradients of the images and of the mask; x1 serves as the gradient of the mix."""
    parts = [part.detach().requires_grad_() for part in (x1, x2, mask)]
    return torch.autograd.grad(puzzlemix.mix(*parts, *moves), parts, x1)


twice = {"cut": "exact", "cycles": 2, "labels": 4, "smoothness": "bilinear"}
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Tensors]]] = {
    "grid_min_cut": grid_case(puzzlemix.grid_min_cut, partial(problems.cut, "uniform")),
    "alpha_beta_swap": grid_case(puzzlemix.alpha_beta_swap, labeling),
    "exact_labeling": grid_case(puzzlemix.exact_labeling, labeling),
    "labeling_energy": grid_case(puzzlemix.labeling_energy, labeled),
    "assignment approx": (puzzlemix.assignment, matrix),
    "assignment exact": (partial(puzzlemix.assignment, method="exact"), matrix),
    "transport approx": grid_case(
        puzzlemix.masked_transport, partial(problems.transport, "puzzle")
    ),
    "transport exact": grid_case(
        partial(puzzlemix.masked_transport, method="exact"), partial(problems.transport, "puzzle")
    ),
    "mix": (puzzlemix.mix, images),
    "gradients of mix": (gradients, images),
    "puzzle_mix": (partial(puzzlemix.puzzle_mix, grid=2), image_pairs),
    "puzzle_mix twice": (partial(puzzlemix.puzzle_mix, grid=2, **twice), image_pairs),
}
OPERATORS = tuple(name for name in CASES if not name.startswith("puzzle_mix"))
DECISIONS = tuple(
    name for name in OPERATORS if name not in ("labeling_energy", "mix", "gradients of mix")
)
every_case = pytest.mark.parametrize("name", CASES)


def assert_like_the_cpu(name: str, ours: Any, given: Tensors) -> None:
    """Decisions must be equal, floats close; of exact assignments, which may tie, only the total.

    Gradients of masks are sums in double, the objective has sums over pixels in single precision.
    """
    parts, expected = tensors(ours), tensors(CASES[name][0](*given))
    if name.endswith("exact"):
        assert are_permutations(parts[0]).all()
        parts, expected = parts[1:], expected[1:]
    near = 1e-7 if name.startswith("puzzle_mix") else 1e-9
    for mine, other in zip(parts, expected, strict=True):
        tolerance = near if mine.is_floating_point() else 0
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@every_case
def test_answers_equal_the_cpu(name):
    solve, make = CASES[name]
    given = make(1)
    assert_like_the_cpu(name, solve(*there(given)), given)


@every_case
@pytest.mark.parametrize("side", [2, 6, 20])
def test_in_a_cuda_graph(name, side):
    """A captured graph, replayed after its inputs changed in place, gives the new answer."""
    solve, make = CASES[name]
    static, changed = there(make(1, side=side)), there(make(2, side=side))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            solve(*static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = solve(*static)
    for given in (changed, there(make(1, side=side)), changed):
        for part, new in zip(static, given, strict=True):
            part.copy_(new)
        graph.replay()
        assert_equal(result, solve(*given))


@every_case
def test_on_another_stream(name):
    """Inputs are ready only on that stream; a kernel on another stream would read too early."""
    solve, make = CASES[name]
    given = there(make(2))
    expected = solve(*given)
    late = there(make(1))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        for part, new in zip(late, given, strict=True):
            part.copy_(new)
        result = solve(*late)
    stream.synchronize()
    assert_equal(result, expected)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Within this context PyTorch refuses to wait, and the device must be busy at the end.

    PyTorch sees only its own waits; a wait in the extension would outlast the sleep.
    """
    torch.cuda.synchronize()
    busy = torch.cuda.Event()
    torch.cuda._sleep(400_000_000)
    busy.record()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not busy.query(), "the call has waited for the device"


@every_case
def test_the_host_does_not_wait(name):
    solve, make = CASES[name]
    given = there(make(1))
    # The first call may load code and allocate memory.
    expected = solve(*given)
    with no_waiting():
        result = solve(*given)
    assert_equal(result, expected)


def test_gradients_do_not_wait():
    x1, x2, mask, *sources = there(images(1))
    inputs = [part.requires_grad_() for part in (x1, x2, mask)]

    def solve() -> Tensors:
        return torch.autograd.grad(puzzlemix.mix(*inputs, *sources).sum(), inputs)

    expected = solve()
    with no_waiting():
        result = solve()
    assert_equal(result, expected)


@pytest.mark.parametrize("mixer", ["none", "mixup", "cutmix", "puzzle"])
@pytest.mark.parametrize("saliency", ["gradient", "half", "spectral"])
def test_a_training_step_does_not_wait(mixer, saliency):
    """Of the examples' loop: batch, augmentation, saliency, plan, mix, both passes, optimiser."""
    if mixer != "puzzle" and saliency != "gradient":
        pytest.skip("reads no saliency")
    images, labels = torch.rand(256, 3, 32, 32, device="cuda"), torch.arange(256) % 10
    labels = labels.cuda()
    model = nets.NETS["preactresnet18"](10, 16).to("cuda", memory_format=torch.channels_last)
    run = loop.Run(
        model,
        loop.Data(images, labels, images, labels, num_classes=10),
        loop.make_mixer(mixer, model, 10, saliency=saliency, generator=loop.seeded(0, "mixer")),
        loop.Settings(epochs=9, batch_size=128, amp=True),
        data.crop_and_flip,
    )
    batch = torch.arange(128, device="cuda")
    for _ in range(5):  # all four grids, as likely as not
        run.step(batch)
    with no_waiting():
        run.step(batch)


@every_case
def test_compiled(name):
    torch._dynamo.reset()
    solve, make = CASES[name]
    given = there(make(1))
    compiled = torch.compile(lambda *inputs: solve(*inputs), fullgraph=True, backend="eager")
    assert_equal(compiled(*given), solve(*given))


@every_case
@pytest.mark.parametrize("batch", [0, 1, 1000, 65_536])
@pytest.mark.parametrize("side", [2, 4])
def test_batches_of_any_size(name, batch, side):
    """No sample depends on the others, so the CPU solves only a part of a large batch."""
    solve, make = CASES[name]
    given = make(3, batch=batch, side=side)
    result = tensors(solve(*there(given)))
    assert all(len(part) == batch for part in result)
    for some in (slice(0, 200), slice(max(batch - 200, 0), batch)):
        few = tuple(part if is_label_cost(name, i) else part[some] for i, part in enumerate(given))
        ours = solve(*there(few))
        assert_equal(tuple(part[some] for part in result), ours)
        assert_like_the_cpu(name, ours, few)


def is_label_cost(name: str, place: int) -> bool:
    """The one argument without a batch."""
    places = {"alpha_beta_swap": 3, "exact_labeling": 3, "labeling_energy": 4}
    return places.get(name) == place


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_any_type(name, dtype):
    solve, make = CASES[name]
    given = tuple(part.to(dtype) if part.is_floating_point() else part for part in make(1, side=4))
    result = solve(*there(given))
    assert_like_the_cpu(name, result, given)


@pytest.mark.parametrize("name", ["grid_min_cut", "alpha_beta_swap", "exact_labeling"])
def test_integers_are_solved_as_given(name):
    sizes = {"batch": 50, "height": 6, "width": 5}
    make = problems.cut if name == "grid_min_cut" else problems.labeling
    problem = make("integers", seed=4, **sizes)
    assert all(part.dtype == torch.int32 for part in problem)
    solve = CASES[name][0]
    ours, expected = tensors(solve(*there(problem))), tensors(solve(*problem))
    assert_equal(ours, expected)


@pytest.mark.parametrize("name", ["alpha_beta_swap", "exact_labeling", "labeling_energy"])
@pytest.mark.parametrize("kind", problems.CONVEX)
def test_label_cost_on_either_device(name, kind):
    """A copy to the device, or from it, must not wait."""
    problem = problems.labeling("puzzle", kind, batch=20, height=5, width=5, labels=5)
    given = (problem.unary.argmin(3), *problem) if name == "labeling_energy" else problem
    solve = CASES[name][0]
    *others, on_device = there(given)
    expected = solve(*others, on_device)
    solve(*others, problem.label_cost)
    with no_waiting():
        result = solve(*others, problem.label_cost)
    assert_equal(result, expected)


@pytest.mark.parametrize(
    "options",
    [{"grid": 8}, {"grid": 4, "transport_grid": 16, **twice}, {"grid": 16, "transport": "exact"}],
    ids=str,
)
def test_whole_mixes(options):
    """Sums over pixels are rounded apart on the devices, so that nearly all decisions agree."""
    given = image_pairs(5, batch=200, side=16)
    ours = puzzlemix.PuzzleMixResult(*tensors(puzzlemix.puzzle_mix(*there(given), **options)))
    decided = (ours.mask, ours.source1, ours.source2)
    assert torch.equal(ours.images, puzzlemix.mix(*given[:2], *decided))
    kept = {name: options[name] for name in ("labels", "smoothness") if name in options}
    total = puzzlemix.objective(*given, *decided, **kept).total
    torch.testing.assert_close(ours.objective, total, rtol=1e-7, atol=1e-7)
    expected = puzzlemix.puzzle_mix(*given, **options)
    assert (ours.mask == expected.mask).flatten(1).all(1).double().mean() > 0.97


# ---- The mix ----


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("size", "grids"),
    [
        ((1, 1), ((1, 1), (1, 1), (1, 1))),
        ((8, 12), ((2, 3), (4, 4), (8, 6))),
        ((7, 5), ((7, 5), (1, 5), (7, 1))),
        ((32, 32), ((16, 16), (16, 16), (16, 16))),
        ((64, 48), ((4, 2), (64, 48), (8, 16))),
    ],
)
def test_mixes_and_gradients(dtype, size, grids):
    """Bit for bit, but for the mask's gradient: a sum, whose order differs."""
    problem = problems.mix(seed=3, batch=7, size=size, grids=grids, levels=4, dtype=dtype)
    weight = torch.linspace(-1, 1, problem.x1.numel()).view(problem.x1.shape).to(dtype)

    def solve(problem: problems.Mix, weight: Tensor) -> Tensors:
        inputs = [part.detach().requires_grad_() for part in problem[:3]]
        mixed = puzzlemix.mix(*inputs, *problem[3:])
        return mixed, *torch.autograd.grad(mixed, inputs, weight)

    *images, for_mask = tensors(solve(there(problem), weight.to(DEVICE)))
    *expected, sums = tensors(solve(problem, weight))
    assert_equal(images, expected)
    assert for_mask.dtype == sums.dtype
    area = problem.x1[0].numel() // sums[0].numel()
    torch.testing.assert_close(for_mask, sums, rtol=1e-6, atol=1e-12 * area)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_mix_by_partner(dtype, last, empty):
    """Indices that are out of range count as others, and nothing is read out of bounds."""
    grids = ((4, 3), (8, 6), (2, 12))
    problem = problems.mix(batch=300, size=(16, 24), grids=grids, levels=4, dtype=dtype)
    x2, partner = problem.x2[:7], torch.arange(300) * 5 % 6
    spoilt = partner.clone()
    spoilt[[0, 6, 299]] = torch.tensor([-1, 7, 2**40])
    partner[[0, 6, 299]] = torch.tensor([0, 6, 0])
    images = [problem.x1, None if empty else x2]
    if last:
        images = [x if x is None else x.to(memory_format=torch.channels_last) for x in images]
    results = []
    for move, given in ((lambda x: x, partner), (torch.Tensor.cuda, spoilt)):
        parts = [None if x is None else move(x).requires_grad_() for x in (*images, problem.mask)]
        sources = [move(problem.source1), None if empty else move(problem.source2)]
        mixed = puzzlemix.mix(*parts, *sources, partner=None if empty else move(given))
        assert mixed.stride() == parts[0].stride()
        needed = [part for part in parts if part is not None]
        weight = torch.linspace(-1, 1, mixed.numel(), device=mixed.device).view(mixed.shape)
        grads = torch.autograd.grad((mixed * weight.to(dtype)).sum(dtype=torch.float64), needed)
        results.append([part.detach().cpu() for part in (mixed, *grads)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one)
    assert torch.equal(results[0][0], results[1][0])


@pytest.mark.parametrize("moved", [(False, False), (True, False), (False, True)])
def test_mix_without_sources(moved):
    problem = problems.mix(batch=4, size=(16, 16), grids=((4, 4), (8, 8), (2, 2)))
    sources = [source if moves else None for source, moves in zip(problem[3:], moved, strict=True)]
    on_device = [None if source is None else source.to(DEVICE) for source in sources]
    ours = puzzlemix.mix(*there(problem[:3]), *on_device)
    assert_equal(ours, puzzlemix.mix(*problem[:3], *sources))


@pytest.mark.parametrize("name", OPERATORS)
def test_strides(name):
    solve, make = CASES[name]
    given = there(make(1))
    wide = tuple(torch.stack((part, part), -1)[..., 0] for part in given)
    turned = tuple(part.transpose(0, -1).contiguous().transpose(0, -1) for part in given)
    for other in (wide, turned):
        assert_equal(solve(*other), solve(*given))


# ---- Bad values: the answer is valid, and other samples are unaffected ----

BAD = {
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "negative": -3.5,
    "largest": 1.7e308,
}


def assert_valid(name: str, result: Any, labels: int) -> None:
    decision = tensors(result)[0]
    if name.startswith(("assignment", "transport")):
        assert are_permutations(decision).all()
    elif name != "grid_min_cut":
        assert ((decision >= 0) & (decision < labels)).all()


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("side", [2, 6, 20])
def test_bad_values(name, value, side):
    """For each argument one entry of sample 0 is made bad, then all of them."""
    solve, make = CASES[name]
    given = make(1, side=side)
    expected = tensors(solve(*there(given)))
    for place, part in enumerate(given):
        for everywhere in (False, True):
            spoilt = part.clone()
            if everywhere:
                spoilt[0] = value
            else:
                spoilt[0].view(-1)[spoilt[0].numel() // 2] = value
            result = solve(*there((*given[:place], spoilt, *given[place + 1 :])))
            assert_valid(name, result, labels=3)
            if is_label_cost(name, place):
                continue
            for mine, other in zip(tensors(result), expected, strict=True):
                assert torch.equal(mine[1:], other[1:])


@pytest.mark.parametrize("name", ["grid_min_cut", "alpha_beta_swap", "exact_labeling"])
@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 2**29])
@pytest.mark.parametrize("side", [2, 6, 20])
def test_integers_beyond_the_bound(name, value, side):
    make = problems.cut if name == "grid_min_cut" else problems.labeling
    problem = make("integers", seed=2, batch=4, height=side, width=side)
    solve = CASES[name][0]
    expected = tensors(solve(*there(problem)))
    for place, part in enumerate(problem):
        spoilt = part.clone()
        spoilt[0].view(-1)[1::2] = value
        result = solve(*there((*problem[:place], spoilt, *problem[place + 1 :])))
        assert_valid(name, result, labels=3)
        if not is_label_cost(name, place):
            for mine, other in zip(tensors(result), expected, strict=True):
                assert torch.equal(mine[1:], other[1:])


@pytest.mark.parametrize("bad", [-1, -(2**40), 10**6, 2**62, 0])
def test_sources_that_are_no_permutations(bad):
    """Indices out of range, or all 0: nothing beyond the images is read, nor another sample."""
    problem = problems.mix(batch=4, size=(16, 16), grids=((4, 4), (8, 8), (16, 16)), levels=4)
    x1, x2, mask, *sources = there(problem)
    expected = puzzlemix.mix(x1, x2, mask, *sources)
    spoilt = [source.clone() for source in sources]
    for source in spoilt:
        source[0] = bad
    inputs = [part.requires_grad_() for part in (x1, x2, mask)]
    wanted = torch.autograd.grad(puzzlemix.mix(*inputs, *sources).square().sum(), inputs)
    mixed = puzzlemix.mix(*inputs, *spoilt)
    assert mixed.isfinite().all()
    assert torch.equal(mixed[1:], expected[1:])
    for grad, want in zip(torch.autograd.grad(mixed.square().sum(), inputs), wanted, strict=True):
        assert torch.equal(grad[1:], want[1:])


@pytest.mark.parametrize("value", list(BAD.values())[:3], ids=list(BAD)[:3])
def test_mask_that_is_not_finite(value):
    x1, x2, mask, *sources = there(images(1))
    expected = puzzlemix.mix(x1, x2, mask, *sources)
    mask[0] = value
    mixed = puzzlemix.mix(x1, x2, mask, *sources)
    assert mixed.isfinite().all()
    assert torch.equal(mixed[1:], expected[1:])


@pytest.fixture
def debugging() -> Iterator[None]:
    ops.debug(True)
    yield
    ops.debug(False)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_debugging_refuses_bad_values(function, debugging):
    given = {name: part.to(DEVICE) for name, part in good(function).items()}
    call(puzzlemix, function, given)
    name = "mask" if function == "mix" else next(k for k in given if given[k].is_floating_point())
    given[name].view(-1)[3] = float("nan")
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got nan at"):
        call(puzzlemix, function, given)
    ops.debug(False)
    call(puzzlemix, function, given)


def test_debugging_refuses_bad_labels_and_sources(debugging):
    labels = {name: part.to(DEVICE) for name, part in good("labeling_energy").items()}
    labels["labels"][1, 0, 0] = 3
    with pytest.raises(ValueError, match=r"^labels: expected 0 to 2, got 3"):
        puzzlemix.labeling_energy(**labels)
    problem = {name: part.to(DEVICE) for name, part in good("mix").items()}
    problem["source1"][1, 0, 0] = problem["source1"][1, 0, 1]
    with pytest.raises(ValueError, match=r"^source1: expected a permutation"):
        puzzlemix.mix(**problem)
