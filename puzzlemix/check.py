"""The contracts of the low-level functions, checked and worded in one place.

A function named like the one it guards looks at kinds, shapes, types and devices and reads no
data: it works on fake tensors and while a compiler traces. Its twin ``..._values`` reads the data.
TypeError: a wrong kind of object or element type. ValueError: a shape, a device, a scalar out of
range, an unknown name, bad values. Each message names the argument, what was expected and what
came.

Letters: B batch, H x W grid, L labels, N things to assign, C channels, Y x X pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import integers

__all__ = [
    "assignment",
    "assignment_values",
    "debug",
    "debugging",
    "grid_min_cut",
    "grid_min_cut_values",
    "labeling",
    "labeling_values",
    "labels",
    "labels_values",
    "masked_transport",
    "masked_transport_values",
    "mix",
    "mix_fault",
    "mix_values",
]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INT32 = (torch.int32,)
INDICES = (torch.int64, torch.int32)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

MAX_FLOAT = sys.float_info.max
MAX_SIDE = 64
MAX_LABELS = 16
MAX_ASSIGNMENT = 4096
MAX_CUDA_PIXELS = 2**31 - 1
METHODS = ("approx", "exact")
WEIGHTS = ("indicator", "mask")
_REPEATED = 3  # of csrc/status.h


_debugging = False


def debug(enabled: bool = True) -> None:
    """Check values on CUDA too, at the price of waiting for the device at each call."""
    global _debugging
    _debugging = bool(enabled)


def debugging() -> bool:
    """Whether `debug` is on."""
    return _debugging


# Kinds, shapes, types and devices


def grid_min_cut(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> None:
    """Two capacities a cell [B, H, W], and those of the edges."""
    dtypes = _costs("source_caps", source_caps)
    batch, height, width = _sizes("source_caps", source_caps, "[B, H, W]", 3)
    _grid("source_caps", height, width)
    first = ("source_caps", source_caps)
    _expect("sink_caps", sink_caps, "[B, H, W]", (batch, height, width), dtypes, first)
    _edges(vertical, horizontal, (batch, height, width), dtypes, first)


def labeling(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    max_cycles: int | None = None,
) -> None:
    """Costs of the labels in each cell [B, H, W, L], edge weights, the cost of a pair of labels."""
    dtypes = _costs("unary", unary)
    batch, height, width, count = _sizes("unary", unary, "[B, H, W, L]", 4)
    _grid("unary", height, width)
    if not 2 <= count <= MAX_LABELS:
        raise ValueError(f"unary: expected 2 to {MAX_LABELS} labels, got {count}")
    first = ("unary", unary)
    _edges(vertical, horizontal, (batch, height, width), dtypes, first)
    _expect("label_cost", label_cost, "[L, L]", (count, count), dtypes, first, or_cpu=True)
    if max_cycles is not None:
        if not isinstance(max_cycles, int) or isinstance(max_cycles, bool):
            raise TypeError(f"max_cycles: expected an int or None, got {type(max_cycles).__name__}")
        if max_cycles < 0:
            raise ValueError(f"max_cycles: expected at least 0, got {max_cycles}")


def labels(labels: Tensor, unary: Tensor) -> None:
    """A labelling [B, H, W] of any integer type, beside costs that ``labeling`` has accepted."""
    _expect("labels", labels, "[B, H, W]", tuple(unary.shape[:3]), INTEGERS, ("unary", unary))


def assignment(cost: Tensor, method: str) -> None:
    """One square matrix a sample, [B, N, N]."""
    _costs("cost", cost)
    batch, rows, columns = _sizes("cost", cost, "[B, N, N]", 3)
    if rows != columns:
        raise ValueError(f"cost: expected shape [B, N, N], got {[batch, rows, columns]}")
    if not 1 <= rows <= MAX_ASSIGNMENT:
        raise ValueError(f"cost: expected N from 1 to {MAX_ASSIGNMENT}, got {rows}")
    _one_of("method", method, METHODS)


def masked_transport(saliency: Tensor, mask: Tensor, xi: float, weight: str, method: str) -> None:
    """Saliency and mask [B, H, W], of any float type; the price of a move; two names."""
    batch, height, width = _sizes("saliency", saliency, "[B, H, W]", 3)
    _grid("saliency", height, width)
    _dense("saliency", saliency, FLOATS)
    _expect("mask", mask, "[B, H, W]", (batch, height, width), FLOATS, ("saliency", saliency))
    if not isinstance(xi, (int, float)) or isinstance(xi, bool):
        raise TypeError(f"xi: expected a number, got {type(xi).__name__}")
    if not 0 <= xi <= MAX_FLOAT:
        raise ValueError(f"xi: expected a finite number of at least 0, got {xi}")
    _one_of("weight", weight, WEIGHTS)
    _one_of("method", method, METHODS)


def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None = None,
) -> None:
    """Two images [B, C, Y, X], a mask and permutations on grids that divide them; partners [B]."""
    batch, channels, rows, columns = _sizes("x1", x1, "[B, C, Y, X]", 4)
    _dense("x1", x1, FLOATS)
    if x1.is_cuda and rows * columns > MAX_CUDA_PIXELS:
        raise ValueError(
            f"x1: expected at most {MAX_CUDA_PIXELS} pixels a channel on CUDA, got {rows}x{columns}"
        )
    if partner is not None:
        _expect("partner", partner, "[B]", (batch,), INDICES, ("x1", x1))
    if x2 is None:
        for name, given in (("source2", source2), ("partner", partner)):
            if given is not None:
                raise ValueError(
                    f"{name}: expected None beside an empty partner (x2 is None), "
                    f"got a tensor of shape {list(given.shape)}"
                )
    elif x2 is x1:
        pass
    elif partner is None:
        _expect("x2", x2, "[B, C, Y, X]", (batch, channels, rows, columns), (x1.dtype,), ("x1", x1))
    else:
        count = _sizes("x2", x2, "[N, C, Y, X]", 4)[0]
        shape = (count, channels, rows, columns)
        _expect("x2", x2, "[N, C, Y, X]", shape, (x1.dtype,), ("x1", x1))
        if batch and not count:
            raise ValueError("x2: expected at least one image, as partner names some, got 0")
    _blocks("mask", mask, FLOATS, x1)
    if source1 is not None:
        _blocks("source1", source1, INDICES, x1)
    if source2 is not None:
        _blocks("source2", source2, INDICES, x1)


# Values


def grid_min_cut_values(
    source_caps: Tensor, sink_caps: Tensor, vertical: Tensor, horizontal: Tensor
) -> None:
    """Finite, none negative; integers within the bound."""
    arguments = {
        "source_caps": source_caps,
        "sink_caps": sink_caps,
        "vertical": vertical,
        "horizontal": horizontal,
    }
    largest = {name: _range(name, value, least=0)[1] for name, value in arguments.items()}
    _, height, width = source_caps.shape
    # One sum for the whole batch settles nearly every call; only beyond it is each sample asked.
    if not (height * width) * 3 * max(largest.values()) < _bound(source_caps):
        sums = integers.cut_magnitude(source_caps, sink_caps, vertical, horizontal)
        _bounded(sums, source_caps, lambda sample: max(largest, key=largest.__getitem__))


def labeling_values(
    unary: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    label_cost: Tensor,
    *,
    convex: bool,
    bounded: bool = True,
) -> None:
    """Finite; weights not negative; a semimetric, also convex if asked; integers within the bound.

    ``bounded=False`` is for who only adds the costs up, and so needs no bound.
    """
    least, most = _range("unary", unary)
    weights = {
        name: _range(name, weight, least=0)[1]
        for name, weight in (("vertical", vertical), ("horizontal", horizontal))
    }
    label_cost = label_cost.clone()  # another thread may write to the caller's
    dearest = _semimetric(label_cost)
    if convex and not integers.is_convex(label_cost):
        raise ValueError(
            "label_cost: expected a cost convex in the label order "
            "(D[a,b] + D[a+1,b+1] <= D[a,b+1] + D[a+1,b]), "
            f"got {label_cost.tolist()}"
        )
    _, height, width, _ = unary.shape
    # A cell has two edges; twice that leaves room for the rounding of the label cost.
    rough = (height * width) * ((most - least) + 4 * max(weights.values()) * dearest)
    if bounded and not rough < _bound(unary):
        cells, edges = integers.labeling_magnitude(unary, vertical, horizontal, label_cost)
        pair = {**weights, "label_cost": dearest}
        heaviest = max(pair, key=pair.__getitem__)
        _bounded(cells + edges, unary, lambda b: "unary" if cells[b] >= edges[b] else heaviest)


def labels_values(labels: Tensor, count: int) -> None:
    """Every label from 0 to ``count`` - 1."""
    wrong = (labels < 0) | (labels >= count)
    if bool(wrong.any()):
        raise ValueError(f"labels: expected 0 to {count - 1}, got {_first(labels, wrong)}")


def assignment_values(cost: Tensor) -> None:
    """Finite, and so is the range of each sample's costs."""
    least, most = _range("cost", cost)
    if not most - least < math.inf:
        low, high = cost.double().flatten(1).aminmax(dim=1)
        wrong = (high - low).isinf()
        if bool(wrong.any()):
            raise ValueError(
                "cost: expected a largest less a smallest cost that is finite in double, "
                f"got {_first(high - low, wrong)} ({least} to {most})"
            )


def masked_transport_values(saliency: Tensor, mask: Tensor, xi: float) -> None:
    """Saliency finite and not negative, mask in [0, 1]; the dearest move finite in double."""
    most = _range("saliency", saliency, least=0)[1]
    _range("mask", mask, least=0, most=1)
    if not 2.0 * xi + most < math.inf:  # no move costs more than twice xi
        name, value = ("saliency", most) if most > 2.0 * xi else ("xi", xi)
        raise ValueError(f"{name}: expected costs whose sum is finite in double, got {value}")


def mix_values(
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None = None,
    others: int = 0,
) -> None:
    """A finite mask in the precision of the mix; permutations; partners among ``others`` images."""
    _range("mask", mask)
    if source1 is not None:
        _permutation("source1", source1)
    if source2 is not None:
        _permutation("source2", source2)
    if partner is not None:
        _indices("partner", partner, others)


def mix_fault(
    fault: tuple[int, int, int, int],
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
) -> ValueError:
    """The error for what the compiled mix has found: see csrc/status.h and csrc/mix/mix.h."""
    kind, argument, sample, entry = fault
    name, tensor = {
        2: ("mask", mask),
        3: ("source1", source1),
        4: ("source2", source2),
        5: ("partner", partner),
    }[argument]
    assert tensor is not None
    place = [sample]
    if tensor.dim() == 3:
        place += divmod(entry, tensor.shape[2])
    value = tensor[tuple(place)].item()
    if kind == _REPEATED:
        wanted, came = "a permutation in each sample", f"index {value} twice in sample {sample}"
    else:
        count = others if name == "partner" else tensor[0].numel()
        wanted = "finite values" if name == "mask" else f"indices from 0 to {count - 1}"
        came = f"{value} at {place}"
    return ValueError(f"{name}: expected {wanted}, got {came}")


# Parts of the above. A check that passes builds no message.


def _sizes(name: str, tensor: Tensor, layout: str, rank: int) -> Sequence[int]:
    if tensor.dim() != rank:
        raise ValueError(f"{name}: expected shape {layout}, got {list(tensor.shape)}")
    return tensor.shape


def _grid(name: str, height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(
            f"{name}: expected a grid of 1x1 to {MAX_SIDE}x{MAX_SIDE}, got {height}x{width}"
        )


def _costs(name: str, tensor: Tensor) -> tuple[torch.dtype, ...]:
    """The types that the costs beside this one may have: any float, or int32."""
    _dense(name, tensor, FLOATS + INT32)
    return INT32 if tensor.dtype in INT32 else FLOATS


def _edges(
    vertical: Tensor,
    horizontal: Tensor,
    sizes: tuple[int, int, int],
    dtypes: tuple[torch.dtype, ...],
    first: tuple[str, Tensor],
) -> None:
    batch, height, width = sizes
    _expect("vertical", vertical, "[B, H-1, W]", (batch, height - 1, width), dtypes, first)
    _expect("horizontal", horizontal, "[B, H, W-1]", (batch, height, width - 1), dtypes, first)


def _expect(
    name: str,
    tensor: Tensor,
    layout: str,
    shape: tuple[int, ...],
    dtypes: tuple[torch.dtype, ...],
    first: tuple[str, Tensor],
    or_cpu: bool = False,
) -> None:
    """Hold an argument against the shape, the types and the device that the first one implies."""
    _dense(name, tensor, dtypes, first)
    if tensor.shape != shape:
        raise ValueError(
            f"{name}: expected shape {layout} = {list(shape)}, got {list(tensor.shape)}"
        )
    _same_device(name, tensor, first, or_cpu)


def _same_device(
    name: str, tensor: Tensor, first: tuple[str, Tensor], or_cpu: bool = False
) -> None:
    device = first[1].device
    if tensor.device != device and not (or_cpu and tensor.device.type == "cpu"):
        either = " or cpu" if or_cpu and device.type != "cpu" else ""
        raise ValueError(
            f"{name}: expected device {device}{either} (that of {first[0]}), got {tensor.device}"
        )


def _blocks(name: str, grid: Tensor, dtypes: tuple[torch.dtype, ...], image: Tensor) -> None:
    """A grid [B, h, w] of blocks that tile the image [B, C, Y, X]."""
    _dense(name, grid, dtypes)
    batch, height, width = _sizes(name, grid, "[B, h, w]", 3)
    if batch != image.shape[0]:
        raise ValueError(f"{name}: expected a batch of {image.shape[0]} as in x1, got {batch}")
    rows, columns = image.shape[2:]
    if height < 1 or width < 1 or rows % height or columns % width:
        raise ValueError(
            f"{name}: expected a grid that divides the images of {rows}x{columns} pixels, "
            f"got {height}x{width}"
        )
    _same_device(name, grid, ("x1", image))


def _one_of(name: str, value: str, names: tuple[str, ...]) -> None:
    if value not in names:
        listed = " or ".join(map(repr, names))
        raise ValueError(f"{name}: expected {listed}, got {value!r}")


def _dense(
    name: str,
    tensor: Tensor,
    dtypes: tuple[torch.dtype, ...],
    first: tuple[str, Tensor] | None = None,
) -> None:
    """One of these types, in a tensor with strides; the error shows the type of the first too."""
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}")
    if tensor.dtype not in dtypes:
        *others, last = map(_type_name, dtypes)
        expected = f"{', '.join(others)} or {last}" if others else last
        beside = f" ({first[0]} is {_type_name(first[1].dtype)})" if first else ""
        raise TypeError(f"{name}: expected {expected}{beside}, got {_type_name(tensor.dtype)}")


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _range(
    name: str, tensor: Tensor, *, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """The smallest and the largest entry, all of them finite and within the limits; 0 if empty."""
    if tensor.numel() == 0:
        return 0.0, 0.0
    low, high = (float(extreme) for extreme in tensor.detach().aminmax())
    if -math.inf < low and least <= low and high <= most and high < math.inf:
        return low, high
    wrong = ~tensor.isfinite() | (tensor < least) | (tensor > most)
    wanted = "finite values"
    if most < math.inf:
        wanted = f"values from {least} to {most}"
    elif least > -math.inf:
        wanted = f"finite values of at least {least}"
    raise ValueError(f"{name}: expected {wanted}, got {_first(tensor, wrong)}")


def _semimetric(label_cost: Tensor) -> float:
    """The largest entry of a symmetric, non-negative matrix with a zero diagonal."""
    most = _range("label_cost", label_cost, least=0)[1]
    cost = label_cost.tolist()
    for a, row in enumerate(cost):
        if row[a] != 0:
            raise ValueError(f"label_cost: expected a zero diagonal, got {row[a]} at [{a}, {a}]")
        for b in range(a):
            if row[b] != cost[b][a]:
                raise ValueError(
                    "label_cost: expected a symmetric matrix, "
                    f"got {row[b]} at [{a}, {b}] and {cost[b][a]} at [{b}, {a}]"
                )
    least = min((entry for row in cost for entry in row if entry > 0), default=1)
    if most / least == math.inf:
        raise ValueError(
            "label_cost: expected entries whose quotients are finite in double, "
            f"got {least} beside {most}"
        )
    return most


def _bound(tensor: Tensor) -> float:
    """What the costs of a sample may add up to: integers are taken as they are."""
    return math.inf if tensor.is_floating_point() else 2.0**integers.BITS


def _bounded(sums: Tensor, tensor: Tensor, heaviest: Callable[[int], str]) -> None:
    """Refuse the first sample whose sum reaches the bound, naming what weighs most there."""
    wrong = sums >= _bound(tensor)
    if bool(wrong.any()):
        floating = tensor.is_floating_point()
        limit = "is finite in double" if floating else f"is below 2^{integers.BITS}"
        raise ValueError(
            f"{heaviest(int(wrong.nonzero()[0]))}: expected costs whose sum over a sample's cells "
            f"and edges {limit}, got {_first(sums, wrong)}"
        )


def _indices(name: str, index: Tensor, count: int) -> None:
    wrong = (index < 0) | (index >= count)
    if bool(wrong.any()):
        raise ValueError(
            f"{name}: expected indices from 0 to {count - 1}, got {_first(index, wrong)}"
        )


def _permutation(name: str, source: Tensor) -> None:
    if source.numel() == 0:
        return
    source = source.to(torch.int64, copy=True)  # another thread may write to the caller's
    flat = source.flatten(1)
    _indices(name, source, flat.shape[1])
    # As many indices as targets: they are a permutation if every target is named.
    if not torch.zeros_like(flat, dtype=torch.bool).scatter_(1, flat, True).all():
        sample, place = next(
            (sample, place)
            for sample, row in enumerate(flat.tolist())
            for place, index in enumerate(row)
            if index in row[:place]
        )
        raise ValueError(
            f"{name}: expected a permutation in each sample, "
            f"got index {int(flat[sample, place])} twice in sample {sample}"
        )


def _first(tensor: Tensor, wrong: Tensor) -> str:
    """The first wrong entry and its place."""
    places = wrong.nonzero()
    if len(places) == 0:  # another thread has changed it since
        return "some while they were read"
    place = places[0].tolist()
    return f"{tensor[tuple(place)].item()} at {place}"
