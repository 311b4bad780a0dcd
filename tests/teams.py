"""Host teams: the algorithms of the device, on tensors of the CPU.

A team stands in for CUDA's threads: it takes the items of each phase in an order drawn from its
seed, which must not matter. Values go unchecked, as on CUDA.
"""

from __future__ import annotations

from typing import Any

from puzzlemix.ops import border
from puzzlemix.validate.elementary import debugging
from puzzlemix.validate.values import Fault


class Team:
    """While entered, problems on the CPU are solved by a team.

    Problems without a device algorithm for teams are solved on the CPU. Every second team reads the
    label cost as from the device's memory, the others get it by value. While debugging, the CPU's
    solver checks the values first.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.phases = 0
        """The number of phases so far, of all samples. On CUDA each ends with a barrier."""
        self.shuffles = 0
        """The number of shuffles so far: numbers that lanes of a warp took from other lanes."""
        self.votes = 0
        """The number of votes so far: questions whether something holds in any lane."""

    def __enter__(self) -> Team:
        self._on_cpu = border.run_on_cpu
        border.run_on_cpu = self._run
        return self

    def __exit__(self, *exception: object) -> None:
        border.run_on_cpu = self._on_cpu

    def _run(self, operator: Any, problem: dict[str, object]) -> Fault | None:
        if not hasattr(operator, "run_on_team"):
            return self._on_cpu(operator, problem)
        if debugging() and (fault := self._on_cpu(operator, problem)):
            return fault
        if "label_cost_in_host_memory" in problem:
            problem["label_cost_in_host_memory"] = self.seed % 2 == 0
        fault, phases, shuffles, votes = operator.run_on_team(self.seed, **problem)
        self.phases += phases
        self.shuffles += shuffles
        self.votes += votes
        return fault
