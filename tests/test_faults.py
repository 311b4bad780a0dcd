"""Faults around the functions: no memory, no threads, forks, inputs changed by another thread.

Most of it runs in a process of its own, which may crash or hang without taking the tests with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import itertools
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import problems
import pytest
import torch
from calls import OPTIONS, good
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import puzzlemix
from puzzlemix import PuzzleMix, spectral_saliency

TESTS = Path(__file__).parent
EXTENSION = str(Path(importlib.util.find_spec("puzzlemix._core").origin).resolve())

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets Linux's limits")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(function: Callable[..., None], *args: Any, **environment: str) -> None:
    """Run a function of this file in a fresh process, which has to end well within a minute."""
    paths = [*map(str, (TESTS, Path(puzzlemix.__file__).parents[1])), *filter(None, sys.path)]
    run_alone(
        f"import test_faults; test_faults.{function.__name__}(*{args!r})",
        PYTHONPATH=os.pathsep.join(paths),
        OMP_NUM_THREADS="1",
        **environment,
    )


def run_alone(program: str, *args: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}"


# ---- Every function, on problems that several threads share --------------------------------------

Call = Callable[[], Any]


def every_call(batch: int = 40) -> dict[str, Call]:
    """Calls by name: all functions, and all paths through their compiled code."""
    cut = problems.cut("uniform", height=8, width=8, batch=batch)
    labeling = problems.labeling("puzzle", height=8, width=8, batch=batch)
    rugged = problems.labeling("uniform", "potts", height=8, width=8, labels=4, batch=batch)
    convex = problems.labeling("uniform", "linear", height=8, width=8, labels=4, batch=batch)
    labels = labeling.unary.argmin(3)
    small = problems.matrix("uniform", count=40, batch=batch)
    large = problems.matrix("uniform", count=140, batch=batch)
    agreed = problems.matrix("agreed", count=140, batch=batch).half()
    transport = problems.transport("smooth mask", height=12, width=12, batch=batch)
    mix = problems.mix(size=(48, 48), grids=((8, 8), (12, 12), (16, 16)), batch=batch)
    images = torch.rand(batch, 3, 32, 32, generator=problems.generator(1))
    saliency = problems.saliency(problems.generator(2), batch, 32, 32)
    pairs = images, images.flip(0), saliency, saliency.flip(0), 0.4

    def gradients() -> tuple[Tensor, ...]:
        x1, x2, mask = (part.clone().requires_grad_() for part in mix[:3])
        return torch.autograd.grad(puzzlemix.mix(x1, x2, mask, *mix[3:]).sum(), (x1, x2, mask))

    def two_cycles() -> tuple[Tensor, ...]:
        result = puzzlemix.puzzle_mix(
            *pairs, grid=8, transport_grid=16, cycles=2, cut="exact", transport="exact"
        )
        return tuple(result)

    return {
        "grid_min_cut": partial(puzzlemix.grid_min_cut, *cut),
        "alpha_beta_swap": partial(puzzlemix.alpha_beta_swap, *labeling),
        "alpha_beta_swap, Potts": partial(puzzlemix.alpha_beta_swap, *rugged),
        "exact_labeling": partial(puzzlemix.exact_labeling, *labeling),
        "exact_labeling, Ishikawa": partial(puzzlemix.exact_labeling, *convex),
        "labeling_energy": partial(puzzlemix.labeling_energy, labels, *labeling),
        "assignment": partial(puzzlemix.assignment, large),
        "assignment, agreed": partial(puzzlemix.assignment, agreed),
        "assignment, exact and small": partial(puzzlemix.assignment, small, method="exact"),
        "assignment, exact": partial(puzzlemix.assignment, large, method="exact"),
        "masked_transport": partial(puzzlemix.masked_transport, *transport, weight="mask"),
        "masked_transport, exact": partial(
            puzzlemix.masked_transport, *transport, xi=0.01, weight="mask", method="exact"
        ),
        "mix": partial(puzzlemix.mix, *mix),
        "gradients of mix": gradients,
        "puzzle_mix": partial(puzzlemix.puzzle_mix, *pairs, grid=16),
        "puzzle_mix, two cycles": two_cycles,
    }


CALLS = tuple(every_call(1))
COMPILED = tuple(name for name in CALLS if not name.startswith(("gradients", "puzzle_mix")))
"""The calls in which PyTorch itself doesn't use several threads."""


def tensors(result: Any) -> list[Tensor]:
    parts = [result] if isinstance(result, Tensor) else list(result)
    return [part for part in parts if part is not None]


def same(ours: Any, theirs: Any) -> bool:
    """Whether results are equal bit for bit. By NumPy, as PyTorch would start threads, or hang
    after a fork."""
    pairs = zip(tensors(ours), tensors(theirs), strict=True)
    return all(
        mine.dtype == other.dtype and np.array_equal(mine.numpy(), other.numpy())
        for mine, other in pairs
    )


# ---- The same bits, however they are computed
# --------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_the_same_bits_on_any_number_of_threads(name, threads):
    call = every_call()[name]
    expected = call()
    for count in (1, 2, 3, 8, 64, 2):
        threads(count)
        assert same(call(), expected), count


@pytest.mark.parametrize("name", ["alpha_beta_swap", "exact_labeling", "assignment", "mix"])
def test_the_same_bits_in_any_batch(name, threads):
    """A batch gives the same as a whole, in parts, in reverse order, and sample by sample."""
    whole = every_call()[name]
    size = len(whole.args[0])

    def of(samples: slice | Tensor) -> list[Tensor]:
        parts = [part[samples] if len(part) == size else part for part in whole.args]
        return tensors(whole.func(*parts, **whole.keywords))

    expected = of(slice(None))
    threads(3)
    for step in (1, 7, 20):
        split = [of(slice(start, start + step)) for start in range(0, size, step)]
        assert same([torch.cat(parts) for parts in zip(*split, strict=True)], expected)
    assert same(of(torch.arange(size).flip(0)), [part.flip(0) for part in expected])


def test_the_same_bits_with_concurrent_callers(threads):
    """Python threads call all functions at the same time."""
    calls = every_call(20)
    expected = {name: call() for name, call in calls.items()}
    threads(3)
    order = [name for start in range(4) for name in (*CALLS[start:], *CALLS[:start])]
    with ThreadPoolExecutor(6) as callers:
        results = callers.map(lambda name: (name, calls[name]()), order, timeout=60)
        for name, result in results:
            assert same(result, expected[name]), name


# ---- Memory that runs out, and memory that stays -------------------------------------------------


class Mallinfo2(ctypes.Structure):
    """The result of glibc's mallinfo2: the fifth of ten numbers is the bytes in blocks with a
    mapping of their own, the eighth the bytes in all other blocks."""

    _fields_ = (("numbers", ctypes.c_size_t * 10),)


def memory_in_use() -> int:
    """The bytes that the C library has allocated and not freed."""
    function = ctypes.CDLL(None).mallinfo2
    function.restype = Mallinfo2
    numbers = function().numbers
    return numbers[4] + numbers[7]


counts_memory = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="counts memory as glibc 2.33 or later does"
)


def bad_calls() -> Iterator[Call]:
    """Calls that raise ValueError: one for the shape of an argument, one for a value in it."""

    def wrong(function: str, **changes: Tensor) -> Call:
        options = OPTIONS.get(function, {})
        return partial(getattr(puzzlemix, function), **options, **good(function) | changes)

    def spoilt(function: str, name: str, value: float) -> Call:
        tensor = good(function)[name].clone()
        tensor[1, -1] = value
        return wrong(function, **{name: tensor})

    for function, name, value in (
        ("grid_min_cut", "vertical", float("nan")),
        ("alpha_beta_swap", "unary", float("inf")),
        ("exact_labeling", "horizontal", -1),
        ("labeling_energy", "labels", 3),
        ("assignment", "cost", float("nan")),
        ("masked_transport", "mask", 2),
        ("puzzle_plan", "saliency2", -1),
        ("mix", "source2", 0),
    ):
        yield wrong(function, **{name: good(function)[name][None]})
        yield spoilt(function, name, value)


def leaks(call: Call, rounds_of: int = 40, each: int = 1) -> str:
    """The bytes that a call, or each of the `each` calls in it, leaves allocated; 0 without a leak.

    Caches stop growing after some rounds, whereas a leak grows in every round.
    """
    calls = rounds_of * each
    for _ in range(12):
        gc.collect()
        before = memory_in_use(), sys.getallocatedblocks()
        for _ in range(rounds_of):
            call()
        gc.collect()
        after = memory_in_use(), sys.getallocatedblocks()
        bytes_, blocks = ((b - a) / calls for a, b in zip(before, after, strict=True))
        # The C library's smallest block has 32 bytes, so a leak is at least that at each call.
        if bytes_ < 16 and blocks < 0.8:
            return ""
    return f"{bytes_} bytes, {blocks} of Python's blocks"


def call_thousands_of_times() -> None:
    def refused(call: Call) -> None:
        with pytest.raises(ValueError, match="expected"):
            call()

    torch.set_num_threads(2)
    gc.freeze()  # the collector then skips the objects of imported modules
    calls = list(every_call(2).items())
    calls += [(f"bad call {k}", partial(refused, call)) for k, call in enumerate(bad_calls())]
    for name, call in calls:
        assert not (left := leaks(call)), f"{name}: {left}"


@counts_memory
def test_thousands_of_calls_leave_nothing_behind():
    in_child(call_thousands_of_times)


def run_out_of_memory() -> None:
    """Run large calls under a limit on the address space: they fail, and small ones still work."""
    import resource

    def address_space() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    def many(function: str) -> Call:
        """Samples expanded from one, which a call would have to copy."""
        batch = 1_000_000
        arguments = {
            name: part[:1].expand(batch, *part.shape[1:]) if name != "label_cost" else part
            for name, part in good(function).items()
        }
        return partial(getattr(puzzlemix, function), **arguments)

    small = every_call(3)
    expected = {name: call() for name, call in small.items()}
    functions = {call.func.__name__ for call in small.values() if isinstance(call, partial)}
    large = {name: many(name) for name in sorted(functions - {"puzzle_mix"})}
    # In these calls the solvers need the memory, a table of doubles for each thread.
    cost = problems.matrix("uniform", count=4096, batch=2).half()
    for method in ("approx", "exact"):
        large[f"{method} tables"] = partial(puzzlemix.assignment, cost, method=method)
    for threads, (name, call) in itertools.product((1, 3), large.items()):
        torch.set_num_threads(threads)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + (16 << 20), hard))
        try:
            call()
        except MemoryError:
            kind = "tables"
        except RuntimeError as error:
            kind = "tensors" if "can't allocate memory" in str(error) else str(error)
        else:
            raise AssertionError(f"{name}: there was enough memory")
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        assert kind == ("tables" if "tables" in name else "tensors"), name
        for each in (name, "puzzle_mix"):
            assert each not in small or same(small[each](), expected[each]), (name, each)


@linux
def test_running_out_of_memory():
    in_child(run_out_of_memory)


FAULTY_NEW = r"""
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

static std::atomic<long> left{-1};
static uintptr_t first = 0, last = 0;

// Of the allocations by code between two addresses, `count` succeed, the next one fails, and all
// after it succeed. Returns how many were left before.
extern "C" long fail_after(long count, uintptr_t begin, uintptr_t end) {
  first = begin;
  last = end;
  return left.exchange(count);
}

void* operator new(size_t size) {
  const auto caller = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  if (first <= caller && caller < last && left.load() >= 0 && left.fetch_sub(1) == 0) {
    throw std::bad_alloc();
  }
  void* const memory = std::malloc(size ? size : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void* operator new[](size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
"""


def fail_every_allocation(names: tuple[str, ...]) -> None:
    """Fail each of some 25 allocations of a call: nothing leaks, and the next call works."""
    ranges = [
        [int(address, 16) for address in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(EXTENSION)
    ]
    where = min(begin for begin, _ in ranges), max(end for _, end in ranges)
    arm = ctypes.CDLL(None).fail_after
    arm.argtypes = ctypes.c_long, ctypes.c_size_t, ctypes.c_size_t
    arm.restype = ctypes.c_long
    calls = every_call(8)
    gc.freeze()  # the collector then skips the objects of imported modules

    for threads, name in itertools.product((1, 3), names):
        torch.set_num_threads(threads)
        call = calls[name]
        expected = call()
        arm(10**9, *where)
        call()
        allocations = 10**9 - arm(-1, *where)
        assert allocations > 0, f"{name}: no allocation was seen"
        chosen = range(0, allocations, 1 + allocations // 25)

        def fail_each(call=call, chosen=chosen, expected=expected) -> None:
            for number in chosen:
                arm(number, *where)
                with contextlib.suppress(MemoryError):
                    # If a thread could not be started, the others do its work and the call
                    # succeeds.
                    assert same(call(), expected)
                arm(-1, *where)
                assert same(call(), expected)

        assert not (left := leaks(fail_each, 1, 2 * len(chosen))), (
            f"{name}, {threads} threads: {left}"
        )


@pytest.fixture(scope="session")
def faulty_new(tmp_path_factory):
    """Build a library to be preloaded, whose `operator new` fails on request."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "new.cpp").write_text(FAULTY_NEW)
    library = folder / "new.so"
    compile_ = ["g++", "-O1", "-shared", "-fPIC", folder / "new.cpp", "-o", library]
    subprocess.run(compile_, check=True, timeout=60)
    return library


@linux
@counts_memory
@pytest.mark.parametrize("part", range(2))
def test_any_allocation_may_fail(part, faulty_new):
    in_child(fail_every_allocation, CALLS[part::2], LD_PRELOAD=str(faulty_new))


def start_no_thread(limit: str) -> None:
    """Without new threads the caller does all the work; later calls use threads again."""
    import resource

    def count() -> int:
        return len(os.listdir("/proc/self/task"))

    calls = {name: call for name, call in every_call().items() if name in COMPILED}
    expected = {name: call() for name, call in calls.items()}
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = count()
    which = resource.RLIMIT_AS if limit == "memory" else resource.RLIMIT_NPROC
    _, hard = resource.getrlimit(which)
    if limit == "memory":
        resource.setrlimit(which, (size + (7 << 20), hard))  # a stack takes 8 MB
    else:
        if os.getuid() == 0:
            os.setuid(65534)  # root isn't limited
        resource.setrlimit(which, (0, hard))
    torch.set_num_threads(5)
    for name, call in calls.items():
        assert same(call(), expected[name]), name
    assert count() == before, "the limit did not keep threads from starting"
    resource.setrlimit(which, (hard, hard))
    assert same(calls["alpha_beta_swap"](), expected["alpha_beta_swap"])
    assert count() == before + 4


@linux
@pytest.mark.parametrize("limit", ["memory", "processes"])
def test_no_thread_can_be_started(limit):
    in_child(start_no_thread, limit)


# ---- Processes -----------------------------------------------------------------------------------


def fork_during_solves() -> None:
    """Fork hundreds of times, mostly while other threads run compiled code."""
    torch.set_num_threads(3)
    calls = every_call(8)
    expected = {name: calls[name]() for name in COMPILED}
    done = threading.Event()

    def solve(start: int) -> None:
        for name in itertools.cycle((*COMPILED[start:], *COMPILED[:start])):
            if done.is_set():
                return
            assert same(calls[name](), expected[name])

    solvers = [threading.Thread(target=solve, args=(start,)) for start in range(3)]
    for solver in solvers:
        solver.start()
    children = []
    for number in range(120):
        name = COMPILED[number % len(COMPILED)]
        child = os.fork()
        if child == 0:
            well = all(same(calls[name](), expected[name]) for _ in range(2))
            os._exit(0 if well else 1)
        children.append((child, name))
        if len(children) == 4 or number == 119:
            await_exit(children)
            children = []
    done.set()
    for solver in solvers:
        solver.join()


def await_exit(children: list[tuple[int, str]], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    for child, name in children:
        while True:
            process, status = os.waitpid(child, os.WNOHANG)
            if process:
                break
            if time.monotonic() > end:
                for hung, _ in children:
                    os.kill(hung, 9)
                raise AssertionError(f"{name}: hung in a forked child")
            time.sleep(0.002)
        assert os.waitstatus_to_exitcode(status) == 0, (name, status)


@forks
def test_forks_while_other_threads_solve():
    in_child(fork_during_solves)


def solve_in_pool(problem: list[np.ndarray]) -> np.ndarray:
    torch.set_num_threads(3)
    return puzzlemix.alpha_beta_swap(*problem).labels


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_pool_of_processes(threads):
    """Each task runs in a process forked while threads of the pool and the solvers exist."""
    given = [
        [
            part.numpy()
            for part in problems.labeling("puzzle", seed=seed, height=8, width=8, batch=60)
        ]
        for seed in range(24)
    ]
    threads(3)
    expected = [solve_in_pool(problem) for problem in given]
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        results = pool.map_async(solve_in_pool, given, chunksize=1).get(timeout=30)
    assert np.array_equal(results, expected)


class Collate:
    """Returns a batch and its mixes, and a solve on several threads, though loaders set one."""

    def __init__(self) -> None:
        self.mixer = PuzzleMix(
            num_classes=10, grids=(8,), saliency=spectral_saliency, per_sample=True
        )
        self.problem = problems.labeling("puzzle", height=8, width=8, batch=60)

    def __call__(self, samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        images, labels = (torch.stack(parts) for parts in zip(*samples, strict=True))
        torch.manual_seed(int(labels.sum()))
        mixed, soft_labels = self.mixer(images, labels)
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        solved = puzzlemix.alpha_beta_swap(*self.problem)
        torch.set_num_threads(before)
        return images, labels, mixed, soft_labels, *solved


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_mixing_in_the_workers_of_a_loader(method, threads):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    images = torch.rand(96, 3, 32, 32, generator=problems.generator(0))
    data = TensorDataset(images, torch.arange(96) % 10)
    threads(3)
    collate = Collate()
    collate(list(data)[:32])  # starts threads, which a forked worker doesn't have
    loader = DataLoader(
        data,
        batch_size=32,
        num_workers=2,
        collate_fn=collate,
        multiprocessing_context=method,
        timeout=30,
    )
    count = 0
    for batch in loader:
        assert same(collate(list(zip(*batch[:2], strict=True))), batch)
        count += 1
    assert count == 3


# ---- Inputs that another thread changes ----------------------------------------------------------

NAN, INFINITE = float("nan"), float("inf")
WILD = (NAN, -1e300, 1e300, INFINITE, 0.5)
FAR = (10**12, -(10**12), 5, 0)


def changing_calls() -> Iterator[tuple[str, Call, Tensor, tuple[float, ...]]]:
    """Tuples of a name, a call, the argument to be changed, and the values written to it."""
    calls = every_call(16)
    for name, index, values in (
        ("grid_min_cut", 0, WILD),
        ("grid_min_cut", 2, WILD),
        ("alpha_beta_swap", 0, WILD),
        ("alpha_beta_swap, Potts", 1, WILD),
        ("exact_labeling", 0, WILD),
        ("exact_labeling, Ishikawa", 2, WILD),
        ("exact_labeling, Ishikawa", 3, WILD),
        ("labeling_energy", 0, FAR),
        ("assignment", 0, WILD),
        ("assignment, agreed", 0, (NAN, -60000.0, 60000.0, INFINITE)),
        ("assignment, exact and small", 0, WILD),
        ("assignment, exact", 0, WILD),
        ("masked_transport", 0, WILD),
        ("masked_transport, exact", 1, WILD),
        ("mix", 2, (NAN, -60000.0, 60000.0, INFINITE)),
        ("mix", 3, FAR),
    ):
        yield f"{name}, argument {index}", calls[name], calls[name].args[index], values
    agreed = -torch.arange(140)[:, None] * torch.arange(140).expand(4, 1, 140)
    for method in ("approx", "exact"):
        cost = agreed.int().contiguous()
        ends = (2**31 - 1, -(2**31), 7)
        yield f"{method} int32", partial(puzzlemix.assignment, cost, method=method), cost, ends


def change_while_solving() -> None:
    torch.set_num_threads(2)
    for name, call, changed, values in changing_calls():
        proper, flat, done = changed.clone(), changed.view(-1), threading.Event()

        def change(flat=flat, proper=proper, values=values, changed=changed, done=done) -> None:
            for number in itertools.count():
                flat[number * 7919 % len(flat)] = values[number % len(values)]
                if number % 3 == 2:
                    changed.copy_(proper)
                if done.is_set():
                    return

        expected = tensors(call())
        with ThreadPoolExecutor(1) as pool:
            changing = pool.submit(change)
            end = time.monotonic() + 0.5
            try:
                while time.monotonic() < end:
                    try:
                        result = tensors(call())
                    except ValueError:
                        continue
                    assert valid(name, result), name
            finally:
                done.set()
            changing.result()
        changed.copy_(proper)
        assert same(call(), expected), name


def valid(name: str, result: list[Tensor]) -> bool:
    """Whether a result is valid: labels are in range, and permutations are permutations."""
    if name.startswith(("alpha_beta_swap", "exact_labeling")):
        return bool(((result[0] >= 0) & (result[0] < 4)).all())
    if len(result) == 2 and not name.startswith("grid_min_cut"):
        source = result[0].flatten(1)
        return torch.equal(source.sort(1).values, torch.arange(source.shape[1]).expand_as(source))
    return True


def test_inputs_that_change_meanwhile():
    """The result is meaningless then, but it is valid, and nothing crashes."""
    in_child(change_while_solving)


# ---- Interpreters --------------------------------------------------------------------------------

SOLVES = """
import importlib.util, sys, torch

gil = getattr(sys, "_is_gil_enabled", lambda: True)
before = gil()
spec = importlib.util.spec_from_file_location("_core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
count, batch = 30, 20
cost = torch.rand(batch, count, count)
source = torch.empty(batch, count, dtype=torch.int64)
total = torch.empty(batch, dtype=torch.float64)
for _ in range(50):
    assert core.assignment.run(2, cost, True, source, total) is None
    assert (source.sort(1).values == torch.arange(count)).all()
assert gil() == before
"""


def test_the_extension_by_itself():
    """Without the package around it; on a Python without a GIL it leaves that off."""
    run_alone(SOLVES, EXTENSION)
