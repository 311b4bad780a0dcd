"""Classic augmentations, or AutoAugment, in front of a mixer.

python examples/augment.py --smoke --augment crop flip jitter cutout --mixer cutmix
python examples/augment.py --smoke --auto

Each image gets, one after the other, those of ``--augment`` that chance grants it. ``--auto`` is
AutoAugment's policy for CIFAR-10, by kornia, for the whole batch at once. ``augmented.png`` shows
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
from torch import Generator, Tensor
from train_cifar import data_of, options, parse, settings_of

from puzzlemix import ManifoldMixUp
from puzzlemix.demo import augment

CLASSIC: dict[str, tuple[float, Callable[[Tensor, Generator], Tensor]]] = {
    "crop": (1.0, partial(augment.crop_and_resize, scale=(0.4, 1.0))),
    "flip": (0.5, lambda image, generator: augment.flip(image)),
    "drop": (0.2, lambda image, generator: augment.drop_color(image)),
    "jitter": (0.8, partial(augment.jitter_color, strength=0.5)),
    "rotate": (0.5, augment.rotate),
    "cutout": (0.5, augment.cutout),
    "noise": (0.5, partial(augment.noise, std=0.05)),
    "blur": (0.3, lambda image, generator: augment.blur(image, sigma=1.0)),
    "sobel": (0.1, lambda image, generator: augment.sobel(image)),
}
"""By name: how probable an augmentation is, and what it does to an image [3, Y, X]."""


def classic(names: Sequence[str]) -> Augment:
    """These augmentations, for a batch."""

    def apply(images: Tensor, generator: Generator) -> Tensor:
        granted = torch.rand((len(images), len(names)), generator=generator).tolist()
        changed = []
        for image, draws in zip(images, granted, strict=True):
            for name, draw in zip(names, draws, strict=True):
                prob, function = CLASSIC[name]
                if draw < prob:
                    image = function(image, generator)
            changed.append(image)
        return torch.stack(changed)

    return apply


def auto_augment() -> Augment:
    """AutoAugment (Cubuk et al., CVPR 2019) with the policy for CIFAR-10, by kornia."""
    try:
        from kornia.augmentation.auto import AutoAugment
    except ImportError:
        raise SystemExit("--auto: needs kornia, pip install kornia") from None
    policy = AutoAugment("cifar10")

    def apply(images: Tensor, generator: Generator) -> Tensor:
        # kornia draws from the global random state, which checkpoints hold too.
        with torch.no_grad():
            return policy(images).clamp(0, 1)

    return apply


def picture(path: Path, rows: Sequence[Tensor]) -> bool:
    """Rows of images [N, 3, Y, X] as one picture; False without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return False
    whole = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    pixels = whole.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    image = Image.fromarray(pixels)
    content = io.BytesIO()
    image.resize((3 * image.width, 3 * image.height), Image.Resampling.NEAREST).save(content, "png")
    replace_file(path, content.getvalue())
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = options(__doc__ or "", out="runs/augment")
    parser.add_argument(
        "--augment", nargs="+", choices=sorted(CLASSIC), default=list(CLASSIC), help="in this order"
    )
    parser.add_argument("--auto", action="store_true", help="AutoAugment instead, by kornia")
    args = parse(parser, argv)
    device = start(args.seed)
    chain = auto_augment() if args.auto else classic(args.augment)
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

    shown = floating(data.train[:8])
    rows = [shown, chain(shown, seeded(args.seed, "picture"))]
    painter = mixer_for("picture", "spectral")
    if painter is not None and not isinstance(painter, ManifoldMixUp):
        rows.append(painter(rows[1], data.train_labels[:8])[0])
    if not picture(args.out / "augmented.png", rows):
        print("no picture: Pillow is not installed")
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
