"""Compare the compiled functions with the reference, host teams and proofs, on many instances.

python tools/crosscheck.py --instances 1000000 --small 10000000 --seed 1 --jobs 2

Instances come in blocks of one function, size and kind, in two tiers. "reference" compares plain
PyTorch, the CPU's solvers and the device's algorithms on two host teams. "proved" compares the CPU
and one team and, where the problem's size allows it, proves that the answer is the one asked for
(tests/certificates.py). Labels,
permutations and mixes must agree bit for bit, energies and totals up to 1e-12 of the sum of
magnitudes, and exact assignments, which may tie, in their integer totals.

Everything in a block follows from the seed and the block's number. A journal keeps a line for each
block that is done: killed at any moment and called again with the same arguments, the run goes on
where it was, and tries again the blocks that differed. ``--block TIER:NUMBER`` runs one block and
prints what differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from crosschecks import SHARES, TIERS, Block, Outcome, blocks, check_block  # noqa: E402
from tqdm import tqdm  # noqa: E402


class Journal:
    """A file of the blocks done, one line of JSON each, after a line with the run's arguments."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = b""
        if path.exists():
            # A line without an end was cut short by a kill: its block is done again.
            whole = path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines()]
        if lines and lines[0] != run:
            raise SystemExit(f"{path} is the journal of another run, {lines[0]}")
        last = {(line["tier"], line["number"]): Outcome(**line) for line in lines[1:]}
        self.outcomes = [outcome for outcome in last.values() if not outcome.differences]
        self.file = path.open("r+b" if path.exists() else "w+b")
        self.file.truncate(len(whole))
        self.file.seek(len(whole))
        if not lines:
            self._write(run)

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._write(asdict(outcome))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()


def one_thread() -> None:
    torch.set_num_threads(1)


def run(options: argparse.Namespace) -> list[Outcome]:
    """Run the blocks that the journal lacks."""
    amounts = {"reference": options.instances, "proved": options.small}
    named = {"only": options.only} if options.only else {}
    with Journal(options.journal, {"seed": options.seed, **amounts, **named}) as journal:
        done = {(outcome.tier, outcome.number) for outcome in journal.outcomes}
        todo = [
            block
            for tier in TIERS
            for block in blocks(tier, amounts[tier], options.seed, options.only)
            if (block.tier, block.number) not in done
        ]
        # Large and small blocks alternate, so that the progress bar advances evenly.
        random.Random(options.seed).shuffle(todo)
        advance(journal, todo, options)
        return journal.outcomes


def advance(journal: Journal, todo: list[Block], options: argparse.Namespace) -> None:
    start = time.monotonic()
    before = sum(outcome.instances for outcome in journal.outcomes)
    total = before + sum(block.batch for block in todo)
    differing = 0
    with tqdm(total=total, initial=before, unit="", unit_scale=True) as bar:
        for outcome in solved(todo, options.jobs):
            journal.add(outcome)
            bar.update(outcome.instances)
            if outcome.differences:
                differing += 1
                bar.write(f"{outcome.tier}:{outcome.number} {outcome.function}, {outcome.kind}:")
                bar.write("  " + "\n  ".join(outcome.differences))
            bar.set_postfix(differing=differing, refresh=False)
            if options.time and time.monotonic() - start > options.time:
                return


def solved(todo: list[Block], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        threads = torch.get_num_threads()
        one_thread()
        yield from map(check_block, todo)
        torch.set_num_threads(threads)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, one_thread) as pool:
        yield from pool.imap_unordered(check_block, todo)


def summary(outcomes: list[Outcome], options: argparse.Namespace) -> str:
    """A table of instances by function and kind, in Markdown."""
    count: Counter[tuple[str, str, str]] = Counter()
    proved: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        count[outcome.function, outcome.kind, outcome.tier] += outcome.instances
        proved[outcome.function, outcome.kind] += outcome.proved
    differing = [outcome for outcome in outcomes if outcome.differences]
    totals = {tier: sum(n for key, n in count.items() if key[2] == tier) for tier in TIERS}
    only = "".join(f" --only '{name}'" for name in options.only or ())
    lines = [
        "# Cross-checks",
        "",
        f"    python tools/crosscheck.py --instances {options.instances} --small {options.small} "
        f"--seed {options.seed}{only}",
        "",
        f"Seed {options.seed}. {totals['reference']:,} instances by the reference, the CPU and two "
        f"host teams; {totals['proved']:,} by the CPU, one host team and proofs "
        f"({sum(proved.values()):,} proofs in both tiers). Blocks with differences: "
        f"{len(differing)}. {sum(o.seconds for o in outcomes) / 3600:.2f} hours of one core.",
        "",
        "| function | kind | by the reference | CPU and team | proofs |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for function in SHARES["reference"]:
        kinds = sorted({key[1] for key in count if key[0] == function})
        for kind in kinds:
            numbers = [count[function, kind, tier] for tier in TIERS] + [proved[function, kind]]
            row = " | ".join(f"{number:,}" for number in numbers)
            lines.append(f"| {function} | {kind} | {row} |")
    for outcome in differing:
        lines.append("")
        lines.append(f"Differs: --block {outcome.tier}:{outcome.number}, {outcome.function}, ")
        lines += [f"- {difference}" for difference in outcome.differences]
    return "\n".join(lines) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", type=int, default=10_000, help="by the reference")
    parser.add_argument("--small", type=int, help="by CPU, team and proof; 10 times the others")
    parser.add_argument(
        "--only", action="append", choices=SHARES["reference"], help="this function; repeatable"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--time", type=float, metavar="SECONDS", help="stop after so long")
    parser.add_argument("--journal", type=Path, default=ROOT / "runs" / "crosscheck.jsonl")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write a table in Markdown")
    parser.add_argument("--block", metavar="TIER:NUMBER", help="this block alone")
    options = parser.parse_args(arguments)
    if options.small is None:
        options.small = 10 * options.instances
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.block:
        tier, number = options.block.split(":")
        amount = options.instances if tier == "reference" else options.small
        block = next(islice(blocks(tier, amount, options.seed, options.only), int(number), None))
        print(block)
        print(check_block(block))
        return 0
    print(f"seed {options.seed}, journal {options.journal}")
    outcomes = run(options)
    text = summary(outcomes, options)
    if options.summary:
        options.summary.write_text(text)
    differing = sum(bool(outcome.differences) for outcome in outcomes)
    print(
        f"{sum(outcome.instances for outcome in outcomes):,} instances, {differing} blocks differ"
    )
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
