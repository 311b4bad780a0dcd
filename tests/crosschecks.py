"""Blocks of similar instances, and the checks of the library's functions on them.

tools/crosscheck.py runs them by the million.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import certificates
import pairs
import problems
import torch
from teams import Team
from torch import Tensor

from puzzlemix import integers, ops, reference
from puzzlemix.objective import objective

TIERS = ("reference", "proved")
SHARES = {
    "reference": {
        "grid_min_cut": 17,
        "alpha_beta_swap": 15,
        "exact_labeling": 12,
        "labeling_energy": 8,
        "assignment": 14,
        "assignment exact": 3,
        "masked_transport": 11,
        "masked_transport exact": 3,
        "mix": 6,
        "puzzle_plan": 10,
        "puzzle_plan exact": 1,
    },
    "proved": {
        "grid_min_cut": 20,
        "alpha_beta_swap": 15,
        "exact_labeling": 15,
        "labeling_energy": 5,
        "assignment": 15,
        "assignment exact": 10,
        "masked_transport": 10,
        "masked_transport exact": 6,
        "mix": 2,
        "puzzle_plan": 1,
        "puzzle_plan exact": 1,
    },
}
"""Percent of a tier's instances."""
FLOATS = (torch.float64, torch.float64, torch.float32, torch.float16, torch.bfloat16)
TAIL = 0.2
"""The share of blocks that are of large instances, few at a time."""


@dataclass(frozen=True)
class Block:
    """Instances of one function, size and kind, which differ only in their values."""

    tier: str
    number: int
    function: str
    kind: str
    batch: int
    seed: int
    height: int
    width: int
    labels: int
    large: bool


def blocks(
    tier: str, instances: int, seed: int, only: Collection[str] | None = None
) -> Iterator[Block]:
    """The blocks of a tier, up to a number of instances; of some functions or of all."""
    functions = [name for name in SHARES[tier] if only is None or name in only]
    done = Counter(dict.fromkeys(functions, 0))
    number = 0
    while sum(done.values()) < instances:
        # The function that is furthest behind its share comes next.
        function = min(functions, key=lambda name: done[name] / SHARES[tier][name])
        block = _block(tier, number, function, seed)
        done[function] += block.batch
        number += 1
        yield block


def _block(tier: str, number: int, function: str, seed: int) -> Block:
    draw = random.Random(f"{seed} {tier} {number}")
    large = draw.random() < TAIL
    by_reference = tier == "reference"
    transport = function.startswith("masked_transport")
    side = 6 if not large else 12 if by_reference else 20 if transport else 40
    least = 1 if draw.random() < 0.2 else 2
    height, width = (draw.randint(7 if large else least, side) for _ in range(2))
    if not large and draw.random() < 0.5:
        # The sizes for which there is a proof by listing.
        height, width = draw.choice(((2, 2), (2, 3), (3, 2), (3, 3), (2, 4), (3, 4), (1, 6)))
    labels = draw.choice((2, 3, 3, 4, 5, 8, 16) if large else (2, 2, 3, 3, 3, 4, 5, 6))
    if function.startswith("puzzle_plan"):
        rare = 0 if function.endswith("exact") else 0.05
        height, width, labels = _sizes_of_a_plan(draw, height, width, labels, large, rare)
    if function == "assignment exact":
        # N by the reference takes a loop in Python for each.
        height, width = draw.randint(1, 8 if not large else 16 if by_reference else 300), 1
    elif function == "assignment":
        height, width = draw.randint(1, 12 if not large else 60 if by_reference else 300), 1
    kinds = {
        "grid_min_cut": problems.COSTS,
        "assignment": problems.MATRICES,
        "assignment exact": problems.MATRICES,
        "masked_transport": problems.TRANSPORTS,
        "masked_transport exact": problems.TRANSPORTS,
        "mix": problems.MIXES,
        "puzzle_plan": pairs.IMAGES,
        "puzzle_plan exact": pairs.IMAGES,
    }.get(function, (*problems.COSTS, "puzzle", "convex"))
    slow = by_reference and function.endswith("exact")
    batch = 2 if large else 32 if slow else 512 if by_reference else 1024
    if function.startswith("puzzle_plan"):
        batch = min(batch, 1 if max(height, width) > 16 else 64)
    return Block(
        tier,
        number,
        function,
        draw.choice(list(kinds)),
        batch,
        draw.randrange(2**32),
        height,
        width,
        labels,
        large,
    )


def _sizes_of_a_plan(
    draw: random.Random, height: int, width: int, labels: int, large: bool, rare: float
) -> tuple[int, int, int]:
    """Height, width and labels: up to what is allowed, but in the largest grids few labels."""
    if not large or draw.random() >= rare:
        return height, width, draw.choice((labels, labels, labels, 16))
    height, width = (draw.choice((draw.randint(17, 64), 32, 64)) for _ in range(2))
    return height, width, draw.choice((2, 3))


@dataclass
class Outcome:
    """The result of a block."""

    tier: str
    number: int
    function: str
    kind: str
    instances: int
    proved: int
    seconds: float
    differences: list[str]


def check_block(block: Block) -> Outcome:
    """Solve a block's instances in every way, compare, and prove what can be proved."""
    start = time.perf_counter()
    checked = Checked(block)
    try:
        CHECKS[block.function.split()[0]](block, random.Random(block.seed), checked)
    except Exception as error:  # any exception is reported as a difference, and the run goes on
        checked.differences.append(f"{type(error).__name__}: {error}")
    return Outcome(
        block.tier,
        block.number,
        block.function,
        block.kind,
        block.batch,
        checked.proved,
        round(time.perf_counter() - start, 4),
        checked.differences[:5],
    )


class Checked:
    """Collects what differs in a block, and how many of its instances have been proved."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.proved = 0
        self.differences: list[str] = []

    def same(self, what: str, mine: Tensor, other: Tensor) -> None:
        """Whether answers are equal bit for bit; all NaNs count as equal."""
        if mine.dtype != other.dtype or mine.shape != other.shape:
            self.differences.append(f"{what}: {mine.dtype} {list(mine.shape)}")
            return
        wrong = (mine != other) & ~((mine != mine) & (other != other))
        self.holds(what, ~wrong.reshape(len(wrong), -1).any(1))

    def close(self, what: str, mine: Tensor, other: Tensor, slack: Tensor) -> None:
        self.holds(what, (mine - other).abs() <= slack)

    def holds(self, what: str, good: Tensor) -> None:
        """One bool a sample."""
        if not bool(good.all()):
            samples = (~good).nonzero().flatten().tolist()
            self.differences.append(f"{what}: samples {samples[:8]} of {len(good)}")

    def prove(self, what: str, good: Tensor) -> None:
        self.holds(what, good)
        self.proved += len(good)

    def others(self) -> Iterator[tuple[str, Any, Any]]:
        """The backends compared with the CPU: a name, a context, a module with the functions."""
        seeds = [self.block.seed % 1000, self.block.seed % 1000 + 1]
        for seed in seeds if self.block.tier == "reference" else seeds[:1]:
            yield f"team {seed}", Team(seed), ops
        if self.block.tier == "reference":
            yield "reference", nullcontext(), reference


def narrowed(draw: random.Random, *parts: Tensor) -> tuple[Tensor, ...]:
    """Floats converted to one of the types, if they are finite in it."""
    dtype = draw.choice(FLOATS)
    if not parts[0].is_floating_point():
        return parts
    narrow = tuple(part.to(dtype) for part in parts)
    return narrow if all(bool(part.isfinite().all()) for part in narrow) else parts


# ---- One check for each function ----


def check_cut(block: Block, draw: random.Random, checked: Checked) -> None:
    problem = problems.cut(
        block.kind, seed=block.seed, batch=block.batch, height=block.height, width=block.width
    )
    problem = problems.Cut(*narrowed(draw, *problem))
    mine = ops.grid_min_cut(*problem)
    slack = 1e-12 * sum(part.double().flatten(1).sum(1) for part in problem)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.grid_min_cut(*problem)
        checked.same(f"segment, {name}", mine.segment, theirs.segment)
        checked.close(f"flow, {name}", mine.flow, theirs.flow, slack)
    if block.height * block.width <= certificates.MOST_CELLS:
        checked.prove("smallest cut", certificates.smallest_minimum_cut(problem, mine.segment))
    else:
        good = certificates.cut_of_a_flow(problem, mine.segment, 0)
        checked.prove("cut of a flow", torch.tensor([good]))


def labeling_of(block: Block, draw: random.Random, costs: tuple[str, ...]) -> problems.Labeling:
    problem = problems.labeling(
        block.kind,
        draw.choice(costs),
        seed=block.seed,
        batch=block.batch,
        height=block.height,
        width=block.width,
        labels=block.labels,
    )
    # The label cost isn't converted: with few bits it would no longer be convex.
    return problems.Labeling(*narrowed(draw, *problem[:3]), problem.label_cost)


def slack_of(problem: problems.Labeling) -> Tensor:
    """The difference that energies may have: 1e-12 of the sum of magnitudes."""
    cells = problem.unary.double().abs().flatten(1).sum(1)
    edges = sum(part.double().flatten(1).sum(1) for part in problem[1:3])
    return 1e-12 * (cells + edges * problem.label_cost.double().abs().max())


def check_swap(block: Block, draw: random.Random, checked: Checked) -> None:
    problem = labeling_of(block, draw, tuple(problems.LABEL_COSTS))
    cycles = draw.choice((None, None, None, 0, 1, 2))
    mine = ops.alpha_beta_swap(*problem, max_cycles=cycles)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.alpha_beta_swap(*problem, max_cycles=cycles)
        checked.same(f"labels, {name}", mine.labels, theirs.labels)
        checked.close(f"energy, {name}", mine.energy, theirs.energy, slack_of(problem))
    if cycles is None and block.height * block.width <= 9:
        checked.prove("no swap gains", certificates.no_swap_gains(problem, mine.labels))


def check_exact(block: Block, draw: random.Random, checked: Checked) -> None:
    problem = labeling_of(block, draw, problems.CONVEX)
    if not integers.is_convex(problem.label_cost):  # a power that was rounded to int32
        steps = torch.arange(block.labels, dtype=torch.int32)
        problem = problem._replace(label_cost=(steps[:, None] - steps).abs())
    mine = ops.exact_labeling(*problem)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.exact_labeling(*problem)
        checked.same(f"labels, {name}", mine.labels, theirs.labels)
        checked.close(f"energy, {name}", mine.energy, theirs.energy, slack_of(problem))
    cells = block.height * block.width
    if block.labels**cells <= certificates.MOST_LABELINGS:
        checked.prove("lowest optimum", certificates.lowest_optimum(problem, mine.labels))
        return
    if cells <= certificates.MOST_CELLS:
        convex = certificates.is_convex_throughout(problem)
        good = certificates.lowest_of_a_convex_problem(problem, mine.labels)
        checked.holds("no step gains", good | ~convex)
        checked.proved += int(convex.sum())
        if bool(convex.all()):
            return
    good = certificates.lowest_by_ishikawa(problem, mine.labels, 0)
    checked.prove("lowest by Ishikawa's graph", torch.tensor([good]))


def check_energy(block: Block, draw: random.Random, checked: Checked) -> None:
    problem = labeling_of(block, draw, tuple(problems.LABEL_COSTS))
    shape = problem.unary.shape
    labels = torch.randint(shape[3], shape[:3], generator=problems.generator(block.seed))
    labels = labels.to(draw.choice((torch.int64, torch.int32, torch.uint8)))
    mine = ops.labeling_energy(labels, *problem)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.labeling_energy(labels, *problem)
        checked.close(f"energy, {name}", mine, theirs, slack_of(problem))
    naive = problems.naive_energy(labels[:4], problem)
    checked.prove(
        "energy cell by cell",
        (mine[:4] - torch.tensor(naive, dtype=torch.float64)).abs() <= slack_of(problem)[:4],
    )


def check_assignment(block: Block, draw: random.Random, checked: Checked) -> None:
    exact = block.function.endswith("exact")
    method = "exact" if exact else "approx"
    cost = problems.matrix(
        block.kind, seed=block.seed, batch=block.batch, count=block.height * block.width
    )
    (cost,) = narrowed(draw, cost)
    mine = ops.assignment(cost, method=method)
    wide = cost.double()
    count = cost.shape[1]
    magnitude = wide.abs().flatten(1).amax(1) * count
    slack = 1e-12 * magnitude
    unit = torch.zeros(len(cost), dtype=torch.float64)
    if exact and cost.is_floating_point():
        # Rounding changes an entry by at most half of this, and the entry that it is exchanged for
        # too.
        spread = wide.flatten(1).amax(1) - wide.flatten(1).amin(1)
        unit = (spread * 2.0**-29).clamp(min=2.0**-1000)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.assignment(cost, method=method)
        if exact:
            checked.holds(f"permutation, {name}", certificates.is_permutation(theirs.source))
        else:
            checked.same(f"source, {name}", mine.source, theirs.source)
        checked.close(f"total, {name}", mine.total, theirs.total, slack + count * unit)
    checked.holds("permutation", certificates.is_permutation(mine.source))
    own = wide.gather(1, mine.source[:, None])[:, 0].sum(1)
    checked.close("own total", mine.total, own, slack)
    if not exact:
        checked.prove("stable", certificates.is_stable(wide, mine.source))
    elif cost.is_floating_point():
        good = certificates.no_cycle_gains(wide, mine.source, unit + 1e-15 * magnitude)
        checked.prove("no cycle gains", good)
    else:
        prove_optimal(cost.long(), mine.source, checked)


def prove_optimal(cost: Tensor, source: Tensor, checked: Checked) -> None:
    checked.prove("no cycle gains", certificates.no_cycle_gains(cost, source))
    if cost.shape[1] <= certificates.MOST_PERMUTED:
        good = certificates.best_of_all_permutations(cost, source)
        checked.holds("best of all permutations", good)


def check_transport(block: Block, draw: random.Random, checked: Checked) -> None:
    exact = block.function.endswith("exact")
    problem = problems.transport(
        block.kind, seed=block.seed, batch=block.batch, height=block.height, width=block.width
    )
    problem = problems.Transport(*narrowed(draw, *problem))
    xi = draw.choice((0, 1e-6, 0.01, 0.1, 0.8, 5, 1e6))
    options = {
        "xi": xi,
        "weight": draw.choice(("indicator", "mask")),
        "method": "exact" if exact else "approx",
    }
    mine = ops.masked_transport(*problem, **options)
    slack = 1e-12 * (problem.saliency.double().flatten(1).sum(1) + 2 * xi * problem.mask[0].numel())
    listed = block.height * block.width <= 400
    cost = certificates.transport_integers(problem, xi, options["weight"]) if listed else None

    def least(found: Any) -> Tensor:
        return cost.gather(1, found.source.flatten(1)[:, None])[:, 0].sum(1)

    for name, context, functions in checked.others():
        with context:
            theirs = functions.masked_transport(*problem, **options)
        if not exact:
            checked.same(f"source, {name}", mine.source, theirs.source)
            checked.close(f"total, {name}", mine.total, theirs.total, slack)
            continue
        checked.holds(f"permutation, {name}", certificates.is_permutation(theirs.source))
        if listed:
            checked.holds(f"integer total, {name}", least(mine) == least(theirs))
    checked.holds("permutation", certificates.is_permutation(mine.source))
    if not listed:
        return
    if exact:
        prove_optimal(cost, mine.source, checked)
    else:
        checked.prove("stable", certificates.is_stable(cost, mine.source))


def check_mix(block: Block, draw: random.Random, checked: Checked) -> None:
    def divisor(side: int) -> int:
        return draw.choice([d for d in range(1, side + 1) if side % d == 0])

    most = 64 if block.large else 12
    size = draw.randint(1, most), draw.randint(1, most)
    batch = min(block.batch, 64)
    for part in range(block.batch // batch):
        problem = problems.mix(
            block.kind,
            seed=block.seed + part,
            batch=batch,
            channels=draw.randint(1, 4),
            size=size,
            grids=tuple((divisor(size[0]), divisor(size[1])) for _ in range(3)),
            levels=draw.randint(2, 5),
            dtype=draw.choice(FLOATS[1:]),
        )
        if draw.random() < 0.3:
            problem = problem._replace(source1=None)
        if draw.random() < 0.3:
            problem = problem._replace(source2=None)
        partner = None
        if draw.random() < 0.3:
            partner = torch.randint(
                batch, (batch,), generator=problems.generator(block.seed + part)
            )
        elif draw.random() < 0.3:
            problem = problem._replace(x2=None, source2=None)
        if draw.random() < 0.3:
            last = problem.x1.contiguous(memory_format=torch.channels_last)
            problem = problem._replace(x1=last)
        expected = reference.mix(*problem, partner=partner)
        checked.same("mix, reference", ops.mix(*problem, partner=partner), expected)


def check_plan(block: Block, draw: random.Random, checked: Checked) -> None:
    given, options = plan_of(block, draw)
    mine = ops.puzzle_plan(*given, **options)
    for name, context, functions in checked.others():
        with context:
            theirs = functions.puzzle_plan(*given, **options)
        for field in decided_alike(options):
            if getattr(mine, field) is not None:
                checked.same(f"{field}, {name}", getattr(mine, field), getattr(theirs, field))
        for source in (theirs.source1, theirs.source2):
            if source is not None:
                checked.holds(f"permutation, {name}", certificates.is_permutation(source))
    x1, x2, saliency1, saliency2, lam = given
    decided = mine.mask, mine.source1, mine.source2
    images = [f.mix(x1, x2, *decided, partner=options["partner"]) for f in (ops, reference)]
    checked.same("images, reference", *images)
    if (partner := options["partner"]) is not None:
        x2, saliency2 = x2[partner.long()], saliency2[partner.long()]
    kept = {name: options[name] for name in pairs.OF_THE_OBJECTIVE}
    total = objective(x1, x2, saliency1, saliency2, lam, *decided, **kept).total
    # Distances and logarithms are added up before they are weighed, and may cancel out.
    largest = 1.0 if options["std"] is None else float(torch.as_tensor(options["std"]).max())
    largest *= max(float(x.double().abs().max()) for x in (x1, x2))
    smoothness = options["beta"] * options["gamma"] * max(mine.mask.shape[1:])
    magnitude = 1 + total.abs() + smoothness * largest + options["eta"] * block.labels
    checked.prove("objective", (mine.objective - total).abs() <= 1e-12 * magnitude)


def decided_alike(options: dict[str, Any]) -> tuple[str, ...]:
    """The parts of a plan that have equal bits in every backend.

    Exact transports may tie. Then permutations may differ between backends, and so may all that is
    computed from them.
    """
    if options["transport"] != "exact":
        return ("mask", "ratio", "source1", "source2", "objective")
    return ("mask", "ratio") if options["cycles"] == 1 else ()


def plan_of(block: Block, draw: random.Random) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of ``puzzle_plan``: of any sizes, types, layouts, partners and options."""
    g = problems.generator(block.seed)
    grid = block.height, block.width
    exact = block.function.endswith("exact")
    # Exact transports by the reference take a loop in Python for each block.
    most = 12 if exact else 64 * 64
    finer = (1, 1, 2, 3) if grid[0] * grid[1] <= most and max(grid) <= 21 else (1,)
    fine = tuple(side * draw.choice(finer) for side in grid)
    if block.large and not exact and max(grid) <= 12 and draw.random() < 0.1:
        fine = tuple(64 // side * side for side in grid)
    channels = draw.choice((1, 2, 3, 3, 4, 17))
    others = draw.choice((block.batch, block.batch, 1, block.batch + 3))
    partner = None
    if others != block.batch or draw.random() < 0.3:
        partner = torch.randint(others, (block.batch,), generator=g)
        partner = partner.to(draw.choice((torch.int64, torch.int32)))

    def sides(most: int) -> tuple[int, ...]:
        return tuple(side * draw.randint(1, max(1, min(most, 96 // side))) for side in fine)

    size, dtype = sides(5), draw.choice(FLOATS[1:])
    images, maps = [], []
    for kind, count in ((block.kind, block.batch), (draw.choice([*pairs.IMAGES]), others)):
        image = pairs.make_images(kind, g, (count, channels, *size), dtype)
        last = draw.random() < 0.4
        images.append(image.to(memory_format=torch.channels_last) if last else image)
        of_map = draw.choice(["noise", "noise", *pairs.SALIENCIES])
        maps.append(pairs.make_saliency(of_map, g, (count, *sides(3)), draw.choice(FLOATS)))
    if others == block.batch and draw.random() < 0.2:
        images[1], maps[1] = images[0], maps[0]  # a batch that is mixed with itself
    lam: float | Tensor = draw.choice((0, 1, draw.random()))
    if draw.random() < 0.7:
        lam = torch.rand(block.batch, generator=g, dtype=torch.float64)
        lam = (lam * 1.2 - 0.1).clamp(0, 1).to(draw.choice(FLOATS))
    options = {"partner": partner, "grid": grid, "transport_grid": fine, "labels": block.labels}
    options["transport"] = "exact" if exact else draw.choice(("approx", "approx", "approx", None))
    return (*images, *maps, lam), options | options_of_a_plan(draw, channels)


def options_of_a_plan(draw: random.Random, channels: int) -> dict[str, Any]:
    """Weights from 0 to so large that they outweigh all others, and names of methods."""
    numbers = [draw.uniform(0.1, 1) for _ in range(channels)]
    return {
        "beta": draw.choice((0, 0.4, 1.2, 1.2, 3, 1e-9, 1e6)),
        "gamma": draw.choice((0, 0.5, 0.5, 2, 1e6)),
        "eta": draw.choice((0, 0.2, 0.2, 1, 1e6)),
        "xi": draw.choice((0, 1e-3, 0.1, 0.8, 0.8, 1e6)),
        "neighborhood": draw.choice((1, 2, 3, 4, 4, 16)),
        "cut": draw.choice(("swap", "exact")),
        "cycles": draw.choice((1, 1, 2, 3)),
        "smoothness": draw.choice(("quadratic", "bilinear")),
        "mean": draw.choice((None, 0.5)),
        "std": draw.choice((None, None, 0.25, numbers, torch.tensor(numbers))),
    }


CHECKS: dict[str, Callable[[Block, random.Random, Checked], None]] = {
    "grid_min_cut": check_cut,
    "alpha_beta_swap": check_swap,
    "exact_labeling": check_exact,
    "labeling_energy": check_energy,
    "assignment": check_assignment,
    "masked_transport": check_transport,
    "mix": check_mix,
    "puzzle_plan": check_plan,
}
