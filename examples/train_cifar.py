"""Train on CIFAR-10, or on synthetic images, with any of the mixers.

Without ``--data`` the images are synthetic: gratings, a class for each direction and colour, which
show that training works and nothing more. An epoch of the default network takes minutes on a CPU.

python examples/train_cifar.py --smoke --mixer puzzle
python examples/train_cifar.py --data path/to/data --mixer puzzle --clean-weight 1 --epochs 200
python examples/train_cifar.py --data path/to/data --mixer puzzle --saliency precomputed
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from data import cifar10, crop_and_flip, shuffled_part, synthetic_images
from loop import (
    MIXERS,
    SALIENCIES,
    SCHEDULES,
    Data,
    Settings,
    floating,
    load_checkpoint,
    make_mixer,
    seeded,
    start,
    train,
)
from nets import NETS
from torch.utils.data import TensorDataset

from puzzlemix import gradient_saliency, spectral_saliency, store_saliency

SMOKE = {"net": "small", "epochs": 2, "limit": 256, "batch_size": 32, "lr": 0.05}


def options(
    description: str, out: str, saliencies: Sequence[str] = SALIENCIES
) -> argparse.ArgumentParser:
    """The options that several of the examples share."""
    parser = argparse.ArgumentParser(
        description=description.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    defaults = Settings()
    parser.add_argument("--data", type=Path, help="a folder with CIFAR-10; without: synthetic")
    parser.add_argument("--out", type=Path, default=Path(out), help="log, checkpoint and plot")
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    parser.add_argument("--mixer", choices=MIXERS, default="puzzle", help="the method")
    parser.add_argument("--saliency", choices=saliencies, default="gradient", help="of puzzle")
    parser.add_argument("--alpha", type=float, default=1.0, help="lambda ~ Beta(alpha, alpha)")
    parser.add_argument("--net", choices=sorted(NETS), default="preactresnet18", help="the network")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="in all")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="in all")
    parser.add_argument("--lr", type=float, default=defaults.lr, help="the first learning rate")
    parser.add_argument("--weight-decay", type=float, default=defaults.weight_decay, help="of SGD")
    parser.add_argument("--schedule", choices=SCHEDULES, default="cosine", help="of it")
    parser.add_argument("--clean-weight", type=float, default=0.0, help="see puzzle_mix_backward")
    parser.add_argument("--adversarial-prob", type=float, default=0.0, help="the same")
    parser.add_argument("--limit", type=int, help="how many of the training images to use")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--seed", type=int, default=0, help="of everything")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--stop-after", type=int, help="end after this epoch, to resume later")
    return parser


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, **smoke: object
) -> argparse.Namespace:
    """The options; with --smoke, of those that aren't given the small ones."""
    if parser.parse_args(argv).smoke:
        parser.set_defaults(**SMOKE | smoke)
    return parser.parse_args(argv)


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings of a run from its options."""
    return Settings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        weight_decay=args.weight_decay,
        schedule=args.schedule,
        clean_weight=args.clean_weight,
        adversarial_prob=args.adversarial_prob,
        amp=args.amp,
        seed=args.seed,
    )


def data_of(args: argparse.Namespace) -> Data:
    """CIFAR-10 from ``--data``, or synthetic images, 5000 unless limited."""
    if args.data is None:
        count = args.limit or 5000
        return Data(*synthetic_images(count, max(count // 2, 10), args.seed), num_classes=10)
    images, labels, test, test_labels = cifar10(args.data)
    if args.limit:
        images, labels = shuffled_part(images, labels, args.limit, args.seed)
    return Data(images, labels, test, test_labels, num_classes=10)


def precomputed(args: argparse.Namespace, data: Data) -> torch.Tensor:
    """Saliency of all training images, made once and stored in ``--out``."""
    path = args.out / "saliency.npz"
    if not (args.resume and path.exists()):
        saliency = spectral_saliency
        if args.saliency_net is not None:
            net = NETS[args.net](data.num_classes)
            net.load_state_dict(load_checkpoint(args.saliency_net, {})["model"])
            saliency = partial(gradient_saliency, net.eval())
        args.out.mkdir(parents=True, exist_ok=True)
        store_saliency(path, TensorDataset(floating(data.train), data.train_labels), saliency)
    with np.load(path) as file:
        return torch.from_numpy(file["maps"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = options(__doc__ or "", out="runs/cifar", saliencies=(*SALIENCIES, "precomputed"))
    parser.add_argument(
        "--saliency-net",
        type=Path,
        help="checkpoint.pt of a run with the same --net, whose gradient --saliency precomputed "
        "stores; without: spectral saliency",
    )
    args = parse(parser, argv)
    if args.mixer in ("none", "manifold") and (args.clean_weight or args.adversarial_prob):
        parser.error(f"--clean-weight and --adversarial-prob don't go with --mixer {args.mixer}")
    device = start(args.seed)
    data = data_of(args)
    if args.data is None and not args.smoke:
        print(
            "no --data: synthetic images; on a CPU an epoch takes minutes, all of --smoke seconds"
        )
    if args.mixer == "puzzle" and args.saliency == "precomputed":
        data = data._replace(saliency=precomputed(args, data))
    model = NETS[args.net](data.num_classes).to(device)
    mixer = make_mixer(
        args.mixer,
        model,
        data.num_classes,
        saliency=args.saliency,
        alpha=args.alpha,
        generator=seeded(args.seed, "mixer"),
    )
    train(
        model,
        data,
        mixer,
        settings_of(args),
        out=args.out,
        # Turned over, a grating is another class.
        augment=None if args.data is None else crop_and_flip,
        resume=args.resume,
        stop_after=args.stop_after,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
