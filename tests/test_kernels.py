"""Checks of the kernels' machine code, which need no GPU: cuts use registers only, but for what
four warps pass to each other."""

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
FOUR_WARPS = " FourWarpLanes"

if not KERNELS:
    pytest.skip("no machine code for sm_90 in this build", allow_module_level=True)


@pytest.mark.parametrize("name", KERNELS)
def test_a_block_fits(name: str) -> None:
    """One of 512 threads; where four warps cut, of 384."""
    assert KERNELS[name].registers <= (168 if name.endswith(FOUR_WARPS) else 128)


@pytest.mark.parametrize("name", KERNELS)
def test_no_stack_frame(name: str) -> None:
    """No array is indexed at run time, no register is spilled."""
    assert KERNELS[name].stack == 0


def test_images_are_read_by_16_bytes() -> None:
    """All types of images and of saliency: four rows together, two, or one."""
    for memory in ("SharedMemory", "SharedAndGlobalMemory"):
        name = f"DevicePool {memory} WarpLanes"
        assert sum("LDG.E.128" in one.text for one in CODE[name]) == 2 * 4 * (4 + 2 + 1)


@pytest.mark.parametrize("name", [name for name in KERNELS if " SharedMemory " in name])
def test_shared_memory_is_known_as_such(name: str) -> None:
    """No instruction finds out at run time which memory an address is in."""
    assert not {one.name for one in CODE[name]} & {"LD", "ST", "ATOM"}


def test_all_kernels_are_read() -> None:
    known = [name for name in KERNELS if " SharedMemory " in name]
    assert len(known) == 9  # all algorithms but the deciding ones
    # One warp cuts for three functions in both memories, and for a plan by two engines and two
    # transports; four do in one memory for each of these seven.
    assert len(CUTTING) == 3 * 2 + 4 + 7
    assert sum(name.endswith(FOUR_WARPS) for name in CUTTING) == 7


@pytest.mark.parametrize("name", [name for name in CUTTING if not name.endswith(FOUR_WARPS)])
def test_a_warp_cuts_in_registers(name: str) -> None:
    cut = kernels.CutLoops.of(CODE[name])
    assert cut is not None
    assert not [one for one in cut.whole if one.takes_memory]
    # No code path for diverged lanes, which would execute shuffles one by one.
    assert not [one for one in cut.whole if "BRA.DIV" in one.text or "COLLECTIVE" in one.text]
    assert len(cut.level) <= 40
    assert len(cut.whole) <= 640


@pytest.mark.parametrize("name", [name for name in CUTTING if name.endswith(FOUR_WARPS)])
def test_four_warps_cut_in_registers(name: str) -> None:
    """Shared memory passes what the first and the last row of a warp need: of a level the frontier,
    once, and of two pushes eight numbers down and eight up, each written and read by four lanes."""
    cut = kernels.CutLoops.of(CODE[name])
    assert cut is not None
    memory = [one.name for one in cut.whole if one.takes_memory]
    assert set(memory) == {"LDS", "STS"}
    assert len(memory) == 2 * (2 + 2 * 2 * 8)
    level = [one.name for one in cut.level]
    assert (level.count("LDS"), level.count("STS"), level.count("BAR")) == (2, 2, 1)
    assert [one.name for one in cut.whole].count("BAR") == 7
    assert len(cut.level) <= 80
    assert len(cut.whole) <= 720
