"""Run by ``torchrun`` from test_training.py: compares a training step in several processes with the
step in one.

Every process also computes the step of the whole batch by itself, and fails if they differ.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from puzzlemix import (
    MixUp,
    Plan,
    PuzzleMix,
    gradient_saliency,
    puzzle_mix,
    puzzle_mix_backward,
)

EACH = 4
"""Samples of a process in a call."""


def partners(images: Tensor) -> Tensor:
    """Each sample's neighbour as its partner, so that pairs lie within one process's part."""
    return torch.arange(len(images)) ^ 1


class PuzzlePairs(PuzzleMix):
    """Puzzle Mix of neighbours, with one lambda."""

    def plan(
        self, images: Tensor, labels: Tensor | None = None, saliency: Tensor | None = None
    ) -> Plan:
        assert saliency is not None
        i = partners(images)
        mix = puzzle_mix(images, images[i], saliency, saliency[i], 0.4, grid=4)
        return Plan(i, mix.ratio, mix.mask, mix.source1, mix.source2, self.num_classes)


class MixUpPairs(MixUp):
    """Input mixup of neighbours, with one lambda."""

    def plan(
        self, images: Tensor, labels: Tensor | None = None, saliency: Tensor | None = None
    ) -> Plan:
        lam = torch.full((len(images),), 0.3)
        return Plan(partners(images), lam, lam[:, None, None], num_classes=self.num_classes)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    return model.double()


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def compare(name: str, mixer: Any, clean_weight: float, calls: int, scale: float | None) -> None:
    rank, world = dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(1)
    count = calls * world * EACH
    images = torch.rand((count, 3, 16, 16), generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (count,), generator=generator)
    scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    settings: dict[str, Any] = {"clean_weight": clean_weight}

    alone = make_model()
    want_loss = puzzle_mix_backward(alone, images, labels, mixer, **settings)
    want = gradients(alone)

    model = make_model()
    parallel = DistributedDataParallel(model)
    reductions = []

    # Without annotations, which would be strings here: PyTorch refuses those.
    def count_reductions(state, bucket):
        reductions.append(bucket.index())
        done = dist.all_reduce(bucket.buffer().div_(world), async_op=True)
        assert done is not None
        return done.get_future().then(lambda future: future.value()[0])

    parallel.register_comm_hook(None, count_reductions)
    forwards = []
    parallel.register_forward_pre_hook(lambda module, inputs: forwards.append(1))
    losses = []
    for call in range(calls):
        start = (call * world + rank) * EACH
        own = slice(start, start + EACH)
        last = call == calls - 1
        with nullcontext() if last else parallel.no_sync():
            loss = puzzle_mix_backward(
                parallel,
                images[own],
                labels[own],
                mixer,
                loss_fn=lambda outputs, weights: F.cross_entropy(outputs, weights) / calls,
                scaler=scaler,
                **settings,
            )
        losses.append(loss)
        assert len(reductions) == (1 if last else 0), f"{name}: {len(reductions)} reductions"
        # Only the pass of the mix goes through the wrapper, which broadcasts buffers.
        assert len(forwards) == call + 1, f"{name}: {len(forwards)} passes of the wrapper"
    got = gradients(model)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other * (scale or 1.0), msg=lambda text: f"{name}: {text}")
    saliency = gradient_saliency(parallel, images, labels)
    torch.testing.assert_close(saliency, gradient_saliency(alone, images, labels))
    assert len(forwards) == calls, f"{name}: saliency passed the wrapper"
    total = torch.stack(losses).sum()
    dist.all_reduce(total)
    torch.testing.assert_close(total / world, want_loss)


def main() -> int:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for mixer in (PuzzlePairs(num_classes=5), MixUpPairs(num_classes=5)):
        for clean_weight in (0.0, 0.7):
            for calls in (1, 2):
                for scale in (None, 256.0):
                    name = f"{type(mixer).__name__} {clean_weight} {calls} {scale}"
                    compare(name, mixer, clean_weight, calls, scale)
    print(f"rank {dist.get_rank()} of {dist.get_world_size()} agrees", flush=True)
    # Gloo's thread may still hold a tensor, and needs the interpreter's lock to release it; whoever
    # destroys the group waits for that thread with the lock held.
    dist.barrier()
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
