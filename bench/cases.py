"""What is timed and by whom: a benchmark is one function over pairs of a case and a name.

A case is a NamedTuple whose defaults are the base point, with a property ``work`` that names it
(see ``named``).
One axis at a time departs from the base: the full product would take hours and say little more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from puzzlemix import _core

REFERENCE = "reference"
SLOW_REFERENCE = "reference, 2 samples"
"""Who takes seconds: few samples, once."""


# The axes that several functions share.
GRIDS = (2, 4, 8, 16, 32, 64)
BATCHES = (1, 32, 256)
KINDS = ("smooth", "peaky", "random", "real")
"""Of saliency."""


class Ours(NamedTuple):
    """A way to run the library; the same problem, elsewhere or by more threads."""

    device: str = "cpu"
    cold: bool = False
    """With a cache that holds none of it."""
    threads: int | None = None
    """None for those of ``--threads``."""


CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
GPU = bool(_core.cuda_toolkit) and torch.cuda.is_available()

PUZZLEMIX = "puzzlemix"
THREADED = {
    f"puzzlemix, {threads} thread{'s' * (threads > 1)}": Ours(threads=threads)
    for threads in sorted({1, 2, 4, 8, CPUS})
    if threads <= CPUS
}
"""How it scales, whatever ``--threads``."""
THREADED_BATCH = 100
"""The batch on which that is measured."""
ON_GPU = {
    "puzzlemix, GPU": Ours("cuda"),
    "puzzlemix, GPU, cold cache": Ours("cuda", cold=True),
}
WAYS = {PUZZLEMIX: Ours(), **THREADED, **ON_GPU}

BASIC = (PUZZLEMIX, *(ON_GPU if GPU else ()))
"""How the library is run on every case, here."""


def one_at_a_time(base: Any, **axes: Iterable[Any]) -> list[Any]:
    """Cases that are off the base on one axis at most, and the base."""
    cases = [base._replace(**{axis: value}) for axis, values in axes.items() for value in values]
    return list(dict.fromkeys([*cases, base]))


def named(case: Any, head: str, **parts: str) -> str:
    """A piece of work in words: the head, and the fields that are off the base point, in order.

    ``named(case, "grid_min_cut 8x8", batch="batch {}")`` is "grid_min_cut 8x8, batch 1".
    """
    defaults = case._field_defaults
    given = {name: getattr(case, name) for name in parts}
    off = [parts[name].format(given[name]) for name in parts if given[name] != defaults[name]]
    return ", ".join([head, *off])


def compared(cases: Sequence[Any], by: Callable[[Any], Iterable[str]]) -> pytest.MarkDecorator:
    """Parametrise a benchmark; those who do the same work run in a row."""
    pairs = [
        pytest.param(case, name, id=f"{case.work}: {name}") for case in cases for name in by(case)
    ]
    return pytest.mark.parametrize(("case", "by"), pairs)


def on_device(by: str, given: Sequence[Tensor]) -> list[Tensor]:
    """The arguments where ``by`` wants them."""
    return [part.to(WAYS[by].device) if by in WAYS else part for part in given]
