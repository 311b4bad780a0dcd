"""The training loop, the data and the networks of ``examples/``, which are programs, no package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import data
import loop
import nets

__all__ = ["data", "loop", "nets"]
