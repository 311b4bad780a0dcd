"""How many phases the algorithms of the device take: `python -m bench.phases`, no GPU needed.

A phase ends with a barrier, so their number is what a sample's latency is made of on CUDA. They are
counted on host teams, whose every answer is compared with the CPU's. Prints a Markdown table of
the median, the 99th percentile and the most over the samples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import puzzlemix

from .instances import labeling_problem, smooth_saliency

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from teams import Team

SAMPLES = 100
Solve = Callable[..., tuple[Tensor, Tensor]]
Case = tuple[str, Solve, tuple[Tensor, ...], dict[str, object]]


def cases() -> Iterator[Case]:
    """Name, function, batched arguments, options."""
    for grid in (2, 4, 8, 16, 32):
        for labels in (2, 3, 5, 16):
            problem = labeling_problem(SAMPLES, grid, labels)
            name = f"{grid}x{grid}, {labels} labels"
            yield f"alpha_beta_swap {name}", puzzlemix.alpha_beta_swap, tuple(problem), {}
            yield f"exact_labeling {name}", puzzlemix.exact_labeling, tuple(problem), {}
    for grid in (4, 8, 16):
        problem = labeling_problem(SAMPLES, grid, labels=3)
        saliency = smooth_saliency(SAMPLES, grid, seed=0)
        cut = puzzlemix.exact_labeling(*problem).labels / 2
        generator = torch.Generator().manual_seed(1)
        noise = torch.randint(0, 3, cut.shape, generator=generator) / 2
        for method in ("approx", "exact"):
            for mask, what in ((cut, "mask of a cut"), (noise, "random mask")):
                for xi in (0.8, 0.1):
                    yield (
                        f"masked_transport {method} {grid}x{grid}, {what}, xi {xi}",
                        puzzlemix.masked_transport,
                        (saliency, mask),
                        {"xi": xi, "method": method},
                    )
    for count in (16, 64, 256):
        generator = torch.Generator().manual_seed(2)
        cost = torch.rand((20, count, count), generator=generator)
        for method in ("approx", "exact"):
            name = f"assignment {method}, N = {count}, uniform"
            yield name, puzzlemix.assignment, (cost,), {"method": method}


def phases(case: Case) -> Tensor:
    """The phases of each sample."""
    _, solve, given, options = case
    shared = given[3:]  # a label cost
    batch = len(given[0])
    counts = []
    for b in range(batch):
        one = (*(tensor[b : b + 1] for tensor in given[:3]), *shared)
        with Team(seed=2 * b) as team:
            answer = solve(*one, **options)
        counts.append(team.phases)
        torch.testing.assert_close(answer[1], solve(*one, **options)[1], rtol=1e-9, atol=1e-12)
    return torch.tensor(counts, dtype=torch.float64)


def main() -> None:
    torch.set_num_threads(1)
    print("| work | median | 99 % | most |\n| --- | --- | --- | --- |")
    for case in tqdm(list(cases()), leave=False):
        counts = phases(case)
        median, late, most = counts.median(), counts.quantile(0.99), counts.max()
        tqdm.write(f"| {case[0]} | {median:.0f} | {late:.0f} | {most:.0f} |")


if __name__ == "__main__":
    main()
