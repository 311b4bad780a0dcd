"""What the tables share: methods, sizes, and networks that are trained once and kept.

A network belongs to a task (data and how to train on them), a method and a seed. Its folder in the
work folder is named after all that decides it, so that tables share networks, and other settings
never meet an old checkpoint. What is measured of a network is kept beside it: a run that was cut
off goes on where it stopped, and a finished one is read.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from .examples import data as sources
from .examples import loop
from .report import Row


@dataclass(frozen=True)
class Method:
    """A row of the lecture's tables."""

    name: str
    mixer: str = "none"
    """One of ``loop.MIXERS``."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the mixer."""
    epochs: float = 1.0
    """A share of the task's."""
    clean_weight: float = 0.0
    adversarial_prob: float = 0.0
    dropout: float = 0.0


VANILLA = Method("Vanilla")
INPUT = Method("Input mixup", "mixup")
MANIFOLD = Method("Manifold mixup", "manifold", {"alpha": 2.0})
CUTOUT = Method("Cutout", "cutout")
CUTMIX = Method("CutMix", "cutmix")
PUZZLE = Method("Puzzle Mix", "puzzle")
HALF = replace(PUZZLE, name="Puzzle Mix (half)", epochs=0.5)
CLEAN = replace(PUZZLE, name="Puzzle Mix (clean)", clean_weight=1.0)
ADV = replace(PUZZLE, name="Puzzle Mix (adv)", adversarial_prob=0.1)
HALF_ADV = replace(ADV, name="Puzzle Mix (half, adv)", epochs=0.5)

METHODS = (VANILLA, INPUT, MANIFOLD, CUTOUT, CUTMIX, PUZZLE, HALF, CLEAN)
"""Settings as published, where they don't depend on size: nothing here was tuned."""


@dataclass(frozen=True)
class Recipe:
    """How every method is trained on a kind of data."""

    net: str
    width: int
    stride: int
    train: int | None
    """Images, all where None; ``test`` the same."""
    test: int | None
    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    crop_and_flip: bool = False
    """Beside the method. Within few epochs a small network doesn't memorise what is cropped and
    flipped, and that is what mixing is against; so this is for long training."""


@dataclass(frozen=True)
class Size:
    """A whole set of experiments."""

    cifar: Recipe
    choices: Recipe
    corruption: Recipe
    tiny: Recipe
    speech: Recipe
    classes: int
    """Of Tiny-ImageNet's 200."""
    seeds: int
    attacked: int
    """Test images that are attacked, of each network."""
    outside: int
    """Images of each kind of out-of-distribution data, and as many test images."""
    toy_steps: int
    pairs: int
    """Test images that are mixed by each choice."""
    timed: int
    """Rounds in which training steps are timed."""


SMOKE = Recipe("small", 4, 2, 96, 48, epochs=2, batch_size=32)
SMALL = Recipe("small", 32, 2, 5000, 4000, epochs=30)
LARGE = Recipe("preactresnet18", 64, 1, None, None, epochs=200, crop_and_flip=True)
SPEECH = Recipe("lenet", 8, 1, None, None, epochs=15, batch_size=64, lr=0.05)

SIZES = {
    "smoke": Size(
        cifar=SMOKE,
        choices=SMOKE,
        corruption=SMOKE,
        tiny=SMOKE,
        speech=replace(SMOKE, width=2),
        classes=10,
        seeds=1,
        attacked=32,
        outside=48,
        toy_steps=50,
        pairs=32,
        timed=1,
    ),
    "miniature": Size(
        cifar=SMALL,
        choices=replace(SMALL, train=2500, test=2000, epochs=15),
        corruption=replace(SMALL, train=2500, test=2000),
        tiny=Recipe("small", 16, 2, 3000, None, epochs=25),
        speech=SPEECH,
        classes=20,
        seeds=3,
        attacked=500,
        outside=2000,
        toy_steps=1000,
        pairs=512,
        timed=25,
    ),
    "full": Size(
        cifar=LARGE,
        choices=LARGE,
        corruption=LARGE,
        tiny=replace(LARGE, stride=2),
        speech=replace(SPEECH, width=64, epochs=100),
        classes=200,
        seeds=3,
        attacked=10000,
        outside=10000,
        toy_steps=1000,
        pairs=5000,
        timed=50,
    ),
}


@dataclass(frozen=True)
class Task:
    """Data, and how to train on them."""

    name: str
    recipe: Recipe
    data: Callable[[int], loop.Data]
    """By the seed, which matters where a part of the labels is drawn."""
    model: Callable[[int, Method], nn.Module]
    """By the number of classes."""


class Case(NamedTuple):
    """A row that is to be measured."""

    name: list[str]
    task: Task
    method: Method


class Trained(NamedTuple):
    """A network that has seen its last epoch."""

    model: nn.Module
    """In evaluation mode."""
    data: loop.Data
    """On the model's device."""
    rows: list[dict[str, float]]
    """What ``loop.train`` returns."""
    seconds: float


class Measured(NamedTuple):
    """Numbers, and how long it took to get them, training included."""

    values: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Lab:
    """Where to work, on what, and how much."""

    data: Path | None
    """The folder with the data; None: synthetic."""
    work: Path
    """Networks and single measurements."""
    out: Path
    """Tables and pictures."""
    size_name: str
    seeds: Sequence[int]
    quiet: bool = False

    @property
    def size(self) -> Size:
        return SIZES[self.size_name]

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def trained(self, task: Task, method: Method, seed: int) -> Trained:
        """The network, trained now or before."""
        recipe = task.recipe
        # Before the seeds are set: data may come from a network that is trained for them.
        data = task.data(seed)
        device = loop.start(seed)
        data = data.to(device)
        # Channels last: a fifth faster on a CPU.
        model = task.model(data.num_classes, method).to(device, memory_format=torch.channels_last)
        mixer = loop.make_mixer(
            method.mixer,
            model,
            data.num_classes,
            generator=loop.seeded(seed, "mixer"),
            **_options(method, data),
        )
        settings = loop.Settings(
            epochs=_epochs(recipe, method),
            batch_size=recipe.batch_size,
            lr=recipe.lr,
            clean_weight=method.clean_weight,
            adversarial_prob=method.adversarial_prob,
            seed=seed,
        )
        out = self.folder(task, method, seed)
        clock = _Clock(out / "seconds.json")
        with self.bar(
            total=settings.epochs, desc=f"{task.name}, {method.name}, seed {seed}", unit="epoch"
        ) as bar:

            def after_epoch(row: dict[str, float]) -> None:
                clock.save()
                bar.update(int(row["epoch"]) - bar.n)
                bar.set_postfix(loss=f"{row['loss']:.3f}", error=f"{row['top1_error']:.1f} %")

            rows = loop.train(
                model,
                data,
                mixer,
                settings,
                out=out,
                augment=sources.crop_and_flip if recipe.crop_and_flip else None,
                resume=True,
                quiet=True,
                after_epoch=after_epoch,
            )
        return Trained(model.eval(), data, rows, clock.saved)

    def measured(
        self,
        what: str,
        task: Task,
        method: Method,
        seed: int,
        measure: Callable[[Trained], dict[str, float]],
    ) -> Measured:
        """What ``measure`` says of the network; ``what`` names it and all that decides it."""
        path = self.folder(task, method, seed) / f"{what}.json"
        if not path.exists():
            trained = self.trained(task, method, seed)
            began = now()
            values = measure(trained)
            taken = {"values": values, "seconds": trained.seconds + now() - began}
            loop.replace_file(path, json.dumps(taken).encode())
            if not self.quiet:
                numbers = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
                tqdm.write(f"{task.name}, {method.name}, seed {seed}, {what}: {numbers}")
        return Measured(**json.loads(path.read_text()))

    def survey(
        self,
        what: str,
        cases: Sequence[Case],
        measure: Callable[[Trained], dict[str, float]],
        lecture: Mapping[str, dict[str, float]],
    ) -> tuple[list[Row], float]:
        """What ``measure`` says of all cases and seeds, and how long that took.

        Seed by seed: what is cut off has told something of every row.
        """
        found = {
            (seed, number): self.measured(what, case.task, case.method, seed, measure)
            for seed in self.bar(self.seeds, desc=what, unit="seed")
            for number, case in enumerate(self.bar(cases, desc=f"{what}, rows", unit="row"))
        }
        rows = []
        for number, case in enumerate(cases):
            each = [found[seed, number].values for seed in self.seeds]
            values = {column: [one[column] for one in each] for column in each[0]}
            rows.append(Row(case.name, values, lecture.get(", ".join(case.name), {})))
        return rows, sum(one.seconds for one in found.values())

    def settings(self, recipe: Recipe) -> dict[str, str]:
        """What a reader has to know of how networks were trained."""
        images = "all" if recipe.train is None else f"{recipe.train}"
        tested = "all" if recipe.test is None else f"{recipe.test}"
        return {
            "size": f"{self.size_name}, on {self.device.type}",
            "data": "synthetic" if self.data is None else "real",
            "network": f"{recipe.net}, width {recipe.width}, first stride {recipe.stride}",
            "images": f"{images} to train, {tested} to test, "
            + ("cropped and flipped" if recipe.crop_and_flip else "no other augmentation"),
            "training": f"{recipe.epochs} epochs (half: {_epochs(recipe, HALF)}), batches of "
            f"{recipe.batch_size}, SGD with Nesterov momentum 0.9, weight decay 5e-4, "
            f"learning rate {recipe.lr} falling to 0 by a cosine: one setting for all rows",
        }

    def folder(self, task: Task, method: Method, seed: int) -> Path:
        data = str(self.data and self.data.resolve())
        decisive = json.dumps(
            [data, asdict(task.recipe), asdict(method), self.size.classes], sort_keys=True
        )
        digest = f"{zlib.crc32(decisive.encode()):08x}"
        slug = "".join(c if c.isalnum() else "-" for c in method.name.lower())
        return self.work / self.size_name / task.name / f"{slug}-{digest}" / f"seed{seed}"

    def bar(self, iterable: Iterable[Any] | None = None, **options: Any) -> Any:
        """A progress bar, or none where nobody watches."""
        # None: off where the output is no terminal.
        return tqdm(iterable, leave=False, disable=True if self.quiet else None, **options)


def _epochs(recipe: Recipe, method: Method) -> int:
    return max(round(recipe.epochs * method.epochs), 1)


def _options(method: Method, data: loop.Data) -> dict[str, Any]:
    """The mixer's, with blocks of 4 pixels to be moved by Puzzle Mix, as published."""
    if method.mixer != "puzzle":
        return method.options
    return {"transport_grid": data.train.shape[-1] // 4} | method.options


class _Clock:
    """Seconds of work on something, over interruptions, as of the last save.

    Time of the processor where that does the work: a run in the background is paused and shares.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.saved = float(json.loads(path.read_text())) if path.exists() else 0.0
        self.began = now() - self.saved

    def save(self) -> None:
        self.saved = now() - self.began
        loop.replace_file(self.path, json.dumps(self.saved).encode())


def now() -> float:
    """Seconds of this process: of the processor, where that does the work."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()
