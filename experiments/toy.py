"""Table 8: what mixup changes, on points of the plane."""

from __future__ import annotations

from functools import partial

from puzzlemix.demo import toy
from puzzlemix.demo.figures import Curve, Surface, draw_toy

from .lab import Lab, now
from .report import Row, Table, save

MISSES, MOST, NORM = "errors in between, %", "at the worst λ, %", "gradient norm in between"


def build(lab: Lab) -> Table:
    """Train on a disc in a ring by ERM and by mixup, and look in between."""
    began = now()
    bar = partial(lab.bar, desc="toy", unit="step")
    done = [toy.compare(seed, steps=lab.size.toy_steps, progress=bar) for seed in lab.seeds]
    rows = []
    for results in zip(*(experiment.results for experiment in done), strict=True):
        between = [result.between for result in results]
        values = {
            MISSES: [100 * float(each.misses.mean()) for each in between],
            MOST: [100 * float(each.misses.max()) for each in between],
            NORM: [float(each.gradients.mean()) for each in between],
        }
        rows.append(Row([results[0].name], values, {}))
    save(_surfaces(done[0]), lab.out / "toy-surfaces.png", dpi=80)
    return Table(
        title="Toy: between training points",
        heads=["method"],
        columns=[MISSES, MOST, NORM],
        rows=rows,
        settings={
            "data": "150 points of a disc and a ring around it, drawn by the seed",
            "network": f"two hidden layers of 64, Adam, {lab.size.toy_steps} steps on all points",
            "in between": "1000 pairs of training points, 21 values of λ; an error is a "
            "prediction of neither point's class",
        },
        notes=[
            "The lecture shows curves without numbers: mixup's are below ERM's in both.",
            "![Decision surfaces, errors and gradient norm](toy-surfaces.png)",
        ],
        seeds=list(lab.seeds),
        seconds=now() - began,
    )


def _surfaces(done: toy.Experiment):
    ratios = done.results[0].between.ratios.numpy()
    errors = [(each.name, each.between.misses.numpy()) for each in done.results]
    norms = [(each.name, each.between.gradients.numpy()) for each in done.results]
    return draw_toy(
        done.points.numpy(),
        done.labels.numpy() == 1,
        toy.REACH,
        [Surface(f"{each.name}: p(y = orange | x)", each.surface.numpy()) for each in done.results],
        [
            Curve("Errors in between", ratios, errors, True),
            Curve("Gradient norm", ratios, norms, False),
        ],
        "The first seed. Left: training points and predictions. Right: between pairs of points",
    )
