from typing import Any

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...

_Fault = tuple[int, int, int, int]  # fault, argument, sample, entry: see csrc/status.h

<<<<<<< HEAD
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
=======
_Input = tuple[int, int]  # address, dtype
_Where = tuple[int, int, int]  # place, what it takes, scratch memory: see csrc/where.h
>>>>>>> mix

def block_sums(
<<<<<<< HEAD
    values: int,
    dtype: int,
    planes: int,
    sizes: tuple[int, int, int, int],
    sums: int,
    precise: bool,
    threads: int,
    /,
) -> None: ...
=======
    values: _Input, planes: int, sizes: Sequence[int], sums: int, precise: bool, threads: int, /
) -> int: ...

class MixLayout:
    def __init__(
        self,
        *,
        dtype: int,
        mask: int,
        mask_step: int,
        mask_rows: int,
        mask_cols: int,
        source1: int,
        rows1: int,
        cols1: int,
        source2: int,
        rows2: int,
        cols2: int,
        partner: int,
        batch: int,
        others: int,
        channels: int,
        height: int,
        width: int,
        trusted: bool,
    ) -> None: ...

class MixProblem:
    def __init__(self, layout: MixLayout, *, x1: int, x2: int, out: int) -> None: ...

class MixGradProblem:
    def __init__(
        self,
        layout: MixLayout,
        *,
        grad: int,
        x1: int,
        x2: int,
        grad1: int,
        grad2: int,
        grad_mask: int,
        inverse: int,
    ) -> None: ...

_Ended = tuple[int, int, int, int] | int | None  # a fault on the CPU, a cudaError_t, or all is well

def mix(problem: MixProblem, where: _Where, /) -> _Ended: ...
def mix_grad(problem: MixGradProblem, where: _Where, /) -> _Ended: ...
def check_labels(labels: int, batch: int, classes: int, /) -> tuple[int, int, int, int] | None: ...
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
) -> tuple[int, int, int, int] | None: ...
>>>>>>> mix
