from collections.abc import Sequence

cuda_toolkit: str
cuda_architectures: str

def cuda_devices() -> tuple[int, str]: ...

# Addresses, dtypes and sizes in. For the order of dtypes see csrc/tensor.h; the contracts stand in
# csrc/*/*.h. A layout is dense and row-major.

_Fault = tuple[int, int, int, int]  # fault, argument, sample, entry: see csrc/status.h

class _OnCpu:
    def run(self, threads: int, /) -> _Fault | None: ...

class _Solved(_OnCpu):
    def scratch_bytes(self) -> int: ...
    def enqueue(self, stream: int, scratch: int, /) -> _Fault | None: ...

# For tests: the device algorithm on a host team that takes the items of each phase in an order
# drawn from a seed. Returns what it refuses, and the number of phases.
def run_on_team(problem: _Solved, seed: int, /) -> tuple[_Fault | None, int]: ...

class MinCutProblem(_Solved):
    def __init__(
        self,
        *,
        source: int,
        source_dtype: int,
        sink: int,
        sink_dtype: int,
        vertical: int,
        vertical_dtype: int,
        horizontal: int,
        horizontal_dtype: int,
        integers: bool,
        batch: int,
        height: int,
        width: int,
        segment: int,
        flow: int,
    ) -> None: ...

class _LabelingProblem(_Solved):
    label_cost_in_host_memory: bool
    def __init__(
        self,
        *,
        unary: int,
        unary_dtype: int,
        vertical: int,
        vertical_dtype: int,
        horizontal: int,
        horizontal_dtype: int,
        label_cost: int,
        label_cost_dtype: int,
        label_cost_in_host_memory: bool,
        integers: bool,
        batch: int,
        height: int,
        width: int,
        labels: int,
        out: int,
        energy: int,
        max_cycles: int = -1,
    ) -> None: ...

class SwapProblem(_LabelingProblem): ...
class ExactLabelingProblem(_LabelingProblem): ...
class LabelingEnergyProblem(_LabelingProblem): ...

class AssignmentProblem(_Solved):
    def __init__(
        self,
        *,
        cost: int,
        cost_dtype: int,
        batch: int,
        n: int,
        exact: bool,
        source: int,
        total: int,
    ) -> None: ...

class TransportProblem(_Solved):
    def __init__(
        self,
        *,
        saliency: int,
        saliency_dtype: int,
        mask: int,
        mask_dtype: int,
        batch: int,
        height: int,
        width: int,
        xi: float,
        indicator: bool,
        exact: bool,
        source: int,
        total: int,
    ) -> None: ...

class _Kernel(_OnCpu):
    def enqueue(self, stream: int, /) -> None: ...

class MixProblem(_Kernel):
    def __init__(
        self,
        *,
        shape: Sequence[int],
        dtype: int,
        mask: int,
        mask_dtype: int,
        mask_grid: Sequence[int],
        source1: int,
        grid1: Sequence[int],
        source2: int,
        grid2: Sequence[int],
        x1: int,
        x2: int,
        out: int,
    ) -> None: ...

class MixGradProblem(_Kernel):
    def __init__(
        self,
        *,
        shape: Sequence[int],
        dtype: int,
        mask: int,
        mask_dtype: int,
        mask_grid: Sequence[int],
        source1: int,
        grid1: Sequence[int],
        source2: int,
        grid2: Sequence[int],
        grad: int,
        x1: int,
        x2: int,
        grad1: int,
        grad2: int,
        grad_mask: int,
    ) -> None: ...

class PairProblem(_Solved):
    def __init__(
        self,
        *,
        cells: Sequence[int],
        dtype: int,
        partner: int,
        shares: int,
        log_prior: int,
        sources: int,
        moved: bool,
        batch: int,
        images: int,
        sizes: Sequence[int],  # C, Y', X', h, w, h', w'
        model: tuple[int, float, float, float, float, bool],
        costs: Sequence[int],
        label: int,
        terms: int,
    ) -> None: ...

def block_sums(
    values: int,
    dtype: int,
    planes: int,
    sizes: Sequence[int],
    sums: int,
    precise: bool,
    threads: int,
    /,
) -> None: ...
