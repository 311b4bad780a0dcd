"""The solvers and the mix: batched, compiled, bit-identical on every backend.

All functions take tensors, or NumPy arrays (then they return arrays), with any strides. Costs are
float16, bfloat16, float32 or float64, or integers, which are solved exactly as given: int32, or
int64 where the values fit into int32 (on CUDA what doesn't fit counts as the nearest that does).
Floats are rounded to integers sample by sample first, and the integers decide. Each answer is
unique: it depends neither on the backend nor on the batch, the thread count or the order of
evaluation.
`puzzlemix.reference` has the same functions in plain PyTorch.

A wrong shape, type, device or name is a ValueError or TypeError that names the argument, what was
expected and what came. On the CPU values are checked too (NaN, infinity, negative weights, int32
costs that add up to 2**30 or more: ValueError); on CUDA they are not, since that would wait for the
device, unless `debug(True)`.

On the CPU a batch is spread over `torch.get_num_threads()` threads and the GIL is released. The
functions are operators of PyTorch (`torch.ops.puzzlemix`), so that `torch.compile` traces them.

Letters: B batch, H x W grid (1x1 to 64x64), L labels (2 to 16), N rows and columns, C channels,
Y x X pixels.
"""

from ..validate.elementary import debug
from .graphcut import alpha_beta_swap, exact_labeling, grid_min_cut, labeling_energy
from .mix import mix
from .puzzle import puzzle_plan
from .transport import assignment, masked_transport

__all__ = [
    "alpha_beta_swap",
    "assignment",
    "debug",
    "exact_labeling",
    "grid_min_cut",
    "labeling_energy",
    "masked_transport",
    "mix",
    "puzzle_plan",
]
