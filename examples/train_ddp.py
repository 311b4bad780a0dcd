"""Train in several processes with ``DistributedDataParallel`` and ``puzzle_mix_backward``.

torchrun --nproc-per-node 2 examples/train_ddp.py --smoke
torchrun --nproc-per-node 8 examples/train_ddp.py --data path/to/data --batch-size 1024 --lr 0.8

Each process takes its share of every batch, and mixes within it; --batch-size is that of all. The
saliency pass runs without communication, and the gradients of the mix and of the clean term are
averaged once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from data import crop_and_flip
from loop import make_mixer, seeded, start, train
from nets import NETS
from torch.nn.parallel import DistributedDataParallel
from train_cifar import data_of, options, parse, settings_of


def main(argv: Sequence[str] | None = None) -> int:
    parser = options(__doc__ or "", out="runs/ddp")
    parser.set_defaults(clean_weight=1.0)
    args = parse(parser, argv)
    if args.mixer in ("none", "manifold"):
        parser.error(f"--mixer: this example is of puzzle_mix_backward, which is not {args.mixer}")
    if "LOCAL_RANK" not in os.environ:
        parser.error("run it by torchrun: torchrun --nproc-per-node 2 examples/train_ddp.py ...")
    device = start(args.seed)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    data = data_of(args)
    model = NETS[args.net](data.num_classes).to(device)
    parallel = DistributedDataParallel(
        model, device_ids=[device.index] if device.type == "cuda" else None
    )
    mixer = make_mixer(
        args.mixer,
        parallel,
        data.num_classes,
        saliency=args.saliency,
        alpha=args.alpha,
        generator=seeded(args.seed, f"mixer {dist.get_rank()}"),
    )
    train(
        parallel,
        data,
        mixer,
        settings_of(args),
        out=args.out,
        augment=None if args.data is None else crop_and_flip,
        resume=args.resume,
        stop_after=args.stop_after,
    )
    # A thread of Gloo may still be about to release a tensor, for which it needs the interpreter's
    # lock. A process group that goes waits for that thread with the lock held, for ever; waiting
    # here gives the lock away.
    dist.barrier()
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
