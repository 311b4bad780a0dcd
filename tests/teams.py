"""Host teams: the algorithms of the device, on tensors of the CPU.

A team stands in for CUDA's threads: it takes the items of each phase in an order drawn from its
seed, which must not matter. Values go unchecked, as on CUDA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from puzzlemix import _core, ops, validate


class Team:
    """While entered, problems on the CPU are solved by a team.

    Those that have no device algorithm for teams are solved as ever. Every second team reads the
    label cost as from the device, the others by value. While debugging, the solver of the CPU
    looks at the values first.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.phases = 0
        """How many phases there were so far, of all samples: barriers, on CUDA."""

    def __enter__(self) -> Team:
        self._on_cpu: Callable[[Any], validate.Fault | None] = ops.run_on_cpu
        ops.run_on_cpu = self._run
        return self

    def __exit__(self, *exception: object) -> None:
        ops.run_on_cpu = self._on_cpu

    def _run(self, problem: Any) -> validate.Fault | None:
        if isinstance(problem, (_core.MixProblem, _core.MixGradProblem)):
            return self._on_cpu(problem)
        if validate.debugging() and (fault := self._on_cpu(problem)):
            return fault
        if hasattr(problem, "label_cost_in_host_memory"):
            problem.label_cost_in_host_memory = self.seed % 2 == 0
        fault, phases = _core.run_on_team(problem, self.seed)
        self.phases += phases
        return fault
