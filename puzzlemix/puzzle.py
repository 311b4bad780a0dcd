"""Puzzle Mix: a mask by a graph cut and two permutations by transport, in turns.

Kim, Choo and Song, Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, ICML
2020, section 4. The objective and its letters are those of ``objective``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import ops
from ._pairs import Pairs, blocks_of
from .results import PuzzleMixResult
from .validate import (
    PerChannel,
    expect_grids,
    expect_integer,
    expect_one_of,
    expect_pairs,
    grid_of,
    mixing_ratio,
    model_of,
    reads_values,
)

__all__ = ["Decision", "decide", "expect_methods", "puzzle_mix"]

CUTS = ("swap", "exact")
TRANSPORTS = ("approx", "exact", None)


def puzzle_mix(
    x1: Tensor,
    x2: Tensor,
    saliency1: Tensor,
    saliency2: Tensor,
    lam: float | Tensor,
    *,
    grid: int | Sequence[int],
    labels: int = 3,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    xi: float = 0.8,
    neighborhood: int = 4,
    cut: str = "swap",
    transport: str | None = "approx",
    transport_grid: int | Sequence[int] | None = None,
    cycles: int = 1,
    smoothness: str = "quadratic",
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> PuzzleMixResult:
    """Mix pairs of images so that what is salient in each stays visible.

    Decides a mask z and permutations of blocks by the objective of section 3 of the paper (see
    ``objective``), and returns z * moved x1 + (1 - z) * moved x2. Each cycle solves for the mask,
    then for the permutations, reading saliency and boundary distances through those of the cycle
    before. The first is always taken, a later one where it lowers a sample's objective.

    Args:
        x1, x2: images [B, C, Y, X], float16, bfloat16, float32 or float64. Gradients flow to them
            through the mix; what is decided counts as constant.
        saliency1, saliency2: [B, Y', X'], not negative, any floating dtype, at any resolution that
            the grids divide. It is summed over blocks and normalised; all zero is uniform.
        lam: lambda in [0, 1], the expected share of x1; a number or [B]. For images on the GPU, [B]
            may be on the CPU: it is copied, which a CUDA graph can't capture, and nothing else is.
            Under ``torch.compile`` each new number compiles again, so give [B].
        grid: blocks of the cut, a side or (rows, columns), each up to 64.
        labels: number of values of z, 2 to 16: multiples of 1/(labels - 1).
        beta: weight of label smoothness.
        gamma: weight of data smoothness, relative to beta.
        eta: weight of the prior that pulls z towards lambda.
        xi: price of moving blocks.
        neighborhood: strips along the boundaries of blocks are averaged over windows of at most
            this many pixels a side.
        cut: "swap" for alpha-beta swap, "exact" for the optimal mask given the permutations.
        transport: "approx" for the stable matching, "exact" for the cheapest permutation, None
            to leave the blocks where they are.
        transport_grid: blocks that move, as ``grid``, and a multiple of it; None for the same.
        cycles: how often both are solved, at most. On the CPU it stops once no sample improves.
        smoothness: "quadratic" as in the published code, "bilinear" for data smoothness as in the
            paper; they differ from three labels on.
        mean, std: what the images were normalised with, a number, one a channel, or a tensor of
            either: distances between pixels count in [0, 1]. None: they are in [0, 1].

    Returns:
        ``images`` like x1; ``ratio`` [B], the mean of the mask; ``mask`` [B, h, w]; ``source1`` and
        ``source2`` [B, h', w'] int64, in gather form (None without transport); ``objective`` [B]
        float64. Ratio and mask are float64 for float64 images, else float32.

    Raises:
        TypeError, ValueError: naming the argument, what was expected and what came. Values of
            tensors are read on the CPU only.
    """
    expect_pairs(x1, x2, saliency1, saliency2)
    expect_methods(cut, transport, cycles)
    model = model_of(
        x1,
        labels=labels,
        beta=beta,
        gamma=gamma,
        eta=eta,
        xi=xi,
        neighborhood=neighborhood,
        smoothness=smoothness,
        mean=mean,
        std=std,
    )
    coarse = grid_of("grid", grid)
    fine = coarse if transport_grid is None else grid_of("transport_grid", transport_grid)
    given = {"x1": x1, "saliency1": saliency1, "saliency2": saliency2}
    expect_grids(coarse, fine, given, ("grid", "transport_grid"))
    if transport is None:
        fine = coarse
    with torch.no_grad():
        pairs = Pairs(
            blocks_of("x1", x1, saliency1, coarse, fine, model),
            blocks_of("x2", x2, saliency2, coarse, fine, model),
            None,
            mixing_ratio(lam, "x1", x1),
            coarse,
            fine,
            model,
        )
        decision = decide(pairs, cut, transport, cycles)
        value = pairs.objective(*decision)
        ratio, mask = decision.ratio_and_mask(model.labels, x1.dtype)
    source1, source2 = decision.pair_of_sources()
    images = ops.mix(x1, x2, mask, source1, source2)
    return PuzzleMixResult(images, ratio, mask, source1, source2, value)


def expect_methods(cut: str, transport: str | None, cycles: int) -> None:
    """Refuse unknown names of methods and fewer than one cycle."""
    expect_one_of("cut", cut, CUTS)
    expect_one_of("transport", transport, TRANSPORTS)
    expect_integer("cycles", cycles, least=1)


class Decision(NamedTuple):
    """A mask and the permutations that go with it."""

    labels: Tensor
    """[B, h, w] int64."""
    sources: Tensor | None
    """[B, 2, h', w'] int64, or None without transport."""

    def ratio_and_mask(self, labels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The mean of the mask [B], and the mask [B, h, w], for images of ``dtype``."""
        _, height, width = self.labels.shape
        real = torch.float64 if dtype == torch.float64 else torch.float32
        # Sums of labels are exact, so each quotient is rounded once.
        ratio = self.labels.flatten(1).sum(1, dtype=real) / ((labels - 1) * height * width)
        return ratio, self.labels.to(real) / (labels - 1)

    def pair_of_sources(self) -> tuple[Tensor | None, Tensor | None]:
        """The permutations of the first and of the second image."""
        if self.sources is None:
            return None, None
        source1, source2 = self.sources.unbind(1)
        return source1, source2


def decide(pairs: Pairs, cut: str, transport: str | None, cycles: int) -> Decision:
    """Alternate cut and transport."""
    decision = _cycle(pairs, None, cut, transport)
    if cycles == 1 or transport is None:
        return decision
    value = pairs.objective(*decision)
    for _ in range(cycles - 1):
        candidate = _cycle(pairs, decision.sources, cut, transport)
        its_value = pairs.objective(*candidate)
        better = its_value < value
        if reads_values(better) and not bool(better.any()):
            break
        decision = Decision(*_where(better, candidate, decision))
        (value,) = _where(better, (its_value,), (value,))
    return decision


def _cycle(pairs: Pairs, sources: Tensor | None, cut: str, transport: str | None) -> Decision:
    """A mask for the images as they are seen, then permutations for that mask."""
    label = ops.alpha_beta_swap if cut == "swap" else ops.exact_labeling
    labels = label(*pairs.costs(sources)).labels
    return Decision(labels, None if transport is None else _move(pairs, labels, transport))


def _move(pairs: Pairs, labels: Tensor, method: str) -> Tensor:
    """Permutations [B, 2, h', w'] that bring what is salient to where each image is seen."""
    last = pairs.model.labels - 1
    masks = torch.stack((labels, last - labels), 1).double() / last
    rows, columns = (fine // cut for fine, cut in zip(pairs.fine, pairs.grid, strict=True))
    masks = _repeat(masks, rows, columns)
    moved = ops.masked_transport(
        pairs.shares.flatten(0, 1), masks.flatten(0, 1), xi=pairs.model.xi, method=method
    )
    return moved.source.view(masks.shape)


def _where(
    better: Tensor, these: Sequence[Tensor | None], those: Sequence[Tensor | None]
) -> Iterator[Tensor]:
    """These for the samples that are better, those for the rest."""
    for this, that in zip(these, those, strict=True):
        if this is not None and that is not None:
            yield torch.where(better.view(-1, *(1,) * (this.dim() - 1)), this, that)


def _repeat(values: Tensor, rows: int, columns: int) -> Tensor:
    """Each of [B, 2, h, w] as a block of rows x columns."""
    if rows == columns == 1:
        return values
    blocks = values[:, :, :, None, :, None]
    return blocks.expand(-1, -1, -1, rows, -1, columns).flatten(4).flatten(2, 3)
