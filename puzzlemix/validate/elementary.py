"""Checks of one argument: a number, a name, a tensor's type, device and values.

Values of tensors are read by `expect_range` and `expect_permutations`, whose callers see to it that
this waits for no device: `reads_values` says whether it may be done.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Rational, Real
from typing import NamedTuple

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INDICES = (torch.int64, torch.int32)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

# Python's own types come first: asking for an abstract one takes four times as long.
INTEGER_NUMBER = (int, Integral)
NUMBER = (float, int, Real)

MAX_FLOAT = sys.float_info.max
MAX_SIDE = 64

Grid = tuple[int, int]
"""Rows and columns of blocks."""

_debugging = False


def debug(enabled: bool = True) -> None:
    """Check values on CUDA too, at the price of waiting for the device at each call."""
    global _debugging
    _debugging = bool(enabled)


def debugging() -> bool:
    """Whether `debug(True)` was called last."""
    return _debugging


def reads_values(tensor: Tensor) -> bool:
    """Whether values may be read: not while a compiler traces, and on CUDA only if debugging."""
    if torch.compiler.is_compiling():
        return False
    return tensor.device.type == "cpu" or _debugging


# ---- Numbers and names --------------------------------------------------------------------------


def expect_number(
    name: str, value: object, *, least: float = -math.inf, most: float = math.inf
) -> None:
    """Check for a finite number within the limits."""
    if not isinstance(value, NUMBER) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    # Converted to float, but for integers and fractions, which may be too large for one; NumPy's
    # float32 would be too small for the limits.
    if not isinstance(value, (float, Rational)):
        value = float(value)
    if not (least <= value <= most and -MAX_FLOAT <= value <= MAX_FLOAT):  # type: ignore[operator]
        wanted = f"a number from {least} to {most}"
        if most == math.inf:
            wanted = "a finite number" + (f" of at least {least}" if least > -math.inf else "")
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_integer(name: str, value: object, *, least: int, most: int | None = None) -> None:
    """Check for an integer within the limits."""
    if not isinstance(value, INTEGER_NUMBER) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if int(value) < least or (most is not None and int(value) > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name}: expected {wanted}, got {value}")


def expect_one_of(name: str, value: object, names: Sequence[str | None]) -> None:
    """Check for one of the allowed names."""
    if value not in names:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, names))}, got {value!r}")


# ---- Tensors ------------------------------------------------------------------------------------


def expect_tensor(name: str, value: object) -> None:
    """Check for a tensor; lists and numbers, which could be converted to one, are refused."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def expect_dense(name: str, tensor: Tensor) -> None:
    """Check that a tensor isn't sparse or of another layout without strides."""
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")


def expect_dtype(name: str, tensor: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    """Check for a dense tensor of one of some dtypes."""
    expect_dense(name, tensor)
    if tensor.dtype not in dtypes:
        raise TypeError(f"{name}: expected dtype {listed(dtypes)}, got {type_name(tensor.dtype)}")


def listed(dtypes: Sequence[torch.dtype]) -> str:
    """The names of types, as a choice."""
    *others, last = map(type_name, dtypes)
    return f"{', '.join(others)} or {last}" if others else last


def type_name(dtype: torch.dtype) -> str:
    """The name of a type, without the module."""
    return str(dtype).removeprefix("torch.")


def expect_device(name: str, tensor: Tensor, of: str, other: Tensor, or_cpu: bool = False) -> None:
    """Check that two tensors are on one device; ``or_cpu`` only adds to the message."""
    if tensor.device != other.device:
        device = other.device
        either = " or cpu" if or_cpu and device.type != "cpu" else ""
        raise ValueError(
            f"{name}: expected device {device}{either} (that of {of}), got {tensor.device}"
        )


def does_not_divide(name: str, grid: Grid, what: str) -> ValueError:
    """The error for a grid that does not divide something."""
    return ValueError(f"{name}: expected a grid that divides {what}, got {grid[0]}x{grid[1]}")


# ---- Values of tensors --------------------------------------------------------------------------


class Range(NamedTuple):
    """The finite values that a tensor may hold, +infinity too if ``infinite``, and how errors word
    them."""

    least: float = -math.inf
    most: float = math.inf
    what: str = "values from"
    why: str = ""
    infinite: bool = False
    """Whether +infinity is allowed too, which forbids a pair."""


def expect_range(name: str, tensor: Tensor, limits: Range) -> None:
    """Check that all values are within the limits."""
    if tensor.numel() == 0:
        return
    least, most, _, _, infinite = limits
    low, high = (float(extreme) for extreme in tensor.detach().aminmax())
    if -math.inf < low and least <= low and high <= most and (infinite or high < math.inf):
        return
    finite = tensor.isfinite() | (tensor == math.inf) if infinite else tensor.isfinite()
    wrong = (~finite | (tensor < least) | (tensor > most)).nonzero()
    got = "some while they were read"  # another thread has changed the value since
    if len(wrong):
        place = wrong[0].tolist()
        got = f"{tensor[tuple(place)].item()} at {place}"
    raise out_of_range(name, limits, got)


def out_of_range(name: str, limits: Range, got: str) -> ValueError:
    """The error for a value outside the limits."""
    least, most, what, why, infinite = limits
    wanted = f"{what} {least} to {most}".lstrip()
    if most == math.inf:
        wanted = "finite values" if least == -math.inf else f"finite values of at least {least}"
    if infinite:
        wanted += " or inf, which forbids a pair"
    return ValueError(f"{name}: expected {wanted}, got {got}{why}")


def expect_permutations(name: str, source: Tensor, first: int = 0) -> None:
    """Check that each sample [h, w] is a permutation. ``first``: sample 0's number in errors."""
    if source.numel() == 0:
        return
    source = source.to(torch.int64, copy=True)  # as another thread may write to the caller's
    expect_range(name, source, indices_of(source))
    flat = source.flatten(1)
    # There are as many indices as targets, so they are a permutation if every target occurs.
    if not torch.zeros_like(flat, dtype=torch.bool).scatter_(1, flat, True).all():
        sample, index = next(
            (sample, index)
            for sample, row in enumerate(flat.tolist())
            for place, index in enumerate(row)
            if index in row[:place]
        )
        raise ValueError(
            f"{name}: expected a permutation in each sample, "
            f"got index {index} twice in sample {first + sample}"
        )


def indices_of(source: Tensor) -> Range:
    """The indices that permutations [B, h, w] are made of."""
    last = source.shape[1] * source.shape[2] - 1
    why = f" (a permutation of 0 to {last} in each sample)"
    return Range(0, last, "indices from", why)
