"""Threads of the host, and those of an emulated block of CUDA: none depends on another's pace.

In a file of its own, as its programs take long to compile and files are shared out to processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ for its sanitizers")
@pytest.mark.parametrize(
    ("program", "sanitizers"),
    [
        ("races", "thread"),
        ("pool_races", "thread"),
        ("pool_races", "address,undefined"),
        ("block", ""),
    ],
)
def test_threads_do_not_race(program: str, sanitizers: str, tmp_path: Path) -> None:
    """Real threads; in "block" those of CUDA's block, emulated."""
    sources = [ROOT / f"tests/team/{program}.cpp", ROOT / "csrc/pool.cpp"]
    flags = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-pthread"]
    if sanitizers:
        flags.append(f"-fsanitize={sanitizers}")
    folders = [f"-I{ROOT / folder}" for folder in ("csrc", "tests/team")]
    built = tmp_path / program
    subprocess.run(["g++", *flags, *folders, *sources, "-o", built], check=True, timeout=300)
    options = {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=0"}
    environment = {**os.environ, **options}
    run = subprocess.run([built], capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
