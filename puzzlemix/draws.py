"""The random numbers of mixers: uniform and Beta variates, and an operator for compiled code.

Compilers neither trace a generator nor take it as an operator's argument. So compiled code calls
the operator ``draw`` with a key, by which that finds a mixer, and the mixer draws.
"""

from __future__ import annotations

import itertools
import math
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from .ops.border import OPERATORS, library

__all__ = ["Draws", "beta", "beta_number", "by_operator", "key_of", "uniform"]

Draws = tuple[Tensor, Tensor, Tensor]
"""Partners, lambda, and what else a mixer draws."""


def uniform(shape: int | tuple[int, ...], rng: torch.Generator | None) -> Tensor:
    """Draws from [0, 1), float64."""
    return torch.rand(shape, generator=rng, dtype=torch.float64, device="cpu")


def beta(alpha: float, count: int, rng: torch.Generator | None) -> Tensor:
    """Draws from Beta(alpha, alpha), [count] float64.

    A Beta variate is X / (X + Y) of two Gamma(alpha) variates, and Gamma(alpha) is
    Gamma(alpha + 1) times U^(1/alpha). Computed by logarithms, as for a small alpha X and Y would
    both underflow to 0.
    """
    if count == 1:
        return torch.tensor([beta_number(alpha, rng)], dtype=torch.float64, device="cpu")
    shape = torch.full((2, count), alpha + 1, dtype=torch.float64, device="cpu")
    gamma = torch._standard_gamma(shape, generator=rng)
    # xlogy rather than log, because MKL's threads in log may wait milliseconds for a busy core.
    logarithm = torch.xlogy(1.0, gamma) + (-uniform((2, count), rng)).log1p() / alpha
    return (logarithm[0] - logarithm[1]).sigmoid()


def beta_number(alpha: float, rng: torch.Generator | None) -> float:
    """One draw as a Python number, without the eight tensor operations of `beta` (10 us)."""
    shape = torch.full((2,), alpha + 1, dtype=torch.float64, device="cpu")
    gamma1, gamma2 = torch._standard_gamma(shape, generator=rng).tolist()
    uniform1, uniform2 = uniform(2, rng).tolist()
    one = math.log(gamma1) + math.log1p(-uniform1) / alpha
    other = math.log(gamma2) + math.log1p(-uniform2) / alpha
    small = math.exp(-abs(one - other))
    return (1 if one >= other else small) / (1 + small)


# ---- Draws within compiled code -----------------------------------------------------------------


def key_of(mixer: Any) -> int:
    """A new key, by which the operator finds the mixer for as long as that lives."""
    key = next(_keys)
    _mixers[key] = mixer
    return key


def by_operator(key: int, count: int, choices: int) -> Draws:
    """What the mixer draws for a batch, lambda as [count]; compiled code draws anew at each run."""
    partners, lam, more = OPERATORS.draw.default(_turn, key, count, choices)
    return partners, lam.expand(count), more


_mixers: WeakValueDictionary[int, Any] = WeakValueDictionary()
_keys = itertools.count()
_turn = torch.zeros(1, device="cpu")
"""Each draw declares to compilers that it writes this: so they keep draws in order and apart."""


def _draw(turn: Tensor, key: int, count: int, choices: int) -> Draws:
    drawn: Draws = _mixers[key]._draw_all(count, choices)
    return drawn


def _draw_like(turn: Tensor, key: int, count: int, choices: int) -> Draws:
    drawn: Draws = _mixers[key]._draw_like(count)
    return drawn


library.define(
    "draw(Tensor(a!) turn, int mixer, SymInt count, int choices) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.nondeterministic_seeded,),
)
library.impl("draw", _draw, "CPU")
torch.library.register_fake("puzzlemix::draw", _draw_like, lib=library)
