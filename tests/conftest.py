"""What all tests share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from hypothesis import settings

# Many small problems: a second thread costs more than it brings, and tests of threads ask for it.
torch.set_num_threads(1)
settings.register_profile("puzzlemix", deadline=None, max_examples=60)
settings.load_profile("puzzlemix")


@pytest.fixture(params=["reference", "ops"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """The low-level functions: once in plain PyTorch, once compiled."""
    return importlib.import_module(f"puzzlemix.{request.param}")


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
