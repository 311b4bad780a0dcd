"""The compiled extension: the only module that imports it.

Tensors become addresses and sizes here, on the right device and stream; a status becomes a bool.
"""

from __future__ import annotations

from collections.abc import Callable

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


def missing_cuda(operation: str) -> RuntimeError:
    """The error for a CUDA tensor that this build has no kernel for."""
    if not CUDA_TOOLKIT:
        return RuntimeError(
            f"{operation}: got a CUDA tensor, but this build of puzzlemix has no CUDA: install the "
            "CUDA toolkit and build again with `PUZZLEMIX_CUDA=ON pip install .`, or move the "
            "tensors to the CPU"
        )
    return RuntimeError(
        f"{operation}: got a CUDA tensor, but this version of puzzlemix solves it on the CPU: "
        "move the tensors with `.cpu()` (only `mix` has a CUDA kernel)"
    )


def grid_min_cut(costs: Tensors, segment: Tensor, flow: Tensor) -> bool:
    """Solve into segment and flow; False where a value is not allowed."""
    costs = _dense(*costs)
    return not _core.grid_min_cut(
        [_input(cost) for cost in costs],
        not costs[0].is_floating_point(),
        segment.shape,
        segment.data_ptr(),
        flow.data_ptr(),
        torch.get_num_threads(),
    )


def alpha_beta_swap(costs: Tensors, max_cycles: int, labels: Tensor, energy: Tensor) -> bool:
    """Solve into labels and energy; False where a value is not allowed."""
    costs = _dense(*costs)
    return not _core.alpha_beta_swap(
        [_input(cost) for cost in costs],
        not costs[0].is_floating_point(),
        costs[0].shape,
        labels.data_ptr(),
        energy.data_ptr(),
        max_cycles,
        torch.get_num_threads(),
    )


def exact_labeling(costs: Tensors, labels: Tensor, energy: Tensor) -> bool:
    """Solve into labels and energy; False where a value is not allowed."""
    return _label(_core.exact_labeling, costs, labels, energy)


def labeling_energy(labels: Tensor, costs: Tensors, energy: Tensor) -> bool:
    """Add up into energy; False where a value is not allowed."""
    (labels,) = _dense(labels.long())
    return _label(_core.labeling_energy, costs, labels, energy)


def assignment(cost: Tensor, exact: bool, source: Tensor, total: Tensor) -> bool:
    """Solve into source and total; False where a value is not allowed."""
    (cost,) = _dense(cost)
    return not _core.assignment(
        _input(cost),
        source.shape[0],
        source.shape[1],
        exact,
        source.data_ptr(),
        total.data_ptr(),
        torch.get_num_threads(),
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
    return not _core.masked_transport(
        _input(saliency),
        _input(mask),
        source.shape,
        xi,
        indicator,
        exact,
        source.data_ptr(),
        total.data_ptr(),
        torch.get_num_threads(),
    )


def mix(
    x1: Tensor,
    x2: Tensor,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    out: Tensor,
) -> bool:
    """Mix into out; False where a value is not allowed (on CUDA values are not looked at)."""
    x1, x2 = _dense(x1, x2)
    alive, layout = _layout(x1, mask, source1, source2)
    with _Device(x1) as (stream, threads):
        status = _core.mix(layout, x1.data_ptr(), x2.data_ptr(), out.data_ptr(), stream, threads)
    del alive
    return _ended(status, stream)


def mix_grad(
    grad: Tensor,
    x1: Tensor | None,
    x2: Tensor | None,
    mask: Tensor,
    source1: Tensor | None,
    source2: Tensor | None,
    grad1: Tensor | None,
    grad2: Tensor | None,
    grad_mask: Tensor | None,
) -> bool:
    """Fill the gradients that are given; x1 and x2 are read for grad_mask alone."""
    (grad,) = _dense(grad)
    if x1 is not None and x2 is not None:
        x1, x2 = _dense(x1, x2)
    alive, layout = _layout(grad, mask, source1, source2)
    with _Device(grad) as (stream, threads):
        status = _core.mix_grad(
            layout,
            grad.data_ptr(),
            _address(x1),
            _address(x2),
            _address(grad1),
            _address(grad2),
            _address(grad_mask),
            stream,
            threads,
        )
    del alive
    return _ended(status, stream)


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


def _label(solve: Callable[..., int], costs: Tensors, labels: Tensor, energy: Tensor) -> bool:
    costs = _dense(*costs)
    return not solve(
        [_input(cost) for cost in costs],
        not costs[0].is_floating_point(),
        costs[0].shape,
        labels.data_ptr(),
        energy.data_ptr(),
        torch.get_num_threads(),
    )


def _ended(status: int, stream: int) -> bool:
    if status and stream >= 0:
        raise RuntimeError(f"puzzlemix: CUDA error {status}, {_core.cuda_error(status)}")
    return not status


def _dense(*tensors: Tensor) -> Tensors:
    return tuple(tensor.contiguous() for tensor in tensors)


def _input(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), _DTYPES[tensor.dtype]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _layout(
    images: Tensor, mask: Tensor, source1: Tensor | None, source2: Tensor | None
) -> tuple[list[Tensor], _core._Layout]:
    """What csrc/mix/mix.h calls a layout, and the tensors that must outlive its use."""
    (mask,) = _dense(mask)
    alive, maps = [mask], []
    for source in (source1, source2):
        if source is None:
            maps.append((0, 1, 1))
            continue
        (source,) = _dense(source.long())
        alive.append(source)
        maps.append((source.data_ptr(), source.shape[1], source.shape[2]))
    grid = mask.shape[1:]
    return alive, (_DTYPES[images.dtype], _input(mask), grid, maps[0], maps[1], images.shape)
