"""Every bad input is refused by name, with what was expected and what came; good ones are not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from calls import FUNCTIONS, LABELINGS, Arguments, call, good
from torch import Tensor
from torch._subclasses import FakeTensorMode

from puzzlemix import alpha_beta_swap
from puzzlemix.validate import contracts
from puzzlemix.validate.values import expect_values
from puzzlemix.validate.values import refused as worded

FLOATS = "float16, bfloat16, float32 or float64"
COSTS = "float16, bfloat16, float32, float64, int32 or int64"


def put(value: float, *place: int) -> Callable[[Tensor], Tensor]:
    """The tensor with one entry changed."""

    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor[place] = value
        return tensor

    return change


# function, argument, how its valid value is changed, the error, the error's text after the name
Bad = tuple[str, str, Callable[[Any], Any], type[Exception], str]


def kinds_and_shapes() -> list[Bad]:
    bad: list[Bad] = []

    def refuse(function: str, name: str, make: Any, error: type[Exception], text: str) -> None:
        bad.append((function, name, make, error, text))

    for function in FUNCTIONS:
        for name in sorted(good(function).keys() - {"lam"}):  # which may be a number
            for value in ([[1.0]], 3, "cpu"):
                kind = type(value).__name__
                text = f"expected a tensor or a NumPy array, got {kind}"
                refuse(function, name, lambda _, value=value: value, TypeError, text)

    def first(function: str, name: str, layout: str) -> None:
        """Bad values of the argument that sets the sizes, and their errors."""
        refuse(
            function, name, lambda x: x[0], ValueError, rf"expected shape \[{layout}\], got \[.*\]"
        )
        allowed = FLOATS if function in ("masked_transport", "mix") else COSTS
        for dtype in (torch.int16, torch.uint8, torch.bool, torch.complex64):
            text = f"expected {allowed}, got {str(dtype)[6:]}"
            refuse(function, name, lambda x, dtype=dtype: x.to(dtype), TypeError, text)
        text = "expected a dense tensor, got layout torch.sparse_coo"
        refuse(function, name, lambda x: x.to_sparse(), TypeError, text)

    def follows(
        function: str, name: str, leader: str, layout: str, shape: str, dtypes: str, own: str
    ) -> None:
        """Bad values of the other arguments, and their errors."""
        if name != "label_cost":
            text = rf"expected shape \[{layout}\] = \[{shape}\], got \[1, .*\]"
            refuse(function, name, lambda x: x[:1], ValueError, text)
        text = rf"expected shape \[{layout}\] = \[{shape}\], got \[.*\]"
        refuse(function, name, lambda x: x[..., :-1], ValueError, text)
        refuse(function, name, lambda x: x[None], ValueError, text)
        text = rf"expected {dtypes} \({leader} is {own}\), got bool"
        refuse(function, name, lambda x: x.bool(), TypeError, text)
        text = rf"expected device cpu \(that of {leader}\), got meta"
        refuse(function, name, lambda x: x.to("meta"), ValueError, text)

    def edges(function: str, leader: str) -> None:
        for name, layout, shape in (
            ("vertical", "B, H-1, W", "2, 2, 4"),
            ("horizontal", "B, H, W-1", "2, 3, 3"),
        ):
            follows(function, name, leader, layout, shape, FLOATS, "float64")
            text = rf"expected {FLOATS} \({leader} is float64\), got int32"
            refuse(function, name, lambda x: x.int(), TypeError, text)

    first("grid_min_cut", "source_caps", "B, H, W")
    follows("grid_min_cut", "sink_caps", "source_caps", "B, H, W", "2, 3, 4", FLOATS, "float64")
    edges("grid_min_cut", "source_caps")
    for function in LABELINGS:
        first(function, "unary", "B, H, W, L")
        edges(function, "unary")
        follows(function, "label_cost", "unary", "L, L", "3, 3", FLOATS, "float64")
        text = "expected 2 to 16 labels, got {}"
        refuse(function, "unary", lambda x: x[..., :1], ValueError, text.format(1))
        refuse(
            function, "unary", lambda x: x[..., :1].repeat(1, 1, 1, 17), ValueError, text.format(17)
        )
    follows(
        "labeling_energy",
        "labels",
        "unary",
        "B, H, W",
        "2, 3, 4",
        "int64, int32, int16, int8 or uint8",
        "float64",
    )
    refuse("labeling_energy", "labels", lambda x: x.float(), TypeError, "expected int64.* float32")

    for function, name in (
        ("grid_min_cut", "source_caps"),
        *((function, "unary") for function in LABELINGS),
        ("masked_transport", "saliency"),
    ):
        for height, width in ((65, 1), (1, 65), (0, 3), (3, 0)):

            def sized(x: Tensor, height: int = height, width: int = width) -> Tensor:
                return x.new_zeros(2, height, width, *x.shape[3:])

            text = f"expected a grid of 1x1 to 64x64, got {height}x{width}"
            refuse(function, name, sized, ValueError, text)

    first("assignment", "cost", "B, N, M")
    for rows, columns in ((4097, 1), (1, 4097)):

        def large(x: Tensor, rows: int = rows, columns: int = columns) -> Tensor:
            return x.new_zeros(0, rows, columns)

        text = f"expected at most 4096 rows and columns, got {rows}x{columns}"
        refuse("assignment", "cost", large, ValueError, text)

    first("masked_transport", "saliency", "B, H, W")
    follows("masked_transport", "mask", "saliency", "B, H, W", "2, 3, 4", FLOATS, "float64")
    refuse("masked_transport", "saliency", lambda x: x.int(), TypeError, f"expected {FLOATS}, got")

    first("mix", "x1", "B, C, Y, X")
    follows("mix", "x2", "x1", "B, C, Y, X", "2, 3, 6, 8", "float32", "float32")
    refuse("mix", "x2", lambda x: x.double(), TypeError, r"expected float32 .*, got float64")
    for name in ("mask", "source1", "source2"):
        text = r"expected shape \[B, h, w\], got \[.*\]"
        refuse("mix", name, lambda x: x[0], ValueError, text)
        refuse("mix", name, lambda x: x[:1], ValueError, "expected a batch of 2 as in x1, got 1")
        text = "expected a grid that divides the images of 6x8 pixels, got {}"
        refuse("mix", name, lambda x: x.new_zeros(2, 4, 2), ValueError, text.format("4x2"))
        refuse("mix", name, lambda x: x.new_zeros(2, 2, 16), ValueError, text.format("2x16"))
        refuse("mix", name, lambda x: x.new_zeros(2, 0, 2), ValueError, text.format("0x2"))
        text = r"expected device cpu \(that of x1\), got meta"
        refuse("mix", name, lambda x: x.to("meta"), ValueError, text)
        refuse("mix", name, lambda x: x.to(torch.int16), TypeError, "expected .*, got int16")
    refuse("mix", "mask", lambda x: x.int(), TypeError, f"expected {FLOATS}, got int32")
    text = "expected int64 or int32, got float32"
    refuse("mix", "source1", lambda x: x.float(), TypeError, text)

    for function in ("puzzle_plan", "mix"):
        for dtype in (torch.float32, torch.float64, torch.int16, torch.bool):
            text = rf"expected int64 or int32 \(x1 is float32\), got {str(dtype)[6:]}"
            refuse(function, "partner", lambda _, d=dtype: torch.ones(2, dtype=d), TypeError, text)
        for shape in ((1,), (3,), (), (2, 1)):
            text = rf"expected shape \[B\] = \[2\], got \[{', '.join(map(str, shape))}\]"
            refuse(
                function,
                "partner",
                lambda _, s=shape: torch.zeros(s, dtype=torch.int64),
                ValueError,
                text,
            )
        text = r"expected device cpu \(that of x1\), got meta"
        refuse(
            function,
            "partner",
            lambda _: torch.zeros(2, dtype=torch.int64, device="meta"),
            ValueError,
            text,
        )
    for name in ("x1", "x2"):
        refuse("puzzle_plan", name, lambda x: x.long(), TypeError, "expected .*got int64")
        text = r"expected .*shape \[., C, Y, X\].*, got \[3, 6, 8\]"
        refuse("puzzle_plan", name, lambda x: x[0], ValueError, text)
    text = r"expected shape \[N, C, Y, X\] = \[2, 3, 6, 8\], got \[2, 1, 6, 8\]"
    refuse("puzzle_plan", "x2", lambda x: x[:, :1], ValueError, text)
    text = "expected at least one image, as partner names some, got 0"
    refuse("puzzle_plan", "x2", lambda x: x[:0], ValueError, text)
    for name, of in (("saliency1", "x1"), ("saliency2", "x2")):
        text = rf"expected shape \[B, Y, X\] with B = 2, as in {of}, got \[1, 6, 8\]"
        refuse("puzzle_plan", name, lambda x: x[:1], ValueError, text)
        refuse("puzzle_plan", name, lambda x: x.int(), TypeError, "expected dtype .*got int32")
        text = rf"expected device cpu \(that of {of}\), got meta"
        refuse("puzzle_plan", name, lambda x: x.to("meta"), ValueError, text)
    text = r"expected a number or shape \[B\] with B = 2, as in x1, got \[1\]"
    refuse("puzzle_plan", "lam", lambda x: x[:1], ValueError, text)
    refuse("puzzle_plan", "lam", lambda x: x.int(), TypeError, "expected dtype .*got int32")
    return bad


def values() -> list[Bad]:
    inf, nan = float("inf"), float("nan")
    bad: list[Bad] = []

    def refuse(function: str, name: str, make: Any, text: str) -> None:
        bad.append((function, name, make, ValueError, text))

    def not_finite(function: str, name: str, wanted: str, *place: int) -> None:
        for value in (nan, inf, -inf):
            text = rf"expected {wanted}, got {value} at \[{', '.join(map(str, place))}\]"
            refuse(function, name, put(value, *place), text)

    at_least_0 = "finite values of at least 0"
    for name in good("grid_min_cut"):
        not_finite("grid_min_cut", name, at_least_0, 1, 0, 2)
        text = rf"expected {at_least_0}, got -0.5 at \[0, 1, 1\]"
        refuse("grid_min_cut", name, put(-0.5, 0, 1, 1), text)
        if name in ("vertical", "horizontal"):  # a large terminal decides its cell and is clamped
            text = "expected costs whose sum over a sample's cells and edges is finite in double, "
            refuse("grid_min_cut", name, put(1e308, 0, 1, 1), rf"{text}got inf at \[0\]")
    for function in LABELINGS:
        not_finite(function, "unary", "finite values", 1, 2, 3, 0)
        for name in ("vertical", "horizontal"):
            not_finite(function, name, at_least_0, 0, 1, 2)
            text = rf"expected {at_least_0}, got -1.0 at \[1, 0, 2\]"
            refuse(function, name, put(-1.0, 1, 0, 2), text)
        not_finite(function, "label_cost", at_least_0, 0, 1)
        text = rf"expected {at_least_0}, got -1.0 at \[0, 2\]"
        refuse(function, "label_cost", put(-1.0, 0, 2), text)
        text = r"expected a symmetric matrix, got 0.25 at \[1, 0\] and 0.5 at \[0, 1\]"
        refuse(function, "label_cost", put(0.5, 0, 1), text)
        text = r"expected a zero diagonal, got 0.5 at \[1, 1\]"
        refuse(function, "label_cost", put(0.5, 1, 1), text)

        def spread(x: Tensor) -> Tensor:
            return put(5e-324, 0, 1)(put(5e-324, 1, 0)(1e300 * x))

        text = "expected entries whose quotients are finite in double, got 5e-324 beside 1e\\+300"
        refuse(function, "label_cost", spread, text)
    for function in ("alpha_beta_swap", "exact_labeling"):
        text = r"expected costs whose sum .* is finite in double, got inf at \[1\]"
        refuse(function, "vertical", put(1e308, 1, 0, 0), text)
        refuse(function, "label_cost", lambda x: 1e308 * x, text.replace("1", "0", 1))

    def concave(x: Tensor) -> Tensor:
        return x.sqrt().sqrt()

    text = r"expected a cost convex in the label order \(D\[a,b\] .*\), got \[\[0.0, .*\]\]"
    refuse("exact_labeling", "label_cost", concave, text)
    for value in (-1, 3):
        text = rf"expected 0 to 2, got {value} at \[1, 2, 0\]"
        refuse("labeling_energy", "labels", put(value, 1, 2, 0), text)
    for value in (float("nan"), -float("inf")):
        text = rf"expected finite values or inf, which forbids a pair, got {value} at \[1, 2, 4\]"
        refuse("assignment", "cost", put(value, 1, 2, 4), text)
    text = r"expected costs by which {} pairs are found without a forbidden one \(inf\), got none"
    refuse("assignment", "cost", put(float("inf"), 1, 2), text.format(5) + " such in sample 1")
    refuse(
        "assignment",
        "cost",
        lambda x: put(float("inf"), 0, slice(None), 2)(x)[:, :, :3],
        text.format(3) + " such in sample 0",
    )
    refuse(
        "assignment",
        "cost",
        lambda x: put(-1e308, 1, 2, 3)(put(1e308, 1, 0, 0)(x)),
        "expected a largest less a smallest cost that is finite in double, got inf",
    )
    not_finite("masked_transport", "saliency", at_least_0, 0, 2, 3)
    not_finite("masked_transport", "mask", "values from 0 to 1", 0, 2, 3)
    for value in (-0.25, 1.25):
        text = rf"expected values from 0 to 1, got {value} at \[1, 0, 0\]"
        refuse("masked_transport", "mask", put(value, 1, 0, 0), text)
    text = r"expected finite values of at least 0, got -1.0 at \[1, 0, 0\]"
    refuse("masked_transport", "saliency", put(-1.0, 1, 0, 0), text)
    not_finite("mix", "mask", "finite values", 1, 2, 3)
    text = r"expected indices from 0 to 3, got {} at \[1, 1, 0\]"
    refuse("mix", "source1", put(4, 1, 1, 0), text.format(4))
    refuse("mix", "source1", put(-1, 1, 1, 0), text.format(-1))

    def twice(source: Tensor) -> Tensor:
        return put(int(source[1, 0, 0]), 1, 5, 7)(source)

    text = "expected a permutation in each sample, got index .* twice in sample 1"
    refuse("mix", "source2", twice, text)
    refuse("mix", "source2", lambda x: twice(x).int(), text)
    for value in (-1, 2, 2**40, -(2**40)):
        for function in ("puzzle_plan", "mix"):
            text = rf"expected indices from 0 to 1, got {value} at \[1\]"
            refuse(function, "partner", lambda _, v=value: torch.tensor([0, v]), text)
    not_finite("puzzle_plan", "x1", "finite values", 1, 2, 4, 7)
    not_finite("puzzle_plan", "x2", "finite values", 0, 1, 5, 0)
    for name in ("saliency1", "saliency2"):
        not_finite("puzzle_plan", name, at_least_0, 1, 5, 6)
        text = rf"expected {at_least_0}, got -0.5 at \[0, 0, 7\]"
        refuse("puzzle_plan", name, put(-0.5, 0, 0, 7), text)
    not_finite("puzzle_plan", "lam", "values from 0 to 1", 1)
    for value in (-0.25, 1.25):
        text = rf"expected values from 0 to 1, got {value} at \[0\]"
        refuse("puzzle_plan", "lam", put(value, 0), text)
    return bad


@pytest.mark.parametrize("name", ["partner", "source2"])
def test_an_empty_partner_stands_alone(backend: ModuleType, name: str) -> None:
    given = good("mix") | {"x2": None, "source2": None}
    assert call(backend, "mix", given) is not None
    bad = {"partner": torch.tensor([1, 0]), "source2": good("mix")["source2"]}[name]
    text = rf"^{name}: expected None beside an empty partner .*got a tensor of shape \[2"
    with pytest.raises(ValueError, match=text):
        call(backend, "mix", given | {name: bad})


@pytest.mark.parametrize("function", ["puzzle_plan", "mix"])
def test_other_second_images_come_with_a_partner_only(backend: ModuleType, function: str) -> None:
    given = good(function, 3)
    two = {name: part[:2] for name, part in given.items() if name in ("x2", "saliency2")}
    given |= two | {"partner": torch.tensor([1, 0, 1])}
    assert call(backend, function, given) is not None
    with pytest.raises(ValueError, match=r"^x2: expected .*3, 3, 6, 8\], got \[2, 3, 6, 8\]"):
        call(backend, function, given | {"partner": None})
    with pytest.raises(ValueError, match=r"^partner: expected indices from 0 to 1, got 2 at \[2\]"):
        call(backend, function, given | {"partner": torch.tensor([1, 0, 2])})
    if function == "puzzle_plan":
        with pytest.raises(ValueError, match=r"^saliency2: expected .* B = 2, as in x2, got \[3, "):
            call(backend, function, given | {"saliency2": good(function, 3)["saliency2"]})


def named(bad: Bad) -> str:
    return f"{bad[0]}-{bad[1]}"


@pytest.mark.parametrize("bad", kinds_and_shapes(), ids=named)
def test_wrong_kinds_and_shapes(backend: ModuleType, bad: Bad) -> None:
    refused(backend, bad)


@pytest.mark.parametrize("bad", values(), ids=named)
def test_wrong_values(backend: ModuleType, bad: Bad) -> None:
    refused(backend, bad)


def refused(backend: ModuleType, bad: Bad) -> None:
    function, name, make, error, text = bad
    arguments = good(function)
    arguments[name] = make(arguments.get(name))
    with pytest.raises(error, match=f"^{name}: {text}"):
        call(backend, function, arguments)


@pytest.mark.parametrize("cycles", [2**63, 2**100, np.int64(3)])
def test_any_number_of_cycles(cycles: Any) -> None:
    problem = good("alpha_beta_swap")
    want = alpha_beta_swap(**problem).labels
    assert torch.equal(alpha_beta_swap(**problem, max_cycles=cycles).labels, want)


@pytest.mark.parametrize(
    ("function", "option", "value", "error", "text"),
    [
        ("alpha_beta_swap", "max_cycles", -1, ValueError, "expected at least 0, got -1"),
        ("alpha_beta_swap", "max_cycles", 1.5, TypeError, "expected an integer, got 1.5"),
        ("alpha_beta_swap", "max_cycles", True, TypeError, "expected an integer, got True"),
        ("assignment", "method", "best", ValueError, "expected 'approx' or 'exact', got 'best'"),
        ("assignment", "method", None, ValueError, "expected 'approx' or 'exact', got None"),
        ("masked_transport", "method", "", ValueError, "expected 'approx' or 'exact', got ''"),
        ("masked_transport", "weight", "z", ValueError, "expected 'indicator' or 'mask', got 'z'"),
        ("masked_transport", "xi", -0.1, ValueError, "expected a finite number of at least 0, got"),
        ("masked_transport", "xi", float("nan"), ValueError, "expected a finite number .* got nan"),
        ("masked_transport", "xi", float("inf"), ValueError, "expected a finite number .* got inf"),
        ("masked_transport", "xi", 10**400, ValueError, "expected a finite number .* got 1000"),
        ("masked_transport", "xi", "1", TypeError, "expected a number, got str"),
        ("masked_transport", "xi", None, TypeError, "expected a number, got NoneType"),
        ("masked_transport", "xi", 1e308, ValueError, "expected costs whose sum is finite"),
    ],
)
def test_wrong_options(
    backend: ModuleType, function: str, option: str, value: object, error: Any, text: str
) -> None:
    with pytest.raises(error, match=f"^{option}: {text}"):
        call(backend, function, {**good(function), option: value})


# ---- The bound of int32 ----


def test_int32_cuts_below_the_bound_only(backend: ModuleType) -> None:
    # 4 cells and 4 edges: 4 * 2**27 + 4 * (2**27 - 1) is 4 short of 2**30.
    terminal = torch.full((2, 2, 2), 2**27, dtype=torch.int32)
    edge = torch.full((2, 1, 2), 2**27 - 1, dtype=torch.int32)
    # An amount that both terminals share doesn't count.
    cut = backend.grid_min_cut(2 * terminal, terminal, edge, edge.mT)
    assert cut.flow.tolist() == [2**29, 2**29]
    edge[1, 0, 1] += 1
    with pytest.raises(ValueError, match=r"sum .* is below 2\^30, got 1073741824.0 at \[1\]"):
        backend.grid_min_cut(2 * terminal, terminal, edge, edge.mT)
    # Nor does an amount above 8 times the largest edge.
    cut = backend.grid_min_cut(2 * terminal, terminal, edge // 1000, edge.mT // 1000)
    assert cut.flow.tolist() == [2**29, 2**29]


@pytest.mark.parametrize("function", ["alpha_beta_swap", "exact_labeling"])
def test_int32_labelings_below_the_bound_only(backend: ModuleType, function: str) -> None:
    solve = getattr(backend, function)
    pair = torch.tensor([[0, 1], [1, 0]], dtype=torch.int32)
    unary = torch.zeros(2, 2, 2, 2, dtype=torch.int32)
    edge = torch.full((2, 1, 2), 2**28 - 1, dtype=torch.int32)
    assert solve(unary, edge, edge.mT, pair).energy.tolist() == [0, 0]
    # A cost that all labels of a cell share doesn't count, nor does an amount above 4 * 3 * p.
    unary[0] = 2**31 - 1
    assert solve(unary, edge, edge.mT, pair).energy.tolist() == [4 * (2**31 - 1), 0]
    unary[1, 0, 0, 1] = 1
    with pytest.raises(ValueError, match=r"^vertical: .* below 2\^30, got 1073741824.0 at \[1\]"):
        solve(unary, edge, edge.mT, pair)
    few = torch.ones_like(edge)
    unary[1, 0, 0, 1] = 2**31 - 1
    assert solve(unary, few, few.mT, pair).labels.tolist() == [[[0, 0], [0, 0]]] * 2
    none = torch.zeros_like(edge)
    with pytest.raises(ValueError, match=r"^unary: .* below 2\^30, got 8589934588.0 at \[1\]"):
        solve(unary, none, none.mT, pair)


def test_an_energy_has_no_bound(backend: ModuleType) -> None:
    pair = torch.tensor([[0, 2**31 - 1], [2**31 - 1, 0]], dtype=torch.int32)
    unary = torch.full((1, 1, 2, 2), 2**31 - 1, dtype=torch.int32)
    edge = torch.full((1, 1, 1), 2, dtype=torch.int32)
    labels = torch.tensor([[[0, 1]]])
    energy = backend.labeling_energy(labels, unary, edge[:, :0].expand(1, 0, 2), edge, pair)
    assert energy.tolist() == [4 * (2**31 - 1)]


# ---- Valid arguments ----


@pytest.mark.parametrize("function", FUNCTIONS)
def test_good_arguments_are_accepted(backend: ModuleType, function: str) -> None:
    assert call(backend, function, good(function)) is not None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_empty_batch(backend: ModuleType, function: str) -> None:
    arguments = {
        name: value if name == "label_cost" else value[:0] for name, value in good(function).items()
    }
    result = call(backend, function, arguments)
    parts = result if isinstance(result, tuple) else (result,)
    whole = call(backend, function, good(function))
    wholes = whole if isinstance(whole, tuple) else (whole,)
    for part, one in zip(parts, wholes, strict=True):
        assert part.shape == (0, *one.shape[1:])
        assert part.dtype == one.dtype


@pytest.mark.parametrize("function", FUNCTIONS[:-2])
def test_float_types_may_differ(backend: ModuleType, function: str) -> None:
    arguments = good(function)
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    arguments = {
        name: value.to(dtypes[place % 4]) if value.is_floating_point() else value
        for place, (name, value) in enumerate(arguments.items())
    }
    in_double = {
        name: value.double() if value.is_floating_point() else value
        for name, value in arguments.items()
    }
    result, expected = (call(backend, function, each) for each in (arguments, in_double))
    for part, other in zip(result, expected, strict=True):
        assert torch.equal(part, other)


def meta(function: str) -> Arguments:
    return {name: value.to("meta") for name, value in good(function).items()}


def test_shapes_are_checked_without_reading() -> None:
    check_all(
        *map(meta, ("grid_min_cut", "labeling_energy", "assignment", "masked_transport", "mix"))
    )


def check_all(
    cut: Arguments, labeling: Arguments, assignment: Arguments, transport: Arguments, mix: Arguments
) -> Tensor:
    """Run every check of shapes once."""
    contracts.grid_min_cut(**cut)
    labels = labeling.pop("labels")
    contracts.labeling(**labeling, max_cycles=3)
    contracts.labels(labels, labeling["unary"])
    contracts.assignment(**assignment, method="exact")
    contracts.masked_transport(**transport, xi=0.5, weight="mask", method="approx")
    contracts.mix(**mix)
    return mix["x1"] + 1


def test_checks_run_on_fake_tensors_and_trace() -> None:
    names = ("grid_min_cut", "labeling_energy", "assignment", "masked_transport", "mix")
    with FakeTensorMode() as mode:
        check_all(*({k: mode.from_tensor(v) for k, v in good(name).items()} for name in names))
    compiled = torch.compile(check_all, backend="eager", fullgraph=True, dynamic=True)
    for batch in (2, 1, 2):
        arguments = [
            {k: v if k == "label_cost" else v[:batch] for k, v in good(name).items()}
            for name in names
        ]
        assert torch.equal(compiled(*arguments), arguments[-1]["x1"] + 1)


# ---- Faults that the compiled solvers report by their place ----


def every(function: str, given: Arguments) -> tuple[Tensor | None, ...]:
    """The tensors of a signature, None for those that are not given."""
    return tuple(given.get(name) for name in contracts.TENSORS[function])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_fault_is_worded_as_by_expect_values(function: str) -> None:
    """Only the entry at fault is read, and the error is that of checking all values."""
    arguments = good(function)
    for argument, (name, tensor) in enumerate(arguments.items()):
        if name == "label_cost" or (name in ("x1", "x2") and function == "mix"):
            continue
        bad, entry = tensor.clone(), max(tensor[1].numel() - 2, 0)
        bad[1].view(-1)[entry] = float("nan") if bad.is_floating_point() else -1
        given = every(function, {**arguments, name: bad})
        fault = (1, argument, 1, entry)
        with pytest.raises(ValueError, match=f"^{name}: expected") as error:
            expect_values(function, *given)
        assert str(worded(function, given, fault)) == str(error.value)
        # As if another thread had made the value valid since.
        text = str(worded(function, every(function, arguments), fault))
        assert text.startswith(f"{name}: expected ")
        assert text.endswith("got some while they were read")


def test_faults_of_samples_are_worded_as_by_expect_values() -> None:
    cut, labeling, images = (good(name) for name in ("grid_min_cut", "exact_labeling", "mix"))
    cut["vertical"][1, 0, 2] = labeling["horizontal"][1, 0, 2] = 1e308
    curved = {**good("exact_labeling"), "label_cost": labeling["label_cost"].sqrt().sqrt()}
    images["source2"][1, 5, 7] = images["source2"][1, 0, 0]
    transport = good("masked_transport")
    for function, given, fault, xi in (
        ("grid_min_cut", cut, (2, 0, 1, 0), 0.0),
        ("exact_labeling", labeling, (2, 0, 1, 0), 0.0),
        ("exact_labeling", curved, (4, 3, 0, 0), 0.0),
        ("masked_transport", transport, (2, 0, 0, 0), 1e308),
        ("mix", images, (3, 4, 1, 47), 0.0),
    ):
        tensors = every(function, given)
        with pytest.raises(ValueError, match="expected") as error:
            expect_values(function, *tensors, xi=xi)
        assert str(worded(function, tensors, fault, xi)) == str(error.value)
