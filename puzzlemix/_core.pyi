from typing import Any

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...

_Fault = tuple[int, int, int, int]  # fault, argument, sample, entry: see csrc/status.h

class _Kernel:
    """The entries of an operator: a submodule, whose functions take the problem's fields by name or
    in the order of ``fields``.

    csrc/*/*_bind.cpp has the names, csrc/*/*.h the contracts. Addresses are those of dense layouts,
    0 where there is no tensor; csrc/tensor.h numbers the dtypes.
    """

    fields: tuple[str, ...]

    @staticmethod
    def run(threads: int, *problem: Any, **named: Any) -> _Fault | None: ...
    @staticmethod
    def scratch_bytes(**problem: Any) -> int: ...
    @staticmethod
    def enqueue(stream: int, scratch: int, *problem: Any, **named: Any) -> _Fault | None:
        """In builds with CUDA."""

class _Operator(_Kernel):
    @staticmethod
    def run_on_team(seed: int, **problem: Any) -> tuple[_Fault | None, int, int, int]:
        """For tests: what the device algorithm refuses, and the number of its phases."""

grid_min_cut: _Operator
alpha_beta_swap: _Operator
exact_labeling: _Operator
labeling_energy: _Operator
assignment: _Operator
masked_transport: _Operator
puzzle_plan: _Operator
mix: _Kernel

def check_labels(labels: int, batch: int, classes: int, /) -> _Fault | None: ...
def mix_labels(
    *,
    labels: int,
    others: int,
    ratio: int,
    partner: int,
    out: int,
    batch: int,
    count: int,
    classes: int,
) -> _Fault | None: ...
