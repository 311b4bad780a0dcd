"""Puzzle Mix: saliency-guided mixup with a compiled optimisation core.

J.-H. Kim, W. Choo and H. O. Song, "Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal
Mixup", ICML 2020.
"""

from importlib import metadata as _metadata
from pkgutil import extend_path

# In a checkout the sources hide the installed package, and the compiled extension with it. This
# line lets the import find the extension there, so that `python -m pytest` works from the project's
# root.
__path__ = extend_path(__path__, __name__)

from . import reference
from .manifold import ManifoldMixUp
from .mixers import CutMix, Cutout, MixUp, PuzzleMix
from .objective import Objective, objective
from .ops import (
    alpha_beta_swap,
    assignment,
    debug,
    exact_labeling,
    grid_min_cut,
    labeling_energy,
    masked_transport,
    mix,
    puzzle_plan,
)
from .plan import Plan
from .puzzle import puzzle_mix
from .results import Assignment, GridMinCut, Labeling, PuzzleMixResult, PuzzlePlan
from .saliency import gradient_saliency, spectral_saliency
from .stored import StoredSaliency, store_saliency
from .training import puzzle_mix_backward

try:
    __version__ = _metadata.version("puzzlemix")  # the version in pyproject.toml
except _metadata.PackageNotFoundError:  # sources on the path that were never installed
    __version__ = "0+unknown"

__all__ = [
    "Assignment",
    "CutMix",
    "Cutout",
    "GridMinCut",
    "Labeling",
    "ManifoldMixUp",
    "MixUp",
    "Objective",
    "Plan",
    "PuzzleMix",
    "PuzzleMixResult",
    "PuzzlePlan",
    "StoredSaliency",
    "alpha_beta_swap",
    "assignment",
    "debug",
    "exact_labeling",
    "gradient_saliency",
    "grid_min_cut",
    "labeling_energy",
    "masked_transport",
    "mix",
    "objective",
    "puzzle_mix",
    "puzzle_mix_backward",
    "puzzle_plan",
    "reference",
    "spectral_saliency",
    "store_saliency",
]
