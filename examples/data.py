"""Where the examples' data come from: folders on disk, or thin air.

All of it comes as (images, labels, test images, test labels): images [N, C, Y, X], uint8 or in
[0, 1], labels [N] int64.
"""

from __future__ import annotations

import io
import pickle
import wave
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Parts = tuple[Tensor, Tensor, Tensor, Tensor]

SAMPLES, FRAME, HOP = 8192, 254, 128
"""A spoken digit at 8 kHz, cut or padded to this many samples, in 64 frames of 128 frequencies."""


def cifar10(folder: Path) -> Parts:
    """CIFAR-10, of any of two layouts.

    ``cifar-10-batches-py``, as its authors publish it and torchvision keeps it, in ``folder`` or
    being it; or ``cifar10-train.npz`` and ``cifar10-test.npz`` with the images as compressed files
    (``jpeg``, all end to end, ``offsets``, ``labels``), which need Pillow.
    """
    for batches in (folder / "cifar-10-batches-py", folder):
        if (batches / "test_batch").is_file():
            train = [_batch(batches / f"data_batch_{i}") for i in range(1, 6)]
            images, labels = (torch.cat(parts) for parts in zip(*train, strict=True))
            return images, labels, *_batch(batches / "test_batch")
    if (folder / "cifar10-train.npz").is_file():
        return *_compressed(folder / "cifar10-train.npz"), *_compressed(folder / "cifar10-test.npz")
    raise SystemExit(f"--data: no cifar-10-batches-py and no cifar10-train.npz in {folder}")


class Boxed(NamedTuple):
    """Images [N, 3, 64, 64] uint8, labels [N] int64, and where the object is."""

    images: Tensor
    labels: Tensor
    boxes: Tensor
    """[N, 4] int64: x0, y0, x1, y1, the last pixels included."""


def tiny_imagenet_names(folder: Path) -> list[str]:
    """The first name of each of Tiny-ImageNet's classes, in the order of their WordNet numbers."""
    root = _published_tiny(folder)
    if root is None:
        with np.load(_tiny_shards(folder, "val")[0]) as file:
            return [str(name) for name in file["names"]]
    words = dict(line.split("\t") for line in (root / "words.txt").read_text().splitlines())
    return [words[wnid].split(",")[0] for wnid in sorted((root / "wnids.txt").read_text().split())]


def tiny_imagenet(folder: Path, part: str, names: Sequence[str]) -> Boxed:
    """Images of some of Tiny-ImageNet's classes; labels count those in the order of ``names``.

    ``tiny-imagenet-200``, as its authors publish it, in ``folder`` or being it; or
    ``tiny-imagenet-train*.npz`` (any number of them) and ``tiny-imagenet-val.npz`` with the images
    as compressed files (``jpeg``, ``offsets``, ``labels``, ``boxes``, ``names``). Needs Pillow.

    Args:
        folder: of either layout.
        part: "train" or "val"; the test images have no published labels.
        names: of the classes, among ``tiny_imagenet_names``.
    """
    every = tiny_imagenet_names(folder)
    number = {every.index(name): label for label, name in enumerate(names)}
    files: list[Path | io.BytesIO] = []
    labels: list[int] = []
    boxes: list[list[int]] = []
    root = _published_tiny(folder)
    if root is not None:
        wnids = sorted((root / "wnids.txt").read_text().split())
        for path, wnid, box in _tiny_annotations(root, part):
            if wnids.index(wnid) in number:
                files.append(path)
                labels.append(number[wnids.index(wnid)])
                boxes.append(box)
    else:
        for shard in _tiny_shards(folder, part):
            with np.load(shard) as file:
                content, offsets = file["jpeg"], file["offsets"]
                for i, label in enumerate(file["labels"].tolist()):
                    if label in number:
                        files.append(io.BytesIO(content[offsets[i] : offsets[i + 1]].tobytes()))
                        labels.append(number[label])
                boxes.extend(file["boxes"][np.isin(file["labels"], list(number))].tolist())
    return Boxed(_decoded(files, len(files), 64), torch.tensor(labels), torch.tensor(boxes))


def synthetic_images(count: int, test: int, seed: int, classes: int = 10) -> Parts:
    """Gratings: a class is a direction of stripes; colours, phase and noise are random."""
    rng = Generator().manual_seed(seed)
    total = count + test
    labels = torch.arange(total) % classes
    angle = labels * (torch.pi / classes)
    phase = 2 * torch.pi * torch.rand(total, generator=rng)
    place = torch.arange(32.0)
    across = (
        angle.cos()[:, None, None] * place[:, None] + angle.sin()[:, None, None] * place[None, :]
    )
    stripes = torch.sin(across * 0.8 + phase[:, None, None])[:, None]
    colour = torch.rand(total, 3, 1, 1, generator=rng) - 0.5
    noise = 0.1 * torch.randn(total, 3, 32, 32, generator=rng)
    images = (0.5 + stripes * colour + noise).clamp(0, 1).mul(255).to(torch.uint8)
    return images[:count], labels[:count], images[count:], labels[count:]


def spoken_digits(folder: Path) -> Parts:
    """The Free Spoken Digit Dataset as spectrograms; takes 0 to 4 of each speaker are the test.

    ``folder`` holds its recordings, ``{digit}_{speaker}_{take}.wav`` (mono, 16 bits, 8 kHz), or
    ``spoken-digits.npz`` (``audio``, all end to end, ``offsets``, ``labels``, ``take``).
    """
    if (folder / "spoken-digits.npz").is_file():
        with np.load(folder / "spoken-digits.npz") as file:
            audio, offsets = file["audio"], file["offsets"]
            labels, takes = file["labels"].astype(np.int64), file["take"].astype(np.int64)
        sounds = [audio[offsets[i] : offsets[i + 1]] for i in range(len(labels))]
    else:
        files = sorted(folder.glob("[0-9]_*_*.wav"))
        if not files:
            raise SystemExit(f"--data: no spoken-digits.npz and no [0-9]_*_*.wav in {folder}")
        names = [file.stem.split("_") for file in files]
        labels = np.array([int(name[0]) for name in names])
        takes = np.array([int(name[-1]) for name in names])
        sounds = [_samples(file) for file in files]
    cut = np.zeros((len(sounds), SAMPLES), np.float32)
    for row, sound in zip(cut, sounds, strict=True):
        row[: len(sound)] = sound[:SAMPLES] / 32768
    images, digits = spectrograms(torch.from_numpy(cut)), torch.from_numpy(labels)
    testing = torch.from_numpy(takes < 5)
    return images[~testing], digits[~testing], images[testing], digits[testing]


def synthetic_tones(count: int, test: int, seed: int, classes: int = 10) -> Parts:
    """A class is a pitch; its onset, length, loudness and noise are random."""
    rng = Generator().manual_seed(seed)
    total = count + test
    labels = torch.arange(total) % classes
    seconds = torch.arange(SAMPLES) / 8000
    pitch = 200 * 1.25**labels
    begin = 0.5 * torch.rand(total, 1, generator=rng)
    length = 0.2 + 0.3 * torch.rand(total, 1, generator=rng)
    loud = 0.05 + 0.5 * torch.rand(total, 1, generator=rng)
    turns = 2 * torch.pi * pitch[:, None] * seconds
    tone = turns.sin() + 0.5 * (2 * turns).sin()
    sounding = (seconds >= begin) & (seconds < begin + length)
    sound = loud * tone * sounding + 0.01 * torch.randn(total, SAMPLES, generator=rng)
    images = spectrograms(sound)
    return images[:count], labels[:count], images[count:], labels[count:]


def spectrograms(sound: Tensor) -> Tensor:
    """Sounds [N, samples] as images [N, 1, 64, 64]: loudness by frequency and time.

    80 decibels below the loudest of each sound is 0, the loudest is 1: mixing two of them mixes
    what is heard of each as a picture, not the waves.
    """
    window = torch.hann_window(FRAME)
    spectrum = torch.stft(
        sound, FRAME, HOP, window=window, pad_mode="constant", return_complex=True
    )
    power = spectrum[:, :, :64].abs().square()
    power = F.avg_pool2d(power[:, None], (2, 1))
    decibels = 10 * power.clamp_min(1e-10).log10()
    return ((decibels - decibels.amax((2, 3), keepdim=True)) / 80 + 1).clamp(0, 1)


def shuffled_part(images: Tensor, labels: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` samples drawn without replacement."""
    chosen = torch.randperm(len(images), generator=Generator().manual_seed(seed))[:count]
    return images[chosen], labels[chosen]


def crop_and_flip(images: Tensor, generator: Generator, pad: int = 4) -> Tensor:
    """Each image moved by up to ``pad`` pixels, black coming in, and half of them mirrored."""
    count, channels, height, width = images.shape
    corners = torch.randint(2 * pad + 1, (2, count, 1), generator=generator)
    mirrors = torch.rand((count, 1), generator=generator) < 0.5
    place = partial(torch.arange, device=images.device)
    # What was drawn is small: its copies to a device don't wait for what runs there.
    top, left = corners.to(images.device, non_blocking=True)
    columns = left + place(width)
    columns = torch.where(mirrors.to(images.device, non_blocking=True), columns.flip(1), columns)
    return F.pad(images, (pad,) * 4)[
        place(count)[:, None, None, None],
        place(channels)[None, :, None, None],
        (top + place(height))[:, None, :, None],
        columns[:, None, None, :],
    ]


def _batch(path: Path) -> tuple[Tensor, Tensor]:
    with path.open("rb") as file:
        content = pickle.load(file, encoding="latin1")
    images = torch.from_numpy(content["data"]).view(-1, 3, 32, 32)
    return images, torch.tensor(content["labels"])


def _compressed(path: Path) -> tuple[Tensor, Tensor]:
    with np.load(path) as file:
        content, offsets, labels = file["jpeg"], file["offsets"], file["labels"]
    files = (io.BytesIO(content[i:j].tobytes()) for i, j in pairwise(offsets))
    return _decoded(files, len(labels), 32), torch.from_numpy(labels.astype(np.int64))


def _decoded(files: Iterable[Path | io.BytesIO], count: int, side: int) -> Tensor:
    from PIL import Image

    images = np.empty((count, side, side, 3), np.uint8)
    for image, file in zip(images, files, strict=True):
        with Image.open(file) as opened:
            image[:] = np.asarray(opened.convert("RGB"))
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _published_tiny(folder: Path) -> Path | None:
    for root in (folder / "tiny-imagenet-200", folder):
        if (root / "wnids.txt").is_file():
            return root
    return None


def _tiny_shards(folder: Path, part: str) -> list[Path]:
    shards = sorted(folder.glob(f"tiny-imagenet-{part}*.npz"))
    if not shards:
        raise SystemExit(f"--data: no tiny-imagenet-200, no tiny-imagenet-{part}*.npz in {folder}")
    return shards


def _tiny_annotations(root: Path, part: str) -> Iterator[tuple[Path, str, list[int]]]:
    """File, class and box of each image of the published layout."""
    if part == "val":
        for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
            file, wnid, *box = line.split("\t")
            yield root / "val" / "images" / file, wnid, [int(end) for end in box]
        return
    for listing in sorted((root / "train").glob("*/*_boxes.txt")):
        for line in listing.read_text().splitlines():
            file, *box = line.split("\t")
            images = listing.parent / "images"
            yield images / file, listing.parent.name, [int(end) for end in box]


def _samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 8000):
            raise SystemExit(f"{path}: expected one channel of 16 bits at 8000 Hz")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
