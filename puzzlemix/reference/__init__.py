"""The operators in plain PyTorch: what they mean, written to be read.

Signatures, results and errors are those of ``puzzlemix.ops``, on any device. Labels and
permutations are equal, energies and totals agree up to rounding. Nothing here is a fallback: the
tests compare the compiled functions with it. Values are always checked.
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
