"""Benchmarks on the GPU: solvers, mix and whole Puzzle Mix, beside a copy and the published method.

python -m bench.gpu                  measure, and write a table to bench/results/
python -m bench.gpu --out FILE       write it to FILE, and the numbers beside it as JSON
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
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import puzzlemix
from bench import published
from bench.instances import ImagePairs, image_pairs, labeling_problem, smooth_saliency
from puzzlemix import _core, ops

Row = dict[str, Any]
Solve = Callable[[], Any]

FLUSHED = 256 * 2**20
"""Bytes that are written to flush the cache: several times what any GPU has."""

LARGE = (256, 224, (16,))
CIFAR = (128, 32, (2, 4, 8, 16))
"""Batch, side of the images, grids of the whole mix."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="check against the CPU, no timing")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the table goes")
    options = parser.parse_args(arguments)
    usable = torch.cuda.is_available() and bool(_core.cuda_toolkit)
    device = torch.device("cuda" if usable else "cpu")
    print(f"device: {device_name(device)}", flush=True)
    if options.small:
        return check_small(device)
    rows = []
    for row in measure(Clock(device)):
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
    for batch, side, grids in (LARGE, CIFAR):
        for grid in grids:
            yield from whole_mix(clock, clock.batch(batch), side, grid)


def solver_row(
    clock: Clock, name: str, size: str, batch: int, solve: Solve, expected: Solve
) -> Row:
    """A solver's times, after a look at its answer."""
    compare(name, solve(), expected())
    row = {"work": name, "size": size, "batch": batch, "by": "puzzlemix"}
    return row | clock.replayed(solve) | clock.called(solve)


def pairs_on(device: torch.device, batch: int, side: int) -> ImagePairs:
    return ImagePairs(*(part.to(device) for part in image_pairs(batch, side)))


def whole_mix(clock: Clock, batch: int, side: int, grid: int) -> Iterator[Row]:
    """Puzzle Mix with saliency given: the whole, its parts, a copy, the published method."""
    given = pairs_on(clock.device, batch, side)
    size = f"3x{side}x{side}, grid {grid}"
    whole = partial(puzzlemix.puzzle_mix, *given, grid=grid)
    result, parts = with_parts(whole)
    again = puzzlemix.mix(given.x1, given.x2, result.mask, result.source1, result.source2)
    assert torch.equal(result.images, again)
    row = {"work": "puzzle_mix", "size": size, "batch": batch, "by": "puzzlemix"}
    row |= clock.replayed(whole) | clock.called(whole)
    yield row
    for name, part in parts.items():
        times = clock.replayed(part) | clock.called(part)
        share = times["warm"] / row["warm"] if clock.on_cuda else times["total"] / row["total"]
        yield {
            "work": f"its {name}", "size": size, "batch": batch, "by": "puzzlemix", **times,
            "of whole": share,
        }  # fmt: skip
        if name == "mix":
            yield copy_row(clock, size, batch, bytes_of_mix(given.x1, result.mask), times)
    yield published_row(clock, size, batch, partial(published.puzzle_mix, *given, grid=grid), row)


def with_parts(whole: Solve) -> tuple[Any, dict[str, Solve]]:
    """The result of a mix, and the calls of solvers that it made, to be made again."""
    names = {"cut": "alpha_beta_swap", "transports": "masked_transport", "mix": "mix"}
    with ExitStack() as stack:
        calls = {
            part: stack.enter_context(mock.patch.object(ops, name, wraps=getattr(ops, name)))
            for part, name in names.items()
        }
        result = whole()
        # Only the last calls are kept; that of `mix` is the one of the images.
        made = {part: call.call_args for part, call in calls.items()}
    return result, {
        part: partial(getattr(ops, names[part]), *call.args, **call.kwargs)
        for part, call in made.items()
        if call is not None
    }


def bytes_of_mix(images: Tensor, mask: Tensor) -> int:
    """What a mix must read and write: both images only where the mask is between 0 and 1."""
    both = float(((mask > 0) & (mask < 1)).double().mean())
    return round(images.numel() * images.element_size() * (2 + both))


def copy_row(clock: Clock, size: str, batch: int, moved: int, mix: Row) -> Row:
    """A copy on the device that reads and writes as many bytes, half of them each way."""
    source = torch.empty(moved // 8, dtype=torch.float32, device=clock.device).normal_()
    target = torch.empty_like(source)
    copy = partial(target.copy_, source)
    row = {"work": "its mix", "size": size, "batch": batch, "by": "a copy of the same bytes"}
    row |= clock.replayed(copy) | clock.called(copy)
    name = "cold" if clock.on_cuda else "total"
    return row | {"x ours": row[name] / mix[name], "bytes": moved}


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
    """The same of uniform costs."""
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
    """Exact assignments that tie in integers may differ by their rounding in floats.

    The objective has sums over pixels in single precision, in another order.
    """
    if name.endswith("exact"):
        return 1e-5
    return 1e-7 if name.startswith("puzzle_mix") else 0.0


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
    calls += [(name, name, solve, expected) for name, solve, expected in mixes(device)]
    failed = 0
    for title, name, solve, expected in calls:
        try:
            compare(name, solve(), expected())
        except (AssertionError, RuntimeError) as error:
            failed += 1
            print(f"{title}: {error}", flush=True)
    print(f"{failed} of {len(calls)} calls differ from the CPU's")
    return int(failed > 0)


def mixes(device: torch.device) -> Iterator[tuple[str, Solve, Solve]]:
    """The mix and its gradients, and the objective of the whole."""
    given = image_pairs(3, 32)
    for options in (
        {"grid": 4},
        {"grid": 8, "transport_grid": 16, "cut": "exact"},
    ):
        result = puzzlemix.puzzle_mix(*given, **options)
        decided = (result.mask, result.source1, result.source2)
        for function in (puzzlemix.mix, mix_gradients):
            there = (part.to(device) for part in (given.x1, given.x2, *decided))
            yield (
                f"{function.__name__}, grid {options['grid']}",
                partial(function, *there),
                partial(function, given.x1, given.x2, *decided),
            )
        there = (part.to(device) for part in given)
        yield (
            f"puzzle_mix, grid {options['grid']}",
            partial(objective_of, *there, **options),
            partial(objective_of, *given, **options),
        )


def mix_gradients(x1: Tensor, x2: Tensor, mask: Tensor, *sources: Tensor) -> Tensor:
    """In double, as the mask's gradient is a sum, whose order differs."""
    inputs = [part.double().requires_grad_() for part in (x1, x2, mask)]
    mixed = puzzlemix.mix(*inputs, *sources)
    weight = torch.linspace(-1, 1, mixed.numel(), dtype=torch.float64).view(mixed.shape)
    grads = torch.autograd.grad(mixed, inputs, weight.to(mixed.device))
    return torch.cat([grad.flatten() for grad in grads])


def objective_of(*given: Any, **options: Any) -> Tensor:
    objective: Tensor = puzzlemix.puzzle_mix(*given, **options).objective
    return objective


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
    "of whole",
)  # fmt: skip


def markdown(rows: list[Row], facts: Row) -> str:
    about = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    lines = [
        f"# Benchmarks on {facts['device']}",
        "",
        f"{about}. By `python -m bench.gpu`, whose head says how the times are taken.",
        "Microseconds of a whole batch.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
    ]
    for row in rows:
        lines.append(f"| {' | '.join(_cell(row.get(name)) for name in COLUMNS)} |")
    lines += [f"\n{row['by']}, {row['size']}: {row['note']}." for row in rows if "note" in row]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}" if value >= 1000 else f"{value:.1f}"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
