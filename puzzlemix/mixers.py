"""Mixers of a batch with itself, with the conventions of torchvision's transforms of this kind.

Each draws from its distribution, decides a ``Plan``, and applies it to images and labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from .ops.puzzle import planned
from .plan import Plan, expect_classes
from .puzzle import puzzle_mix
from .results import PuzzlePlan
from .validate import (
    FLOATS,
    Grid,
    PuzzleOptions,
    expect_divides,
    expect_dtype,
    expect_grids,
    expect_images,
    expect_integer,
    expect_number,
    expect_options,
    expect_saliency,
    expect_tensor,
    grid_of,
)

__all__ = ["CutMix", "Cutout", "MixUp", "Mixer", "PuzzleMix"]


class Mixer(nn.Module):
    """What all mixers share: the draws, and the call.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha), once a batch.
        num_classes: K, needed where labels are integers.
        prob: the probability with which a batch is mixed at all.
        per_sample: draw lambda (and what follows from it) for each sample on its own.
        generator: the source of all draws, on the CPU; the global random state is then left alone,
            and the generator's state is part of ``state_dict()``. In a ``DataLoader`` worker the
            worker's seed is mixed in, so that workers and epochs differ. None: the global state.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        prob: float = 1.0,
        per_sample: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        expect_number("alpha", alpha)
        if not alpha > 0:
            raise ValueError(f"alpha: expected a number above 0, got {alpha}")
        if num_classes is not None:
            expect_integer("num_classes", num_classes, least=1)
        expect_number("prob", prob, least=0, most=1)
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator: expected a torch.Generator or None, got {type(generator).__name__}"
            )
        if generator is not None and generator.device.type != "cpu":
            raise ValueError(f"generator: expected one on the CPU, got {generator.device}")
        self.alpha = float(alpha)
        self.num_classes = num_classes
        self.prob = float(prob)
        self.per_sample = per_sample
        self.generator = generator

    def forward(
        self, images: Tensor, labels: Tensor, saliency: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: [N, C, Y, X] of a floating dtype.
            labels: [N] integers or weights [N, K].
            saliency: [N, Y', X'], read by ``PuzzleMix`` alone.

        Returns:
            New images like the old, and weights [N, K] float32.
        """
        plan = self.plan(images, labels, saliency)
        return plan.images(images), plan.labels(labels)

    def plan(
        self, images: Tensor, labels: Tensor | None = None, saliency: Tensor | None = None
    ) -> Plan:
        """Draw and decide, without mixing yet; the arguments are those of the call."""
        expect_tensor("images", images)
        expect_dtype("images", images, FLOATS)
        self._expect(images, saliency)
        if labels is not None:
            self._expect_labels(images, labels)
        rng = self._rng()
        if self.prob < 1 and float(_uniform(1, rng)) >= self.prob:
            return self._one_block(None, images, 1.0)
        return self._decide(images, labels, saliency, rng)

    def get_extra_state(self) -> Tensor:
        """The generator's state; empty without one."""
        if self.generator is None:
            return torch.empty(0, dtype=torch.uint8)
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Resume the draws where ``get_extra_state`` was called."""
        if (state.numel() == 0) != (self.generator is None):
            has = "no generator" if self.generator is None else "a generator"
            had = "none" if state.numel() == 0 else "one"
            raise ValueError(f"state_dict: this mixer has {has}, the one that was saved had {had}")
        if self.generator is not None:
            self.generator.set_state(state.cpu())

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return (
            f"alpha={self.alpha}, num_classes={self.num_classes}, prob={self.prob}, "
            f"per_sample={self.per_sample}"
        )

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        """Refuse what can't be mixed, before any draw."""
        raise NotImplementedError

    def _decide(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        raise NotImplementedError

    def _one_block(self, index: Tensor | None, images: Tensor, lam: float | Tensor) -> Plan:
        """The plan of one lambda for a whole image."""
        lam = _numbers(lam, images)
        mask = lam.view(len(images), 1, 1)
        return Plan(index, lam, mask, num_classes=self.num_classes)

    def _expect_labels(self, images: Tensor, labels: Tensor) -> None:
        expect_tensor("labels", labels)
        if labels.dim() not in (1, 2) or len(labels) != len(images):
            raise ValueError(
                f"labels: expected shape [N] or [N, K] with N = {len(images)}, as in images, "
                f"got {list(labels.shape)}"
            )
        if labels.dim() == 1:
            expect_classes("labels", labels, self.num_classes)
        elif self.num_classes is not None and labels.shape[1] != self.num_classes:
            raise ValueError(
                f"labels: expected integers [N] or weights [N, K] with K = num_classes = "
                f"{self.num_classes}, got shape {list(labels.shape)}"
            )

    def _rng(self) -> torch.Generator | None:
        worker = get_worker_info()
        if self.generator is None or worker is None:
            return self.generator
        # All workers hold copies of one generator, and their seeds differ, from epoch to epoch too.
        seed = int(torch.randint(2**63 - 1, (), generator=self.generator, device="cpu"))
        return torch.Generator().manual_seed(seed ^ worker.seed)

    def _lam(self, images: Tensor, rng: torch.Generator | None) -> float | Tensor:
        """lambda: a number, or one a sample on the CPU in float64."""
        if self.per_sample:
            return _beta(self.alpha, len(images), rng)
        return _beta_number(self.alpha, rng)


class MixUp(Mixer):
    """Convex combinations of whole images (Zhang et al., ICLR 2018).

    Takes tensors [N, ...] of any rank: speech, features. For the arguments see ``Mixer``.
    """

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        if images.dim() == 0:
            raise ValueError("images: expected shape [N, ...], got []")

    def _decide(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        index = _partners(images, rng)
        return self._one_block(index, images, self._lam(images, rng))


class _Box(Mixer):
    """A box of another image, or of none, over each image: 1 - lambda of it, where it fits."""

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        if images.dim() < 3:
            raise ValueError(f"images: expected shape [N, ..., Y, X], got {list(images.shape)}")

    def _box(self, images: Tensor, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Ratio [N] and mask [N, Y, X]: 0 in the box, and the box ends where the image does."""
        lam = self._lam(images, rng)
        if isinstance(lam, Tensor):
            return self._boxes(images, lam, _uniform((2, len(lam)), rng))
        height, width = images.shape[-2:]
        centre, reach = _uniform(2, rng).tolist(), math.sqrt(1 - lam) / 2
        top, bottom = _ends(centre[0], reach, height)
        left, right = _ends(centre[1], reach, width)
        mask = torch.ones((height, width), dtype=_real(images), device=images.device)
        mask[top:bottom, left:right] = 0
        ratio = 1 - (bottom - top) * (right - left) / max(height * width, 1)
        return _numbers(ratio, images), mask.expand(len(images), -1, -1)

    def _boxes(self, images: Tensor, lam: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """A box for each sample."""
        sizes = torch.tensor(images.shape[-2:], dtype=torch.float64, device="cpu")[:, None]
        reach = (1 - lam).sqrt() / 2
        ends = torch.stack((centre - reach, centre + reach)).clamp(0, 1).mul(sizes).round()
        ratio = 1 - (ends[1] - ends[0]).prod(0) / sizes.prod()
        # Low and high ends, by rows and columns: [2, 2, N].
        ends = ends.to(images.device, non_blocking=True)
        rows, columns = (
            (place >= low[:, None]) & (place < high[:, None])
            for low, high, place in zip(
                *ends,
                (torch.arange(n, device=images.device) for n in images.shape[-2:]),
                strict=True,
            )
        )
        mask = (~(rows[:, :, None] & columns[:, None, :])).to(_real(images))
        return _numbers(ratio, images), mask


class CutMix(_Box):
    """A box of the partner pasted into each image (Yun et al., ICCV 2019).

    The box is centred uniformly and clipped at the border; the label counts the pixels really
    there. For the arguments see ``Mixer``.
    """

    def _decide(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        index = _partners(images, rng)
        return Plan(index, *self._box(images, rng), num_classes=self.num_classes)


class Cutout(_Box):
    """A box of zeros in each image, the label left alone (DeVries and Taylor, 2017).

    The box is drawn as that of ``CutMix``. For the arguments see ``Mixer``.
    """

    def _decide(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        return Plan(None, *self._box(images, rng), num_classes=self.num_classes)


class PuzzleMix(Mixer):
    """Mixes that keep what is salient (Kim, Choo and Song, ICML 2020).

    Args:
        alpha, num_classes, prob, per_sample, generator: see ``Mixer``.
        grids: one of them is drawn a batch; sides or (rows, columns). All must divide the images
            and their saliency.
        saliency: called as ``saliency(images, labels)`` where the call of the mixer has no third
            argument; returns [N, Y', X'].
        **options: of ``puzzle_mix``. ``transport_grid`` counts for the grids that it is a multiple
            of; grids that are finer move their own blocks.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        grids: Sequence[int | Sequence[int]] = (2, 4, 8, 16),
        saliency: Callable[[Tensor, Tensor | None], Tensor] | None = None,
        prob: float = 1.0,
        per_sample: bool = False,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            alpha=alpha,
            num_classes=num_classes,
            prob=prob,
            per_sample=per_sample,
            generator=generator,
        )
        if saliency is not None and not callable(saliency):
            raise TypeError(
                "saliency: expected a callable (images, labels) -> [N, Y, X] or None, "
                f"got {type(saliency).__name__}"
            )
        if isinstance(grids, str) or not isinstance(grids, Sequence) or not grids:
            raise TypeError(f"grids: expected a sequence of one grid or more, got {grids!r}")
        self.given = options
        self.options, fine = _puzzle_options(options)
        # The grid of the cut and that of the transport.
        self.grids = [_with_transport(grid_of("grids", grid), fine) for grid in grids]
        self.saliency = saliency

    def extra_repr(self) -> str:
        """The settings, for printing."""
        grids = [grid for grid, _ in self.grids]
        given = [f"{name}={value!r}" for name, value in self.given.items()]
        return ", ".join([super().extra_repr(), f"grids={grids}", *given])

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        expect_images("images", images)
        if saliency is None and self.saliency is None:
            raise ValueError(
                "saliency: expected [N, Y, X] as the third argument, or a callable given to the "
                "constructor as saliency=..., got neither"
            )
        for grid, fine in self.grids:
            expect_grids(grid, fine, {"images": images}, ("grids", "transport_grid"))
        if saliency is not None:
            self._expect_saliency(images, saliency)

    def _expect_saliency(self, images: Tensor, saliency: Tensor) -> None:
        expect_saliency("saliency", saliency, "images", images)
        for grid, fine in self.grids:
            expect_divides("grids", grid, "saliency", saliency.shape)
            expect_divides("transport_grid", fine, "saliency", saliency.shape)

    def _decide(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        with torch.no_grad():
            return self._solve(images, labels, saliency, rng)

    def _solve(
        self,
        images: Tensor,
        labels: Tensor | None,
        saliency: Tensor | None,
        rng: torch.Generator | None,
    ) -> Plan:
        if saliency is None:
            assert self.saliency is not None
            saliency = self.saliency(images, labels)
            self._expect_saliency(images, saliency)
        index = _partners(images, rng)
        lam = self._lam(images, rng)
        choice = int(torch.randint(len(self.grids), (), generator=rng, device="cpu"))
        grid, fine = self.grids[choice]
        plan = _in_words_of_a_mixer(
            planned, images, images, saliency, saliency, lam, index, grid, fine, self.options
        )
        return Plan(
            index,
            plan.ratio,
            plan.mask,
            plan.source1,
            plan.source2,
            num_classes=self.num_classes,
        )


_DEFAULTS: dict[str, Any] = dict(puzzle_mix.__kwdefaults__ or {})


def _puzzle_options(
    options: dict[str, Any],
) -> tuple[PuzzleOptions, int | Sequence[int] | None]:
    """The options of puzzle_mix, those given and the defaults of the others; the finer grid."""
    unknown = sorted(options.keys() - _DEFAULTS.keys())
    if unknown:
        raise TypeError(
            f"{unknown[0]}: expected one of the options {', '.join(_DEFAULTS)}, got {unknown[0]!r}"
        )
    every = _DEFAULTS | options
    fine = every.pop("transport_grid")
    checked = PuzzleOptions(**every)
    expect_options(checked)
    return checked, None if checked.transport is None else fine


def _in_words_of_a_mixer(decide: Callable[..., PuzzlePlan], *problem: Any) -> PuzzlePlan:
    """Name what a mixer was given: both images of a pair, and both maps, are of one batch."""
    try:
        return decide(*problem)
    except (TypeError, ValueError) as error:
        words = re.sub(r"\b(x|saliency)[12]\b", lambda m: _NAMES[m[1]], str(error))
        raise type(error)(words) from None


_NAMES = {"x": "images", "saliency": "saliency"}


def _with_transport(grid: Grid, fine: int | Sequence[int] | None) -> tuple[Grid, Grid]:
    """The grid on which the blocks of a cut's grid move."""
    if fine is None:
        return grid, grid
    rows, columns = grid_of("transport_grid", fine)
    if rows % grid[0] == 0 and columns % grid[1] == 0:
        return grid, (rows, columns)
    if grid[0] % rows == 0 and grid[1] % columns == 0:
        return grid, grid
    raise ValueError(
        f"transport_grid: expected a multiple of every grid, or a grid that divides it, "
        f"got {rows}x{columns} beside {grid[0]}x{grid[1]}"
    )


def _real(images: Tensor) -> torch.dtype:
    """The dtype of ratio and mask."""
    return torch.float64 if images.dtype == torch.float64 else torch.float32


def _numbers(value: float | Tensor, images: Tensor) -> Tensor:
    """A number, or one a sample, as [N] beside the images."""
    if isinstance(value, Tensor):
        return value.to(images.device, _real(images), non_blocking=True)
    return torch.full((len(images),), value, dtype=_real(images), device=images.device)


def _ends(centre: float, reach: float, size: int) -> tuple[int, int]:
    """The pixels from which and up to which a box reaches along an axis."""
    low, high = (min(max(end, 0.0), 1.0) for end in (centre - reach, centre + reach))
    return round(low * size), round(high * size)


def _partners(images: Tensor, rng: torch.Generator | None) -> Tensor:
    index = torch.randperm(len(images), generator=rng, device="cpu")
    return index if images.is_cpu else index.to(images.device, non_blocking=True)


def _uniform(shape: int | tuple[int, ...], rng: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=rng, dtype=torch.float64, device="cpu")


def _beta(alpha: float, count: int, rng: torch.Generator | None) -> Tensor:
    """Draws from Beta(alpha, alpha), [count] float64.

    Gamma(alpha) is Gamma(alpha + 1) times U^(1/alpha). The quotient is taken by logarithms: for a
    small alpha both variates would underflow, and their quotient would be anything.
    """
    if count == 1:
        return torch.tensor([_beta_number(alpha, rng)], dtype=torch.float64, device="cpu")
    shape = torch.full((2, count), alpha + 1, dtype=torch.float64, device="cpu")
    gamma = torch._standard_gamma(shape, generator=rng)
    logarithm = gamma.log() + (-_uniform((2, count), rng)).log1p() / alpha
    return (logarithm[0] - logarithm[1]).sigmoid()


def _beta_number(alpha: float, rng: torch.Generator | None) -> float:
    """One draw, in Python's numbers: eight operations on a tensor would take 10 us."""
    shape = torch.full((2,), alpha + 1, dtype=torch.float64, device="cpu")
    gamma1, gamma2 = torch._standard_gamma(shape, generator=rng).tolist()
    uniform1, uniform2 = _uniform(2, rng).tolist()
    one = math.log(gamma1) + math.log1p(-uniform1) / alpha
    other = math.log(gamma2) + math.log1p(-uniform2) / alpha
    small = math.exp(-abs(one - other))
    return (1 if one >= other else small) / (1 + small)
