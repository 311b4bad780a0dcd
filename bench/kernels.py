"""What the kernels are made of: `python -m bench.kernels [FILE]`, no GPU needed.

Reads the machine code of an extension with CUDA (the installed one), or of an object, by cuobjdump:
registers, stack frame and code of each kernel, and of the loop in which one warp cuts, or four
(csrc/graphcut/warp_cut.h), the instructions and an estimate of the cycles. The estimate lets every
instruction wait for what it reads, one a cycle at most, with latencies that others have measured;
of other warps it knows only what a barrier with them is taken for. Prints Markdown.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from puzzlemix import _core

# Cycles from issue to result on Hopper: a shuffle, a load from shared memory, a vote, all else;
# what a branch that is taken costs, and a barrier of four warps until the next instruction.
LATENCIES = {"SHFL": 24, "LDS": 30, "VOTE": 13}
ARITHMETIC, BRANCH, BARRIER = 5, 8, 40


@dataclass(frozen=True)
class Kernel:
    name: str
    registers: int
    stack: int
    """Bytes a thread: arrays that are indexed at run time, and registers spilled."""
    shared: int
    """Bytes known at compile time."""


@dataclass(frozen=True)
class Instruction:
    address: int
    text: str

    @property
    def name(self) -> str:
        return self.text.split()[0 if self.text[0] != "@" else 1].split(".")[0]

    @property
    def target(self) -> int | None:
        """Where a branch leads."""
        found = re.search(r"BRA .*?0x([0-9a-f]+)", self.text)
        return int(found[1], 16) if found else None

    @property
    def takes_memory(self) -> bool:
        return bool(re.match(r"(LD|ST|ATOM|RED)", self.name)) and self.name != "LDC"


def tool() -> str | None:
    """Where cuobjdump is: CUDA's or that of PyPI's nvidia-cuda-cuobjdump."""
    if found := shutil.which("cuobjdump"):
        return found
    for folder in map(Path, sys.path):
        if beside := sorted(folder.glob("nvidia/cu*/bin/cuobjdump")):
            return str(beside[-1])
    return None


def kernels(file: Path, architecture: str = "sm_90") -> list[Kernel]:
    """All kernels in an extension or an object."""
    text = _dump(file, "-res-usage", "-arch", architecture)
    found = re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", text)
    return [Kernel(name, int(r), int(s), int(m)) for name, r, s, m in found]


def programs(file: Path, architecture: str = "sm_90") -> dict[str, list[Instruction]]:
    """The instructions of each kernel, by its name."""
    found: dict[str, list[Instruction]] = {}
    for line in _dump(file, "-sass", "-arch", architecture).splitlines():
        if named := re.match(r"\s+Function : (\w+)", line):
            program = found.setdefault(named[1], [])
        elif each := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(\S.*?)\s*;", line):
            program.append(Instruction(int(each[1], 16), each[2]))
    return found


def _dump(file: Path, *options: str) -> str:
    program = tool()
    assert program, "cuobjdump is missing: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm"
    command = [program, *options, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def loops(program: list[Instruction]) -> Iterator[list[Instruction]]:
    """The bodies of all loops: what a branch that leads back encloses."""
    at = {instruction.address: i for i, instruction in enumerate(program)}
    for i, instruction in enumerate(program):
        first = at.get(instruction.target) if instruction.target is not None else None
        if first is not None and first <= i:
            yield program[first : i + 1]


@dataclass(frozen=True)
class CutLoops:
    """The loop of a cut: a search, whose levels are a loop in it, admission, two push steps."""

    whole: list[Instruction]
    level: list[Instruction]

    @classmethod
    def of(cls, program: list[Instruction]) -> CutLoops | None:
        pushing = [body for body in loops(program) if _count(body, "VIADDMNMX.RELU") >= 28]
        if not pushing:
            return None
        whole = min(pushing, key=len)
        voting = [body for body in loops(whole) if _count(body, "VOTE")]
        return cls(whole, min(voting, key=len))

    def cycles(self) -> tuple[float, float]:
        """Estimated: of a level, and of a search and its pushes without levels."""
        first = self.whole.index(self.level[0])
        last = first + len(self.level)
        times = [
            _cycles([*self.whole[:first], *n * self.level, *self.whole[last:]]) for n in (2, 10)
        ]
        level = (times[1] - times[0]) / 8
        return level, times[0] - 2 * level


def _count(body: list[Instruction], word: str) -> int:
    return sum(word in instruction.text for instruction in body)


def _cycles(body: list[Instruction]) -> int:
    ready: defaultdict[str, int] = defaultdict(int)
    now = 0
    for instruction in body:
        names = re.findall(r"\bU?[RP]\d+\b", instruction.text)
        guard = instruction.text[0] == "@"
        operands = names[1:] if guard else names
        # The first operands are results: one register, or predicates and perhaps a register.
        results = operands[:1]
        reads = names if instruction.target is not None else [n for n in names if n not in results]
        reads += results if operands.count(results[0] if results else "") > 1 else []
        now = max(now + 1, *(ready[name] for name in reads), 0)
        now += BARRIER if instruction.name == "BAR" else 0
        for name in results:
            ready[name] = now + LATENCIES.get(instruction.name, ARITHMETIC)
        if instruction.target is not None and instruction.target <= instruction.address:
            now += BRANCH
    return now


def short(kernel: str) -> str:
    """The types in a mangled name, but for those that all have."""
    words, rest = [], kernel
    while found := re.search(r"(\d+)(?=[A-Za-z_])", rest):
        length = int(found[1])
        word = rest[found.end() : found.end() + length]
        words.append(word)
        rest = rest[found.end() + length :]
    return " ".join(w for w in words if w not in ("puzzlemix", "solve_kernel", "Problem"))


def main() -> None:
    print("| kernel | registers | stack | instructions | of a cut's loop | level | the rest |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    file = Path(sys.argv[1] if len(sys.argv) > 1 else str(_core.__file__))
    code = programs(file)
    for kernel in kernels(file):
        program = code[kernel.name]
        cut = CutLoops.of(program)
        figures = ["", "", ""]
        if cut:
            level, rest = cut.cycles()
            figures = [
                str(len(cut.whole)),
                f"{len(cut.level)}, {level:.0f} cycles",
                f"{rest:.0f} cycles",
            ]
        row = [short(kernel.name), kernel.registers, kernel.stack, len(program), *figures]
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
