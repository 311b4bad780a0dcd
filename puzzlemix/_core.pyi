from typing import Any

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...

_Fault = tuple[int, int, int, int]  # fault, argument, sample, entry: see csrc/status.h

class _Kernel:
    """The entries of an operator. They take the problem by the names of csrc/*/*_bind.cpp.

    Addresses are of dense row-major layouts, 0 where there is no tensor; for the order of dtypes
    see csrc/tensor.h, for the contracts csrc/*/*.h.
    """

    @staticmethod
    def run(threads: int, **problem: Any) -> _Fault | None: ...
    @staticmethod
    def scratch_bytes(**problem: Any) -> int: ...
    @staticmethod
    def enqueue(stream: int, scratch: int, **problem: Any) -> _Fault | None:
        """In builds with CUDA."""

class _Operator(_Kernel):
    @staticmethod
    def run_on_team(seed: int, **problem: Any) -> tuple[_Fault | None, int]:
        """For tests: what the device algorithm refuses, and the number of its phases."""

grid_min_cut: _Operator
alpha_beta_swap: _Operator
exact_labeling: _Operator
labeling_energy: _Operator
assignment: _Operator
masked_transport: _Operator
mix: _Kernel
mix_grad: _Kernel
pair: _Operator

def block_sums(
    values: int,
    dtype: int,
    planes: int,
    sizes: tuple[int, int, int, int],
    sums: int,
    precise: bool,
    threads: int,
    /,
) -> None: ...
