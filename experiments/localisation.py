"""Table 6: whether a network looks where the object is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from .examples import loop
from .lab import Case, Lab, Trained
from .methods import CUTMIX, CUTOUT, INPUT, METHODS, PUZZLE, VANILLA, class_activation
from .report import OURS, Row, Table, save
from .tasks import Scenes, tiny_imagenet

THRESHOLD = 0.2
"""Of the largest activation: what is above may belong to the object."""
KNOWN, RIGHT = "localised, class known, %", "localised and top-1 right, %"
SHOWN = (VANILLA, INPUT, CUTOUT, CUTMIX, PUZZLE)
LECTURE = {
    "Vanilla": {RIGHT: 46.30},
    "Input mixup": {RIGHT: 45.84},
    "Cutout": {RIGHT: 46.69},
    "CutMix": {RIGHT: 47.25},
}


def build(lab: Lab) -> Table:
    """Compare the boxes of every network of table 2 with Tiny-ImageNet's."""
    scenes = tiny_imagenet(lab)
    task, boxes = scenes.task, scenes.boxes

    def measure(trained: Trained) -> dict[str, float]:
        model, labels = trained.model, trained.data.test_labels
        images = loop.floating(trained.data.test)
        near = overlap(largest_boxes(class_activation(model, images, labels)), boxes.to(lab.device))
        with torch.inference_mode():
            guesses = torch.cat([model(part).argmax(1) for part in images.split(500)])
        found = near >= 0.5
        return {
            KNOWN: 100 * float(found.float().mean()),
            RIGHT: 100 * float((found & (guesses == labels)).float().mean()),
        }

    cases = [Case([method.name], task, method) for method in METHODS]
    rows, seconds = lab.survey("boxes", cases, measure, LECTURE)
    whole = overlap(torch.tensor([[0, 0, 63, 63]]).expand_as(boxes), boxes) >= 0.5
    blind = Row(["(the whole image)"], {KNOWN: [100 * float(whole.float().mean())]}, {})
    save(_maps(lab, scenes), lab.out / "localisation-maps.png", dpi=64)
    return Table(
        title="Localisation by class activation maps, Tiny-ImageNet",
        heads=["method"],
        columns=[KNOWN, RIGHT],
        rows=[*rows, blind],
        settings=lab.settings(task.recipe)
        | {
            "box": "around the largest connected part of the class activation map, interpolated "
            f"to the image, that is above {THRESHOLD:.0%} of its range",
            "localised": "intersection over union with the true box at least 0.5",
        },
        notes=[
            "The lecture's numbers are ImageNet's, of ResNet-50 (its Vanilla: ResNet-50 + CAM).",
            "![Maps of several methods](localisation-maps.png)",
            f"Maps of the true class, by networks of seed {lab.seeds[0]}. White: the true box. "
            "Orange: the map's.",
        ],
        seeds=list(lab.seeds),
        seconds=seconds,
    )


def largest_boxes(maps: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Boxes [N, 4] around the largest connected part of each map [N, Y, X] above a threshold.

    Pixels that touch at corners are connected. Of parts of one size it is the first from the top.
    """
    count, height, width = maps.shape
    above = (maps >= threshold).float()[:, None]
    # Every pixel takes the largest number within its part, which spreads by a pixel a round.
    # Numbers fall from the top, so that the largest is that of a part's first pixel.
    numbers = torch.arange(height * width, 0, -1.0, device=maps.device).view(height, width)
    parts, before = numbers * above, torch.zeros_like(above)
    while not torch.equal(parts, before):
        before = parts
        parts = F.max_pool2d(parts, 3, stride=1, padding=1) * above
    numbers_of = parts.flatten(1).long()
    sizes = torch.zeros(count, height * width + 1, device=maps.device)
    sizes.scatter_add_(1, numbers_of, above.flatten(1))
    # From the largest number down: argmax takes the first of equals.
    largest = height * width - sizes.flip(1).argmax(1)
    part = (numbers_of == largest[:, None]).view(count, height, width)
    rows, columns = part.any(2), part.any(1)
    ends = [
        (side.shape[1] - 1 - side.flip(1).int().argmax(1) if last else side.int().argmax(1))
        for last in (False, True)
        for side in (columns, rows)
    ]
    return torch.stack(ends, 1)


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union, [N], of boxes whose last pixels are included."""
    low = torch.maximum(boxes[:, :2], others[:, :2])
    high = torch.minimum(boxes[:, 2:], others[:, 2:])
    both = (high - low + 1).clamp_min(0).prod(1)
    areas = [(each[:, 2:] - each[:, :2] + 1).prod(1) for each in (boxes, others)]
    return both / (areas[0] + areas[1] - both)


def _maps(lab: Lab, scenes: Scenes, count: int = 6) -> Figure:
    """Maps over images: a row a method, a column an image of a class of its own."""
    chosen = [int((scenes.labels == label).nonzero()[0]) for label in range(count)]
    sheet = Figure(figsize=(1.1 * count + 0.9, 1.12 * len(SHOWN)), layout="constrained")
    panels = sheet.subplots(len(SHOWN), count)
    for method, row in zip(SHOWN, panels, strict=True):
        trained = lab.trained(scenes.task, method, lab.seeds[0])
        images = loop.floating(trained.data.test[chosen])
        maps = class_activation(trained.model, images, trained.data.test_labels[chosen])
        boxes = zip(scenes.boxes[chosen].tolist(), largest_boxes(maps).tolist(), strict=True)
        for panel, image, heat, ends in zip(row, images.cpu(), maps.cpu(), boxes, strict=True):
            panel.imshow(image.mean(0), cmap="gray", vmin=0, vmax=1)
            panel.imshow(heat, cmap="inferno", alpha=0.5)
            for (x0, y0, x1, y1), color in zip(ends, ("white", OURS), strict=True):
                size = x1 - x0 + 1, y1 - y0 + 1
                panel.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), *size, fill=False, edgecolor=color))
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(method.name, fontsize=8)
    for panel, index in zip(panels[0], chosen, strict=True):
        panel.set_title(scenes.names[int(scenes.labels[index])], fontsize=7)
    return sheet
