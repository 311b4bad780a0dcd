"""Mixers: modules that mix a batch with itself, with the conventions of torchvision's transforms.

Each draws random numbers, makes a ``Plan`` of them, and applies it to images and labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate, get_worker_info

from . import draws
from .keywords import suggests_keywords
from .ops.mix import mixing_dtype
from .ops.puzzle import planned
from .plan import Plan, expect_labels
from .puzzle import puzzle_mix
from .results import PuzzlePlan
from .validate.elementary import (
    FLOATS,
    Grid,
    expect_device,
    expect_dtype,
    expect_integer,
    expect_number,
    expect_tensor,
)
from .validate.puzzle import (
    PerChannel,
    PuzzleOptions,
    expect_dividing,
    expect_grids,
    expect_image_shape,
    expect_numbers,
    expect_options,
    expect_saliency,
    grid_of,
)

__all__ = ["CutMix", "Cutout", "MixUp", "Mixer", "PuzzleMix"]


_STATE = "_extra_state"  # PyTorch's name for what get_extra_state returns
DEFAULT_GRIDS = (2, 4, 8, 16)
"""The published grids. Without ``grids`` a mixer uses those of them that divide the images."""


Rng = torch.Generator | None
Drawn = tuple[Tensor | None, float | Tensor, Any]
"""Partners, lambda (a number, or a float64 tensor [N] on the CPU), and what else a method draws:
the centre of a box, or the index of a grid."""


class Mixer(nn.Module):
    """The base of all mixers: their arguments, their draws, and their call.

    A mixer mixes in ``eval()`` mode too, as torchvision's does: don't call it in validation.

    Args:
        alpha: lambda is drawn from Beta(alpha, alpha), once a batch.
        num_classes: K, needed if labels are integers.
        prob: the probability with which a batch is mixed at all.
        per_sample: draw lambda (and what follows from it) once for each sample, not once a batch.
        generator: the source of all draws, on the CPU; the global random state is then left alone,
            and the generator's state is part of ``state_dict()`` (without one a mixer has no
            state). In a ``DataLoader`` worker the worker's seed is mixed in, so that workers and
            epochs differ. None: the global state.
    """

    _pairs = True
    """Whether each image gets a partner."""

    @suggests_keywords
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
        self._key = draws.key_of(self)

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
        return plan._images_of_its_batch(images), plan.labels(labels)

    def collate(self, samples: list[Any]) -> tuple[Tensor, Tensor]:
        """Mix samples (image, label) or (image, label, saliency) of a data set as one batch.

        For ``DataLoader(data, collate_fn=mixer.collate, num_workers=4)``: each worker mixes its own
        batches. It can be sent to workers however they are started.
        """
        mixed: tuple[Tensor, Tensor] = self(*default_collate(samples))
        return mixed

    def plan(
        self, images: Tensor, labels: Tensor | None = None, saliency: Tensor | None = None
    ) -> Plan:
        """Draw a plan without applying it; the arguments are those of the call."""
        expect_tensor("images", images)
        expect_dtype("images", images, FLOATS)
        found = self._expect(images, saliency)
        if labels is not None:
            expect_labels("labels", labels, self.num_classes, images.shape[0])
            expect_device("labels", labels, "images", images)
        rng = None
        if not self._is_traced():
            rng = self._rng()
            if not self._takes(rng):
                return self._one_block(None, images, 1.0)
        return self._decide(images, rng, labels, saliency, found)

    def get_extra_state(self) -> Tensor | None:
        """The generator's state."""
        return None if self.generator is None else self.generator.get_state()

    def set_extra_state(self, state: Tensor | None) -> None:
        """Set the generator to the state that ``get_extra_state`` returned."""
        if self.generator is not None and state is not None and state.numel():
            self.generator.set_state(state.cpu())

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return (
            f"alpha={self.alpha}, num_classes={self.num_classes}, prob={self.prob}, "
            f"per_sample={self.per_sample}"
        )

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: PyTorch would send a generator's state through shared memory,
        which doesn't reach a worker that is started by spawn or forkserver."""
        state = self.__dict__.copy()
        if self.generator is not None:
            state["generator"] = self.generator.get_state().numpy().tobytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if isinstance(self.generator, bytes):
            of_generator = torch.frombuffer(bytearray(self.generator), dtype=torch.uint8)
            self.generator = torch.Generator().set_state(of_generator)
        self._key = draws.key_of(self)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.generator is None:
            del destination[prefix + _STATE]

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        lists = missing_keys, unexpected_keys, error_msgs
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists)
        key = prefix + _STATE
        saved = state_dict.get(key)
        is_saved = saved is not None and saved.numel() > 0
        if self.generator is not None and saved is not None and not is_saved:
            missing_keys.append(key)
        elif self.generator is None and is_saved:
            unexpected_keys.append(key)
        elif self.generator is None and key in missing_keys:
            missing_keys.remove(key)

    def _expect(self, images: Tensor, saliency: Tensor | None) -> Any:
        """Refuse images and saliency that can't be mixed, before any draw; returns what `_decide`
        is to know of them."""
        raise NotImplementedError

    def _decide(
        self, images: Tensor, rng: Rng, labels: Tensor | None, saliency: Tensor | None, found: Any
    ) -> Plan:
        raise NotImplementedError

    def _one_block(self, index: Tensor | None, images: Tensor, lam: float | Tensor) -> Plan:
        """The plan whose mask has one block, of value lambda."""
        lam = _numbers(lam, images)
        mask = lam.view(images.shape[0], 1, 1)
        return Plan(index, lam, mask, num_classes=self.num_classes)

    def _rng(self) -> Rng:
        worker = get_worker_info()
        if self.generator is None or worker is None:
            return self.generator
        # Workers hold copies of one generator; their seeds differ between workers and epochs.
        seed = int(torch.randint(2**63 - 1, (), generator=self.generator, device="cpu"))
        return torch.Generator().manual_seed(seed ^ worker.seed)

    def _is_traced(self) -> bool:
        """Whether a compiler is tracing the call; draws then happen in an operator."""
        return torch.compiler.is_compiling()

    def _takes(self, rng: Rng) -> bool:
        """Draw whether this batch is mixed."""
        return self.prob == 1 or float(draws.uniform(1, rng)) < self.prob

    def _drawn(self, images: Tensor, rng: Rng, choices: int = 0) -> Drawn:
        """Draw partners, lambda and what else the method needs, in this order; partners on the
        device of the images."""
        drawn: Drawn
        if self._is_traced():
            drawn = draws.by_operator(self._key, images.shape[0], choices)
        else:
            drawn = self._draw(images.shape[0], rng, choices)
        index, lam, more = drawn
        if not self._pairs:
            return None, lam, more
        assert index is not None
        return index if images.is_cpu else index.to(images.device, non_blocking=True), lam, more

    def _draw(self, count: int, rng: Rng, choices: int) -> Drawn:
        index = torch.randperm(count, generator=rng, device="cpu") if self._pairs else None
        if self.per_sample:
            lam: float | Tensor = draws.beta(self.alpha, count, rng)
        else:
            lam = draws.beta_number(self.alpha, rng)
        return index, lam, self._draw_more(lam, rng, choices)

    def _draw_more(self, lam: float | Tensor, rng: Rng, choices: int) -> Any:
        return None

    def _draw_all(self, count: int, choices: int) -> draws.Draws:
        """The draws of a batch in compiled code; lambda is 1 for one that isn't to be mixed."""
        index, lams, more = self._draw_like(count)
        rng = self._rng()
        if not self._takes(rng):
            return torch.arange(count, device="cpu"), lams.fill_(1), more.zero_()
        partners, lam, others = self._draw(count, rng, choices)
        lams.copy_(torch.as_tensor(lam, device="cpu"))
        index = index if partners is None else partners
        return index, lams, more if others is None else others.view_as(more)

    def _draw_like(self, count: int) -> draws.Draws:
        """Tensors like those of `_draw_all`, with anything in them."""
        index = torch.empty(count, dtype=torch.int64, device="cpu")
        lams = torch.empty(count if self.per_sample else 1, dtype=torch.float64, device="cpu")
        return index, lams, self._more_like(lams)

    def _more_like(self, lams: Tensor) -> Tensor:
        return lams.new_empty(0)


class MixUp(Mixer):
    """Convex combinations of whole images (Zhang et al., ICLR 2018).

    Takes tensors [N, ...] of any rank: speech, features. For the arguments see ``Mixer``.
    """

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        if images.dim() == 0:
            raise ValueError("images: expected shape [N, ...], got []")

    def _decide(self, images: Tensor, rng: Rng, *_: Any) -> Plan:
        index, lam, _more = self._drawn(images, rng)
        return self._one_block(index, images, lam)


class _Box(Mixer):
    """The base of methods that put a box into each image, of area 1 - lambda before clipping."""

    def _expect(self, images: Tensor, saliency: Tensor | None) -> None:
        if images.dim() < 3:
            raise ValueError(f"images: expected shape [N, ..., Y, X], got {list(images.shape)}")

    def _decide(self, images: Tensor, rng: Rng, *_: Any) -> Plan:
        index, lam, centre = self._drawn(images, rng)
        box = self._boxes if isinstance(lam, Tensor) else self._box
        return Plan(index, *box(images, lam, centre), num_classes=self.num_classes)

    def _draw_more(self, lam: float | Tensor, rng: Rng, choices: int) -> Any:
        """Centres of boxes, in units of the image's sides: one for the batch, or [2, N]."""
        return draws.uniform((2, len(lam)) if isinstance(lam, Tensor) else 2, rng)

    def _more_like(self, lams: Tensor) -> Tensor:
        return lams.new_empty((2, len(lams)))

    def _box(self, images: Tensor, lam: Any, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Ratio [N] and mask [N, Y, X] for one box, clipped at the border: the mask is 0 inside."""
        height, width = images.shape[-2:]
        (row, column), reach = centre.tolist(), math.sqrt(1 - lam) / 2
        top, bottom = _ends(row, reach, height)
        left, right = _ends(column, reach, width)
        mask = torch.ones((height, width), dtype=mixing_dtype(images), device=images.device)
        mask[top:bottom, left:right] = 0
        ratio = 1 - (bottom - top) * (right - left) / max(height * width, 1)
        return _numbers(ratio, images), mask.expand(images.shape[0], -1, -1)

    def _boxes(self, images: Tensor, lam: Any, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Ratio [N] and mask [N, Y, X] for a box for each sample."""
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
        mask = (~(rows[:, :, None] & columns[:, None, :])).to(mixing_dtype(images))
        return _numbers(ratio, images), mask


class CutMix(_Box):
    """A box of the partner pasted into each image (Yun et al., ICCV 2019).

    The box is centred uniformly and clipped at the border; labels are mixed by the areas that
    result. For the arguments see ``Mixer``.
    """


class Cutout(_Box):
    """A box of zeros in each image, the label left alone (DeVries and Taylor, 2017).

    The box is drawn as in ``CutMix``. For the arguments see ``Mixer``.
    """

    _pairs = False


class PuzzleMix(Mixer):
    """Mixes that keep what is salient (Kim, Choo and Song, ICML 2020).

    Where saliency says nothing (it is uniform), the prior decides alone: a third of the batches
    stay as they are and a third are swapped with their partners, since most of Binomial(2, lambda)
    lies at 0 for lambda below 1/3 and at 2 above 2/3. Draw lambda from a narrower distribution then
    (a larger ``alpha``), or take ``CutMix``.

    With the published ``xi`` of 0.8 blocks hardly ever move: ``transport=None`` gives nearly the
    same mixes in less time, and a lower ``xi``, such as 0.05, is what makes transport matter.

    Args:
        alpha, num_classes, prob, per_sample, generator: see ``Mixer``.
        grids: one of them is drawn a batch; sides or (rows, columns). All must divide the images
            and their saliency; of the default ones those are taken that do (for 28 x 28 pixels 2
            and 4).
        saliency: called as ``saliency(images, labels)`` where the call of the mixer has no third
            argument; returns [N, Y', X'].
        labels: number of values of the mask, 2 to 16; with 2 each block shows one image.
        beta: weight of label smoothness: the higher, the more neighbouring blocks agree.
        gamma: weight of data smoothness, relative to beta: the higher, the more seams run where
            the images fit together.
        eta: weight of the prior: the higher, the closer each block is held to lambda.
        xi: price of moving blocks: the lower, the farther salient ones go to be seen.
        neighborhood: seams are compared after averaging over windows of at most this many pixels.
        cut: "swap" for alpha-beta swap, "exact" for the optimal mask given the permutations.
        transport: "approx" for the stable matching, "exact" for the cheapest permutation, None
            to leave the blocks where they are.
        transport_grid: blocks that move; counts for the grids that it is a multiple of, while
            grids that are finer move their own blocks. None: the blocks of the mask.
        cycles: how often mask and permutations are solved in turn, at most.
        smoothness: "quadratic" as in the published code, "bilinear" as in the paper.
        mean, std: what the images were normalised with, if they were; see ``puzzle_mix``.
    """

    @suggests_keywords
    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        grids: Sequence[int | Sequence[int]] = DEFAULT_GRIDS,
        saliency: Callable[[Tensor, Tensor | None], Tensor] | None = None,
        prob: float = 1.0,
        per_sample: bool = False,
        generator: torch.Generator | None = None,
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
        self.options = PuzzleOptions(
            labels,
            beta,
            gamma,
            eta,
            xi,
            neighborhood,
            smoothness,
            mean,
            std,
            cut,
            transport,
            cycles,
        )
        expect_options(self.options)
        expect_numbers("mean", mean)
        expect_numbers("std", std, positive=True)
        self.transport_grid = transport_grid
        self.saliency = saliency
        # Of the default grids those are taken that fit.
        self.any_grids = grids is DEFAULT_GRIDS
        # The grid of the cut and that of the transport.
        self.grids = _with_transport(
            [grid_of("grids", grid) for grid in grids],
            None if transport is None else transport_grid,
            self.any_grids,
        )

    def extra_repr(self) -> str:
        """The settings, for printing; of the options those that aren't the default."""
        given = self.options._asdict() | {"transport_grid": self.transport_grid}
        told = [f"grids={[grid for grid, _ in self.grids]}"]
        for name, default in (puzzle_mix.__kwdefaults__ or {}).items():
            if given[name] is not default and (
                not isinstance(given[name], type(default)) or given[name] != default
            ):
                told.append(f"{name}={given[name]!r}")
        return ", ".join([super().extra_repr(), *told])

    def _expect(self, images: Tensor, saliency: Tensor | None) -> list[tuple[Grid, Grid]]:
        expect_image_shape("images", images)
        if saliency is None and self.saliency is None:
            raise ValueError(
                "saliency: expected [N, Y, X] as the third argument, or a callable given to the "
                "constructor as saliency=..., got neither"
            )
        return self._dividing(images, saliency)

    def _dividing(self, images: Tensor, saliency: Tensor | None) -> list[tuple[Grid, Grid]]:
        """The grids that divide the images, and their saliency if that is given."""
        sizes = {"images": images}
        if saliency is not None:
            expect_saliency("saliency", saliency, "images", images)
            sizes["saliency"] = saliency
        if self.any_grids:
            return expect_dividing(self.grids, sizes)
        for grid, fine in self.grids:
            expect_grids(grid, fine, sizes, ("grids", "transport_grid"))
        return self.grids

    def _decide(
        self, images: Tensor, rng: Rng, labels: Tensor | None, saliency: Tensor | None, found: Any
    ) -> Plan:
        grids: list[tuple[Grid, Grid]] = found
        if saliency is None:
            assert self.saliency is not None
            with torch.no_grad():
                saliency = self.saliency(images, labels)
            grids = self._dividing(images, saliency)
        index, lam, choice = self._drawn(images, rng, len(grids))
        grid, fine = grids[int(choice) if len(grids) > 1 else 0]
        maps = saliency, saliency
        mask, ratio, source1, source2, _ = _in_words_of_a_mixer(
            planned, images, images, *maps, lam, index, grid, fine, self.options, False
        )
        return Plan(index, ratio, mask, source1, source2, self.num_classes)

    def _is_traced(self) -> bool:
        # torch.compile needs one shape of mask, and a solve in every call.
        return super()._is_traced() and self.prob == 1 and len(self.grids) == 1

    def _draw_more(self, lam: float | Tensor, rng: Rng, choices: int) -> Any:
        return torch.randint(choices, (), generator=rng, device="cpu")

    def _more_like(self, lams: Tensor) -> Tensor:
        return lams.new_empty((), dtype=torch.int64)


def _in_words_of_a_mixer(decide: Callable[..., PuzzlePlan], *problem: Any) -> PuzzlePlan:
    """Reword an error for a mixer's arguments: both images, and both maps, come from one batch."""
    try:
        return decide(*problem)
    except (TypeError, ValueError) as error:
        words = re.sub(r"\b(x|saliency)[12]\b", lambda m: _NAMES[m[1]], str(error))
        raise type(error)(words) from None


_NAMES = {"x": "images", "saliency": "saliency"}


def _with_transport(
    grids: Sequence[Grid], fine: int | Sequence[int] | None, any_will_do: bool
) -> list[tuple[Grid, Grid]]:
    """Each grid with the grid on which its blocks move."""
    if fine is None:
        return [(grid, grid) for grid in grids]
    rows, columns = grid_of("transport_grid", fine)
    pairs = []
    for grid in grids:
        if rows % grid[0] == 0 and columns % grid[1] == 0:
            pairs.append((grid, (rows, columns)))
        elif grid[0] % rows == 0 and grid[1] % columns == 0:
            pairs.append((grid, grid))
        elif not any_will_do:
            break
    if pairs and (any_will_do or len(pairs) == len(grids)):
        return pairs
    raise ValueError(
        f"transport_grid: expected a multiple of every grid, or a grid that divides it, "
        f"got {rows}x{columns} beside {grid[0]}x{grid[1]}"
    )


def _numbers(value: float | Tensor, images: Tensor) -> Tensor:
    """A number or a tensor [N], as a tensor [N] on the images' device."""
    if isinstance(value, Tensor):
        return value.to(images.device, mixing_dtype(images), non_blocking=True)
    return torch.full((images.shape[0],), value, dtype=mixing_dtype(images), device=images.device)


def _ends(centre: float, reach: float, size: int) -> tuple[int, int]:
    """The first pixel of a box along an axis, and the one after its last."""
    low, high = (min(max(end, 0.0), 1.0) for end in (centre - reach, centre + reach))
    return round(low * size), round(high * size)
