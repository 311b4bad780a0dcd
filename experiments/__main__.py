"""Reproduce the lecture's tables, in miniature on a CPU, at full size on a GPU, or in minutes.

python -m experiments generalisation --data path/to/data
python -m experiments --size gpu --minutes 9 --data path/to/data
python -m experiments --all --smoke
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from . import (
    choices,
    conditions,
    corruption,
    generalisation,
    localisation,
    ood,
    report,
    robustness,
    saliency,
    short,
    speech,
    tiny_imagenet,
    toy,
)
from .lab import Lab, OutOfTimeError
from .sizes import SIZES

Tables = dict[str, Callable[[Lab], report.Table]]

TABLES: Tables = {
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
    "conditions": conditions.build,
}
GPU_TABLES: Tables = {name: partial(short.build, name=name) for name in short.TASKS}
"""With ``--size gpu``; their results are called gpu-NAME."""
RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    args, tables = _parsed(argv)
    prefix = "gpu-" if args.size.startswith("gpu") else ""
    seeds = args.seeds or SIZES[args.size].seeds
    lab = Lab(
        args.data,
        args.work,
        args.out,
        args.size,
        range(args.first_seed, args.first_seed + seeds),
        epochs=args.epochs,
        compiles=args.compile,
    )
    if prefix and not (args.render or args.merge):
        share = args.minutes and args.minutes / len(tables)
        for name in tables:
            print(short.estimate(lab, name, share, args.plain_step), end="\n\n", flush=True)
        if args.plain_step is not None:
            return 0
    began = time.monotonic()
    for number, (name, build) in enumerate(tables.items()):
        path = args.out / f"{prefix}{name}.json"
        if args.merge:
            files = [each for each in (path, *args.merge) if each.exists() or each != path]
            table = report.merge([report.read(each) for each in files])
        elif args.render:
            table = report.read(path)
        else:
            # What one table leaves of its share, the next ones may use.
            end = args.minutes and began + 60 * args.minutes * (number + 1) / len(tables)
            try:
                table = build(replace(lab, until=end))
            except OutOfTimeError:
                print(f"{name}: out of time; the same command goes on", flush=True)
                continue
        report.write(table, args.out, path.stem)
        print(report.markdown(table, path.stem), flush=True)
    return 0


def _parsed(argv: Sequence[str] | None) -> tuple[argparse.Namespace, Tables]:
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=(__doc__ or "").split("\n")[0]
    )
    size = "full" if torch.cuda.is_available() else "miniature"
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("--data", type=Path, help="the folder with the data sets")
    parser.add_argument("--out", type=Path, help=f"tables and plots (default: {RESULTS.name})")
    parser.add_argument("--work", type=Path, default=Path("runs/paper"), help="networks")
    parser.add_argument(
        "--size", choices=["miniature", "full", "gpu"], default=size, help=f"default here: {size}"
    )
    parser.add_argument("--seeds", type=int, help="how many (default: by size)")
    parser.add_argument("--first-seed", type=int, default=0, help="of them (default: 0)")
    parser.add_argument("--epochs", type=int, help="of each network (default: by table and size)")
    parser.add_argument("--compile", action="store_true", help="networks, by torch.compile")
    parser.add_argument("--minutes", type=float, help="then stop; the same command goes on")
    parser.add_argument(
        "--plain-step",
        type=float,
        metavar="MS",
        help="with --size gpu: train nothing, only estimate what fits in --minutes on a device "
        "that takes so many milliseconds for a plain step",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="whether it runs: tiny, synthetic data, in WORK/smoke"
    )
    parser.add_argument(
        "--merge", type=Path, nargs="+", metavar="FILE",
        help="add the seeds of a table's JSON that the same command made elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--render", action="store_true", help="only write pages and plots again, from the JSON"
    )
    args = parser.parse_args(argv)
    known = GPU_TABLES if args.size == "gpu" else TABLES
    unknown = sorted(set(args.tables) - set(known))
    if unknown:
        parser.error(f"TABLE: expected {', '.join(known)}, got {unknown[0]}")
    names = list(known) if args.all or (args.size == "gpu" and not args.tables) else args.tables
    if not names:
        parser.error("TABLE: expected one or more, or --all")
    if args.merge and len(names) != 1:
        parser.error(f"--merge: expected one TABLE, got {', '.join(names)}")
    if args.plain_step is not None and args.size != "gpu":
        parser.error(f"--plain-step: expected --size gpu, got --size {args.size}")
    if args.smoke:
        args.size, args.data = ("gpu-smoke" if args.size == "gpu" else "smoke"), None
    elif args.data is None and not (args.render or args.merge) and names != ["toy"]:
        parser.error("--data: expected the folder with the data sets, or --smoke")
    args.out = args.out or (args.work / "smoke" / "results" if args.smoke else RESULTS)
    return args, {name: known[name] for name in names}


if __name__ == "__main__":
    sys.exit(main())
