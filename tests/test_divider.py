"""The division by multiplication that the mix on CUDA uses, run on the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
CSRC = Path(__file__).parent.parent / "csrc"

PROGRAM = """
#include <random>
#include "mix/divider.h"

int main() {
  std::mt19937 random(1);
  const auto wrong = [](uint32_t dividend, uint32_t divisor) {
    return puzzlemix::Divider(divisor).quotient(dividend) != dividend / divisor;
  };
  for (int i = 0; i < 1000000; ++i) {
    // Divisors of any size, a few at both ends; dividends around their multiples.
    uint32_t divisor = i < 5000 ? i + 1 : i < 10000 ? 0u - (i - 4999) : random() >> random() % 32;
    if (divisor == 0) divisor = 1;
    const uint32_t dividend = random(), multiple = dividend / divisor * divisor;
    if (wrong(dividend, divisor) || wrong(multiple, divisor) || wrong(multiple - 1, divisor) ||
        wrong(0xffffffffu, divisor) || wrong(divisor, divisor)) {
      return 1;
    }
  }
}
"""


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
def test_exact_for_32_bits(tmp_path: Path) -> None:
    source, program = tmp_path / "divider.cpp", tmp_path / "divider"
    source.write_text(PROGRAM)
    subprocess.run(
        [str(COMPILER), "-std=c++17", "-O2", f"-I{CSRC}", str(source), "-o", str(program)],
        check=True,
    )
    assert subprocess.run([str(program)], check=False).returncode == 0
