"""Benchmarks on the GPU: solvers, mix and whole Puzzle Mix, beside a copy and the published method.

python -m bench.gpu                  measure, and write a table to bench/results/
python -m bench.gpu --out FILE       write it to FILE, and the numbers beside it as JSON
python -m bench.gpu --profile        a whole mix by a mixer: its device operations and their times
python -m bench.gpu --small          every function once at small sizes, against the CPU: for
                                     compute-sanitizer, or to see that all runs

Without a GPU it runs on the CPU, which tests the benchmark, not the library.

How times are taken, each a median in microseconds of a whole batch after warm-up:
- warm: device time of one of ten replays of a CUDA graph in a row, inputs in the cache;
- cold: device time of one replay, the cache flushed before it;
- host: until a plain call returns, without waiting for the device: what the training loop feels;
- total: a plain call until the device is done.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import puzzlemix
from bench import bench_calls, published
from bench.instances import ImagePairs, image_pairs, labeling_problem, smooth_saliency
from experiments.examples import nets
from puzzlemix import _core

Row = dict[str, Any]
Solve = Callable[[], Any]

FLUSHED = 256 * 2**20
"""Bytes that are written to flush the cache: several times what any GPU has."""

LARGE = (256, 224, (16,))
CIFAR = (128, 32, (2, 4, 8, 16))
"""Batch, side of the images, grids of the whole mix."""
DTYPES = (torch.float32, torch.bfloat16)
"""Of its images."""
CLASSES = 10

COPY = "a copy of the same bytes"
ONE_SAMPLE = "one 4x4 sample"

GOALS: dict[tuple[str, str, int], dict[str, float]] = {
    ("alpha_beta_swap", "16x16", 256): {"warm": 40},
    ("exact_labeling", "16x16", 256): {"warm": 30},
    **{(case.name, ONE_SAMPLE, 1): {"host": 15} for case in bench_calls.CALLS},
    ("puzzle_mix", "3x224x224, grid 16", 256): {"warm": 400, "host": 150},
    ("puzzle_mix", "3x224x224, grid 16, bfloat16", 256): {"warm": 250, "host": 150},
    ("PuzzleMix.plan", "3x224x224, grid 16", 256): {"host": 150},
    ("its mix", "3x224x224, grid 16", 256): {"of copy": 1.05},
    **{
        (work, f"3x32x32, grid {grid}", 128): goal
        for grid in CIFAR[2]
        for work, goal in (
            ("puzzle_mix", {"warm": 50 if grid < 16 else 80, "host": 150}),
            ("PuzzleMix.plan", {"host": 150}),
            ("its mix", {"of copy": 1.5}),
        )
    },
}
"""What is aimed at on an H100, by work, size and batch: the most in a column."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="check against the CPU, no timing")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the table goes")
    parser.add_argument("--profile", action="store_true", help="device operations of a whole mix")
    options = parser.parse_args(arguments)
    usable = torch.cuda.is_available() and bool(_core.cuda_toolkit)
    device = torch.device("cuda" if usable else "cpu")
    print(f"device: {device_name(device)}", flush=True)
    if options.small:
        return check_small(device)
    if options.profile:
        print(profile(device))
        return 0
    rows = []
    clock = Clock(device)
    for row in measure(clock):
        if clock.on_cuda:
            row |= {"goal": goal_of(row)}
        print("  ".join(f"{name} {_cell(value)}" for name, value in row.items()), flush=True)
        rows.append(row)
    write(rows, device, options.out)
    return 0


# ---- Timing ----


class Clock:
    """Times of a call; ``scale`` shrinks batches on the CPU, where only the code is tried."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_cuda = device.type == "cuda"
        self.repeats = 50 if self.on_cuda else 1
        self.scale = 1 if self.on_cuda else 32
        if self.on_cuda:
            self.flushed = torch.empty(FLUSHED, dtype=torch.uint8, device=device)

    def batch(self, size: int) -> int:
        return max(1, size // self.scale)

    def replayed(self, solve: Solve) -> Row:
        """Device times, launches taken out by a CUDA graph; nothing on the CPU."""
        if not self.on_cuda:
            return {"warm": None, "cold": None}
        graph = capture(solve)
        return {
            "warm": self._device_time(graph.replay, inner=10),
            "cold": self._device_time(graph.replay, before=self.flushed.zero_),
        }

    def called(self, solve: Solve, repeats: int | None = None) -> Row:
        """Host time and total of plain calls."""
        solve()
        host, total = [], []
        for _ in range(repeats or self.repeats):
            self._wait()
            start = time.perf_counter()
            result = solve()
            launched = time.perf_counter()
            self._wait()
            total.append(1e6 * (time.perf_counter() - start))
            host.append(1e6 * (launched - start))
            del result
        return {"host": statistics.median(host), "total": statistics.median(total)}

    def _wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize()

    def _device_time(self, run: Solve, *, inner: int = 1, before: Solve = lambda: None) -> float:
        for _ in range(3):
            run()
        events = []
        for _ in range(self.repeats):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before()
            start.record()
            for _ in range(inner):
                run()
            end.record()
            events.append((start, end))
        torch.cuda.synchronize()
        return 1e3 * statistics.median(start.elapsed_time(end) for start, end in events) / inner


def capture(solve: Solve) -> torch.cuda.CUDAGraph:
    """A graph of one call, warmed up on a side stream as PyTorch asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            solve()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        solve()
    return graph


# ---- What is measured ----


def measure(clock: Clock) -> Iterator[Row]:
    for batch, grid in ((256, 16), *((128, grid) for grid in (2, 4, 8, 16))):
        batch = clock.batch(batch)
        for name, solve, expected in grid_solvers(batch, grid, clock.device):
            yield solver_row(clock, name, f"{grid}x{grid}", batch, solve, expected)
    for count in (64, 256):
        batch = clock.batch(256)
        for name, solve, expected in assignments(batch, count, clock.device):
            yield solver_row(clock, name, f"N = {count}", batch, solve, expected)
    for name, solve, expected in tiny_calls(clock.device):
        yield solver_row(clock, name, ONE_SAMPLE, 1, solve, expected)
    for batch, side, grids in (LARGE, CIFAR):
        for grid, dtype in product(grids, DTYPES):
            yield from whole_mix(clock, clock.batch(batch), side, grid, dtype)
        yield channels_last_row(clock, clock.batch(batch), side, grids[-1])
    yield from training_steps(clock)


def solver_row(
    clock: Clock, name: str, size: str, batch: int, solve: Solve, expected: Solve
) -> Row:
    """A solver's times, after a look at its answer."""
    compare(name, solve(), expected())
    row = {"work": name, "size": size, "batch": batch, "by": "puzzlemix"}
    return row | clock.replayed(solve) | clock.called(solve)


def pairs_on(device: torch.device, batch: int, side: int, dtype: torch.dtype) -> ImagePairs:
    x1, x2, *rest = (part.to(device) for part in image_pairs(batch, side))
    return ImagePairs(x1.to(dtype), x2.to(dtype), *rest)


def whole_mix(clock: Clock, batch: int, side: int, grid: int, dtype: torch.dtype) -> Iterator[Row]:
    """Puzzle Mix with saliency given: pairs and their two operators beside copies of what these
    must move, a batch by the mixer, the published method."""
    given = pairs_on(clock.device, batch, side, dtype)
    size = f"3x{side}x{side}, grid {grid}"
    size += "" if dtype is torch.float32 else f", {str(dtype).removeprefix('torch.')}"
    whole = partial(puzzlemix.puzzle_mix, *given, grid=grid)
    result = whole()
    mix = partial(puzzlemix.mix, given.x1, given.x2, result.mask, result.source1, result.source2)
    assert torch.equal(result.images, mix())
    moved = 3 * bytes_of(given.x1) + 2 * bytes_of(given.saliency1)
    ours, copy = beside_copy(clock, "puzzle_mix", size, batch, whole, moved)
    yield from (ours, copy)
    plan = partial(puzzlemix.puzzle_plan, *given, grid=grid)
    row = {"work": "its plan", "size": size, "batch": batch, "by": "puzzlemix"}
    yield row | clock.replayed(plan) | clock.called(plan)
    moved = bytes_of_mix(given.x1, result.mask)
    yield from beside_copy(clock, "its mix", size, batch, mix, moved)
    yield from mixer_rows(clock, size, batch, given, grid)
    if dtype is torch.float32:
        dense = partial(published.puzzle_mix, *given, grid=grid)
        yield published_row(clock, size, batch, dense, ours)


def channels_last_row(clock: Clock, batch: int, side: int, grid: int) -> Row:
    """`whole_mix` of images as networks on a GPU take them, without peers."""
    given = pairs_on(clock.device, batch, side, torch.bfloat16)
    images = (x.to(memory_format=torch.channels_last) for x in given[:2])
    whole = partial(puzzlemix.puzzle_mix, *images, *given[2:], grid=grid)
    size = f"3x{side}x{side}, grid {grid}, bfloat16, channels_last"
    row = {"work": "puzzle_mix", "size": size, "batch": batch, "by": "puzzlemix"}
    return row | clock.replayed(whole) | clock.called(whole)


def training_steps(clock: Clock) -> Iterator[Row]:
    """A step of each network with the gradient of a mix, by where saliency comes from."""
    generator = torch.Generator(clock.device).manual_seed(0)
    for name, network, batch, side in networks(clock):
        shape = (batch, 3, side, side)
        images = torch.rand(shape, generator=generator, device=clock.device)
        images = images.to(memory_format=torch.channels_last)
        labels = torch.arange(batch, device=clock.device) % CLASSES
        saliency = images.square().mean(1)
        for kind, mixer in {
            "plain": None,
            "MixUp": puzzlemix.MixUp(num_classes=CLASSES),
            "CutMix": puzzlemix.CutMix(num_classes=CLASSES),
            "Puzzle Mix, gradient": puzzlemix.PuzzleMix(num_classes=CLASSES),
            "Puzzle Mix, spectral": puzzlemix.PuzzleMix(
                num_classes=CLASSES, saliency=puzzlemix.spectral_saliency
            ),
            "Puzzle Mix, given": puzzlemix.PuzzleMix(
                num_classes=CLASSES, saliency=lambda images, labels, maps=saliency: maps
            ),
        }.items():
            step = partial(training_step, network, images, labels, mixer)
            row = {"work": f"step, {kind}", "size": name, "batch": batch, "by": "puzzlemix"}
            yield row | {"warm": None, "cold": None} | clock.called(step, 10)


def networks(clock: Clock) -> Iterator[tuple[str, torch.nn.Module, int, int]]:
    """PreActResNet18 on CIFAR's images and, where torchvision is, ResNet-50 on ImageNet's."""
    to = {"device": clock.device, "memory_format": torch.channels_last}
    yield "PreActResNet18, 32x32", nets.PreActResNet18(CLASSES).to(**to), clock.batch(128), 32
    try:
        from torchvision.models import resnet50
    except (ImportError, RuntimeError):
        return
    yield "ResNet-50, 224x224", resnet50(num_classes=CLASSES).to(**to), clock.batch(256), 224


def training_step(
    network: torch.nn.Module, images: Tensor, labels: Tensor, mixer: puzzlemix.Mixer | None
) -> None:
    """Without an optimiser, whose time is the same for all."""
    network.zero_grad()
    with torch.autocast(images.device.type, torch.bfloat16):
        if mixer is None:
            torch.nn.functional.cross_entropy(network(images), labels).backward()
        else:
            puzzlemix.puzzle_mix_backward(network, images, labels, mixer)


def profile(device: torch.device) -> str:
    """What a mixer's call does on the device, by time, and how long the host takes for it."""
    given = pairs_on(device, 256 if device.type == "cuda" else 8, 224, torch.float32)
    labels = torch.arange(len(given.x1), device=device) % CLASSES
    mixer = puzzlemix.PuzzleMix(num_classes=CLASSES, grids=(16,))
    call = partial(mixer, given.x1, labels, given.saliency1)
    host = Clock(device).called(call)["host"]
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        call()
    key = "cuda_time_total" if device.type == "cuda" else "cpu_time_total"
    table = profiler.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60)
    return f"one PuzzleMix call, batch {len(given.x1)}, host {host:.0f} us\n{table}"


def mixer_rows(clock: Clock, size: str, batch: int, given: ImagePairs, grid: int) -> Iterator[Row]:
    """What a training loop calls. It draws on the CPU, so it can't be a graph."""
    images, saliency = given.x1, given.saliency1
    labels = torch.arange(len(images), device=clock.device) % CLASSES
    mixer = puzzlemix.PuzzleMix(num_classes=CLASSES, grids=(grid,))
    for name, solve in (
        ("PuzzleMix.plan", partial(mixer.plan, images, labels, saliency)),
        ("PuzzleMix", partial(mixer, images, labels, saliency)),
    ):
        row = {"work": name, "size": size, "batch": batch, "by": "puzzlemix"}
        yield row | {"warm": None, "cold": None} | clock.called(solve)


def bytes_of(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def bytes_of_mix(images: Tensor, mask: Tensor) -> int:
    """What a mix must read and write: both images only where the mask is between 0 and 1."""
    both = float(((mask > 0) & (mask < 1)).double().mean())
    return round(bytes_of(images) * (2 + both))


def beside_copy(
    clock: Clock, work: str, size: str, batch: int, solve: Solve, moved: int
) -> tuple[Row, Row]:
    """A call, and a copy on the device that reads and writes as many bytes, half of them each
    way."""
    source = torch.empty(moved // 8, dtype=torch.float32, device=clock.device).normal_()
    target = torch.empty_like(source)
    about = {"work": work, "size": size, "batch": batch}
    rows = []
    for by, call in (("puzzlemix", solve), (COPY, partial(target.copy_, source))):
        rows.append({**about, "by": by, **clock.replayed(call), **clock.called(call)})
    ours, copy = rows
    name = "warm" if clock.on_cuda else "total"
    return ours | {"of copy": ours[name] / copy[name]}, copy | {"bytes": moved}


def published_row(clock: Clock, size: str, batch: int, mix: Solve, ours: Row) -> Row:
    """The published method, which waits for the device in the middle and can't be a graph."""
    row = {"work": "puzzle_mix", "size": size, "batch": batch, "by": "published, dense"}
    try:
        import maxflow  # noqa: F401
    except ImportError:
        return row | {"note": "left out: PyMaxflow is not installed"}
    assert bool(mix().images.isfinite().all())
    row |= clock.called(mix, repeats=5 if clock.on_cuda else 1)
    name = "warm" if clock.on_cuda else "total"
    return row | {"x ours": row["total"] / ours["total"], "x our graph": row["total"] / ours[name]}


# ---- Solvers and their answers ----


def grid_solvers(
    batch: int, grid: int | tuple[int, int], device: torch.device
) -> Iterator[tuple[str, Solve, Solve]]:
    """Name, the call on the device and the same on the CPU."""
    height, width = (grid, grid) if isinstance(grid, int) else grid
    # Instances are square: what is not is cut out of them.
    side = max(height, width)
    unary, vertical, horizontal, pair = labeling_problem(batch, side, labels=3)
    problem = (
        unary[:, :height, :width].contiguous(),
        vertical[:, : height - 1, :width].contiguous(),
        horizontal[:, :height, : width - 1].contiguous(),
        pair,
    )
    terminals = problem[0] - problem[0].amin(3, keepdim=True)
    caps = (terminals[..., 2].contiguous(), terminals[..., 0].contiguous(), *problem[1:3])
    labels = puzzlemix.alpha_beta_swap(*problem).labels
    saliency = smooth_saliency(batch, side, seed=0)[:, :height, :width].contiguous()
    blocks = (saliency, labels.double() / 2)
    for name, function, given in (
        ("grid_min_cut", puzzlemix.grid_min_cut, caps),
        ("alpha_beta_swap", puzzlemix.alpha_beta_swap, problem),
        ("exact_labeling", puzzlemix.exact_labeling, problem),
        ("labeling_energy", puzzlemix.labeling_energy, (labels, *problem)),
        ("masked_transport approx", puzzlemix.masked_transport, blocks),
        ("masked_transport exact", partial(puzzlemix.masked_transport, method="exact"), blocks),
    ):
        there = tuple(part.to(device) for part in given)
        yield name, partial(function, *there), partial(function, *given)


def assignments(batch: int, count: int, device: torch.device) -> Iterator[tuple[str, Solve, Solve]]:
    """Name, the call on the device and the same on the CPU, of uniform costs."""
    generator = torch.Generator().manual_seed(count)
    cost = torch.rand((batch, count, count), generator=generator)
    there = cost.to(device)
    for method in ("approx", "exact"):
        assign = partial(puzzlemix.assignment, method=method)
        yield f"assignment {method}", partial(assign, there), partial(assign, cost)


def compare(name: str, ours: Any, expected: Any) -> None:
    """Decisions alike, but for exact permutations, of which there may be several; totals close."""
    *decisions, total = (ours,) if isinstance(ours, Tensor) else ours
    *others, least = (expected,) if isinstance(expected, Tensor) else expected
    torch.testing.assert_close(total.cpu(), least, rtol=1e-9, atol=1e-9 + _slack(name))
    for mine, other in zip(decisions, others, strict=True):
        mine = mine.cpu()
        if name.endswith("exact"):
            flat = mine.flatten(1)
            assert torch.equal(flat.sort(1).values, torch.arange(flat.shape[1]).expand_as(flat))
        elif not torch.equal(mine, other):
            wrong = int((mine != other).flatten(1).any(1).sum())
            raise AssertionError(f"{name}: {wrong} of {len(mine)} samples differ from the CPU's")


def _slack(name: str) -> float:
    """Exact assignments that tie in integers may differ by their rounding in floats."""
    return 1e-5 if name.endswith("exact") else 0.0


# ---- Every function once, small ----


def check_small(device: torch.device) -> int:
    """The number of functions that differ from the CPU's decides the exit status."""
    calls = [
        (f"{name}, {height}x{width}", name, solve, expected)
        # Shared memory, more than one word of cells, and what does not fit.
        for height, width in ((2, 2), (5, 7), (16, 16), (20, 20), (3, 64))
        for name, solve, expected in grid_solvers(3, (height, width), device)
    ]
    calls += [
        (f"{name}, N = {count}", name, solve, expected)
        for count in (1, 5, 40, 130)
        for name, solve, expected in assignments(2, count, device)
    ]
    for several in (tiny_calls, plans, mixes):
        calls += [(name, name, solve, expected) for name, solve, expected in several(device)]
    failed = 0
    for title, name, solve, expected in calls:
        try:
            compare(name, solve(), expected())
        except (AssertionError, RuntimeError) as error:
            failed += 1
            print(f"{title}: {error}", flush=True)
    print(f"{failed} of {len(calls)} calls differ from the CPU's")
    return int(failed > 0)


def tiny_calls(device: torch.device) -> Iterator[tuple[str, Solve, Solve]]:
    """Each low-level function on one sample."""
    for case in bench_calls.CALLS:
        function, given = bench_calls.call_of(puzzlemix, case), bench_calls.problem_of(case)
        there = (part.to(device) for part in given)
        yield case.name, partial(function, *there), partial(function, *given)


def plans(device: torch.device) -> Iterator[tuple[str, Solve, Solve]]:
    """Whole decisions, and mixes by the mixer."""
    partner = torch.tensor([2, 0, 2])
    for number, (dtype, last, options) in enumerate(
        (
            (torch.float32, False, {"grid": 4}),
            (torch.bfloat16, True, {"grid": 16, "partner": partner, "smoothness": "bilinear"}),
            (torch.float16, False, {"grid": (2, 8), "cycles": 3, "std": (0.2, 0.3, 0.2)}),
            (torch.float64, True, {"grid": 8, "transport_grid": 16, "cut": "exact", "cycles": 2}),
            (torch.float32, False, {"grid": 8, "transport": None, "labels": 5}),
        )
    ):
        x1, x2, *rest = image_pairs(3, 32)
        memory = torch.channels_last if last else torch.contiguous_format
        images = (part.to(dtype).contiguous(memory_format=memory) for part in (x1, x2))
        given = (*images, *rest)
        there = tuple(part.to(device) for part in given)
        on = {name: part.to(device) for name, part in options.items() if name == "partner"}
        yield (
            f"puzzle_plan {number}",
            partial(decided, there, {**options, **on}),
            partial(decided, given, options),
        )
        yield (
            f"PuzzleMix {number}",
            partial(mixed_batch, there[0], there[2], options["grid"]),
            partial(mixed_batch, given[0], given[2], options["grid"]),
        )


def decided(given: tuple[Tensor, ...], options: dict[str, Any]) -> tuple[Tensor, ...]:
    """What a plan consists of; without transport there are no permutations."""
    return tuple(part for part in puzzlemix.puzzle_plan(*given, **options) if part is not None)


def mixed_batch(images: Tensor, saliency: Tensor, grid: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    mixer = puzzlemix.PuzzleMix(grids=(grid,), per_sample=True, generator=generator)
    mixed: Tensor = mixer.plan(images, saliency=saliency).images(images)
    return mixed


def mixes(device: torch.device) -> Iterator[tuple[str, Solve, Solve]]:
    """The mix and its gradients."""
    given = image_pairs(3, 32)
    for options in (
        {"grid": 4},
        {"grid": 8, "transport_grid": 16, "cut": "exact"},
    ):
        result = puzzlemix.puzzle_mix(*given, **options)
        decisions = (result.mask, result.source1, result.source2)
        for function in (puzzlemix.mix, mix_gradients):
            there = (part.to(device) for part in (given.x1, given.x2, *decisions))
            yield (
                f"{function.__name__}, grid {options['grid']}",
                partial(function, *there),
                partial(function, given.x1, given.x2, *decisions),
            )


def mix_gradients(x1: Tensor, x2: Tensor, mask: Tensor, *sources: Tensor) -> Tensor:
    """In double, as the mask's gradient is a sum, whose order differs."""
    inputs = [part.double().requires_grad_() for part in (x1, x2, mask)]
    mixed = puzzlemix.mix(*inputs, *sources)
    weight = torch.linspace(-1, 1, mixed.numel(), dtype=torch.float64).view(mixed.shape)
    grads = torch.autograd.grad(mixed, inputs, weight.to(mixed.device))
    return torch.cat([grad.flatten() for grad in grads])


# ---- Results ----


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def write(rows: list[Row], device: torch.device, out: Path | None) -> None:
    """A Markdown table, and the same numbers beside it as JSON."""
    name, today = device_name(device), datetime.date.today().isoformat()
    if out is None:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        out = Path(__file__).parent / "results" / f"gpu-{slug}-{today}.md"
    facts = {
        "device": name,
        "date": today,
        "torch": torch.__version__,
        "cuda": _core.cuda_toolkit,
        "architectures": _core.cuda_architectures,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(markdown(rows, facts))
    out.with_suffix(".json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    print(f"\n{markdown(rows, facts)}\nwritten to {out} and {out.with_suffix('.json').name}")


COLUMNS = (
    "work", "size", "batch", "by", "warm", "cold", "host", "total", "x ours", "x our graph",
    "of copy", "goal",
)  # fmt: skip


def markdown(rows: list[Row], facts: Row) -> str:
    about = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    lines = [
        f"# Benchmarks on {facts['device']}",
        "",
        f"{about}. By `python -m bench.gpu`, whose head says how the times are taken.",
        "Microseconds of a whole batch. `of copy` is the warm time over that of a copy that moves",
        "as many bytes as the work must; goals are the most in a column.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
    ]
    for row in rows:
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in COLUMNS)} |")
    lines += [f"\n{row['by']}, {row['size']}: {row['note']}." for row in rows if "note" in row]
    return "\n".join(lines) + "\n"


def goal_of(row: Row) -> str | None:
    """What was aimed at, and whether it was met."""
    goals = GOALS.get((row["work"], row["size"], row["batch"]), {})
    told = [
        f"{name} {most:g}: {'met' if row[name] <= most else 'not met'}"
        for name, most in goals.items()
        if row["by"] == "puzzlemix" and row.get(name) is not None
    ]
    return ", ".join(told) or None


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}" if value >= 1000 else f"{value:.1f}"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
