from collections.abc import Callable
from typing import Any

from torch import Tensor

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...

_Fault = tuple[int, int, int, int]  # fault, argument, sample, entry: see csrc/status.h

class _Kernel:
    """The entries of an operator: a submodule, whose functions take its arguments by name or in the
    order of ``fields``.

    csrc/*/*_bind.cpp has the names, csrc/*/*.h the contracts. Tensors are dense, or None.
    """

    fields: tuple[str, ...]

    @staticmethod
    def run(threads: int, *problem: Any, **named: Any) -> _Fault | None: ...
    @staticmethod
    def enqueue(
        stream: int, allocate: Callable[[int], Tensor], *problem: Any, **named: Any
    ) -> _Fault | None:
        """In builds with CUDA. ``allocate`` returns a tensor of so many bytes."""

class _Operator(_Kernel):
    @staticmethod
    def run_on_team(seed: int, **problem: Any) -> tuple[_Fault | None, int, int, int]:
        """For tests: what the device algorithm refuses, and the number of its phases."""

    @staticmethod
    def scratch_bytes(**problem: Any) -> int:
        """For tests: the memory that the device algorithm needs."""

grid_min_cut: _Operator
alpha_beta_swap: _Operator
exact_labeling: _Operator
labeling_energy: _Operator
assignment: _Operator
masked_transport: _Operator
puzzle_plan: _Operator
mix: _Kernel

def are_classes(labels: Tensor, classes: int, /) -> bool: ...
def mix_labels(
    *,
    labels: Tensor,
    others: Tensor | None,
    ratio: Tensor | None,
    partner: Tensor | None,
    out: Tensor,
) -> bool: ...
