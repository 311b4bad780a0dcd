from collections.abc import Sequence

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...
def cuda_error(code: int, /) -> str: ...

# Addresses and sizes in, a status out: 0 where all is well. For the order of dtypes see
# csrc/tensor.h; the contracts stand in csrc/*/*.h.

_Input = tuple[int, int]  # address, dtype
_Where = tuple[int, int, int]  # place, what it takes, scratch memory: see csrc/where.h

# These return a status on the CPU, a cudaError_t on CUDA, bytes of scratch memory where that is
# to be measured, and the number of phases of a team.
def grid_min_cut(
    costs: Sequence[_Input],
    integers: bool,
    shape: Sequence[int],
    segment: int,
    flow: int,
    where: _Where,
    /,
) -> int: ...
def alpha_beta_swap(
    costs: Sequence[_Input],
    integers: bool,
    label_cost_in_host_memory: bool,
    shape: Sequence[int],
    labels: int,
    energy: int,
    max_cycles: int,
    where: _Where,
    /,
) -> int: ...
def exact_labeling(
    costs: Sequence[_Input],
    integers: bool,
    label_cost_in_host_memory: bool,
    shape: Sequence[int],
    labels: int,
    energy: int,
    where: _Where,
    /,
) -> int: ...
def labeling_energy(
    costs: Sequence[_Input],
    integers: bool,
    label_cost_in_host_memory: bool,
    shape: Sequence[int],
    labels: int,
    energy: int,
    where: _Where,
    /,
) -> int: ...
def assignment(
    cost: _Input,
    batch: int,
    n: int,
    exact: bool,
    source: int,
    total: int,
    where: _Where,
    /,
) -> int: ...
def masked_transport(
    saliency: _Input,
    mask: _Input,
    shape: Sequence[int],
    xi: float,
    indicator: bool,
    exact: bool,
    source: int,
    total: int,
    where: _Where,
    /,
) -> int: ...
def pair(
    cells: Sequence[_Input],
    partner: int,
    shares: int,
    log_prior: int,
    sources: int,
    moved: bool,
    batch: int,
    images: int,
    sizes: Sequence[int],  # C, Y', X', h, w, h', w'
    model: tuple[int, float, float, float, float, bool],  # labels, smoothness, gamma, eta, xi, ...
    costs: Sequence[int],
    label: int,
    terms: int,
    where: _Where,
    /,
) -> int: ...
def block_sums(
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
