"""Train a LeNet on spectrograms of spoken digits, with input mixup.

python examples/train_speech.py --smoke
python examples/train_speech.py --data path/to/recordings

The recordings are those of the Free Spoken Digit Dataset (data.py says in which form); without
--data there are synthetic tones. ``--mixer none`` is empirical risk minimisation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data import shuffled_part, spoken_digits, synthetic_tones
from loop import Data, Settings, make_mixer, seeded, start, train
from nets import LeNet


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="a folder of recordings; without: synthetic")
    parser.add_argument("--out", type=Path, default=Path("runs/speech"), help="log, checkpoint")
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    parser.add_argument("--mixer", choices=("none", "mixup"), default="mixup", help="the method")
    parser.add_argument("--alpha", type=float, default=0.2, help="lambda ~ Beta(alpha, alpha)")
    parser.add_argument("--epochs", type=int, default=30, help="in all")
    parser.add_argument("--batch-size", type=int, default=64, help="recordings a step")
    parser.add_argument("--lr", type=float, default=0.05, help="the first learning rate")
    parser.add_argument("--limit", type=int, help="how many of the recordings to train on")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--stop-after", type=int, help="end after this epoch, to resume later")
    if parser.parse_args(argv).smoke:
        parser.set_defaults(epochs=2, limit=320, batch_size=32)
    args = parser.parse_args(argv)

    device = start(args.seed)
    if args.data is None:
        count = args.limit or 2000
        data = Data(*synthetic_tones(count, max(count // 2, 10), args.seed), num_classes=10)
    else:
        sounds, digits, test, test_digits = spoken_digits(args.data)
        if args.limit:
            sounds, digits = shuffled_part(sounds, digits, args.limit, args.seed)
        data = Data(sounds, digits, test, test_digits, num_classes=10)
    model = LeNet(data.num_classes).to(device)
    mixer = make_mixer(
        args.mixer, model, data.num_classes, alpha=args.alpha, generator=seeded(args.seed, "mixer")
    )
    settings = Settings(epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, seed=args.seed)
    train(
        model,
        data,
        mixer,
        settings,
        out=args.out,
        resume=args.resume,
        stop_after=args.stop_after,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
