"""The compiled graph cuts against laws, independent solvers and the reference."""

import itertools

import problems
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from teams import Team

import puzzlemix
from puzzlemix import reference

# A size for each width of the bit masks (up to 64, 256, 1024 and 4096 cells), and the extremes.
LARGE = ((16, 16), (15, 17), (4, 64), (64, 4), (33, 31), (64, 16), (1, 64), (64, 1))

labelings = st.builds(
    problems.labeling,
    st.sampled_from([*problems.COSTS, "puzzle"]),
    st.sampled_from(problems.CONVEX),
    seed=st.integers(0, 2**32),
    batch=st.integers(0, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    labels=st.integers(2, 6),
)
seeds = st.integers(0, 2**32)


def assert_same(ours, theirs, problem):
    """Labels must be equal bit for bit, energies up to 1e-12 of the sum of magnitudes."""
    assert torch.equal(ours.labels, theirs.labels)
    magnitude = sum(part.double().abs().flatten(1).sum(1) for part in problem[:3])
    magnitude = magnitude * problem.label_cost.double().abs().max().clamp(min=1)
    assert ((ours.energy - theirs.energy).abs() <= 1e-12 * magnitude).all()


# ---- Minimum cuts ----


@pytest.mark.parametrize("kind", problems.COSTS)
@pytest.mark.parametrize(("height", "width"), problems.GRIDS)
def test_cuts_equal_the_reference(kind, height, width):
    problem = problems.cut(kind, height=height, width=width, batch=4)
    ours, theirs = puzzlemix.grid_min_cut(*problem), reference.grid_min_cut(*problem)
    assert torch.equal(ours.segment, theirs.segment)
    torch.testing.assert_close(ours.flow, theirs.flow, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("height", "width"), [*LARGE, (64, 64)])
def test_cuts_equal_pymaxflow(height, width):
    problem = problems.cut("integers", height=height, width=width, batch=2, seed=height)
    ours = puzzlemix.grid_min_cut(*problem)
    for b in range(2):
        flow, sink_side = problems.maxflow_cut(*(part[b].numpy() for part in problem))
        assert ours.flow[b] == flow
        assert torch.equal(ours.segment[b], torch.from_numpy(sink_side))


def test_cut_through_a_maze():
    """One path winds through all cells, so that the search has thousands of levels."""
    side = 64
    vertical = torch.zeros(1, side - 1, side, dtype=torch.int32)
    horizontal = torch.full((1, side, side - 1), 5, dtype=torch.int32)
    vertical[0, 0::2, -1] = 5
    vertical[0, 1::2, 0] = 5
    source, sink = (torch.zeros(1, side, side, dtype=torch.int32) for _ in range(2))
    source[0, 0, 0], sink[0, -1, 0] = 9, 7
    segment, flow = puzzlemix.grid_min_cut(source, sink, vertical, horizontal)
    assert flow.item() == 5
    # Every arc of the path is saturated: only the last cell can still reach the sink.
    assert segment.nonzero().tolist() == [[0, side - 1, 0]]


def test_cut_known_answer():
    source = torch.tensor([[[4, 0, 0]]], dtype=torch.int32)
    sink = torch.tensor([[[0, 0, 3]]], dtype=torch.int32)
    vertical = torch.zeros(1, 0, 3, dtype=torch.int32)
    horizontal = torch.tensor([[[2, 2]]], dtype=torch.int32)
    segment, flow = puzzlemix.grid_min_cut(source, sink, vertical, horizontal)
    # Both edges of capacity 2 are minimum cuts; the later one leaves the smaller sink side.
    assert flow.tolist() == [2]
    assert segment.tolist() == [[[False, False, True]]]


@given(
    filler=st.sampled_from([33.0, 1e3, 1e8, 1e10, 1e30, 1e100, 1e300]),
    height=st.integers(1, 6),
    width=st.integers(2, 6),
    seed=st.integers(0, 2**32),
    floor=st.sampled_from([0, 5, 2**28]),
)
def test_large_terminals_do_not_change_the_cut(filler, height, width, seed, floor):
    """Small integers, cells that large terminals tie to a side, and amounts on both terminals."""
    g = problems.generator(seed)
    source, sink = torch.randint(0, 9, (2, 1, height, width), generator=g)
    vertical = torch.randint(0, 5, (1, height - 1, width), generator=g)
    horizontal = torch.randint(0, 5, (1, height, width - 1), generator=g)
    horizontal[0, 0, 0] = 4
    tied = torch.randint(0, 4, (1, height, width), generator=g)
    plain = [torch.where(tied == side, 33, caps) for side, caps in enumerate((source, sink))]
    flow, sink_side = problems.maxflow_cut(
        *(part[0].numpy() for part in (*plain, vertical, horizontal))
    )
    filled = [
        torch.where(tied == side, filler, caps.double()) for side, caps in enumerate((source, sink))
    ]
    # An amount on both terminals is lost when a large terminal is rounded to double.
    shared = floor if filler < 1e16 else 0
    caps = [part + shared for part in filled]
    edges = vertical.double(), horizontal.double()
    for cut in (puzzlemix.grid_min_cut, reference.grid_min_cut):
        found = cut(*caps, *edges)
        assert torch.equal(found.segment[0], torch.from_numpy(sink_side))
        if not (tied == 0).any() and not (tied == 1).any():
            assert found.flow.item() == flow + height * width * shared
    with Team(seed):
        assert torch.equal(puzzlemix.grid_min_cut(*caps, *edges).segment, found.segment)
    if filler + shared < 2**31:  # integers are clamped before they are added up, too
        whole = [part.int() for part in (*caps, *edges)]
        assert torch.equal(puzzlemix.grid_min_cut(*whole).segment, found.segment)


forbidding = st.sampled_from([1e3, 1e6, 1e8, 1e30, 1e300])
"""What users write for the weight of an edge whose ends belong together."""


class Tied:
    """Edge weights in whole numbers, and some edges that no boundary may cross."""

    def __init__(self, height, width, seed):
        g = problems.generator(seed)
        shapes = (1, height - 1, width), (1, height, width - 1)
        self.weights = [torch.randint(0, 5, shape, generator=g).double() for shape in shapes]
        self.tied = [torch.rand(shape, generator=g) < 0.2 for shape in shapes]
        self.count = sum(part.numel() for part in self.tied)

    def edges(self, weight):
        return [w.masked_fill(t, weight) for w, t in zip(self.weights, self.tied, strict=True)]

    def torn_by(self, labels):
        apart = labels.diff(dim=1) != 0, labels.diff(dim=2) != 0
        return any((a & t).any() for a, t in zip(apart, self.tied, strict=True))


@given(filler=forbidding, height=st.integers(1, 7), width=st.integers(2, 7), seed=seeds)
def test_edges_that_no_minimum_cut_crosses(filler, height, width, seed):
    """A weight above half of all terminals is enough, and the cut is PyMaxflow's. A filler takes
    precision from the others, by the unit of the integers and no more."""
    grid = Tied(height, width, seed)
    source, sink = torch.randint(0, 9, (2, 1, height, width), generator=problems.generator(seed))
    edges = grid.edges(int((source - sink).abs().sum()) // 2 + 1)
    flow, sink_side = problems.maxflow_cut(*(part[0].numpy() for part in (source, sink, *edges)))
    right = puzzlemix.grid_min_cut(source.double(), sink.double(), *edges)
    assert torch.equal(right.segment[0], torch.from_numpy(sink_side))
    assert right.flow.item() == flow

    found = puzzlemix.grid_min_cut(source.double(), sink.double(), *grid.edges(filler))
    cells = height * width
    unit = (8 * cells + grid.count) * filler * 2.0**-29
    assert not grid.torn_by(found.segment.int())
    assert flow <= found.flow.item() <= flow + (cells + grid.count) * unit


# ---- Labellings ----


@given(
    filler=forbidding,
    label_cost=st.sampled_from(["quadratic", "linear"]),
    labels=st.integers(2, 3),
    seed=seeds,
)
def test_edges_that_no_optimal_labeling_crosses(filler, label_cost, labels, seed):
    """A weight above what all unary costs could gain is enough, and labels are right by dynamic
    programming. A filler takes precision from the others, by the unit and no more."""
    cells, shape = 12, (1, 4, 3, labels)
    grid = Tied(*shape[1:3], seed)
    unary = torch.randint(0, 9, shape, generator=problems.generator(seed)).double()
    pair = problems.LABEL_COSTS[label_cost](labels)
    pair = (pair / pair[0, 1]).round()
    problem = problems.Labeling(unary, *grid.edges(8.0 * cells + 1), pair)
    least, lowest = problems.best_labeling(problem)
    assert torch.equal(puzzlemix.exact_labeling(*problem).labels[0], lowest)
    assert torch.equal(
        puzzlemix.alpha_beta_swap(*problem).labels[0], problems.maxflow_swap(problem)
    )

    found = puzzlemix.exact_labeling(unary, *grid.edges(filler), pair)
    most = float(pair.max())
    unit = (8 * cells + grid.count * filler * most) * 2.0**-29
    assert not grid.torn_by(found.labels)
    assert found.energy.item() <= least + (cells + grid.count * most) * unit


@pytest.mark.parametrize("kind", [*problems.COSTS, "puzzle"])
@pytest.mark.parametrize("label_cost", problems.LABEL_COSTS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (7, 1), (6, 5)])
@pytest.mark.parametrize("labels", [2, 3, 5])
def test_labelings_equal_the_reference(kind, label_cost, height, width, labels):
    sizes = {"height": height, "width": width, "labels": labels}
    problem = problems.labeling(kind, label_cost, seed=labels, **sizes)
    assert_same(puzzlemix.alpha_beta_swap(*problem), reference.alpha_beta_swap(*problem), problem)
    if label_cost in problems.CONVEX:
        assert_same(puzzlemix.exact_labeling(*problem), reference.exact_labeling(*problem), problem)


@given(problem=labelings, cycles=st.sampled_from([None, 0, 1, 2]))
def test_labelings_equal_the_reference_on_every_backend(problem, cycles):
    ours = puzzlemix.alpha_beta_swap(*problem, max_cycles=cycles)
    assert_same(ours, reference.alpha_beta_swap(*problem, max_cycles=cycles), problem)
    assert_same(puzzlemix.exact_labeling(*problem), reference.exact_labeling(*problem), problem)


@pytest.mark.parametrize(("height", "width"), LARGE)
@pytest.mark.parametrize("kind", ["puzzle", "ties"])
def test_large_labelings_equal_the_reference(kind, height, width):
    problem = problems.labeling(kind, height=height, width=width, batch=1, seed=1)
    assert_same(puzzlemix.alpha_beta_swap(*problem), reference.alpha_beta_swap(*problem), problem)
    assert_same(puzzlemix.exact_labeling(*problem), reference.exact_labeling(*problem), problem)


@pytest.mark.parametrize("label_cost", ["quadratic", "potts", "truncated"])
@pytest.mark.parametrize("labels", [3, 8, 16])
def test_swaps_equal_pymaxflow(label_cost, labels):
    sizes = {"height": 8, "width": 9, "labels": labels, "batch": 2}
    problem = problems.labeling("integers", label_cost, seed=labels, **sizes)
    ours = puzzlemix.alpha_beta_swap(*problem)
    for b in range(2):
        assert torch.equal(ours.labels[b], problems.maxflow_swap(problem, b))


@pytest.mark.parametrize("label_cost", problems.CONVEX)
@pytest.mark.parametrize("kind", ["uniform", "ties", "flat", "integers", "puzzle"])
@pytest.mark.parametrize("labels", [2, 3, 4])
def test_exact_is_the_lowest_optimum(kind, label_cost, labels):
    """By dynamic programming over all labellings of a row."""
    problem = problems.labeling(kind, label_cost, height=5, width=3, labels=labels, seed=labels)
    ours = puzzlemix.exact_labeling(*problem)
    for b in range(len(ours.labels)):
        least, lowest = problems.best_labeling(problem, b)
        assert ours.energy[b].item() == pytest.approx(least, rel=1e-6, abs=1e-12)
        # Ties of floats may be broken by the rounding to integers; ties of integers may not.
        if kind in ("ties", "flat", "integers") and label_cost != "power":
            assert torch.equal(ours.labels[b], lowest)


@pytest.mark.parametrize("labels", [3, 5, 16])
def test_descent_and_ishikawa_agree(labels):
    """An otherwise convex problem gets a cost in one corner that is not convex."""
    sizes = {"height": 8, "width": 8, "labels": labels, "batch": 8}
    problem = problems.labeling("integers", "quadratic", seed=labels, **sizes)
    steps = torch.arange(labels, dtype=torch.int32)
    wish = problem.unary[..., :1] % labels
    convex = 3 * (steps - wish) ** 2
    by_descent = puzzlemix.exact_labeling(convex, *problem[1:])
    # Labels other than the optimum's cost more: it stays the lowest optimum, without convexity.
    chosen = by_descent.labels[:, :1, :1, None] == steps
    bent = convex.clone()
    bent[:, :1, :1] += torch.where(chosen, 0, 7 - 5 * (steps % 2)).int()
    by_ishikawa = puzzlemix.exact_labeling(bent, *problem[1:])
    assert_same(by_ishikawa, by_descent, problem)


@given(problem=labelings)
def test_energies(problem):
    """Energies are those of the labels; the exact one <= the swap's <= the start's."""
    swap, exact = puzzlemix.alpha_beta_swap(*problem), puzzlemix.exact_labeling(*problem)
    for labels, energy in (swap, exact):
        expected = torch.tensor(problems.naive_energy(labels, problem), dtype=torch.float64)
        torch.testing.assert_close(energy, expected.view(-1), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(puzzlemix.labeling_energy(labels, *problem), energy)
    start = puzzlemix.alpha_beta_swap(*problem, max_cycles=0)
    unary, vertical, horizontal, label_cost = (part.double() for part in problem)
    edges = vertical.flatten(1).sum(1) + horizontal.flatten(1).sum(1)
    magnitude = unary.abs().amax(3).flatten(1).sum(1) + edges * label_cost.abs().max()
    # Each cost is rounded to an integer, by half a unit; all together are 2**29 units or more.
    terms = 3 * unary[0, ..., 0].numel() if len(unary) else 0
    slack = terms * 2.0**-29 * magnitude + 1e-12
    assert (swap.energy <= start.energy + slack).all()
    assert (exact.energy <= swap.energy + slack).all()


def test_energy_falls_from_sweep_to_sweep():
    problem = problems.labeling("uniform", "truncated", height=12, width=12, labels=6, batch=8)
    steps = [puzzlemix.alpha_beta_swap(*problem, max_cycles=k).energy for k in range(6)]
    for before, after in itertools.pairwise(steps):
        assert (after <= before + 1e-9).all()
    assert (steps[1] < steps[0]).all()


def test_swap_known_answer():
    """Two cells, three labels; of the optima (0, 1) and (0, 2) at weight 1 the lower counts."""
    unary = torch.tensor([[[[0, 4, 9], [9, 4, 1]]]], dtype=torch.int32)
    label_cost = torch.tensor([[0, 1, 4], [1, 0, 1], [4, 1, 0]], dtype=torch.int32)
    vertical = torch.zeros(1, 0, 2, dtype=torch.int32)
    for weight, labels, energy in ((1, [0, 1], 5), (5, [1, 1], 8)):
        horizontal = torch.tensor([[[weight]]], dtype=torch.int32)
        exact = puzzlemix.exact_labeling(unary, vertical, horizontal, label_cost)
        assert exact.labels.tolist() == [[labels]]
        assert exact.energy.tolist() == [energy]
    swap = puzzlemix.alpha_beta_swap(unary, vertical, horizontal, label_cost)
    # From (0, 2), worth 21, the pair (0, 1) brings (1, 2), worth 10, and (1, 2) the end.
    assert swap.labels.tolist() == [[[1, 1]]]


# ---- Independence of memory, batch and threads ----


def variants(problem):
    """The problem in other memory layouts: sliced, transposed, expanded."""
    yield problem
    yield problem._make(
        torch.stack((part, part), -1)[..., 0] if part.numel() else part for part in problem
    )
    yield problem._make(part.transpose(0, -1).contiguous().transpose(0, -1) for part in problem)


def test_strides():
    problem = problems.labeling("uniform", height=5, width=7, labels=3, batch=3)
    expected = puzzlemix.alpha_beta_swap(*problem)
    for variant in variants(problem):
        assert_same(puzzlemix.alpha_beta_swap(*variant), expected, problem)
        assert_same(puzzlemix.exact_labeling(*variant), puzzlemix.exact_labeling(*problem), problem)
    same = problem._replace(unary=problem.unary[:1].expand(3, -1, -1, -1))
    first = puzzlemix.alpha_beta_swap(*(part.contiguous() for part in same))
    assert_same(puzzlemix.alpha_beta_swap(*same), first, problem)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batch_and_threads(count, threads):
    problem = problems.labeling("puzzle", height=9, width=8, labels=4, batch=200)
    alone = [
        puzzlemix.alpha_beta_swap(*problems.sample(problem, b)).labels for b in range(0, 200, 23)
    ]
    exact = puzzlemix.exact_labeling(*problem)
    threads(count)
    together = puzzlemix.alpha_beta_swap(*problem).labels
    assert torch.equal(together[::23], torch.cat(alone))
    assert_same(puzzlemix.exact_labeling(*problem), exact, problem)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_floats_are_widened(dtype):
    problem = problems.labeling("uniform", height=6, width=6, labels=3)
    narrow = problem._make(part.to(dtype) for part in problem)
    wide = problem._make(part.double() for part in narrow)
    assert_same(puzzlemix.alpha_beta_swap(*narrow), puzzlemix.alpha_beta_swap(*wide), wide)


@pytest.mark.parametrize("power", [-900, -60, -1, 1, 60, 900])
def test_powers_of_two_change_nothing(power):
    problem = problems.labeling("uniform", height=6, width=6, labels=3)
    scaled = problem._make(
        part * 2.0**power if name != "label_cost" else part
        for name, part in problem._asdict().items()
    )
    for solve in (puzzlemix.alpha_beta_swap, puzzlemix.exact_labeling):
        assert torch.equal(solve(*problem).labels, solve(*scaled).labels)


def test_minus_zero_is_not_negative():
    problem = problems.labeling("uniform", height=6, width=6, labels=3)
    none = problem._replace(vertical=torch.zeros_like(problem.vertical))
    signed = problem._replace(vertical=-none.vertical)
    for solve in (puzzlemix.alpha_beta_swap, puzzlemix.exact_labeling):
        assert_same(solve(*signed), solve(*none), none)
    signed.vertical[1, 2, 3] = -1
    with pytest.raises(ValueError, match=r"vertical: .* got -1.0 at \[1, 2, 3\]"):
        puzzlemix.exact_labeling(*signed)
