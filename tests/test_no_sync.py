"""On CUDA the host never waits and nothing is copied between host and device; without a GPU.

Fake tensors have a device and no data. Reading a value raises, and every operator that PyTorch
dispatches can be looked at: whether it takes or gives tensors of both devices, and how many launch
a kernel.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from puzzlemix import ops
from puzzlemix.objective import objective
from puzzlemix.puzzle import puzzle_mix
from puzzlemix.saliency import spectral_saliency

# Views and allocations: they launch nothing.
NO_KERNEL = {
    "alias", "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "new_empty",
    "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose",
    "unbind", "unsqueeze", "view",
}  # fmt: skip
# The position of the label cost, which may be on the CPU, among the solvers' arguments.
LABEL_COST = {"alpha_beta_swap": 3, "exact_labeling": 3, "labeling_energy": 4}
MOST_KERNELS = 40
"""The most kernels of ``puzzle_mix`` with default settings, solvers and mix included."""


class Watch(TorchDispatchMode):
    """Counts what runs on the device, and refuses what a CUDA graph can't capture."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        library, name = function.name().split(".")[0].split("::")
        if library == "prim":  # a query of a tensor's properties
            return result
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(tensor.is_cuda for tensor in given + made):
            # Kernels take numbers by value, and so do the solvers the cost of labels.
            on_host = [tensor for tensor in given if not tensor.is_cuda and tensor.dim() > 0]
            allowed = args[LABEL_COST[name]] if name in LABEL_COST else None
            assert all(tensor is allowed for tensor in on_host), f"{name}: copies from the host"
            assert all(tensor.is_cuda for tensor in made), f"{name}: copies to the host"
            crosses = {tensor.device for tensor in given} != {tensor.device for tensor in made}
            if name in ("_to_copy", "copy", "copy_", "lift", "lift_fresh", "lift_fresh_copy"):
                assert not crosses, f"{name}: from one device to another"
            if name not in NO_KERNEL:
                self.kernels.append(name)
        return result


class _Indexing(TorchFunctionMode):
    """Indexing by slices, as views; PyTorch's own indexing needs a device that isn't there."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is Tensor.__getitem__:
            return _part(*args)
        return function(*args, **(kwargs or {}))


def _part(tensor: Tensor, item: Any) -> Tensor:
    item = item if isinstance(item, tuple) else (item,)
    named = sum(part is not None and part is not Ellipsis for part in item)
    dim = 0
    for part in item:
        if part is Ellipsis:
            dim = tensor.dim() - (named - dim)
        elif part is None:
            tensor, dim, named = tensor.unsqueeze(dim), dim + 1, named + 1
        elif isinstance(part, slice):
            ends = part.start, part.stop, 1 if part.step is None else part.step
            tensor, dim = torch.ops.aten.slice.Tensor(tensor, dim, *ends), dim + 1
        else:
            tensor, named = tensor.select(dim, part), named - 1
    return tensor


@contextmanager
def watched() -> Iterator[Watch]:
    with _Indexing(), Watch() as watch:
        yield watch


@pytest.fixture(autouse=True)
def fake() -> Iterator[None]:
    with FakeTensorMode():
        yield


def pairs(
    batch: int = 5, rows: int = 32, columns: int = 32, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ...]:
    images = [torch.empty(batch, 3, rows, columns, device="cuda", dtype=dtype) for _ in range(2)]
    return (*images, *(torch.empty(batch, rows, columns, device="cuda") for _ in range(2)))


# ---- Tests of the watch -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x + torch.ones(2),
        lambda x: x.cpu(),
        lambda x: torch.ones(2).to("cuda"),
        lambda x: x + torch.ones(2).to("cuda", non_blocking=True),
        lambda x: torch.ops.aten.copy(x, torch.ones(2)),
    ],
)
def test_a_copy_is_seen(act: Callable[[Tensor], Any]) -> None:
    x = torch.empty(2, device="cuda")
    with pytest.raises((AssertionError, RuntimeError)), watched():
        act(x)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: float(x[0]),
        lambda x: x.tolist(),
    ],
)
def test_a_read_is_seen(act: Callable[[Tensor], Any]) -> None:
    x = torch.empty(2, device="cuda")
    with pytest.raises((DataDependentOutputException, RuntimeError)), watched():
        act(x)


def test_kernels_are_counted() -> None:
    x = torch.empty(2, 3, device="cuda")
    with watched() as watch:
        (x.mT[None, 1:, ..., :2] * 2).add_(0.5)
    assert watch.kernels == ["mul", "add_"]


# ---- puzzle_mix ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [1, 2, 4, 8, 16, (2, 8), (8, 4)], ids=str)
@pytest.mark.parametrize("transport", [None, "approx", "exact"])
@pytest.mark.parametrize("cycles", [1, 2])
@pytest.mark.parametrize("smoothness", ["quadratic", "bilinear"])
def test_puzzle_mix(grid: Any, transport: str | None, cycles: int, smoothness: str) -> None:
    with watched():
        result = puzzle_mix(
            *pairs(), 0.3, grid=grid, transport=transport, cycles=cycles, smoothness=smoothness
        )
    assert all(part is None or part.is_cuda for part in result)


OPTIONS: list[dict[str, Any]] = [
    {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.2)},
    {"mean": 0.5, "std": 0.25},
    {"transport_grid": 16, "cycles": 2},
    {"transport_grid": 32},
    {"labels": 2},
    {"labels": 16, "cut": "exact"},
    {"neighborhood": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(32, 32), (16, 48)], ids=str)
def test_options(options: dict[str, Any], dtype: torch.dtype, shape: tuple[int, int]) -> None:
    if shape[0] % options.get("transport_grid", 4) == 0:
        with watched():
            puzzle_mix(*pairs(5, *shape, dtype), 0.3, grid=4, **options)


def test_tensors_on_the_device() -> None:
    lam, std = torch.empty(5, device="cuda"), torch.empty(3, device="cuda")
    with watched():
        puzzle_mix(*pairs(), lam, grid=4, mean=std, std=std)


def test_lambda_from_the_cpu_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real tensor on the CPU, whose values can be checked, unlike those of a fake one.
    module = importlib.import_module("puzzlemix.validate.puzzle")
    monkeypatch.setattr(module, "expect_range", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="_to_copy"), watched():
        puzzle_mix(*pairs(), torch.empty(5), grid=4)


@pytest.mark.parametrize("grid", [2, 4, 8, 16])
def test_few_kernels(grid: int) -> None:
    with watched() as watch:
        puzzle_mix(*pairs(), 0.3, grid=grid)
    assert len(watch.kernels) <= MOST_KERNELS, watch.kernels


def test_objective() -> None:
    mask = torch.empty(5, 4, 4, device="cuda")
    source = torch.empty(5, 8, 8, device="cuda", dtype=torch.int64)
    with watched():
        objective(*pairs(), 0.3, mask, source, None, std=(0.2, 0.3, 0.2))


# ---- Saliency -----------------------------------------------------------------------------------

MOST_SPECTRAL = 15
"""The most operators of ``spectral_saliency``; one more for images that are averaged down, and one
more for half precision."""


@pytest.fixture
def kept_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let constants be cached for fake tensors too, as they are for a shape and device on CUDA."""
    module = importlib.import_module("puzzlemix.saliency")
    monkeypatch.setattr(module, "_is_passing", lambda images: False)
    module._kept_constants.cache_clear()
    yield
    module._kept_constants.cache_clear()


@pytest.mark.parametrize("batch", [1, 5, 128])
@pytest.mark.parametrize("side", [16, 32, 64, 224])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_spectral_saliency(kept_constants: None, batch: int, side: int, dtype: torch.dtype) -> None:
    images = cuda(batch, 3, side, side, dtype=dtype)
    with watched():
        spectral_saliency(images)
    with watched() as watch:
        saliency = spectral_saliency(images)
    assert saliency.shape == (batch, side, side)
    allowed = MOST_SPECTRAL + (side > 64) + (dtype == torch.bfloat16)
    assert len(watch.kernels) <= allowed, watch.kernels


# ---- The low-level functions --------------------------------------------------------------------


def cuda(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="cuda", dtype=dtype)


def test_low_level_functions() -> None:
    edges = cuda(2, 3, 4), cuda(2, 4, 3)
    label_cost = torch.empty(3, 3)
    labels, source = cuda(2, 4, 4, dtype=torch.int64), cuda(2, 4, 4, dtype=torch.int64)
    with watched() as watch:
        ops.grid_min_cut(cuda(2, 4, 4), cuda(2, 4, 4), *edges)
        ops.alpha_beta_swap(cuda(2, 4, 4, 3), *edges, label_cost)
        ops.exact_labeling(cuda(2, 4, 4, 3), *edges, label_cost)
        ops.labeling_energy(labels, cuda(2, 4, 4, 3), *edges, label_cost)
        for method in ("approx", "exact"):
            ops.assignment(cuda(2, 9, 9), method=method)
            ops.masked_transport(cuda(2, 4, 4), cuda(2, 4, 4), method=method)
        ops.mix(cuda(2, 3, 8, 8), cuda(2, 3, 8, 8), cuda(2, 4, 4), source, source)
    assert watch.kernels == [
        "grid_min_cut", "alpha_beta_swap", "exact_labeling", "labeling_energy", "assignment",
        "masked_transport", "assignment", "masked_transport", "mix",
    ]  # fmt: skip


def test_planes_of_too_many_pixels() -> None:
    x = cuda(1, 1, 2**16, 2**15)
    with pytest.raises(ValueError, match=r"x1: expected at most 2147483647 pixels a channel on"):
        ops.mix(x, x, cuda(1, 1, 1))
