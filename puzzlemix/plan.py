"""A plan: what a method of mixing decides, and the one formula that applies it.

Every method mixes each sample with a partner: z * P1 x + (1 - z) * P2 x[index]. Input mixup has one
block with z = lambda, CutMix pixels as blocks with z = 0 in a box, Puzzle Mix all of it. A plan may
be applied to anything that is aligned with the images: a teacher's view, segmentation maps, a
second modality.

Letters: N batch, C channels, Y x X pixels, h x w the mask's grid, h' x w' that of the
permutations, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from .ops.mix import are_classes, mix_labels, mix_tensors
from .validate.elementary import (
    FLOATS,
    INTEGERS,
    expect_device,
    expect_dtype,
    expect_tensor,
    reads_values,
)

__all__ = ["Plan", "expect_labels", "weights_of"]

# For each integer type, a type of equal size as which its bits are mixed: whole numbers stay exact.
_SIGNED = {
    torch.bool: torch.uint8,
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
} | {dtype: dtype for dtype in INTEGERS}
_MIXED = (*FLOATS, *_SIGNED)


@dataclass(eq=False)
class Plan:
    """A decision for each sample of a batch, as tensors.

    It can be saved (``torch.save``, also loaded with ``weights_only=True``), pickled, moved
    (``to``), indexed and sliced like a tensor, stacked, joined (``cat``), and collated by
    ``torch.utils.data.default_collate``. A plan indexed with an integer is of one sample: its
    tensors lack the first dimension, and so do the images and labels that it takes.
    """

    index: Tensor | None
    """[N] int64, each sample's partner: a row of the batch. None is an empty partner: zeros instead
    of an image, while labels stay as they are."""
    ratio: Tensor
    """[N], the sample's own share of its label: the mean of the mask."""
    mask: Tensor
    """[N, h, w], z in [0, 1]: the sample's own share in each block."""
    source1: Tensor | None = None
    """[N, h', w'] int64, the permutation of the sample's blocks in gather form; None: unmoved."""
    source2: Tensor | None = None
    """[N, h', w'] int64, the permutation of the partner's blocks."""
    num_classes: int | None = None
    """K, the number of classes, which integer labels need to become weights."""

    def images(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """Mix images, or whatever is aligned with them.

        Integers and booleans are not averaged, as the mean of two class numbers is another class:
        each pixel is taken from the image with the larger share there, the sample's own on a tie.
        So a segmentation map keeps its classes; without a partner hidden pixels become 0.

        Args:
            x: [N, ..., Y, X] of a floating or integer dtype, or bool; grids divide the last two
                dimensions. If no grid has more than one row, [N, X] is allowed, and with one block
                [N].
            batch: the tensor that ``index`` points into, if that isn't ``x``: the whole batch, if
                the plan is a part of one.

        Returns:
            A new tensor like ``x``, of its dtype and memory format; where that is a floating one,
            differentiable in ``x`` and ``batch``.
        """
        expect_tensor("x", x)
        expect_dtype("x", x, _MIXED)
        if self.ratio.dim() == 0:
            return self._as_batch().images(x[None], batch)[0]
        self._expect_rows("x", x)
        whole = None if self.index is None else self._whole("x", x, batch)
        try:
            return self._mixed(x, whole) if x.dtype in FLOATS else self._chosen(x, whole)
        except ValueError:  # it may be about partners, which the plan can name better
            self._expect_partners("x" if batch is None else "batch", whole)
            raise

    def labels(self, y: Tensor, batch: Tensor | None = None) -> Tensor:
        """Mix labels: ratio * y + (1 - ratio) * y[index].

        Args:
            y: [N] integers, which need ``num_classes``, or weights [N, K].
            batch: the labels that ``index`` points into, if these aren't ``y``.

        Returns:
            Weights [N, K] float32.
        """
        expect_tensor("y", y)
        if self.ratio.dim() == 0:
            return self._as_batch().labels(y[None], batch)[0]
        self._expect_rows("y", y)
        whole = y if batch is None else batch
        if self.index is not None:
            expect_device("y", y, "ratio", self.ratio)
            if y.dim() == whole.dim() == 1 and _are_here(y):
                return self._mixed_classes(y, whole, "y" if batch is None else "batch")
        own = weights_of("y", y, self.num_classes)
        if self.index is None:
            return own.clone() if own is y else own
        whole = own if batch is None else weights_of("batch", batch, self.num_classes)
        whole = self._whole("y", own, whole)
        try:
            partner = whole.index_select(0, self.index)
        except (IndexError, RuntimeError):
            self._expect_partners("y" if batch is None else "batch", whole)
            raise
        ratio = self.ratio.to(torch.float32).unsqueeze(1)
        return own.mul(ratio).add_(partner.mul_(1 - ratio))

    def to(
        self,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        non_blocking: bool = False,
    ) -> Plan:
        """The plan on a device; ratio and mask get the ``dtype``."""

        def moved(tensor: Tensor) -> Tensor:
            own = dtype if tensor.is_floating_point() else None
            return tensor.to(device, own, non_blocking=non_blocking)

        return self._map(moved)

    def pin_memory(self) -> Plan:
        """The plan in pinned memory: called by ``DataLoader(pin_memory=True)``."""
        return self._map(Tensor.pin_memory)

    def __len__(self) -> int:
        return len(self.ratio)

    def __getitem__(self, item: Any) -> Plan:
        """Some samples, or one; ``index`` still points into the whole batch."""
        return self._map(lambda tensor: tensor[item])

    @staticmethod
    def stack(plans: Sequence[Plan]) -> Plan:
        """Plans of one sample each, of one batch, as a plan of several."""
        return _joined(plans, torch.stack, "stack")

    @staticmethod
    def cat(plans: Sequence[Plan]) -> Plan:
        """Plans of several batches as the plan of these batches joined."""
        starts = [0]
        for plan in plans:
            starts.append(starts[-1] + len(plan))
        shifted = [
            plan if plan.index is None else replace(plan, index=plan.index + start)
            for plan, start in zip(plans, starts, strict=False)
        ]
        return _joined(shifted, torch.cat, "cat")

    def _map(self, function: Callable[[Tensor], Tensor]) -> Plan:
        parts: dict[str, Any] = {name: getattr(self, name) for name in _TENSORS}
        for name, part in parts.items():
            if part is not None:
                parts[name] = function(part)
        return replace(self, **parts)

    def _as_batch(self) -> Plan:
        return self._map(lambda tensor: tensor[None])

    def _images_of_its_batch(self, x: Tensor) -> Tensor:
        """`images` of the floating batch that a mixer has just made this plan for: the values of
        mask, permutations and index aren't checked again."""
        return self._mixed(x, None if self.index is None else x, trusted=True)

    def _mixed(self, x: Tensor, whole: Tensor | None, trusted: bool = False) -> Tensor:
        given = self.mask, self.source1, self.source2, self.index, trusted
        if x.dim() == 4:
            return mix_tensors(x, whole, *given)
        mixed = mix_tensors(_planes(x), None if whole is None else _planes(whole), *given)
        return _shaped(mixed, x)

    def _chosen(self, x: Tensor, whole: Tensor | None) -> Tensor:
        """Mix integers or booleans: each pixel is taken from the image with the larger share."""
        plan = replace(self, mask=(self.mask >= 0.5).to(self.mask.dtype))
        kind = _SIGNED[x.dtype]
        real = torch.float64 if kind.itemsize > 2 else torch.float32

        def mixed(part: Callable[[Tensor], Tensor]) -> Tensor:
            own = part(x.view(kind)).to(real)
            if whole is None or whole is x:
                return plan._mixed(own, own if whole is x else None).to(kind)
            return plan._mixed(own, part(whole.view(kind)).to(real)).to(kind)

        if kind != torch.int64:
            return mixed(lambda part: part).view(x.dtype)
        # A double holds 53 bits, so the upper and the lower 32 bits are mixed separately.
        upper, lower = mixed(lambda part: part >> 32), mixed(lambda part: part & 0xFFFFFFFF)
        return (upper << 32 | lower).view(x.dtype)

    def _mixed_classes(self, y: Tensor, whole: Tensor, name: str) -> Tensor:
        """The mixed weights of class numbers on the CPU, in one pass."""
        count = _expect_layout("y", y, self.num_classes)
        if whole is not y:
            expect_device(name, whole, "y", y)
            expect_labels(name, whole, self.num_classes)
        weights = torch.empty(y.shape[0], count, dtype=torch.float32, device="cpu")
        if not mix_labels(y, whole, self.ratio, self.index, weights):
            _expect_classes("y", y, count)
            self._expect_partners(name, whole)
        return weights

    def _whole(self, name: str, x: Tensor, batch: Tensor | None) -> Tensor:
        """The batch that ``index`` points into, checked."""
        if batch is None:
            return x
        if batch.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"batch: expected rows like those of {name}, {list(x.shape[1:])}, "
                f"got {list(batch.shape[1:])}"
            )
        if batch.dtype != x.dtype:
            raise TypeError(f"batch: expected the dtype of {name}, {x.dtype}, got {batch.dtype}")
        expect_device("batch", batch, name, x)
        return batch

    def _expect_partners(self, name: str, whole: Tensor | None) -> None:
        """Refuse an index that points beyond the batch; called after something else has failed."""
        if whole is None or self.index is None or not reads_values(self.index) or not len(self):
            return
        least, most = int(self.index.min()), int(self.index.max())
        if least < 0:
            raise ValueError(f"index: expected rows of the batch, from 0, got {least}")
        if most >= len(whole):
            raise ValueError(
                f"{name}: expected at least {most + 1} rows, those that the plan's index names, "
                f"got {len(whole)}; for a part of a plan give the whole batch as `batch`"
            )

    def _expect_rows(self, name: str, x: Tensor) -> None:
        if self.ratio.dim() != 1:
            raise ValueError(f"ratio: expected shape [N], got {list(self.ratio.shape)}")
        if self.index is not None:
            if self.index.shape != self.ratio.shape:
                raise ValueError(
                    f"index: expected shape [N] with N = {len(self)}, as in ratio, "
                    f"got {list(self.index.shape)}"
                )
            expect_device("index", self.index, "ratio", self.ratio)
        if x.dim() == 0 or x.shape[0] != self.ratio.shape[0]:
            raise ValueError(
                f"{name}: expected {len(self)} rows, as many as the plan has samples, "
                f"got shape {list(x.shape)}"
            )


def weights_of(name: str, y: Tensor, num_classes: int | None) -> Tensor:
    """Labels as weights [N, K] float32; ``name`` is the argument's, for errors."""
    count = expect_labels(name, y, num_classes)
    if y.dim() == 2:
        return y.to(torch.float32)
    if _are_here(y):
        weights = torch.empty(y.shape[0], count, dtype=torch.float32, device="cpu")
        mix_labels(y, None, None, None, weights)
        return weights
    # If values are unchecked, a class out of range gives a row of zeros.
    return (y[:, None] == torch.arange(count, device=y.device)).to(torch.float32)


def expect_labels(name: str, y: Tensor, num_classes: int | None, rows: int | None = None) -> int:
    """Refuse labels that are neither class numbers [N] nor weights [N, K]; returns K.

    Class numbers are checked unless that would wait for a device. ``rows`` is N, the number of
    images.
    """
    count = _expect_layout(name, y, num_classes, rows)
    if y.dim() == 1:
        _expect_classes(name, y, count)
    return count


def _expect_layout(name: str, y: Tensor, num_classes: int | None, rows: int | None = None) -> int:
    """Check all of labels but the values of class numbers; returns K."""
    expect_tensor(name, y)
    if rows is not None and (y.dim() not in (1, 2) or y.shape[0] != rows):
        raise ValueError(
            f"{name}: expected shape [N] or [N, K] with N = {rows}, as in images, "
            f"got {list(y.shape)}"
        )
    if y.dim() == 2:
        return _expect_weights(name, y, num_classes)
    if y.dim() != 1 or y.dtype not in INTEGERS:
        raise TypeError(
            f"{name}: expected integers [N] or weights [N, K], got {y.dtype} {list(y.shape)}"
        )
    if num_classes is None:
        raise ValueError(
            f"{name}: expected weights [N, K] without num_classes, got integers {list(y.shape)}"
        )
    return num_classes


def _expect_classes(name: str, y: Tensor, num_classes: int) -> None:
    """Check class numbers, unless that would wait for a device."""
    if _are_here(y):
        wrong = not are_classes(y, num_classes)
    else:
        wrong = reads_values(y) and bool(((y < 0) | (y >= num_classes)).any())
    if wrong:
        raise ValueError(
            f"{name}: expected integers from 0 to {num_classes - 1}, "
            f"got {int(y.min())} to {int(y.max())}"
        )


def _expect_weights(name: str, y: Tensor, num_classes: int | None) -> int:
    """Check weights [N, K], and refuse class numbers [N, 1], which look like weights."""
    width = y.shape[1]
    if num_classes is not None and width != num_classes:
        raise ValueError(
            f"{name}: expected labels as integers [N] or weights [N, K] with K = num_classes = "
            f"{num_classes}, got shape {list(y.shape)}"
        )
    if num_classes is None and width == 1 and y.dtype in INTEGERS:
        raise ValueError(
            f"{name}: expected weights [N, K] without num_classes, got integers {list(y.shape)}; "
            "weights of one class are floats, or come with num_classes = 1"
        )
    return width


def _are_here(y: Tensor) -> bool:
    """Whether tensors have memory on the CPU that the compiled code can read."""
    return type(y) is Tensor and y.is_cpu and not torch.compiler.is_compiling()


def _planes(x: Tensor) -> Tensor:
    """A tensor [N, ..., Y, X], [N, X] or [N] viewed as [N, C, Y, X]."""
    shape = x.shape
    plane = (1,) * (3 - x.dim()) + tuple(shape[-2:] if x.dim() > 2 else shape[1:])
    return x.reshape(len(x), math.prod(shape[1:-2]), *plane[-2:])


def _shaped(mixed: Tensor, x: Tensor) -> Tensor:
    """The mix, reshaped to the shape and memory format of x."""
    mixed = mixed.reshape(x.shape)
    volumes = torch.channels_last_3d
    if x.dim() == 5 and not x.is_contiguous() and x.is_contiguous(memory_format=volumes):
        return mixed.contiguous(memory_format=volumes)
    return mixed


_TENSORS = tuple(field.name for field in fields(Plan) if field.name != "num_classes")


def _joined(plans: Sequence[Plan], join: Callable[..., Tensor], name: str) -> Plan:
    if not plans:
        raise ValueError(f"{name}: expected at least one plan, got none")
    first = 1 if join is torch.cat else 0  # the first dimension that must agree
    parts: dict[str, Any] = {}
    for field in _TENSORS:
        values = [getattr(plan, field) for plan in plans]
        if all(value is None for value in values):
            parts[field] = None
            continue
        shapes = [None if value is None else list(value.shape) for value in values]
        if None in shapes or len({tuple(shape[first:]) for shape in shapes if shape}) > 1:
            raise ValueError(f"{name}: expected plans that agree in {field}, got shapes {shapes}")
        parts[field] = join(values)
    if len({plan.num_classes for plan in plans}) > 1:
        raise ValueError(f"{name}: expected plans of one num_classes")
    return Plan(**parts, num_classes=plans[0].num_classes)


def _collate(plans: Sequence[Plan], *, collate_fn_map: object = None) -> Plan:
    return Plan.stack(plans)


default_collate_fn_map[Plan] = _collate
torch.serialization.add_safe_globals([Plan])
