"""The compiled extension: the only module that imports it.

Tensors become addresses and sizes here, on the right device and stream; a status becomes a bool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

try:
    from . import _core
except ImportError as error:
    raise ImportError(
        "puzzlemix: the compiled extension puzzlemix._core is missing or does not load: "
        f"run `pip install .` in the project's root ({error})"
    ) from error

CUDA_TOOLKIT = _core.cuda_toolkit
"""The CUDA toolkit that this build was made with, such as "13.0"; empty without CUDA."""
CUDA_ARCHITECTURES = _core.cuda_architectures
"""The architectures that it was built for, in CMake's notation."""
cuda_devices = _core.cuda_devices

Tensors = tuple[Tensor, ...]

# As in csrc/tensor.h.
_DTYPES = {
    torch.float16: 0,
    torch.bfloat16: 1,
    torch.float32: 2,
    torch.float64: 3,
    torch.int32: 4,
    torch.int64: 5,
}


# As in csrc/where.h.
_Where = tuple[int, int, int]
_CPU, _CUDA, _MEASURE, _TEAM = range(4)


class Team:
    """While entered, tensors on the CPU are solved by the algorithms of the device.

    A host team stands in for CUDA's threads: it takes the items of each phase in an order drawn
    from ``seed``, which must not matter. Values go unchecked, as on CUDA.
    """

    entered: Team | None = None

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.phases = 0
        """How many phases there were so far, of all samples: barriers, on CUDA."""

    def __enter__(self) -> Team:
        Team.entered = self
        return self

    def __exit__(self, *exception: object) -> None:
        Team.entered = None


def missing_cuda(operation: str) -> RuntimeError:
    """The error for a CUDA tensor in a build without CUDA."""
    return RuntimeError(
        f"{operation}: got a CUDA tensor, but this build of puzzlemix has no CUDA: install the "
        "CUDA toolkit and build again with `PUZZLEMIX_CUDA=ON pip install .`, or move the "
        "tensors to the CPU"
    )


def checks_values(tensor: Tensor) -> bool:
    """Whether the solvers look at the values: only where that waits for no device."""
    return not tensor.is_cuda and Team.entered is None


def grid_min_cut(costs: Tensors, segment: Tensor, flow: Tensor) -> bool:
    """Solve into segment and flow; False where a value is not allowed."""
    costs = _dense(*costs)
    return _run(
        _core.grid_min_cut,
        flow,
        [_input(cost) for cost in costs],
        not costs[0].is_floating_point(),
        segment.shape,
        segment.data_ptr(),
        flow.data_ptr(),
    )


def alpha_beta_swap(costs: Tensors, max_cycles: int, labels: Tensor, energy: Tensor) -> bool:
    """Solve into labels and energy; False where a value is not allowed."""
    costs = _dense(*costs)
    return _run(_core.alpha_beta_swap, energy, *_labeling(costs, labels, energy), max_cycles)


def exact_labeling(costs: Tensors, labels: Tensor, energy: Tensor) -> bool:
    """Solve into labels and energy; False where a value is not allowed."""
    costs = _dense(*costs)
    return _run(_core.exact_labeling, energy, *_labeling(costs, labels, energy))


def labeling_energy(labels: Tensor, costs: Tensors, energy: Tensor) -> bool:
    """Add up into energy; False where a value is not allowed."""
    labels, costs = labels.long().contiguous(), _dense(*costs)
    return _run(_core.labeling_energy, energy, *_labeling(costs, labels, energy))


def assignment(cost: Tensor, exact: bool, source: Tensor, total: Tensor) -> bool:
    """Solve into source and total; False where a value is not allowed."""
    (cost,) = _dense(cost)
    return _run(
        _core.assignment,
        total,
        _input(cost),
        source.shape[0],
        source.shape[1],
        exact,
        source.data_ptr(),
        total.data_ptr(),
    )


def masked_transport(
    saliency: Tensor,
    mask: Tensor,
    xi: float,
    indicator: bool,
    exact: bool,
    source: Tensor,
    total: Tensor,
) -> bool:
    """Solve into source and total; False where a value is not allowed."""
    saliency, mask = _dense(saliency, mask)
    return _run(
        _core.masked_transport,
        total,
        _input(saliency),
        _input(mask),
        source.shape,
        xi,
        indicator,
        exact,
        source.data_ptr(),
        total.data_ptr(),
    )


class Pairs(NamedTuple):
    """Pairs of images as csrc/objective/objective.h has them."""

    cells1: Tensor
    """[N, C, Y', X'] float32 or float64: averages over windows."""
    cells2: Tensor
    """The same of the partners."""
    partner: Tensor | None
    """[B] int64, which of ``cells2`` is the partner; None: that at the same place."""
    shares: Tensor
    """[B, 2, h', w'] float64."""
    log_prior: Tensor
    """[B, L] float64."""
    sources: Tensor | None
    """[B, 2, h', w'] int64, permutations to read through; None: the identity."""
    moved: bool
    """The cells have been moved already."""
    grid: Sequence[int]
    """h, w."""
    model: Sequence[float]
    """Label smoothness, gamma, eta, xi, and whether data smoothness is bilinear."""


def pair_costs(pairs: Pairs, unary: Tensor, vertical: Tensor, horizontal: Tensor) -> None:
    """Write the costs of the labelling problems."""
    _pair(pairs, [cost.data_ptr() for cost in (unary, vertical, horizontal)], None, None)


def pair_terms(pairs: Pairs, labels: Tensor, terms: Tensor) -> None:
    """Write the terms of the objective, and their sum, for labels."""
    _pair(pairs, [0, 0, 0], labels, terms)


def _pair(pairs: Pairs, costs: Sequence[int], labels: Tensor | None, terms: Tensor | None) -> None:
    cells1, cells2, shares, log_prior = _dense(
        pairs.cells1, pairs.cells2, pairs.shares, pairs.log_prior
    )
    partner, sources, labels = (
        None if tensor is None else tensor.contiguous()
        for tensor in (pairs.partner, pairs.sources, labels)
    )
    smoothness, gamma, eta, xi, bilinear = pairs.model
    _run(
        _core.pair,
        shares,
        [_input(cells1), _input(cells2)],
        _address(partner),
        shares.data_ptr(),
        log_prior.data_ptr(),
        _address(sources),
        pairs.moved,
        shares.shape[0],
        cells2.shape[0],
        [*cells1.shape[1:], *pairs.grid, *shares.shape[2:]],
        (log_prior.shape[1], smoothness, gamma, eta, xi, bool(bilinear)),
        costs,
        _address(labels),
        _address(terms),
    )


def block_sums(values: Tensor, rows: int, columns: int, sums: Tensor) -> None:
    """Write the sums over blocks of the last two dimensions; on the CPU."""
    (values,) = _dense(values)
    height, width = values.shape[-2:]
    _core.block_sums(
        _input(values),
        values.shape[:-2].numel(),
        [height, width, rows, columns],
        sums.data_ptr(),
        sums.dtype == torch.float64,
        torch.get_num_threads(),
    )


Fault = tuple[int, int, int, int]
"""Its kind (see csrc/status.h), the argument's number among the tensors, the sample, the entry."""


def mix(
    x1: Tensor,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    trusted: bool,
    out: Tensor,
) -> Fault | None:
    """Mix into out, in whose memory format images are read; a fault on the CPU alone."""
    x1, x2 = _in_format_of(out, x1, x2)
    others = 0 if x2 is None else x2.shape[0]
    layout, alive = _mix_layout(out, mask, source1, source2, partner, others, trusted)
    problem = _core.MixProblem(layout, x1=x1.data_ptr(), x2=_address(x2), out=out.data_ptr())
    return _run_mix(_core.mix, problem, out, alive)


def mix_grad(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
    trusted: bool,
    grad1: Tensor | None,
    grad2: Tensor | None,
    grad_mask: Tensor | None,
) -> Fault | None:
    """Fill the gradients that are given, of images in the memory format of grad, dense.

    x1 and x2 are read for grad_mask alone; there x2 = None is zeros.
    """
    x1, x2 = _in_format_of(grad, x1, x2)
    layout, alive = _mix_layout(grad, mask, source1, source2, partner, others, trusted)
    inverse = None
    if grad.is_cuda and grad2 is not None and partner is not None and source2 is not None:
        inverse = torch.empty_like(source2, dtype=torch.int64)
    problem = _core.MixGradProblem(
        layout,
        grad=grad.data_ptr(),
        x1=_address(x1),
        x2=_address(x2),
        grad1=_address(grad1),
        grad2=_address(grad2),
        grad_mask=_address(grad_mask),
        inverse=_address(inverse),
    )
    return _run_mix(_core.mix_grad, problem, grad, alive)


def check_labels(labels: Tensor, classes: int) -> Fault | None:
    """Look for a number that is no class, on the CPU."""
    labels = labels.long().contiguous()
    return _core.check_labels(labels.data_ptr(), labels.shape[0], classes)


def mix_labels(
    labels: Tensor,
    others: Tensor | None,
    ratio: Tensor | None,
    partner: Tensor | None,
    out: Tensor,
) -> Fault | None:
    """Mix class numbers into weights [N, K] float32, on the CPU; see csrc/mix/labels.h."""
    labels, others, partner = labels.long().contiguous(), _index(others), _index(partner)
    if ratio is not None:
        ratio = ratio.to(torch.float32).contiguous()
    fault: Fault | None = _core.mix_labels(
        labels=labels.data_ptr(),
        others=_address(others),
        ratio=_address(ratio),
        partner=_address(partner),
        out=out.data_ptr(),
        batch=out.shape[0],
        count=0 if others is None else others.shape[0],
        classes=out.shape[1],
    )
    return fault


def memory_format(images: Tensor) -> torch.memory_format:
    """The format in which images are mixed: channels_last where they are dense in it alone."""
    if images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


def _run(solve: Callable[..., int], like: Tensor, *problem: object) -> bool:
    """Solve where a tensor is; False where a value is not allowed."""
    if like.is_cuda:
        count = solve(*problem, (_MEASURE, 0, 0))
        if count < 0:  # a label cost in the host's memory, which is looked at
            return False
        # Scratch memory comes from PyTorch, and is free again for what follows on the stream.
        scratch = like.new_empty(count, dtype=torch.uint8)
        with _Device(like) as (stream, _):
            return _ended(solve(*problem, (_CUDA, stream, scratch.data_ptr())), stream)
    if Team.entered is None:
        return not solve(*problem, (_CPU, torch.get_num_threads(), 0))
    phases = solve(*problem, (_TEAM, Team.entered.seed, 0))
    Team.entered.phases += max(phases, 0)
    return phases >= 0


def _labeling(costs: Sequence[Tensor], labels: Tensor, energy: Tensor) -> tuple[object, ...]:
    """The arguments that the labelling functions share."""
    # A label cost in the host's memory crosses by value. Every second team reads it as from the
    # device.
    in_host_memory = not costs[3].is_cuda
    if Team.entered is not None and Team.entered.seed % 2:
        in_host_memory = False
    return (
        [_input(cost) for cost in costs],
        not costs[0].is_floating_point(),
        in_host_memory,
        costs[0].shape,
        labels.data_ptr(),
        energy.data_ptr(),
    )


class _Device:
    """The stream (-1 on the CPU) and thread count to run on; CUDA's current device while inside."""

    def __init__(self, tensor: Tensor) -> None:
        self.guard = torch.cuda.device(tensor.device) if tensor.is_cuda else None

    def __enter__(self) -> tuple[int, int]:
        if self.guard is None:
            return -1, torch.get_num_threads()
        self.guard.__enter__()
        return torch.cuda.current_stream().cuda_stream, 1

    def __exit__(self, *exception: object) -> None:
        if self.guard is not None:
            self.guard.__exit__(*exception)


def _ended(status: int, stream: int) -> bool:
    if status > 0 and stream >= 0:
        raise RuntimeError(f"puzzlemix: CUDA error {status}, {_core.cuda_error(status)}")
    return not status


def _dense(*tensors: Tensor) -> Tensors:
    return tuple(tensor.contiguous() for tensor in tensors)


def _input(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), _DTYPES[tensor.dtype]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _in_format_of(dense: Tensor, *images: Tensor | None) -> list[Any]:
    """The images in the memory format of the one that is dense."""
    format = torch.contiguous_format if dense.is_contiguous() else torch.channels_last
    return [x if x is None else x.contiguous(memory_format=format) for x in images]


def _mix_layout(
    images: Tensor,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    partner: Tensor | None,
    others: int,
    trusted: bool,
) -> tuple[_core.MixLayout, tuple[Tensor | None, ...]]:
    """csrc/mix/mix.h says what it is; and the tensors that must outlive its use."""
    batch, channels, height, width = images.shape
    if not images.is_contiguous():  # channels_last: one plane, whose rows are C times as wide
        channels, width = 1, width * channels
    _, mask_rows, mask_cols = mask.shape
    mask_step = mask_rows * mask_cols
    if batch > 1 and mask.stride(0) == 0:  # expanded: one mask for all
        mask, mask_step = mask[0], 0
    mask = mask.contiguous()
    source1, source2, partner = _index(source1), _index(source2), _index(partner)
    _, rows1, cols1 = (1, 1, 1) if source1 is None else source1.shape
    _, rows2, cols2 = (1, 1, 1) if source2 is None else source2.shape
    layout = _core.MixLayout(
        dtype=_DTYPES[images.dtype],
        mask=mask.data_ptr(),
        mask_step=mask_step,
        mask_rows=mask_rows,
        mask_cols=mask_cols,
        source1=_address(source1),
        rows1=rows1,
        cols1=cols1,
        source2=_address(source2),
        rows2=rows2,
        cols2=cols2,
        partner=_address(partner),
        batch=batch,
        others=others,
        channels=channels,
        height=height,
        width=width,
        trusted=trusted,
    )
    return layout, (mask, source1, source2, partner)


def _index(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.long().contiguous()


def _run_mix(
    run: Callable[..., Any], problem: object, like: Tensor, alive: tuple[Tensor | None, ...]
) -> Fault | None:
    """``alive`` keeps what the problem points to."""
    if not like.is_cuda:
        fault: Fault | None = run(problem, (_CPU, torch.get_num_threads(), 0))
        return fault
    with _Device(like) as (stream, _):
        error = run(problem, (_CUDA, stream, 0))
    if error is not None:
        raise RuntimeError(f"puzzlemix: CUDA error {error}, {_core.cuda_error(error)}")
    return None
