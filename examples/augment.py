"""Classic augmentations, or AutoAugment, in front of a mixer.

python examples/augment.py --smoke --augment crop flip jitter cutout --mixer cutmix
python examples/augment.py --smoke --auto

Both by kornia. Each image gets, one after the other, those of ``--augment`` that chance grants it;
``--auto`` is AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019). ``augmented.png`` shows
some images as they are, augmented, and augmented and mixed. Options otherwise as train_cifar.py.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from loop import Augment, floating, make_mixer, replace_file, seeded, start, train
from nets import NETS
from torch import Generator, Tensor, nn
from train_cifar import data_of, options, parse, settings_of

from puzzlemix import ManifoldMixUp

try:
    from kornia import augmentation as ka
    from kornia.augmentation.auto import AutoAugment
except ImportError:
    raise SystemExit("examples/augment.py needs kornia: pip install kornia") from None

CLASSIC: dict[str, Callable[[], nn.Module]] = {
    "crop": partial(ka.RandomResizedCrop, (32, 32), scale=(0.4, 1.0)),
    "flip": partial(ka.RandomHorizontalFlip, p=0.5),
    "drop": partial(ka.RandomGrayscale, p=0.2),
    "jitter": partial(ka.ColorJitter, 0.4, 0.4, 0.4, 0.1, p=0.8),
    "rotate": partial(ka.RandomRotation90, (1, 3), p=0.5),
    "cutout": partial(ka.RandomErasing, (0.25, 0.25), ratio=(1.0, 1.0), p=0.5),
    "noise": partial(ka.RandomGaussianNoise, std=0.05, p=0.5),
    "blur": partial(ka.RandomGaussianBlur, (7, 7), (1.0, 1.0), p=0.3),
}
"""By name: what makes an augmentation, and how probable it is for an image."""


def augmentation(chain: nn.Module) -> Augment:
    """kornia's for a batch, as the training loop calls it."""

    def apply(images: Tensor, generator: Generator) -> Tensor:
        # kornia draws from the global random state, which checkpoints hold too.
        with torch.no_grad():
            return chain(images).clamp(0, 1)

    return apply


def picture(path: Path, rows: dict[str, Tensor], labels: Sequence[str]) -> None:
    """Draw rows of images [N, 3, Y, X], each with its name, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure = Figure(figsize=(1.3 * len(labels) + 0.6, 1.4 * len(rows) + 0.2), layout="constrained")
    panels = figure.subplots(len(rows), len(labels), squeeze=False)
    for line, (name, images) in zip(panels, rows.items(), strict=True):
        for panel, image in zip(line, images.clamp(0, 1).permute(0, 2, 3, 1), strict=True):
            panel.imshow(image.cpu().numpy())
            panel.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    for panel, label in zip(panels[0], labels, strict=True):
        panel.set_title(label)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    replace_file(path, content.getvalue())


def main(argv: Sequence[str] | None = None) -> int:
    parser = options(__doc__ or "", out="runs/augment")
    parser.add_argument(
        "--augment", nargs="+", choices=sorted(CLASSIC), default=list(CLASSIC), help="in this order"
    )
    parser.add_argument("--auto", action="store_true", help="AutoAugment instead")
    args = parse(parser, argv)
    device = start(args.seed)
    named = [CLASSIC[name]() for name in args.augment]
    chain = augmentation(AutoAugment("cifar10") if args.auto else nn.Sequential(*named))
    data = data_of(args)
    model = NETS[args.net](data.num_classes).to(device)

    def mixer_for(purpose: str, saliency: str):
        return make_mixer(
            args.mixer,
            model,
            data.num_classes,
            saliency=saliency,
            alpha=args.alpha,
            generator=seeded(args.seed, purpose),
        )

    shown, classes = floating(data.train[:8]), data.train_labels[:8]
    rows = {"original": shown, "augmented": chain(shown, seeded(args.seed, "picture"))}
    painter = mixer_for("picture", "spectral")
    if painter is not None and not isinstance(painter, ManifoldMixUp):
        rows["mixed"] = painter(rows["augmented"], classes)[0]
    picture(args.out / "augmented.png", rows, [f"class {label}" for label in classes.tolist()])
    train(
        model,
        data,
        mixer_for("mixer", args.saliency),
        settings_of(args),
        out=args.out,
        augment=chain,
        resume=args.resume,
        stop_after=args.stop_after,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
