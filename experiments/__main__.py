"""Reproduce the lecture's tables, in miniature on a CPU, at full size on a GPU.

python -m experiments generalisation --data path/to/data
python -m experiments --all --smoke
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from . import (
    choices,
    corruption,
    generalisation,
    localisation,
    ood,
    report,
    robustness,
    saliency,
    speech,
    tiny_imagenet,
    toy,
)
from .lab import SIZES, Lab

TABLES: dict[str, Callable[[Lab], report.Table]] = {
    "generalisation": generalisation.build,
    "tiny_imagenet": tiny_imagenet.build,
    "robustness": robustness.build,
    "corruption": corruption.build,
    "ood": ood.build,
    "localisation": localisation.build,
    "speech": speech.build,
    "toy": toy.build,
    "choices": choices.build,
    "saliency": saliency.build,
}
RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=(__doc__ or "").split("\n")[0]
    )
    size = "full" if torch.cuda.is_available() else "miniature"
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("--data", type=Path, help="the folder with the data sets")
    parser.add_argument("--out", type=Path, help=f"tables and plots (default: {RESULTS.name})")
    parser.add_argument("--work", type=Path, default=Path("runs/paper"), help="networks")
    parser.add_argument("--size", choices=SIZES, default=size, help=f"default here: {size}")
    parser.add_argument("--seeds", type=int, help="how many (default: by size)")
    parser.add_argument(
        "--smoke", action="store_true", help="whether it runs: tiny, synthetic data, in WORK/smoke"
    )
    parser.add_argument(
        "--render", action="store_true", help="only write pages and plots again, from the JSON"
    )
    args = parser.parse_args(argv)
    unknown = sorted(set(args.tables) - set(TABLES))
    if unknown:
        parser.error(f"TABLE: expected {', '.join(TABLES)}, got {unknown[0]}")
    tables = list(TABLES) if args.all else args.tables
    if not tables:
        parser.error("TABLE: expected one or more, or --all")
    if args.smoke:
        args.size, args.data = "smoke", None
    elif args.data is None and not args.render and tables != ["toy"]:
        parser.error("--data: expected the folder with the data sets, or --smoke")
    out = args.out or (args.work / "smoke" / "results" if args.smoke else RESULTS)
    seeds = range(args.seeds or SIZES[args.size].seeds)
    lab = Lab(args.data, args.work, out, args.size, seeds)
    for name in tables:
        table = report.read(out / f"{name}.json") if args.render else TABLES[name](lab)
        report.write(table, out, name)
        print(report.markdown(table, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
