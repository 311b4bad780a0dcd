"""A training loop for every mixer: one process or many, resumable, the same for the same seed.

    mixer = make_mixer("puzzle", model, num_classes=10, generator=seeded(0, "mixer"))
    rows = train(model, data, mixer, Settings(epochs=30), out=Path("run"))

What a run leaves in ``out``: ``log.csv``, a row an epoch; ``checkpoint.pt``, all that a later run
needs to go on as if this one had not stopped; ``curves.png``, where matplotlib is installed.

This file imports none beside it, so that other programs can take it as it is.
"""

from __future__ import annotations

import csv
import io
import math
import os
import random
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from puzzlemix import (
    CutMix,
    Cutout,
    ManifoldMixUp,
    MixUp,
    PuzzleMix,
    gradient_saliency,
    puzzle_mix_backward,
    spectral_saliency,
)

MIXERS = ("none", "mixup", "manifold", "cutmix", "cutout", "puzzle")
SALIENCIES = ("gradient", "half", "spectral", "uniform")
SCHEDULES = ("cosine", "step", "warmup")
COLUMNS = ("epoch", "lr", "loss", "top1_error", "top5_error")


class Data(NamedTuple):
    """Images [N, C, Y, X], uint8 or floating, and labels [N] int64, all in memory."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    num_classes: int
    saliency: Tensor | None = None
    """[N, h, w], of the training images, made beforehand."""

    def to(self, device: torch.device | str) -> Data:
        """The same on a device."""
        saliency = None if self.saliency is None else self.saliency.to(device)
        return Data(*(part.to(device) for part in self[:4]), self.num_classes, saliency)


@dataclass(frozen=True)
class Settings:
    """What decides a run, beside its model, data and mixer; a resumed run must have the same."""

    epochs: int = 200
    batch_size: int = 128  # of all processes together
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    # Or "step": a tenth after a half and after three quarters; or "warmup": up from zero within a
    # tenth of the steps, then down as "cosine", for large batches and few epochs.
    schedule: str = "cosine"
    clean_weight: float = 0.0  # these two: see puzzle_mix_backward
    adversarial_prob: float = 0.0
    amp: bool = False  # bfloat16 autocast
    seed: int = 0


Augment = Callable[[Tensor, Generator], Tensor]
Saliency = Callable[[Tensor, Tensor | None], Tensor]


def train(
    model: nn.Module,
    data: Data,
    mixer: nn.Module | None,
    settings: Settings,
    *,
    out: Path | None = None,
    augment: Augment | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    quiet: bool = False,
    save_every: int = 1,
    test_every: int = 1,
    after_epoch: Callable[[dict[str, float]], bool | None] | None = None,
) -> list[dict[str, float]]:
    """Train, and test between epochs.

    Args:
        model: on the device to train on; a ``DistributedDataParallel`` one in several processes,
            of which each then calls this with the same data and settings.
        data: moved to the model's device as a whole.
        mixer: made by ``make_mixer``, or None; with a generator that differs between processes.
        settings: see there.
        out: the folder of log, checkpoint and plot; None: nothing is written.
        augment: called as ``augment(images, generator)`` on images in floating point, before the
            mixer.
        resume: go on from the checkpoint in ``out``, if there is one.
        stop_after: end after this many epochs in all, as if interrupted.
        quiet: no progress bar and no printing.
        save_every: write log and checkpoint after so many epochs, and at the end.
        test_every: test after so many epochs, and at the end.
        after_epoch: called with the row of each epoch, once it is saved if it is to be; if it
            returns True, training ends there, saved as if interrupted.

    Returns:
        A row an epoch, with the values of ``COLUMNS``: the loss that was trained on, its mean over
        the epoch, and, where it was tested, test errors in percent.
    """
    run = Run(model, data, mixer, settings, augment)
    quiet = quiet or run.rank > 0
    path = None if out is None else out / "checkpoint.pt"
    if path is not None and resume and path.exists():
        run.load(path)
        if not quiet:
            print(f"resumed {path} after epoch {len(run.rows)}")

    last = settings.epochs if stop_after is None else min(stop_after, settings.epochs)
    for epoch in range(len(run.rows) + 1, last + 1):
        began = time.perf_counter()
        lr = run.scheduler.get_last_lr()[0]
        loss = run.train_one_epoch(f"epoch {epoch}/{settings.epochs}", quiet)
        row = {"epoch": epoch, "lr": lr, "loss": loss}
        told = f"loss {loss:.4f}"
        if epoch % test_every == 0 or epoch == last:
            top1, top5 = evaluate(run.inside, run.data.test, run.data.test_labels, amp=settings.amp)
            row |= {"top1_error": top1, "top5_error": top5}
            told += f", test error {top1:.2f} % (top 5: {top5:.2f} %)"
        run.rows.append(row)
        if not quiet:
            print(f"epoch {epoch}: {told}, {time.perf_counter() - began:.1f} s", flush=True)
        saves = epoch % save_every == 0 or epoch == last
        if path is not None and saves:
            run.save(path)
        if after_epoch is not None and after_epoch(row) is True:
            if path is not None and not saves:
                run.save(path)
            break
    if path is not None and run.rank == 0 and run.rows:
        plot(path.with_name("curves.png"), run.rows)
    return run.rows


class Run:
    """A model in training: what an epoch does to it, and all that a checkpoint holds.

    The arguments are those of ``train``.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        mixer: nn.Module | None,
        settings: Settings,
        augment: Augment | None,
    ) -> None:
        self.rank, self.world = _rank(), _world()
        self.model, self.mixer, self.settings, self.augment = model, mixer, settings, augment
        self.inside = model.module if isinstance(model, DistributedDataParallel) else model
        self.device = next(model.parameters()).device
        self.data = data.to(self.device)
        self.batch_size = min(settings.batch_size, len(data.train))
        if self.batch_size % self.world:
            raise ValueError(
                f"batch_size: expected a multiple of {self.world} processes, got {self.batch_size}"
            )
        self.steps = len(data.train) // self.batch_size
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
            fused=self.device.type == "cuda",
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, partial(_share_of_lr, settings.schedule, settings.epochs * self.steps)
        )
        self.order = seeded(settings.seed, "order")  # the same in every process
        self.draws = seeded(settings.seed, f"augment {self.rank}")
        self.rows: list[dict[str, float]] = []

    def train_one_epoch(self, title: str, quiet: bool = True) -> float:
        """Every image once, in a new order; returns the mean of the loss."""
        self.model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        order = torch.randperm(len(self.data.train), generator=self.order)
        batches = order[: self.steps * self.batch_size].view(self.steps, -1)
        for batch in _progress(batches.to(self.device), title, quiet):
            total += self.step(batch[self.rank :: self.world])
        if self.world > 1:
            # Each process has seen its own share; the statistics of the first are those saved.
            for buffer in self.inside.buffers():
                dist.broadcast(buffer, 0)
        return float(_sum(total)) / (self.steps * self.world)

    def step(self, chosen: Tensor) -> Tensor:
        """One step of the optimiser on the images of these numbers; returns the loss.

        On a GPU nothing in it waits for the device.
        """
        images, labels, saliency = self._batch(chosen)
        self.optimizer.zero_grad()
        loss = backward(self.model, images, labels, self.mixer, self.settings, saliency)
        self.optimizer.step()
        self.scheduler.step()
        return loss

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images, labels and, where it was made beforehand, saliency, all augmented."""
        images, saliency = floating(self.data.train[chosen]), None
        if self.data.saliency is not None:
            saliency = enlarged(self.data.saliency[chosen], images)
        if self.augment is not None:
            images, saliency = augmented(self.augment, images, saliency, self.draws)
        return images, self.data.train_labels[chosen], saliency

    def save(self, path: Path) -> None:
        """Write the log and the checkpoint, once, whatever the number of processes."""
        own = {
            "mixer": None if self.mixer is None else self.mixer.state_dict(),
            "draws": self.draws.get_state(),
            "random": random_state(),
        }
        every = _gather(own)
        if self.rank == 0:
            states = {name: part.state_dict() for name, part in self._parts().items()}
            everything = states | {"order": self.order.get_state(), "own": every, "rows": self.rows}
            # In this order: a run that is killed in between does the epoch again, and both.
            write_csv(path.with_name("log.csv"), self.rows, COLUMNS)
            save_checkpoint(path, everything, self._made_with())

    def load(self, path: Path) -> None:
        """Go on from where ``save`` was called."""
        state = load_checkpoint(path, self._made_with())
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        own = state["own"][self.rank]
        if self.mixer is not None:
            self.mixer.load_state_dict(own["mixer"])
        self.order.set_state(state["order"])
        self.draws.set_state(own["draws"])
        set_random_state(own["random"])
        self.rows = state["rows"]

    def _parts(self) -> dict[str, Any]:
        return {"model": self.inside, "optimizer": self.optimizer, "scheduler": self.scheduler}

    def _made_with(self) -> dict[str, Any]:
        """What has to be the same when a run goes on."""
        return asdict(self.settings) | {"mixer": repr(self.mixer), "processes": self.world}


def backward(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mixer: nn.Module | None,
    settings: Settings,
    saliency: Tensor | None = None,
) -> Tensor:
    """Add the gradient of one batch to ``.grad``; returns the loss, detached."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.amp):
        if mixer is not None and not isinstance(mixer, ManifoldMixUp):
            return puzzle_mix_backward(
                model,
                images,
                labels,
                mixer,
                clean_weight=settings.clean_weight,
                adversarial_prob=settings.adversarial_prob,
                saliency=saliency,
            )
        outputs, targets = (model(images), labels) if mixer is None else mixer(images, labels)
        loss = F.cross_entropy(outputs.float(), targets)
    loss.backward()
    return loss.detach()


def enlarged(saliency: Tensor, images: Tensor) -> Tensor:
    """Small maps [N, h, w] at the size of images, so that both can be moved alike."""
    sides = images.shape[2:]
    maps = saliency[:, None].to(images.dtype)
    return F.interpolate(maps, sides, mode="bilinear", align_corners=False)[:, 0]


def augmented(
    augment: Augment, images: Tensor, saliency: Tensor | None, draws: Generator
) -> tuple[Tensor, Tensor | None]:
    """Images, and their maps moved with them: a channel more."""
    if saliency is None:
        return augment(images, draws), None
    both = augment(torch.cat((images, saliency[:, None]), 1), draws)
    return both[:, :-1].contiguous(), both[:, -1]


def make_mixer(
    name: str,
    model: nn.Module,
    num_classes: int,
    *,
    saliency: str | Saliency = "gradient",
    alone: bool = False,
    generator: Generator | None = None,
    **options: Any,
) -> nn.Module | None:
    """A mixer by its name, one of ``MIXERS``.

    Args:
        name: "none" gives None.
        model: what "manifold" mixes in, at the layers that ``model.mix_layers`` names, and what
            "half" takes gradients of.
        num_classes: K.
        saliency: of "puzzle". "gradient" is at full resolution; "half" is the gradient at half
            resolution; "spectral" needs no network; "precomputed" is given to ``backward``;
            "uniform" leaves the mask to its prior; or one's own, called as
            ``saliency(images, labels)``.
        alone: the mixer is to be called by itself. Else it is for ``backward``, whose first pass
            over the batch has the gradient anyway.
        generator: of all draws.
        **options: others of the mixer's constructor.
    """
    common = {"num_classes": num_classes, "generator": generator} | options
    if name == "none":
        return None
    if name == "manifold":
        return ManifoldMixUp(model, layers=model.mix_layers, **common)
    if name == "puzzle":
        kinds: dict[str, Saliency | None] = {
            "gradient": partial(gradient_saliency, model) if alone else None,
            "half": partial(gradient_saliency, model, downscale=2),
            "spectral": spectral_saliency,
            "precomputed": None,
            "uniform": _uniform,
        }
        made = kinds[saliency] if isinstance(saliency, str) else saliency
        return PuzzleMix(saliency=made, **common)
    return {"mixup": MixUp, "cutmix": CutMix, "cutout": Cutout}[name](**common)


def _uniform(images: Tensor, labels: Tensor | None) -> Tensor:
    return torch.ones_like(images[:, 0])


@torch.inference_mode()
def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 500, amp: bool = False
) -> tuple[float, float]:
    """Top-1 and top-5 error in percent, of a model in evaluation mode.

    In several processes each takes a share of the batches.
    """
    training = model.training
    model.eval()
    wrong = torch.zeros(2, dtype=torch.float64, device=images.device)
    for start in range(_rank() * batch_size, len(images), _world() * batch_size):
        part = slice(start, start + batch_size)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
            outputs = model(floating(images[part])).float()
        best = outputs.topk(min(5, outputs.shape[1]), dim=1).indices
        hits = best == labels[part, None]
        wrong[0] += (~hits[:, 0]).sum()
        wrong[1] += (~hits.any(1)).sum()
    model.train(training)
    top1, top5 = (_sum(wrong) * 100 / len(images)).tolist()
    return top1, top5


def floating(images: Tensor) -> Tensor:
    """Bytes as numbers in [0, 1]; what is floating already stays as it is."""
    return images if images.is_floating_point() else images.float() / 255


def start(seed: int, *, deterministic: bool = True) -> torch.device:
    """Seed all global generators, and ask for deterministic algorithms or for the fastest.

    Returns the device.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries may draw from it
    torch.manual_seed(seed)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seeded(seed: int, purpose: str) -> Generator:
    """A generator on the CPU for one purpose, independent of those for others."""
    return Generator().manual_seed((seed << 32) + zlib.crc32(purpose.encode()))


def random_state() -> dict[str, Any]:
    """The state of the global generators of Python, NumPy and PyTorch."""
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - libraries may draw from it
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(key.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set what ``random_state`` returned."""
    random.setstate(state["python"])
    kind, key, *rest = state["numpy"]
    np.random.set_state((kind, key.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def save_checkpoint(path: Path, state: dict[str, Any], made_with: dict[str, Any]) -> None:
    """Save the state of a run, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state | {"made_with": made_with}, buffer)
    replace_file(path, buffer.getvalue())


def load_checkpoint(path: Path, made_with: dict[str, Any]) -> dict[str, Any]:
    """Load what ``save_checkpoint`` saved, and refuse it where the settings differ."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    for name, value in made_with.items():
        before = state["made_with"].get(name)
        if before != value:
            raise ValueError(f"{name}: expected {before!r}, as in {path}, got {value!r}")
    return state


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one.

    What writers that were killed have left behind goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f"{path.name}.*.tmp"):
        abandoned.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, rows: Sequence[dict[str, float]], columns: Sequence[str]) -> None:
    """Rows as a table; numbers as Python prints them, so that none loses a bit."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    replace_file(path, text.getvalue().encode())


def plot(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draw loss and test error over the epochs, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    left.plot(epochs, [row["loss"] for row in rows], marker=".")
    left.set(xlabel="epoch", ylabel="training loss")
    for column, label in (("top1_error", "top 1"), ("top5_error", "top 5")):
        tested = [(row["epoch"], row[column]) for row in rows if column in row]
        if tested:
            right.plot(*zip(*tested, strict=True), marker=".", label=label)
    right.set(xlabel="epoch", ylabel="test error, %")
    if right.lines:
        right.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    replace_file(path, image.getvalue())


def _share_of_lr(schedule: str, steps: int, step: int) -> float:
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
    if schedule == "step":
        return 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))
    if schedule == "warmup":
        rise = max(steps // 10, 1)
        falling = 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(steps - rise, 1), 1)))
        return min((step + 1) / rise, falling if step >= rise else 1)
    raise ValueError(f"schedule: expected one of {SCHEDULES}, got {schedule!r}")


def _progress(batches: Tensor, title: str, quiet: bool) -> Iterable[Tensor]:
    if quiet:
        return batches
    try:
        from tqdm import tqdm
    except ImportError:
        return batches
    return tqdm(batches, desc=title, leave=False, unit="batch")


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def _sum(values: Tensor) -> Tensor:
    """The sum over all processes."""
    if _world() > 1:
        dist.all_reduce(values)
    return values


def _gather(own: Any) -> list[Any]:
    """What each process gives, in the order of their ranks."""
    if _world() == 1:
        return [own]
    every: list[Any] = [None] * _world()
    dist.all_gather_object(every, own)
    return every
