"""How long training steps take, and how much training that leaves time for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import NamedTuple

import torch

from .examples import loop, nets
from .lab import Case, Lab
from .methods import make_mixer
from .sizes import Recipe

AHEAD = 5
"""Steps in a row that a GPU is given before it is waited for, as in training."""
NET, WIDTH = "preactresnet18", 16
"""What is timed on a CPU."""
SIDE = 16
"""Rows and columns of a map of saliency that is made beforehand."""


class Step(NamedTuple):
    """A training step by one method."""

    seconds: float
    of_plain: float
    """As a multiple of plain training's."""


def steps(lab: Lab, cases: Sequence[Case], rounds: int) -> list[Step]:
    """The time of a whole training step by each case: medians over rounds in turn.

    The first case is plain training. Each step takes a new batch from the task's data, augments it,
    mixes it, and moves the weights of a network that cases share: what it has learnt does not
    matter here. On a CPU batches are small, and the network is PreActResNet18 of width 16 at most:
    only the multiples tell something.
    """
    task, seed = cases[0].task, lab.seeds[0]
    recipe = task.recipe if lab.device.type == "cuda" else _small(task.recipe)
    start = lab.start(replace(task, recipe=recipe), cases[0].method, seed)
    data = start.data._replace(
        saliency=torch.rand(len(start.data.train), SIDE, SIDE, device=lab.device)
    )
    build = partial(nets.NETS[recipe.net], data.num_classes, recipe.width, stride=recipe.stride)
    model = build().to(lab.device, memory_format=torch.channels_last)
    compiled = model
    if lab.compiles:
        compiled = build().to(lab.device, memory_format=torch.channels_last)
        compiled.compile()
    runs = []
    for case in cases:
        method = case.method
        trained = model if method.mixer == "manifold" else compiled
        mixer = make_mixer(method, trained, data, loop.seeded(seed, "mixer"))
        reads_maps = method.options.get("saliency") == "precomputed"
        settings = replace(
            start.settings,
            clean_weight=method.clean_weight,
            adversarial_prob=method.adversarial_prob,
        )
        given = data if reads_maps else data._replace(saliency=None)
        runs.append(loop.Run(trained, given, mixer, settings, start.augment))
    for run in runs:
        _timed(run, 2)
    ahead = AHEAD if lab.device.type == "cuda" else 1
    taken = [[_timed(run, ahead) for run in runs] for _ in range(rounds)]
    seconds = [median(each) for each in zip(*taken, strict=True)]
    return [Step(each, each / seconds[0]) for each in seconds]


def estimate(
    cases: Sequence[Case], each: Sequence[Step], images: int, minutes: float | None
) -> str:
    """What steps of these times leave time for, in words.

    Args:
        cases: what is to be trained.
        each: the time of a step, by case.
        images: how many there are to train on.
        minutes: for everything.
    """
    recipe = cases[0].task.recipe
    batch = min(recipe.batch_size, images)
    count = images // batch
    lines = [
        f"{cases[0].task.name}: {images} images in batches of {batch}, {count} steps an epoch",
        f"{'':40} {'ms a step':>9} {'of plain':>9} {'images a second':>16}",
    ]
    for case, step in zip(cases, each, strict=True):
        speed = batch / step.seconds
        lines.append(
            f"{', '.join(case.name):40} {1000 * step.seconds:9.2f} {step.of_plain:9.2f}"
            f" {speed:16,.0f}"
        )
    steps_of_one_seed = sum(
        count * recipe.epochs_of(case.method) * step.seconds
        for case, step in zip(cases, each, strict=True)
    )
    epoch = steps_of_one_seed / recipe.epochs
    lines.append(
        f"one seed of all {len(cases)}: {recipe.epochs} epochs take {steps_of_one_seed / 60:.1f} "
        "minutes, tests aside"
    )
    if minutes is not None:
        lines.append(
            f"{minutes:g} minutes: {60 * minutes / epoch:.0f} epochs of one seed, or "
            f"{60 * minutes / steps_of_one_seed:.1f} seeds of {recipe.epochs} epochs"
        )
    return "\n".join(lines)


def _small(recipe: Recipe) -> Recipe:
    """PreActResNet18, narrow, where a processor has to do the work; as it is what is narrower."""
    if recipe.width < WIDTH:
        return replace(recipe, amp=False)
    stride = recipe.stride if recipe.net == NET else 1
    batch = min(recipe.batch_size, 128)
    return replace(recipe, net=NET, width=WIDTH, stride=stride, batch_size=batch, amp=False)


def _timed(run: loop.Run, count: int) -> float:
    """Seconds a step, of some in a row on different images."""
    images = len(run.data.train)
    order = torch.randperm(images).to(run.device)
    batches = [order.roll(-i * run.batch_size)[: run.batch_size] for i in range(count)]
    _wait(run.device)
    began = time.perf_counter()
    for batch in batches:
        run.step(batch)
    _wait(run.device)
    return (time.perf_counter() - began) / count


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
