"""The operators in plain PyTorch: what they mean, written to be read.

Same signatures, results and errors as in ``puzzlemix.ops``, on any device. Labels and permutations
are the very same; energies and totals agree to rounding. Nothing here is a fallback: it is what the
compiled functions are held against, and it always looks at the values it is given.
"""

from .graphcut import alpha_beta_swap, exact_labeling, grid_min_cut, labeling_energy
from .mix import mix
from .puzzle import puzzle_plan
from .transport import assignment, masked_transport

__all__ = [
    "alpha_beta_swap",
    "assignment",
    "exact_labeling",
    "grid_min_cut",
    "labeling_energy",
    "masked_transport",
    "mix",
    "puzzle_plan",
]
