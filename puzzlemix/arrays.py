"""NumPy arrays as arguments: they become tensors, and the results become arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import chain
from types import NoneType
from typing import Any, ParamSpec, TypeVar, cast, get_args

import numpy as np
import torch
from torch import Tensor

__all__ = ["accepts_numpy"]

P = ParamSpec("P")
R = TypeVar("R")


def accepts_numpy(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of tensors be called with NumPy arrays too.

    The annotations say which parameters take arrays: one of type ``Tensor`` or ``Tensor | None``
    takes nothing else; for a wider union (``float | Tensor``) an array is converted and anything
    else is left alone. If arrays are given, all of them become tensors on the CPU (without a copy
    where PyTorch can share the memory), and the tensors of the result, alone or in a named tuple,
    become arrays.

    The decorated function raises TypeError, naming the argument, for anything that is no array
    (a list, say), for an array of a type that PyTorch doesn't have, and for arrays and tensors
    mixed in one call.
    """
    signature = inspect.signature(function, eval_str=True)
    names = tuple(signature.parameters)
    # By parameter, whether it takes nothing but an array (or None, where that is allowed).
    strict: dict[str, bool] = {}
    optional: set[str] = set()
    for name, parameter in signature.parameters.items():
        kinds = get_args(parameter.annotation) or (parameter.annotation,)
        if Tensor in kinds:
            strict[name] = set(kinds) <= {Tensor, NoneType}
            if NoneType in kinds:
                optional.add(name)
    usual = Tensor if all(strict.values()) else (Tensor, float)

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        # The usual call: tensors (or a number) by position, and no arrays among the options.
        for value in args:
            if not isinstance(value, usual):
                return call_with_any(*args, **kwargs)
        for name in kwargs:
            if name in strict:
                return call_with_any(*args, **kwargs)
        return function(*args, **kwargs)

    def call_with_any(*args: P.args, **kwargs: P.kwargs) -> R:
        has_array = has_tensor = False
        # Names are cut to the number of arguments, as the compiler of PyTorch 2.4 needs equal
        # lengths.
        for name, value in chain(zip(names[: len(args)], args, strict=False), kwargs.items()):
            if name not in strict or (value is None and name in optional):
                continue
            if isinstance(value, Tensor):
                has_tensor = True
            elif isinstance(value, np.ndarray):
                has_array = True
            elif strict[name]:
                raise TypeError(
                    f"{name}: expected a tensor or a NumPy array, got {type(value).__name__}"
                )
        if not has_array:
            return function(*args, **kwargs)
        given: dict[str, Any] = dict(
            chain(zip(names[: len(args)], args, strict=False), kwargs.items())
        )
        if has_tensor:
            raise _mixture({name: given[name] for name in names if name in given})
        tensors = {
            name: _to_tensor(name, value)
            for name, value in given.items()
            if name in strict and isinstance(value, np.ndarray)
        }
        positional = [
            tensors.get(name, value) for name, value in zip(names[: len(args)], args, strict=False)
        ] + list(args[len(names) :])
        keywords = {name: tensors.get(name, value) for name, value in kwargs.items()}
        call = cast("Callable[..., R]", function)
        return cast("R", _to_numpy(call(*positional, **keywords)))

    return wrapper


def _mixture(given: dict[str, Any]) -> TypeError:
    """The error for arrays and tensors in one call, naming the first argument that differs."""
    first, *rest = (n for n, v in given.items() if isinstance(v, Tensor | np.ndarray))
    expected, other = "a NumPy array", "a tensor"
    if isinstance(given[first], Tensor):
        expected, other = other, expected
    name = next(n for n in rest if isinstance(given[n], Tensor) != isinstance(given[first], Tensor))
    return TypeError(f"{name}: expected {expected}, as {first} is, got {other}")


def _to_tensor(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    native = array.dtype.newbyteorder("=")
    try:
        if array.flags.writeable and array.dtype == native:
            try:
                return torch.from_numpy(array)
            except ValueError:
                pass  # a tensor can't have such strides: negative, or no multiple of the element
        return torch.from_numpy(np.array(array, dtype=native, order="C", copy=True))
    except TypeError:
        raise TypeError(
            f"{name}: expected an array of numbers that PyTorch has, got dtype {array.dtype}"
        ) from None


def _to_numpy(result: object) -> object:
    if isinstance(result, Tensor):
        return result.numpy()
    if isinstance(result, tuple):
        make = getattr(type(result), "_make", tuple)
        return make(map(_to_numpy, result))
    return result
