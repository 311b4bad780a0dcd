"""The integers that decide: scales, label costs and their convexity, computed by hand."""

from __future__ import annotations

import itertools

import problems
import pytest
import torch

from puzzlemix import integers


@pytest.mark.parametrize(
    ("total", "exponent"),
    [
        (1.0, 29),
        (2.0**30, -1),
        (2.0**30 - 1, 0),
        (1.5 * 2.0**40, -11),
        (1e-320, 1000),
        (2.0**-971, 1000),
        (2.0**-970, 999),
        (1.7e308, -994),
    ],
)
def test_scale_is_the_largest_power_of_two_below_the_bound(total: float, exponent: int) -> None:
    scale = integers.power_of_two(torch.tensor([total], dtype=torch.float64)).item()
    assert scale == 2.0**exponent
    assert total * scale < 2**30


def test_nothing_to_scale() -> None:
    assert integers.power_of_two(torch.zeros(2, dtype=torch.float64)).tolist() == [1, 1]


def test_rounding_is_half_to_even() -> None:
    halves = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    assert integers.to_integers(halves, one).tolist() == [[0, 2, 2, 0, -2]]


@pytest.mark.parametrize("unit", [1.0, 0.1, 1 / 9, 3e-7, 5e11])
@pytest.mark.parametrize("name", ["quadratic", "linear", "potts", "truncated"])
def test_integral_label_costs_of_any_scale_are_exact(name: str, unit: float) -> None:
    for labels, dtype in itertools.product((2, 3, 7, 16), (torch.float32, torch.float64)):
        cost = problems.LABEL_COSTS[name](labels)
        expected = (cost / cost[cost > 0].min()).round().long()
        found = integers.label_integers((unit * cost).to(dtype))
        assert found.integral
        assert torch.equal(found.cost, expected)
        assert found.unit == pytest.approx(unit * cost[cost > 0].min().item(), rel=1e-6)


def test_other_label_costs_fill_ten_bits() -> None:
    cost = problems.LABEL_COSTS["table"](5)
    found = integers.label_integers(cost)
    assert not found.integral
    assert 512 <= found.cost.max() <= 1024
    assert torch.allclose(found.cost.double() * found.unit, cost, atol=found.unit / 2, rtol=0)


def test_a_largest_quotient_that_is_a_power_of_two_reaches_1024() -> None:
    cost = torch.tensor([[0, 1.0, 2.0], [1.0, 0, 1.3], [2.0, 1.3, 0]])
    found = integers.label_integers(cost)
    assert (found.cost.max(), found.unit) == (1024, 2.0**-9)


def test_a_label_cost_of_zeros() -> None:
    found = integers.label_integers(torch.zeros(3, 3))
    assert (int(found.cost.abs().max()), found.unit, found.integral) == (0, 1.0, True)


@pytest.mark.parametrize("name", sorted(problems.LABEL_COSTS))
@pytest.mark.parametrize("labels", [2, 3, 6, 16])
def test_convexity(name: str, labels: int) -> None:
    cost = problems.LABEL_COSTS[name](labels)
    # With two labels any semimetric is convex, and with three, 4 <= 1 + 1 fails but 1, 1, 4 holds.
    convex = name in problems.CONVEX or labels == 2 or (name == "truncated" and labels == 3)
    assert integers.is_convex(cost) == convex
    if convex:
        whole = integers.label_integers(cost).cost
        repaired = integers.convex_label_cost(whole)
        assert torch.equal(repaired, repaired.T)
        bend = repaired.diff(dim=0).diff(dim=1)
        assert int(bend.max()) <= 0 or not bool(bend.triu(1).gt(0).any())
        assert (repaired - whole).abs().max() <= labels**2


def test_convex_integers_are_unchanged() -> None:
    whole = integers.label_integers(problems.LABEL_COSTS["quadratic"](9)).cost
    assert torch.equal(integers.convex_label_cost(whole), whole)


def test_forbidding_costs_leave_the_others_their_precision() -> None:
    unary = torch.tensor([0.0, 1.0, 1e30], dtype=torch.float64).expand(1, 2, 2, 3)
    edge = torch.ones(1, 1, 2, dtype=torch.float64)
    found = integers.labeling_integers(unary, edge, edge.mT, problems.LABEL_COSTS["potts"](3))
    # p = 1, t = 4 * 4 * 1: the sum is 4 cells * 16 + 4 edges * 1 = 68 < 2**7.
    assert found.unary[0, 0, 0].tolist() == [0, 2**23, 16 * 2**23]
    assert found.vertical.unique().tolist() == [2**23]
