"""How much memory a call takes at its peak."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mib(call: Callable[[], Any]) -> float | None:
    """What is resident at most during a call, above what was before, results included; in MiB.

    None where the system doesn't count it (Linux does).
    """
    try:
        # Freed memory that the allocator kept would hide what the call takes.
        ctypes.CDLL(None).malloc_trim(0)
        before = _resident("VmRSS")
        _CLEAR.write_text("5")  # the peak starts anew from here
        call()
        return (_resident("VmHWM") - before) / 1024
    except (OSError, AttributeError):
        return None


def _resident(name: str) -> int:
    """A line of the process's status, in KiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {name}")
    return int(found[1])
