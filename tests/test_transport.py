"""The compiled assignment and block transport against laws, SciPy and the reference."""

import time
from contextlib import nullcontext

import certificates
import problems
import pytest
import torch
from certificates import transport_integers
from hypothesis import given
from hypothesis import strategies as st
from teams import Team

import puzzlemix
from puzzlemix import reference

METHODS = ("approx", "exact")

transports = st.builds(
    problems.transport,
    st.sampled_from(problems.TRANSPORTS),
    seed=st.integers(0, 2**32),
    batch=st.integers(0, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
prices = st.sampled_from([0, 1e-6, 0.01, 0.1, 0.8, 5, 1e6])
weights = st.sampled_from(["indicator", "mask"])


def assert_permutations(source):
    flat = source.flatten(1)
    assert torch.equal(flat.sort(1).values, torch.arange(flat.shape[1]).expand(flat.shape))


def assert_matchings(source, rows):
    """Sources must name min(N, M) rows, each once, and be -1 elsewhere."""
    for each in source:
        used = each[each != -1].tolist()
        assert len(used) == len(set(used)) == min(rows, source.shape[1])
        assert all(0 <= row < rows for row in used)


def total_of(cost, source):
    """The totals [B] of sources for matrices [B, N, M]."""
    if cost.numel() == 0:
        return cost.new_zeros(len(cost))
    chosen = cost.gather(1, source.flatten(1).clamp(min=0)[:, None, :])[:, 0]
    return chosen.masked_fill(source.flatten(1) < 0, 0).sum(1)


def slack_of(cost, least):
    """The error allowed to an exact total [B]: min(N, M) * U * 2**-28, and the sum's rounding."""
    if cost.numel() == 0:
        return torch.zeros(len(cost))
    rows, columns = cost.shape[1:]
    minima = cost.amin(2 if rows <= columns else 1)
    return min(rows, columns) * ((least - minima.sum(1)) * 2.0**-28 + 1e-15 * least.abs())


# ---- Assignment ----


@pytest.mark.parametrize("kind", problems.MATRICES)
@pytest.mark.parametrize("count", [1, 2, 5, 17, 70, 150])
def test_assignment(kind, count):
    cost = problems.matrix(kind, count=count, seed=count, batch=3)
    approx = puzzlemix.assignment(cost)
    assert_permutations(approx.source)
    assert torch.equal(approx.source, reference.assignment(cost).source)
    torch.testing.assert_close(approx.total, total_of(cost.double(), approx.source))
    exact = puzzlemix.assignment(cost, method="exact")
    assert_permutations(exact.source)
    torch.testing.assert_close(exact.total, total_of(cost.double(), exact.source))
    slack = count * float(cost.double().max() - cost.double().min()) * 2.0**-30
    least = torch.tensor(problems.least_total(cost), dtype=torch.float64)
    if not cost.is_floating_point():
        assert torch.equal(exact.total, least)
    assert (exact.total <= least + slack).all()
    assert (exact.total <= approx.total + slack).all()


@pytest.mark.parametrize("kind", ["uniform", "ties", "equal", "agreed", "few integers"])
def test_the_matching_has_no_blocking_pair(kind):
    cost = problems.matrix(kind, count=12, batch=4)
    assert problems.blocking_pairs(cost, puzzlemix.assignment(cost).source) == 0


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6), values=st.integers(1, 4))
def test_the_stable_matching_is_proposer_optimal(seed, count, values):
    """It equals deferred acceptance one proposal at a time, also for costs with ties."""
    g = problems.generator(seed)
    cost = torch.randint(0, values, (1, count, count), generator=g).int()
    source = puzzlemix.assignment(cost).source
    assert source[0].tolist() == problems.proposer_optimal_matching(cost[0])


def test_assignment_known_answers():
    cost = torch.tensor([[[1, 2], [1, 4]]], dtype=torch.int32)
    # Both rows want column 0 at price 1; the lower row gets it.
    assert puzzlemix.assignment(cost).source.tolist() == [[0, 1]]
    assert puzzlemix.assignment(cost).total.tolist() == [5]
    assert puzzlemix.assignment(cost, method="exact").source.tolist() == [[1, 0]]
    assert puzzlemix.assignment(cost, method="exact").total.tolist() == [3]
    # source[j] is a row: a cycle of three, which is not its own inverse.
    cycle = 1 - torch.eye(3, dtype=torch.int32).roll(1, 1)[None]
    for method in METHODS:
        assert puzzlemix.assignment(cycle, method=method).source.tolist() == [[2, 0, 1]]


matrices = st.builds(
    problems.matrix,
    st.sampled_from(sorted(problems.MATRICES)),
    seed=st.integers(0, 2**32),
    batch=st.integers(0, 2),
    count=st.integers(0, 12),
    columns=st.integers(0, 12),
)
seeds = st.integers(0, 2**32)


@given(cost=matrices, seed=seeds, share=st.sampled_from([0, 0.2, 0.6]), team=st.booleans())
@pytest.mark.parametrize("filler", problems.FILLERS)
def test_rectangles_fillers_and_forbidden_pairs(cost, filler, share, seed, team):
    """Totals equal SciPy's, which treats a filler as any other cost."""
    if cost.is_floating_point():
        cost = problems.filled(cost.double(), filler, share, seed)
    rows, wide = cost.shape[1], cost.double()
    infeasible = problems.infeasible(cost)
    with Team(seed) if team else nullcontext():
        if any(infeasible) and not team:
            with pytest.raises(ValueError, match=r"^cost: .* without a forbidden one"):
                puzzlemix.assignment(cost, method="exact")
            return
        exact = puzzlemix.assignment(cost, method="exact")
    assert_matchings(exact.source, rows)
    assert torch.equal(exact.total.isinf(), torch.tensor(infeasible, dtype=torch.bool))
    for b in (~exact.total.isinf()).nonzero().flatten().tolist():
        least = torch.tensor(problems.least_total(wide[b : b + 1]), dtype=torch.float64)
        torch.testing.assert_close(exact.total[b : b + 1], total_of(wide, exact.source)[b : b + 1])
        off = (exact.total[b] - least).abs()
        slack = slack_of(wide[b : b + 1], least)
        assert off <= slack
        assert cost.is_floating_point() or off == 0
        if wide.numel() and filler in (1e3, float("inf")):  # larger ones are beyond sums in double
            square = as_square(wide[b : b + 1], exact.source[b : b + 1])
            assert certificates.no_cycle_gains(*square, slack).all()


@given(cost=matrices, seed=seeds, share=st.sampled_from([0, 0.2, 0.6]))
@pytest.mark.parametrize("filler", problems.FILLERS)
def test_lapx_finds_no_less(cost, filler, share, seed):
    """Where fillers are large its own duals are rounded: it may find more."""
    lap = pytest.importorskip("lap")
    if cost.is_floating_point():
        cost = problems.filled(cost.double(), filler, share, seed)
    cost = cost[[not none for none in problems.infeasible(cost)]]
    exact = puzzlemix.assignment(cost, method="exact")
    wide = cost.double()
    for matrix, total in zip(wide, exact.total, strict=True):
        theirs = torch.tensor([lap.lapjv(matrix.numpy(), extend_cost=True)[0]], dtype=torch.float64)
        assert total <= theirs + slack_of(matrix[None], theirs)
        if filler == float("inf") or not cost.is_floating_point():
            assert total >= theirs - slack_of(matrix[None], theirs)


@given(cost=matrices, seed=seeds)
def test_costs_of_64_bits(cost, seed):
    """int64 costs up to the ends of int32 are solved exactly: SciPy finds the same total, and no
    cycle of exchanges lowers it."""
    g = problems.generator(seed)
    ends = torch.tensor([-(2**31), -(2**31) + 1, 0, 1, 2**31 - 1])
    cost = torch.where(
        torch.rand(cost.shape, generator=g) < 0.5,
        ends[torch.randint(5, cost.shape, generator=g)],
        cost.double().clamp(-(2**20), 2**20).long(),
    )
    exact = puzzlemix.assignment(cost, method="exact")
    assert exact.total.tolist() == problems.least_total(cost)
    assert torch.equal(puzzlemix.assignment(cost.int(), method="exact").source, exact.source)
    assert torch.equal(puzzlemix.assignment(cost).source, puzzlemix.assignment(cost.int()).source)
    if cost.numel():
        assert certificates.no_cycle_gains(*as_square(cost, exact.source)).all()
        beyond = cost.clone()
        beyond[-1, -1, -1] = -(2**31) - 1
        with pytest.raises(ValueError, match=r"^cost: .*-2147483649 .*fit into int32"):
            puzzlemix.assignment(beyond, method="exact")


def as_square(cost, source):
    """Rows or columns that cost nothing fill a matrix up; those left over have each other."""
    batch, rows, columns = cost.shape
    size = max(rows, columns)
    square = torch.zeros(batch, size, size, dtype=cost.dtype)
    square[:, :rows, :columns] = cost
    whole = torch.full((batch, size), -1)
    whole[:, :columns] = source
    for each in whole:
        each[each < 0] = torch.tensor([i for i in range(size) if i not in each.tolist()]).long()
    return square, whole


@given(cost=matrices, seed=seeds, share=st.sampled_from([0, 0.2, 0.6]))
def test_stable_matchings_of_rectangles_with_forbidden_pairs(cost, share, seed):
    """A forbidden pair is the last choice of both."""
    if cost.is_floating_point():
        cost = problems.filled(cost, float("inf"), share, seed)
    with Team(seed):
        by_team = puzzlemix.assignment(cost)
    assert_matchings(by_team.source, cost.shape[1])
    expected = [problems.proposer_optimal_matching(each) for each in cost]
    assert by_team.source.tolist() == expected
    totals = total_of(cost.double(), by_team.source)
    torch.testing.assert_close(by_team.total, totals)
    for assign in (puzzlemix.assignment, reference.assignment):
        if totals.isinf().any():
            with pytest.raises(ValueError, match=r"^cost: .* without a forbidden one"):
                assign(cost)
        else:
            assert assign(cost).source.tolist() == expected


@pytest.mark.parametrize("filler", problems.FILLERS)
@pytest.mark.parametrize("shape", [(150, 150), (140, 200), (200, 150), (1100, 1100), (1050, 1200)])
def test_large_matrices_with_fillers(shape, filler):
    """Matrices for which the engine lists cores of rows, scans whole rows, or makes rows anew."""
    rows, columns = shape
    cost = problems.matrix("uniform", batch=1, count=rows, columns=columns).double()
    cost = problems.filled(cost, filler, 0.9, 1)
    exact = puzzlemix.assignment(cost, method="exact")
    least = torch.tensor(problems.least_total(cost), dtype=torch.float64)
    assert ((exact.total - least).abs() <= slack_of(cost, least)).all()


@pytest.mark.parametrize("kind", ["uniform", "agreed", "products", "few integers", "integers"])
@pytest.mark.parametrize("shape", [(40, 150), (150, 40), (200, 260), (300, 299)])
def test_rectangles_are_optimal_by_their_duals(kind, shape):
    """Padded to a square with rows of cost 0, the assignment has no cycle of rows that gains."""
    rows, columns = shape
    cost = problems.matrix(kind, batch=1, count=rows, columns=columns)
    source = puzzlemix.assignment(cost, method="exact").source
    spread = float(cost.double().max() - cost.double().min())
    slack = torch.tensor([0.0 if not cost.is_floating_point() else spread * 2.0**-28])
    assert certificates.no_cycle_gains(*as_square(cost.double(), source), slack).all()


@pytest.mark.parametrize("shape", [(20, 20), (150, 190), (190, 150), (1100, 1100)])
def test_large_matrices_without_an_assignment(shape):
    """A row or column is forbidden as a whole, or two rows are allowed one column only."""
    shorter = int(shape[0] > shape[1]) + 1
    cost = problems.matrix("uniform", batch=1, count=shape[0], columns=shape[1])
    none = cost.index_fill(shorter, torch.tensor(shape[shorter - 1] // 2), float("inf"))
    rows = cost if shorter == 1 else cost.mT
    shared = rows.clone()
    shared[:, 3:5, 1:] = float("inf")
    for infeasible in (none, shared if shorter == 1 else shared.mT):
        with pytest.raises(ValueError, match=r"^cost: .* without a forbidden one"):
            puzzlemix.assignment(infeasible, method="exact")


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_assign(backend, method):
    for rows, columns in ((0, 3), (3, 0), (0, 0)):
        found = backend.assignment(torch.zeros(2, rows, columns), method=method)
        assert found.source.tolist() == [[-1] * columns] * 2
        assert found.total.tolist() == [0, 0]


def test_fillers_cost_no_precision():
    """The total is 2 for any filler B; integers scaled to the range of B couldn't tell 1 from 2."""
    for big in problems.FILLERS:
        cost = torch.tensor([[[2, 1, big], [1, 2, big], [big, big, 0]]], dtype=torch.float64)
        assert puzzlemix.assignment(cost, method="exact").total.tolist() == [2]


def test_the_stable_matching_may_need_a_pair_that_an_exact_assignment_does_without():
    cost = torch.tensor([[[1.0, 2.0], [3.0, float("inf")]]])
    with pytest.raises(ValueError, match=r"^cost: expected costs by which 2 pairs .* in sample 0"):
        puzzlemix.assignment(cost)
    assert puzzlemix.assignment(cost, method="exact").source.tolist() == [[1, 0]]
    with Team(1):
        assert puzzlemix.assignment(cost).total.tolist() == [float("inf")]


def test_assignment_of_a_large_matrix_on_which_all_agree():
    """Without sorting, scans of this matrix would take N^3."""
    count = 1000
    steps = torch.arange(count, dtype=torch.int32)
    cost = -(steps[:, None] * steps)[None]
    assert puzzlemix.assignment(cost).source[0].tolist() == list(range(count))


# ---- Block transport ----


@given(problem=transports, xi=prices, weight=weights)
def test_approximate_transports_equal_the_reference(problem, xi, weight):
    options = {"xi": xi, "weight": weight}
    ours = puzzlemix.masked_transport(*problem, **options)
    theirs = reference.masked_transport(*problem, **options)
    assert torch.equal(ours.source, theirs.source)
    magnitude = problem.saliency.flatten(1).sum(1) + 2 * xi * problem.mask[0:1].numel()
    assert ((ours.total - theirs.total).abs() <= 1e-12 * magnitude).all()


@given(problem=transports, xi=prices, weight=weights)
def test_exact_is_optimal_in_integers(problem, xi, weight):
    ours = puzzlemix.masked_transport(*problem, xi=xi, weight=weight, method="exact")
    assert_permutations(ours.source)
    if len(problem.mask) == 0:
        return
    cost = transport_integers(problem, xi, weight)
    assert total_of(cost, ours.source).tolist() == problems.least_total(cost)
    given_costs = problems.transport_cost(problem, xi, weight)
    magnitude = given_costs.abs().sum((1, 2))
    assert ((ours.total - total_of(given_costs, ours.source)).abs() <= 1e-12 * magnitude).all()


@pytest.mark.parametrize("xi", [0, 0.001, 0.1, 0.8])
@pytest.mark.parametrize("kind", ["puzzle", "noise"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 24), (1, 64), (64, 2)])
def test_large_transports(kind, xi, height, width):
    problem = problems.transport(kind, height=height, width=width, batch=1, seed=height)
    approx = puzzlemix.masked_transport(*problem, xi=xi)
    assert torch.equal(approx.source, reference.masked_transport(*problem, xi=xi).source)
    exact = puzzlemix.masked_transport(*problem, xi=xi, method="exact")
    assert_permutations(exact.source)
    cost = transport_integers(problem, xi, "indicator")
    assert total_of(cost, exact.source).tolist() == problems.least_total(cost)


@pytest.mark.parametrize("xi", [0.1, 0.01, 1e-4, 1e-7])
@pytest.mark.parametrize("levels", [2, 3, 16, 17])
@pytest.mark.parametrize("kind", ["puzzle", "noise", "ties", "one side"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 13), (1, 64), (20, 2)])
def test_contested_transports(kind, levels, xi, height, width):
    """A third and more of all blocks is better off elsewhere at the first prices."""
    mask = torch.randint(levels, (1, height, width)).double() / (levels - 1)
    if kind == "one side":
        saliency = problems.transport("noise", height=height, width=width, batch=1).saliency
        shown = torch.arange(width) >= width // 2
        problem = problems.Transport(saliency * ~shown, mask * shown)
    else:
        problem = problems.transport(kind, height=height, width=width, batch=1)._replace(mask=mask)
    exact = puzzlemix.masked_transport(*problem, xi=xi, weight="mask", method="exact")
    assert_permutations(exact.source)
    cost = transport_integers(problem, xi, "mask")
    assert total_of(cost, exact.source).tolist() == problems.least_total(cost)


@pytest.mark.parametrize("xi", [1e-5, 0.01, 0.3])
@pytest.mark.parametrize("kind", problems.CONTESTED)
@pytest.mark.parametrize("side", [5, 16, 24])
def test_places_that_all_blocks_prefer(kind, side, xi):
    problem, options = problems.contested(kind, side), {"xi": xi, "weight": "mask"}
    expected = reference.masked_transport(*problem, **options).source
    assert torch.equal(puzzlemix.masked_transport(*problem, **options).source, expected)
    with Team(side) as team:
        assert torch.equal(puzzlemix.masked_transport(*problem, **options).source, expected)
    cells = side * side
    assert team.phases <= 2 * (32 + cells // 32) + 8 * cells + 20


@pytest.mark.parametrize("kind", problems.CONTESTED)
def test_no_preferences_take_long(kind):
    """The largest grid, with moves that cost next to nothing and more."""
    problem = problems.contested(kind, 64)
    for xi in (1e-4, 0.01, 1):
        began = time.process_time()
        puzzlemix.masked_transport(*problem, xi=xi, weight="mask")
        assert time.process_time() - began < 2


@pytest.mark.parametrize("method", METHODS)
def test_the_largest_grid(method):
    problem = problems.transport("puzzle", height=64, width=64, batch=1)
    source = puzzlemix.masked_transport(*problem, method=method).source
    assert_permutations(source)


def test_transport_known_answer():
    """The most salient block goes to the only place shown, whose block goes to the place left."""
    saliency = torch.tensor([[[0.9, 0.0, 0.1]]], dtype=torch.float64)
    mask = torch.tensor([[[0.0, 1.0, 0.0]]], dtype=torch.float64)
    for method in METHODS:
        source, total = puzzlemix.masked_transport(saliency, mask, xi=0.4, method=method)
        assert source.tolist() == [[[1, 0, 2]]]
        # Two moves by one block cost 0.4 / 4 each.
        assert total.item() == pytest.approx(0.2 - 0.9)
    source, total = puzzlemix.masked_transport(saliency, mask, xi=4, method="exact")
    assert source.tolist() == [[[0, 1, 2]]]
    assert total.item() == pytest.approx(0)


@given(
    huge=st.sampled_from([10.0, 1e5, 1e9, 1e30, 1e300]),
    xi=st.sampled_from([0.1, 0.8]),
    seed=seeds,
)
def test_one_huge_saliency(huge, xi, seed):
    """It takes precision from the others, by the unit of the integers and no more; 4 xi above them
    is as good as huge, and the answer is right by SciPy."""
    saliency, mask = problems.transport("puzzle", seed=seed, batch=1, height=4, width=5)
    mask = (mask > 0).double()
    mask[0, 0, 0] = 1  # one place shows at least
    enough = saliency.clone()
    enough[0, 2, 3] = saliency.max() + 4.01 * xi
    cost = problems.transport_cost(problems.Transport(enough, mask), xi, "indicator")
    least = problems.least_total(cost)[0]
    right = puzzlemix.masked_transport(enough, mask, xi=xi, method="exact")
    assert total_of(cost, right.source).item() == pytest.approx(least, abs=1e-6)

    saliency[0, 2, 3] = huge
    found = puzzlemix.masked_transport(saliency, mask, xi=xi, method="exact")
    unit = (xi * 25 / 16 + huge) * 2.0**-29
    assert total_of(cost, found.source).item() <= least + 40 * unit + 1e-6
    approx = puzzlemix.masked_transport(saliency, mask, xi=xi)
    assert torch.equal(approx.source, reference.masked_transport(saliency, mask, xi=xi).source)


def test_blocks_stay_without_a_gain():
    for kind in ("no saliency", "shown", "hidden"):
        problem = problems.transport(kind, height=5, width=6)
        for method in METHODS:
            source = puzzlemix.masked_transport(*problem, method=method).source
            assert torch.equal(source.flatten(1), torch.arange(30).expand(2, -1))


@pytest.mark.parametrize("method", METHODS)
def test_batch_threads_and_strides(method, threads):
    problem = problems.transport("puzzle", height=8, width=8, batch=300)
    expected = puzzlemix.masked_transport(*problem, method=method)
    threads(3)
    together = puzzlemix.masked_transport(*problem, method=method)
    assert torch.equal(together.source, expected.source)
    assert torch.equal(together.total, expected.total)
    alone = puzzlemix.masked_transport(*(part[123:124] for part in problem), method=method)
    assert torch.equal(alone.source, expected.source[123:124])
    turned = (part.transpose(0, 2).contiguous().transpose(0, 2) for part in problem)
    assert torch.equal(puzzlemix.masked_transport(*turned, method=method).source, expected.source)
