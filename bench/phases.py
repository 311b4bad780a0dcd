"""How many phases the algorithms of the device take: `python -m bench.phases`, no GPU needed.

A phase ends with a barrier, so their number is what a sample's latency is made of on CUDA; but a
grid of up to 16x16, or of up to 32x32 with few labels, is cut in one phase, by one warp or four,
whose lanes wait for numbers of each other (shuffles) and for votes. All are counted on host teams,
whose every answer is compared with the CPU's. Prints a Markdown table of the median, the 99th
percentile and the most over the samples, of shuffles and votes median and most.
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

import problems
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
        steps = torch.arange(count, dtype=torch.float32)
        agreed = -(steps[:, None] * steps)[None]
        for method in ("approx", "exact"):
            for kind, costs in (("uniform", cost), ("agreed", agreed)):
                name = f"assignment {method}, N = {count}, {kind}"
                yield name, puzzlemix.assignment, (costs,), {"method": method}
    for grid in (16, 24, 32):
        shared = [problems.contested(kind, grid) for kind in problems.CONTESTED]
        contested = tuple(map(torch.cat, zip(*shared, strict=True)))
        for method in ("approx", "exact"):
            for xi in (1e-5, 0.01, 0.3):
                yield (
                    f"masked_transport {method} {grid}x{grid}, contested places, xi {xi:g}",
                    puzzlemix.masked_transport,
                    contested,
                    {"xi": xi, "method": method, "weight": "mask"},
                )


def phases(case: Case) -> Tensor:
    """Phases, shuffles and votes of each sample."""
    _, solve, given, options = case
    shared = given[3:]  # a label cost
    batch = len(given[0])
    counts = []
    for b in range(batch):
        one = (*(tensor[b : b + 1] for tensor in given[:3]), *shared)
        with Team(seed=2 * b) as team:
            answer = solve(*one, **options)
        counts.append((team.phases, team.shuffles, team.votes))
        torch.testing.assert_close(answer[1], solve(*one, **options)[1], rtol=1e-9, atol=1e-12)
    return torch.tensor(counts, dtype=torch.float64)


def main() -> None:
    """Count, and print the table; of those cases alone whose name has a word that is given."""
    torch.set_num_threads(1)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    print("| work | median | 99 % | most | shuffles | votes |\n" + "| --- " * 6 + "|")
    for case in tqdm([case for case in cases() if word in case[0]], leave=False):
        counts = phases(case)
        median, most = counts.median(0).values, counts.max(0).values
        late = counts[:, 0].quantile(0.99)
        lanes = [f"{median[i]:.0f}, {most[i]:.0f}" if most[i] else "" for i in (1, 2)]
        row = [case[0], f"{median[0]:.0f}", f"{late:.0f}", f"{most[0]:.0f}", *lanes]
        tqdm.write(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
