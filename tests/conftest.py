"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import settings
from teams import Team

from puzzlemix import _core, ops, reference
from puzzlemix.arrays import accepts_numpy
from puzzlemix.validate.elementary import debugging

# The benchmarks, behind the installed package, which the checkout must not hide here.
sys.path.append(str(Path(__file__).parents[1]))

# One thread: for many small problems a second one costs more than it gains. Tests of threads set
# their own number.
torch.set_num_threads(1)
EXAMPLES = int(os.environ.get("PUZZLEMIX_EXAMPLES", "60"))
"""How many inputs a property is tested with."""
settings.register_profile("puzzlemix", deadline=None, max_examples=EXAMPLES)
settings.load_profile("puzzlemix")

DEVICES = ("cpu", "cuda") if _core.cuda_toolkit and torch.cuda.is_available() else ("cpu",)


def pytest_report_header() -> str:
    """Say which devices the tests run on: without a GPU they don't test the kernels."""
    if not torch.cuda.is_available():
        return "puzzlemix: no CUDA device, device algorithms run on host teams only"
    name = torch.cuda.get_device_name()
    if not _core.cuda_toolkit:
        return f"puzzlemix: built without CUDA, device {name} is not used"
    return f"puzzlemix: CUDA {_core.cuda_toolkit} build, device {name}"


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """The CPU, and the GPU if there is one."""
    return request.param


@pytest.fixture(params=["reference", "ops", "team0", "team1", *DEVICES[1:]])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The low-level functions: in plain PyTorch, compiled, by the device's algorithms on two host
    teams that take the items of each phase in different orders, and on the GPU if there is one.

    Debugging is switched on, as otherwise teams and CUDA don't check values.
    """
    if request.param in ("reference", "ops"):
        yield {"reference": reference, "ops": ops}[request.param]
        return
    on = _on_cuda if request.param == "cuda" else partial(_on_team, int(request.param[-1]))
    before = debugging()
    ops.debug(True)
    yield SimpleNamespace(**{name: on(getattr(ops, name)) for name in _SOLVERS})
    ops.debug(before)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


_SOLVERS = tuple(name for name in ops.__all__ if name != "debug")


def _on_team(seed: int, solve: Callable[..., Any]) -> Callable[..., Any]:
    """The function, solved by the device algorithms on a host team."""

    @wraps(solve)
    def call(*args: Any, **kwargs: Any) -> Any:
        with Team(seed):
            return solve(*args, **kwargs)

    return call


def _on_cuda(solve: Callable[..., Any]) -> Callable[..., Any]:
    """The function on the GPU: tensors on the CPU go there, and what it returns comes back.

    NumPy arrays become tensors first, so that they go there too. Errors are reworded to name the
    CPU, so that a test can expect one text for every backend.
    """
    of_tensors = solve.__wrapped__

    def there(value: Any) -> Any:
        on_cpu = isinstance(value, torch.Tensor) and value.device.type == "cpu"
        return value.cuda() if on_cpu else value

    def back(value: Any) -> Any:
        return value.cpu() if isinstance(value, torch.Tensor) else value

    @accepts_numpy
    @wraps(of_tensors)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = {name: there(value) for name, value in kwargs.items()}
        try:
            result = of_tensors(*map(there, args), **given)
        except (TypeError, ValueError) as error:
            text = str(error).replace("cuda:0 or cpu", "cpu").replace("cuda:0", "cpu")
            raise type(error)(text) from error
        return type(result)(*map(back, result)) if isinstance(result, tuple) else back(result)

    return call
