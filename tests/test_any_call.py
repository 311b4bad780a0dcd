"""Whatever tensors a public call gets, it answers or refuses them by name, and never crashes.

Calls that are right, but for a few tensors changed at random: another type, shape, device or
layout, or a value that isn't allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
import torch
from calls import FUNCTIONS, call, good
from torch import Tensor

import puzzlemix
from puzzlemix import CutMix, Cutout, MixUp, Plan, PuzzleMix

CALLS = 150
BATCHES = 0, 1, 2, 5
DTYPES = (
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool,
)  # fmt: skip
VALUES = -1, 3, 1e9, -(2.0**31), 2.0**40, math.inf, math.nan


def resized(random: Random, tensor: Tensor) -> Tensor:
    shape = list(tensor.shape)
    if shape:
        shape[random.randrange(len(shape))] = random.choice((0, 1, 2, 3, 4, 5, 8, 64, 65))
    return torch.rand(shape).to(tensor.dtype)


def with_a_value(random: Random, tensor: Tensor) -> Tensor:
    values = tensor.detach().double().flatten().clone()
    if len(values):
        values[random.randrange(len(values))] = random.choice(VALUES)
    return values.view(tensor.shape).to(tensor.dtype)


CHANGES = (
    resized,
    with_a_value,
    lambda random, tensor: tensor.to(random.choice(DTYPES)),
    lambda random, tensor: tensor.to("meta"),
    lambda random, tensor: tensor[None],
    lambda random, tensor: tensor[0] if tensor.dim() and len(tensor) else tensor,
    lambda random, tensor: tensor[:0] if tensor.dim() else tensor,
    lambda random, tensor: tensor[:1].expand_as(tensor) if tensor.dim() else tensor,
    lambda random, tensor: tensor.mT if tensor.dim() > 1 else tensor,
    lambda random, tensor: tensor.repeat_interleave(2, -1)[..., ::2] if tensor.dim() else tensor,
    lambda random, tensor: tensor.clone().requires_grad_(tensor.is_floating_point()),
)


def changed(random: Random, arguments: dict[str, Any], most: int = 3) -> dict[str, Any]:
    """The arguments with up to so many changes."""
    arguments = dict(arguments)
    for _ in range(random.randint(0, most)):
        name = random.choice(list(arguments))
        arguments[name] = random.choice(CHANGES)(random, arguments[name])
    return arguments


def images(random: Random) -> dict[str, Any]:
    batch = random.choice(BATCHES)
    labels = torch.randint(4, (batch,))
    return {
        "images": torch.rand(batch, 3, 8, 8),
        "labels": labels,
        "saliency": torch.rand(batch, 8, 8),
    }


def mixer(random: Random) -> Any:
    kind = random.choice((MixUp, CutMix, Cutout, PuzzleMix))
    return kind(num_classes=random.choice((None, 4)), per_sample=random.random() < 0.5)


def call_mixer(random: Random) -> None:
    mixer(random)(**changed(random, images(random)))


def call_plan(random: Random) -> None:
    given = images(random)
    plan = vars(mixer(random).plan(given["images"], None, given["saliency"]))
    tensors = {name: part for name, part in plan.items() if isinstance(part, Tensor)}
    plan = Plan(**(plan | changed(random, tensors)))
    parts = changed(random, {"x": given["images"], "batch": given["images"]}, most=1)
    answered_or_refused(lambda: plan.images(**parts))  # whatever becomes of the labels
    labels = changed(random, {"y": given["labels"], "batch": given["labels"]}, most=1)
    plan.labels(**labels)


def call_function(function: str, random: Random) -> None:
    arguments = changed(random, good(function, random.choice(BATCHES)))
    if random.random() < 0.1:
        arguments[random.choice(list(arguments))] = None
    call(puzzlemix, function, arguments)


def answered_or_refused(attempt: Callable[[], object]) -> bool:
    """Whether the call gave an answer; anything but TypeError and ValueError passes through."""
    try:
        attempt()
    except (TypeError, ValueError):
        return False
    return True


CALLERS: dict[str, Callable[[Random], None]] = {
    **{function: partial(call_function, function) for function in FUNCTIONS},
    "mixer": call_mixer,
    "plan": call_plan,
}


@pytest.mark.parametrize("what", CALLERS)
def test_any_call_is_answered_or_refused(what: str) -> None:
    answers = 0
    for seed in range(CALLS):
        torch.manual_seed(seed)
        answers += answered_or_refused(partial(CALLERS[what], Random(seed)))
    assert CALLS / 10 < answers < CALLS
