"""Train with Lightning: a mixer inside a ``LightningModule``.

python examples/train_lightning.py --smoke
python examples/train_lightning.py --data path/to/data --mixer puzzle

The mixer is a module of the ``LightningModule``: Lightning's checkpoints hold its generator's
state, and a resumed run draws what the interrupted one would have drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from data import crop_and_flip
from loop import COLUMNS, Data, floating, make_mixer, seeded, start, write_csv
from nets import NETS
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset
from train_cifar import data_of, options, parse

from puzzlemix import ManifoldMixUp

try:
    import lightning
except ImportError:
    sys.exit("train_lightning.py: needs Lightning, pip install lightning")


class MixedModule(lightning.LightningModule):
    """A network that trains on mixes."""

    def __init__(self, args: Any, num_classes: int, steps: int, draws: bool) -> None:
        super().__init__()
        self.args = args
        self.net = NETS[args.net](num_classes)
        self.mixer = make_mixer(
            args.mixer,
            self.net,
            num_classes,
            saliency=args.saliency,
            alone=True,  # it is Lightning that runs the backward pass
            alpha=args.alpha,
            generator=seeded(args.seed, "mixer"),
        )
        self.steps, self.draws, self.lr = steps, draws, args.lr
        self.rows: list[dict[str, float]] = []
        self.losses: list[Tensor] = []
        self.wrong: list[Tensor] = []

    def on_train_epoch_start(self) -> None:
        self.lr = self.optimizers().param_groups[0]["lr"]

    def training_step(self, batch: Sequence[Tensor], index: int) -> Tensor:
        images, labels = floating(batch[0]), batch[1]
        if self.draws:
            step = f"augment {self.global_step}"
            images = crop_and_flip(images, seeded(self.args.seed, step))
        if self.mixer is None:
            outputs, targets = self.net(images), labels
        elif isinstance(self.mixer, ManifoldMixUp):
            outputs, targets = self.mixer(images, labels)
        else:
            images, targets = self.mixer(images, labels)
            outputs = self.net(images)
        loss = F.cross_entropy(outputs, targets)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Sequence[Tensor], index: int) -> None:
        best = self.net(floating(batch[0])).topk(5, dim=1).indices
        hits = best == batch[1][:, None]
        self.wrong.append(torch.stack((~hits[:, 0], ~hits.any(1)), dim=1))

    def on_validation_epoch_end(self) -> None:
        wrong, self.wrong = torch.cat(self.wrong).double(), []
        losses, self.losses = torch.stack(self.losses).double(), []
        top1, top5 = (100 * wrong.mean(0)).tolist()
        row = (len(self.rows) + 1, self.lr, float(losses.mean()), top1, top5)
        self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        write_csv(self.args.out / "log.csv", self.rows, COLUMNS)
        self.log("top1_error", top1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=self.args.lr,
            momentum=0.9,
            weight_decay=self.args.weight_decay,
            nesterov=True,
        )
        # Down in a line, by steps: schedules by epochs move on after the checkpoint is written.
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(1 - step / self.steps, 0.0)
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.rows = checkpoint["rows"]


class Order(Sampler[int]):
    """All samples, in an order that depends on the seed and the steps taken so far alone."""

    def __init__(self, count: int, seed: int, steps: Callable[[], int]) -> None:
        self.count, self.seed, self.steps = count, seed, steps

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        rng = seeded(self.seed, f"order {self.steps()}")
        return iter(torch.randperm(self.count, generator=rng).tolist())


class Batches(lightning.LightningDataModule):
    """Batches in an order that a resumed run finds again."""

    def __init__(self, data: Data, batch_size: int, seed: int) -> None:
        super().__init__()
        self.data, self.seed = data, seed
        self.batch_size = min(batch_size, len(data.train))

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            TensorDataset(self.data.train, self.data.train_labels),
            batch_size=self.batch_size,
            sampler=Order(len(self.data.train), self.seed, lambda: self.trainer.global_step),
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.data.test, self.data.test_labels), batch_size=500)


def main(argv: Sequence[str] | None = None) -> int:
    parser = options(__doc__ or "", out="runs/lightning")
    args = parse(parser, argv)
    if args.clean_weight or args.adversarial_prob:
        parser.error("--clean-weight and --adversarial-prob are of train_cifar.py")
    start(args.seed)
    data = data_of(args)
    batches = Batches(data, args.batch_size, args.seed)
    steps = args.epochs * (len(data.train) // batches.batch_size)
    module = MixedModule(args, data.num_classes, steps, draws=args.data is not None)
    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        args.out, save_last=True, save_top_k=0, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        max_epochs=min(args.stop_after or args.epochs, args.epochs),
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if args.amp else "32-true",
        logger=False,
        callbacks=[keep],
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
    )
    last = Path(args.out) / "last.ckpt"
    again = str(last) if args.resume and last.exists() else None
    trainer.fit(module, batches, ckpt_path=again)
    return 0


if __name__ == "__main__":
    sys.exit(main())
