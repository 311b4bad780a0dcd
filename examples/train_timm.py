"""Train in the style of timm's train.py, with a mixer as its ``mixup_fn``.

python examples/train_timm.py --smoke
python examples/train_timm.py --data path/to/data --model resnet18

In timm a ``mixup_fn(images, targets)`` takes a batch from the loader and returns mixed images and
soft targets, which ``SoftTargetCrossEntropy`` takes. A mixer is one already; ``MixupFn`` adds what
timm's own has besides: ``label_smoothing``, and ``mixup_enabled`` to end mixing some epochs before
the end. With timm installed the network is any of timm's and the loss is timm's; without it, the
small network beside this file and the same loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from data import crop_and_flip
from loop import (
    COLUMNS,
    Data,
    evaluate,
    floating,
    load_checkpoint,
    make_mixer,
    random_state,
    save_checkpoint,
    seeded,
    set_random_state,
    start,
    write_csv,
)
from nets import SmallNet
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from train_cifar import data_of, options, parse, settings_of

try:
    import timm
    from timm.loss import SoftTargetCrossEntropy
except ImportError:
    timm = None

    class SoftTargetCrossEntropy(nn.Module):  # type: ignore[no-redef]
        """The cross-entropy with weights [N, K] as targets, a mean over the batch."""

        def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return -(targets * F.log_softmax(outputs, dim=-1)).sum(-1).mean()


class MixupFn:
    """A mixer with the calling convention and attributes of ``timm.data.Mixup``."""

    def __init__(self, mixer: nn.Module, num_classes: int, label_smoothing: float = 0.1) -> None:
        self.mixer = mixer
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.mixup_enabled = True

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.mixup_enabled:
            images, weights = self.mixer(images, targets)
        else:
            weights = F.one_hot(targets, self.num_classes).float()
        smooth = self.label_smoothing
        return images, weights * (1 - smooth) + smooth / self.num_classes


def train_one_epoch(
    epoch: int,
    model: nn.Module,
    loader: Iterable[Sequence[Tensor]],
    optimizer: torch.optim.Optimizer,
    loss_fn: nn.Module,
    device: torch.device,
    augment: Any,
    lr_scheduler: Any,
    mixup_fn: MixupFn,
) -> float:
    """One epoch, as timm's; returns the mean of the loss."""
    model.train()
    losses = []
    for images, targets in loader:
        images, targets = augment(floating(images.to(device))), targets.to(device)
        images, targets = mixup_fn(images, targets)
        loss = loss_fn(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lr_scheduler.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).double().mean())


def make_loader(data: Data, batch_size: int, order: Generator) -> DataLoader[Any]:
    """Batches of all training images, in an order drawn every epoch."""
    return DataLoader(
        TensorDataset(data.train, data.train_labels),
        batch_size=min(batch_size, len(data.train)),
        shuffle=True,
        drop_last=True,
        generator=order,
    )


class Checkpoint:
    """Everything that changes while a model is trained, in one file that is replaced whole."""

    def __init__(
        self,
        path: Path,
        parts: dict[str, Any],
        generators: dict[str, Generator],
        made_with: dict[str, Any],
    ) -> None:
        self.path, self.parts, self.generators = path, parts, generators
        self.made_with = made_with

    def save(self, rows: list[dict[str, float]]) -> None:
        """Save the states, and the rows of the log so far."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        draws = {name: generator.get_state() for name, generator in self.generators.items()}
        write_csv(self.path.with_name("log.csv"), rows, COLUMNS)  # first: see Run.save in loop.py
        everything = states | draws | {"random": random_state(), "rows": rows}
        save_checkpoint(self.path, everything, self.made_with)

    def load(self) -> list[dict[str, float]]:
        """Set the states; returns the rows, none where nothing was saved."""
        if not self.path.exists():
            return []
        state = load_checkpoint(self.path, self.made_with)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        for name, generator in self.generators.items():
            generator.set_state(state[name])
        set_random_state(state["random"])
        return state["rows"]


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options(__doc__ or "", out="runs/timm")
    parser.add_argument("--model", default="resnet18", help="a name of timm's, where it's there")
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--mixup-off-epoch", type=int, default=0, help="mix until then; 0: always")
    args = parse(parser, argv)
    if args.mixer in ("none", "manifold"):
        parser.error(f"--mixer: a mixup_fn mixes images, which {args.mixer} does not")
    if args.clean_weight or args.adversarial_prob or args.amp:
        parser.error("--clean-weight, --adversarial-prob and --amp are of train_cifar.py")
    return args


def make_model(name: str, num_classes: int) -> nn.Module:
    """One of timm's, or the small network where timm isn't installed."""
    if timm is not None:
        return timm.create_model(name, num_classes=num_classes)
    print("timm is not installed: a small network instead of timm's")
    return SmallNet(num_classes)


def make_mixup_fn(args: argparse.Namespace, model: nn.Module, num_classes: int) -> MixupFn:
    """The mixer that the options name, as timm calls it."""
    mixer = make_mixer(
        args.mixer,
        model,
        num_classes,
        saliency=args.saliency,
        alone=True,
        alpha=args.alpha,
        generator=seeded(args.seed, "mixer"),
    )
    assert mixer is not None
    return MixupFn(mixer, num_classes, args.smoothing)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    device = start(args.seed)
    data = data_of(args)
    model = make_model(args.model, data.num_classes).to(device)
    mixup_fn = make_mixup_fn(args, model, data.num_classes)
    order, draws = seeded(args.seed, "order"), seeded(args.seed, "augment")
    loader = make_loader(data, args.batch_size, order)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=args.lr,
        momentum=0.9,
        weight_decay=args.weight_decay,
        nesterov=True,
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))
    loss_fn = SoftTargetCrossEntropy()
    augment = partial(crop_and_flip, generator=draws) if args.data else nn.Identity()

    mixer = mixup_fn.mixer
    checkpoint = Checkpoint(
        args.out / "checkpoint.pt",
        {"model": model, "optimizer": optimizer, "scheduler": scheduler, "mixer": mixer},
        {"order": order, "draws": draws},
        asdict(settings_of(args))
        | {"mixer": repr(mixer), "model": type(model).__name__, "smoothing": args.smoothing},
    )
    rows = checkpoint.load() if args.resume else []
    for epoch in range(len(rows) + 1, min(args.stop_after or args.epochs, args.epochs) + 1):
        mixup_fn.mixup_enabled = not 0 < args.mixup_off_epoch < epoch
        lr = scheduler.get_last_lr()[0]
        loss = train_one_epoch(
            epoch, model, loader, optimizer, loss_fn, device, augment, scheduler, mixup_fn
        )
        top1, top5 = evaluate(model, data.test.to(device), data.test_labels.to(device))
        rows.append(dict(zip(COLUMNS, (epoch, lr, loss, top1, top5), strict=True)))
        checkpoint.save(rows)
        print(f"epoch {epoch}: loss {loss:.4f}, test error {top1:.2f} %", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
