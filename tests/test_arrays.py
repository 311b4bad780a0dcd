"""NumPy arrays in, NumPy arrays out, whatever their strides and byte order."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from calls import FUNCTIONS, Arguments, call, good
from torch import Tensor

from puzzlemix.arrays import accepts_numpy


def as_numpy(arguments: Arguments) -> Arguments:
    return {name: value.numpy() for name, value in arguments.items()}


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def reversed_(array: np.ndarray) -> np.ndarray:
    return array[..., ::-1].copy()[..., ::-1]


def big_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder(">"))


def packed(array: np.ndarray) -> np.ndarray:
    """An array as a field of records, whose stride is no multiple of the element's size."""
    records = np.zeros(array.shape, dtype=[("tag", "u1"), ("value", array.dtype)])
    records["value"] = array
    return records["value"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", [np.asarray, read_only, reversed_, big_endian, packed])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_numpy_in_numpy_out(
    backend: ModuleType, function: str, layout: Callable[[np.ndarray], np.ndarray]
) -> None:
    tensors = call(backend, function, good(function))
    given = {name: layout(value) for name, value in as_numpy(good(function)).items()}
    before = {name: value.copy() for name, value in given.items()}
    arrays = call(backend, function, given)
    assert type(arrays) is (np.ndarray if isinstance(tensors, Tensor) else type(tensors))
    if isinstance(tensors, Tensor):
        tensors, arrays = (tensors,), (arrays,)
    for tensor, array in zip(tensors, arrays, strict=True):
        assert isinstance(array, np.ndarray)
        assert array.dtype == tensor.numpy().dtype
        assert np.array_equal(array, tensor.numpy())
    for name, value in given.items():
        assert np.array_equal(value, before[name])


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "assignment"])
def test_numpy_and_tensors_do_not_mix(backend: ModuleType, function: str) -> None:
    tensors, arrays = good(function), as_numpy(good(function))
    first, *_, last = tensors
    text = f"^{last}: expected a tensor, as {first} is, got a NumPy array"
    with pytest.raises(TypeError, match=text):
        call(backend, function, {**tensors, last: arrays[last]})
    text = f"^{last}: expected a NumPy array, as {first} is, got a tensor"
    with pytest.raises(TypeError, match=text):
        call(backend, function, {**arrays, last: tensors[last]})


@pytest.mark.parametrize("dtype", [object, "U3", "datetime64[s]", np.longdouble])
def test_arrays_of_other_things_are_refused(backend: ModuleType, dtype: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^cost: expected an array of numbers that PyTorch has, got"
    ):
        backend.assignment(np.zeros((1, 2, 2)).astype(dtype))


def test_errors_of_arrays_are_those_of_tensors(backend: ModuleType) -> None:
    with pytest.raises(ValueError, match=re.escape("cost: expected shape [B, N, M], got [2, 3]")):
        backend.assignment(np.zeros((2, 3)))
    with pytest.raises(TypeError, match=r"^cost: expected .*, got uint16"):
        backend.assignment(np.zeros((2, 3, 3), dtype=np.uint16))


WHOLE = ("grid_min_cut", "alpha_beta_swap", "exact_labeling", "labeling_energy", "assignment")


def whole(function: str, dtype: Any) -> Arguments:
    """A valid call with integer costs."""
    given = as_numpy(good(function))
    return {
        name: value if name == "labels" else np.round(4 * value).astype(dtype)
        for name, value in given.items()
    }


@pytest.mark.parametrize("function", WHOLE)
def test_integers_of_64_bits_count_as_those_of_32(backend: ModuleType, function: str) -> None:
    expected = call(backend, function, whole(function, np.int32))
    found = call(backend, function, whole(function, np.int64))
    some = whole(function, np.int64)
    last = list(some)[-1]
    mixed = call(backend, function, {**some, last: some[last].astype(np.int32)})
    for one, other, third in zip(expected, found, mixed, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)


@pytest.mark.parametrize("function", WHOLE)
def test_integers_that_do_not_fit_are_refused(backend: ModuleType, function: str) -> None:
    for name, value in whole(function, np.int64).items():
        if name == "labels":
            continue
        given = whole(function, np.int64)
        given[name] = value.copy()
        given[name][(0,) * value.ndim] = 2**31
        text = (
            rf"^{name}: expected values from .* to 2147483647, got 2147483648 at \[.*fit into int32"
        )
        with pytest.raises(ValueError, match=text):
            call(backend, function, given)


def test_annotations_say_what_is_an_array() -> None:
    @accepts_numpy
    def scale(x: Tensor, by: float | Tensor, plus: Tensor | None = None, *, times: int = 1) -> Any:
        assert isinstance(by, (float, Tensor))
        return x * by * times + (0 if plus is None else plus), times

    one = np.ones(2)
    array, times = scale(one, 2.0, times=3)
    assert isinstance(array, np.ndarray)
    assert (array.tolist(), times) == ([6, 6], 3)
    assert scale(one, np.full(2, 3.0), plus=one)[0].tolist() == [4, 4]
    assert scale(x=torch.ones(2), by=2.0)[0].tolist() == [2, 2]
    with pytest.raises(TypeError, match=r"^by: expected a NumPy array, as x is, got a tensor"):
        scale(one, torch.ones(2))
    with pytest.raises(TypeError, match=r"^x: expected a tensor or a NumPy array, got NoneType"):
        scale(None, 2.0)
    with pytest.raises(TypeError, match=r"^plus: expected a tensor or a NumPy array, got float"):
        scale(one, 2.0, 1.0)
