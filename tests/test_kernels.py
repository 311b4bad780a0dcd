"""Checks of the kernels' machine code, which need no GPU: cuts use registers only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from puzzlemix import _core

sys.path.append(str(Path(__file__).parents[1]))

from bench import kernels

EXTENSION = Path(str(_core.__file__))

if not _core.cuda_toolkit:
    pytest.skip("a build without CUDA", allow_module_level=True)
if not kernels.tool():
    pytest.skip("cuobjdump is missing", allow_module_level=True)

KERNELS = {kernels.short(kernel.name): kernel for kernel in kernels.kernels(EXTENSION)}
CODE = {kernels.short(name): program for name, program in kernels.programs(EXTENSION).items()}
CUTTING = [name for name in KERNELS if "Swap" in name or "Exact" in name or "MinCut" in name]
CUTTING = [
    name for name in CUTTING if name.startswith(("DeviceLabeling ", "DeviceMin", "DeviceDecide"))
]

if not KERNELS:
    pytest.skip("no machine code for sm_90 in this build", allow_module_level=True)


@pytest.mark.parametrize("name", KERNELS)
def test_two_blocks_of_256_fit(name: str) -> None:
    assert KERNELS[name].registers <= 128


@pytest.mark.parametrize("name", KERNELS)
def test_no_stack_frame(name: str) -> None:
    """No array is indexed at run time, no register is spilled."""
    assert KERNELS[name].stack == 0


def test_images_are_read_by_16_bytes() -> None:
    """All types of images and of saliency: four rows together, two, or one."""
    for name in ("DevicePool SharedMemory", "DevicePool SharedAndGlobalMemory"):
        assert sum("LDG.E.128" in one.text for one in CODE[name]) == 2 * 4 * (4 + 2 + 1)


@pytest.mark.parametrize("name", [name for name in KERNELS if name.endswith(" SharedMemory")])
def test_shared_memory_is_known_as_such(name: str) -> None:
    """No instruction finds out at run time which memory an address is in."""
    assert not {one.name for one in CODE[name]} & {"LD", "ST", "ATOM"}


def test_all_kernels_are_read() -> None:
    known = [name for name in KERNELS if name.endswith(" SharedMemory")]
    assert len(known) == 9  # all algorithms but the deciding ones
    # Three functions in both memories; a plan by two engines and two transports.
    assert len(CUTTING) == 10


@pytest.mark.parametrize("name", CUTTING)
def test_a_warp_cuts_in_registers(name: str) -> None:
    cut = kernels.CutLoops.of(CODE[name])
    assert cut is not None
    assert not [one for one in cut.whole if one.takes_memory]
    # No code path for diverged lanes, which would execute shuffles one by one.
    assert not [one for one in cut.whole if "BRA.DIV" in one.text or "COLLECTIVE" in one.text]
    assert len(cut.level) <= 40
    assert len(cut.whole) <= 640
