"""The natural logarithm by additions, multiplications and one division: the same bits everywhere.

Libraries differ in the last bit of ``log``. This algorithm is FDLIBM's (Sun Microsystems, 1993,
``e_log.c``), whose error is below one unit in the last place, without the branches that FDLIBM
takes for speed. The constants are those of ``e_log.c``, in hexadecimal.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["log"]

LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""The first bits of log 2: its product with any exponent is exact."""
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
"""log 2 - LN2_HIGH."""
LG1 = float.fromhex("0x1.5555555555593p-1")
LG2 = float.fromhex("0x1.999999997fa04p-2")
LG3 = float.fromhex("0x1.2492494229359p-2")
LG4 = float.fromhex("0x1.c71c51d8e78afp-3")
LG5 = float.fromhex("0x1.7466496cb03dep-3")
LG6 = float.fromhex("0x1.39a09d078c69fp-3")
LG7 = float.fromhex("0x1.2f112df3e5244p-3")
"""LG1 to LG7: the coefficients of a polynomial in s^2, s = f/(2 + f), for (log(1 + f) - 2s)/s."""
SPLIT = float.fromhex("0x1.6a09cp0")
"""About sqrt(2): x = 2^k (1 + f) with SPLIT/2 <= 1 + f < SPLIT."""


def log(x: Tensor) -> Tensor:
    """The natural logarithm of positive, finite, normal doubles."""
    fraction, exponent = torch.frexp(x)  # fraction is at least 1/2 and below 1
    small = fraction < SPLIT / 2
    f = torch.where(small, 2 * fraction, fraction) - 1
    k = (exponent - small.to(exponent.dtype)).double()

    s = f / (2 + f)
    z = s * s
    w = z * z
    t1 = w * (LG2 + w * (LG4 + w * LG6))
    t2 = z * (LG1 + w * (LG3 + w * (LG5 + w * LG7)))
    r = t2 + t1
    half_square = 0.5 * f * f
    return k * LN2_HIGH - ((half_square - (s * (half_square + r) + k * LN2_LOW)) - f)
