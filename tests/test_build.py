"""The libraries that the extension is linked with, and the error without the extension."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from puzzlemix import _core

ROOT = Path(__file__).parents[1]
EXTENSION = Path(importlib.util.find_spec("puzzlemix._core").origin)

linux = pytest.mark.skipif(platform.system() != "Linux", reason="ldd and nm are Linux's")


@linux
def test_links_neither_torch_nor_the_cuda_runtime():
    linked = subprocess.run(["ldd", EXTENSION], capture_output=True, text=True, check=True).stdout
    assert "libtorch" not in linked
    assert "libc10" not in linked
    assert "libcuda" not in linked


@linux
def test_exports_its_entry_alone():
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", EXTENSION], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == ["PyInit__core"]


def test_says_what_it_was_built_with():
    count, problem = _core.cuda_devices()
    assert (count > 0) == (problem == "")
    if not _core.cuda_toolkit:
        assert problem == "this build has no CUDA"
    else:
        assert _core.cuda_architectures
    if torch.cuda.is_available() and _core.cuda_toolkit:
        assert count == torch.cuda.device_count()


def test_without_the_extension(tmp_path):
    """Importing a checkout without the extension raises an error that says what to do."""
    package = Path(_core.__file__).parent
    for source in package.rglob("*.py"):
        copy = tmp_path / "puzzlemix" / source.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(source.read_text())
    code = (
        f"import sys, torch, numpy; sys.path[:] = [{str(tmp_path)!r}] + "
        "[p for p in sys.path if 'site-packages' not in p]\n"
        "import puzzlemix"
    )
    # In another folder, as the checkout may have a built extension.
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode != 0
    assert "run `pip install .` in the project's root" in run.stderr


EVERY = "75-real;80-real;86-real;89-real;90-real;100-real;120"


checkout = pytest.mark.skipif(
    not (ROOT / "cmake").is_dir() or not (ROOT / ".github").is_dir(),
    reason="tests alone, or a source distribution",
)


@checkout
@pytest.mark.skipif(shutil.which("cmake") is None, reason="builds bring CMake with them")
@pytest.mark.parametrize(
    ("given", "architectures"),
    [
        ({"PUZZLEMIX_CUDA": "AUTO", "PUZZLEMIX_DRIVER": "OFF"}, "75-virtual"),
        ({"PUZZLEMIX_CUDA": "AUTO", "PUZZLEMIX_DRIVER": "ON"}, EVERY),
        ({"PUZZLEMIX_CUDA": "ON", "PUZZLEMIX_DRIVER": "OFF"}, EVERY),
        (
            {"PUZZLEMIX_CUDA": "ON", "CMAKE_CUDA_COMPILER_VERSION": "12.4.131"},
            "75-real;80-real;86-real;89-real;90",
        ),
        (
            {"PUZZLEMIX_DRIVER": "OFF", "PUZZLEMIX_CUDA_ARCHITECTURES": "80-real;90"},
            "80-real;90",
        ),
    ],
)
def test_architectures(given, architectures):
    """All of them, unless a list is given or a machine without a driver builds for itself."""
    values = {"PUZZLEMIX_CUDA": "AUTO", "CMAKE_CUDA_COMPILER_VERSION": "13.0.48"} | given
    options = [f"-D{name}={value}" for name, value in values.items()]
    command = ["cmake", *options, "-P", str(ROOT / "cmake" / "architectures.cmake")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.split() == [architectures]
    assert ("PUZZLEMIX_CUDA=OFF skips CUDA" in done.stdout) == (architectures == "75-virtual")


@checkout
def test_published_wheels_have_every_architecture():
    """AUTO would leave machine code out where wheels are built: no driver is there."""
    assert (
        "CIBW_ENVIRONMENT_LINUX=PUZZLEMIX_CUDA=ON"
        in (ROOT / ".github" / "workflows" / "wheels.yml").read_text()
    )
