"""The fuzz targets build and survive a thousand inputs; tools/fuzz.sh takes more."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("*.cpp"))
PROBE = 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }\n'
RUNS = 1000


@pytest.fixture(scope="module")
def clang(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a clang with the fuzzer's runtime, if there is one."""
    compiler = shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs clang")
    source = tmp_path_factory.mktemp("probe") / "probe.cpp"
    source.write_text(PROBE)
    flags = ["-fsanitize=fuzzer,address,undefined", "-o", str(source.with_suffix(""))]
    built = subprocess.run([compiler, *flags, str(source)], capture_output=True, check=False)
    if built.returncode:
        pytest.skip("needs clang's fuzzer runtime")
    return compiler


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_inputs(target: str, clang: str, tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": clang, "PUZZLEMIX_FUZZ": str(tmp_path)}
    run = subprocess.run(
        ["bash", str(ROOT / "tools" / "fuzz.sh"), str(RUNS), target],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"stat::number_of_executed_units: {RUNS}" in run.stderr
