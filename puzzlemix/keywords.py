"""Keyword arguments: a near miss is answered with the name that was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from functools import WRAPPER_ASSIGNMENTS, wraps
from typing import ParamSpec, TypeVar

__all__ = ["suggests_keywords"]

P = ParamSpec("P")
R = TypeVar("R")


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which answers ``grid=`` by asking whether ``grids`` was meant; a method all of
    whose arguments are keywords also says so when one comes without its name.

    Python says the first by itself from 3.13 on, in these words. A name that is like none the
    function takes is left to Python's own TypeError.
    """
    parameters = inspect.signature(function).parameters
    known = frozenset(parameters)
    first, *others = parameters.values()
    only_keywords = first.name == "self" and all(p.kind is p.KEYWORD_ONLY for p in others)

    @wraps(function, assigned=(*WRAPPER_ASSIGNMENTS, "__kwdefaults__"))
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if only_keywords and len(args) > 1:
            raise TypeError(
                f"{function.__qualname__}() takes keyword arguments only, got {args[1]!r}"
            )
        if not known.issuperset(kwargs):
            for name in kwargs:
                if name not in known and (meant := get_close_matches(name, known, 1)):
                    raise TypeError(
                        f"{function.__qualname__}() got an unexpected keyword argument {name!r}. "
                        f"Did you mean {meant[0]!r}?"
                    )
        return function(*args, **kwargs)

    return wrapper
