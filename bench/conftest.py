"""How a benchmark is timed: the fixture ``timed``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .cases import CPUS, ON_GPU, SLOW_REFERENCE, THREADED, WAYS, Ours
from .instances import photograph_saliency

FEW = 2
"""Samples for a reference, and where nothing is timed."""
MOST_ROUNDS = 2000
SHORT = 5e-4
"""Seconds of a round, where calls are shorter and need nothing made before each."""
LONG = 1.0
"""Seconds of a call from which one round is enough, after one to warm up."""
FLUSHED = 256 * 2**20
"""Bytes that are written to flush a GPU's cache: several times what any has."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--threads",
        type=lambda text: CPUS if text == "all" else int(text),
        default=1,
        metavar="N|all",
        help="threads of puzzlemix and PyTorch; their peers have one",
    )


PACKAGES = (
    "torch", "numpy", "PyMaxflow", "gco-wrapper", "scipy", "lapx", "kornia", "torchvision", "timm",
)  # fmt: skip


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """What else decides a time: threads, and versions of those that are timed."""
    machine_info["threads"] = config.getoption("threads")
    machine_info["versions"] = {}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            machine_info["versions"][package] = metadata.version(package)


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """The distance of the quartiles over the median, in place of all single times."""
    for found in output_json["benchmarks"]:
        stats = found["stats"]
        stats.pop("data", None)
        stats["spread"] = stats["iqr"] / stats["median"] if stats["rounds"] > 1 else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count processor time, to which others' work on the machine adds nothing, where one thread
    does all of the work; else time on the clock."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            by = item.callspec.params["by"]
            alone = config.getoption("threads") == 1 and by not in (*THREADED, *ON_GPU)
            timer = time.process_time if alone else time.perf_counter
            item.add_marker(pytest.mark.benchmark(timer=timer))


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Any:
    """Peers have one thread, so by default the library gets one."""
    before = torch.get_num_threads()
    by = request.node.callspec.params["by"]
    torch.set_num_threads(WAYS.get(by, Ours()).threads or request.config.getoption("threads"))
    yield
    torch.set_num_threads(before)


class Timed:
    """Times what ``by`` does for ``case``, in as many rounds as fit into pytest-benchmark's
    ``--benchmark-max-time``, after calls that warm up and tell how long one takes."""

    def __init__(self, benchmark: Any, case: Any, by: str, config: pytest.Config) -> None:
        self.benchmark = benchmark
        self.way = WAYS.get(by, Ours())
        self.once = by == SLOW_REFERENCE
        self.batch = min(case.batch, FEW) if self.once or benchmark.disabled else case.batch
        """Samples that this one solves: fewer than the case has where they take seconds."""
        self.seconds = float(config.getoption("benchmark_max_time"))
        self.least_rounds = int(config.getoption("benchmark_min_rounds"))
        benchmark.group = case.work
        benchmark.name = by
        # What a time counts: a sample, or the whole call where calls are compared.
        counted = 1 if getattr(case, "per_call", False) else self.batch
        self.note(batch=counted)

    def note(self, **facts: Any) -> None:
        """Facts that go into the JSON beside the times."""
        self.benchmark.extra_info.update(facts)

    def __call__(self, solve: Callable[..., Any], fresh: Callable[[], Any] | None = None) -> Any:
        """Call ``solve()``, or ``solve(fresh())`` where each round needs something new, whose
        making is not timed. Returns what the last call returned."""

        def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
            if self.way.cold:
                flush()
            return ((fresh(),) if fresh else ()), {}

        def closure(*given: Any) -> Any:
            result = solve(*given)
            if self.way.device == "cuda":
                torch.cuda.synchronize()
            return result

        def call() -> float:
            given, _ = setup()
            start = time.perf_counter()
            closure(*given)
            return time.perf_counter() - start

        rounds, calls = 1, 1
        if self.benchmark.enabled:
            self.note(calibration=calibration())
            if not self.once:
                rounds, calls = self._rounds(call, alike=fresh is None and not self.way.cold)
        if calls > 1:
            return self.benchmark.pedantic(closure, rounds=rounds, iterations=calls)
        return self.benchmark.pedantic(closure, setup=setup, rounds=rounds)

    def _rounds(self, call: Callable[[], float], alike: bool) -> tuple[int, int]:
        """As many as fit, and the calls in each: reading the clock takes up to 2 us, which a short
        call would count as its own. The first call tells little where it is fast."""
        took = call()
        if took < self.seconds:
            took = min(call(), call())
        calls = max(1, int(SHORT / took)) if alike else 1
        least = 1 if took > LONG else self.least_rounds
        return min(MOST_ROUNDS, max(least, int(self.seconds / (took * calls)))), calls


@pytest.fixture
def timed(benchmark: Any, request: pytest.FixtureRequest) -> Timed:
    case, by = (request.node.callspec.params[name] for name in ("case", "by"))
    if getattr(case, "kind", "") == "real":
        try:
            photograph_saliency()
        except ImportError as error:
            pytest.skip(str(error))
    return Timed(benchmark, case, by, request.config)


def flush() -> None:
    """Write over all of the GPU's cache."""
    torch.empty(FLUSHED, dtype=torch.uint8, device="cuda").zero_()
    torch.cuda.synchronize()


_NUMBERS = np.random.default_rng(0).random(2**17)
_MATRIX = _NUMBERS[: 2**14].reshape(128, 128)


def calibration() -> float:
    """Seconds of processor time that a fixed lot of numbers takes to be sorted, multiplied and
    copied, here and now; the fastest of a few."""
    times = []
    for _ in range(5):
        start = time.process_time()
        np.sort(_NUMBERS[: 2**14])
        _MATRIX @ _MATRIX
        _NUMBERS.copy()
        times.append(time.process_time() - start)
    return min(times)
