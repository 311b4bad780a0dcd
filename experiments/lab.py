"""What the tables share: networks that are trained once and kept, and what is measured of them.

A network belongs to a task (data and how to train on them), a method and a seed. Its folder in the
work folder is named after all that decides it, so that tables share networks, and other settings
never meet an old checkpoint. What is measured of a network is kept beside it: a run that was cut
off, or that has used up its minutes, goes on where it stopped, and a finished one is read.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from .examples import data as sources
from .examples import loop
from .methods import HALF, Method, make_mixer
from .report import Origin, Row
from .sizes import SIZES, Recipe, Size

FALLING = {
    "cosine": "falling to 0 by a cosine",
    "warmup": "rising from 0 within a tenth of the steps, then falling to 0 by a cosine",
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


class Start(NamedTuple):
    """What ``loop.train`` and ``loop.Run`` take, on the device to train on."""

    model: nn.Module
    data: loop.Data
    mixer: nn.Module | None
    settings: loop.Settings
    augment: loop.Augment | None


class Trained(NamedTuple):
    """A network that has seen its last epoch."""

    model: nn.Module
    """In evaluation mode."""
    data: loop.Data
    """On the model's device."""
    rows: list[dict[str, float]]
    """What ``loop.train`` returns."""
    seconds: float
    speed: float
    """Images a second, of the median epoch."""


class Measured(NamedTuple):
    """Numbers, and how long it took to get them, training included."""

    values: dict[str, float]
    seconds: float
    origin: dict[str, str]
    """Device, date and commit."""


class Surveyed(NamedTuple):
    """What was found of all cases and seeds, and how long that took."""

    rows: list[Row]
    seconds: float


class OutOfTimeError(Exception):
    """The minutes are used up."""


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
    until: float | None = None
    """When to stop, by ``time.monotonic``."""
    epochs: int | None = None
    """Other than the size's, of the tables that train on images."""
    compiles: bool = False
    """Whether networks are compiled, where the method lets them be."""

    @property
    def size(self) -> Size:
        size = SIZES[self.size_name]
        if self.epochs is None:
            return size
        cifar, tiny = (replace(each, epochs=self.epochs) for each in (size.cifar, size.tiny))
        return replace(size, cifar=cifar, tiny=tiny)

    @property
    def is_out_of_time(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def start(self, task: Task, method: Method, seed: int) -> Start:
        """All that training starts from."""
        recipe = task.recipe
        # Before the seeds are set: data may come from a network that is trained for them.
        data = task.data(seed)
        device = loop.start(seed, deterministic=self.size.deterministic)
        data = data.to(device)
        # Channels last: a fifth faster on a CPU.
        model = task.model(data.num_classes, method).to(device, memory_format=torch.channels_last)
        if self.compiles and method.mixer != "manifold":  # which mixes between layers
            model.compile()
        mixer = make_mixer(method, model, data, loop.seeded(seed, "mixer"))
        settings = loop.Settings(
            epochs=recipe.epochs_of(method),
            batch_size=recipe.batch_size,
            lr=recipe.lr,
            schedule=recipe.schedule,
            clean_weight=method.clean_weight,
            adversarial_prob=method.adversarial_prob,
            amp=recipe.amp,
            seed=seed,
        )
        augment = sources.crop_and_flip if recipe.crop_and_flip else None
        return Start(model, data, mixer, settings, augment)

    def trained(self, task: Task, method: Method, seed: int) -> Trained:
        """The network, trained now or before.

        Raises OutOfTimeError where the minutes don't suffice; another run goes on from there.
        """
        if self.is_out_of_time:
            raise OutOfTimeError
        model, data, mixer, settings, augment = self.start(task, method, seed)
        out = self.folder(task, method, seed)
        clock = _Clock(out / "seconds.json")
        with self.bar(
            total=settings.epochs, desc=f"{task.name}, {method.name}, seed {seed}", unit="epoch"
        ) as bar:

            def after_epoch(row: dict[str, float]) -> bool:
                clock.save()
                bar.update(int(row["epoch"]) - bar.n)
                bar.set_postfix({name: f"{row[name]:.3g}" for name in row if name != "epoch"})
                return self.is_out_of_time

            rows = loop.train(
                model,
                data,
                mixer,
                settings,
                out=out,
                augment=augment,
                resume=True,
                quiet=True,
                save_every=self.size.save_every,
                test_every=self.size.test_every,
                after_epoch=after_epoch,
            )
        if len(rows) < settings.epochs:
            raise OutOfTimeError
        speed = len(data.train) / median(clock.epochs)
        return Trained(model.eval(), data, rows, clock.seconds, speed)

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
            seconds = trained.seconds + now() - began
            origin = _origin(self.device)
            taken = {"values": values, "seconds": seconds, "origin": origin}
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
    ) -> Surveyed:
        """What ``measure`` says of all cases and seeds, as far as the minutes go.

        Seed by seed: what is cut off has told something of every row.
        """
        found: list[dict[int, Measured]] = [{} for _ in cases]
        for seed in self.bar(self.seeds, desc=what, unit="seed"):
            for case, own in zip(self.bar(cases, desc=what, unit="row"), found, strict=True):
                with suppress(OutOfTimeError):
                    own[seed] = self.measured(what, case.task, case.method, seed, measure)
        rows = []
        for case, own in zip(cases, found, strict=True):
            every = [one.values for one in own.values()]
            values = {column: [one[column] for one in every] for column in (every or [{}])[0]}
            origins = [Origin(seed, **one.origin) for seed, one in own.items()]
            rows.append(Row(case.name, values, lecture.get(", ".join(case.name), {}), origins))
        return Surveyed(rows, sum(one.seconds for own in found for one in own.values()))

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
            "training": f"{recipe.epochs} epochs (half: {recipe.epochs_of(HALF)}), batches of "
            f"{recipe.batch_size}, SGD with Nesterov momentum 0.9, weight decay 5e-4, "
            f"learning rate {recipe.lr} {FALLING[recipe.schedule]}"
            f"{', bfloat16 autocast' if recipe.amp else ''}: one setting for all rows",
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


def _origin(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"device": name, "date": date.today().isoformat(), "commit": _commit()}


@lru_cache
def _commit() -> str:
    """Of the sources that run, with a "+" where they were changed since; "unknown" without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head, changed = (
            subprocess.run(
                [*git, *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + "+" * bool(changed)


class _Clock:
    """Seconds of work on something, over interruptions, as of the last save.

    Time of the processor where that does the work: a run in the background is paused and shares.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs: list[float] = json.loads(path.read_text()) if path.exists() else []
        self.began = now()

    @property
    def seconds(self) -> float:
        return sum(self.epochs)

    def save(self) -> None:
        """Count an epoch, with the tests and saving that went with it."""
        self.epochs.append(now() - self.began)
        self.began = now()
        loop.replace_file(self.path, json.dumps(self.epochs).encode())


def now() -> float:
    """Seconds of this process: of the processor, where that does the work."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()
