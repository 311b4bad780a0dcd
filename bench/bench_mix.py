"""The mix and its gradient beside the reference, PyTorch's gather and a copy of as many bytes.

The copy reads and writes together what the work must: both images only where the mask shows both.
It goes to new memory, as the mix does.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

import puzzlemix
from puzzlemix import reference

from . import peers
from .cases import BASIC, REFERENCE, compared, named, on_device, one_at_a_time
from .instances import image_pairs, labeling_problem, smooth_saliency

COPY = "a copy of the same bytes"
GATHER = "PyTorch's gather"
KINDS = ("moved by transport", "moved at random", "whole rows")


class Mix(NamedTuple):
    """A mix of images of ``side`` pixels in grid x grid blocks."""

    function: str = "mix"
    side: int = 32
    grid: int = 8
    batch: int = 100
    kind: str = "moved by transport"

    @property
    def work(self) -> str:
        head = f"{self.function} {self.side}x{self.side}, grid {self.grid}"
        return named(self, head, batch="batch {}", kind="{}")


def mixes(function: str) -> list[Mix]:
    base = Mix(function)
    large = base._replace(side=224, grid=16, batch=32)
    return [
        *one_at_a_time(base, grid=(2, 4, 8, 16), batch=(1, 100, 256), kind=KINDS),
        base._replace(side=64, grid=16),
        large,
        large._replace(kind="whole rows"),
    ]


class Moved(NamedTuple):
    """What a mix takes beside the images."""

    mask: Tensor
    source1: Tensor
    source2: Tensor


def moved(batch: int, grid: int, kind: str) -> Moved:
    """As the solvers decide; each mask and permutation at random; or rows that stay where they
    are, each of one image or of both."""
    generator = torch.Generator().manual_seed(4)
    if kind == "whole rows":
        rows = torch.randint(3, (batch, grid, 1), generator=generator)
        still = torch.arange(grid * grid).view(1, grid, grid).repeat(batch, 1, 1)
        return Moved((rows / 2).repeat(1, 1, grid), still, still)
    if kind == "moved at random":
        mask = torch.randint(3, (batch, grid, grid), generator=generator) / 2
        keys = torch.rand((2, batch, grid * grid), generator=generator)
        return Moved(mask, *keys.argsort(2).view(2, batch, grid, grid))
    mask = puzzlemix.alpha_beta_swap(*labeling_problem(batch, grid, labels=3)).labels / 2
    s1, s2 = (smooth_saliency(batch, grid, seed) for seed in (0, 1))
    source1 = puzzlemix.masked_transport(s1, mask).source
    return Moved(mask, source1, puzzlemix.masked_transport(s2, 1 - mask).source)


def by_pytorch(by: str):
    """The mix in plain PyTorch or ours."""
    if by == GATHER:
        return peers.gathered_mix
    return (reference if by == REFERENCE else puzzlemix).mix


def time_copy(timed, numbers: float) -> None:
    """Time a copy of half of these float32 numbers: reading and writing makes them all."""
    source = torch.rand(round(numbers / 2))
    assert torch.equal(timed(source.clone), source)


@compared(mixes("mix"), lambda case: (*BASIC, COPY, GATHER, REFERENCE))
def test_mix(timed, case, by):
    x1, x2, *_ = image_pairs(timed.batch, case.side)
    given = (x1, x2, *moved(timed.batch, case.grid, case.kind))
    if by == COPY:
        both = float(((given[2] > 0) & (given[2] < 1)).float().mean())
        time_copy(timed, x1.numel() * (2 + both))
        return
    found = timed(partial(by_pytorch(by), *on_device(by, given)))
    torch.testing.assert_close(found.cpu(), reference.mix(*given))


@compared(mixes("gradient of mix"), lambda case: (*BASIC, COPY, GATHER))
def test_gradient_of_mix(timed, case, by):
    """It reads one gradient and writes two."""
    x1, x2, *_ = image_pairs(timed.batch, case.side)
    weights = torch.linspace(-1, 1, x1.numel()).view(x1.shape)
    decided = moved(timed.batch, case.grid, case.kind)
    if by == COPY:
        time_copy(timed, 3 * x1.numel())
        return

    def backward(mix, *given):
        a, b, upstream, *rest = (part.detach() for part in given)
        mixed = mix(a.requires_grad_(), b.requires_grad_(), *rest)
        return partial(torch.autograd.grad, mixed, (a, b), upstream, retain_graph=True)

    given = on_device(by, (x1, x2, weights, *decided))
    found = timed(backward(by_pytorch(by), *given))
    expected = backward(reference.mix, x1, x2, weights, *decided)()
    torch.testing.assert_close([part.cpu() for part in found], list(expected))
